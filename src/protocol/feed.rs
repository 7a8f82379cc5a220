//! From what reads bring to commands: the part of a connection that needs no
//! socket.
//!
//! Whole commands gather in batches that refer to the input. A large one that is
//! cut off goes on in a [`Partial`]; what else is left at the input's end is to
//! come again, in front of what the next read brings.
//!
//! **Invariant:** the commands are the same however the reads cut the stream.

use super::error::Error;
use super::parse::{self, Limits, Parsed, Partial};

/// Commands of one batch: what is prefetched for them stays in the nearest cache.
const BATCH: usize = 64;

/// Whoever runs the commands.
pub trait Sink<'a> {
    /// What the client may send now.
    fn limits(&self) -> Limits;

    /// Whether the client is still listened to.
    fn is_open(&self) -> bool;

    /// Whether what comes next has to wait: it is left where it is.
    fn is_stopped(&self) -> bool;

    /// The words of the batch that is being gathered.
    fn argv(&mut self) -> &mut Vec<&'a [u8]>;

    /// Ends a command whose words were appended to `argv` from `first` on.
    fn end_command(&mut self, first: usize);

    /// Number of commands gathered.
    fn gathered(&self) -> usize;

    /// Memory that a large argument may take over, where it is empty and fits.
    fn spare(&mut self) -> &mut Vec<u8>;

    /// Runs the batch, and begins another.
    fn run_batch(&mut self);

    /// Runs a command whose words, one at least, have memory of their own.
    fn run_owned(&mut self, words: Vec<Vec<u8>>);
}

/// Runs what is complete at the beginning of `input` and says how long that
/// was. An error is the protocol's: nothing behind it can be understood.
#[inline]
pub fn run<'a>(
    input: &'a [u8],
    held: &mut Option<Partial>,
    sink: &mut impl Sink<'a>,
) -> Result<usize, Error> {
    let mut at = 0;
    if let Some(mut partial) = held.take() {
        at = partial.feed(input, sink.limits(), sink.spare())?;
        if !partial.is_complete() {
            *held = Some(partial);
            return Ok(at);
        }
        sink.run_owned(partial.into_args());
    }
    while sink.is_open() && !sink.is_stopped() && at < input.len() {
        let limits = sink.limits();
        // What a stranger may send depends on what it has sent before.
        let most = if limits.authenticated { BATCH } else { 1 };
        let mut cut = Ok(());
        let mut more = true;
        while at < input.len() && sink.gathered() < most {
            if input[at] != b'*' {
                break;
            }
            let first = sink.argv().len();
            match parse::command(&input[at..], limits, sink.argv()) {
                Ok(Parsed::Command(used)) => {
                    at += used;
                    if sink.argv().len() > first {
                        sink.end_command(first);
                    }
                    continue;
                }
                Ok(Parsed::Incomplete) => {}
                Ok(Parsed::Partial(mut partial, used)) => {
                    at += used;
                    match partial.feed(&input[at..], limits, sink.spare()) {
                        Ok(fed) => at += fed,
                        Err(error) => cut = Err(error),
                    }
                    *held = Some(partial);
                }
                Err(error) => cut = Err(error),
            }
            more = false;
            break;
        }
        if sink.gathered() > 0 {
            sink.run_batch();
            if !sink.is_open() {
                return Ok(input.len());
            }
        }
        cut?;
        if !more || sink.is_stopped() {
            return Ok(at);
        }
        if at < input.len() && input[at] != b'*' {
            match parse::inline(&input[at..])? {
                Some((words, used)) => {
                    at += used;
                    if !words.is_empty() {
                        sink.run_owned(words);
                    }
                }
                None => return Ok(at),
            }
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests;

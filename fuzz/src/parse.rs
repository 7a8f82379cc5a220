//! Any bytes, in one read and in several: the same commands must come out, or
//! the same error after the same commands.

use larder::protocol::error::Error;
use larder::protocol::feed::{self, Sink};
use larder::protocol::parse::{Limits, Partial};

use crate::Choices;

#[derive(Default)]
struct Reader {
    rest: Vec<u8>,
    partial: Option<Partial>,
    commands: Vec<Vec<Vec<u8>>>,
}

struct Gathering<'a, 'r> {
    argv: Vec<&'a [u8]>,
    ends: Vec<usize>,
    commands: &'r mut Vec<Vec<Vec<u8>>>,
    spare: Vec<u8>,
    authenticated: bool,
}

impl<'a> Sink<'a> for Gathering<'a, '_> {
    fn is_stopped(&self) -> bool {
        false
    }

    fn limits(&self) -> Limits {
        Limits {
            bulk_bytes: 1024 * 1024,
            authenticated: self.authenticated,
        }
    }

    fn is_open(&self) -> bool {
        true
    }

    fn argv(&mut self) -> &mut Vec<&'a [u8]> {
        &mut self.argv
    }

    fn end_command(&mut self, _: usize) {
        self.ends.push(self.argv.len());
    }

    fn gathered(&self) -> usize {
        self.ends.len()
    }

    fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.spare
    }

    fn run_batch(&mut self) {
        let mut first = 0;
        for end in self.ends.drain(..) {
            let words = self.argv[first..end].iter();
            self.commands.push(words.map(|w| w.to_vec()).collect());
            first = end;
        }
        self.argv.clear();
    }

    fn run_owned(&mut self, words: Vec<Vec<u8>>) {
        self.commands.push(words);
    }
}

impl Reader {
    fn read(&mut self, bytes: &[u8], authenticated: bool) -> Result<(), Error> {
        let mut input = std::mem::take(&mut self.rest);
        input.extend_from_slice(bytes);
        let mut sink = Gathering {
            argv: Vec::new(),
            ends: Vec::new(),
            commands: &mut self.commands,
            spare: Vec::new(),
            authenticated,
        };
        let used = feed::run(&input, &mut self.partial, &mut sink)?;
        self.rest = input.split_off(used);
        Ok(())
    }
}

/// The first bytes choose how the others are cut, and the most of a line is far
/// above what there is of them.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let authenticated = !choices.byte().is_multiple_of(4);
    let sizes: Vec<usize> = (0..4)
        .map(|_| {
            let most = choices.of(&[1, 4, 16, 256]);
            1 + choices.below(most)
        })
        .collect();
    let stream = choices.bytes(32 * 1024);
    let mut at_once = Reader::default();
    let whole = at_once.read(stream, authenticated);
    let mut in_parts = Reader::default();
    let mut rest = stream;
    let mut parts = Ok(());
    for size in sizes.iter().cycle() {
        if rest.is_empty() || parts.is_err() {
            break;
        }
        let (now, later) = rest.split_at((*size).min(rest.len()));
        parts = in_parts.read(now, authenticated);
        rest = later;
    }
    assert_eq!(at_once.commands, in_parts.commands);
    assert_eq!(whole, parts);
    let words: usize = at_once.commands.iter().flatten().map(Vec::len).sum();
    assert!(words <= stream.len());
}

//! What of the log only another Larder understands: a remembered absence, an
//! invalidation.
//!
//! The log is one for all followers, and what is of no consequence to Valkey and Redis
//! stands in it as the argument of an ECHO: they carry that out and nothing happens. A
//! Larder that follows runs the command in it instead. No client can put one there,
//! since a client's ECHO changes nothing and so never comes into the log.

use crate::protocol::request;

/// What an argument of ECHO begins with that holds a command, in RESP.
const MARK: &[u8] = b"larder:run ";

/// The words by which a command that only Larder knows goes into the log.
pub fn wrap(command: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut text = MARK.to_vec();
    request::write(&mut text, command);
    vec![b"ECHO".to_vec(), text]
}

/// The command, in RESP, that words of the log hold.
pub fn unwrap<'a>(words: &[&'a [u8]]) -> Option<&'a [u8]> {
    match words {
        [name, text] if name.eq_ignore_ascii_case(b"echo") => text.strip_prefix(MARK),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::parse::{self, Limits, Parsed};

    #[test]
    fn what_is_wrapped_comes_out_as_it_was() {
        let command: &[&[u8]] = &[b"CACHE.NULL", b"a\r\nb", b"", b"PXAT", b"12"];
        let words = wrap(command);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let text = unwrap(&words).expect("it is one");
        let limits = Limits {
            bulk_bytes: i64::MAX,
            authenticated: true,
        };
        let mut argv = Vec::new();
        let parsed = parse::command(text, limits, &mut argv);
        assert!(matches!(parsed, Ok(Parsed::Command(used)) if used == text.len()));
        assert_eq!(argv, command);
    }

    #[test]
    fn an_echo_of_anything_else_holds_nothing() {
        assert_eq!(unwrap(&[b"ECHO", b"larder:runs"]), None);
        assert_eq!(unwrap(&[b"PING", b"larder:run *0\r\n"]), None);
        assert_eq!(unwrap(&[b"ECHO"]), None);
    }
}

//! Writing commands, for who is a client of another server.

use crate::base::num::IntText;

/// What stands around a word of less than 10,000,000 bytes, at most.
const AROUND: usize = 12;

/// Appends a command.
pub fn write<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    let bytes: usize = words.iter().map(|word| word.as_ref().len() + AROUND).sum();
    out.reserve(AROUND + bytes);
    count(out, b'*', words.len());
    for word in words.iter().map(AsRef::as_ref) {
        count(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn count(out: &mut Vec<u8>, kind: u8, n: usize) {
    if let digit @ 0..10 = n {
        out.extend_from_slice(&[kind, b'0' + digit as u8, b'\r', b'\n']);
        return;
    }
    if let 10..100 = n {
        let digits = [n / 10, n % 10].map(|digit| b'0' + digit as u8);
        out.extend_from_slice(&[kind, digits[0], digits[1], b'\r', b'\n']);
        return;
    }
    out.push(kind);
    out.extend_from_slice(IntText::unsigned(n as u64).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = b"+".to_vec();
        write(&mut out, &[&b"SET"[..], b"", b"a\r\nb"]);
        assert_eq!(out, b"+*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
    }
}

//! The reply writer: the only place that knows RESP2 from RESP3.

use std::sync::Arc;

use super::error::Error;
use super::output::Output;
use crate::base::num::{FloatText, IntText};

/// What stands where a number of replies will.
const OPENED: &[u8] = b"*0\r\n";

/// Where an array or a map was begun.
#[derive(Clone, Copy, Debug)]
#[must_use = "what was begun is to be ended"]
pub struct Opened(usize);

/// Writes one client's replies, in its protocol.
pub struct Reply<'a> {
    out: &'a mut Output,
    resp3: bool,
}

impl<'a> Reply<'a> {
    /// A writer at the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Output, resp3: bool) -> Reply<'a> {
        Reply { out, resp3 }
    }

    /// Whether the client speaks RESP3.
    #[inline]
    pub fn is_resp3(&self) -> bool {
        self.resp3
    }

    /// Goes on in another protocol (HELLO).
    pub fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// The output behind this writer.
    pub fn output(&mut self) -> &mut Output {
        self.out
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.out.bytes_mut().extend_from_slice(bytes);
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        let out = self.out.bytes_mut();
        out.reserve(text.len() + 3);
        out.push(kind);
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn count(&mut self, kind: u8, n: usize) {
        let digit = |n: usize| b'0' + (n % 10) as u8;
        match n {
            0..10 => self.raw(&[kind, digit(n), b'\r', b'\n']),
            10..100 => self.raw(&[kind, digit(n / 10), digit(n), b'\r', b'\n']),
            100..1000 => {
                let (high, middle) = (digit(n / 100), digit(n / 10));
                self.raw(&[kind, high, middle, digit(n), b'\r', b'\n']);
            }
            _ => self.line(kind, IntText::unsigned(n as u64).as_bytes()),
        }
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A simple string; without line breaks.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// A simple string of any bytes: line breaks become spaces.
    pub fn simple_bytes(&mut self, text: &[u8]) {
        let blank = |&b: &u8| if matches!(b, b'\r' | b'\n') { b' ' } else { b };
        let text: Vec<u8> = text.iter().map(blank).collect();
        self.line(b'+', &text);
    }

    /// An error.
    pub fn error(&mut self, error: &Error) {
        self.line(b'-', error.as_bytes());
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, n: i64) {
        if (0..10).contains(&n) {
            self.raw(&[b':', b'0' + n as u8, b'\r', b'\n']);
        } else {
            self.line(b':', IntText::new(n).as_bytes());
        }
    }

    /// A number of things.
    #[inline]
    pub fn size(&mut self, n: usize) {
        self.int(n as i64);
    }

    /// 1 or 0; in both protocols an integer (see [`Reply::boolean`]).
    pub fn flag(&mut self, yes: bool) {
        self.int(yes.into());
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.count(b'$', bytes.len());
        let out = self.out.bytes_mut();
        out.reserve(bytes.len() + 2);
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }

    /// A bulk string by reference to where it lies.
    pub fn blob(&mut self, blob: Arc<Vec<u8>>) {
        self.count(b'$', blob.len());
        self.out.push_blob(blob);
        self.raw(b"\r\n");
    }

    /// An integer as a bulk string.
    #[inline]
    pub fn bulk_int(&mut self, n: i64) {
        self.bulk(IntText::new(n).as_bytes());
    }

    /// No value, where a string would be.
    #[inline]
    pub fn null(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No value, where an array would be.
    pub fn null_array(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// The head of an array; `n` replies follow.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.count(b'*', n);
    }

    /// The head of a map; `n` pairs of replies follow.
    pub fn map(&mut self, n: usize) {
        match self.resp3 {
            true => self.count(b'%', n),
            false => self.count(b'*', n * 2),
        }
    }

    /// Begins an array or a map whose number of replies is known at its end:
    /// [`Reply::close_array`] or [`Reply::close_map`].
    pub fn open(&mut self) -> Opened {
        let at = self.out.mark().0;
        self.raw(OPENED);
        Opened(at)
    }

    /// Ends what was begun as an array of `n` replies.
    pub fn close_array(&mut self, opened: Opened, n: usize) {
        self.close(b'*', opened, n);
    }

    /// Ends what was begun as a map of `n` pairs of replies.
    pub fn close_map(&mut self, opened: Opened, n: usize) {
        match self.resp3 {
            true => self.close(b'%', opened, n),
            false => self.close(b'*', opened, 2 * n),
        }
    }

    /// Ends what was begun as a set of `n` replies.
    pub fn close_set(&mut self, opened: Opened, n: usize) {
        let kind = if self.resp3 { b'~' } else { b'*' };
        self.close(kind, opened, n);
    }

    fn close(&mut self, kind: u8, Opened(at): Opened, n: usize) {
        // Of one digit it was taken to be: most are, and nothing moves.
        let digits = IntText::unsigned(n as u64);
        let head = [&[kind], digits.as_bytes(), b"\r\n"].concat();
        self.out.splice(at..at + OPENED.len(), &head);
    }

    /// The head of a set; `n` replies follow.
    pub fn set(&mut self, n: usize) {
        self.count(if self.resp3 { b'~' } else { b'*' }, n);
    }

    /// The head of attributes, which come before the reply proper; `n` pairs of
    /// replies follow. For RESP3 alone.
    pub fn attributes(&mut self, n: usize) {
        self.count(b'|', n);
    }

    /// A whole number of any length, in decimal digits.
    pub fn big_number(&mut self, digits: &str) {
        match self.resp3 {
            true => self.line(b'(', digits.as_bytes()),
            false => self.bulk(digits.as_bytes()),
        }
    }

    /// The head of a push message; `n` replies follow.
    pub fn push(&mut self, n: usize) {
        self.count(if self.resp3 { b'>' } else { b'*' }, n);
    }

    /// A truth value.
    pub fn boolean(&mut self, yes: bool) {
        match self.resp3 {
            true => self.raw(if yes { b"#t\r\n" } else { b"#f\r\n" }),
            false => self.int(yes.into()),
        }
    }

    /// A floating-point number; see [`FloatText`].
    pub fn double(&mut self, n: f64) {
        let text = FloatText::new(n);
        match self.resp3 {
            true => self.line(b',', text.as_bytes()),
            false => self.bulk(text.as_bytes()),
        }
    }

    /// A floating-point number to 17 places behind the point, without the zeros
    /// at its end.
    pub fn decimal(&mut self, n: f64) {
        let text = format!("{n:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        match self.resp3 {
            true => self.line(b',', text.as_bytes()),
            false => self.bulk(text.as_bytes()),
        }
    }

    /// Text for people, of a three-letter format (`txt`, `mkd`).
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        if self.resp3 {
            self.count(b'=', text.len() + 4);
            self.raw(format.as_bytes());
            self.raw(b":");
            self.raw(text);
            self.raw(b"\r\n");
        } else {
            self.bulk(text);
        }
    }
}

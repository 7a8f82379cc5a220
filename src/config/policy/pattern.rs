//! Patterns of keys, and templates that are filled from what they capture.
//!
//! A pattern is a glob as Redis knows them (`*`, `?`, `[a-z]`, `[^…]`, `\x`), of
//! which each `*` captures what it stood for: the first is `{1}`, the next `{2}`. A
//! `*` takes as little as it can, but the last one takes what is left.

use smallvec::SmallVec;

/// The longest pattern or template, in bytes.
pub const TEXT_MAX: usize = 1024;
/// Most stars of a pattern.
pub const STARS_MAX: usize = 16;

/// One step of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    /// These very bytes.
    Literal(Box<[u8]>),
    /// Any one byte.
    One,
    /// One byte of a set, which is kept bit by bit.
    Class([u64; 4]),
    /// Any run of bytes.
    Star,
}

/// See the head of this file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    text: Box<[u8]>,
    tokens: Box<[Token]>,
    /// Every key that matches begins so.
    prefix: Box<[u8]>,
    stars: usize,
}

/// What the stars of a pattern stood for, in order.
pub type Captures<'k> = SmallVec<[&'k [u8]; 4]>;

impl Pattern {
    /// Reads a pattern; says why it is none.
    pub fn parse(text: &[u8]) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("the pattern is empty".into());
        }
        if text.len() > TEXT_MAX {
            return Err(format!("the pattern is longer than {TEXT_MAX} bytes"));
        }
        let mut tokens = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            let token = match byte {
                // Several in a row stand for no more than one.
                b'*' if literal.is_empty() && tokens.last() == Some(&Token::Star) => continue,
                b'*' => Token::Star,
                b'?' => Token::One,
                b'[' => {
                    let (class, tail) = read_class(rest).ok_or("the pattern's [ is not closed")?;
                    rest = tail;
                    Token::Class(class)
                }
                b'\\' => {
                    let (&byte, tail) = rest.split_first().unwrap_or((&b'\\', rest));
                    literal.push(byte);
                    rest = tail;
                    continue;
                }
                byte => {
                    literal.push(byte);
                    continue;
                }
            };
            if !literal.is_empty() {
                tokens.push(Token::Literal(std::mem::take(&mut literal).into()));
            }
            tokens.push(token);
        }
        if !literal.is_empty() {
            tokens.push(Token::Literal(literal.into()));
        }
        let stars = tokens.iter().filter(|t| **t == Token::Star).count();
        if stars > STARS_MAX {
            return Err(format!("the pattern has more than {STARS_MAX} stars"));
        }
        let prefix = match tokens.first() {
            Some(Token::Literal(bytes)) => bytes.clone(),
            _ => Box::default(),
        };
        Ok(Pattern {
            text: text.into(),
            tokens: tokens.into(),
            prefix,
            stars,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Every key that matches begins so.
    #[inline]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// How many captures it has.
    pub fn stars(&self) -> usize {
        self.stars
    }

    /// The one key that matches, where there is only one.
    pub fn literal(&self) -> Option<&[u8]> {
        match &*self.tokens {
            [Token::Literal(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Whether every key that begins with its prefix matches.
    #[inline]
    pub fn is_prefix(&self) -> bool {
        matches!(
            &*self.tokens,
            [Token::Star] | [Token::Literal(_), Token::Star]
        )
    }

    /// Whether a key matches.
    #[inline]
    pub fn matches(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix) && (self.is_prefix() || walk(&self.tokens, key, &mut |_| {}))
    }

    /// What the stars stand for in a key; `None` where it does not match.
    pub fn captures<'k>(&self, key: &'k [u8]) -> Option<Captures<'k>> {
        let mut found: Vec<(usize, &'k [u8])> = Vec::new();
        let mut note = |part: Capture<'k>| match part {
            Capture::Set(i, bytes) => {
                found.retain(|(at, _)| *at != i);
                found.push((i, bytes));
            }
        };
        if !walk(&self.tokens, key, &mut note) {
            return None;
        }
        found.sort_unstable_by_key(|(i, _)| *i);
        Some(found.into_iter().map(|(_, bytes)| bytes).collect())
    }
}

enum Capture<'k> {
    /// The star of this number stands for these bytes, until it is said otherwise.
    Set(usize, &'k [u8]),
}

/// Matches with one place to come back to: a later star never has to be undone for
/// the sake of an earlier one, so the time is at most quadratic.
fn walk<'k>(tokens: &[Token], key: &'k [u8], note: &mut dyn FnMut(Capture<'k>)) -> bool {
    let (mut token, mut at, mut star) = (0, 0, 0);
    // The token behind the last star, where the star begins, and where it ends.
    let mut back: Option<(usize, usize, usize)> = None;
    loop {
        let matched = match tokens.get(token) {
            None => at == key.len(),
            Some(Token::Star) => {
                if token + 1 == tokens.len() {
                    note(Capture::Set(star, &key[at..]));
                    return true;
                }
                back = Some((token + 1, at, at));
                note(Capture::Set(star, &key[at..at]));
                star += 1;
                token += 1;
                continue;
            }
            Some(Token::Literal(bytes)) if key[at..].starts_with(bytes) => {
                at += bytes.len();
                token += 1;
                continue;
            }
            Some(Token::One) if at < key.len() => {
                at += 1;
                token += 1;
                continue;
            }
            Some(Token::Class(set)) if key.get(at).is_some_and(|&b| has(set, b)) => {
                at += 1;
                token += 1;
                continue;
            }
            Some(_) => false,
        };
        if matched {
            return true;
        }
        match &mut back {
            Some((behind, begin, end)) if *end < key.len() => {
                *end += 1;
                note(Capture::Set(star - 1, &key[*begin..*end]));
                (token, at) = (*behind, *end);
            }
            _ => return false,
        }
    }
}

fn has(set: &[u64; 4], byte: u8) -> bool {
    set[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

/// A class behind its `[`, and what comes after its `]`.
fn read_class(mut rest: &[u8]) -> Option<([u64; 4], &[u8])> {
    let mut set = [0u64; 4];
    let is_negated = rest.first() == Some(&b'^');
    if is_negated {
        rest = &rest[1..];
    }
    loop {
        let (first, tail) = match rest {
            [b']', tail @ ..] => {
                rest = tail;
                break;
            }
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => (*byte, tail),
            [] => return None,
        };
        let (last, tail) = match tail {
            [b'-', last, tail @ ..] => (*last, tail),
            _ => (first, tail),
        };
        for byte in first.min(last)..=first.max(last) {
            set[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        rest = tail;
    }
    if is_negated {
        set = set.map(|bits| !bits);
    }
    Some((set, rest))
}

/// Text with places for captures: `course:{1}`. A brace that belongs to no number
/// stands for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    text: Box<[u8]>,
    parts: Box<[Part]>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Box<[u8]>),
    Capture(usize),
}

impl Template {
    /// Reads a template for a pattern with so many stars; says why it is none.
    pub fn parse(text: &[u8], stars: usize) -> Result<Template, String> {
        if text.is_empty() {
            return Err("the template is empty".into());
        }
        if text.len() > TEXT_MAX {
            return Err(format!("the template is longer than {TEXT_MAX} bytes"));
        }
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((&byte, tail)) = rest.split_first() {
            match capture(rest) {
                Some((number, tail)) => {
                    if number == 0 || number > stars {
                        return Err(format!(
                            "'{{{number}}}' does not exist: the pattern has {stars} stars"
                        ));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal).into()));
                    }
                    parts.push(Part::Capture(number - 1));
                    rest = tail;
                }
                None => {
                    literal.push(byte);
                    rest = tail;
                }
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Template {
            text: text.into(),
            parts: parts.into(),
        })
    }

    /// As it was written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The pattern with these captures in their places, each standing for itself
    /// whatever it holds.
    pub fn fill_escaped(&self, captures: &[&[u8]]) -> Vec<u8> {
        let escaped: Vec<Vec<u8>> = captures.iter().map(|bytes| escape(bytes)).collect();
        let escaped: Vec<&[u8]> = escaped.iter().map(Vec::as_slice).collect();
        self.fill(&escaped)
    }

    /// The text with these captures in their places.
    pub fn fill(&self, captures: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len());
        for part in &self.parts {
            out.extend_from_slice(match part {
                Part::Text(bytes) => bytes,
                Part::Capture(i) => captures.get(*i).copied().unwrap_or_default(),
            });
        }
        out
    }
}

/// A pattern that these bytes alone match.
pub fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if b"*?[]\\^-".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

/// `{12}` at the beginning of a text: the number, and what comes behind.
fn capture(text: &[u8]) -> Option<(usize, &[u8])> {
    let inner = text.strip_prefix(b"{")?;
    let digits = inner.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) || inner.get(digits) != Some(&b'}') {
        return None;
    }
    let number = inner[..digits]
        .iter()
        .fold(0, |n, d| n * 10 + usize::from(d - b'0'));
    Some((number, &inner[digits + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::glob::{self, Case};
    use proptest::prelude::*;

    fn captures(pattern: &str, key: &str) -> Option<Vec<String>> {
        let pattern = Pattern::parse(pattern.as_bytes()).expect("a pattern");
        let found = pattern.captures(key.as_bytes())?;
        let text = |bytes: &&[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(found.iter().map(text).collect())
    }

    #[test]
    fn stars_capture_as_little_as_they_can_and_the_last_one_the_rest() {
        assert_eq!(captures("course:*", "course:42").unwrap(), ["42"]);
        assert_eq!(captures("a:*:b:*", "a:1:b:2:b:3").unwrap(), ["1", "2:b:3"]);
        assert_eq!(captures("*:x", "a:b:x").unwrap(), ["a:b"]);
        assert_eq!(captures("u?:*", "u1:"), Some(vec![String::new()]));
        assert_eq!(captures("a:*:b", "a:1:c"), None);
    }

    #[test]
    fn a_template_takes_its_captures_and_refuses_those_that_are_not_there() {
        let t = Template::parse(b"{1}:{2}:{x}{", 2).unwrap();
        assert_eq!(t.fill(&[b"a", b"b"]), b"a:b:{x}{");
        assert!(Template::parse(b"{3}", 2).unwrap_err().contains("{3}"));
        assert!(Template::parse(b"{0}", 2).is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Pattern::parse(b"").is_err());
        assert!(Pattern::parse(b"a[bc").is_err());
        assert!(Pattern::parse(&vec![b'a'; TEXT_MAX + 1]).is_err());
        assert!(Pattern::parse(&b"*a".repeat(STARS_MAX + 1)).is_err());
    }

    proptest! {
        /// The glob of the rest of the server is the reference.
        #[test]
        fn a_pattern_matches_what_the_glob_matches(
            pattern in "[ab*?\\[\\]^-]{1,8}",
            key in "[ab\\]^-]{1,8}",
        ) {
            if let Ok(compiled) = Pattern::parse(pattern.as_bytes()) {
                let expected = glob::matches(pattern.as_bytes(), key.as_bytes(), Case::Exact);
                prop_assert_eq!(compiled.matches(key.as_bytes()), expected);
                prop_assert_eq!(compiled.captures(key.as_bytes()).is_some(), expected);
                if let Some(found) = compiled.captures(key.as_bytes()) {
                    prop_assert_eq!(found.len(), compiled.stars());
                }
            }
        }
    }
}

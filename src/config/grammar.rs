//! Words and quotes of redis.conf, which are also those of inline commands.
//!
//! ```text
//! name word "quoted \n \t \x41 \"" 'single \' quoted' glu"ed to"gether
//! ```
//!
//! Blanks end a word outside quotes. In double quotes `\n \r \t \b \a` and `\xHH`
//! are what they are in C, and `\` before any other byte is that byte; in single
//! quotes only `\'` is special. A line ends at a NUL, as it does in Valkey.
//!
//! Source: `sdssplitargs` and `sdscatrepr` of Valkey 9.1.

/// A quote was opened and not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// Takes the blanks off both ends of a line.
pub fn trim(line: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().take_while(|b| blank(b)).count();
    let end = line.iter().rev().take_while(|b| blank(b)).count();
    line.get(start..line.len() - end).unwrap_or_default()
}

/// Cuts a line into its words, with quotes and escapes resolved.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
    let mut words = Vec::new();
    let mut rest = line.split(|&b| b == 0).next().unwrap_or_default();
    loop {
        let blanks = rest.iter().take_while(|b| is_space(**b)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = take_word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// Appends `bytes` in double quotes, every unprintable byte escaped, so that
/// [`split`] gives them back as one word.
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => {
                let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend([b'\\', b'x', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    out.push(b'"');
}

/// One word and what follows it; `line` begins with the word.
fn take_word(mut line: &[u8]) -> Result<(Vec<u8>, &[u8]), Unbalanced> {
    let mut word = Vec::new();
    loop {
        line = match line {
            [] => return Ok((word, line)),
            [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] => return Ok((word, rest)),
            [b'"', rest @ ..] => take_double(rest, &mut word)?,
            [b'\'', rest @ ..] => take_single(rest, &mut word)?,
            [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
        }
    }
}

/// What follows a double-quoted run, whose text goes to `word`.
fn take_double<'a>(mut line: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, rest) = match line {
            [] => return Err(Unbalanced),
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', b'x', high, low, rest @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_value(*high) << 4 | hex_value(*low), rest)
            }
            [b'\\', escaped, rest @ ..] => (unescape(*escaped), rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        word.push(byte);
        line = rest;
    }
}

/// What follows a single-quoted run, whose text goes to `word`.
fn take_single<'a>(mut line: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, rest) = match line {
            [] => return Err(Unbalanced),
            [b'\'', rest @ ..] => return Ok(rest),
            [b'\\', b'\'', rest @ ..] => (b'\'', rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        word.push(byte);
        line = rest;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a hexadecimal digit, which the caller has checked it to be.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// C's `isspace`: what may stand between words, though `\v` and `\f` end none.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn words(line: &str) -> Result<Vec<String>, Unbalanced> {
        let text = |w: Vec<u8>| String::from_utf8_lossy(&w).into_owned();
        split(line.as_bytes()).map(|words| words.into_iter().map(text).collect())
    }

    #[test]
    fn quotes_and_escapes_are_resolved() {
        assert_eq!(
            words("  save 60\t1000 "),
            Ok(vec!["save".into(), "60".into(), "1000".into()])
        );
        assert_eq!(
            words(r#"a "b c" 'd e'"#),
            Ok(vec!["a".into(), "b c".into(), "d e".into()])
        );
        assert_eq!(
            words(r#""\x41\n\q\xZZ" '\n\''"#),
            Ok(vec!["A\nqxZZ".into(), r"\n'".into()])
        );
        assert_eq!(words(r#"save """#), Ok(vec!["save".into(), String::new()]));
        assert_eq!(
            words(r#"glu"ed to"gether"#),
            Ok(vec!["glued together".into()])
        );
        assert_eq!(words(""), Ok(vec![]));
        assert_eq!(words("a b\0c"), Ok(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn an_open_quote_is_an_error() {
        for line in [r#"a "b"#, "a 'b", r#"""#, r#"a "b\"#, r#"a "\""#] {
            assert_eq!(words(line), Err(Unbalanced), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_quoted_come_back_as_one_word(all in vec(vec(any::<u8>(), 0..40), 0..5)) {
            let mut line = Vec::new();
            for word in &all {
                quote(word, &mut line);
                line.push(b' ');
            }
            prop_assert!(line.iter().all(|b| (b' '..=b'~').contains(b)));
            prop_assert_eq!(split(&line), Ok(all));
        }

        #[test]
        fn any_line_splits_or_is_refused(line in vec(any::<u8>(), 0..60)) {
            if let Ok(words) = split(&line) {
                let mut quoted = Vec::new();
                for word in &words {
                    quote(word, &mut quoted);
                    quoted.push(b' ');
                }
                prop_assert_eq!(split(&quoted), Ok(words));
            }
        }
    }
}

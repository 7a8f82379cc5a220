//! Glob patterns over bytes, as KEYS, SCAN, PSUBSCRIBE and CONFIG GET know them.
//!
//! ```text
//! *       any run of bytes, the empty one too
//! ?       any one byte
//! [a-z]   one byte of a set; [^a-z] one byte outside it; an end that is
//!         missing is the pattern's end
//! \x      the byte x itself, also inside a set
//! ```
//!
//! Every token but `*` stands for exactly one byte, so when a text fails after a
//! `*`, only that last `*` has to take one byte more: an earlier one could only
//! lead to the same place later. So the time is bounded by the product of the
//! two lengths, whatever the pattern, and the stack is not used.
//!
//! A pattern whose runs of `*` are more than [`STARS_MAX`], the last byte aside,
//! matches nothing that reaches so far: Valkey bounds its recursion there.
//!
//! Source: Valkey's `stringmatchlen`, its corner cases included.

/// Whether ASCII letters of different case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `a` is not `A`.
    Exact,
    /// `a` is `A`, except for an escaped byte inside a set.
    Ignore,
}

/// How many runs of `*` may take part in a match.
const STARS_MAX: usize = 1000;

/// Whether the whole of `text` matches `pattern`.
///
/// As in Valkey, the empty text matches the empty pattern alone, not even `*`.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut rest, mut at) = (pattern, 0);
    let mut star: Option<(&[u8], usize)> = None;
    let mut stars = 0;
    while at < text.len() {
        if let [b'*', after @ ..] = rest {
            let mut after = after;
            while let [b'*', further @ ..] = after {
                after = further;
            }
            if after.is_empty() {
                return true;
            }
            stars += 1;
            if stars > STARS_MAX {
                return false;
            }
            rest = after;
            star = Some((after, at));
            continue;
        }
        if let Some(after) = match_byte(rest, text[at], case) {
            rest = after;
            at += 1;
            continue;
        }
        let Some((after, from)) = star else {
            return false;
        };
        rest = after;
        at = from + 1;
        star = Some((after, at));
    }
    rest.iter().all(|&b| b == b'*')
}

/// Whether `pattern` holds nothing that [`matches()`] would take for a wildcard.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// What every text begins with that matches, as far as the pattern says it plainly.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let is_special = |b: &u8| matches!(b, b'*' | b'?' | b'[' | b'\\');
    &pattern[..pattern.iter().position(is_special).unwrap_or(pattern.len())]
}

/// What is left of the pattern when its first token, which is not `*`, stands
/// for `byte`; `None` when it does not.
fn match_byte(pattern: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => match_set(rest, byte, case),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            same(*literal, byte, case).then_some(rest)
        }
    }
}

/// As [`match_byte`], for a set whose `[` is already taken.
fn match_set(set: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    let (negated, mut set) = match set {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    let rest = loop {
        set = match set {
            [] => break set,
            [b']', rest @ ..] => break rest,
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                found |= in_range(*from, *to, byte, case);
                rest
            }
            [literal, rest @ ..] => {
                found |= same(*literal, byte, case);
                rest
            }
        }
    };
    (found != negated).then_some(rest)
}

/// Whether `byte` lies between two bytes, in whichever order they stand.
fn in_range(from: u8, to: u8, byte: u8, case: Case) -> bool {
    let (low, high) = (from.min(to), from.max(to));
    match case {
        Case::Exact => (low..=high).contains(&byte),
        Case::Ignore => {
            let (low, high) = (low.to_ascii_lowercase(), high.to_ascii_lowercase());
            (low..=high).contains(&byte.to_ascii_lowercase())
        }
    }
}

fn same(a: u8, b: u8, case: Case) -> bool {
    match case {
        Case::Exact => a == b,
        Case::Ignore => a.eq_ignore_ascii_case(&b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Exact)
    }

    #[test]
    fn each_token_stands_for_what_it_says() {
        assert!(exact("h?llo", "hello") && !exact("h?llo", "hllo"));
        assert!(exact("h*llo", "hllo") && exact("h*llo", "heeeello"));
        assert!(exact("h[ae]llo", "hallo") && !exact("h[ae]llo", "hillo"));
        assert!(exact("h[^e]llo", "hallo") && !exact("h[^e]llo", "hello"));
        assert!(exact("h[a-b]llo", "hbllo") && exact("h[b-a]llo", "hallo"));
        assert!(exact(r"h\*llo", "h*llo") && !exact(r"h\*llo", "hello"));
        assert!(exact(r"[\]-]", "]") && exact("a**b***", "ab"));
        assert!(exact("*", "x") && exact("a*b*c", "a1b2b3c") && !exact("a*b*c", "a1b2b3"));
    }

    #[test]
    fn the_corners_are_those_of_valkey() {
        assert!(exact("", "") && !exact("*", "") && !exact("", "a"));
        assert!(exact("[abc", "b"), "a set without an end");
        assert!(!exact("[", "["));
        assert!(exact(r"a\", r"a\"), "an escape of nothing is a backslash");
        assert!(matches(b"[\xc0-\xff]\x00", b"\xe9\x00", Case::Exact));
    }

    #[test]
    fn letters_of_either_case_match_when_case_is_ignored() {
        let nocase = |p: &str, t: &str| matches(p.as_bytes(), t.as_bytes(), Case::Ignore);
        assert!(nocase("MaxMem*", "maxmemory-policy") && nocase("[A-C]x", "bX"));
        assert!(!nocase(r"[\A]", "a") && nocase(r"\A", "a"));
        assert!(!exact("MAX*", "maxmemory"));
    }

    #[test]
    fn an_abusive_pattern_takes_no_longer_than_its_length_allows() {
        let pattern = "a*".repeat(900) + "b";
        assert!(!exact(&pattern, &"a".repeat(40_000)));
    }

    #[test]
    fn a_pattern_of_too_many_stars_matches_nothing() {
        let text = "a".repeat(STARS_MAX + 1);
        assert!(exact(&"*?".repeat(STARS_MAX), &text));
        assert!(exact(&("*?".repeat(STARS_MAX) + "*"), &text));
        assert!(!exact(&"*?".repeat(STARS_MAX + 1), &text));
        assert!(exact(&"*".repeat(STARS_MAX * 2), &text));
    }

    /// The same rules without the shortcut: every `*` tries every length.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| slow(rest, &text[n..])),
            ([], _) => text.is_empty(),
            (_, []) => false,
            (_, [byte, after @ ..]) => {
                match_byte(pattern, *byte, Case::Exact).is_some_and(|rest| slow(rest, after))
            }
        }
    }

    proptest! {
        #[test]
        fn the_shortcut_changes_no_answer(pattern in r"[ab*?\[\]\\^-]{0,9}", text in "[ab-]{1,9}") {
            prop_assert_eq!(exact(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

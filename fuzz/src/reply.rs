//! What a client would make of replies.

/// How many replies there are, not counting pushes.
///
/// # Panics
/// Where what is there is no sequence of whole replies.
pub fn count(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [kind, ..] = bytes {
        count += usize::from(*kind != b'>');
        bytes = skip(bytes);
    }
    count
}

/// What stands behind the first reply.
fn skip(bytes: &[u8]) -> &[u8] {
    let (line, rest) = line(bytes);
    let (kind, text) = line.split_first().expect("a kind");
    match kind {
        b'+' | b'-' => rest,
        b':' | b'(' => {
            number(text);
            rest
        }
        b',' => {
            let text = std::str::from_utf8(text).expect("a number");
            text.parse::<f64>().expect("a number");
            rest
        }
        b'_' if text.is_empty() => rest,
        b'#' if text == b"t" || text == b"f" => rest,
        b'$' | b'*' if text == b"-1" => rest,
        b'$' | b'=' => {
            let (bytes, rest) = rest.split_at(number(text) as usize);
            assert!(*kind == b'$' || bytes[3] == b':');
            rest.strip_prefix(b"\r\n").expect("an end")
        }
        b'*' | b'~' | b'>' => (0..number(text)).fold(rest, |rest, _| skip(rest)),
        b'%' => (0..2 * number(text)).fold(rest, |rest, _| skip(rest)),
        b'|' => skip((0..2 * number(text)).fold(rest, |rest, _| skip(rest))),
        _ => panic!("{}", bytes.escape_ascii()),
    }
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.windows(2).position(|w| w == b"\r\n");
    let end = end.expect("a line's end");
    let line = &bytes[..end];
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    (line, &bytes[end + 2..])
}

fn number(text: &[u8]) -> i128 {
    let text = std::str::from_utf8(text).expect("a number");
    text.parse().expect("a number")
}

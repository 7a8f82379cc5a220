//! `struct`: numbers and texts as C's structures hold them, in a format of letters.
//!
//! ```text
//! > <   big endian, little endian (the machine's)    !n   align to at most n bytes (8)
//! b h l T i In   signed; B H L I unsigned integers   f d  float, double
//! x     a byte of padding                            s    a text and a zero byte
//! cn    n bytes of a text; c0 the whole text, or as many as the number before says
//! ```

use super::Body;
use super::arguments::{Arguments, integer, to_number};
use super::raising::{Raise, fit};
use mlua::{IntoLuaMulti, MultiValue, Value};

type Result<T> = std::result::Result<T, Raise>;

/// The functions under their names.
pub(super) const FUNCTIONS: &[(&str, Body)] = &[("pack", pack), ("unpack", unpack), ("size", size)];

const INTEGER_BYTES_MAX: usize = 32;
const INT_BYTES: usize = 4;

/// What is left of a format, and what its letters have set.
struct Format<'f> {
    rest: &'f [u8],
    big_endian: bool,
    align_bytes: usize,
}

impl<'f> Format<'f> {
    /// A format up to its first zero byte, as a C string's.
    fn new(text: &'f [u8]) -> Format<'f> {
        Format {
            rest: text.split(|&byte| byte == 0).next().unwrap_or_default(),
            big_endian: cfg!(target_endian = "big"),
            align_bytes: 1,
        }
    }

    /// The next letter, the size that it and the number after it mean, and the padding
    /// that aligns it at `position`.
    fn next(&mut self, position: usize) -> Result<Option<(u8, usize, usize)>> {
        let Some((&letter, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let bytes = match letter {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let bytes = self.number(INT_BYTES)?;
                if bytes > INTEGER_BYTES_MAX {
                    return Err(Raise::text(format!(
                        "integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}"
                    )));
                }
                bytes
            }
            _ => 0,
        };
        let padding = match letter {
            _ if bytes == 0 => 0,
            b'c' => 0,
            _ => {
                // The rest of a power of two; what it gives for other sizes is the format's.
                let to = bytes.min(self.align_bytes);
                (to - (position & (to - 1))) & (to - 1)
            }
        };
        Ok(Some((letter, bytes, padding)))
    }

    /// The number that follows, or `default`.
    fn number(&mut self, default: usize) -> Result<usize> {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return Ok(default);
        }
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = digits.iter().try_fold(0i32, |number, digit| {
            number.checked_mul(10)?.checked_add(i32::from(digit - b'0'))
        });
        let number = number.ok_or_else(|| Raise::text("integral size overflow"))?;
        Ok(number as usize)
    }

    /// Follows a letter that stands for no value.
    fn control(&mut self, letter: u8) -> Result<()> {
        match letter {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let to = self.number(8)?;
                if !to.is_power_of_two() {
                    return Err(Raise::text(format!("alignment {to} is not a power of 2")));
                }
                self.align_bytes = to;
            }
            _ => {
                let text = [b"invalid format option '".as_slice(), &[letter], b"'"];
                return Err(Raise::argument(1, text.concat()));
            }
        }
        Ok(())
    }

    /// Bytes in the machine's order to the format's, or back.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.big_endian != cfg!(target_endian = "big") {
            bytes.reverse();
        }
        bytes
    }
}

fn pack(arguments: &mut Arguments) -> Result<MultiValue> {
    let format = arguments.take_text(1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let mut out = Vec::new();
    let mut number = 2;
    while let Some((letter, bytes, padding)) = format.next(out.len())? {
        out.extend(std::iter::repeat_n(0, padding));
        match letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let n = number_or_nil(arguments, number)?;
                append_integer(&mut out, as_word(n), bytes, format.big_endian);
                number += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let n = number_or_nil(arguments, number)? as f32;
                out.extend_from_slice(&format.ordered(n.to_ne_bytes()));
                number += 1;
            }
            b'd' => {
                let n = number_or_nil(arguments, number)?;
                out.extend_from_slice(&format.ordered(n.to_ne_bytes()));
                number += 1;
            }
            b'c' | b's' => {
                if number > arguments.len() {
                    return Err(Raise::argument(number as i32, "string expected, got nil"));
                }
                let text = arguments.take_text(number)?;
                let text = text.as_bytes();
                // Counted on before it is looked at, so that the next one is told of.
                number += 1;
                let kept = match bytes {
                    0 => &text,
                    _ => text
                        .get(..bytes)
                        .ok_or_else(|| Raise::argument(number as i32, "string too short"))?,
                };
                out.extend_from_slice(kept);
                if letter == b's' {
                    out.push(0);
                }
            }
            _ => format.control(letter)?,
        }
    }
    let lua = arguments.lua();
    Ok(lua.create_string(out)?.into_lua_multi(lua)?)
}

/// A number; a missing one is told of as nil.
fn number_or_nil(arguments: &Arguments, number: usize) -> Result<f64> {
    match number > arguments.len() {
        true => Err(Raise::argument(number as i32, "number expected, got nil")),
        false => arguments.number(number),
    }
}

/// A number as a 64-bit word, as x86-64 cuts it: a negative one to a signed word, any
/// other to an unsigned one.
fn as_word(n: f64) -> u64 {
    const SIGN: f64 = 9_223_372_036_854_775_808.0;
    match n >= SIGN {
        true => (integer(n - SIGN) as u64) ^ 1 << 63,
        false => integer(n) as u64,
    }
}

fn append_integer(out: &mut Vec<u8>, word: u64, bytes: usize, big_endian: bool) {
    let mut buffer = [0; INTEGER_BYTES_MAX];
    let buffer = &mut buffer[..bytes];
    for (to, from) in buffer.iter_mut().zip(word.to_le_bytes()) {
        *to = from;
    }
    if big_endian {
        buffer.reverse();
    }
    out.extend_from_slice(buffer);
}

/// The number of an integer's bytes, of which the lowest eight count.
fn read_integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let push = |word: u64, &byte: &u8| word << 8 | u64::from(byte);
    let word = match big_endian {
        true => bytes.iter().fold(0, push),
        false => bytes.iter().rev().fold(0, push),
    };
    if !signed {
        return word as f64;
    }
    // The shift takes its distance modulo 64, which shows from nine bytes on.
    let sign = u64::MAX.wrapping_shl((bytes.len() as u32 * 8).wrapping_sub(1));
    let word = if word & sign != 0 { word | sign } else { word };
    word as i64 as f64
}

fn unpack(arguments: &mut Arguments) -> Result<MultiValue> {
    let lua = arguments.lua();
    let given = arguments.len();
    let format = arguments.take_text(1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let data = arguments.take_text(2)?;
    let data = data.as_bytes();
    let too_short = || Raise::argument(2, "data string too short");
    // A negative position is a large one, that alignment may bring to the beginning.
    let mut position = match arguments.integer_or(3, 1)? as u64 as usize {
        0 => return Err(Raise::argument(3, "offset must be 1 or greater")),
        position => position - 1,
    };
    let mut results: Vec<Value> = Vec::new();
    while let Some((letter, mut bytes, padding)) = format.next(position)? {
        position = position.wrapping_add(padding);
        let field = |bytes: usize| data.get(position..)?.get(..bytes);
        let here = field(bytes).ok_or_else(too_short)?;
        if !fit(given, results.len() + 2) {
            return Err(Raise::text("stack overflow (too many results)"));
        }
        match letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = letter.is_ascii_lowercase();
                let n = read_integer(here, format.big_endian, signed);
                results.push(Value::Number(n));
            }
            b'x' => {}
            b'f' => {
                let n = f32::from_ne_bytes(format.ordered(array(here)));
                results.push(Value::Number(f64::from(n)));
            }
            b'd' => {
                let n = f64::from_ne_bytes(format.ordered(array(here)));
                results.push(Value::Number(n));
            }
            b'c' => {
                let mut text = here;
                if bytes == 0 {
                    let before = results.last().and_then(|value| to_number(lua, value));
                    let Some(n) = before else {
                        return Err(Raise::text("format 'c0' needs a previous size"));
                    };
                    results.pop();
                    bytes = usize::try_from(as_word(n)).unwrap_or(usize::MAX);
                    text = field(bytes).ok_or_else(too_short)?;
                }
                results.push(Value::String(lua.create_string(text)?));
            }
            b's' => {
                let rest = data.get(position..).unwrap_or_default();
                let Some(end) = rest.iter().position(|&byte| byte == 0) else {
                    return Err(Raise::text("unfinished string in data"));
                };
                results.push(Value::String(lua.create_string(&rest[..end])?));
                bytes = end + 1;
            }
            _ => format.control(letter)?,
        }
        position += bytes;
    }
    results.push(Value::Integer(position.wrapping_add(1) as i64));
    Ok(MultiValue::from_vec(results))
}

/// The first bytes of a field that has them.
fn array<const N: usize>(field: &[u8]) -> [u8; N] {
    field.first_chunk().copied().unwrap_or([0; N])
}

fn size(arguments: &mut Arguments) -> Result<MultiValue> {
    let format = arguments.take_text(1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let mut position = 0;
    while let Some((letter, bytes, padding)) = format.next(position)? {
        match letter {
            b's' => return Err(Raise::argument(1, "option 's' has no fixed size")),
            b'c' if bytes == 0 => {
                return Err(Raise::argument(1, "option 'c0' has no fixed size"));
            }
            // Letters that mean nothing are passed over here, and only here.
            _ if letter.is_ascii_alphanumeric() => {}
            _ => format.control(letter)?,
        }
        position += padding + bytes;
    }
    Ok((position as f64).into_lua_multi(arguments.lua())?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, eval};

    #[test]
    fn fields_are_as_long_and_in_the_order_that_the_format_says() {
        assert_eq!(
            eval("return struct.pack('>bhil<BHIL', -1, 2, 3, 4, 255, 2, 3, 4)"),
            "\u{ff}\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x04\u{ff}\x02\0\x03\0\0\0\x04\0\0\0\0\0\0\0"
        );
        assert_eq!(
            eval("return struct.pack('>i3I9', -2, 1)"),
            "\u{ff}\u{ff}\u{fe}\0\0\0\0\0\0\0\0\x01"
        );
        assert_eq!(
            eval("return struct.pack('>fd', 1, -2)"),
            "\x3f\u{80}\0\0\u{c0}\0\0\0\0\0\0\0"
        );
        assert_eq!(
            eval("return struct.pack('c2xc0s', 'abc', 'def', 'g')"),
            "ab\0defg\0"
        );
    }

    #[test]
    fn numbers_that_do_not_fit_are_cut_as_the_processor_cuts_them() {
        assert_eq!(
            eval("return struct.pack('>L', 2^63 + 2^62)"),
            "\u{c0}\0\0\0\0\0\0\0"
        );
        assert_eq!(eval("return struct.pack('>L', 2^64)"), "\0\0\0\0\0\0\0\0");
        assert_eq!(
            eval("return struct.pack('>l', 0/0)"),
            "\u{80}\0\0\0\0\0\0\0"
        );
        assert_eq!(
            eval("return struct.pack('>l', -2^70)"),
            "\u{80}\0\0\0\0\0\0\0"
        );
        assert_eq!(eval("return struct.pack('B', 257)"), "\x01");
    }

    #[test]
    fn what_was_packed_is_unpacked_and_the_next_position_told() {
        let script = |format: &str, values: &str| {
            eval(&format!(
                "local t = {{struct.unpack('{format}', struct.pack('{format}', {values}))}}
                 return table.concat(t, ' ')"
            ))
        };
        assert_eq!(
            script(">bBhHiIlLT", "-1, 200, -3, 4, -5, 6, -7, 8, 9"),
            "-1 200 -3 4 -5 6 -7 8 9 39"
        );
        assert_eq!(script("!8bd!4bi", "1, 0.5, 2, 3"), "1 0.5 2 3 25");
        assert_eq!(script("<i3i9f", "-2, 3, 1.5"), "-2 3 1.5 17");
        assert_eq!(script("sc2", "'ab', 'cd'"), "ab cd 6");
        assert_eq!(script("Bc0", "3, 'abc'"), "abc 5");
    }

    #[test]
    fn unpacking_starts_where_it_is_told_to() {
        assert_eq!(
            eval("return table.concat({struct.unpack('b', 'ab', 2)}, ' ')"),
            "98 3"
        );
        assert_eq!(
            error("struct.unpack('b', 'ab', 3)"),
            "script:1: bad argument #2 to 'unpack' (data string too short)"
        );
        assert_eq!(
            error("struct.unpack('b', 'ab', -1)"),
            "script:1: bad argument #2 to 'unpack' (data string too short)"
        );
        assert_eq!(eval("return struct.unpack('', 'ab', -3)"), "-3");
        assert_eq!(
            error("struct.unpack('b', 'ab', 0)"),
            "script:1: bad argument #3 to 'unpack' (offset must be 1 or greater)"
        );
    }

    #[test]
    fn a_size_counts_padding_and_passes_over_what_it_does_not_know() {
        assert_eq!(eval("return struct.size('!bd')"), "16");
        assert_eq!(eval("return struct.size('bd')"), "9");
        assert_eq!(eval("return struct.size('z4 i4 A')"), "4");
        assert_eq!(
            eval("return struct.size('c2147483647c2147483647')"),
            "4294967294"
        );
        assert_eq!(
            error("struct.size('bs')"),
            "script:1: bad argument #1 to 'size' (option 's' has no fixed size)"
        );
        assert_eq!(
            error("struct.size('c0')"),
            "script:1: bad argument #1 to 'size' (option 'c0' has no fixed size)"
        );
    }

    #[test]
    fn a_bad_format_and_missing_values_are_told_of() {
        assert_eq!(
            error("struct.pack('y')"),
            "script:1: bad argument #1 to 'pack' (invalid format option 'y')"
        );
        assert_eq!(
            error("struct.pack('i33', 1)"),
            "script:1: integral size 33 is larger than limit of 32"
        );
        assert_eq!(
            error("struct.pack('c4000000000', 'a')"),
            "script:1: integral size overflow"
        );
        assert_eq!(
            error("struct.pack('!3')"),
            "script:1: alignment 3 is not a power of 2"
        );
        assert_eq!(
            error("struct.pack('bb', 1)"),
            "script:1: bad argument #3 to 'pack' (number expected, got nil)"
        );
        assert_eq!(
            error("struct.pack('c5', 'abc')"),
            "script:1: bad argument #3 to 'pack' (string too short)"
        );
    }

    #[test]
    fn data_that_ends_early_is_told_of() {
        assert_eq!(
            error("struct.unpack('c2147483647', 'a')"),
            "script:1: bad argument #2 to 'unpack' (data string too short)"
        );
        assert_eq!(
            error("struct.unpack('Lc0', struct.pack('L', 2^60))"),
            "script:1: bad argument #2 to 'unpack' (data string too short)"
        );
        assert_eq!(
            error("struct.unpack('s', 'abc')"),
            "script:1: unfinished string in data"
        );
        assert_eq!(
            error("struct.unpack('c0', 'abc')"),
            "script:1: format 'c0' needs a previous size"
        );
        assert_eq!(
            error("struct.unpack(string.rep('b', 9000), string.rep('a', 9000))"),
            "script:1: stack overflow (too many results)"
        );
    }
}

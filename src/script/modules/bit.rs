//! `bit`: the operations of LuaBitOp on numbers taken modulo 2³², whose results are
//! signed 32-bit integers.

use super::Body;
use super::arguments::Arguments;
use super::raising::Raise;
use mlua::{IntoLuaMulti, MultiValue};

type Result<T> = std::result::Result<T, Raise>;

/// The functions under their names.
pub(super) const FUNCTIONS: &[(&str, Body)] = &[
    ("tobit", |a| single(a, |n| n)),
    ("bnot", |a| single(a, |n| !n)),
    ("bswap", |a| single(a, u32::swap_bytes)),
    ("band", |a| fold(a, |x, y| x & y)),
    ("bor", |a| fold(a, |x, y| x | y)),
    ("bxor", |a| fold(a, |x, y| x ^ y)),
    ("lshift", |a| shift(a, |n, by| n << by)),
    ("rshift", |a| shift(a, |n, by| n >> by)),
    ("arshift", |a| shift(a, |n, by| (n as i32 >> by) as u32)),
    ("rol", |a| shift(a, u32::rotate_left)),
    ("ror", |a| shift(a, u32::rotate_right)),
    ("tohex", to_hex),
];

/// An argument's lowest 32 bits, rounded to the nearest integer, as the sum with
/// 2⁵² + 2⁵¹ leaves them in a double's lowest: garbage beyond ±2⁵¹, but always the same.
fn bits(arguments: &Arguments, number: usize) -> Result<u32> {
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    Ok((arguments.number(number)? + SHIFT).to_bits() as u32)
}

fn reply(arguments: &Arguments, n: u32) -> Result<MultiValue> {
    Ok((n as i32).into_lua_multi(arguments.lua())?)
}

fn single(arguments: &mut Arguments, operation: fn(u32) -> u32) -> Result<MultiValue> {
    reply(arguments, operation(bits(arguments, 1)?))
}

fn fold(arguments: &mut Arguments, operation: fn(u32, u32) -> u32) -> Result<MultiValue> {
    let mut n = bits(arguments, 1)?;
    // From the last, so that it is the last bad one that is told of.
    for number in (2..=arguments.len()).rev() {
        n = operation(n, bits(arguments, number)?);
    }
    reply(arguments, n)
}

fn shift(arguments: &mut Arguments, operation: fn(u32, u32) -> u32) -> Result<MultiValue> {
    let n = bits(arguments, 1)?;
    let by = bits(arguments, 2)? & 31;
    reply(arguments, operation(n, by))
}

/// The lowest hexadecimal digits, as many as asked for; capitals for a negative number.
fn to_hex(arguments: &mut Arguments) -> Result<MultiValue> {
    let n = bits(arguments, 1)?;
    let digits = match arguments.len() {
        1 => 8,
        _ => bits(arguments, 2)? as i32,
    };
    let all = match digits < 0 {
        true => format!("{n:08X}"),
        false => format!("{n:08x}"),
    };
    let kept = digits.unsigned_abs().min(8) as usize;
    Ok(all[8 - kept..].into_lua_multi(arguments.lua())?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, eval};

    #[test]
    fn operations_are_on_the_lowest_32_bits_and_give_signed_numbers() {
        assert_eq!(eval("return bit.tobit(0xffffffff)"), "-1");
        assert_eq!(eval("return bit.tobit(2^32 + 5)"), "5");
        assert_eq!(eval("return bit.bnot(0)"), "-1");
        assert_eq!(eval("return bit.bswap(0x12345678)"), "2018915346");
        assert_eq!(eval("return bit.band(0xff, 0x3c, '0x18')"), "24");
        assert_eq!(eval("return bit.bor(1, 2, 4, 8)"), "15");
        assert_eq!(eval("return bit.bxor(0xa5a5f0f0, 0xaa55ff00)"), "267390960");
        assert_eq!(
            eval("return bit.tobit(1.5) .. ' ' .. bit.tobit(2.5)"),
            "2 2"
        );
    }

    #[test]
    fn shifts_take_their_distance_modulo_32() {
        assert_eq!(eval("return bit.lshift(1, 33)"), "2");
        assert_eq!(eval("return bit.rshift(-256, 8)"), "16777215");
        assert_eq!(eval("return bit.arshift(-256, 8)"), "-1");
        assert_eq!(eval("return bit.rol(0x12345678, 12)"), "1164411171");
        assert_eq!(eval("return bit.ror(0x12345678, 12)"), "1736516421");
        assert_eq!(eval("return bit.rol(5, 0)"), "5");
    }

    #[test]
    fn hex_digits_are_as_many_as_asked_for_and_capitals_where_negative() {
        assert_eq!(eval("return bit.tohex(1)"), "00000001");
        assert_eq!(eval("return bit.tohex(-1, 4)"), "ffff");
        assert_eq!(eval("return bit.tohex(0xabcdef, -6)"), "ABCDEF");
        assert_eq!(
            eval("return bit.tohex(1, 0) .. bit.tohex(1, -2^31)"),
            "00000001"
        );
    }

    #[test]
    fn the_last_bad_operand_is_told_of() {
        assert_eq!(
            error("bit.band(1, 'x', {})"),
            "script:1: bad argument #3 to 'band' (number expected, got table)"
        );
        assert_eq!(
            error("bit.lshift(1)"),
            "script:1: bad argument #2 to 'lshift' (number expected, got no value)"
        );
        assert_eq!(
            error("bit.tohex(1, nil)"),
            "script:1: bad argument #2 to 'tohex' (number expected, got nil)"
        );
    }
}

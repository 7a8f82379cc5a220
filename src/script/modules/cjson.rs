//! `cjson`: JSON's texts from Lua's values and back, and the settings of both ways, which
//! hold for everything that was made by the same `new()`.
//!
//! Texts are bytes, whatever they mean. Null is a light userdata of no address, since a
//! Lua table cannot hold nil.

mod decode;
mod encode;
mod number;

use super::arguments::{Arguments, integer};
use super::raising::{Raise, next_pair, raising};
use mlua::{IntoLua, IntoLuaMulti, Lua, MultiValue, Table, Value};
use parking_lot::Mutex;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Raise>;

/// What becomes of infinities and of what is no number, when they are written.
#[derive(Clone, Copy, PartialEq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

/// The settings of one module table.
#[derive(Clone, Copy)]
struct Config {
    /// Whether an excessively sparse array becomes an object, not an error.
    sparse_convert: bool,
    /// An array is excessively sparse with more places than this times its elements
    /// (unless this is 0) …
    sparse_ratio: i32,
    /// … and with more places than this.
    sparse_safe: i32,
    encode_depth_max: i32,
    decode_depth_max: i32,
    /// Digits of a written number.
    precision: i32,
    /// Settable, and without a meaning here.
    keep_buffer: bool,
    encode_invalid: Invalid,
    /// Whether what C's `strtod` reads beyond JSON's numbers is read.
    decode_invalid: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// A setting's function: reads the arguments into the settings, and returns what is set.
type Setting = fn(&mut Arguments, &mut Config) -> Result<MultiValue>;

const SETTINGS: &[(&str, Setting)] = &[
    ("encode_sparse_array", |arguments, config| {
        at_most(arguments, 3)?;
        let lua = arguments.lua();
        let convert = switch(arguments, &mut config.sparse_convert)?;
        let ratio = limit(arguments, 2, &mut config.sparse_ratio, 0, i32::MAX)?;
        let safe = limit(arguments, 3, &mut config.sparse_safe, 0, i32::MAX)?;
        Ok((convert, ratio, safe).into_lua_multi(lua)?)
    }),
    ("encode_max_depth", |arguments, config| {
        single_limit(arguments, &mut config.encode_depth_max, i32::MAX)
    }),
    ("decode_max_depth", |arguments, config| {
        single_limit(arguments, &mut config.decode_depth_max, i32::MAX)
    }),
    ("encode_number_precision", |arguments, config| {
        single_limit(arguments, &mut config.precision, 14)
    }),
    ("encode_keep_buffer", |arguments, config| {
        single_switch(arguments, &mut config.keep_buffer)
    }),
    ("decode_invalid_numbers", |arguments, config| {
        single_switch(arguments, &mut config.decode_invalid)
    }),
    ("encode_invalid_numbers", encode_invalid_numbers),
];

/// The module's table, with settings of its own.
pub(super) fn module(lua: &Lua) -> mlua::Result<Table> {
    // The functions of one table share it.
    let config = Arc::new(Mutex::new(Config::default()));
    let table = lua.create_table()?;
    for &(name, setting) in SETTINGS {
        let config = config.clone();
        let function = raising(lua, move |arguments| setting(arguments, &mut config.lock()))?;
        table.raw_set(name, function)?;
    }
    let (of_encode, next) = (config.clone(), next_pair(lua)?);
    let encode = raising(lua, move |arguments| {
        only_one(arguments)?;
        let config = *of_encode.lock();
        let value = arguments.take(1)?;
        encode::encode(arguments.lua(), config, &next, value)
    })?;
    let decode = raising(lua, move |arguments| {
        only_one(arguments)?;
        let config = *config.lock();
        let text = arguments.take_text(1)?;
        decode::decode(arguments.lua(), &config, &text.as_bytes())
    })?;
    table.raw_set("encode", encode)?;
    table.raw_set("decode", decode)?;
    table.raw_set(
        "new",
        raising(lua, |arguments| Ok(module(arguments.lua())?))?,
    )?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

fn only_one(arguments: &Arguments) -> Result<()> {
    match arguments.len() {
        1 => Ok(()),
        _ => Err(Raise::argument(1, "expected 1 argument")),
    }
}

fn at_most(arguments: &Arguments, count: usize) -> Result<()> {
    match arguments.len() > count {
        true => Err(Raise::argument(
            count as i32 + 1,
            "found too many arguments",
        )),
        false => Ok(()),
    }
}

/// Sets a number, unless the argument is nil.
fn limit(
    arguments: &Arguments,
    number: usize,
    setting: &mut i32,
    min: i32,
    max: i32,
) -> Result<i32> {
    if !arguments.is_nil(number)? {
        // Cut to 32 bits, as an assignment to an int cuts.
        let value = integer(arguments.number(number)?) as i32;
        if !(min..=max).contains(&value) {
            // Of the first argument, whichever it was.
            let text = format!("expected integer between {min} and {max}");
            return Err(Raise::argument(1, text));
        }
        *setting = value;
    }
    Ok(*setting)
}

fn single_limit(arguments: &mut Arguments, setting: &mut i32, max: i32) -> Result<MultiValue> {
    at_most(arguments, 1)?;
    let set = limit(arguments, 1, setting, 1, max)?;
    Ok(set.into_lua_multi(arguments.lua())?)
}

/// Sets what the first argument says, unless it is nil.
fn switch(arguments: &mut Arguments, setting: &mut bool) -> Result<bool> {
    match arguments.take(1)? {
        Value::Nil => {}
        Value::Boolean(on) => *setting = on,
        other => *setting = option(arguments.lua(), other, &["off", "on"])? == 1,
    }
    Ok(*setting)
}

fn single_switch(arguments: &mut Arguments, setting: &mut bool) -> Result<MultiValue> {
    at_most(arguments, 1)?;
    let set = switch(arguments, setting)?;
    Ok(set.into_lua_multi(arguments.lua())?)
}

fn encode_invalid_numbers(arguments: &mut Arguments, config: &mut Config) -> Result<MultiValue> {
    at_most(arguments, 1)?;
    let lua = arguments.lua();
    match arguments.take(1)? {
        Value::Nil => {}
        Value::Boolean(true) => config.encode_invalid = Invalid::Written,
        Value::Boolean(false) => config.encode_invalid = Invalid::Refused,
        other => {
            config.encode_invalid = match option(lua, other, &["off", "on", "null"])? {
                0 => Invalid::Refused,
                1 => Invalid::Written,
                _ => Invalid::Null,
            }
        }
    }
    let set = match config.encode_invalid {
        Invalid::Refused => Value::Boolean(false),
        Invalid::Written => Value::Boolean(true),
        Invalid::Null => "null".into_lua(lua)?,
    };
    Ok(set.into_lua_multi(lua)?)
}

/// Which of the words the first argument is.
fn option(lua: &Lua, argument: Value, words: &[&str]) -> Result<usize> {
    let argument = MultiValue::from_vec(vec![argument]);
    let text = Arguments::new(lua, argument).take_text(1)?;
    let text = text.as_bytes();
    // A C string.
    let given = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let known = words.iter().position(|word| word.as_bytes() == given);
    known.ok_or_else(|| Raise::argument(1, [b"invalid option '", given, b"'"].concat()))
}

#[cfg(test)]
mod tests;

//! Replies as a script sees them, and what a script returns as a reply.

use mlua::{Error, Lua, Result, Table, Value};

use crate::base::num;
use crate::protocol::error;
use crate::protocol::reply::Reply;

/// Tables within tables that are answered; no script needs so many.
const DEPTH_MAX: usize = 1_000;
/// As how many a map or a set counts.
const MAP_DEPTH: usize = 16;

/// A table that stands for an error; `counted` where the server has counted it.
///
/// # Errors
/// Memory.
pub fn error_table(lua: &Lua, text: &[u8], counted: bool) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 1 + usize::from(counted))?;
    table.raw_set("err", lua.create_string(text)?)?;
    if counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}

/// The value of a command's whole reply.
///
/// # Errors
/// Memory.
pub fn from_reply(lua: &Lua, bytes: &[u8]) -> Result<Value> {
    Reader { lua, bytes }.value()
}

struct Reader<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
}

fn broken() -> Error {
    Error::runtime("a reply that is none")
}

impl Reader<'_> {
    fn line(&mut self) -> Result<&[u8]> {
        let end = self.bytes.windows(2).position(|two| two == b"\r\n");
        let end = end.ok_or_else(broken)?;
        let line = &self.bytes[..end];
        self.bytes = &self.bytes[end + 2..];
        Ok(line)
    }

    fn number(&mut self) -> Result<i64> {
        num::parse_i64(self.line()?).ok_or_else(broken)
    }

    fn take(&mut self, n: usize) -> Result<&[u8]> {
        let text = self.bytes.get(..n).ok_or_else(broken)?;
        self.bytes = self.bytes.get(n + 2..).ok_or_else(broken)?;
        Ok(text)
    }

    fn value(&mut self) -> Result<Value> {
        let lua = self.lua;
        let (&kind, rest) = self.bytes.split_first().ok_or_else(broken)?;
        self.bytes = rest;
        let named = |name: &str, value: Value| {
            let table = lua.create_table_with_capacity(0, 1)?;
            table.raw_set(name, value)?;
            Ok(Value::Table(table))
        };
        match kind {
            b'$' | b'=' => {
                let n = self.number()?;
                let Ok(n) = usize::try_from(n) else {
                    return Ok(Value::Boolean(false));
                };
                let text = self.take(n)?;
                if kind == b'$' {
                    return lua.create_string(text).map(Value::String);
                }
                let table = lua.create_table_with_capacity(0, 2)?;
                let (format, text) = text.split_at_checked(4).ok_or_else(broken)?;
                table.raw_set("format", lua.create_string(&format[..3])?)?;
                table.raw_set("string", lua.create_string(text)?)?;
                named("verbatim_string", Value::Table(table))
            }
            b':' => Ok(Value::Number(self.number()? as f64)),
            b'+' => {
                let text = lua.create_string(self.line()?)?;
                named("ok", Value::String(text))
            }
            b'-' => error_table(lua, self.line()?, true).map(Value::Table),
            b'*' | b'>' => {
                let n = self.number()?;
                let Ok(n) = usize::try_from(n) else {
                    return Ok(Value::Boolean(false));
                };
                let table = lua.create_table_with_capacity(n, 0)?;
                for i in 1..=n {
                    table.raw_set(i, self.value()?)?;
                }
                Ok(Value::Table(table))
            }
            b'_' => self.line().map(|_| Value::Nil),
            b'#' => Ok(Value::Boolean(self.line()? == b"t")),
            b',' => {
                let text = std::str::from_utf8(self.line()?).map_err(|_| broken())?;
                named("double", Value::Number(text.parse().map_err(|_| broken())?))
            }
            b'(' => {
                let text = lua.create_string(self.line()?)?;
                named("big_number", Value::String(text))
            }
            b'%' => {
                let n = self.number()? as usize;
                let table = lua.create_table_with_capacity(0, n)?;
                for _ in 0..n {
                    let (key, value) = (self.value()?, self.value()?);
                    table.raw_set(key, value)?;
                }
                named("map", Value::Table(table))
            }
            b'~' => {
                let n = self.number()? as usize;
                let table = lua.create_table_with_capacity(0, n)?;
                for _ in 0..n {
                    table.raw_set(self.value()?, true)?;
                }
                named("set", Value::Table(table))
            }
            b'|' => {
                for _ in 0..2 * self.number()? {
                    self.value()?;
                }
                self.value()
            }
            _ => Err(broken()),
        }
    }
}

/// How a script's value is answered.
pub struct Writer<'a, 'r> {
    /// Where to.
    pub reply: &'a mut Reply<'r>,
    /// The script speaks RESP3.
    pub resp3: bool,
    /// Codes of errors that are to be counted.
    pub errors: Vec<Vec<u8>>,
}

impl Writer<'_, '_> {
    /// Answers a value, and what is in it.
    ///
    /// # Errors
    /// Lua's.
    pub fn write(&mut self, value: &Value) -> Result<()> {
        self.write_at(value, 0)
    }

    /// Arrays within arrays are no matter of the stack's size; and few values are held
    /// at a time, for Lua has room for some thousand.
    fn write_at(&mut self, value: &Value, depth: usize) -> Result<()> {
        let mut open = Vec::new();
        if let Some(array) = self.begin(value, depth)? {
            open.push((array, self.reply.open(), 0));
        }
        while let Some((array, _, n)) = open.last_mut() {
            let value: Value = array.raw_get(*n + 1)?;
            if !value.is_nil() {
                *n += 1;
                if let Some(array) = self.begin(&value, depth + open.len())? {
                    open.push((array, self.reply.open(), 0));
                }
            } else if let Some((_, opened, n)) = open.pop() {
                self.reply.close_array(opened, n);
            }
        }
        Ok(())
    }

    /// Answers a value, unless it is an array, which is yet to be begun.
    fn begin(&mut self, value: &Value, depth: usize) -> Result<Option<Table>> {
        match value {
            Value::String(text) => self.reply.bulk(&text.as_bytes()),
            Value::Integer(n) => self.reply.int(*n),
            Value::Number(n) => self.reply.int(truncated(*n)),
            Value::Boolean(yes) if self.resp3 => self.reply.boolean(*yes),
            Value::Boolean(true) => self.reply.int(1),
            Value::Table(table) => return self.table(table, depth),
            _ => self.reply.null(),
        }
        Ok(None)
    }

    fn error(&mut self, text: &[u8], counted: bool) {
        let error = error::Error::new(text);
        if !counted {
            self.errors.push(error.code().to_vec());
        }
        self.reply.error(&error);
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<Option<Table>> {
        let nothing = || Ok(None);
        if depth > DEPTH_MAX {
            self.error(b"ERR reached lua stack limit", false);
            return nothing();
        }
        let get = |name: &str| table.raw_get::<Value>(name);
        if let Value::String(text) = get("err")? {
            let counted = get("ignore_error_stats_update")? == Value::Boolean(true);
            self.error(&text.as_bytes(), counted);
            return nothing();
        }
        if let Value::String(text) = get("ok")? {
            self.reply.simple_bytes(&text.as_bytes());
            return nothing();
        }
        if let Some(n) = get("double")?.as_number() {
            self.reply.double(n);
            return nothing();
        }
        if let Value::String(digits) = get("big_number")? {
            let digits = digits.to_string_lossy().replace(['\r', '\n'], " ");
            self.reply.big_number(&digits);
            return nothing();
        }
        if let Value::Table(verbatim) = get("verbatim_string")?
            && let Value::String(format) = verbatim.raw_get("format")?
            && let Value::String(text) = verbatim.raw_get("string")?
        {
            let format = format.to_string_lossy();
            let format: String = format.chars().chain("   ".chars()).take(3).collect();
            self.reply.verbatim(&format, &text.as_bytes());
            return nothing();
        }
        // A map within a map takes of the stack.
        let within = depth + MAP_DEPTH;
        if let Value::Table(map) = get("map")? {
            let (opened, mut n) = (self.reply.open(), 0);
            map.for_each(|key: Value, value: Value| {
                n += 1;
                self.write_at(&key, within)?;
                self.write_at(&value, within)
            })?;
            self.reply.close_map(opened, n);
            return nothing();
        }
        if let Value::Table(set) = get("set")? {
            let (opened, mut n) = (self.reply.open(), 0);
            set.for_each(|item: Value, _: Value| {
                n += 1;
                self.write_at(&item, within)
            })?;
            self.reply.close_set(opened, n);
            return nothing();
        }
        Ok(Some(table.clone()))
    }
}

/// Without what is behind the point; what has no place in 64 bits is the least of them,
/// as it is where Redis runs.
fn truncated(n: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    match (-END..END).contains(&n) {
        true => n as i64,
        false => i64::MIN,
    }
}

//! A call's arguments, read as Lua's own libraries read theirs: numbers from texts, texts
//! from numbers, and the same words where neither is there.

use super::raising::Raise;
use mlua::{Lua, LuaString, MultiValue, Table, Value};
use std::ffi::c_int;

type Result<T> = std::result::Result<T, Raise>;

/// A call's arguments, counted from 1.
pub struct Arguments<'lua> {
    lua: &'lua Lua,
    values: Values,
    len: usize,
}

enum Values {
    Each(MultiValue),
    /// Of many, each would take one of the references that mlua can hold.
    Table(Table),
}

impl<'lua> Arguments<'lua> {
    /// The arguments of a call.
    pub fn new(lua: &'lua Lua, values: MultiValue) -> Arguments<'lua> {
        let len = values.len();
        let values = Values::Each(values);
        Arguments { lua, values, len }
    }

    /// The arguments of a call, of which there are `len` in a table.
    pub(super) fn in_table(lua: &'lua Lua, table: Table, len: usize) -> Arguments<'lua> {
        let values = Values::Table(table);
        Arguments { lua, values, len }
    }

    /// The interpreter that called.
    pub fn lua(&self) -> &'lua Lua {
        self.lua
    }

    /// How many there are, trailing nils included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first ones.
    pub fn keep(&mut self, count: usize) {
        self.len = self.len.min(count);
    }

    /// What `look` makes of an argument, or of none.
    ///
    /// # Errors
    /// No room for a reference.
    pub fn look<T>(&self, number: usize, look: impl FnOnce(Option<&Value>) -> T) -> Result<T> {
        if number > self.len {
            return Ok(look(None));
        }
        Ok(match &self.values {
            Values::Each(values) => look(values.get(number - 1)),
            Values::Table(table) => look(Some(&table.raw_get(number)?)),
        })
    }

    /// An argument, which may be nil thereafter; nil if it is not there.
    ///
    /// # Errors
    /// No room for a reference.
    pub fn take(&mut self, number: usize) -> Result<Value> {
        if number > self.len {
            return Ok(Value::Nil);
        }
        Ok(match &mut self.values {
            Values::Each(values) => match values.get_mut(number - 1) {
                Some(value) => std::mem::replace(value, Value::Nil),
                None => Value::Nil,
            },
            Values::Table(table) => table.raw_get(number)?,
        })
    }

    /// Whether an argument is nil or not there.
    ///
    /// # Errors
    /// No room for a reference.
    pub fn is_nil(&self, number: usize) -> Result<bool> {
        self.look(number, |value| value.is_none_or(Value::is_nil))
    }

    /// A number, or a text that means one.
    ///
    /// # Errors
    /// Anything else.
    pub fn number(&self, number: usize) -> Result<f64> {
        let n = self.look(number, |value| to_number(self.lua, value?))?;
        n.ok_or_else(|| self.expected(number, "number"))
    }

    /// A number cut to an integer.
    ///
    /// # Errors
    /// Anything else.
    pub fn integer(&self, number: usize) -> Result<i64> {
        self.number(number).map(integer)
    }

    /// A number cut to an integer, or `default` for nil and nothing.
    ///
    /// # Errors
    /// Anything else.
    pub fn integer_or(&self, number: usize, default: i64) -> Result<i64> {
        match self.is_nil(number)? {
            true => Ok(default),
            false => self.integer(number),
        }
    }

    /// A text, or a number's; the argument may be nil thereafter.
    ///
    /// # Errors
    /// Anything else.
    pub fn take_text(&mut self, number: usize) -> Result<LuaString> {
        let is_text = self.look(number, |value| {
            matches!(
                value,
                Some(Value::String(_) | Value::Integer(_) | Value::Number(_))
            )
        })?;
        let text = match is_text {
            true => self.lua.coerce_string(self.take(number)?)?,
            false => None,
        };
        text.ok_or_else(|| self.expected(number, "string"))
    }

    /// The error of an argument of another type.
    pub fn expected(&self, number: usize, what: &str) -> Raise {
        match self.look(number, |value| value.map_or("no value", type_name)) {
            Ok(got) => Raise::argument(number as c_int, format!("{what} expected, got {got}")),
            Err(raise) => raise,
        }
    }
}

/// The number that a value is, or that its text means.
pub(super) fn to_number(lua: &Lua, value: &Value) -> Option<f64> {
    match *value {
        Value::Integer(n) => Some(n as f64),
        Value::Number(n) => Some(n),
        Value::String(ref text) => {
            // Not a clone: that panics where mlua has no room for one more reference.
            let text = lua.create_string(text.as_bytes()).ok()?;
            lua.coerce_number(Value::String(text)).ok()?
        }
        _ => None,
    }
}

/// As x86-64 cuts a double to an integer: the least one where it does not fit.
pub(super) fn integer(n: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    match (-LIMIT..LIMIT).contains(&n) {
        true => n as i64,
        false => i64::MIN,
    }
}

/// The name of a value's type, as Lua says it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}

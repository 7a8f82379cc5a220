//! Lua's values as JSON's text.

use super::number;
use super::{Config, Invalid, Result};
use crate::script::modules::arguments::type_name;
use crate::script::modules::frames::{Frame, Frames};
use crate::script::modules::raising::Raise;
use crate::script::modules::{OUTPUT_BYTES_MAX, STACK_SLOTS_MAX};
use mlua::{Function, Lua, LuaString, Table, Value};

/// The text of a value.
pub(super) fn encode(
    lua: &Lua,
    config: Config,
    next: &Function,
    value: Value,
) -> Result<LuaString> {
    let mut encoder = Encoder {
        config,
        next,
        out: Vec::new(),
        frames: Frames::new(lua),
        depth: 0,
        slots: 1,
    };
    encoder.run(value)?;
    Ok(lua.create_string(encoder.out)?)
}

/// How far the writing of a table is.
#[derive(Clone, Copy)]
enum State {
    Array { written: i32, length: i32 },
    Object { any: bool },
}

struct Encoder<'a> {
    config: Config,
    next: &'a Function,
    out: Vec<u8>,
    frames: Frames<'a, State>,
    depth: i32,
    /// How much of Lua's stack the bundled module would have in use.
    slots: usize,
}

impl Encoder<'_> {
    fn run(&mut self, value: Value) -> Result<()> {
        let mut inside = self.value(value)?;
        while let Some(mut frame) = inside.take() {
            inside = match self.step(&mut frame)? {
                None => {
                    self.depth -= 1;
                    let outer = self.frames.pop()?;
                    self.slots -= slots_within(frame.state);
                    outer
                }
                Some(value) => match self.value(value)? {
                    None => Some(frame),
                    Some(inner) => {
                        self.frames.push(frame)?;
                        Some(inner)
                    }
                },
            };
            if self.out.len() > OUTPUT_BYTES_MAX {
                return Err(Raise::Bare("not enough memory".into()));
            }
        }
        Ok(())
    }

    /// The next value of a table, after what stands before it was written; none at its
    /// end, after the bracket.
    fn step(&mut self, frame: &mut Frame<State>) -> Result<Option<Value>> {
        match &mut frame.state {
            State::Array { written, length } => {
                if written == length {
                    self.out.push(b']');
                    return Ok(None);
                }
                if *written > 0 {
                    self.out.push(b',');
                }
                *written += 1;
                Ok(Some(frame.table.raw_get(*written)?))
            }
            State::Object { any } => {
                let (key, value): (Value, Value) = self.next.call((&frame.table, &frame.key))?;
                if key.is_nil() {
                    self.out.push(b'}');
                    return Ok(None);
                }
                if std::mem::replace(any, true) {
                    self.out.push(b',');
                }
                match &key {
                    Value::String(text) => self.text(&text.as_bytes()),
                    Value::Integer(_) | Value::Number(_) => {
                        self.out.push(b'"');
                        self.number(&key)?;
                        self.out.push(b'"');
                    }
                    other => {
                        let reason = "table key must be a number or string";
                        return Err(refused(other, reason));
                    }
                }
                self.out.push(b':');
                frame.key = key;
                Ok(Some(value))
            }
        }
    }

    /// Writes a value, or the bracket of a table that is to be gone into.
    fn value(&mut self, value: Value) -> Result<Option<Frame<State>>> {
        match &value {
            Value::String(text) => self.text(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => self.number(&value)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.out.extend_from_slice(b"null");
            }
            Value::Table(_) => {
                let Value::Table(table) = value else {
                    return Ok(None);
                };
                return self.table(table).map(Some);
            }
            other => return Err(refused(other, "type not supported")),
        }
        Ok(None)
    }

    fn table(&mut self, table: Table) -> Result<Frame<State>> {
        self.depth += 1;
        if self.depth > self.config.encode_depth_max || self.slots + 3 > STACK_SLOTS_MAX {
            let text = format!("Cannot serialise, excessive nesting ({})", self.depth);
            return Err(Raise::text(text));
        }
        let state = match self.array_length(&table)? {
            Some(length) if length > 0 => State::Array { written: 0, length },
            _ => State::Object { any: false },
        };
        let bracket = match state {
            State::Array { .. } => b'[',
            State::Object { .. } => b'{',
        };
        self.out.push(bracket);
        self.slots += slots_within(state);
        Ok(Frame {
            table,
            key: Value::Nil,
            state,
        })
    }

    /// The largest index, if all keys are indices and not too few of them are used.
    fn array_length(&self, table: &Table) -> Result<Option<i32>> {
        let (mut max, mut items, mut other_key) = (0i32, 0i32, false);
        let walked = table.for_each(|key: Value, _: Value| {
            let index = match key {
                Value::Integer(n) => n as f64,
                Value::Number(n) => n,
                _ => 0.0,
            };
            if index.floor() != index || index < 1.0 {
                other_key = true;
                // Any error ends the walk, and this one is made of nothing.
                return Err(mlua::Error::StackError);
            }
            if index > f64::from(max) {
                // As x86-64 cuts to an int; what does not fit makes the table an object.
                max = match index <= f64::from(i32::MAX) {
                    true => index as i32,
                    false => i32::MIN,
                };
            }
            items = items.wrapping_add(1);
            Ok(())
        });
        if other_key {
            return Ok(None);
        }
        walked?;
        let config = &self.config;
        if config.sparse_ratio > 0
            && max > items.wrapping_mul(config.sparse_ratio)
            && max > config.sparse_safe
        {
            return match config.sparse_convert {
                true => Ok(None),
                false => Err(Raise::text(
                    "Cannot serialise table: excessively sparse array",
                )),
            };
        }
        Ok(Some(max))
    }

    fn number(&mut self, value: &Value) -> Result<()> {
        let n = match *value {
            Value::Integer(n) => n as f64,
            Value::Number(n) => n,
            _ => 0.0,
        };
        if !n.is_finite() {
            match self.config.encode_invalid {
                Invalid::Refused => return Err(refused(value, "must not be NaN or Inf")),
                Invalid::Written if n.is_nan() => {
                    self.out.extend_from_slice(b"nan");
                    return Ok(());
                }
                Invalid::Written => {}
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
            }
        }
        number::append(&mut self.out, n, self.config.precision);
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        let mut plain_from = 0;
        for (at, &byte) in text.iter().enumerate() {
            if !is_escaped(byte) {
                continue;
            }
            self.out.extend_from_slice(&text[plain_from..at]);
            plain_from = at + 1;
            let letter = match byte {
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                b'"' | b'/' | b'\\' => byte,
                _ => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                    self.out.extend_from_slice(b"\\u00");
                    self.out.extend_from_slice(&digits);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', letter]);
        }
        self.out.extend_from_slice(&text[plain_from..]);
        self.out.push(b'"');
    }
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'/' | b'\\' | 0x7f)
}

/// How much of Lua's stack stands on top of a table while what it holds is written: a
/// value, and an object's key.
fn slots_within(state: State) -> usize {
    match state {
        State::Array { .. } => 1,
        State::Object { .. } => 2,
    }
}

fn refused(value: &Value, reason: &str) -> Raise {
    Raise::text(format!("Cannot serialise {}: {reason}", type_name(value)))
}

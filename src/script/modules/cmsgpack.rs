//! `cmsgpack`: Lua's values as MessagePack and back.
//!
//! A whole number becomes the shortest integer, any other the shorter float that is the
//! same number; a table becomes an array if its keys are 1 to n, else a map. Tables
//! deeper than 16 become nil, as all does that MessagePack has no form for.

use super::arguments::Arguments;
use super::frames::{Frame, Frames};
use super::raising::{Raise, fit};
use super::{Body, OUTPUT_BYTES_MAX, STACK_SLOTS_MAX};
use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value};

type Result<T> = std::result::Result<T, Raise>;

const FUNCTIONS: &[(&str, Body)] = &[
    ("pack", pack),
    ("unpack", |a| unpack(a, 0, 0)),
    ("unpack_one", |a| {
        let offset = a.integer_or(2, 0)?;
        a.keep(1);
        unpack(a, 1, offset)
    }),
    ("unpack_limit", |a| {
        let limit = a.integer(2)?;
        let offset = a.integer_or(3, 0)?;
        a.keep(1);
        unpack(a, limit, offset)
    }),
];

const NESTING_MAX: usize = 16;

/// The module's table.
pub(super) fn module(lua: &Lua) -> mlua::Result<Table> {
    let table = super::functions(lua, FUNCTIONS)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Redis Ltd.")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

fn pack(arguments: &mut Arguments) -> Result<MultiValue> {
    if arguments.is_empty() {
        return Err(Raise::argument(0, "MessagePack pack needs input."));
    }
    // They and their texts would have to stand on the stack together.
    if 2 * arguments.len() > STACK_SLOTS_MAX {
        let text = "Too many arguments for MessagePack pack.";
        return Err(Raise::argument(0, text));
    }
    let mut out = Vec::new();
    for number in 1..=arguments.len() {
        append(&mut out, arguments.take(number)?, 0)?;
    }
    let lua = arguments.lua();
    Ok(lua.create_string(out)?.into_lua_multi(lua)?)
}

fn append(out: &mut Vec<u8>, value: Value, level: usize) -> mlua::Result<()> {
    match value {
        Value::String(text) => {
            let text = text.as_bytes();
            match text.len() {
                bytes @ ..32 => out.push(0xa0 | bytes as u8),
                bytes @ ..0x100 => out.extend([0xd9, bytes as u8]),
                bytes => append_length(out, bytes, 0xda),
            }
            out.extend_from_slice(&text);
        }
        Value::Boolean(is) => out.push(if is { 0xc3 } else { 0xc2 }),
        Value::Integer(n) => append_integer(out, n),
        Value::Number(n) => append_number(out, n),
        Value::Table(table) if level < NESTING_MAX => append_table(out, &table, level)?,
        _ => out.push(0xc0),
    }
    match out.len() > OUTPUT_BYTES_MAX {
        true => Err(mlua::Error::MemoryError("not enough memory".into())),
        false => Ok(()),
    }
}

/// A length in two bytes after `short`, or in four after the byte that follows that.
fn append_length(out: &mut Vec<u8>, length: usize, short: u8) {
    match u16::try_from(length) {
        Ok(length) => {
            out.push(short);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(short + 1);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

fn append_integer(out: &mut Vec<u8>, n: i64) {
    let (first, bytes) = match n {
        -32..0x80 => return out.push(n as u8),
        0x80..0x100 => (0xcc, 1),
        0x100..0x1_0000 => (0xcd, 2),
        0x1_0000..0x1_0000_0000 => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..-32 => (0xd0, 1),
        -0x8000..-0x80 => (0xd1, 2),
        -0x8000_0000..-0x8000 => (0xd2, 4),
        ..-0x8000_0000 => (0xd3, 8),
    };
    out.push(first);
    out.extend_from_slice(&n.to_be_bytes()[8 - bytes..]);
}

fn append_number(out: &mut Vec<u8>, n: f64) {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if n.trunc() == n && (-LIMIT..LIMIT).contains(&n) {
        append_integer(out, n as i64);
    } else if f64::from(n as f32) == n {
        out.push(0xca);
        out.extend_from_slice(&(n as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

fn append_table(out: &mut Vec<u8>, table: &Table, level: usize) -> mlua::Result<()> {
    let (mut max, mut count, mut all_indices) = (0f64, 0usize, true);
    table.for_each(|key: Value, _: Value| {
        let index = match key {
            Value::Integer(n) => n as f64,
            Value::Number(n) => n,
            _ => 0.0,
        };
        all_indices &= index.trunc() == index && index >= 1.0 && index <= f64::from(i32::MAX);
        max = max.max(index);
        count += 1;
        Ok(())
    })?;
    if all_indices && max == count as f64 {
        match count {
            ..16 => out.push(0x90 | count as u8),
            _ => append_length(out, count, 0xdc),
        }
        return (1..=count).try_for_each(|index| append(out, table.raw_get(index)?, level + 1));
    }
    match count {
        ..16 => out.push(0x80 | count as u8),
        _ => append_length(out, count, 0xde),
    }
    table.for_each(|key: Value, value: Value| {
        append(out, key, level + 1)?;
        append(out, value, level + 1)
    })
}

fn unpack(arguments: &mut Arguments, limit: i64, offset: i64) -> Result<MultiValue> {
    let lua = arguments.lua();
    let given = arguments.len();
    let data = arguments.take_text(1)?;
    let data = data.as_bytes();
    let length = data.len() as i32;
    if offset < 0 || limit < 0 {
        return Err(Raise::text(format!(
            "Invalid request to unpack with offset of {} and limit of {length}.",
            offset as i32
        )));
    }
    let Some(rest) = data.get(usize::try_from(offset).unwrap_or(usize::MAX)..) else {
        return Err(Raise::text(format!(
            "Start offset {} greater than input length {length}.",
            offset as i32
        )));
    };
    let all = limit == 0 && offset == 0;
    let limit = if all { i64::from(i32::MAX) } else { limit };

    let mut unpacker = Unpacker {
        lua,
        rest,
        frames: Frames::new(lua),
        slots: given,
    };
    let mut results = Vec::new();
    if !all {
        results.push(Value::Nil);
    }
    let mut count = 0;
    while !unpacker.rest.is_empty() && count < limit {
        let value = unpacker.value().map_err(|raise| match raise {
            // As many results as mlua has no room for.
            Raise::Text(text) if text == b"stack overflow" => too_many_results(),
            other => other,
        })?;
        results.push(value);
        if !fit(given, results.len()) {
            return Err(too_many_results());
        }
        unpacker.slots += 1;
        count += 1;
    }
    if !all {
        unpacker.room("in function mp_unpack_full")?;
        results[0] = match unpacker.rest.len() {
            0 => Value::Integer(-1),
            left => Value::Integer((data.len() - left) as i64),
        };
    }
    Ok(MultiValue::from_vec(results))
}

fn too_many_results() -> Raise {
    overflow("too many return values at once; use unpack_one or unpack_limit instead.")
}

fn overflow(what: &str) -> Raise {
    Raise::text(format!("stack overflow ({what})"))
}

/// How far the reading of a table is.
#[derive(Clone, Copy)]
enum State {
    Array {
        read: u32,
        length: u32,
    },
    /// How many pairs are left, this one included.
    Key {
        left: u32,
    },
    Value {
        left: u32,
    },
}

/// What a head and its payload are.
enum Item {
    Value(Value),
    Array(u32),
    Map(u32),
}

struct Unpacker<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
    frames: Frames<'a, State>,
    /// How much of Lua's stack the bundled module would have in use.
    slots: usize,
}

impl<'a> Unpacker<'a> {
    /// One whole value.
    fn value(&mut self) -> Result<Value> {
        let mut inside: Option<Frame<State>> = None;
        loop {
            let mut value = match self.item()? {
                Item::Value(value) => value,
                Item::Array(length) => {
                    let table = self.lua.create_table()?;
                    self.slots += 1;
                    self.room("in function mp_decode_to_lua_array")?;
                    self.slots -= 1;
                    match length {
                        0 => Value::Table(table),
                        _ => {
                            self.slots += 2;
                            self.enter(&mut inside, table, State::Array { read: 0, length })?;
                            continue;
                        }
                    }
                }
                Item::Map(left) => {
                    let table = self.lua.create_table()?;
                    match left {
                        0 => Value::Table(table),
                        _ => {
                            self.slots += 1;
                            self.enter(&mut inside, table, State::Key { left })?;
                            continue;
                        }
                    }
                }
            };
            // Into what it stands in, and as many ends as follow.
            while let Some(mut frame) = inside.take() {
                if !self.put(&mut frame, value)? {
                    inside = Some(frame);
                    value = Value::Nil;
                    break;
                }
                value = Value::Table(frame.table);
                inside = self.frames.pop()?;
            }
            if inside.is_none() {
                return Ok(value);
            }
        }
    }

    fn enter(
        &mut self,
        inside: &mut Option<Frame<State>>,
        table: Table,
        state: State,
    ) -> mlua::Result<()> {
        let frame = Frame {
            table,
            key: Value::Nil,
            state,
        };
        match inside.replace(frame) {
            Some(outer) => self.frames.push(outer),
            None => Ok(()),
        }
    }

    /// Puts a value where it belongs; whether that was the table's last.
    fn put(&mut self, frame: &mut Frame<State>, value: Value) -> Result<bool> {
        match frame.state {
            State::Array { read, length } => {
                frame.table.raw_set(read + 1, value)?;
                if read + 1 == length {
                    self.slots -= 2;
                    return Ok(true);
                }
                let read = read + 1;
                frame.state = State::Array { read, length };
            }
            State::Key { left } => {
                frame.key = value;
                self.slots += 1;
                frame.state = State::Value { left };
            }
            State::Value { left } => {
                match &frame.key {
                    Value::Nil => return Err(Raise::Bare("table index is nil".into())),
                    Value::Number(n) if n.is_nan() => {
                        return Err(Raise::Bare("table index is NaN".into()));
                    }
                    key => frame.table.raw_set(key, value)?,
                }
                frame.key = Value::Nil;
                self.slots -= 1;
                if left == 1 {
                    self.slots -= 1;
                    return Ok(true);
                }
                frame.state = State::Key { left: left - 1 };
            }
        }
        Ok(false)
    }

    /// An error, if one more value on Lua's stack would be too many.
    fn room(&self, what: &str) -> Result<()> {
        match self.slots + 1 > STACK_SLOTS_MAX {
            true => Err(overflow(what)),
            false => Ok(()),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(Raise::text("Missing bytes in input."));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next bytes as an unsigned number, the most significant first.
    fn unsigned(&mut self, bytes: usize) -> Result<u64> {
        let bytes = self.take(bytes)?.iter();
        Ok(bytes.fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    fn signed(&mut self, bytes: usize) -> Result<Item> {
        let unused = 64 - 8 * bytes as u32;
        let n = (self.unsigned(bytes)? << unused) as i64 >> unused;
        Ok(Item::Value(Value::Number(n as f64)))
    }

    fn text(&mut self, bytes: u64) -> Result<Item> {
        let text = self.take(bytes as usize)?;
        Ok(Item::Value(Value::String(self.lua.create_string(text)?)))
    }

    fn item(&mut self) -> Result<Item> {
        let head = self.take(1)?[0];
        if self.slots + 1 > STACK_SLOTS_MAX {
            return Err(too_many_results());
        }
        let number = |n: f64| Ok(Item::Value(Value::Number(n)));
        match head {
            0x00..=0x7f => number(f64::from(head)),
            0xe0..=0xff => number(f64::from(head as i8)),
            0x80..=0x8f => Ok(Item::Map(u32::from(head & 0x0f))),
            0x90..=0x9f => Ok(Item::Array(u32::from(head & 0x0f))),
            0xa0..=0xbf => self.text(u64::from(head & 0x1f)),
            0xc0 => Ok(Item::Value(Value::Nil)),
            0xc2 | 0xc3 => Ok(Item::Value(Value::Boolean(head == 0xc3))),
            0xca => {
                let bits = self.unsigned(4)? as u32;
                number(f64::from(f32::from_bits(bits)))
            }
            0xcb => {
                let bits = self.unsigned(8)?;
                number(f64::from_bits(bits))
            }
            // Of eight bytes it is a signed one all the same.
            0xcc..=0xce => {
                let n = self.unsigned(1 << (head - 0xcc))?;
                number(n as f64)
            }
            0xcf => self.signed(8),
            0xd0..=0xd3 => self.signed(1 << (head - 0xd0)),
            0xd9..=0xdb => {
                let bytes = self.unsigned(1 << (head - 0xd9))?;
                self.text(bytes)
            }
            0xdc | 0xdd => {
                let length = self.unsigned(2 << (head - 0xdc))?;
                Ok(Item::Array(length as u32))
            }
            0xde | 0xdf => {
                let pairs = self.unsigned(2 << (head - 0xde))?;
                Ok(Item::Map(pairs as u32))
            }
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => Err(Raise::text("Bad data format in input.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, eval};

    fn packed(value: &str) -> String {
        let hex = "return (cmsgpack.pack(VALUE):gsub('.', function(c)
            return string.format('%02x', c:byte()) end))";
        eval(&hex.replace("VALUE", value))
    }

    /// What `cjson` makes of what an escaped text unpacks to, all of it in a list.
    fn unpacked(text: &str) -> String {
        eval(&format!(
            "return cjson.encode({{cmsgpack.unpack('{text}')}})"
        ))
    }

    #[test]
    fn a_whole_number_is_the_shortest_integer() {
        for (value, hex) in [
            ("127", "7f"),
            ("-0", "00"),
            ("128", "cc80"),
            ("256", "cd0100"),
            ("65536", "ce00010000"),
            ("2^32", "cf0000000100000000"),
            ("-32", "e0"),
            ("-33", "d0df"),
            ("-129", "d1ff7f"),
            ("-32769", "d2ffff7fff"),
            ("-2^31 - 1", "d3ffffffff7fffffff"),
            ("-2^63", "d38000000000000000"),
        ] {
            assert_eq!(packed(value), hex, "{value}");
        }
    }

    #[test]
    fn another_number_is_the_shorter_float_that_is_the_same() {
        assert_eq!(packed("0.5"), "ca3f000000");
        assert_eq!(packed("2^63"), "ca5f000000");
        assert_eq!(packed("0.1"), "cb3fb999999999999a");
        assert_eq!(packed("1/0"), "ca7f800000");
    }

    #[test]
    fn a_text_has_the_shortest_head() {
        assert_eq!(packed("'', 'a'"), "a0a161");
        let head = |bytes: usize| packed(&format!("('x'):rep({bytes})"))[..10].to_string();
        assert_eq!(head(31), "bf78787878");
        assert_eq!(head(32), "d920787878");
        assert_eq!(head(256), "da01007878");
        assert_eq!(head(65536), "db00010000");
    }

    #[test]
    fn a_table_with_the_keys_1_to_n_is_an_array_and_another_a_map() {
        assert_eq!(packed("{}"), "90");
        assert_eq!(packed("{1, 2, {3}}"), "9301029103");
        assert_eq!(packed("{a = 1}"), "81a16101");
        assert_eq!(packed("{[2] = 1}"), "810201");
        assert_eq!(packed("{[1.5] = 1}"), "81ca3fc0000001");
        assert_eq!(
            packed("(function() local t = {} for i = 1, 16 do t[i] = 0 end return t end)()"),
            format!("dc0010{}", "00".repeat(16))
        );
    }

    #[test]
    fn what_has_no_form_and_what_is_too_deep_becomes_nil() {
        assert_eq!(packed("nil, true, false, print, cjson.null"), "c0c3c2c0c0");
        assert_eq!(
            packed("(function() local t = {} t[1] = t return t end)()"),
            format!("{}c0", "91".repeat(16))
        );
    }

    #[test]
    fn every_form_is_unpacked() {
        assert_eq!(
            unpacked(r"\1\224\204\200\205\1\0\206\1\0\0\0\207\0\0\0\1\0\0\0\0"),
            "[1,-32,200,256,16777216,4294967296]"
        );
        assert_eq!(
            unpacked(r"\208\128\209\128\0\210\128\0\0\0\211\255\255\255\255\255\255\255\255"),
            "[-128,-32768,-2147483648,-1]"
        );
        assert_eq!(unpacked(r"\207\255\255\255\255\255\255\255\255"), "[-1]");
        assert_eq!(
            unpacked(r"\202\63\0\0\0\203\63\224\0\0\0\0\0\0"),
            "[0.5,0.5]"
        );
        assert_eq!(
            unpacked(r"\161a\217\1b\218\0\1c\219\0\0\0\1d"),
            r#"["a","b","c","d"]"#
        );
        assert_eq!(
            unpacked(r"\195\146\194\1\220\0\1\2\221\0\0\0\1\3"),
            "[true,[false,1],[2],[3]]"
        );
        assert_eq!(
            unpacked(r"\129\161a\1\222\0\1\161b\2\223\0\0\0\1\161c\129\161d\144"),
            r#"[{"a":1},{"b":2},{"c":{"d":{}}}]"#
        );
        assert_eq!(unpacked(r"\146\192\1"), "[[null,1]]");
    }

    #[test]
    fn a_stream_is_unpacked_in_parts() {
        let parts = |call: &str| eval(&format!("return cjson.encode({{cmsgpack.{call}}})"));
        assert_eq!(parts(r"unpack_one('\1\2\3')"), "[1,1]");
        assert_eq!(parts(r"unpack_one('\1\2\3', 2)"), "[-1,3]");
        assert_eq!(parts(r"unpack_limit('\1\2\3', 2)"), "[2,1,2]");
        assert_eq!(parts(r"unpack_limit('\1\2\3', 2, 1)"), "[-1,2,3]");
        assert_eq!(parts(r"unpack_limit('\1\2\3', 0)"), "[1,2,3]");
        assert_eq!(
            error(r"cmsgpack.unpack_one('\1', 2)"),
            "script:1: Start offset 2 greater than input length 1."
        );
        assert_eq!(
            error(r"cmsgpack.unpack_limit('\1', -5)"),
            "script:1: Invalid request to unpack with offset of 0 and limit of 1."
        );
    }

    #[test]
    fn data_that_is_cut_or_wrong_is_told_of() {
        assert_eq!(
            error(r"cmsgpack.unpack('\1\193')"),
            "script:1: Bad data format in input."
        );
        for cut in [
            r"\145",
            r"\221\255\255\255\255\1",
            r"\223\255\255\255\255",
            r"\219\255\255\255\255",
            r"\203\0",
        ] {
            let script = format!("cmsgpack.unpack('{cut}')");
            assert_eq!(error(&script), "script:1: Missing bytes in input.", "{cut}");
        }
        assert_eq!(
            error(r"cmsgpack.unpack('\129\192\1')"),
            "table index is nil"
        );
        assert_eq!(
            error(r"cmsgpack.unpack('\129\203\127\248\0\0\0\0\0\0\1')"),
            "table index is NaN"
        );
        assert_eq!(
            error("cmsgpack.pack()"),
            "script:1: bad argument #0 to 'pack' (MessagePack pack needs input.)"
        );
    }

    #[test]
    fn nesting_and_results_end_where_a_stack_would() {
        assert_eq!(
            error(r"cmsgpack.unpack(('\145'):rep(1000000))"),
            "script:1: stack overflow (in function mp_decode_to_lua_array)"
        );
        assert_eq!(
            eval(r"return select('#', cmsgpack.unpack(('\145'):rep(3998) .. '\1'))"),
            "1"
        );
        assert_eq!(
            error(r"cmsgpack.unpack(('\129\1'):rep(1000000))"),
            "script:1: stack overflow (too many return values at once; \
             use unpack_one or unpack_limit instead.)"
        );
        assert_eq!(
            eval(r"return select('#', cmsgpack.unpack(('\1'):rep(7967)))"),
            "7967"
        );
        for many in [r"\1", r"\161a", r"\144"] {
            assert_eq!(
                error(&format!("cmsgpack.unpack(('{many}'):rep(8000))")),
                "script:1: stack overflow (too many return values at once; \
                 use unpack_one or unpack_limit instead.)"
            );
        }
    }
}

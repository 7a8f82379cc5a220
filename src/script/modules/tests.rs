//! What the modules' tests share, and the tests of what the modules share.

use super::install;
use super::raising::{Raise, raising};
use mlua::{Lua, LuaString, Value};

/// An interpreter with the modules as globals.
pub(super) fn lua() -> Lua {
    let lua = Lua::new();
    install(&lua, &lua.globals()).expect("modules");
    lua
}

/// The text that a script returns, each byte as a character.
pub(super) fn eval(script: &str) -> String {
    let lua = lua();
    let result: LuaString = lua
        .load(script)
        .set_name("=script")
        .eval()
        .unwrap_or_else(|e| panic!("{script}: {e}"));
    result.as_bytes().iter().map(|&b| char::from(b)).collect()
}

/// The text that `pcall` gets from a script that ends in an error.
pub(super) fn error(script: &str) -> String {
    let lua = lua();
    let function = lua.load(script).set_name("=script").into_function();
    lua.globals()
        .raw_set("f", function.expect("a script"))
        .expect("a global");
    let (ok, error): (bool, Value) = lua.load("return pcall(f)").eval().expect("a call");
    assert!(!ok, "{script} ends well");
    match error {
        Value::String(text) => text.as_bytes().iter().map(|&b| char::from(b)).collect(),
        other => panic!("{script} raises {other:?}"),
    }
}

#[test]
fn every_way_of_raising_reaches_pcall_as_a_script_expects_it() {
    let lua = lua();
    let raise = raising(&lua, |arguments| -> Result<(), Raise> {
        Err(match arguments.number(1)? as i32 {
            1 => Raise::text("text"),
            2 => Raise::argument(2, "wrong"),
            3 => Raise::Value(arguments.take(2)?),
            4 => Raise::Bare("bare".into()),
            _ => mlua::Error::runtime("inner").into(),
        })
    });
    lua.globals()
        .raw_set("raise", raise.expect("a function"))
        .expect("a global");
    let caught = |call: &str| -> String {
        let script = format!("local ok, e = pcall(function() return {call} end) return e");
        lua.load(script).set_name("=script").eval().expect(call)
    };
    assert_eq!(caught("raise(1)"), "script:1: text");
    assert_eq!(
        caught("raise(2)"),
        "script:1: bad argument #2 to 'raise' (wrong)"
    );
    assert_eq!(caught("raise(4)"), "bare");
    assert_eq!(caught("raise(5)"), "inner");
    assert_eq!(
        caught("raise()"),
        "script:1: bad argument #1 to 'raise' (number expected, got no value)"
    );
    let same: bool = lua
        .load("local t = {} local ok, e = pcall(raise, 3, t) return e == t")
        .eval()
        .expect("a call");
    assert!(same);
}

#[test]
fn results_and_arguments_pass_through_whole() {
    let lua = lua();
    let all = raising(&lua, |arguments| {
        let values = (1..=arguments.len()).map(|n| arguments.take(n));
        let values: Result<_, Raise> = values.collect();
        Ok(mlua::MultiValue::from_vec(values?))
    });
    lua.globals()
        .raw_set("all", all.expect("a function"))
        .expect("a global");
    let script = "local t = {} for i = 1, 7800 do t[i] = tostring(i) end
        return select('#', all(unpack(t))) .. select(7800, all(unpack(t)))
            .. select('#', all()) .. select('#', all(nil, nil, nil))";
    let text: String = lua.load(script).eval().expect("a text");
    assert_eq!(text, "7800780003");
}

#[test]
fn as_many_arguments_as_lua_can_pass_are_read() {
    let lua = lua();
    let joined = raising(&lua, |arguments| {
        let mut bytes = 0;
        for number in 1..=arguments.len() {
            bytes += arguments.take_text(number)?.as_bytes().len();
        }
        Ok((
            arguments.len(),
            bytes,
            arguments.is_nil(arguments.len() + 1)?,
        ))
    });
    lua.globals()
        .raw_set("joined", joined.expect("a function"))
        .expect("a global");
    for count in [1, 256, 257, 7990] {
        let script = format!(
            "local t = {{}} for i = 1, {count} do t[i] = 'ab' end
             local len, bytes, none = joined(unpack(t)) return len == {count}
                 and bytes == 2 * {count} and none"
        );
        let all: bool = lua.load(&script).eval().expect("a call");
        assert!(all, "{count}");
    }
}

#[test]
fn more_references_than_there_is_room_for_are_an_error_and_no_panic() {
    for call in [
        "cmsgpack.pack(unpack(t))",
        "cjson.encode(unpack(t))",
        "bit.band(1, unpack(t))",
        "struct.pack(('s'):rep(#t), unpack(t))",
        "struct.unpack(('s'):rep(#t), ('a\\0'):rep(#t))",
        "cmsgpack.unpack(('\\144'):rep(#t))",
    ] {
        for count in [7850, 7950, 7980, 7990] {
            for kind in ["tostring(i)", "{a = {b = 'c'}}"] {
                let script = format!(
                    "local t = {{}} for i = 1, {count} do t[i] = {kind} end
                     pcall(function() return (select('#', {call})) end)"
                );
                lua().load(script).exec().expect("no panic");
            }
        }
    }
}

#[test]
fn the_modules_hold_what_scripts_look_for() {
    let lua = lua();
    for (module, names) in [
        (
            "bit",
            "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex",
        ),
        (
            "cjson",
            "_NAME _VERSION decode decode_invalid_numbers decode_max_depth encode \
             encode_invalid_numbers encode_keep_buffer encode_max_depth encode_number_precision \
             encode_sparse_array new null",
        ),
        (
            "cmsgpack",
            "_COPYRIGHT _DESCRIPTION _NAME _VERSION pack unpack unpack_limit unpack_one",
        ),
        ("struct", "pack size unpack"),
    ] {
        let script = format!(
            "local t = {{}} for k in pairs({module}) do t[#t + 1] = k end
             table.sort(t) return table.concat(t, ' ')"
        );
        let found: String = lua.load(script).eval().expect("names");
        assert_eq!(found, names);
    }
}

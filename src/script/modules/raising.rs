//! How a function written here raises an error in Lua.
//!
//! An error that a Rust function returns reaches Lua's `pcall` as a userdata, where
//! scripts expect a text or a table, and without the position and the function's name
//! that Lua's own libraries put into it. So [`raising`] wraps the function:
//!
//! ```text
//! script ──► relay (in C's manner) ──► the function, by mlua
//!               │                          │ results, or MARK, how, value
//!               ◄──────────────────────────┘
//!               └─ lua_error / luaL_argerror, as any C library
//! ```
//!
//! The relay must be what Lua takes for a C function: a wrapper written in Lua would
//! stand in the place of the script's line in `return f()`, the tail call, and so lose
//! both position and name.
//!
//! **Rule** that makes the unsafe code here sound: between a call that can raise (which
//! jumps over this frame) and the end of its function lives nothing that would have to
//! be dropped, and every slot of the stack that is written to is one of the 20 that Lua
//! promises to a C function above its arguments.
#![allow(unsafe_code)]

use super::STACK_SLOTS_MAX;
use super::arguments::Arguments;
use mlua::ffi::{self, lua_State};
use mlua::{Error, Function, IntoLuaMulti, LightUserData, Lua, MaybeSend, MultiValue, Value};
use std::ffi::{c_int, c_void};
use std::result::Result;

/// An error to raise in Lua.
#[derive(Debug)]
pub enum Raise {
    /// A text after the position of the line that called the function.
    Text(Vec<u8>),
    /// What is wrong with the argument of this number, counted from 1.
    Argument(c_int, Vec<u8>),
    /// A value as it is.
    Value(Value),
    /// A text as it is.
    Bare(Vec<u8>),
    /// An error of mlua's that no script should hold as a text.
    Other(Error),
}

impl Raise {
    /// A text after the position of the line that called the function.
    pub fn text(text: impl Into<Vec<u8>>) -> Raise {
        Raise::Text(text.into())
    }

    /// What is wrong with the argument of this number, counted from 1.
    pub fn argument(number: c_int, text: impl Into<Vec<u8>>) -> Raise {
        Raise::Argument(number, text.into())
    }
}

impl From<Error> for Raise {
    fn from(error: Error) -> Raise {
        match error {
            Error::RuntimeError(text) | Error::MemoryError(text) => Raise::Bare(text.into()),
            // No room for one more value in the script's stack, or in mlua's own.
            Error::StackError => Raise::text("stack overflow"),
            other => Raise::Other(other),
        }
    }
}

/// The first result of a function that wants an error raised: the address, which no
/// script can come by.
static MARK: u8 = 0;

/// The second result: the number of the bad argument (of which 0 is one), or this.
const AFTER_POSITION: c_int = -1;
const AS_IT_IS: c_int = -2;

/// How many arguments the function gets as they are; of more it gets, in their stead, the
/// mark, a table of them and their number.
const EACH_MAX: c_int = 256;

fn mark() -> *mut c_void {
    (&raw const MARK).cast_mut().cast()
}

/// A Lua function that raises what `function` returns as an error: with a position, as
/// a bad argument, or as it is.
///
/// # Errors
/// Memory.
pub fn raising<F, R>(lua: &Lua, function: F) -> mlua::Result<Function>
where
    F: Fn(&mut Arguments) -> Result<R, Raise> + MaybeSend + 'static,
    R: IntoLuaMulti,
{
    let inner = lua.create_function(move |lua, values: MultiValue| {
        let arguments = values.len();
        function(&mut received(lua, values))
            .and_then(|results| Ok(results.into_lua_multi(lua)?))
            .and_then(|results| match fit(arguments, results.len()) {
                true => Ok(results),
                false => Err(Error::StackError.into()),
            })
            .or_else(|raise| marked(lua, raise))
    })?;
    // SAFETY: the closure owns nothing, and takes the one value that it is given for the
    // one that it leaves.
    unsafe { lua.exec_raw(inner, |state| ffi::lua_pushcclosure(state, relay, 1)) }
}

/// The arguments, in the table if the relay put them into one.
fn received(lua: &Lua, mut values: MultiValue) -> Arguments<'_> {
    let first = values.front();
    if matches!(first, Some(Value::LightUserData(address)) if address.0 == mark()) {
        let (len, table) = (values.pop_back(), values.pop_back());
        if let (Some(Value::Integer(len)), Some(Value::Table(table))) = (len, table) {
            return Arguments::in_table(lua, table, len as usize);
        }
    }
    Arguments::new(lua, values)
}

/// Whether a call can return so many results: they stand on Lua's stack together with the
/// arguments, and with what mlua needs there.
pub(super) fn fit(arguments: usize, results: usize) -> bool {
    arguments + results + 32 <= STACK_SLOTS_MAX
}

/// What the relay reads as an error.
fn marked(lua: &Lua, raise: Raise) -> mlua::Result<MultiValue> {
    let (how, value) = match raise {
        Raise::Text(text) => (AFTER_POSITION, Value::String(lua.create_string(text)?)),
        Raise::Argument(number, text) => (number, Value::String(lua.create_string(text)?)),
        Raise::Value(value) => (AS_IT_IS, value),
        Raise::Bare(text) => (AS_IT_IS, Value::String(lua.create_string(text)?)),
        Raise::Other(error) => return Err(error),
    };
    (LightUserData(mark()), how, value).into_lua_multi(lua)
}

/// Calls the function that it was made with, and raises what that asks for.
unsafe extern "C-unwind" fn relay(state: *mut lua_State) -> c_int {
    // SAFETY: as the file's head says: before the call one slot more than the arguments is
    // used, after it one more than the results. The third result is a text wherever it is
    // read as one.
    unsafe {
        let mut arguments = ffi::lua_gettop(state);
        if arguments > EACH_MAX {
            ffi::lua_createtable(state, arguments, 0);
            ffi::lua_insert(state, 1);
            for number in (1..=arguments).rev() {
                ffi::lua_rawseti(state, 1, number.into());
            }
            ffi::lua_pushlightuserdata(state, mark());
            ffi::lua_insert(state, 1);
            ffi::lua_pushinteger(state, arguments.into());
            arguments = 3;
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, arguments, ffi::LUA_MULTRET);
        let results = ffi::lua_gettop(state);
        if results != 3 || ffi::lua_touserdata(state, 1) != mark() {
            return results;
        }
        match ffi::lua_tointeger(state, 2) as c_int {
            AS_IT_IS => ffi::lua_error(state),
            AFTER_POSITION => {
                ffi::luaL_where(state, 1);
                ffi::lua_insert(state, 3);
                ffi::lua_concat(state, 2);
                ffi::lua_error(state)
            }
            number => ffi::luaL_argerror(state, number, ffi::lua_tostring(state, 3)),
        }
    }
}

/// A function that takes a table and a key and returns the pair after it, or nothing;
/// only for callers that pass a table. Unlike mlua's iterators it can go on after
/// anything else was done, and never copies a reference (a copy panics where mlua has
/// no room).
///
/// # Errors
/// Memory.
pub(super) fn next_pair(lua: &Lua) -> mlua::Result<Function> {
    unsafe extern "C-unwind" fn next(state: *mut lua_State) -> c_int {
        // SAFETY: the first of the two values is a table, and at most one slot more than
        // them is used.
        unsafe {
            ffi::lua_settop(state, 2);
            match ffi::lua_next(state, 1) {
                0 => 0,
                _ => 2,
            }
        }
    }
    // SAFETY: the function keeps to what Lua asks of a C function.
    unsafe { lua.create_c_function(next) }
}

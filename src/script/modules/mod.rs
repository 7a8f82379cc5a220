//! The modules that scripts find ready: `cjson`, `cmsgpack`, `struct`, `bit`; and, for
//! them and the interpreter, how a function written here reads Lua's arguments
//! ([`arguments`]) and raises Lua's errors ([`raising`]).
//!
//! What they do, say and refuse is what Valkey's bundled modules (lua-cjson 2.1.0,
//! lua-cmsgpack 0.4.0, struct 1.7, LuaBitOp 1.0.2) do on x86-64: scripts depend on it
//! to the byte, oddities included. **Invariant**: no input panics, recurses without
//! bound, or makes memory grow beyond what its own size explains.

pub mod arguments;
mod bit;
mod cjson;
mod cmsgpack;
mod frames;
pub mod raising;
mod structs;
#[cfg(test)]
mod tests;

use arguments::Arguments;
use mlua::{Lua, MultiValue, Result, Table};
use raising::{Raise, raising};

/// The longest text that a script may make at once: what a client could send as one
/// argument. Tables that hold the same table many times would fill any memory.
const OUTPUT_BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 512 << 20 };

/// How many values a function written in C may have on Lua's stack: the bundled
/// modules' bound on nesting and on results, where nothing else bounds them.
const STACK_SLOTS_MAX: usize = 8000;

/// A function of a module.
type Body = fn(&mut Arguments) -> std::result::Result<MultiValue, Raise>;

/// Puts every module into a table under its name.
///
/// # Errors
/// Memory.
pub fn install(lua: &Lua, into: &Table) -> Result<()> {
    into.raw_set("bit", functions(lua, bit::FUNCTIONS)?)?;
    into.raw_set("cjson", cjson::module(lua)?)?;
    into.raw_set("cmsgpack", cmsgpack::module(lua)?)?;
    into.raw_set("struct", functions(lua, structs::FUNCTIONS)?)
}

/// A table of functions under their names.
fn functions(lua: &Lua, bodies: &[(&str, Body)]) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, bodies.len())?;
    for &(name, body) in bodies {
        table.raw_set(name, raising(lua, body)?)?;
    }
    Ok(table)
}

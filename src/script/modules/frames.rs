//! The tables that a reader or a writer of nested values is inside of, innermost last.
//!
//! Nesting is kept here, not on the thread's stack, so that no input overflows that. And
//! mlua can hold only some 8,000 references at once, for everybody: so the outer tables of
//! a deep nesting wait in a Lua table.

use mlua::{Lua, Result, Table, Value};

/// A table that is being read or filled.
pub(super) struct Frame<S> {
    pub(super) table: Table,
    /// The key in the table that the work is at, where it has one; else nil.
    pub(super) key: Value,
    /// How far the work is.
    pub(super) state: S,
}

/// A stack of frames.
pub(super) struct Frames<'lua, S> {
    lua: &'lua Lua,
    near: Vec<Frame<S>>,
    /// Above the near ones: two values for each state.
    far: Option<Table>,
    far_states: Vec<S>,
}

impl<'lua, S> Frames<'lua, S> {
    const NEAR: usize = 64;

    pub(super) fn new(lua: &'lua Lua) -> Frames<'lua, S> {
        Frames {
            lua,
            near: Vec::new(),
            far: None,
            far_states: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, frame: Frame<S>) -> Result<()> {
        if self.near.len() < Self::NEAR {
            self.near.push(frame);
            return Ok(());
        }
        let far = match &mut self.far {
            Some(far) => far,
            none => none.insert(self.lua.create_table()?),
        };
        let at = 2 * self.far_states.len();
        far.raw_set(at + 1, frame.table)?;
        far.raw_set(at + 2, frame.key)?;
        self.far_states.push(frame.state);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Option<Frame<S>>> {
        let (Some(far), Some(state)) = (&self.far, self.far_states.pop()) else {
            return Ok(self.near.pop());
        };
        let at = 2 * self.far_states.len();
        Ok(Some(Frame {
            table: far.raw_get(at + 1)?,
            key: far.raw_get(at + 2)?,
            state,
        }))
    }
}

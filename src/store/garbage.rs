//! Objects that nobody can reach any more, and that take so long to free that it
//! is done without a lock, by whoever has the time.

use super::entry::Object;
use super::table::Table;

/// From so many allocations on, freeing an object takes longer than handing it to
/// another thread.
const EFFORT_MIN: usize = 64;

/// See the head of this file.
#[derive(Default)]
pub struct Garbage(Vec<Piece>);

enum Piece {
    Object { _dropped: Object },
    Table { _dropped: Box<Table> },
}

impl Garbage {
    /// Takes an object in; one that is quickly freed is freed at once.
    #[inline]
    pub fn add(&mut self, object: Option<Object>) {
        if let Some(object) = object
            && object.free_effort() > EFFORT_MIN
        {
            self.0.push(Piece::Object { _dropped: object });
        }
    }

    /// Takes a table in, with all its entries.
    pub fn add_table(&mut self, table: Box<Table>) {
        if !table.is_empty() {
            self.0.push(Piece::Table { _dropped: table });
        }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

//! What a script says of itself in its first line, and a function when it is registered.

use crate::protocol::parse::words;

/// What a script may do and needs not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(u8);

impl Flags {
    /// It does not write.
    pub const NO_WRITES: Flags = Flags(1);
    /// It may run though memory is full.
    pub const ALLOW_OOM: Flags = Flags(1 << 1);
    /// It may run though the data may be old.
    pub const ALLOW_STALE: Flags = Flags(1 << 2);
    /// It is not for a cluster.
    pub const NO_CLUSTER: Flags = Flags(1 << 3);
    /// Its keys need not be of one slot.
    pub const ALLOW_CROSS_SLOT: Flags = Flags(1 << 4);
    /// It said nothing: each command is judged when it is called.
    pub const UNSAID: Flags = Flags(1 << 5);

    const NAMES: [(Flags, &str); 5] = [
        (Flags::NO_WRITES, "no-writes"),
        (Flags::ALLOW_OOM, "allow-oom"),
        (Flags::ALLOW_STALE, "allow-stale"),
        (Flags::NO_CLUSTER, "no-cluster"),
        (Flags::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
    ];

    /// Whether one of these is set.
    pub fn has(self, any: Flags) -> bool {
        self.0 & any.0 != 0
    }

    /// Both.
    pub fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Sets the one of this name; false where there is none.
    pub fn add(&mut self, name: &[u8]) -> bool {
        let known = Self::NAMES.iter().find(|(_, n)| n.as_bytes() == name);
        known.map(|(flag, _)| *self = self.and(*flag)).is_some()
    }

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = Self::NAMES.iter();
        all.filter(move |(flag, _)| self.has(*flag))
            .map(|(_, name)| *name)
    }
}

/// What stands in the first line of a text that begins with `#!`.
pub struct Shebang {
    /// The language.
    pub engine: Vec<u8>,
    /// What else it says.
    pub options: Vec<Vec<u8>>,
    /// Where the line ends.
    pub end: usize,
}

impl Shebang {
    /// That of a text that begins with one. `None` where it does not end, or is none.
    pub fn of(text: &[u8]) -> Option<Shebang> {
        let end = text.iter().position(|&b| b == b'\n')?;
        let mut words = words(&text[..end])?.into_iter();
        let engine = words.next()?.get(2..)?.to_vec();
        let options = words.collect();
        Some(Shebang {
            engine,
            options,
            end,
        })
    }

    /// Whether it is Lua.
    pub fn is_lua(&self) -> bool {
        self.engine.eq_ignore_ascii_case(b"lua")
    }
}

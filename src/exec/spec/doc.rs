//! What COMMAND DOCS tells of a command and its arguments.

/// What an argument is, for COMMAND DOCS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A floating-point number.
    Double,
    /// A key; the number is that of its key spec.
    Key(usize),
    /// A glob.
    Pattern,
    /// What keys are made of; the number is that of their key spec.
    KeyPattern(usize),
    /// A time in Unix seconds or milliseconds.
    UnixTime,
    /// A word alone.
    PureToken,
    /// One of several.
    OneOf,
    /// Several together.
    Block,
}

/// An argument, for COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ArgKind,
    /// The word in front of it.
    pub token: Option<&'static str>,
    /// What it is for, where its name does not tell.
    pub summary: &'static str,
    /// How people are shown it, where that is not its name.
    pub shown_as: Option<&'static str>,
    /// Since which version, where later than the command.
    pub since: &'static str,
    /// Since which version something else is better; empty while nothing is.
    pub deprecated_since: &'static str,
    /// May be left out.
    pub optional: bool,
    /// May come several times.
    pub multiple: bool,
    /// Its word comes each time.
    pub multiple_token: bool,
    /// Of `OneOf` and `Block`.
    pub args: &'static [Arg],
}

impl Arg {
    /// An argument of a kind.
    pub const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg {
            name,
            kind,
            token: None,
            summary: "",
            shown_as: None,
            since: "",
            deprecated_since: "",
            optional: false,
            multiple: false,
            multiple_token: false,
            args: &[],
        }
    }

    /// The key of the first key spec.
    pub const fn key(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Key(0))
    }

    /// A word alone, whose name is the word in lower case.
    pub const fn word(name: &'static str, token: &'static str) -> Arg {
        Arg::new(name, ArgKind::PureToken).token(token)
    }

    /// One of several.
    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Arg {
        let mut arg = Arg::new(name, ArgKind::OneOf);
        arg.args = args;
        arg
    }

    /// Several together.
    pub const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
        let mut arg = Arg::new(name, ArgKind::Block);
        arg.args = args;
        arg
    }

    /// With a word in front.
    pub const fn token(mut self, token: &'static str) -> Arg {
        self.token = Some(token);
        self
    }

    /// With a sentence on what it is for.
    pub const fn summary(mut self, summary: &'static str) -> Arg {
        self.summary = summary;
        self
    }

    /// Shown to people under another name.
    pub const fn shown_as(mut self, text: &'static str) -> Arg {
        self.shown_as = Some(text);
        self
    }

    /// Since when something else is better.
    pub const fn deprecated(mut self, version: &'static str) -> Arg {
        self.deprecated_since = version;
        self
    }

    /// Since a later version than the command.
    pub const fn since(mut self, version: &'static str) -> Arg {
        self.since = version;
        self
    }

    /// May be left out.
    pub const fn optional(mut self) -> Arg {
        self.optional = true;
        self
    }

    /// May come several times.
    pub const fn multiple(mut self) -> Arg {
        self.multiple = true;
        self
    }

    /// Its word comes each time.
    pub const fn multiple_token(mut self) -> Arg {
        self.multiple_token = true;
        self
    }
}

/// What a command belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Keys of any type.
    Generic,
    /// Hashes.
    Hash,
    /// Strings.
    String,
    /// Sets.
    Set,
    /// Lists.
    List,
    /// Bitmaps.
    Bitmap,
    /// HyperLogLogs.
    HyperLogLog,
    /// Sorted sets.
    SortedSet,
    /// Places.
    Geo,
    /// The connection.
    Connection,
    /// The server.
    Server,
    /// Publish and subscribe.
    PubSub,
    /// Streams.
    Stream,
    /// Transactions.
    Transactions,
    /// Scripts and functions.
    Scripting,
    /// Several servers that share the keys.
    Cluster,
}

impl Group {
    /// As COMMAND DOCS says it.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::Hash => "hash",
            Group::String => "string",
            Group::Set => "set",
            Group::List => "list",
            Group::Bitmap => "bitmap",
            Group::HyperLogLog => "hyperloglog",
            Group::SortedSet => "sorted-set",
            Group::Geo => "geo",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::PubSub => "pubsub",
            Group::Stream => "stream",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
            Group::Cluster => "cluster",
        }
    }
}

/// What COMMAND DOCS tells of a command.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    /// What it belongs to.
    pub group: Group,
    /// The version of Redis that had it first.
    pub since: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What changed: (version, change).
    pub history: &'static [(&'static str, &'static str)],
    /// Since when something else is better, and what.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// For the server's own parts and its tests rather than for applications.
    pub system: bool,
    /// Its arguments.
    pub args: &'static [Arg],
}

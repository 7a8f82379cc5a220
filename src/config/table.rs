//! What a row of the parameter table holds, and the handles to rows.
//!
//! A handle is a row's number with the type of its value, so that hot code reads
//! a value in one load and a wrong kind does not compile. The rows themselves
//! stand in [`param`](super::param).

use std::ops::RangeInclusive;

use super::check::{self, Check};
use super::kind::{Form, Kind, Names, Number, Value, working_folder};
use super::param::TABLE;

/// A parameter: everything about it but its value.
pub struct Param {
    name: &'static str,
    alias: Option<&'static str>,
    default: &'static str,
    kind: Kind,
    access: Access,
    hidden: bool,
    sensitive: bool,
    refused_while_loading: bool,
    in_force: bool,
}

/// Who may change a parameter at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever may call CONFIG SET.
    Mutable,
    /// The same, where `enable-protected-configs` allows it.
    Protected,
    /// Nobody: it is set at start.
    Immutable,
}

/// Finds the parameter of this name or alias, in any case; with it the name in
/// the table's spelling, alias or not.
pub fn find(name: &[u8]) -> Option<(&'static str, &'static Param)> {
    let (index, name) = index_of(name)?;
    Some((name, &TABLE[index]))
}

/// As [`find`], with the row's number.
pub(super) fn index_of(name: &[u8]) -> Option<(usize, &'static str)> {
    let spelling = |param: &Param| {
        param
            .names()
            .find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    TABLE
        .iter()
        .enumerate()
        .find_map(|(index, param)| Some((index, spelling(param)?)))
}

impl Param {
    const fn new(name: &'static str, default: &'static str, kind: Kind) -> Param {
        Param {
            name,
            alias: None,
            default,
            kind,
            access: Access::Mutable,
            hidden: false,
            sensitive: false,
            refused_while_loading: false,
            in_force: false,
        }
    }

    /// The parameter's own name, which is also that of messages and files.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name, and the older one where there is one.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name].into_iter().chain(self.alias)
    }

    /// Who may change it at run time.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether its value must not appear in logs and monitors.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive
    }

    /// Whether what it governs exists in Larder yet. Until then it is kept and
    /// reported.
    pub fn is_in_force(&self) -> bool {
        self.in_force
    }

    /// Whether CONFIG GET shows it to who asks by its full name alone.
    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Whether CONFIG SET has to wait for a snapshot to be loaded.
    pub(super) fn is_refused_while_loading(&self) -> bool {
        self.refused_while_loading
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The value where nobody gives one. A folder's is the working folder.
    pub(super) fn default_value(&self) -> Value {
        if let Kind::Folder = self.kind {
            return working_folder();
        }
        let words = self.kind.words(self.default.as_bytes());
        match self.kind.read(&words, None) {
            Ok(value) => value,
            Err(reason) => panic!("the default of {}: {reason}", self.name),
        }
    }

    /// Adds the name that older versions know it by.
    pub(super) const fn alias(mut self, alias: &'static str) -> Param {
        self.alias = Some(alias);
        self
    }

    pub(super) const fn immutable(mut self) -> Param {
        self.access = Access::Immutable;
        self
    }

    pub(super) const fn protected(mut self) -> Param {
        self.access = Access::Protected;
        self
    }

    pub(super) const fn hidden(mut self) -> Param {
        self.hidden = true;
        self
    }

    pub(super) const fn sensitive(mut self) -> Param {
        self.sensitive = true;
        self
    }

    pub(super) const fn refused_while_loading(mut self) -> Param {
        self.refused_while_loading = true;
        self
    }

    pub(super) const fn in_force(mut self) -> Param {
        self.in_force = true;
        self
    }

    /// Holds a text to more than being text.
    pub(super) const fn check(mut self, check: Check) -> Param {
        self.kind = Kind::Text(check);
        self
    }

    /// Replaces the kind that the handle's type stands for by a close relative.
    pub(super) const fn kept_as(mut self, kind: Kind) -> Param {
        self.kind = kind;
        self
    }

    /// Gives an integer another text form than decimal digits.
    pub(super) const fn form(mut self, form: Form) -> Param {
        if let Kind::Number(number) = &mut self.kind {
            number.form = form;
        }
        self
    }

    /// Replaces an integer within its range by the nearest useful one.
    pub(super) const fn adjust(mut self, adjust: fn(i128) -> i128) -> Param {
        if let Kind::Number(number) = &mut self.kind {
            number.adjust = adjust;
        }
        self
    }
}

/// Declares a handle type with the value that it stands for.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(u16);

        impl $name {
            pub(super) const fn at(index: u16) -> $name {
                $name(index)
            }

            pub(super) const fn index(self) -> usize {
                self.0 as usize
            }

            /// The parameter's name, as a hook of CONFIG SET is told it.
            pub fn name(self) -> &'static str {
                TABLE[self.index()].name
            }
        }
    };
}

handle! {
    /// A parameter that is yes or no.
    Flag
}
handle! {
    /// A parameter that is a number; its unit is in its docs, or bytes.
    Int
}
handle! {
    /// A parameter that is one of some names.
    Choice
}
handle! {
    /// A parameter that is a set of names.
    Bits
}
handle! {
    /// A parameter that is a text of any bytes.
    Text
}
handle! {
    /// A parameter with a structure of its own, for which `Settings` has a getter.
    Structured
}

impl Flag {
    pub(super) const fn param(name: &'static str, default: &'static str) -> Param {
        Param::new(name, default, Kind::Flag)
    }
}

impl Int {
    pub(super) const fn param(
        name: &'static str,
        default: &'static str,
        range: RangeInclusive<i128>,
    ) -> Param {
        const fn as_it_is(n: i128) -> i128 {
            n
        }
        let number = Number {
            form: Form::Decimal,
            range,
            adjust: as_it_is,
        };
        Param::new(name, default, Kind::Number(number))
    }
}

impl Choice {
    pub(super) const fn param(name: &'static str, default: &'static str, names: Names) -> Param {
        Param::new(name, default, Kind::Choice(names))
    }

    pub(super) fn names(self) -> Names {
        match TABLE[self.index()].kind {
            Kind::Choice(names) => names,
            _ => &[],
        }
    }
}

impl Bits {
    pub(super) const fn param(
        name: &'static str,
        default: &'static str,
        names: Names,
        exclusive: (u64, &'static str),
    ) -> Param {
        Param::new(name, default, Kind::Bits { names, exclusive })
    }
}

impl Text {
    pub(super) const fn param(name: &'static str, default: &'static str) -> Param {
        Param::new(name, default, Kind::Text(check::anything))
    }
}

impl Structured {
    pub(super) const fn param(name: &'static str, default: &'static str, kind: Kind) -> Param {
        Param::new(name, default, kind)
    }
}

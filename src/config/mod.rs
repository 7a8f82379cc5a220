//! redis.conf: its grammar, its parameters, and the settings in force.
//!
//! ```text
//!  argv ──► args ──► Sources ──► load ──┐                 ┌──► hot code (one load)
//!  file, include, stdin ────────────────┤                 │
//!                       grammar, kind   ├──► Settings ────┼──► CONFIG GET
//!  CONFIG SET ──────────────────────────┘      │          └──► CONFIG REWRITE
//!                          param: the table ───┘
//! ```
//!
//! [`param`] is the one table from which everything comes; `kind` the one place
//! that knows a value's text. A parameter whose feature is still to come is
//! accepted, kept and reported, and [`Settings::not_in_force`] names it.
//!
//! **Invariant:** imports `base` alone. It changes no state but its own and the
//! config file: to listen, to log or to change the working folder is for whoever
//! reads the settings, at start or in the hook of [`Settings::set`].

mod args;
mod check;
mod grammar;
mod include;
mod kind;
mod load;
mod names;
pub mod param;
mod policies;
pub mod policy;
mod rates;
mod rewrite;
mod settings;
mod structured;
mod table;
#[cfg(test)]
mod testing;

pub use args::{Invocation, Unsupported};
pub use grammar::{Unbalanced, quote, split};
pub use load::{Directive, LoadError, Place, Source, Sources};
pub use policies::{Defined, line as policy_line, of_line as policy_of_line};
pub use rates::{Network, RateLimit, RateTarget, masked};
pub use rewrite::{InForce, RewriteError, UserLine, replace as replace_file};
pub use settings::{Caller, Refusal, SetError, Settings};
pub use structured::{
    ClientClass, OomScores, OutputLimit, OutputLimits, Primary, SavePoint, event_bit,
};

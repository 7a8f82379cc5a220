//! The settings in force: read by every thread, changed by CONFIG SET.

use std::array;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::kind::{Value, name_of};
use super::load::Directive;
use super::param::{self, Access, Bits, Choice, Flag, Int, Structured, TABLE, Text};
use super::policies::Policies;
use super::rates::RateLimit;
use super::structured::{OomScores, OutputLimits, Primary, SavePoint};
use super::table;
use crate::base::glob::{self, Case};

/// All parameters with their values.
///
/// What is a number, flag, choice or set is read in one relaxed load: a thread
/// may see one parameter of a CONFIG SET a moment before another.
pub struct Settings {
    /// What hot code reads; an unsigned number beyond `i64` is the largest one.
    /// Written by `publish` alone.
    published: [AtomicI64; TABLE.len()],
    /// The exact values. Held for a moment only, never while a hook runs.
    pub(super) state: RwLock<State>,
    /// Held by CONFIG SET, hook included, and by CONFIG REWRITE.
    pub(super) writer: Mutex<()>,
    pub(super) file: Option<PathBuf>,
    directives: Vec<Directive>,
    pub(super) policies: Policies,
    /// The policies that the configuration defined when it was last read or written.
    pub(super) defined_policies: Mutex<Vec<Box<str>>>,
}

/// Values by their parameter's row, and which of them somebody gave.
#[derive(Clone)]
pub(super) struct State {
    pub(super) values: Vec<Value>,
    pub(super) given: Vec<bool>,
}

/// Who calls CONFIG SET, and when.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Whether the client is on this machine.
    pub is_local: bool,
    /// Whether a snapshot is being loaded.
    pub is_loading: bool,
}

/// A hook's answer where a new value cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The parameter that is to blame.
    pub name: &'static str,
    /// Why, for the client.
    pub reason: String,
}

/// Why CONFIG SET changed nothing. Displays as the client sees it, without the
/// error's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// A parameter that has to wait until the snapshot is loaded; the client
    /// gets the code `LOADING`.
    Loading,
    /// There is no parameter of this name.
    Unknown(String),
    /// A parameter, as the client or the table spells it, and the reason.
    Refused {
        /// Its name.
        name: String,
        /// The reason.
        reason: String,
    },
}

impl State {
    pub(super) fn defaults() -> State {
        State {
            values: TABLE.iter().map(|param| param.default_value()).collect(),
            given: vec![false; TABLE.len()],
        }
    }
}

impl Default for Settings {
    /// The settings of a server that was told nothing.
    fn default() -> Settings {
        Settings::new(State::defaults(), None, Vec::new())
    }
}

impl Settings {
    pub(super) fn new(state: State, file: Option<PathBuf>, directives: Vec<Directive>) -> Settings {
        let settings = Settings {
            published: array::from_fn(|_| AtomicI64::new(0)),
            state: RwLock::new(state.clone()),
            writer: Mutex::new(()),
            file,
            directives,
            policies: Policies::default(),
            defined_policies: Mutex::default(),
        };
        settings.publish(state);
        settings
    }

    pub(super) fn with_policies(self, policies: Policies) -> Settings {
        Settings { policies, ..self }
    }

    /// A number, in the unit that the handle's docs name.
    pub fn int(&self, handle: Int) -> i64 {
        self.published[handle.index()].load(Ordering::Relaxed)
    }

    /// Whether a parameter is `yes`.
    pub fn flag(&self, handle: Flag) -> bool {
        self.published[handle.index()].load(Ordering::Relaxed) != 0
    }

    /// The value of a choice: its name's place in the table, from 0.
    pub fn choice(&self, handle: Choice) -> usize {
        self.published[handle.index()].load(Ordering::Relaxed) as usize
    }

    /// The name of a choice, as CONFIG GET shows it.
    pub fn choice_name(&self, handle: Choice) -> &'static str {
        name_of(handle.names(), self.choice(handle) as i128)
    }

    /// A set of names, a bit for each.
    pub fn bits(&self, handle: Bits) -> u64 {
        self.published[handle.index()].load(Ordering::Relaxed) as u64
    }

    /// A text; empty where the parameter is not set.
    pub fn text(&self, handle: Text) -> Arc<[u8]> {
        self.exact(handle.index(), |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// The addresses to listen on, as they are written; empty for none.
    pub fn bind(&self) -> Vec<Arc<[u8]>> {
        self.addresses(param::BIND)
    }

    /// Addresses, as they are written; empty for none.
    pub fn addresses(&self, handle: Structured) -> Vec<Arc<[u8]>> {
        self.exact(handle.index(), |value| match value {
            Value::Addresses(all) => Some(all.clone()),
            _ => None,
        })
    }

    /// What clients may owe.
    pub fn output_limits(&self) -> OutputLimits {
        self.exact(
            param::CLIENT_OUTPUT_BUFFER_LIMIT.index(),
            |value| match value {
                Value::OutputLimits(limits) => Some(*limits),
                _ => None,
            },
        )
    }

    /// When snapshots are taken; empty for never.
    pub fn save_points(&self) -> Vec<SavePoint> {
        self.exact(param::SAVE.index(), |value| match value {
            Value::Save(points) => Some(points.clone()),
            _ => None,
        })
    }

    /// How many requests clients may make; empty for as many as they like.
    pub fn rate_limits(&self) -> Vec<RateLimit> {
        self.exact(param::RATE_LIMIT.index(), |value| match value {
            Value::RateLimits(limits) => Some(limits.clone()),
            _ => None,
        })
    }

    /// What the out-of-memory killer is told.
    pub fn oom_scores(&self) -> OomScores {
        self.exact(param::OOM_SCORE_ADJ_VALUES.index(), |value| match value {
            Value::OomScores(scores) => Some(*scores),
            _ => None,
        })
    }

    /// The server to follow at start.
    pub fn replica_of(&self) -> Option<Primary> {
        self.exact(param::REPLICAOF.index(), |value| match value {
            Value::Primary(primary) => Some(primary.clone()),
            _ => None,
        })
    }

    /// Notes the server that is followed from now on, for CONFIG GET and REWRITE.
    pub fn note_replica_of(&self, primary: Option<Primary>) {
        let index = param::REPLICAOF.index();
        let mut state = self.state.write();
        state.given[index] = primary.is_some();
        state.values[index] = Value::Primary(primary);
    }

    /// The percentiles of latency that INFO shows.
    pub fn latency_percentiles(&self) -> Vec<f64> {
        let index = param::LATENCY_TRACKING_INFO_PERCENTILES.index();
        self.exact(index, |value| match value {
            Value::Percentiles(all) => Some(all.clone()),
            _ => None,
        })
    }

    /// The config file's absolute path, where there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The lines of a directive that is no parameter (`user`, `rename-command`,
    /// `loadmodule`), in order. Who acts on one says with it what is wrong.
    pub fn directives(&self, name: &str) -> impl Iterator<Item = &Directive> {
        self.directives.iter().filter(move |d| d.name == name)
    }

    /// What somebody set whose feature is still to come.
    pub fn not_in_force(&self) -> Vec<&str> {
        let given = &self.state.read().given;
        let params = TABLE
            .iter()
            .zip(given)
            .filter(|(param, given)| **given && !param.is_in_force())
            .map(|(param, _)| param.name());
        let mut names: Vec<&str> = params.collect();
        let directives = self.directives.iter();
        let is_known = |d: &&Directive| d.name == "rename-command" || d.name == "user";
        for directive in directives.filter(|d| !is_known(d)) {
            if !names.contains(&directive.name.as_str()) {
                names.push(&directive.name);
            }
        }
        names
    }

    /// CONFIG GET: names and values of all parameters that a pattern matches, by
    /// name. A name and its alias are two entries; one that is asked for by its
    /// full name is spelled as it was asked for, and is found if hidden, too.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        // By the lower-case name, so that no spelling of one comes twice.
        let mut found: BTreeMap<Vec<u8>, (&[u8], usize)> = BTreeMap::new();
        for &pattern in patterns {
            if glob::is_literal(pattern) {
                if let Some((index, name)) = table::index_of(pattern) {
                    let entry = found.entry(name.into());
                    entry.or_insert((pattern, index));
                }
                continue;
            }
            for (index, param) in TABLE.iter().enumerate().filter(|(_, p)| !p.is_hidden()) {
                for name in param.names().map(str::as_bytes) {
                    if glob::matches(pattern, name, Case::Ignore) {
                        found.entry(name.into()).or_insert((name, index));
                    }
                }
            }
        }
        let state = self.state.read();
        let mut reply: Vec<_> = found
            .into_values()
            .map(|(name, index)| {
                let shown = TABLE[index].kind().show(&state.values[index]);
                (name.to_vec(), shown)
            })
            .collect();
        reply.sort();
        reply
    }

    /// CONFIG SET: all of the pairs or none.
    ///
    /// With the new values in place `apply` is called with the names of the
    /// parameters that changed, if any did. Where it refuses, the old values come
    /// back and it is called once more with the same names, to undo what it did;
    /// what it answers then is its own to log. It must not call `set` or
    /// `rewrite`.
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        caller: Caller,
        apply: &mut dyn FnMut(&[&'static str]) -> Result<(), Refusal>,
    ) -> Result<(), SetError> {
        let _turn = self.writer.lock();
        let targets = self.admit(pairs, caller)?;
        let old = self.state.read().clone();
        let mut new = old.clone();
        let mut changed = Vec::new();
        for ((index, name), (_, text)) in targets.into_iter().zip(pairs) {
            let kind = TABLE[index].kind();
            let base = (!kind.adds_up()).then_some(&new.values[index]);
            let value = kind
                .read(&kind.words(text), base)
                .map_err(|reason| SetError::refused(name.as_bytes(), &reason))?;
            if value != new.values[index] && !changed.contains(&TABLE[index].name()) {
                changed.push(TABLE[index].name());
            }
            new.values[index] = value;
            new.given[index] = true;
        }
        self.publish(new);
        if changed.is_empty() {
            return Ok(());
        }
        apply(&changed).map_err(|refusal| {
            self.publish(old);
            let _ = apply(&changed);
            SetError::refused(refusal.name.as_bytes(), &refusal.reason)
        })
    }

    /// The rows that the pairs name and the names' own spelling, where the caller
    /// may set all of them.
    fn admit(
        &self,
        pairs: &[(&[u8], &[u8])],
        caller: Caller,
    ) -> Result<Vec<(usize, &'static str)>, SetError> {
        let mut targets: Vec<(usize, &'static str)> = Vec::with_capacity(pairs.len());
        for &(given, _) in pairs {
            let Some(target) = table::index_of(given) else {
                return Err(SetError::Unknown(lossy(given)));
            };
            let param = &TABLE[target.0];
            match param.access() {
                Access::Immutable => {
                    return Err(SetError::refused(given, "can't set immutable config"));
                }
                Access::Protected if !self.allows_protected(caller) => {
                    return Err(SetError::refused(given, "can't set protected config"));
                }
                _ => {}
            }
            if caller.is_loading && param.is_refused_while_loading() {
                return Err(SetError::Loading);
            }
            if targets.contains(&target) {
                return Err(SetError::refused(given, "duplicate parameter"));
            }
            targets.push(target);
        }
        Ok(targets)
    }

    fn allows_protected(&self, caller: Caller) -> bool {
        match self.choice_name(param::ENABLE_PROTECTED_CONFIGS) {
            "yes" => true,
            "local" => caller.is_local,
            _ => false,
        }
    }

    fn publish(&self, new: State) {
        let mut state = self.state.write();
        for (place, value) in self.published.iter().zip(&new.values) {
            if let Value::Number(n) = value {
                let n = i64::try_from(*n).unwrap_or(i64::MAX);
                place.store(n, Ordering::Relaxed);
            }
        }
        *state = new;
    }

    /// What `pick` takes of a value that is too large for an atomic.
    ///
    /// # Panics
    ///
    /// Where the row's kind is not the one that `pick` takes, which is a mistake
    /// in the table.
    fn exact<T>(&self, index: usize, pick: impl Fn(&Value) -> Option<T>) -> T {
        pick(&self.state.read().values[index])
            .unwrap_or_else(|| panic!("{} is of another kind", TABLE[index].name()))
    }
}

impl SetError {
    fn refused(name: &[u8], reason: &str) -> SetError {
        SetError::Refused {
            name: lossy(name),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Loading => f.write_str("the dataset is being loaded"),
            SetError::Unknown(name) => write!(
                f,
                "Unknown option or number of arguments for CONFIG SET - '{name}'"
            ),
            SetError::Refused { name, reason } => write!(
                f,
                "CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            ),
        }
    }
}

impl std::error::Error for SetError {}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;

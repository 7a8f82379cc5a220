//! Access control: the users, how they show who they are, and what each may do.
//!
//! ```text
//!  user lines or aclfile ─┐                  ┌─► rights of a session (exec::access)
//!  ACL SETUSER, DELUSER ──┼─► Users, by name ┼─► AUTH, HELLO
//!  ACL LOAD, requirepass ─┘    (one lock)    └─► ACL LIST, SAVE, CONFIG REWRITE
//! ```
//!
//! A user is never changed: whoever changes one puts another one in its place and tells
//! [`exec::access`](crate::exec::access), so that every session looks again before its
//! next command. Whoever shows who it is does so under the same lock: it is the user
//! as it was then, or is found by who removes that.
//!
//! **Knows no** connection, and of clients only their users' names.

mod commands;
mod log;
mod password;
mod selector;
mod source;
#[cfg(test)]
mod tests;
mod user;
mod wrong;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::base::clock;
use crate::config::{Settings, param, replace_file};
use crate::exec::access::{Access, Authority, Context, Ground, Rights};
use crate::exec::engine::Engine;
use crate::exec::services::Service;
use crate::exec::session::{Client, Session};
use crate::exec::spec::CommandTable;
use crate::protocol::error::Error;

pub use commands::category_bit;
pub use log::Denied;
use log::Log;
pub use log::{Entry, Reason, context_name};
use password::Password;
pub use selector::Selector;
use selector::Terms;
pub use source::users_of;
pub use user::{DEFAULT, Error as RuleError, User, is_name, may_listen};

/// Users by name.
pub type Users = BTreeMap<Box<[u8]>, Arc<User>>;

/// Writes a client as CLIENT LIST shows it: the engine, the client, the time in Unix
/// milliseconds, and the bytes of its command's words.
pub type Describe = fn(&Engine, &Client, u64, usize) -> Vec<u8>;

/// See the head of this file.
pub struct Acl {
    /// Whoever writes tells `access` before letting go.
    users: RwLock<Users>,
    access: Arc<Access>,
    /// The `requirepass` that the default user was last given.
    password: Mutex<Arc<[u8]>>,
    /// Held while the file of users is written.
    writer: Mutex<()>,
    log: Log,
    describe: OnceLock<Describe>,
}

/// A user that was changed or removed.
pub struct Change {
    /// Its name.
    pub name: Box<[u8]>,
    /// What it may listen to now, where that is less than before; `None` where it is
    /// not. Of one that is gone: nothing is left of it.
    pub left: Option<Vec<Box<[u8]>>>,
    /// It is gone.
    pub is_gone: bool,
}

/// What rules are read by, as things are.
fn terms<'a>(settings: &Settings, table: &'a CommandTable) -> Terms<'a> {
    Terms {
        table,
        all_channels: settings.choice_name(param::ACL_PUBSUB_DEFAULT) == "allchannels",
    }
}

/// Makes a new `requirepass` the default user's password.
pub fn configure(engine: &Engine) {
    engine.service::<Acl>().take_password(engine);
}

impl Service for Acl {
    fn new(engine: &Engine) -> Arc<Acl> {
        let settings = &engine.settings;
        let password = settings.text(param::REQUIREPASS);
        let default = User::default_user(&password, terms(settings, &engine.commands));
        let acl = Arc::new(Acl {
            users: RwLock::new(Users::from([(DEFAULT.into(), default.into())])),
            access: engine.access.clone(),
            password: Mutex::new(password),
            writer: Mutex::default(),
            log: Log::default(),
            describe: OnceLock::new(),
        });
        engine.access.ask(acl.clone());
        acl.tell(&acl.users.read());
        acl
    }
}

impl Authority for Acl {
    fn rights_of(&self, user: &[u8]) -> Option<Arc<dyn Rights>> {
        let user = self.users.read().get(user).cloned()?;
        Some(user)
    }

    fn note(
        &self,
        engine: &Engine,
        client: &Client,
        ground: Ground,
        object: &[u8],
        context: Context,
    ) {
        let denials = &engine.counters.denials[ground as usize];
        denials.fetch_add(1, Ordering::Relaxed);
        let denied = Denied {
            reason: Reason::Rights(ground),
            context,
            object: object.to_vec(),
            user: client.names.lock().user.clone(),
        };
        self.log_denied(engine, client, denied);
    }
}

impl Acl {
    /// Has clients described so in the log.
    pub fn describe_clients(&self, describe: Describe) {
        self.describe.get_or_init(|| describe);
    }

    /// Every session looks again before its next command.
    fn tell(&self, users: &Users) {
        // There always is one.
        let Some(default) = users.get(DEFAULT) else {
            return;
        };
        let comes_in = default.is_open && default.is_on;
        self.access.renew(!comes_in, default.is_open);
    }

    fn take_password(&self, engine: &Engine) {
        let wanted = engine.settings.text(param::REQUIREPASS);
        let mut taken = self.password.lock();
        if *taken == wanted {
            return;
        }
        let mut users = self.users.write();
        if let Some(default) = users.get(DEFAULT) {
            let mut default = User::clone(default);
            default.set_password(&wanted);
            users.insert(DEFAULT.into(), default.into());
        }
        *taken = wanted;
        self.tell(&users);
    }

    /// The users that the server begins with.
    pub fn begin(&self, users: Users) {
        let mut present = self.users.write();
        *present = users;
        self.tell(&present);
    }

    /// The user of this name.
    pub fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// Changes a user by rules, or makes one: all of the rules are taken or none.
    pub fn set(&self, engine: &Engine, name: &[u8], rules: &[&[u8]]) -> Result<Change, RuleError> {
        let terms = terms(&engine.settings, &engine.commands);
        let mut users = self.users.write();
        let before = users.get(name).cloned();
        let user = match &before {
            Some(before) => before.with(rules, terms)?,
            None => User::new(name, terms).with(rules, terms)?,
        };
        let left = before.and_then(|before| user.channels_left(&before));
        users.insert(name.into(), user.into());
        self.tell(&users);
        Ok(Change {
            name: name.into(),
            left,
            is_gone: false,
        })
    }

    /// Removes users; those that were there.
    pub fn remove(&self, names: &[&[u8]]) -> Vec<Change> {
        let mut users = self.users.write();
        let mut removed = Vec::new();
        for name in names {
            if users.remove(*name).is_some() {
                removed.push(Change {
                    name: (*name).into(),
                    left: None,
                    is_gone: true,
                });
            }
        }
        self.tell(&users);
        removed
    }

    /// Takes exactly the users of a file; what has changed for whom.
    ///
    /// # Errors
    ///
    /// What is wrong with the file; nothing has changed then.
    pub fn load(&self, engine: &Engine, path: &Path) -> Result<Vec<Change>, String> {
        let terms = terms(&engine.settings, &engine.commands);
        let mut new = source::read_file(path, terms)?;
        let password = engine.settings.text(param::REQUIREPASS);
        new.entry(DEFAULT.into())
            .or_insert_with(|| User::default_user(&password, terms).into());
        let mut users = self.users.write();
        let mut changes = Vec::new();
        for (name, before) in users.iter() {
            let after = new.get(name);
            changes.push(Change {
                name: name.clone(),
                left: after.and_then(|after| after.channels_left(before)),
                is_gone: after.is_none(),
            });
        }
        changes.retain(|change| change.is_gone || change.left.is_some());
        *users = new;
        self.tell(&users);
        Ok(changes)
    }

    /// Writes the users to a file, atomically.
    ///
    /// # Errors
    ///
    /// What the system says; the file is as it was.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let _turn = self.writer.lock();
        let mut text = Vec::new();
        for user in self.all() {
            text.extend(user.line());
            text.push(b'\n');
        }
        replace_file(path, &text)
    }

    /// The lines that define the users in a config file, by name: not the default user's
    /// where it is as it would be without one.
    pub fn config_lines(&self, engine: &Engine) -> Vec<(Box<[u8]>, Vec<u8>)> {
        let terms = terms(&engine.settings, &engine.commands);
        let password = engine.settings.text(param::REQUIREPASS);
        let usual = User::default_user(&password, terms);
        let all = self.all();
        let said = all.iter().filter(|user| ***user != usual);
        said.map(|user| (user.name.clone(), user.config_line()))
            .collect()
    }

    /// Whether the words behind `user` on a line of a config file make the user that
    /// there is.
    pub fn is_as_said(&self, engine: &Engine, words: &[Vec<u8>]) -> bool {
        let terms = terms(&engine.settings, &engine.commands);
        let Some((name, rules)) = words.split_first() else {
            return false;
        };
        let said = User::new(name, terms).with(rules, terms);
        said.is_ok_and(|said| self.user(name).is_some_and(|user| *user == said))
    }

    /// Checks a password; from then on the client is that user. `word` is what it was
    /// said by.
    ///
    /// # Errors
    ///
    /// That it is not right, or that there is no such user, or that it may not come in.
    pub fn authenticate(
        &self,
        engine: &Engine,
        session: &mut Session,
        word: &[u8],
        name: &[u8],
        password: &[u8],
    ) -> Result<(), Error> {
        // Whether there is such a user or not, this takes its time.
        let password = Password::of(password);
        let users = self.users.read();
        if let Some(user) = users.get(name).filter(|user| user.accepts(&password)) {
            // Before others may remove the user, or its rights.
            session.be_authenticated();
            session.identify(name, !user.is_open);
            return Ok(());
        }
        drop(users);
        let failures = &engine.counters.auth_failures;
        failures.fetch_add(1, Ordering::Relaxed);
        session.publish();
        let denied = Denied {
            reason: Reason::Auth,
            context: match session.multi.is_some() || session.in_exec {
                true => Context::Multi,
                false => Context::TopLevel,
            },
            object: word.to_vec(),
            user: name.to_vec(),
        };
        self.log_denied(engine, &session.client, denied);
        Err(Error::WRONG_PASS)
    }

    fn log_denied(&self, engine: &Engine, client: &Client, denied: Denied) {
        let len_max = engine.settings.int(param::ACLLOG_MAX_LEN) as usize;
        let now_ms = clock::unix_ms();
        let client = match self.describe.get() {
            Some(describe) if len_max > 0 => describe(engine, client, now_ms, 0),
            _ => Vec::new(),
        };
        self.log.note(denied, client, now_ms, len_max);
    }

    /// The last entries of the log, at most so many.
    pub fn logged(&self, most: usize) -> Vec<Entry> {
        self.log.last(most)
    }

    /// Forgets the log.
    pub fn reset_log(&self) {
        self.log.reset();
    }
}

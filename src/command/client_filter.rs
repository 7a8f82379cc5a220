//! What CLIENT LIST and CLIENT KILL choose connections by.

use std::sync::atomic::Ordering;

use crate::acl::Acl;
use crate::base::num;
use crate::config::ClientClass;
use crate::exec::args::Args;
use crate::exec::engine::Engine;
use crate::exec::session::Client;
use crate::observe::clients;
use crate::protocol::error::Error;

/// The flags that CLIENT LIST may show, those of features still to come included.
const FLAGS: &str = "OSMPxbtRBdcuAUreTIiEN";
/// The capabilities that a client may claim.
const CAPABILITIES: &str = "r";

/// Properties of a connection; what is `None` is not asked for.
#[derive(Debug, Default)]
struct Terms<'a> {
    ids: Option<Vec<u64>>,
    addr: Option<&'a [u8]>,
    local_addr: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    /// `None` within: the server that is followed.
    class: Option<Option<ClientClass>>,
    flags: Option<String>,
    name: Option<&'a [u8]>,
    lib_name: Option<&'a [u8]>,
    lib_version: Option<&'a [u8]>,
    db: Option<u32>,
    capabilities: Option<String>,
    ip: Option<&'a [u8]>,
}

/// Which connections are meant.
#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    /// They have all of these.
    wanted: Terms<'a>,
    /// They have none of these (the options that begin with `NOT-`).
    unwanted: Terms<'a>,
    /// They came at least so many seconds ago.
    age_min_s: Option<u64>,
    /// They have been silent for at least so many seconds.
    idle_min_s: Option<u64>,
    /// The connection that asks is not meant.
    pub(super) skip_me: bool,
}

impl<'a> Filter<'a> {
    /// Those that come from an address.
    pub(super) fn of_addr(addr: &'a [u8]) -> Filter<'a> {
        let mut filter = Filter::default();
        filter.wanted.addr = Some(addr);
        filter
    }

    /// Reads options until the arguments end.
    pub(super) fn read(&mut self, engine: &Engine, args: &mut Args<'a>) -> Result<(), Error> {
        while !args.is_empty() {
            self.read_option(engine, args)?;
        }
        Ok(())
    }

    fn read_option(&mut self, engine: &Engine, args: &mut Args<'a>) -> Result<(), Error> {
        let option = args.bytes()?.to_ascii_lowercase();
        let (option, negative) = match option.strip_prefix(b"not-") {
            Some(option) => (option, true),
            None => (&option[..], false),
        };
        match (option, negative) {
            (b"id", _) => return self.terms(negative).read_ids(args),
            (b"maxage", false) => self.age_min_s = Some(seconds(args, "maxage")?),
            (b"idle", false) => self.idle_min_s = Some(seconds(args, "idle")?),
            (b"skipme", false) => {
                let word = args.bytes()?;
                self.skip_me = match () {
                    () if word.eq_ignore_ascii_case(b"yes") => true,
                    () if word.eq_ignore_ascii_case(b"no") => false,
                    () => return Err(Error::SYNTAX),
                };
            }
            _ => self
                .terms(negative)
                .read_term(engine, option, negative, args)?,
        }
        Ok(())
    }

    fn terms(&mut self, negative: bool) -> &mut Terms<'a> {
        match negative {
            true => &mut self.unwanted,
            false => &mut self.wanted,
        }
    }

    /// Whether a connection is meant by one that asks.
    pub(super) fn takes(&self, client: &Client, me: u64, now_ms: u64) -> bool {
        let active_ms = client.active_ms.load(Ordering::Relaxed);
        let has_seconds = |least: Option<u64>, since_ms| {
            least.is_none_or(|least| clients::seconds_between(since_ms, now_ms) >= least)
        };
        !(self.skip_me && client.id == me)
            && has_seconds(self.age_min_s, client.since_ms)
            && has_seconds(self.idle_min_s, active_ms)
            && self.wanted.verdicts(client).all(|has| has)
            && !self.unwanted.verdicts(client).any(|has| has)
    }
}

impl<'a> Terms<'a> {
    fn read_ids(&mut self, args: &mut Args<'a>) -> Result<(), Error> {
        let ids = self.ids.get_or_insert_default();
        while let Some(id) = args.peek().and_then(num::parse_i64) {
            if id < 1 {
                return Err("ERR client-id should be greater than 0".to_string().into());
            }
            ids.push(id as u64);
            args.bytes()?;
        }
        Ok(())
    }

    fn read_term(
        &mut self,
        engine: &Engine,
        option: &[u8],
        negative: bool,
        args: &mut Args<'a>,
    ) -> Result<(), Error> {
        let place = match option {
            b"addr" => &mut self.addr,
            b"laddr" => &mut self.local_addr,
            b"name" => &mut self.name,
            b"lib-name" => &mut self.lib_name,
            b"lib-ver" => &mut self.lib_version,
            b"ip" => &mut self.ip,
            b"user" => {
                let user = args.bytes()?;
                if engine.service::<Acl>().user(user).is_none() {
                    return Err(unknown("No such user", user));
                }
                self.user = Some(user);
                return Ok(());
            }
            b"type" => {
                self.class = Some(class(args.bytes()?)?);
                return Ok(());
            }
            b"flags" => {
                self.flags = Some(letters(args.bytes()?, "flags", FLAGS, negative)?);
                return Ok(());
            }
            b"capa" => {
                self.capabilities = Some(letters(args.bytes()?, "capa", CAPABILITIES, negative)?);
                return Ok(());
            }
            b"db" => {
                self.db = Some(database(engine, args.bytes()?, negative)?);
                return Ok(());
            }
            _ => return Err(Error::SYNTAX),
        };
        *place = Some(args.bytes()?);
        Ok(())
    }

    /// For each property that is asked for, whether the connection has it.
    fn verdicts(&self, client: &Client) -> impl Iterator<Item = bool> {
        let names = client.names.lock();
        // Who has no name has not even the empty one.
        let is_called = |wanted: Option<&[u8]>, name: &[u8]| {
            wanted.map(|wanted| !name.is_empty() && wanted == name)
        };
        let flags = clients::flags(client);
        let capabilities = clients::capabilities(client);
        [
            self.ids.as_ref().map(|ids| ids.contains(&client.id)),
            self.addr.map(|addr| addr == client.addr.as_bytes()),
            self.local_addr
                .map(|addr| addr == client.local_addr.as_bytes()),
            self.user.map(|user| user == names.user),
            self.class.map(|class| {
                let own = (!client.is_leader()).then(|| client.class());
                class == own
            }),
            self.flags
                .as_ref()
                .map(|all| all.chars().all(|c| flags.contains(c))),
            is_called(self.name, &names.name),
            is_called(self.lib_name, &names.lib_name),
            is_called(self.lib_version, &names.lib_version),
            self.db.map(|db| db == client.db.load(Ordering::Relaxed)),
            self.capabilities
                .as_ref()
                .map(|all| all.chars().all(|c| capabilities.contains(c))),
            self.ip.map(|ip| is_from(client.addr.as_bytes(), ip)),
        ]
        .into_iter()
        .flatten()
    }
}

fn unknown(what: &str, text: &[u8]) -> Error {
    Error::quoting(&format!("ERR {what} '"), text, "'")
}

fn seconds(args: &mut Args<'_>, option: &str) -> Result<u64, Error> {
    let n = num::parse_i64(args.bytes()?)
        .ok_or_else(|| format!("ERR {option} is not an integer or out of range"))?;
    match u64::try_from(n) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("ERR {option} should be greater than 0").into()),
    }
}

fn class(name: &[u8]) -> Result<Option<ClientClass>, Error> {
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    match () {
        () if is("normal") => Ok(Some(ClientClass::Normal)),
        () if is("slave") || is("replica") => Ok(Some(ClientClass::Replica)),
        () if is("pubsub") => Ok(Some(ClientClass::PubSub)),
        () if is("master") || is("primary") => Ok(None),
        () => Err(unknown("Unknown client type", name)),
    }
}

/// A text of letters, each one of `known`.
fn letters(text: &[u8], what: &str, known: &str, negative: bool) -> Result<String, Error> {
    let shown = String::from_utf8_lossy(text).into_owned();
    if shown.chars().all(|c| known.contains(c)) {
        return Ok(shown);
    }
    let filter = match negative {
        true => format!("the NOT-{}", what.to_uppercase()),
        false => "the provided".into(),
    };
    Err(format!("ERR Unknown {what} found in {filter} filter: {shown}").into())
}

fn database(engine: &Engine, text: &[u8], negative: bool) -> Result<u32, Error> {
    let name = if negative { "NOT-DB" } else { "DB" };
    let db = num::parse_i64(text)
        .and_then(|n| i32::try_from(n).ok())
        .ok_or_else(|| format!("ERR {name} is not an integer or out of range"))?;
    let most = i64::from(engine.databases()) - 1;
    match u32::try_from(db) {
        Ok(db) if i64::from(db) <= most => Ok(db),
        _ => Err(format!("ERR {name} number should be between 0 and {most}").into()),
    }
}

/// Whether an address, `ip:port` or `[ip]:port`, has this IP; a unix socket's
/// (port 0) has none.
fn is_from(addr: &[u8], ip: &[u8]) -> bool {
    let addr = addr.strip_prefix(b"[").unwrap_or(addr);
    addr.strip_prefix(ip)
        .map(|rest| rest.strip_prefix(b"]").unwrap_or(rest))
        .and_then(|rest| rest.strip_prefix(b":"))
        .is_some_and(|port| port.first() != Some(&b'0'))
}

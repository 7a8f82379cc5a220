//! CONFIG: the parameters in force, and the counters' beginning.

use super::{help, policy};
use crate::acl::Acl;
use crate::cache::limits::Limits;
use crate::cache::warming;
use crate::config::policy::Policy;
use crate::config::{self, Caller, Refusal, SetError, UserLine, param};
use crate::exec::context::Ctx;
use crate::exec::engine::Engine;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, flag::*};
use crate::exec::{files, logging};
use crate::observe::{cache, http};
use crate::protocol::error::Error;
use crate::store::shard::Stats;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("config", -2, help)
    .doc(
        Group::Server,
        "2.0.0",
        "Depends on subcommand.",
        "A container for commands about the configuration.",
    )
    .subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("get", -3, get)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .doc(
            Group::Server,
            "2.0.0",
            "O(N) when N is the number of configuration parameters provided",
            "Returns the values of parameters.",
        )
        .history(&[(
            "7.0.0",
            "Added the ability to pass multiple pattern parameters in one \
             call",
        )])
        .args(&[Arg::new("parameter", ArgKind::String).multiple()]),
    Spec::new("set", -4, set)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .secrets(|argv, i| i % 2 == 1 && is_sensitive(argv[i - 1]))
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc(
            Group::Server,
            "2.0.0",
            "O(N) when N is the number of configuration parameters provided",
            "Changes parameters while the server runs.",
        )
        .history(&[(
            "7.0.0",
            "Added the ability to set multiple parameters in one call.",
        )])
        .args(&[Arg::block(
            "data",
            &[
                Arg::new("parameter", ArgKind::String),
                Arg::new("value", ArgKind::String),
            ],
        )
        .multiple()]),
    Spec::new("rewrite", 2, rewrite)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc(
            Group::Server,
            "2.8.0",
            "O(1)",
            "Brings the config file up to date with the parameters in force.",
        ),
    Spec::new("resetstat", 2, reset_stat)
        .scope(Scope::Each)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc(
            Group::Server,
            "2.0.0",
            "O(1)",
            "Sets the server's counters to zero.",
        ),
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::Server,
        "5.0.0",
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
];

fn is_sensitive(name: &[u8]) -> bool {
    param::find(name).is_some_and(|(_, param)| param.is_sensitive())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "GET <pattern>",
            "    Return the parameters whose names match <pattern>, with their values.",
            "SET <directive> <value>",
            "    Change a parameter.",
            "RESETSTAT",
            "    Set the counters that INFO shows to zero.",
            "REWRITE",
            "    Bring the config file up to date.",
        ],
    );
    Ok(())
}

fn get(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let found = ctx.engine.settings.get(ctx.args.rest());
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(&name);
        ctx.reply.bulk(&value);
    }
    Ok(())
}

fn set(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (pairs, []) = ctx.args.rest().as_chunks::<2>() else {
        return Err(Error::SYNTAX);
    };
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let caller = Caller {
        is_local: ctx.session.client.is_local,
        is_loading: ctx.engine.is_loading(),
    };
    let engine = ctx.engine;
    engine
        .settings
        .set(&pairs, caller, &mut |changed| apply(engine, changed))
        .map_err(|error| match error {
            SetError::Loading => Error::new(format!("LOADING {error}")),
            other => Error::new(format!("ERR {other}")),
        })?;
    ctx.reply.ok();
    Ok(())
}

/// Makes changed parameters take effect where nobody reads them each time they
/// are needed. Called again, with the old values back in place, where it refuses.
fn apply(engine: &Engine, changed: &[&'static str]) -> Result<(), Refusal> {
    let settings = &engine.settings;
    let is_changed = |name: &str| changed.contains(&name);
    if is_changed(param::DIR.name()) {
        let dir = settings.text(param::DIR);
        nix::unistd::chdir(&*dir).map_err(|error| Refusal {
            name: param::DIR.name(),
            reason: error.desc().into(),
        })?;
    }
    if is_changed(param::MAXCLIENTS.name()) {
        let wanted = settings.int(param::MAXCLIENTS) as u64;
        let allowed = files::room_for_clients(wanted);
        if allowed < wanted {
            return Err(Refusal {
                name: param::MAXCLIENTS.name(),
                reason: format!(
                    "The operating system is not able to handle the specified number of clients, \
                     try with {allowed}"
                ),
            });
        }
    }
    let oom = [
        param::OOM_SCORE_ADJ.name(),
        param::OOM_SCORE_ADJ_VALUES.name(),
    ];
    if let Some(name) = oom.into_iter().find(|name| is_changed(name)) {
        engine.oom_score.configure(settings).map_err(|_| Refusal {
            name,
            reason: "Failed to set current oom_score_adj. Check server logs.".into(),
        })?;
    }
    let title = [
        param::PROC_TITLE_TEMPLATE.name(),
        param::PORT.name(),
        param::BIND.name(),
    ];
    if title.into_iter().any(is_changed)
        && let Some(retitle) = engine.retitle.get()
    {
        retitle();
    }
    let listening = [
        (
            param::PORT.name(),
            "Unable to listen on this port. Check server logs.",
        ),
        (param::BIND.name(), "Failed to bind to specified addresses."),
    ];
    if let Some((name, reason)) = listening.into_iter().find(|(name, _)| is_changed(name))
        && let Some(rebind) = engine.rebind.get()
    {
        rebind().map_err(|_| Refusal {
            name,
            reason: reason.into(),
        })?;
    }
    let answering = [param::HTTP_PORT.name(), param::HTTP_BIND.name()];
    if let Some(name) = answering.into_iter().find(|name| is_changed(name)) {
        http::rebind(engine).map_err(|error| Refusal {
            name,
            reason: format!("HTTP can't be answered there: {error}"),
        })?;
    }
    // Cheap, and right whatever of it changed.
    super::configure(engine);
    logging::configure(settings);
    Ok(())
}

/// What of policies and users is in force.
pub(super) struct InForce<'e>(pub &'e Engine);

impl config::InForce for InForce<'_> {
    fn policies(&self) -> Vec<Policy> {
        policy::in_force(self.0)
    }

    fn users(&self) -> Option<Vec<UserLine>> {
        let lines = self.0.service::<Acl>().config_lines(self.0);
        let line = |(name, line)| UserLine { name, line };
        Some(lines.into_iter().map(line).collect())
    }

    fn is_user(&self, words: &[Vec<u8>]) -> bool {
        self.0.service::<Acl>().is_as_said(self.0, words)
    }
}

fn rewrite(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    match ctx.engine.settings.rewrite(&InForce(ctx.engine)) {
        Ok(()) => {
            crate::notice!("CONFIG REWRITE executed with success.");
            ctx.reply.ok();
            Ok(())
        }
        Err(error) => {
            crate::warning!("CONFIG REWRITE failed: {error}");
            Err(format!("ERR {error}").into())
        }
    }
}

fn reset_stat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.engine.reset_totals();
    ctx.engine.service::<warming::Figures>().reset();
    ctx.engine.service::<Limits>().reset();
    for index in 0..ctx.txn.shards() {
        let shard = ctx.txn.shard(index);
        cache::reset(shard);
        let stats = &mut shard.stats;
        // What the next snapshot would have to save is no statistic.
        *stats = Stats {
            changes: stats.changes,
            ..Stats::default()
        };
    }
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;

    #[test]
    fn what_is_set_can_be_got() {
        let mut kit = Kit::new();
        assert_eq!(
            kit.run("config set maxmemory 1mb maxmemory-samples 7"),
            "+OK\r\n"
        );
        assert_eq!(
            kit.run("config get maxmemory maxmemory-s*"),
            "*4\r\n$9\r\nmaxmemory\r\n$7\r\n1048576\r\n$17\r\nmaxmemory-samples\r\n$1\r\n7\r\n"
        );
        kit.run("hello 3");
        assert_eq!(kit.run("config get nosuch"), "%0\r\n");
    }

    #[test]
    fn all_is_set_or_nothing() {
        let mut kit = Kit::new();
        assert_eq!(
            kit.run("config set maxmemory-samples 9 nosuch 1"),
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n"
        );
        assert!(
            kit.run("config get maxmemory-samples")
                .ends_with("$1\r\n5\r\n")
        );
        assert_eq!(kit.run("config set a b c"), "-ERR syntax error\r\n");
        assert!(
            kit.run("config set databases 3")
                .contains("can't set immutable config")
        );
        assert!(
            kit.run("config set dir /")
                .contains("can't set protected config")
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_refused() {
        let mut kit = Kit::with(&["--enable-protected-configs", "yes"]);
        let before = std::env::current_dir().expect("a working folder");
        assert_eq!(
            kit.run("config set dir /no/such/folder"),
            "-ERR CONFIG SET failed (possibly related to argument 'dir') - No such file or directory\r\n"
        );
        assert_eq!(std::env::current_dir().expect("a working folder"), before);
    }

    #[test]
    fn without_a_file_there_is_nothing_to_rewrite() {
        let mut kit = Kit::new();
        assert_eq!(
            kit.run("config rewrite"),
            "-ERR The server is running without a config file\r\n"
        );
        assert!(kit.run("config help").contains("+GET <pattern>\r\n"));
    }
}

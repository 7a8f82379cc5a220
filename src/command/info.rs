//! INFO.

use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, category, flag::*};
use crate::observe::info;
use crate::protocol::error::Error;
use crate::script::Scripting;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("info", -1, info)
    .scope(Scope::Each)
    .flags(LOADING | STALE)
    .category(category::DANGEROUS)
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ])
    .doc(
        Group::Server,
        "1.0.0",
        "O(1)",
        "Returns figures and facts about the server.",
    )
    .history(&[(
        "7.0.0",
        "Added support for taking multiple section arguments.",
    )])
    .args(&[Arg::new("section", ArgKind::String).optional().multiple()])];

fn info(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.session.publish();
    // The libraries of a snapshot that was just read count, though none has been called.
    ctx.engine.service::<Scripting>().counts(ctx.engine);
    let text = info::render(ctx.engine, ctx.txn, ctx.args.rest());
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;

    /// The titles of the sections in a reply.
    fn titles(reply: &str) -> Vec<&str> {
        reply.lines().filter_map(|l| l.strip_prefix("# ")).collect()
    }

    fn field(reply: &str, name: &str) -> String {
        let start = format!("{name}:");
        let line = reply.lines().find_map(|l| l.strip_prefix(start.as_str()));
        line.expect(name).into()
    }

    #[test]
    fn sections_come_in_their_own_order_and_once() {
        let mut kit = Kit::new();
        let default = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats \
                       Cluster Cache Keyspace";
        let all = "Server TLS Clients Memory Persistence Stats Replication CPU Modules Commandstats \
                   Errorstats Latencystats Cluster Cluster Info Cache Keyspace Scripting Engines";
        for (words, expected) in [
            ("", default),
            ("default", default),
            ("all", all),
            ("EVERYTHING", all),
            ("keyspace SERVER server", "Server Keyspace"),
            (
                "default commandstats",
                &default.replace("Err", "Commandstats Err"),
            ),
            ("modules", "Modules"),
            ("nosuch", ""),
        ] {
            let reply = kit.run(&format!("info {words}"));
            assert_eq!(titles(&reply).join(" "), expected, "{words}");
        }
        assert_eq!(kit.run("info nosuch"), "$0\r\n\r\n");
    }

    #[test]
    fn clients_that_ask_for_a_version_find_one() {
        let reply = Kit::new().run("info server");
        assert_eq!(field(&reply, "redis_version"), "7.2.4");
        assert_eq!(field(&reply, "server_name"), "larder");
        assert_eq!(field(&reply, "larder_version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(field(&reply, "run_id").len(), 40);
        assert_eq!(
            field(&reply, "listener0"),
            "name=tcp,bind=127.0.0.1,bind=-::1,port=6379"
        );
    }

    #[test]
    fn what_happens_is_counted_and_can_be_forgotten() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        for line in [
            "debug populate 3",
            "get key:0",
            "get nokey",
            "get",
            "nosuch",
            "config nosuch",
        ] {
            kit.run(line);
        }
        kit.run("multi");
        kit.run("get key:1");
        kit.run("exec");
        let stats = kit.run("info stats commandstats errorstats persistence");
        assert_eq!(field(&stats, "keyspace_hits"), "2");
        assert_eq!(field(&stats, "keyspace_misses"), "1");
        assert_eq!(field(&stats, "total_error_replies"), "3");
        assert_eq!(field(&stats, "errorstat_ERR"), "count=3");
        assert_eq!(field(&stats, "rdb_changes_since_last_save"), "3");
        // DEBUG, two GETs, MULTI, the GET within, EXEC.
        assert_eq!(field(&stats, "total_commands_processed"), "6");
        let get = field(&stats, "cmdstat_get");
        assert!(
            get.starts_with("calls=3,usec=") && get.ends_with(",rejected_calls=1,failed_calls=0"),
            "{get}"
        );
        assert_eq!(kit.run("config resetstat"), "+OK\r\n");
        kit.run("config set latency-tracking-info-percentiles \"0 100\"");
        let latency = field(
            &kit.run("info latencystats"),
            "latency_percentiles_usec_config|resetstat",
        );
        assert!(
            latency.starts_with("p0=") && latency.contains(",p100="),
            "{latency}"
        );
        let stats = kit.run("info stats commandstats errorstats persistence");
        assert_eq!(field(&stats, "keyspace_hits"), "0");
        assert_eq!(field(&stats, "total_error_replies"), "0");
        assert_eq!(field(&stats, "total_commands_processed"), "3");
        assert_eq!(field(&stats, "rdb_changes_since_last_save"), "3");
        assert!(!stats.contains("errorstat_") && !stats.contains("cmdstat_get"));
        assert!(field(&stats, "cmdstat_config|resetstat").starts_with("calls=1,"));
    }

    #[test]
    fn codes_that_clients_make_up_are_told_apart_up_to_a_limit() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        for i in 0..200 {
            kit.run(&format!("debug error MINE{i}"));
        }
        kit.run("get");
        kit.run("debug error MINE1");
        let stats = kit.run("info errorstats");
        assert_eq!(field(&stats, "errorstat_MINE1"), "count=2");
        assert_eq!(field(&stats, "errorstat_ERRORSTATS_OVERFLOW"), "count=72");
        assert_eq!(field(&stats, "errorstat_ERR"), "count=1");
    }

    #[test]
    fn what_the_cache_is_worth_is_told_for_all_keys_and_for_each_policy() {
        let mut kit = Kit::new();
        kit.policy("a:b a:*");
        for line in ["get a:1", "set a:1 x", "get a:1", "get other"] {
            kit.run(line);
        }
        let reply = kit.run("info cache");
        assert_eq!(field(&reply, "cache_policies"), "1");
        assert_eq!(field(&reply, "cache_requests"), "3");
        assert_eq!(field(&reply, "cache_hit_rate"), "0.3333");
        assert_eq!(field(&reply, "cache_misses_never_seen"), "1");
        let policy = field(&reply, "cache_policy_a%3Ab");
        assert!(policy.starts_with("keys=1,bytes="), "{policy}");
        assert!(policy.contains(",requests=2,hits=1,"), "{policy}");
        assert!(policy.contains(",hit_rate=0.5000,"), "{policy}");
    }

    #[test]
    fn databases_with_keys_are_listed() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        kit.run("select 3");
        kit.run("debug populate 5");
        assert_eq!(
            field(&kit.run("info keyspace"), "db3"),
            "keys=5,expires=0,avg_ttl=0,keys_with_volatile_items=0"
        );
    }

    #[test]
    fn it_is_text_for_people_in_resp3_and_runs_in_a_transaction() {
        let mut kit = Kit::new();
        kit.run("hello 3");
        assert!(
            kit.run("info cluster")
                .starts_with("=34\r\ntxt:# Cluster\r\n")
        );
        kit.run("multi");
        kit.run("info keyspace");
        assert_eq!(kit.run("exec"), "*1\r\n=16\r\ntxt:# Keyspace\r\n\r\n");
    }
}

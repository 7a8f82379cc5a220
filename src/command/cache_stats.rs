//! CACHE.STATS: the figures of policies.

use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, flag::*};
use crate::observe::cache::{self, Cache, Row};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::figures::{REASON_NAMES, Spread};

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("cache.stats", -1, stats)
    .scope(Scope::Each)
    .flags(READONLY | LOADING | STALE)
    .tips(&["nondeterministic_output", "request_policy:all_shards"])
    .doc(
        Group::Server,
        "1.0.0",
        "O(P) where P is the number of policies",
        "Returns the figures of a policy, or of all of them.",
    )
    .args(&[Arg::new("policy", ArgKind::String).optional()])];

fn stats(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let wanted = match ctx.args.rest() {
        [] => None,
        [name] => Some(*name),
        _ => return Err(Error::SYNTAX),
    };
    let all = Cache::gather(ctx.txn);
    let rows = match wanted {
        None => &all.rows[..],
        Some(name) => {
            let at = all.rows.iter().position(|r| r.name.as_bytes() == name);
            let at = at.ok_or_else(|| Error::quoting("ERR There is no policy '", name, "'"))?;
            &all.rows[at..=at]
        }
    };
    ctx.reply.map(rows.len());
    for row in rows {
        ctx.reply.bulk(row.name.as_bytes());
        write(&mut ctx.reply, row);
    }
    Ok(())
}

fn write(reply: &mut Reply<'_>, row: &Row) {
    let rates = [
        ("hit_rate", row.hit_rate()),
        ("penetration_rate", row.penetration_rate()),
    ];
    let sizes = [
        ("keys", row.keys),
        ("bytes", row.bytes),
        ("nulls", row.nulls),
        ("null_bytes", row.null_bytes),
        ("departed", row.departed),
        ("departed_bytes", row.departed_bytes),
        ("leases_held", row.leases),
        ("lease_bytes", row.lease_bytes),
    ];
    let sums = [
        ("requests", row.requests()),
        ("misses", row.missed()),
        ("penetration_attempts", row.penetration_attempts()),
    ];
    let counts = row.figures.counts();
    let misses = REASON_NAMES.iter().zip(row.figures.misses);
    let spreads = [
        ("load_ms", &row.figures.load_ms),
        ("eviction_age_s", &row.figures.eviction_age_s),
    ];
    let fields = rates.len() + sizes.len() + sums.len() + counts.len() + misses.len();
    reply.map(2 + fields + spreads.len());
    reply.bulk(b"pattern");
    match &row.pattern {
        Some(pattern) => reply.bulk(pattern),
        None => reply.null(),
    }
    reply.bulk(b"enabled");
    match row.enabled() {
        Some(enabled) => reply.bulk(enabled.as_bytes()),
        None => reply.null(),
    }
    for (name, rate) in rates {
        reply.bulk(name.as_bytes());
        reply.double(rate.unwrap_or(0.0));
    }
    for (name, size) in sizes {
        reply.bulk(name.as_bytes());
        reply.size(size);
    }
    for (name, count) in sums.into_iter().chain(counts) {
        reply.bulk(name.as_bytes());
        reply.int(count as i64);
    }
    for (reason, count) in misses {
        reply.bulk(format!("misses_{reason}").as_bytes());
        reply.int(count as i64);
    }
    for (name, spread) in spreads {
        reply.bulk(name.as_bytes());
        write_spread(reply, spread);
    }
}

fn write_spread(reply: &mut Reply<'_>, spread: &Spread) {
    reply.map(4);
    reply.bulk(b"count");
    reply.int(spread.count() as i64);
    for (name, value) in [
        ("avg", cache::mean(spread)),
        ("p50", cache::quantile(spread, 0.5)),
        ("p99", cache::quantile(spread, 0.99)),
    ] {
        reply.bulk(name.as_bytes());
        reply.double(value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;

    fn governed() -> Kit {
        let mut kit = Kit::new();
        kit.policy("a a:*");
        kit
    }

    #[test]
    fn cache_stats_tells_of_each_policy_and_of_keys_without_one() {
        let mut kit = governed();
        for line in ["get a:1", "set a:1 x", "get a:1", "get other"] {
            kit.run(line);
        }
        let reply = kit.run("cache.stats").replace("\r\n", " ");
        assert!(reply.starts_with("*4 $1 a *"), "{reply}");
        assert!(reply.contains("$6 (none) *"), "{reply}");
        kit.run("hello 3");
        let reply = kit.run("cache.stats a").replace("\r\n", " ");
        assert!(reply.starts_with("%1 $1 a %"), "{reply}");
        for part in [
            "$7 pattern $3 a:* ",
            "$8 hit_rate ,0.5 ",
            "$4 keys :1 ",
            "$8 requests :2 ",
            "$4 hits :1 ",
            "$17 misses_never_seen :1 ",
            "$7 load_ms %4 $5 count ",
        ] {
            assert!(reply.contains(part), "{part}: {reply}");
        }
        let reply = kit.run("cache.stats (none)").replace("\r\n", " ");
        assert!(reply.contains("$6 misses :1 "), "{reply}");
    }

    #[test]
    fn a_policy_that_is_not_there_is_no_policy() {
        let mut kit = governed();
        assert_eq!(kit.run("cache.stats b"), "-ERR There is no policy 'b'\r\n");
        assert_eq!(kit.run("cache.stats a b"), "-ERR syntax error\r\n");
    }

    #[test]
    fn config_resetstat_forgets_what_policies_counted() {
        let mut kit = governed();
        kit.run("get a:1");
        kit.run("config resetstat");
        let reply = kit.run("cache.stats a").replace("\r\n", " ");
        assert!(reply.contains("$8 requests :0 "), "{reply}");
        assert!(reply.contains("$8 hit_rate $1 0 "), "{reply}");
    }
}

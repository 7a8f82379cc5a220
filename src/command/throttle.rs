//! CL.THROTTLE: a limit on a rate for applications, with the arguments and the
//! replies of redis-cell.
//!
//! The state is a string under the key, the theoretical arrival time in Unix
//! nanoseconds ([`crate::cache::gcra`]), and the key goes when that is past. So
//! others hear of a plain SET with a deadline.

use super::string::string;
use crate::base::{clock, num};
use crate::cache::gcra::Quota;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{Arg, ArgKind, Group, Spec, category, flag::*, key, key_flag::*};
use crate::exec::txn::{Deadline, Found};
use crate::protocol::error::Error;
use crate::store::entry::{NewValue, Value};

const SET: Event = Event::string("set");
const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("cl.throttle", -5, throttle)
    .flags(WRITE | DENYOOM | FAST)
    .category(category::STRING)
    .keys(&[key(1, RW | ACCESS | UPDATE)])
    .doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Takes a part of what a rate allows, or says when to come again.",
    )
    .args(&[
        Arg::key("key"),
        Arg::new("max_burst", ArgKind::Integer).summary("How many beyond the first at once."),
        Arg::new("count", ArgKind::Integer).summary("How many in a period."),
        Arg::new("period", ArgKind::Integer).summary("The period in seconds."),
        Arg::new("quantity", ArgKind::Integer)
            .summary("How many now; 0 to look, and 1 where it is left out.")
            .optional(),
    ])];

/// CL.THROTTLE key max_burst count period [quantity]
fn throttle(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let max_burst = number(ctx, "max_burst", 0)?;
    let count = number(ctx, "count", 1)?;
    let period_s = number(ctx, "period", 1)?;
    let quantity = match ctx.args.is_empty() {
        true => 1,
        false => number(ctx, "quantity", 0)?,
    };
    if !ctx.args.is_empty() {
        return Err(Error::arity(ctx.spec.name));
    }
    let limit = max_burst.saturating_add(1);
    let quota = period_s
        .checked_mul(NS_PER_S)
        .and_then(|period_ns| Quota::new(count, period_ns, limit))
        .ok_or(Error::NO_RATE)?;
    let found = ctx.txn.find(&key);
    let tat_ns = found.map(|found| state(ctx, found)).transpose()?;
    let decision = quota.decide(tat_ns, clock::unix_ns(), quantity);
    if let Some(tat_ns) = decision.tat_ns
        && quantity > 0
    {
        let deadline_ms = tat_ns.div_ceil(NS_PER_MS);
        let state = i64::try_from(tat_ns).unwrap_or(i64::MAX);
        let deadline = Deadline::At(deadline_ms);
        ctx.txn
            .put(&key, found, NewValue::Int(state), deadline, SET);
        ctx.txn.also(&key, Event::EXPIRE);
        ctx.txn.rewrite(|| {
            let (state, ms) = (state.to_string(), deadline_ms.to_string());
            [b"SET", key.bytes, state.as_bytes(), b"PXAT", ms.as_bytes()]
                .map(<[u8]>::to_vec)
                .into()
        });
    }
    let is_limited = decision.tat_ns.is_none();
    ctx.reply.array(5);
    ctx.reply.flag(is_limited);
    ctx.reply.int(limit as i64);
    ctx.reply.int(decision.remaining as i64);
    ctx.reply.int(decision.retry_after_ns.map_or(-1, seconds));
    ctx.reply.int(seconds(decision.reset_after_ns));
    Ok(())
}

/// The next argument, which must be a number of at least so much.
fn number(ctx: &mut Ctx<'_, '_>, name: &str, least: i64) -> Result<u64, Error> {
    num::parse_i64(ctx.args.bytes()?)
        .filter(|n| *n >= least)
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| Error::at_least(name, least))
}

/// The arrival time that a key holds.
fn state(ctx: &Ctx<'_, '_>, found: Found) -> Result<u64, Error> {
    let tat_ns = match string(ctx.txn.entry(found))? {
        Value::Int(n) => u64::try_from(n).ok(),
        Value::Str(text) => num::parse_u64(text),
        Value::Blob(_) | Value::Object(_) => None,
    };
    tat_ns.ok_or(Error::NO_THROTTLE_STATE)
}

/// Whole seconds: whoever comes again after them is not too early by a
/// millisecond or more.
fn seconds(ns: u64) -> i64 {
    (ns / NS_PER_MS).div_ceil(1000) as i64
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{Kit, check, recorded};
    use crate::base::clock;

    /// The clock stands at a time of this one's choosing until this is gone.
    struct Frozen(u64);

    impl Frozen {
        fn new() -> Frozen {
            let frozen = Frozen(2_000_000_000_000);
            clock::freeze(frozen.0);
            frozen
        }

        fn pass(&mut self, ms: u64) {
            self.0 += ms;
            clock::freeze(self.0);
        }
    }

    impl Drop for Frozen {
        fn drop(&mut self) {
            clock::freeze(0);
        }
    }

    #[test]
    fn a_rate_is_spent_and_earned_anew() {
        let mut time = Frozen::new();
        let kit = &mut Kit::new();
        let reply = |numbers: [i64; 5]| {
            let numbers = numbers.map(|n| format!(":{n}"));
            format!("*5 {}", numbers.join(" "))
        };
        // How long after the last one, how many, and the reply.
        for (wait_ms, quantity, expected) in [
            (0, "6", [1, 5, 5, -1, 0]),
            (0, "1", [0, 5, 4, -1, 1]),
            (0, "1", [0, 5, 3, -1, 2]),
            (0, "2", [0, 5, 1, -1, 4]),
            (0, "1", [0, 5, 0, -1, 5]),
            (0, "0", [0, 5, 0, -1, 5]),
            (0, "1", [1, 5, 0, 1, 5]),
            (3000, "1", [0, 5, 2, -1, 3]),
            (100, "1", [0, 5, 1, -1, 4]),
            (900, "1", [0, 5, 1, -1, 4]),
            (4000, "1", [0, 5, 4, -1, 1]),
            (1500, "0", [0, 5, 5, -1, 0]),
            (0, "3", [0, 5, 2, -1, 3]),
            (0, "5", [1, 5, 2, 3, 3]),
            (1, "5", [1, 5, 2, 3, 3]),
            (0, "9223372036854775807", [1, 5, 2, -1, 3]),
        ] {
            time.pass(wait_ms);
            let line = format!("cl.throttle k 4 1 1 {quantity}");
            check(kit, &[(&line, &reply(expected))]);
        }
        check(kit, &[("cl.throttle k 4 1 1", &reply([0, 5, 1, -1, 4]))]);
    }

    #[test]
    fn parts_of_a_millisecond_do_not_make_a_second() {
        let _time = Frozen::new();
        // A third of 10 s is 3,333,333,333 ns.
        let kit = &mut Kit::new();
        check(
            kit,
            &[
                ("cl.throttle k 0 3 10", "*5 :0 :1 :0 :-1 :4"),
                ("cl.throttle k 0 3 10", "*5 :1 :1 :0 :4 :4"),
                ("cl.throttle small 0 5000 1", "*5 :0 :1 :0 :-1 :0"),
                ("cl.throttle large 0 10000 10001", "*5 :0 :1 :0 :-1 :1"),
            ],
        );
    }

    #[test]
    fn the_state_is_an_arrival_time_and_goes_when_that_is_past() {
        let mut time = Frozen::new();
        let kit = &mut Kit::new();
        check(
            kit,
            &[
                ("cl.throttle k 4 1 60 0", "*5 :0 :5 :5 :-1 :0"),
                ("exists k", ":0"),
                ("cl.throttle k 4 1 60 2", "*5 :0 :5 :3 :-1 :120"),
                ("type k", "+string"),
                ("get k", "$19 2000000120000000000"),
                ("pttl k", ":120000"),
                ("cl.throttle k 4 1 60", "*5 :0 :5 :2 :-1 :180"),
                ("pexpiretime k", ":2000000180000"),
            ],
        );
        time.pass(180_001);
        check(kit, &[("exists k", ":0")]);
    }

    #[test]
    fn others_hear_of_a_plain_set_and_of_nothing_where_nothing_is_taken() {
        let _time = Frozen::new();
        let (mut kit, recorder) = recorded();
        kit.run("cl.throttle k 0 1 60");
        let effects = recorder.take();
        let lines: Vec<String> = effects
            .iter()
            .flat_map(|e| e.commands.told())
            .map(|(_, words)| String::from_utf8_lossy(&words.join(&b' ')).into_owned())
            .collect();
        assert_eq!(lines, ["SET k 2000000060000000000 PXAT 2000000060000"]);
        let mut follower = Kit::new();
        follower.replay(&effects);
        assert_eq!(follower.contents(), kit.contents());
        kit.run("cl.throttle k 0 1 60");
        kit.run("cl.throttle k 0 1 60 0");
        assert!(recorder.commands().is_empty());
        kit.run("del k");
        recorder.take();
        kit.run("cl.throttle k 0 1 60");
        assert_eq!(recorder.events(), ["new", "set", "expire"]);
    }

    #[test]
    fn what_makes_no_rate_is_refused() {
        let kit = &mut Kit::new();
        let no_rate = "-ERR max_burst, count and period make no rate: at most 1000000000 a \
                       second, and a whole burst within 100 years";
        check(
            kit,
            &[
                (
                    "cl.throttle k -1 1 1",
                    "-ERR max_burst must be an integer, at least 0",
                ),
                (
                    "cl.throttle k x 1 1",
                    "-ERR max_burst must be an integer, at least 0",
                ),
                (
                    "cl.throttle k 1 0 1",
                    "-ERR count must be an integer, at least 1",
                ),
                (
                    "cl.throttle k 1 1 0",
                    "-ERR period must be an integer, at least 1",
                ),
                (
                    "cl.throttle k 1 1 -5",
                    "-ERR period must be an integer, at least 1",
                ),
                (
                    "cl.throttle k 1 1 1 -1",
                    "-ERR quantity must be an integer, at least 0",
                ),
                (
                    "cl.throttle k 1 1 1 1.5",
                    "-ERR quantity must be an integer, at least 0",
                ),
                (
                    "cl.throttle k 1 1 1 1 1",
                    "-ERR wrong number of arguments for 'cl.throttle' command",
                ),
                (
                    "cl.throttle k 1 1",
                    "-ERR wrong number of arguments for 'cl.throttle' command",
                ),
                ("cl.throttle k 1 1000000001 1", no_rate),
                ("cl.throttle k 1 1 9223372036854775807", no_rate),
                ("cl.throttle k 9223372036854775807 1 1", no_rate),
                ("exists k", ":0"),
            ],
        );
    }

    #[test]
    fn a_key_that_holds_something_else_is_left_alone() {
        let kit = &mut Kit::new();
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        let none = "-ERR the key holds a string that is no state of a rate limit";
        check(
            kit,
            &[
                ("lpush l 1", ":1"),
                ("cl.throttle l 1 1 1", wrong),
                ("set s text", "+OK"),
                ("cl.throttle s 1 1 1", none),
                ("get s", "$4 text"),
                ("set s -1", "+OK"),
                ("cl.throttle s 1 1 1", none),
                // Any string of the right form is one.
                ("set s 1", "+OK"),
                ("cl.throttle s 1 1 60", "*5 :0 :2 :1 :-1 :60"),
            ],
        );
        kit.run("set far 9223372036854775807");
        let reply = kit.run("cl.throttle far 0 1 1");
        assert!(reply.starts_with("*5\r\n:1\r\n:1\r\n:0\r\n:"), "{reply}");
    }

    #[test]
    fn a_transaction_takes_its_part_and_resp3_says_the_same() {
        let _time = Frozen::new();
        let kit = &mut Kit::new();
        kit.run("hello 3");
        check(
            kit,
            &[
                ("multi", "+OK"),
                ("cl.throttle k 0 1 60", "+QUEUED"),
                ("cl.throttle k 0 1 60", "+QUEUED"),
                ("exec", "*2 *5 :0 :1 :0 :-1 :60 *5 :1 :1 :0 :60 :60"),
            ],
        );
    }
}

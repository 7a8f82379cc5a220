use super::*;
use crate::command::testkit::Kit;
use crate::exec::session::Arrival;

/// Another client of the kit's engine, from this address.
fn from(kit: &Kit, addr: &str) -> Kit {
    let client = kit.engine.clients.add(Arrival {
        addr: addr.into(),
        local_addr: addr.into(),
        is_local: true,
        is_unix: addr.starts_with('/'),
        fd: 0,
        worker: 0,
    });
    Kit {
        session: Session::new(client, true),
        engine: kit.engine.clone(),
    }
}

/// How many of some requests are allowed.
fn allowed(kit: &mut Kit, requests: usize) -> usize {
    let replies = (0..requests).map(|_| kit.run("get k"));
    replies.filter(|reply| !reply.starts_with('-')).count()
}

fn set(kit: &mut Kit, rules: &str) {
    // Whoever changes the rules is not held by them.
    let settings = &kit.engine.settings;
    let caller = crate::config::Caller {
        is_local: true,
        is_loading: false,
    };
    let pair: (&[u8], &[u8]) = (b"rate-limit", rules.as_bytes());
    let result = settings.set(&[pair], caller, &mut |_| Ok(()));
    assert_eq!(result, Ok(()), "{rules}");
    configure(&kit.engine);
}

fn limited(rules: &str) -> Kit {
    let mut kit = Kit::new();
    set(&mut kit, rules);
    kit
}

fn stats(kit: &Kit) -> LimitStats {
    kit.engine.service::<Limits>().stats()
}

#[test]
fn without_a_rule_nobody_is_asked() {
    let mut kit = Kit::new();
    assert!(!kit.engine.gate.is_kept());
    assert_eq!(allowed(&mut kit, 100), 100);
    set(&mut kit, "anonymous 5/d");
    assert!(kit.engine.gate.is_kept());
    assert_eq!(allowed(&mut kit, 100), 5);
    set(&mut kit, "");
    assert!(!kit.engine.gate.is_kept());
    assert_eq!(allowed(&mut kit, 100), 100);
}

#[test]
fn one_too_many_is_told_which_limit_and_when_to_come_again() {
    let mut kit = limited("anonymous 1/d");
    assert_eq!(kit.run("get k"), "$-1\r\n");
    let refused = kit.run("get k");
    let before = "-RATELIMIT too many requests: anonymous 1/d; retry after ";
    let ms = refused.strip_prefix(before).expect(&refused);
    let ms: u64 = ms.strip_suffix(" ms\r\n").expect(ms).parse().expect(ms);
    assert!((80_000_000..=86_400_000).contains(&ms), "{ms}");
    // Nothing was done, and the figures say so.
    assert_eq!(kit.engine.errors.lock().get(&b"RATELIMIT"[..]), Some(&1));
    assert!(kit.run("ping").starts_with("+PONG"));
}

#[test]
fn clients_of_one_address_share_what_others_do_not_touch() {
    let mut one = limited("anonymous 3/d");
    let mut same = from(&one, "127.0.0.1:7");
    let mut other = from(&one, "127.0.0.2:7");
    let mut mapped = from(&one, "[::ffff:127.0.0.2]:8");
    let mut socket = from(&one, "/run/larder.sock:0");
    assert_eq!(allowed(&mut one, 2), 2);
    assert_eq!(allowed(&mut same, 2), 1);
    assert_eq!(allowed(&mut other, 2), 2);
    assert_eq!(allowed(&mut mapped, 2), 1);
    assert_eq!(allowed(&mut socket, 9), 3);
    assert_eq!(allowed(&mut one, 1), 0);
    assert_eq!(stats(&one).addresses, 3);
}

#[test]
fn addresses_of_ipv6_that_begin_alike_are_one_client() {
    let kit = limited("anonymous 2/d address 2001:db8::/32 5/d address 2001:db8:9::1 1/d");
    let mut one = from(&kit, "[2001:db8:1:2::1]:1");
    let mut alike = from(&kit, "[2001:db8:1:2:ffff::9]:1");
    let mut other = from(&kit, "[2001:db8:1:3::1]:1");
    assert_eq!(allowed(&mut one, 1) + allowed(&mut alike, 9), 2);
    assert_eq!(allowed(&mut other, 9), 2);
    let mut alone = from(&kit, "[2001:db8:9::1]:1");
    let mut near = from(&kit, "[2001:db8:9::2]:1");
    assert_eq!(allowed(&mut alone, 9), 1);
    assert_eq!(allowed(&mut near, 9), 1, "the last of its network");
}

#[test]
fn whoever_shows_a_password_is_no_longer_anonymous() {
    let mut kit = limited("anonymous 3/d user default 5/d");
    kit.engine
        .settings
        .set(
            &[(b"requirepass", b"secret")],
            crate::config::Caller {
                is_local: true,
                is_loading: false,
            },
            &mut |_| Ok(()),
        )
        .expect("a password");
    crate::command::configure(&kit.engine);
    assert_eq!(allowed(&mut kit, 9), 3);
    assert!(kit.run("auth secret").starts_with('+'));
    // The three count: the anonymous are the default user's connections too.
    assert_eq!(allowed(&mut kit, 9), 2);
    let mut other = from(&kit, "127.0.0.9:1");
    assert!(other.run("hello 3 auth default secret").starts_with('%'));
    assert_eq!(allowed(&mut other, 9), 0);
    set(&mut kit, "anonymous 3/d");
    assert_eq!(allowed(&mut kit, 9), 9);
    assert_eq!(kit.run("reset"), "+RESET\r\n");
    assert!(kit.run("get k").contains("NOAUTH"));
}

#[test]
fn a_password_that_none_asks_for_shows_nothing() {
    let mut kit = limited("anonymous 1/d");
    assert!(kit.run("auth default any").starts_with('+'));
    assert_eq!(allowed(&mut kit, 9), 1);
}

#[test]
fn of_networks_the_nearest_holds_and_other_rules_beside_it() {
    let kit = limited("address 10.0.0.0/8 1/d address 10.1.0.0/16 4/d address 0.0.0.0/0 2/d");
    for (addr, expected) in [
        ("10.9.9.9:1", 1),
        ("10.9.9.8:1", 1),
        ("10.1.2.3:1", 4),
        ("192.0.2.1:1", 2),
        ("[::1]:1", 9),
        ("/run/s:0", 9),
    ] {
        assert_eq!(allowed(&mut from(&kit, addr), 9), expected, "{addr}");
    }
    let kit = limited("anonymous 3/d address 0.0.0.0/0 2/d");
    let mut client = from(&kit, "10.0.0.1:1");
    assert_eq!(allowed(&mut client, 9), 2);
    let figures = stats(&kit);
    let of = |i: usize| (figures.rules[i].allowed, figures.rules[i].refused);
    assert_eq!((of(0), of(1)), ((2, 0), (2, 7)), "refused is not counted");
}

#[test]
fn what_a_connection_lives_by_does_not_count() {
    let mut kit = limited("anonymous 2/d");
    assert_eq!(allowed(&mut kit, 9), 2);
    for line in [
        "ping",
        "echo x",
        "select 1",
        "hello 3",
        "hello 2",
        "client id",
        "client setname me",
        "multi",
        "discard",
        "unwatch",
        "auth default x",
        "reset",
        "quit",
    ] {
        let reply = kit.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    for line in ["client list", "watch k", "info", "config get hz", "nosuch"] {
        let reply = kit.run(line);
        assert!(reply.starts_with('-'), "{line}: {reply}");
    }
}

#[test]
fn a_transaction_counts_command_by_command_as_they_are_queued() {
    let mut kit = limited("anonymous 3/d");
    for (line, reply) in [
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("set b 1", "+QUEUED"),
        ("exec", "*2"),
        ("multi", "+OK"),
        ("set a 2", "+QUEUED"),
        ("set b 2", "-RATELIMIT"),
        (
            "exec",
            "-EXECABORT Transaction discarded because of previous errors.",
        ),
    ] {
        let said = kit.run(line);
        assert!(said.starts_with(reply), "{line}: {said}");
    }
    assert_eq!(kit.contents()[&(0, b"a".to_vec())].0, b"1");
}

#[test]
fn rules_that_stay_keep_what_is_spent() {
    let mut kit = limited("anonymous 5/d user nobody 1/s");
    assert_eq!(allowed(&mut kit, 3), 3);
    set(&mut kit, "user other 1/s anonymous 5/d");
    assert_eq!(allowed(&mut kit, 9), 2);
    let figures = stats(&kit);
    assert_eq!(figures.rules[1].rule, "anonymous 5/d");
    assert_eq!((figures.rules[1].allowed, figures.rules[1].refused), (5, 7));
    // Another rate is another rule.
    set(&mut kit, "anonymous 6/d");
    assert_eq!(allowed(&mut kit, 9), 6);
}

#[test]
fn a_burst_is_what_comes_at_once() {
    let mut kit = limited("anonymous 1000/d burst 2");
    assert_eq!(allowed(&mut kit, 9), 2);
    let mut kit = limited("anonymous 1/d burst 4");
    assert_eq!(allowed(&mut kit, 9), 4);
}

#[test]
fn connections_at_once_get_no_more_than_the_limit() {
    let kit = limited("user default 1000/d anonymous 2000/d");
    let counts = std::thread::scope(|scope| {
        let clients: Vec<Kit> = (0..4)
            .map(|i| from(&kit, &format!("10.0.0.{i}:1")))
            .collect();
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| scope.spawn(move || allowed(&mut client, 500)))
            .collect();
        let join = |t: std::thread::ScopedJoinHandle<'_, usize>| t.join().expect("no panic");
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    assert_eq!(counts.iter().sum::<usize>(), 1000, "{counts:?}");
}

#[test]
fn the_table_forgets_what_is_past_and_never_grows_beyond_its_bound() {
    let mut table = Addresses::default();
    let source = |i: u32| (0, Some(IpAddr::from(i.to_be_bytes())));
    // None of them is past: each new one costs one that has spent least.
    let held = table.state_of(source(0), 0);
    for i in 1..10 * ADDRESSES_MAX as u32 {
        table
            .state_of(source(i), 0)
            .store(u64::MAX, Ordering::Relaxed);
        assert!(
            table.states.len() <= ADDRESSES_MAX,
            "{}",
            table.states.len()
        );
    }
    assert!(
        Arc::ptr_eq(&held, &table.state_of(source(0), 0)),
        "somebody holds it"
    );
    for state in table.states.values() {
        state.store(5, Ordering::Relaxed);
    }
    // All are past now: they go as others come.
    for i in 0..ADDRESSES_MAX as u32 {
        table
            .state_of(source((1 << 30) | i), 6)
            .store(u64::MAX, Ordering::Relaxed);
    }
    let old = table
        .states
        .values()
        .filter(|s| s.load(Ordering::Relaxed) == 5)
        .count();
    assert!(old <= 1, "{old} of them are left");
}

#[test]
fn a_table_whose_addresses_are_all_connected_is_as_large_as_they_are_many() {
    let mut table = Addresses::default();
    let source = |i: u32| (0, Some(IpAddr::from(i.to_be_bytes())));
    let all = 2 * ADDRESSES_MAX as u32;
    let held: Vec<_> = (0..all).map(|i| table.state_of(source(i), 0)).collect();
    assert_eq!(table.states.len(), held.len());
    drop(held);
    for i in 0..16 {
        table.state_of(source(all + i), 1);
    }
    assert!(table.states.len() <= ADDRESSES_MAX);
}

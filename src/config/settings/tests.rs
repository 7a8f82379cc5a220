use super::*;

const REMOTE: Caller = Caller {
    is_local: false,
    is_loading: false,
};

fn pairs<'a>(texts: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    let bytes = |(name, value): &(&'a str, &'a str)| (name.as_bytes(), value.as_bytes());
    texts.iter().map(bytes).collect()
}

fn set_by(settings: &Settings, caller: Caller, texts: &[(&str, &str)]) -> Result<(), String> {
    let set = settings.set(&pairs(texts), caller, &mut |_| Ok(()));
    set.map_err(|error| error.to_string())
}

fn set(settings: &Settings, texts: &[(&str, &str)]) -> Result<(), String> {
    set_by(settings, REMOTE, texts)
}

fn get(settings: &Settings, patterns: &[&str]) -> Vec<(String, String)> {
    let patterns: Vec<_> = patterns.iter().map(|p| p.as_bytes()).collect();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let found = settings.get(&patterns).into_iter();
    found
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

fn names(settings: &Settings, patterns: &[&str]) -> Vec<String> {
    get(settings, patterns)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

fn value(settings: &Settings, name: &str) -> String {
    let found = get(settings, &[name]);
    found.into_iter().next().expect("a parameter").1
}

#[test]
fn names_and_defaults_are_those_of_valkey_but_for_a_few() {
    // Where Larder's default is its own, or depends on the machine.
    const DIFFERENT: [&str; 5] = [
        "bind",
        "dir",
        "io-threads",
        "maxmemory-policy",
        "syslog-ident",
    ];
    // What Valkey does not have.
    const OWN: &[&str] = &[
        "http-bind",
        "http-port",
        "null-max",
        "policyfile",
        "rate-limit",
        "refresh-stream",
        "refresh-stream-db",
        "refresh-stream-max",
        "warm-file",
        "warm-keys",
        "warm-min-hit-ratio",
        "warm-min-reads",
        "warm-on-start",
        "warm-save-period",
        "warm-schedule",
    ];
    let settings = Settings::default();
    let mut ours = get(&settings, &["*"]);
    ours.retain(|(name, _)| !OWN.contains(&name.as_str()));
    // `CONFIG GET *` of valkey-server 9.1.2 without a config file, less `dir`.
    let theirs = include_str!("../param/valkey-9.1.2.txt")
        .lines()
        .map(|line| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            (name.to_owned(), value.to_owned())
        });
    let same = |(name, _): &(String, String)| !DIFFERENT.contains(&name.as_str());
    let theirs: Vec<_> = theirs.filter(same).collect();
    let ours_same: Vec<_> = ours.iter().filter(|pair| same(pair)).cloned().collect();
    assert_eq!(ours_same, theirs);
    assert_eq!(ours.len(), theirs.len() + DIFFERENT.len());
    assert_eq!(value(&settings, "maxmemory-policy"), "larder");
}

#[test]
fn every_value_that_is_shown_can_be_set_again() {
    let settings = Settings::default();
    let before = get(&settings, &["*"]);
    for (name, value) in &before {
        match set(&settings, &[(name, value)]) {
            Ok(()) => {}
            Err(error) => assert!(error.contains("can't set "), "{error}"),
        }
    }
    assert_eq!(get(&settings, &["*"]), before);
}

#[test]
fn a_handle_reads_what_was_set() {
    let settings = Settings::default();
    let all = [
        ("maxmemory", "100mb"),
        ("protected-mode", "no"),
        ("maxmemory-policy", "allkeys-lfu"),
        ("notify-keyspace-events", "KEA"),
        ("requirepass", "p\u{e9}"),
        ("save", "900 1"),
        ("bind", "127.0.0.1 ::1"),
        ("client-output-buffer-limit", "normal 1mb 0 0"),
        ("hz", "9999"),
    ];
    assert_eq!(set(&settings, &all), Ok(()));
    assert_eq!(settings.int(param::MAXMEMORY), 100 << 20);
    assert!(!settings.flag(param::PROTECTED_MODE));
    assert_eq!(settings.choice_name(param::MAXMEMORY_POLICY), "allkeys-lfu");
    assert_eq!(settings.choice(param::MAXMEMORY_POLICY), 5);
    assert_ne!(settings.bits(param::NOTIFY_KEYSPACE_EVENTS), 0);
    assert_eq!(&*settings.text(param::REQUIREPASS), "p\u{e9}".as_bytes());
    assert_eq!(
        settings.save_points(),
        [SavePoint {
            seconds: 900,
            changes: 1
        }]
    );
    assert_eq!(
        settings.bind(),
        [b"127.0.0.1".as_slice().into(), b"::1".as_slice().into()]
    );
    let limit = settings
        .output_limits()
        .of(crate::config::ClientClass::Normal);
    assert_eq!(limit.hard_bytes, 1 << 20);
    assert_eq!(settings.int(param::HZ), 500);
    assert_eq!(settings.oom_scores(), [0, 200, 800]);
    assert_eq!(settings.latency_percentiles(), [50.0, 99.0, 99.9]);
    assert_eq!(settings.replica_of(), None);
}

#[test]
fn a_size_beyond_a_signed_integer_is_exact_to_clients_and_the_largest_to_code() {
    let settings = Settings::default();
    let size = "9223372036854775808";
    assert_eq!(set(&settings, &[("maxmemory", size)]), Ok(()));
    assert_eq!(value(&settings, "maxmemory"), size);
    assert_eq!(settings.int(param::MAXMEMORY), i64::MAX);
}

#[test]
fn io_threads_says_how_many_there_are() {
    let settings = Settings::default();
    let cores = settings.int(param::IO_THREADS);
    assert!((1..=256).contains(&cores));
    assert_eq!(set(&settings, &[("io-threads", "3")]), Ok(()));
    assert_eq!(set(&settings, &[("io-threads", "0")]), Ok(()));
    assert_eq!(settings.int(param::IO_THREADS), cores);
}

#[test]
fn get_finds_names_and_aliases_once_and_hidden_ones_by_full_name() {
    let settings = Settings::default();
    assert_eq!(names(&settings, &["*of"]), ["replicaof", "slaveof"]);
    assert_eq!(names(&settings, &["slaveof"]), ["slaveof"]);
    assert_eq!(
        names(&settings, &["maxmemory", "maxmemory*", "MAXMEMORY"]),
        [
            "maxmemory",
            "maxmemory-clients",
            "maxmemory-eviction-tenacity",
            "maxmemory-policy",
            "maxmemory-samples"
        ]
    );
    assert_eq!(names(&settings, &["PORT", "p[o]rt"]), ["PORT"]);
    assert_eq!(names(&settings, &["key-load-dela*"]), [""; 0]);
    assert_eq!(names(&settings, &["key-load-delay"]), ["key-load-delay"]);
    assert_eq!(names(&settings, &["no-such"]), [""; 0]);
}

#[test]
fn a_wrong_value_changes_nothing() {
    let settings = Settings::default();
    assert_eq!(
        set(
            &settings,
            &[
                ("maxmemory", "10000001"),
                ("maxmemory-clients", "200%"),
                ("client-query-buffer-limit", "invalid")
            ]
        ),
        Err(
            "CONFIG SET failed (possibly related to argument 'maxmemory-clients') - \
             percentage argument must be less or equal to 100"
                .into()
        )
    );
    assert_eq!(settings.int(param::MAXMEMORY), 0);
    assert!(settings.not_in_force().is_empty());
}

#[test]
fn what_may_not_be_set_is_refused_in_the_words_of_valkey() {
    let settings = Settings::default();
    for (given, expected) in [
        (
            vec![("x", "1"), ("daemonize", "yes")],
            "Unknown option or number of arguments for CONFIG SET - 'x'",
        ),
        (
            vec![("DAEMONIZE", "yes"), ("x", "1")],
            "CONFIG SET failed (possibly related to argument 'DAEMONIZE') - can't set immutable config",
        ),
        (
            vec![("dir", "/")],
            "CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
        ),
        (
            vec![("maxmemory", "1"), ("MAXMEMORY", "2")],
            "CONFIG SET failed (possibly related to argument 'MAXMEMORY') - duplicate parameter",
        ),
        (
            vec![("SLAVE-priority", "x")],
            "CONFIG SET failed (possibly related to argument 'slave-priority') - \
             argument couldn't be parsed into an integer",
        ),
    ] {
        assert_eq!(set(&settings, &given), Err(expected.into()));
    }
    let loading = Caller {
        is_loading: true,
        ..REMOTE
    };
    let pair = pairs(&[("appendonly", "yes")]);
    let refused = settings.set(&pair, loading, &mut |_| Ok(()));
    assert_eq!(refused, Err(SetError::Loading));
    assert_eq!(set_by(&settings, loading, &[("loglevel", "debug")]), Ok(()));
}

#[test]
fn a_local_client_may_set_what_is_protected_where_that_is_allowed() {
    let sources = crate::config::Sources {
        options: vec![b"enable-protected-configs local".to_vec()],
        ..Default::default()
    };
    let settings = Settings::load(sources).expect("settings");
    let local = Caller {
        is_local: true,
        ..REMOTE
    };
    assert!(set(&settings, &[("dbfilename", "x.rdb")]).is_err());
    assert_eq!(set_by(&settings, local, &[("dbfilename", "x.rdb")]), Ok(()));
}

#[test]
fn a_refused_hook_is_called_again_with_the_old_values_back() {
    let settings = Settings::default();
    let mut calls = Vec::new();
    let given = pairs(&[("timeout", "7"), ("port", "6380"), ("hz", "10")]);
    let refused = settings.set(&given, REMOTE, &mut |names| {
        calls.push((names.to_vec(), settings.int(param::PORT)));
        Err(Refusal {
            name: param::PORT.name(),
            reason: "Unable to listen on this port. Check server logs.".into(),
        })
    });
    let error = refused.expect_err("refused").to_string();
    assert_eq!(
        error,
        "CONFIG SET failed (possibly related to argument 'port') - \
         Unable to listen on this port. Check server logs."
    );
    let names = vec!["timeout", "port"];
    assert_eq!(calls, [(names.clone(), 6380), (names, 6379)]);
    assert_eq!(settings.int(param::TIMEOUT), 0);
}

#[test]
fn what_is_set_and_not_in_force_is_named() {
    let settings = Settings::default();
    assert_eq!(
        set(
            &settings,
            &[("port", "1"), ("repl-diskless-sync-delay", "1")]
        ),
        Ok(())
    );
    assert_eq!(settings.not_in_force(), ["repl-diskless-sync-delay"]);
}

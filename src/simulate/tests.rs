//! Runs of traces so small that every figure can be counted by hand. Memory is the
//! process's and other tests use it, too: what depends on it is in the black-box
//! tests.

use super::figures::Counts;
use super::*;

fn simulate(args: &[&str], text: &str) -> Vec<Outcome> {
    let args: Vec<OsString> = ["-"].iter().chain(args).map(OsString::from).collect();
    let Ok(Wish::Run(options)) = Options::parse(&args) else {
        panic!("not a run");
    };
    let mut trace = Trace::read(&mut text.as_bytes(), options.rate).expect("memory can be read");
    assert_eq!(trace.bad.count, 0, "{:?}", trace.bad.first);
    trace.size_values(options.value_bytes, replay::VERSION_BYTES as u32);
    let mut outcomes = run_all(&options, &trace).expect("a run");
    for outcome in &mut outcomes {
        outcome.bytes = 0;
        outcome.total.bytes_max = 0;
        outcome.pieces.iter_mut().for_each(|p| p.bytes_max = 0);
    }
    outcomes
}

fn total(args: &[&str], text: &str) -> Counts {
    simulate(args, text)[0].total
}

#[test]
fn misses_load_hits_do_not_and_time_ends_what_was_loaded() {
    let trace = "0 a 100\n0.01 a 100\n1 a\n1 b 50\n12 a\n12.5 a\n";
    let outcome = &simulate(&["--ttl", "10s"], trace)[0];
    let expected = Counts {
        reads: 6,
        // At 1 and at 12.5 s.
        hits: 2,
        loads: 4,
        // At 10 ms the load that began at 0 is still under way.
        duplicates: 1,
        origin_bytes: 350,
        ..Counts::default()
    };
    assert_eq!(outcome.total, expected);
    assert_eq!((outcome.expired, outcome.evicted, outcome.keys), (2, 0, 1));
    let first: u64 = outcome.pieces[..1].iter().map(|p| p.loads).sum();
    assert_eq!(first, 2, "in the first 104 ms");
}

#[test]
fn a_stale_read_is_one_of_a_value_that_the_origin_holds_no_more() {
    let trace = r#"
        1.0 [0 a:1] "get" "k"
        2.0 [0 a:1] "get" "k"
        3.0 [0 a:2] "set" "k" "written through"
        4.0 [0 a:1] "get" "k"
        5.0 [0 a:1] "get" "k"
        5.1 [0 a:1] "set" "k" "changed by then"
        6.0 [0 a:1] "get" "k"
        7.0 [0 a:2] "del" "k"
        7.01 [0 a:1] "get" "k"
        7.02 [0 a:2] "del" "k"
        8.0 [0 a:2] "del" "k"
        8.01 [0 a:1] "get" "k"
        8.04 [0 a:2] "del" "k"
        9.0 [0 a:1] "get" "k"
    "#;
    let expected = Counts {
        reads: 8,
        hits: 5,
        // At 5 s and at 6 s; and at 9 s, when what was loaded before the deletion
        // at 8.04 s has been written behind it.
        stale: 3,
        loads: 3,
        origin_bytes: 45,
        writes: 5,
        ..Counts::default()
    };
    assert_eq!(total(&[], trace), expected);
}

#[test]
fn what_the_origin_does_not_have_is_asked_for_again_unless_that_is_remembered() {
    let trace = "0 a\n1 a\n2 a\n";
    let absent = ["--absent-share", "100%"];
    let expected = Counts {
        reads: 3,
        loads: 3,
        null_loads: 3,
        ..Counts::default()
    };
    assert_eq!(total(&absent, trace), expected);
    let expected = Counts {
        reads: 3,
        hits: 2,
        null_hits: 2,
        loads: 1,
        null_loads: 1,
        ..Counts::default()
    };
    let remembered = [&absent[..], &["--null-value", "__NULL__"]].concat();
    assert_eq!(total(&remembered, trace), expected);
}

#[test]
fn large_values_are_recognised_too() {
    let trace = "0 a 1000000\n1 a\n2 a\n";
    let expected = Counts {
        reads: 3,
        hits: 2,
        loads: 1,
        origin_bytes: 1_000_000,
        ..Counts::default()
    };
    assert_eq!(total(&[], trace), expected);
}

#[test]
fn keys_of_one_name_in_two_databases_are_two() {
    let trace = "1 [0 a:1] \"get\" \"k\"\n2 [40 a:1] \"get\" \"k\"\n3 [40 a:1] \"get\" \"k\"\n";
    let counts = total(&[], trace);
    assert_eq!((counts.loads, counts.hits), (2, 1));
}

/// Reads of 200 keys over ten minutes, some far more often than others.
fn busy() -> String {
    let mut state = 1u64;
    let mut line = |i: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let skewed = (state >> 40) * (state >> 40) % 200 * (state >> 56) / 256;
        format!("{}.{:03} key:{skewed}\n", i * 3 / 100, i * 30 % 1000)
    };
    (0..20_000).map(&mut line).collect()
}

#[test]
fn a_longer_life_means_fewer_loads_and_more_stale_reads() {
    let trace = busy();
    let lives = ["2s", "20s", "200s", "none"];
    let mut args = vec!["--update-interval", "100s"];
    args.extend(
        lives
            .iter()
            .flat_map(|life| ["--variant", life, "--ttl", life]),
    );
    let outcomes = simulate(&args, &trace);
    for pair in outcomes.windows(2) {
        let (shorter, longer) = (&pair[0].total, &pair[1].total);
        assert!(
            longer.loads < shorter.loads && longer.stale > shorter.stale,
            "{pair:?}"
        );
    }
    // A change comes between a load and a read t later with probability 1 - e^(-t/100);
    // over a life of 2 s that is 1% in the mean.
    assert!(outcomes[0].total.stale_share() < 0.015);
    assert!(outcomes[3].total.stale_share() > 0.5);
}

#[test]
fn the_same_seed_gives_the_same_outcome_and_another_one_another() {
    let trace = busy();
    let with = |seed| {
        let args = [
            "--update-interval",
            "30s",
            "--absent-share",
            "10%",
            "--ttl",
            "20s",
            "--seed",
            seed,
        ];
        simulate(&args, &trace)
    };
    assert_eq!(with("7"), with("7"));
    assert_ne!(with("7"), with("8"));
}

#[test]
fn long_pauses_are_passed_over() {
    let trace = "0 a\n1 a\n100000000 a\n100000001 a\n";
    let outcome = &simulate(&["--ttl", "1h", "--update-interval", "1d"], trace)[0];
    assert_eq!(
        (outcome.total.hits, outcome.total.loads, outcome.expired),
        (2, 2, 1)
    );
}

#[test]
fn the_picture_and_the_figures_name_every_variant() {
    let args: Vec<OsString> = ["-", "--variant", "a<b", "--variant", "c\"d", "--ttl", "1s"]
        .iter()
        .map(OsString::from)
        .collect();
    let Ok(Wish::Run(options)) = Options::parse(&args) else {
        panic!("not a run");
    };
    let mut trace = Trace::read(&mut busy().as_bytes(), None).expect("memory can be read");
    trace.size_values(100, 8);
    let outcomes = run_all(&options, &trace).expect("a run");
    let report = Report {
        options: &options,
        trace: &trace,
        outcomes: &outcomes,
    };
    let picture = svg::picture(&report);
    assert!(picture.contains("a&lt;b") && picture.contains("c&quot;d"));
    assert!(!picture.contains("NaN") && !picture.contains("inf"));
    assert!(table::json(&report).contains(r#""name": "c\"d""#));
    assert!(table::text(&report).contains("20,000 accesses"));
}

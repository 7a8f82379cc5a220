use crate::base::clock;
use crate::command::testkit::{Kit, check, recorded};

const BAD_ID: &str = "-ERR Invalid stream ID specified as stream command argument";

/// A kit with a stream `s` of the entries 1-0 to 5-0, and a group `g` that has
/// read nothing; time stands still.
fn with_group() -> Kit {
    clock::freeze(1_700_000_000_000);
    let mut kit = Kit::new();
    for ms in 1..=5 {
        kit.run(&format!("xadd s {ms}-0 f v{ms}"));
    }
    kit.run("xgroup create s g 0");
    kit
}

#[test]
fn entries_are_added_under_rising_ids() {
    check(
        &mut Kit::new(),
        &[
            ("xadd s 5-1 a 1 b 2", "$3 5-1"),
            ("xadd s 5-* a 1", "$3 5-2"),
            ("xadd s 6-* a 1", "$3 6-0"),
            ("xadd s 7 a 1", "$3 7-0"),
            (
                "xadd s 7-0 a 1",
                "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ),
            (
                "xadd s 0-0 a 1",
                "-ERR The ID specified in XADD must be greater than 0-0",
            ),
            ("xadd s x a 1", BAD_ID),
            ("xadd s 1-2-3 a 1", BAD_ID),
            (
                "xadd s +1-02 a 1",
                "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ),
            (
                "xadd s * a",
                "-ERR wrong number of arguments for 'xadd' command",
            ),
            (
                "xadd s * a b c",
                "-ERR wrong number of arguments for 'xadd' command",
            ),
            ("xadd t nomkstream * a b", "$-1"),
            ("exists t", ":0"),
            ("xadd t 0-* a b", "$3 0-1"),
            ("xlen s", ":4"),
            ("xlen nothing", ":0"),
            ("type s", "+stream"),
            ("object encoding s", "$6 stream"),
            ("xsetid s 18446744073709551615-18446744073709551615", "+OK"),
            (
                "xadd s * a 1",
                "-ERR The stream has exhausted the last possible ID, unable to add more items",
            ),
            ("set string x", "+OK"),
            (
                "xadd string * a 1",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ],
    );
}

#[test]
fn entries_are_read_by_intervals() {
    check(
        &mut with_group(),
        &[
            (
                "xrange s 2 (4-0",
                "*2 *2 $3 2-0 *2 $1 f $2 v2 *2 $3 3-0 *2 $1 f $2 v3",
            ),
            ("xrange s (1-0 + count 1", "*1 *2 $3 2-0 *2 $1 f $2 v2"),
            ("xrevrange s + - count 1", "*1 *2 $3 5-0 *2 $1 f $2 v5"),
            ("xrevrange s 1 2", "*0"),
            ("xrange s - + count 0", "*-1"),
            ("xrange nothing - + count 0", "*0"),
            ("xrange s - + count", "-ERR syntax error"),
            (
                "xrange s (18446744073709551615-18446744073709551615 +",
                "-ERR invalid start ID for the interval",
            ),
            ("xrange s - (0-0", "-ERR invalid end ID for the interval"),
            ("xrange s (- +", BAD_ID),
            (
                "xread count 1 streams s 3",
                "*1 *2 $1 s *1 *2 $3 4-0 *2 $1 f $2 v4",
            ),
            ("xread streams s +", "*1 *2 $1 s *1 *2 $3 5-0 *2 $1 f $2 v5"),
            ("xread streams s nothing $ $", "*-1"),
            (
                "xread streams s 0 0",
                "-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.",
            ),
            ("xread block -1 streams s 0", "-ERR timeout is negative"),
            (
                "xread noack streams s 0",
                "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
            ),
            ("xread count 1 stream s 0", "-ERR syntax error"),
        ],
    );
}

#[test]
fn in_resp3_what_is_read_is_a_map() {
    let mut kit = with_group();
    kit.run("hello 3");
    check(
        &mut kit,
        &[
            ("xread streams s 4", "%1 $1 s *1 *2 $3 5-0 *2 $1 f $2 v5"),
            ("xread streams s 5", "_"),
            ("xrange s - + count 0", "_"),
        ],
    );
}

#[test]
fn streams_are_trimmed_and_entries_removed() {
    check(
        &mut with_group(),
        &[
            ("xdel s 2 2 9", ":1"),
            ("xdel s 1-x", BAD_ID),
            ("xtrim s maxlen 3", ":1"),
            ("xtrim s minid = 4", ":1"),
            ("xtrim s maxlen ~ 1", ":0"),
            ("xadd s maxlen = 1 6-0 f v6", "$3 6-0"),
            ("xlen s", ":1"),
            ("xtrim s maxlen 0", ":1"),
            ("exists s", ":1"),
            ("xtrim nothing maxlen 0", ":0"),
            (
                "xtrim s maxlen -1",
                "-ERR The MAXLEN argument must be >= 0.",
            ),
            (
                "xtrim s maxlen 1 minid 1",
                "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ),
            (
                "xtrim s maxlen 1 limit 5",
                "-ERR syntax error, LIMIT cannot be used without the special ~ option",
            ),
            (
                "xtrim s limit 5",
                "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ),
            ("xtrim s limit 5 x", "-ERR syntax error"),
            (
                "xtrim s limit 0 limit 0",
                "-ERR syntax error, XTRIM must be called with a trimming strategy",
            ),
            (
                "xadd s limit 5 7-0 a b",
                "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ),
        ],
    );
}

#[test]
fn xsetid_keeps_to_what_the_stream_holds() {
    check(
        &mut with_group(),
        &[
            (
                "xsetid s 4",
                "-ERR The ID specified in XSETID is smaller than the target stream top item",
            ),
            (
                "xsetid s 9 entriesadded 4",
                "-ERR The entries_added specified in XSETID is smaller than the target stream length",
            ),
            (
                "xsetid s 9 entriesadded -1",
                "-ERR entries_added must be positive",
            ),
            (
                "xsetid s 9 maxdeletedid 10",
                "-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
            ),
            ("xsetid s 9 entriesadded 90 maxdeletedid 7", "+OK"),
            (
                "xsetid s 6",
                "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
            ),
            ("xsetid nothing 6", "-ERR no such key"),
            (
                "xinfo stream s full",
                "*18 $6 length :5 $15 radix-tree-keys :1 $16 radix-tree-nodes :2 $17 last-generated-id $3 9-0 \
                 $20 max-deleted-entry-id $3 7-0 $13 entries-added :90 $23 recorded-first-entry-id $3 1-0 \
                 $7 entries *5 *2 $3 1-0 *2 $1 f $2 v1 *2 $3 2-0 *2 $1 f $2 v2 *2 $3 3-0 *2 $1 f $2 v3 \
                 *2 $3 4-0 *2 $1 f $2 v4 *2 $3 5-0 *2 $1 f $2 v5 $6 groups *1 *14 $4 name $1 g \
                 $17 last-delivered-id $3 0-0 $12 entries-read $-1 $3 lag $-1 $9 pel-count :0 $7 pending *0 \
                 $9 consumers *0",
            ),
        ],
    );
}

#[test]
fn groups_are_made_and_unmade() {
    check(
        &mut with_group(),
        &[
            (
                "xgroup create s g 0",
                "-BUSYGROUP Consumer Group name already exists",
            ),
            (
                "xgroup create nothing g 0",
                "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
            ),
            ("xgroup create new g $ mkstream entriesread 3", "+OK"),
            (
                "xgroup create s h $ entriesread -2",
                "-ERR value for ENTRIESREAD must be positive or -1",
            ),
            (
                "xgroup create s h $ bad",
                "-ERR unknown subcommand or wrong number of arguments for 'create'. Try XGROUP HELP.",
            ),
            ("xgroup createconsumer s g one", ":1"),
            ("xgroup createconsumer s g one", ":0"),
            (
                "xgroup createconsumer s h one",
                "-NOGROUP No such consumer group 'h' for key name 's'",
            ),
            ("xgroup delconsumer s g one", ":0"),
            ("xgroup setid s g 3 entriesread 3", "+OK"),
            (
                "xinfo groups s",
                "*1 *12 $4 name $1 g $9 consumers :0 $7 pending :0 $17 last-delivered-id $3 3-0 \
                 $12 entries-read :3 $3 lag :2",
            ),
            ("xinfo groups nothing", "-ERR no such key"),
            (
                "xinfo consumers s h",
                "-NOGROUP No such consumer group 'h' for key name 's'",
            ),
            ("xgroup destroy s g", ":1"),
            ("xgroup destroy s g", ":0"),
        ],
    );
}

#[test]
fn both_containers_help() {
    let mut kit = Kit::new();
    assert!(
        kit.run("xgroup help")
            .starts_with("*17\r\n+XGROUP <subcommand>")
    );
    assert!(
        kit.run("xinfo help")
            .starts_with("*9\r\n+XINFO <subcommand>")
    );
}

#[test]
fn a_group_gives_each_entry_to_one_consumer() {
    check(
        &mut with_group(),
        &[
            (
                "xreadgroup group g one count 2 streams s >",
                "*1 *2 $1 s *2 *2 $3 1-0 *2 $1 f $2 v1 *2 $3 2-0 *2 $1 f $2 v2",
            ),
            (
                "xreadgroup group g two count 1 streams s >",
                "*1 *2 $1 s *1 *2 $3 3-0 *2 $1 f $2 v3",
            ),
            ("xreadgroup group g two streams s 3", "*1 *2 $1 s *0"),
            ("xdel s 1", ":1"),
            (
                "xreadgroup group g one streams s 0",
                "*1 *2 $1 s *2 *2 $3 1-0 *-1 *2 $3 2-0 *2 $1 f $2 v2",
            ),
            (
                "xpending s g",
                "*4 :3 $3 1-0 $3 3-0 *2 *2 $3 one $1 2 *2 $3 two $1 1",
            ),
            ("xpending s g idle 100000 - + 10", "*0"),
            ("xpending s g - + 10 nobody", "*0"),
            ("xack s g 1 1 3", ":2"),
            ("xack s h 1", ":0"),
            ("xack s g x", BAD_ID),
            ("xpending s g", "*4 :1 $3 2-0 $3 2-0 *1 *2 $3 one $1 1"),
            (
                "xreadgroup group g one noack streams s >",
                "*1 *2 $1 s *2 *2 $3 4-0 *2 $1 f $2 v4 *2 $3 5-0 *2 $1 f $2 v5",
            ),
            ("xpending s g", "*4 :1 $3 2-0 $3 2-0 *1 *2 $3 one $1 1"),
            ("xreadgroup group g one streams s >", "*-1"),
            ("xgroup delconsumer s g one", ":1"),
            ("xpending s g", "*4 :0 $-1 $-1 *-1"),
            (
                "xreadgroup group h one streams s >",
                "-NOGROUP No such key 's' or consumer group 'h' in XREADGROUP with GROUP option",
            ),
            (
                "xreadgroup group g one streams s",
                "-ERR wrong number of arguments for 'xreadgroup' command",
            ),
            (
                "xpending s h",
                "-NOGROUP No such key 's' or consumer group 'h'",
            ),
            ("xpending s g - +", "-ERR syntax error"),
        ],
    );
}

#[test]
fn a_group_or_a_consumer_may_be_named_as_an_option() {
    check(
        &mut with_group(),
        &[
            ("xgroup create s streams 4", "+OK"),
            (
                "xreadgroup count 1 group streams streams streams s >",
                "*1 *2 $1 s *1 *2 $3 5-0 *2 $1 f $2 v5",
            ),
            (
                "command getkeys xreadgroup count 1 group streams streams streams a b 1 2",
                "*2 $1 a $1 b",
            ),
            (
                "xreadgroup count 1 group streams streams a b 1 2",
                "-ERR syntax error",
            ),
        ],
    );
}

#[test]
fn what_is_pending_changes_hands() {
    check(
        &mut with_group(),
        &[
            (
                "xreadgroup group g one count 3 streams s >",
                "*1 *2 $1 s *3 *2 $3 1-0 *2 $1 f $2 v1 *2 $3 2-0 *2 $1 f $2 v2 *2 $3 3-0 *2 $1 f $2 v3",
            ),
            ("xclaim s g two 0 1 9", "*1 *2 $3 1-0 *2 $1 f $2 v1"),
            ("xclaim s g two 100000 2 justid", "*0"),
            ("xclaim s g two 0 2 justid retrycount 7", "*1 $3 2-0"),
            ("xclaim s g two 0 4 force justid", "*1 $3 4-0"),
            ("xclaim s g two 0 5 justid lastid 4", "*0"),
            ("xpending s g - + 10 one", "*1 *4 $3 3-0 $3 one :0 :1"),
            (
                "xclaim s g two x 1",
                "-ERR Invalid min-idle-time argument for XCLAIM",
            ),
            (
                "xclaim s g two 0 1 idle x",
                "-ERR Invalid IDLE option argument for XCLAIM",
            ),
            (
                "xclaim s g two 0 1 time x",
                "-ERR Invalid TIME option argument for XCLAIM",
            ),
            (
                "xclaim s g two 0 1 soon",
                "-ERR Unrecognized XCLAIM option 'soon'",
            ),
            (
                "xclaim s h two 0 1",
                "-NOGROUP No such key 's' or consumer group 'h'",
            ),
            ("xdel s 2", ":1"),
            (
                "xautoclaim s g three 0 0 count 2 justid",
                "*3 $3 3-0 *1 $3 1-0 *1 $3 2-0",
            ),
            (
                "xautoclaim s g three 0 3",
                "*3 $3 0-0 *2 *2 $3 3-0 *2 $1 f $2 v3 *2 $3 4-0 *2 $1 f $2 v4 *0",
            ),
            ("xautoclaim s g three 0 0 count 0", "-ERR COUNT must be > 0"),
            (
                "xautoclaim s g three x 0",
                "-ERR Invalid min-idle-time argument for XAUTOCLAIM",
            ),
        ],
    );
}

#[test]
fn entries_are_removed_with_a_say_in_what_is_pending() {
    check(
        &mut with_group(),
        &[
            ("xgroup create s h 4", "+OK"),
            (
                "xreadgroup group g one count 3 streams s > ",
                "*1 *2 $1 s *3 *2 $3 1-0 *2 $1 f $2 v1 *2 $3 2-0 *2 $1 f $2 v2 *2 $3 3-0 *2 $1 f $2 v3",
            ),
            ("xdelex s acked ids 2 1 9", "*2 :2 :-1"),
            ("xdelex s ids 1 1", "*1 :1"),
            ("xpending s g - + 1", "*1 *4 $3 1-0 $3 one :0 :1"),
            ("xdelex s delref ids 1 1", "*1 :-1"),
            ("xdelex s ids 1 2 delref", "*1 :1"),
            ("xpending s g", "*4 :1 $3 3-0 $3 3-0 *1 *2 $3 one $1 1"),
            ("xackdel s g acked ids 2 3 4", "*2 :1 :-1"),
            ("xackdel s nobody ids 1 5", "*1 :-1"),
            ("xdelex nothing ids 2 1 2", "*2 :-1 :-1"),
            ("xlen s", ":2"),
            (
                "xdelex s ids 0 1",
                "-ERR Number of IDs must be a positive integer",
            ),
            (
                "xdelex s ids 2 1",
                "-ERR The `numids` parameter must match the number of arguments",
            ),
            (
                "xdelex s ids 1 1 2",
                "-ERR The `numids` parameter must match the number of arguments",
            ),
            ("xdelex s acked delref ids 1 1", "-ERR syntax error"),
        ],
    );
}

#[test]
fn what_followers_do_is_definite() {
    let (mut kit, recorder) = recorded();
    let mut said = |line: &str| {
        kit.run(line);
        recorder.commands()
    };
    assert_eq!(said("xadd s 1-1 a b"), ["xadd s 1-1 a b"]);
    assert_eq!(said("xadd s 1-* a b"), ["XADD s 1-2 a b"]);
    assert_eq!(
        said("xadd s maxlen ~ 1 limit 5 1-3 a b"),
        ["XADD s MAXLEN = 3 1-3 a b"]
    );
    assert_eq!(
        said("xadd s minid ~ 1 1-4 a b"),
        ["XADD s MINID = 1-1 1-4 a b"]
    );
    assert_eq!(said("xtrim s maxlen ~ 1"), [""; 0]);
    assert_eq!(said("xgroup create s g 0"), ["xgroup create s g 0"]);
    let claimed = said("xreadgroup group g one count 1 streams s >");
    assert!(claimed[0].starts_with("XCLAIM s g one 0 1-1 TIME "));
    assert!(claimed[0].ends_with(" RETRYCOUNT 1 FORCE JUSTID LASTID 1-1"));
    assert_eq!(claimed[1..], ["XGROUP SETID s g 1-1 ENTRIESREAD 1"]);
    assert_eq!(
        said("xreadgroup group g two noack count 1 streams s >"),
        [
            "XGROUP CREATECONSUMER s g two",
            "XGROUP SETID s g 1-2 ENTRIESREAD 2"
        ]
    );
    assert_eq!(said("xreadgroup group g one streams s 0"), [""; 0]);
    assert_eq!(
        said("xreadgroup group g new streams s 0"),
        ["XGROUP CREATECONSUMER s g new"]
    );
    let claimed = said("xclaim s g two 0 1-1 idle 5 justid");
    assert!(claimed[0].starts_with("XCLAIM s g two 0 1-1 TIME "));
    assert_eq!(claimed.len(), 1);
    let claimed = said("xautoclaim s g three 0 0");
    assert!(claimed[0].starts_with("XCLAIM s g three 0 1-1 TIME "));
    assert_eq!(said("xack s g 1-1"), ["xack s g 1-1"]);
    assert_eq!(said("xack s g 1-1"), [""; 0]);
    assert_eq!(said("xdelex s delref ids 2 1-3 9-9"), ["XDEL s 1-3"]);
    said("xreadgroup group g one streams s >");
    assert_eq!(
        said("xackdel s g ids 1 1-4"),
        ["XACK s g 1-4", "XDEL s 1-4"]
    );
}

#[test]
fn each_change_has_its_event() {
    let (mut kit, recorder) = recorded();
    for (line, events) in [
        ("xadd s maxlen 0 1-1 a b", &["new", "xadd", "xtrim"][..]),
        ("xadd s 2-1 a b", &["xadd"]),
        ("xgroup create s g 0", &["xgroup-create"]),
        (
            "xreadgroup group g one streams s >",
            &["xgroup-createconsumer"],
        ),
        ("xreadgroup group g one streams s 0", &[]),
        ("xack s g 2-1", &[]),
        ("xgroup setid s g 0", &["xgroup-setid"]),
        ("xgroup delconsumer s g one", &["xgroup-delconsumer"]),
        ("xgroup destroy s g", &["xgroup-destroy"]),
        ("xsetid s 5", &["xsetid"]),
        ("xdel s 2-1", &["xdel"]),
        ("xgroup create new g 0 mkstream", &["new", "xgroup-create"]),
    ] {
        kit.run(line);
        assert_eq!(recorder.events(), events, "{line}");
    }
}

#[test]
fn what_groups_do_is_no_change_to_who_watches() {
    let mut kit = with_group();
    let mut other = kit.another();
    for (line, is_change) in [
        ("xreadgroup group g one count 1 streams s >", false),
        ("xack s g 1", false),
        ("xgroup create s h 0", false),
        ("xsetid s 9", false),
        ("xdel s 1", true),
        ("xadd s 10-0 a b", true),
    ] {
        check(&mut kit, &[("watch s", "+OK")]);
        other.run(line);
        check(&mut kit, &[("multi", "+OK"), ("ping", "+QUEUED")]);
        let result = kit.run("exec");
        assert_eq!(result.starts_with("*-1"), is_change, "{line}");
    }
}

#[test]
fn a_follower_has_the_same() {
    let (mut kit, recorder) = recorded();
    for line in [
        "xadd s 1-1 a b",
        "xadd s * a b",
        "xgroup create s g 0",
        "xreadgroup group g one streams s >",
        "xclaim s g two 0 1-1",
        "xack s g 1-1",
        "xadd s maxlen ~ 1 * a b",
    ] {
        kit.run(line);
    }
    let mut follower = Kit::new();
    follower.replay(&recorder.take());
    for line in ["xrange s - +", "xpending s g", "xinfo groups s"] {
        assert_eq!(kit.run(line), follower.run(line), "{line}");
    }
}

use crate::command::testkit::{Kit, check, recorded};

const SYNTAX: &str = "-ERR syntax error";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const POSITIVE: &str = "-ERR value is out of range, must be positive";

#[test]
fn what_is_pushed_is_read_in_its_order() {
    check(
        &mut Kit::new(),
        &[
            ("rpush k a b c", ":3"),
            ("lpush k 1 02", ":5"),
            ("lrange k 0 -1", "*5 $2 02 $1 1 $1 a $1 b $1 c"),
            ("lrange k -2 100", "*2 $1 b $1 c"),
            ("lrange k 1 1", "*1 $1 1"),
            ("lrange k -100 0", "*1 $2 02"),
            ("lrange k 3 2", "*0"),
            ("lrange k 5 6", "*0"),
            ("lrange k 0 -6", "*0"),
            ("lrange none 0 -1", "*0"),
            ("lrange none x 0", NOT_INTEGER),
            ("llen k", ":5"),
            ("llen none", ":0"),
            ("lindex k 0", "$2 02"),
            ("lindex k -1", "$1 c"),
            ("lindex k 5", "$-1"),
            ("lindex k -6", "$-1"),
            ("lindex k x", NOT_INTEGER),
            ("lindex none x", "$-1"),
            ("rpushx k d", ":6"),
            ("lpushx k z", ":7"),
            ("rpushx none d", ":0"),
            ("lpushx none d", ":0"),
            ("exists none", ":0"),
            ("type k", "+list"),
            ("object encoding k", "$8 listpack"),
        ],
    );
}

#[test]
fn elements_are_inserted_replaced_and_removed() {
    check(
        &mut Kit::new(),
        &[
            ("rpush k a b a c a", ":5"),
            ("linsert k before b x", ":6"),
            ("linsert k AFTER c 9", ":7"),
            ("lrange k 0 -1", "*7 $1 a $1 x $1 b $1 a $1 c $1 9 $1 a"),
            ("linsert k before none x", ":-1"),
            ("linsert none before a x", ":0"),
            ("linsert k beside a x", SYNTAX),
            ("lset k 1 y", "+OK"),
            ("lset k -1 z", "+OK"),
            ("lset k 7 z", "-ERR index out of range"),
            ("lset k -8 z", "-ERR index out of range"),
            ("lset k x z", NOT_INTEGER),
            ("lset none x z", "-ERR no such key"),
            ("lrange k 0 -1", "*7 $1 a $1 y $1 b $1 a $1 c $1 9 $1 z"),
            ("lrem k 0 a", ":2"),
            ("lrem k 0 a", ":0"),
            ("lrem none 0 a", ":0"),
            ("lrem k x a", NOT_INTEGER),
            (
                "lrem k -9223372036854775808 a",
                "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
            ("rpush k y b y", ":8"),
            ("lrem k -2 y", ":2"),
            ("lrange k 0 -1", "*6 $1 y $1 b $1 c $1 9 $1 z $1 b"),
            ("lrem k 1 b", ":1"),
            ("lrange k 0 -1", "*5 $1 y $1 c $1 9 $1 z $1 b"),
            ("ltrim k 1 -2", "+OK"),
            ("lrange k 0 -1", "*3 $1 c $1 9 $1 z"),
            ("ltrim k x 1", NOT_INTEGER),
            ("ltrim none 0 1", "+OK"),
            ("ltrim k 5 10", "+OK"),
            ("exists k", ":0"),
        ],
    );
}

#[test]
fn places_are_found_by_rank_from_either_end() {
    check(
        &mut Kit::new(),
        &[
            ("rpush k a b c 1 2 3 c c", ":8"),
            ("lpos k a", ":0"),
            ("lpos k c", ":2"),
            ("lpos k 3", ":5"),
            ("lpos k none", "$-1"),
            ("lpos none c", "$-1"),
            ("lpos none c count 0", "*0"),
            ("lpos k c rank 2", ":6"),
            ("lpos k c rank -1", ":7"),
            ("lpos k c rank 4", "$-1"),
            ("lpos k c count 0", "*3 :2 :6 :7"),
            ("lpos k c count 2 rank 2", "*2 :6 :7"),
            ("lpos k c rank -2 count 0", "*2 :6 :2"),
            ("lpos k c count 0 maxlen 3", "*1 :2"),
            ("lpos k c count 0 maxlen 2", "*0"),
            ("lpos k c count 0 maxlen 2 rank -1", "*2 :7 :6"),
            ("lpos k none count 5", "*0"),
            (
                "lpos k c rank 0",
                "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
            ),
            ("lpos k c count -1", "-ERR COUNT can't be negative"),
            ("lpos k c maxlen x", "-ERR MAXLEN can't be negative"),
            ("lpos k c rank", SYNTAX),
            ("lpos k c first", SYNTAX),
            ("lpos k c rank 9223372036854775807", "$-1"),
        ],
    );
}

#[test]
fn popping_takes_from_an_end_and_the_key_goes_with_the_last() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("rpush k a b c d e", ":5"),
            ("lpop k", "$1 a"),
            ("rpop k", "$1 e"),
            ("lpop k 0", "*0"),
            ("rpop k 2", "*2 $1 d $1 c"),
            ("lpop k 1000000000000", "*1 $1 b"),
            ("exists k", ":0"),
            ("lpop k", "$-1"),
            ("lpop k 0", "*-1"),
            ("lpop k -1", POSITIVE),
            ("lpop k x", POSITIVE),
            (
                "lpop k 1 2",
                "-ERR wrong number of arguments for 'lpop' command",
            ),
        ],
    );
    kit.session.speak_resp3(true);
    check(&mut kit, &[("lpop k", "_"), ("rpop k 1", "_")]);
}

#[test]
fn the_first_of_several_lists_is_popped() {
    check(
        &mut Kit::new(),
        &[
            ("rpush b 1 2 3", ":3"),
            ("lmpop 2 a b left", "*2 $1 b *1 $1 1"),
            ("lmpop 2 a b RIGHT count 10", "*2 $1 b *2 $1 3 $1 2"),
            ("lmpop 2 a b left", "*-1"),
            ("lmpop 0 a left", "-ERR numkeys should be greater than 0"),
            ("lmpop x a left", "-ERR numkeys should be greater than 0"),
            ("lmpop 2 a left", SYNTAX),
            ("lmpop 9223372036854775807 a left", SYNTAX),
            ("lmpop 1 a middle", SYNTAX),
            ("lmpop 1 a left count", SYNTAX),
            (
                "lmpop 1 a left count 0",
                "-ERR count should be greater than 0",
            ),
            ("lmpop 1 a left count 1 count 1", SYNTAX),
            ("set s x", "+OK"),
            ("lmpop 2 a s left", WRONG_TYPE),
        ],
    );
}

#[test]
fn an_element_moves_between_lists_and_within_one() {
    check(
        &mut Kit::new(),
        &[
            ("rpush k a b c", ":3"),
            ("lmove k other right left", "$1 c"),
            ("rpoplpush k other", "$1 b"),
            ("lmove k k left right", "$1 a"),
            ("lrange other 0 -1", "*2 $1 b $1 c"),
            ("lmove other other left right", "$1 b"),
            ("lrange other 0 -1", "*2 $1 c $1 b"),
            ("rpoplpush other other", "$1 b"),
            ("lrange other 0 -1", "*2 $1 b $1 c"),
            ("lmove k other left right", "$1 a"),
            ("exists k", ":0"),
            ("lmove k other left right", "$-1"),
            ("lmove k other up right", SYNTAX),
            ("set s x", "+OK"),
            ("lmove other s left left", WRONG_TYPE),
            ("rpoplpush s other", WRONG_TYPE),
            ("llen other", ":3"),
        ],
    );
}

#[test]
fn what_is_no_list_is_refused() {
    let mut kit = Kit::new();
    kit.run("set s x");
    for line in [
        "lpush s a",
        "rpushx s a",
        "llen s",
        "lindex s 0",
        "lrange s 0 1",
        "lset s 0 a",
        "linsert s before a b",
        "lrem s 0 a",
        "ltrim s 0 1",
        "lpos s a",
        "lpop s",
        "rpop s 1",
        "blpop s 0",
        "blmove s t left left 0",
        "brpoplpush s t 0",
    ] {
        check(&mut kit, &[(line, WRONG_TYPE)]);
    }
    kit.run("rpush l a");
    check(&mut kit, &[("get l", WRONG_TYPE), ("incr l", WRONG_TYPE)]);
}

#[test]
fn a_command_that_would_wait_takes_what_is_there() {
    check(
        &mut Kit::new(),
        &[
            ("rpush k a b c d e f", ":6"),
            ("blpop none k 0", "*2 $1 k $1 a"),
            ("brpop k k 0", "*2 $1 k $1 f"),
            ("blmpop 0 2 none k left count 2", "*2 $1 k *2 $1 b $1 c"),
            ("blmove k other left right 0", "$1 d"),
            ("brpoplpush k other 0", "$1 e"),
            ("lrange other 0 -1", "*2 $1 e $1 d"),
            (
                "blpop other x",
                "-ERR timeout is not a float or out of range",
            ),
            ("blpop other -1", "-ERR timeout is negative"),
            ("blpop other inf", "-ERR timeout is out of range"),
            (
                "blmpop x 1 other left",
                "-ERR timeout is not a float or out of range",
            ),
            (
                "blmpop x 0 other left",
                "-ERR numkeys should be greater than 0",
            ),
            (
                "blmove other k left",
                "-ERR wrong number of arguments for 'blmove' command",
            ),
        ],
    );
}

#[test]
fn within_a_transaction_nobody_waits() {
    check(
        &mut Kit::new(),
        &[
            ("multi", "+OK"),
            ("blpop none 0", "+QUEUED"),
            ("blmpop 0 1 none left", "+QUEUED"),
            ("blmove none other left left 0", "+QUEUED"),
            ("brpoplpush none other 0", "+QUEUED"),
            ("exec", "*4 *-1 *-1 $-1 $-1"),
        ],
    );
}

#[test]
fn subscribers_hear_what_happened_to_a_list() {
    let (mut kit, recorder) = recorded();
    for (line, events) in [
        ("rpush k a b c d", &["new", "rpush"][..]),
        ("lpush k x", &["lpush"]),
        ("lpushx none x", &[]),
        ("linsert k before a y", &["linsert"]),
        ("linsert k before none y", &[]),
        ("lset k 0 z", &["lset"]),
        ("lrem k 0 a", &["lrem"]),
        ("lrem k 0 a", &[]),
        ("ltrim k 0 3", &["ltrim"]),
        ("ltrim k 0 -1", &["ltrim"]),
        ("lpop k", &["lpop"]),
        ("rpop k 0", &[]),
        ("lmove k other left left", &["new", "lpush", "lpop"]),
        ("lmove other other left right", &["rpush", "lpop"]),
        ("rpoplpush k other", &["lpush", "rpop"]),
        ("lpop k", &["lpop", "del"]),
        ("lmpop 1 other right", &["rpop"]),
        ("blpop other 0", &["lpop", "del"]),
        ("rpush k a", &["new", "rpush"]),
        ("ltrim k 1 0", &["ltrim", "del"]),
        ("rpush k a", &["new", "rpush"]),
        ("lrem k 0 a", &["lrem", "del"]),
    ] {
        kit.run(line);
        assert_eq!(recorder.events(), events, "{line}");
    }
}

#[test]
fn every_element_counts_as_a_change() {
    let mut kit = Kit::new();
    let changes = |kit: &Kit| -> u64 {
        let keyspace = &kit.engine.keyspace;
        (0..keyspace.len())
            .map(|i| keyspace.lock(i).stats.changes)
            .sum()
    };
    let mut before = 0;
    for (line, expected) in [
        ("rpush k a b c d e f", 6),
        ("lpushx k a", 1),
        ("lpushx none a", 0),
        ("lset k 0 x", 1),
        ("linsert k before x y", 1),
        ("lmove k k left right", 1),
        ("lmove k other left right", 1),
        ("lmove other k left right", 1),
        ("lrem k 0 z", 0),
        ("lrem k 1 a", 1),
        ("ltrim k 0 -1", 0),
        ("ltrim k 1 -2", 2),
        ("lpop k 2", 2),
        ("rpop k", 1),
        ("lmpop 1 k left count 5", 2),
        ("rpush k a a", 2),
        ("lrem k 0 a", 2),
    ] {
        kit.run(line);
        assert_eq!(changes(&kit) - before, expected, "{line}");
        before = changes(&kit);
    }
}

#[test]
fn followers_are_told_what_was_done_without_waiting() {
    let (mut kit, recorder) = recorded();
    kit.run("rpush k a b c d e f g h i j");
    recorder.take();
    for (line, said) in [
        ("lpop k", Some("lpop k")),
        ("lmpop 2 none k right count 2", Some("RPOP k 2")),
        ("blpop none k 0", Some("LPOP k")),
        ("brpop k 0", Some("RPOP k")),
        ("blmpop 0 1 k left", Some("LPOP k 1")),
        ("blmove k t right left 0", Some("LMOVE k t right left")),
        ("brpoplpush k t 0", Some("RPOPLPUSH k t")),
        ("ltrim k 0 -1", None),
        ("lmpop 1 k left count 100", Some("LPOP k 2")),
        ("lpop k", None),
        ("rpushx k a", None),
    ] {
        kit.run(line);
        let commands = recorder.commands();
        assert_eq!(commands.first().map(String::as_str), said, "{line}");
        assert!(commands.len() <= 1);
    }
}

#[test]
fn the_configuration_says_when_a_list_is_large() {
    let mut kit = Kit::with(&[
        "--list-max-ziplist-size",
        "3",
        "--enable-debug-command",
        "yes",
    ]);
    check(
        &mut kit,
        &[
            ("rpush k a b c", ":3"),
            ("object encoding k", "$8 listpack"),
            ("rpush k d", ":4"),
            ("object encoding k", "$9 quicklist"),
            ("rpop k 3", "*3 $1 d $1 c $1 b"),
            ("object encoding k", "$8 listpack"),
            ("rpush k b c d e", ":5"),
            ("copy k l", ":1"),
            ("object encoding l", "$9 quicklist"),
            ("config set list-max-listpack-size 100", "+OK"),
            ("lset k 0 x", "+OK"),
            ("object encoding k", "$9 quicklist"),
            ("ltrim k 1 1", "+OK"),
            ("object encoding k", "$8 listpack"),
            ("lrange l 0 -1", "*5 $1 a $1 b $1 c $1 d $1 e"),
        ],
    );
    let figures = kit.run("debug object l");
    let expected = " ql_nodes:2 ql_avg_node:2.50 ql_listpack_max:3 ql_compressed:0 \
                    ql_uncompressed_size:29\r\n";
    assert!(figures.ends_with(expected), "{figures}");
}

/// The digests are those of valkey-server 9.1.2.
#[test]
fn a_lists_digest_is_valkeys() {
    let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
    kit.run("rpush k a 1 02");
    assert_eq!(
        kit.run("debug digest-value k"),
        "*1\r\n+3df51de036516c5fe3bc3ca85eabc2c668d8013e\r\n"
    );
}

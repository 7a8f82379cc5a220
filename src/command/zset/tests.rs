use crate::command::testkit::{Kit, check, recorded};

const SYNTAX: &str = "-ERR syntax error";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn zadd_gives_scores_on_conditions() {
    check(
        &mut Kit::new(),
        &[
            ("zadd z 1 a 2 b", ":2"),
            ("zadd z 1 a 3 b 4 c", ":1"),
            ("zadd z ch 1 a 5 b 6 d", ":2"),
            ("zadd z nx 9 a 9 e", ":1"),
            ("zadd z xx 9 f 7 e", ":0"),
            ("zscore z f", "$-1"),
            ("zadd z gt ch 1 b 8 d", ":1"),
            ("zadd z lt ch 1 b 9 d", ":1"),
            ("zadd z incr 1.5 a", "$3 2.5"),
            ("zadd z nx incr 1 a", "$-1"),
            ("zadd z xx incr 1 none", "$-1"),
            ("zadd z gt incr -1 a", "$-1"),
            ("zincrby z -2.5 a", "$1 0"),
            ("zincrby fresh 3e0 a", "$1 3"),
            ("zadd none xx 1 a", ":0"),
            ("exists none", ":0"),
            ("zmscore z a b nobody", "*3 $1 0 $1 1 $-1"),
            ("zmscore none a", "*1 $-1"),
            ("zadd z inf i", ":1"),
            (
                "zincrby z -inf i",
                "-ERR resulting score is not a number (NaN)",
            ),
            ("zscore z i", "$3 inf"),
        ],
    );
}

#[test]
fn zadd_refuses_what_does_not_go_together() {
    check(
        &mut Kit::new(),
        &[
            (
                "zadd z 1",
                "-ERR wrong number of arguments for 'zadd' command",
            ),
            ("zadd z 1 a 2", SYNTAX),
            ("zadd z nx xx", SYNTAX),
            (
                "zadd z nx xx 1 a",
                "-ERR XX and NX options at the same time are not compatible",
            ),
            (
                "zadd z gt lt 1 a",
                "-ERR GT, LT, and/or NX options at the same time are not compatible",
            ),
            (
                "zadd z nx gt 1 a",
                "-ERR GT, LT, and/or NX options at the same time are not compatible",
            ),
            (
                "zadd z incr 1 a 2 b",
                "-ERR INCR option supports a single increment-element pair",
            ),
            ("zadd z 1 a x b", "-ERR value is not a valid float"),
            ("zadd z nan a", "-ERR value is not a valid float"),
            ("exists z", ":0"),
            ("set s x", "+OK"),
            ("zadd s 1 a", WRONG_TYPE),
            ("zadd s x a", "-ERR value is not a valid float"),
            ("zrem s a", WRONG_TYPE),
            ("zcard s", WRONG_TYPE),
        ],
    );
}

#[test]
fn members_have_scores_and_ranks() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("zadd z 1 a 2 b 2 c 3.5 d", ":4"),
            ("zcard z", ":4"),
            ("zrank z c", ":2"),
            ("zrevrank z c", ":1"),
            ("zrank z nobody", "$-1"),
            ("zrank z c withscore", "*2 :2 $1 2"),
            ("zrank z nobody withscore", "*-1"),
            ("zrank z c foo", SYNTAX),
            (
                "zrank z c withscore foo",
                "-ERR wrong number of arguments for 'zrank' command",
            ),
            ("zcount z 2 (3.5", ":2"),
            ("zcount z -inf +inf", ":4"),
            ("zcount z a 2", "-ERR min or max is not a float"),
            ("zrem z a nobody d", ":2"),
            ("zrem z b c", ":2"),
            ("exists z", ":0"),
        ],
    );
    kit.session.resp3 = true;
    check(
        &mut kit,
        &[
            ("zadd z 1.5 a", ":1"),
            ("zscore z a", ",1.5"),
            ("zrank z a withscore", "*2 :0 ,1.5"),
            ("zrank z nobody withscore", "_"),
            ("zincrby z 1 a", ",2.5"),
        ],
    );
}

#[test]
fn ranges_are_of_ranks_scores_or_members_from_either_end() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("zadd z 1 a 2 b 3 c 4 d", ":4"),
            ("zrange z 0 -1", "*4 $1 a $1 b $1 c $1 d"),
            ("zrange z 1 2 withscores", "*4 $1 b $1 2 $1 c $1 3"),
            ("zrange z 0 0 rev", "*1 $1 d"),
            ("zrange z 5 9", "*0"),
            ("zrange z -100 0", "*1 $1 a"),
            ("zrevrange z 0 1", "*2 $1 d $1 c"),
            ("zrange z (1 3 byscore", "*2 $1 b $1 c"),
            ("zrange z 3 (1 byscore rev limit 1 5", "*1 $1 b"),
            ("zrangebyscore z 2 +inf limit 1 -1", "*2 $1 c $1 d"),
            (
                "zrevrangebyscore z +inf -inf limit 0 1 withscores",
                "*2 $1 d $1 4",
            ),
            ("zrangebyscore z 1 2 limit -1 2", "*0"),
            (
                "zrange z 0 1 limit 0 1",
                "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ),
            (
                "zrange z - + bylex withscores",
                "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ),
            ("zrange z 0 1 limit 0", SYNTAX),
            (
                "zrange z a 1",
                "-ERR value is not an integer or out of range",
            ),
            (
                "zrange z a - bylex",
                "-ERR min or max not valid string range item",
            ),
            ("zrevrange z 0 1 rev", SYNTAX),
            ("zadd l 0 a 0 b 0 c", ":3"),
            ("zrange l [b + bylex", "*2 $1 b $1 c"),
            ("zrangebylex l - (c", "*2 $1 a $1 b"),
            ("zrevrangebylex l + - limit 1 1", "*1 $1 b"),
            ("zlexcount l - +", ":3"),
            ("zlexcount l (a [b", ":1"),
            ("zlexcount none - +", ":0"),
            ("zrange none 0 -1", "*0"),
        ],
    );
    kit.session.resp3 = true;
    check(
        &mut kit,
        &[("zrange z 0 1 withscores", "*2 *2 $1 a ,1 *2 $1 b ,2")],
    );
}

#[test]
fn ranges_are_removed_and_stored() {
    let (mut kit, recorder) = recorded();
    check(
        &mut kit,
        &[
            ("zadd z 1 a 2 b 3 c 4 d 5 e", ":5"),
            ("zrangestore to z 1 2", ":2"),
            ("zrange to 0 -1 withscores", "*4 $1 b $1 2 $1 c $1 3"),
            ("zrangestore to z 9 9", ":0"),
            ("exists to", ":0"),
            ("zrangestore z z 3 1 byscore rev limit 0 2", ":2"),
            ("zrange z 0 -1", "*2 $1 b $1 c"),
            ("zremrangebyrank z 5 6", ":0"),
            ("zremrangebyrank z 0 0", ":1"),
            ("zremrangebyscore z 3 3", ":1"),
            ("exists z", ":0"),
            ("zremrangebylex z - +", ":0"),
            ("zadd z 0 a 0 b", ":2"),
            ("zremrangebylex z [a [a", ":1"),
        ],
    );
    assert_eq!(
        recorder.events(),
        [
            "new",
            "zadd",
            "new",
            "zrangestore",
            "del",
            "keymiss",
            "zrangestore",
            "zremrangebyrank",
            "zremrangebyscore",
            "del",
            "keymiss",
            "new",
            "zadd",
            "zremrangebylex",
        ]
    );
}

#[test]
fn the_lowest_and_the_highest_are_popped() {
    let (mut kit, recorder) = recorded();
    check(
        &mut kit,
        &[
            ("zadd z 1 a 2 b 3 c 4 d 5 e", ":5"),
            ("zpopmin z", "*2 $1 a $1 1"),
            ("zpopmax z 2", "*4 $1 e $1 5 $1 d $1 4"),
            ("zpopmax z 0", "*0"),
            (
                "zpopmin z -1",
                "-ERR value is out of range, must be positive",
            ),
            ("zpopmin z 1 2", SYNTAX),
            ("zpopmin none", "*0"),
            (
                "zmpop 2 none z max count 9",
                "*2 $1 z *2 *2 $1 c $1 3 *2 $1 b $1 2",
            ),
            ("zmpop 1 z min", "*-1"),
            ("zmpop 0 z min", "-ERR numkeys should be greater than 0"),
            (
                "zmpop 1 z min count 0",
                "-ERR count should be greater than 0",
            ),
            ("zmpop 3 z min", SYNTAX),
            ("zmpop 1 z both", SYNTAX),
        ],
    );
    let lines = [
        "zadd z 1 a 2 b 3 c 4 d 5 e",
        "zpopmin z",
        "zpopmax z 2",
        "ZPOPMAX z 2",
    ];
    assert_eq!(recorder.commands(), lines);
    kit.session.resp3 = true;
    check(
        &mut kit,
        &[
            ("zadd z 1 a 2 b 3 c", ":3"),
            ("zpopmin z", "*2 $1 a ,1"),
            ("zpopmin z 2", "*2 *2 $1 b ,2 *2 $1 c ,3"),
        ],
    );
}

#[test]
fn several_make_one() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("zadd a 1 x 2 y 3 z", ":3"),
            ("zadd b 10 y 20 z 30 w", ":3"),
            (
                "zunion 2 a b withscores",
                "*8 $1 x $1 1 $1 y $2 12 $1 z $2 23 $1 w $2 30",
            ),
            ("zinter 2 a b withscores", "*4 $1 y $2 12 $1 z $2 23"),
            (
                "zinter 2 a b weights 2 1 aggregate min withscores",
                "*4 $1 y $1 4 $1 z $1 6",
            ),
            ("zdiff 2 a b withscores", "*2 $1 x $1 1"),
            ("zdiff 3 a b none", "*1 $1 x"),
            ("zintercard 2 a b", ":2"),
            ("zintercard 2 a b limit 1", ":1"),
            ("zintercard 2 a b limit -1", "-ERR LIMIT can't be negative"),
            (
                "zunionstore to 2 a b weights 1 x",
                "-ERR weight value is not a float",
            ),
            ("zunionstore to 2 a b aggregate max", ":4"),
            ("zrange to 0 -1", "*4 $1 x $1 y $1 z $1 w"),
            ("zinterstore to 2 a none", ":0"),
            ("exists to", ":0"),
            ("zdiffstore a 2 a b", ":1"),
            (
                "zunion 0 a",
                "-ERR at least 1 input key is needed for 'zunion' command",
            ),
            ("zunion 2 a", SYNTAX),
            ("zunionstore to 9 a", SYNTAX),
            (
                "zunionstore to x a",
                "-ERR value is not an integer or out of range",
            ),
            ("zdiff 1 a weights 1", SYNTAX),
            ("set s x", "+OK"),
            ("zunion 2 a s foo", WRONG_TYPE),
            ("zadd p inf m", ":1"),
            ("zadd n -inf m", ":1"),
            ("zunion 2 p n withscores", "*2 $1 m $1 0"),
            ("zinter 1 p weights 0 withscores", "*2 $1 m $1 0"),
        ],
    );
}

#[test]
fn random_members_are_members() {
    let mut kit = Kit::new();
    for members in [20, 300] {
        kit.run("del z");
        for n in 0..members {
            kit.run(&format!("zadd z {n} m{n}"));
        }
        for (count, given) in [(5, 5), (-7, 7), (1000, members), (members - 1, members - 1)] {
            let reply = kit.run(&format!("zrandmember z {count}"));
            assert!(
                reply.starts_with(&format!("*{given}\r\n")),
                "{count}: {reply}"
            );
            assert_eq!(reply.matches("m").count(), given as usize);
        }
        assert!(kit.run("zrandmember z").contains("m"));
    }
    check(
        &mut kit,
        &[
            ("zrandmember none", "$-1"),
            ("zrandmember none 3", "*0"),
            ("zrandmember z 0", "*0"),
            ("zrandmember z 1 2", SYNTAX),
            (
                "zrandmember z x",
                "-ERR value is not an integer or out of range",
            ),
            (
                "zrandmember z -9223372036854775807 withscores",
                "-ERR value is out of range",
            ),
            (
                "zrandmember z -9223372036854775808",
                "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
        ],
    );
}

#[test]
fn what_changes_nothing_is_no_event() {
    let (mut kit, recorder) = recorded();
    kit.run("zadd z 1 a");
    recorder.take();
    for line in [
        "zadd z 1 a",
        "zadd z nx 2 a",
        "zincrby z 0 a",
        "zrem z nobody",
    ] {
        kit.run(line);
    }
    assert_eq!(recorder.take(), []);
    kit.run("zincrby z 1 a");
    assert_eq!(recorder.events(), ["zincr"]);
    kit.run("zrem z a");
    assert_eq!(recorder.events(), ["zrem", "del"]);
}

#[test]
fn the_encoding_follows_the_limits() {
    let mut kit = Kit::with(&[
        "--zset-max-ziplist-entries",
        "3",
        "--zset-max-listpack-value",
        "4",
    ]);
    check(
        &mut kit,
        &[
            ("zadd z 1 a 2 b 3 c", ":3"),
            ("object encoding z", "$8 listpack"),
            ("zadd z 4 d", ":1"),
            ("object encoding z", "$8 skiplist"),
            ("zadd y 1 abcd", ":1"),
            ("object encoding y", "$8 listpack"),
            ("zadd y 2 abcde", ":1"),
            ("object encoding y", "$8 skiplist"),
            ("zrem y abcde", ":1"),
            ("object encoding y", "$8 skiplist"),
            ("zunionstore y 1 y", ":1"),
            ("object encoding y", "$8 listpack"),
        ],
    );
}

#[test]
fn a_walk_meets_every_member_once_while_nothing_changes() {
    let mut kit = Kit::new();
    for n in 0..500 {
        kit.run(&format!("zadd z 0.1 m{n}"));
    }
    let (mut cursor, mut met) = ("0".to_string(), 0);
    loop {
        let reply = kit.run(&format!("zscan z {cursor} count 7"));
        met += reply.matches("\r\nm").count();
        assert_eq!(
            reply.matches("m").count(),
            reply.matches("0.10000000000000001").count()
        );
        cursor = reply.split("\r\n").nth(2).expect("a cursor").to_string();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(met, 500);
    kit.run("zadd small 0.1 a 2 b");
    check(
        &mut kit,
        &[
            ("zscan small 0", "*2 $1 0 *4 $1 a $3 0.1 $1 b $1 2"),
            ("zscan small 0 noscores match b", "*2 $1 0 *1 $1 b"),
            ("zscan none 0 foo", "*2 $1 0 *0"),
            ("zscan small x", "-ERR invalid cursor"),
            ("zscan small 0 count 0", SYNTAX),
            ("zscan small 0 type zset", SYNTAX),
        ],
    );
}

#[test]
fn who_waits_takes_what_is_there_at_once() {
    let (mut kit, recorder) = recorded();
    check(
        &mut kit,
        &[
            ("zadd z 1 a 2 b 3 c 4 d", ":4"),
            ("bzpopmin none z 0", "*3 $1 z $1 a $1 1"),
            ("bzpopmax z 0", "*3 $1 z $1 d $1 4"),
            (
                "bzmpop 1 2 none z max count 5",
                "*2 $1 z *2 *2 $1 c $1 3 *2 $1 b $1 2",
            ),
            (
                "bzpopmin z x",
                "-ERR timeout is not a float or out of range",
            ),
            ("bzpopmin z -1", "-ERR timeout is negative"),
            ("bzmpop -1 0 z min", "-ERR numkeys should be greater than 0"),
            ("bzmpop -1 1 z min", "-ERR timeout is negative"),
            ("bzmpop 1 2 z min", SYNTAX),
            ("multi", "+OK"),
            ("bzpopmin z 0", "+QUEUED"),
            ("exec", "*1 *-1"),
            ("set z x", "+OK"),
            ("bzpopmin z 0", WRONG_TYPE),
        ],
    );
    let commands = recorder.commands();
    assert_eq!(commands[1..4], ["ZPOPMIN z", "ZPOPMAX z", "ZPOPMAX z 2"]);
}

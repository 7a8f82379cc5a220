use proptest::prelude::*;

use super::selector::Terms;
use super::user::{Error, Refused, User, join_selectors};
use super::wrong::Wrong;
use crate::command::testkit::{Kit, check};
use crate::config;
use crate::exec::access::{self, Verdict};

/// The user of these rules, which may be wrong.
fn try_user(rules: &[&str]) -> Result<User, Error> {
    let table = crate::command::table();
    let terms = Terms {
        table: &table,
        all_channels: false,
    };
    User::new(b"bob", terms).with(rules, terms)
}

fn user(rules: &[&str]) -> User {
    try_user(rules).expect("rules")
}

/// The user's line behind its name.
fn line(user: &User) -> String {
    let line = String::from_utf8(user.line()).expect("text");
    line.strip_prefix("user bob ").expect("a user").to_string()
}

fn why(rules: &[&str]) -> Wrong {
    match try_user(rules) {
        Err(Error::Refused(Refused { why, .. })) => why,
        other => panic!("{rules:?}: {other:?}"),
    }
}

#[test]
fn users_are_shown_as_the_rules_that_make_them() {
    for (rules, shown) in [
        ("", "off resetchannels -@all"),
        ("on nopass ~* &* +@all", "on nopass ~* &* +@all"),
        ("ON AllKeys AllChannels AllCommands", "on ~* &* +@all"),
        (
            "%R~a %W~a ~b %rw~c %R~d",
            "off ~a ~b ~c %R~d resetchannels -@all",
        ),
        ("&a &b &a", "off resetchannels &a &b -@all"),
        ("db=2,0,2 +get", "off resetchannels db=0,2 -@all +get"),
        ("resetdbs", "off resetchannels resetdbs -@all"),
        ("db=1 alldbs", "off resetchannels -@all"),
        (
            "(~a +get) (%W~b +set resetchannels)",
            "off resetchannels -@all (~a resetchannels -@all +get) \
             (%W~b resetchannels -@all +set)",
        ),
        ("( ~a +get ) clearselectors", "off resetchannels -@all"),
        ("()", "off resetchannels -@all (resetchannels -@all)"),
        ("on >x ~a +get (+set) reset", "off resetchannels -@all"),
        (
            "on skip-sanitize-payload sanitize-payload",
            "on resetchannels -@all",
        ),
    ] {
        let rules: Vec<&str> = rules.split_whitespace().collect();
        assert_eq!(line(&user(&rules)), shown, "{rules:?}");
    }
}

#[test]
fn rules_about_commands_are_kept_in_order_without_what_was_outdone() {
    for (rules, shown) in [
        ("+@all -@hash -@slow +hget", "+@all -@hash -@slow +hget"),
        (
            "+@all -@hash -@slow +hget -@hash",
            "+@all -@slow +hget -@hash",
        ),
        ("-@all +@HASH +@hash", "-@all +@hash"),
        ("+HGET +hGeT", "-@all +hget"),
        ("+hget -hset +hset -hget", "-@all +hset -hget"),
        (
            "+client|list +config|get +config +acl|list -acl",
            "-@all +client|list +config -acl",
        ),
        (
            "+select|0 +SELECT|0 +debug|segfault +debug",
            "-@all +select|0 +debug",
        ),
        ("-@dangerous", "-@all -@dangerous"),
        ("+@all -get +get", "+@all +get"),
        ("nocommands +get allcommands", "+@all"),
    ] {
        let rules: Vec<&str> = rules.split_whitespace().collect();
        let described = user(&rules).root().commands.describe();
        assert_eq!(String::from_utf8_lossy(&described), shown, "{rules:?}");
    }
}

#[test]
fn what_is_no_rule_is_refused_for_what_is_wrong_with_it() {
    for (rules, wrong) in [
        (&["nonsense"][..], Wrong::Syntax),
        (&["+nosuch"], Wrong::UnknownCommand),
        (&["-@nosuch"], Wrong::UnknownCommand),
        (&["+config|nosuch"], Wrong::UnknownCommand),
        (&["-select|0"], Wrong::UnknownCommand),
        (&["+get|a|b"], Wrong::UnknownCommand),
        (&["+config|get|port"], Wrong::PartOfSubcommand),
        (&["+select|"], Wrong::Syntax),
        (&["%~"], Wrong::Syntax),
        (&["%"], Wrong::Syntax),
        (&["%RR~a"], Wrong::Syntax),
        (&["~a b"], Wrong::Syntax),
        (&["&a\tb"], Wrong::Syntax),
        (&["allkeys", "~a"], Wrong::KeyAfterAll),
        (&["allchannels", "&a"], Wrong::ChannelAfterAll),
        (&["<never-there"], Wrong::NoSuchPassword),
        (&["#0123"], Wrong::BadDigest),
        (&["!0123"], Wrong::BadDigest),
        (&["db="], Wrong::Syntax),
        (&["db=1,,2"], Wrong::Syntax),
        (&["db=,1"], Wrong::Syntax),
        (&["db=a"], Wrong::Syntax),
        (&["db=-1"], Wrong::DatabaseRange),
        (&["db=12345678987654321"], Wrong::DatabaseRange),
        (&["(on)"], Wrong::Syntax),
        (&["(&* &a)"], Wrong::ChannelAfterAll),
        (&[" () "], Wrong::Syntax),
        (&[")"], Wrong::Syntax),
    ] {
        assert_eq!(why(rules), wrong, "{rules:?}");
    }
    let open = |rules: &[&str]| matches!(try_user(rules), Err(Error::Open(_)));
    assert!(open(&["(+ping", "(+del"]) && open(&["("]));
}

#[test]
fn rules_are_taken_all_or_none() {
    let mut kit = Kit::new();
    let wrong = kit.run("acl setuser bob on +get nonsense");
    assert_eq!(
        wrong,
        "-ERR Error in ACL SETUSER modifier 'nonsense': Syntax error\r\n"
    );
    assert_eq!(kit.run("acl getuser bob"), "$-1\r\n");
}

/// Rules that a user is made of at random. Many of them are refused in their place.
fn rules() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let words = [
        "on",
        "off",
        "nopass",
        "resetpass",
        ">a",
        ">b",
        "<a",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "allcommands",
        "nocommands",
        "+get",
        "-get",
        "+config",
        "-config",
        "+config|get",
        "-config|set",
        "+select|0",
        "+select|A",
        "-select",
        "+@read",
        "-@read",
        "+@slow",
        "-@admin",
        "+@connection",
        "-@connection",
        "db=1,0",
        "db=3",
        "alldbs",
        "resetdbs",
        "clearselectors",
        "reset",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let sign = prop::sample::select(vec!["~", "%R~", "%W~", "&"]);
    let text = prop::collection::vec(any::<u8>(), 0..5);
    let pattern = (sign, text).prop_map(|(sign, text)| [sign.as_bytes(), &text].concat());
    let rule = prop_oneof![3 => word, 1 => pattern];
    let inner = prop::collection::vec(rule.clone(), 0..5).prop_map(|rules| {
        let quoted = rules.iter().map(|rule| {
            let mut word = Vec::new();
            config::quote(rule, &mut word);
            word
        });
        [b"(", &quoted.collect::<Vec<_>>().join(&b' ')[..], b")"].concat()
    });
    prop::collection::vec(prop_oneof![9 => rule, 1 => inner], 0..20)
}

proptest! {
    #[test]
    fn a_users_line_makes_the_same_user_from_a_file_and_from_the_configuration(
        rules in rules(), all_channels in any::<bool>(),
    ) {
        let table = crate::command::table();
        let terms = Terms { table: &table, all_channels };
        let mut user = User::new(b"bob", terms);
        for rule in &rules {
            let mut next = user.clone();
            if next.apply(rule, terms).is_ok() {
                user = next;
            }
        }
        let again = |words: &[Vec<u8>]| User::new(b"bob", terms).with(words, terms);

        let line = user.line();
        let words: Vec<Vec<u8>> = line.split(|&b| b == b' ').map(<[u8]>::to_vec).collect();
        prop_assert_eq!(again(&words[2..]), Ok(user.clone()), "{}", line.escape_ascii());

        let line = user.config_line();
        let words = config::split(&line).expect("a line");
        prop_assert_eq!(again(&words[2..]), Ok(user.clone()), "{}", line.escape_ascii());
        prop_assert!(join_selectors(&words).is_ok());
    }
}

/// A kit, and another client of it that is `bob`, who was made by these rules.
fn with_bob(rules: &str) -> (Kit, Kit) {
    let mut kit = Kit::new();
    assert_eq!(
        kit.run(&format!("acl setuser bob on nopass {rules}")),
        "+OK\r\n"
    );
    let mut bob = kit.another();
    assert_eq!(bob.run("auth bob any"), "+OK\r\n");
    (kit, bob)
}

const NO_KEY: &str = "-NOPERM No permissions to access a key";
const NO_CHANNEL: &str = "-NOPERM No permissions to access a channel";
const NO_DATABASE: &str = "-NOPERM No permissions to access database";

#[test]
fn a_command_needs_the_right_to_it_and_to_each_of_its_keys() {
    let (_, mut bob) = with_bob("+@all -ping -config|set %R~r* %W~w* ~rw*");
    check(
        &mut bob,
        &[
            (
                "ping",
                "-NOPERM User bob has no permissions to run the 'ping' command",
            ),
            (
                "config set hz 5",
                "-NOPERM User bob has no permissions to run the 'config|set' command",
            ),
            ("get r", "$-1"),
            ("get w", NO_KEY),
            ("set r v", NO_KEY),
            ("set w v", "+OK"),
            ("set w get", "+OK"),
            ("set w v get", NO_KEY),
            ("set rw v get", "$-1"),
            ("mget r1 r2", "*2 $-1 $-1"),
            ("mget r1 x", NO_KEY),
            ("copy r w", ":0"),
            ("copy w r", NO_KEY),
            ("exists r w", ":1"),
            ("exists x", NO_KEY),
            ("bitfield r get u4 0", "*1 :0"),
            ("bitfield r set u4 0 1", NO_KEY),
            (
                "lpush w v",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            // What is wrong with it is told first.
            ("get", "-ERR wrong number of arguments for 'get' command"),
        ],
    );
}

#[test]
fn what_two_selectors_allow_does_not_add_up() {
    let (_, mut bob) = with_bob("(%R~r* +@all) (%W~w* +@all)");
    check(
        &mut bob,
        &[
            ("get r", "$-1"),
            ("set w v", "+OK"),
            ("copy r w", NO_KEY),
            ("ping", "+PONG"),
        ],
    );
}

#[test]
fn a_first_argument_may_be_allowed_alone() {
    let (_, mut bob) = with_bob("+select|1");
    check(
        &mut bob,
        &[
            ("select 1", "+OK"),
            (
                "select 2",
                "-NOPERM User bob has no permissions to run the 'select' command",
            ),
        ],
    );
}

#[test]
fn channels_are_matched_and_patterns_compared_by_their_letters() {
    let (_, mut bob) = with_bob("+@all &a:* &b");
    check(
        &mut bob,
        &[
            ("publish a:1 x", ":0"),
            ("publish b x", ":0"),
            ("publish c x", NO_CHANNEL),
            ("spublish c x", NO_CHANNEL),
            ("subscribe a:1 c", NO_CHANNEL),
            ("ssubscribe c", NO_CHANNEL),
            ("psubscribe a:1*", NO_CHANNEL),
            (
                "hello 3 setname a",
                "%7 $6 server $5 redis $7 version $5 7.2.4 $5 proto :3 $2 id :2 $4 mode $10 standalone $4 role $6 master $7 modules *0",
            ),
            ("psubscribe a:*", ">3 $10 psubscribe $3 a:* :1"),
            ("subscribe a:2", ">3 $9 subscribe $3 a:2 :2"),
            // To hear of something no more needs no right.
            ("unsubscribe c", ">3 $11 unsubscribe $1 c :2"),
        ],
    );
}

#[test]
fn databases_are_those_that_a_command_names_and_works_on() {
    let (mut kit, mut bob) = with_bob("+@all ~* db=0,2");
    kit.run("set k v");
    check(
        &mut bob,
        &[
            ("select 1", NO_DATABASE),
            ("select 99", "-ERR DB index is out of range"),
            ("copy k d db 1", NO_DATABASE),
            ("copy k d db 2 db 1", NO_DATABASE),
            ("copy k d db 2", ":1"),
            ("move k 1", NO_DATABASE),
            ("swapdb 0 1", NO_DATABASE),
            ("flushall", NO_DATABASE),
            ("ping", "+PONG"),
            ("select 2", "+OK"),
            ("get d", "$1 v"),
        ],
    );
    kit.run("acl setuser bob db=0");
    check(
        &mut bob,
        &[
            ("get d", NO_DATABASE),
            ("keys *", NO_DATABASE),
            ("ping", "+PONG"),
            // Neither may what is here be taken to where it could be read.
            ("move d 0", NO_DATABASE),
            ("copy d d db 0", NO_DATABASE),
            ("select 0", "+OK"),
            ("get k", "$1 v"),
        ],
    );
}

#[test]
fn a_transaction_is_judged_when_it_is_queued_and_again_when_it_runs() {
    let (mut kit, mut bob) = with_bob("+multi +exec +get +set +select ~a* db=0,1");
    check(
        &mut bob,
        &[
            ("multi", "+OK"),
            ("set a 1", "+QUEUED"),
            ("set b 1", NO_KEY),
            (
                "exec",
                "-EXECABORT Transaction discarded because of previous errors.",
            ),
            ("multi", "+OK"),
            ("select 1", "+QUEUED"),
            ("set a 1", "+QUEUED"),
            ("get a", "+QUEUED"),
        ],
    );
    kit.run("acl setuser bob -set");
    let reply = bob.run("exec").replace("\r\n", " ");
    assert_eq!(
        reply,
        "*3 +OK -NOPERM ACLs rules changed between the moment the transaction was accumulated \
         and the EXEC call. This command is no longer allowed for the following reason: no \
         permission to execute the command or subcommand $-1 "
    );
    check(&mut bob, &[("multi", "+OK"), ("get a", "+QUEUED")]);
    kit.run("acl setuser bob db=0");
    let reply = bob.run("exec");
    assert!(reply.ends_with("following reason: no permission\r\n"));
    kit.run("acl setuser bob alldbs -exec");
    check(&mut bob, &[("multi", "+OK"), ("get a", "+QUEUED")]);
    assert_eq!(
        bob.run("exec"),
        "-EXECABORT Transaction discarded because of: NOPERM User bob has no permissions to run \
         the 'exec' command\r\n"
    );
}

#[test]
fn a_database_that_a_transaction_selects_counts_for_what_is_queued_behind() {
    let (_, mut bob) = with_bob("(+@all ~a db=0) (+select +multi +exec +get ~b db=1)");
    check(
        &mut bob,
        &[
            ("multi", "+OK"),
            ("get a", "+QUEUED"),
            ("select 1", "+QUEUED"),
            ("get b", "+QUEUED"),
            ("exec", "*3 $-1 +OK $-1"),
            ("multi", "+OK"),
            ("get a", NO_KEY),
        ],
    );
}

#[test]
fn rights_change_at_once_and_a_user_that_is_gone_is_cut_off() {
    let (mut kit, mut bob) = with_bob("+@all ~*");
    assert_eq!(bob.run("get k"), "$-1\r\n");
    kit.run("acl setuser bob -get");
    assert!(bob.run("get k").starts_with("-NOPERM "));
    kit.run("acl setuser bob +get");
    assert_eq!(bob.run("get k"), "$-1\r\n");
    // Who is there already stays.
    kit.run("acl setuser bob off resetpass");
    assert_eq!(bob.run("get k"), "$-1\r\n");
    assert!(
        kit.another()
            .run("auth bob any")
            .starts_with("-WRONGPASS invalid")
    );
    assert_eq!(kit.run("acl deluser bob nobody"), ":1\r\n");
    assert!(bob.session.client.is_killed());
    assert_eq!(bob.run("get k"), "");
    assert_eq!(bob.session.closing, crate::exec::session::Closing::Now);
    assert!(!kit.run("client list").contains("user=bob"));
}

#[test]
fn who_removes_its_own_user_is_answered_first() {
    let (_, mut bob) = with_bob("+@all");
    assert_eq!(bob.run("acl deluser bob"), ":1\r\n");
    assert!(!bob.session.client.is_killed());
    assert_eq!(
        bob.session.closing,
        crate::exec::session::Closing::AfterReply
    );
}

#[test]
fn who_listens_to_what_its_user_may_no_more_is_cut_off() {
    for (listens, rules, stays) in [
        ("subscribe a", "&b", true),
        ("subscribe a", "allchannels", true),
        ("subscribe a", "resetchannels &b", false),
        ("ssubscribe a", "resetchannels", false),
        ("psubscribe c*", "resetchannels &a &c*", true),
        ("psubscribe c*", "resetchannels &c", false),
        ("ping", "resetchannels", true),
    ] {
        let (mut kit, mut bob) = with_bob("+@all &a &c*");
        let mut other = kit.another();
        bob.run(listens);
        other.run(listens);
        kit.run(&format!("acl setuser bob {rules}"));
        let is_there = !bob.session.client.is_killed();
        assert_eq!(is_there, stays, "{listens}, {rules}");
        assert!(!other.session.client.is_killed());
    }
}

#[test]
fn before_a_client_has_said_who_it_is_it_learns_nothing() {
    let mut kit = Kit::new();
    kit.run("acl setuser default off");
    let mut other = kit.another();
    other.session.authenticated = false;
    assert_eq!(
        other.run("acl whoami"),
        "-NOAUTH Authentication required.\r\n"
    );
    // Who is there already stays.
    assert_eq!(kit.run("acl whoami"), "$7\r\ndefault\r\n");
    kit.run("acl setuser bob on >secret +@all");
    assert_eq!(other.run("auth bob secret"), "+OK\r\n");
    assert_eq!(other.run("acl whoami"), "$3\r\nbob\r\n");
    assert!(other.run("auth default ''").starts_with("-WRONGPASS "));
    // The last who said something right it remains.
    assert_eq!(other.run("acl whoami"), "$3\r\nbob\r\n");
    assert_eq!(other.run("reset"), "+RESET\r\n");
    assert!(other.run("get k").starts_with("-NOAUTH "));
}

#[test]
fn requirepass_is_the_default_users_password() {
    let mut kit = Kit::with(&["--requirepass", "secret"]);
    let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let shown = kit.run("acl list");
    assert!(shown.contains(&format!("user default on #{digest} ~* &* +@all")));
    kit.run("config set requirepass ''");
    assert!(kit.run("acl list").contains("user default on nopass "));
    kit.run("config set requirepass secret");
    kit.run("acl setuser default >other");
    // What else is configured leaves it alone.
    kit.run("config set hz 20");
    assert_eq!(kit.run("auth other"), "+OK\r\n");
    assert_eq!(kit.run("auth default secret"), "+OK\r\n");
    kit.run("config set requirepass third");
    assert!(kit.run("auth other").starts_with("-WRONGPASS "));
    assert_eq!(kit.run("auth third"), "+OK\r\n");
    kit.run("acl setuser default nopass");
    assert!(
        kit.run("auth third")
            .starts_with("-ERR AUTH <password> called")
    );
}

#[test]
fn sort_follows_patterns_for_who_may_read_any_key() {
    let (mut kit, mut bob) = with_bob("(+sort ~l)");
    kit.run("rpush l 1");
    kit.run("set v1 1");
    let by = "-ERR BY option of SORT denied due to insufficient ACL permissions.";
    let get = "-ERR GET option of SORT denied due to insufficient ACL permissions.";
    check(
        &mut bob,
        &[
            ("sort l", "*1 $1 1"),
            ("sort l by nosort", "*1 $1 1"),
            ("sort l by v*", by),
            ("sort l get v*", get),
            ("sort l get #", get),
        ],
    );
    kit.run("acl setuser bob (+sort ~l %W~*)");
    check(&mut bob, &[("sort l by v*", by)]);
    kit.run("acl setuser bob (+sort ~l %R~*)");
    check(
        &mut bob,
        &[("sort l by v*", "*1 $1 1"), ("sort l get v*", "*1 $1 1")],
    );
}

#[test]
fn a_group_is_invalidated_by_who_may_write_any_key() {
    let (mut kit, mut bob) = with_bob("+@all ~a*");
    let denied = "-ERR PREFIX of CACHE.INVALIDATE denied due to insufficient ACL permissions.";
    kit.run("set b v");
    check(
        &mut bob,
        &[
            ("cache.invalidate prefix b", denied),
            ("cache.invalidate key b", NO_KEY),
            ("exists a", ":0"),
        ],
    );
    kit.run("acl setuser bob %W~*");
    assert!(!bob.run("cache.invalidate prefix b").starts_with('-'));
    assert_eq!(kit.run("exists b"), ":0\r\n");
}

#[test]
fn a_command_that_waited_is_judged_again() {
    let (mut kit, mut bob) = with_bob("+@all ~a");
    assert_eq!(bob.run("blpop a 0"), "");
    kit.run("acl setuser bob resetkeys");
    kit.run("rpush a v");
    let mut out = crate::protocol::output::Output::default();
    bob.session.client.collect(&mut out);
    let said = out.single().expect("a reply");
    assert_eq!(said, format!("{NO_KEY}\r\n").as_bytes());
    assert_eq!(kit.run("llen a"), ":1\r\n");
    let stats = kit.run("info commandstats");
    let line = stats.lines().find(|l| l.starts_with("cmdstat_blpop:"));
    assert!(line.is_some_and(|l| l.contains("calls=0,") && l.contains("rejected_calls=1,")));
}

#[test]
fn dryrun_says_what_would_be_and_in_full_why_not() {
    let (mut kit, _) = with_bob("+@all -debug %R~r* &c db=0");
    check(
        &mut kit,
        &[
            ("acl dryrun bob get r", "+OK"),
            (
                "acl dryrun bob get x",
                "$49 User bob has no permissions to access the 'x' key",
            ),
            (
                "acl dryrun bob publish x m",
                "$53 User bob has no permissions to access the 'x' channel",
            ),
            (
                "acl dryrun bob debug help",
                "$54 User bob has no permissions to run the 'debug' command",
            ),
            (
                "acl dryrun bob select 3",
                "$48 User bob has no permissions to access database 3",
            ),
            ("acl dryrun bob sunsubscribe x", "+OK"),
            ("acl dryrun nobody get r", "-ERR User 'nobody' not found"),
            ("acl dryrun bob nosuch", "-ERR Command 'nosuch' not found"),
            (
                "acl dryrun bob get",
                "-ERR wrong number of arguments for 'get' command",
            ),
        ],
    );
}

#[test]
fn the_commands_of_a_category_and_the_names_of_users_are_told() {
    let (mut kit, _) = with_bob("+@all");
    let all = kit.run("acl cat");
    assert!(all.starts_with("*21\r\n$8\r\nkeyspace\r\n"));
    let some = kit.run("acl cat TRANSACTION");
    assert!(some.contains("\r\nmulti\r\n") && !some.contains("\r\nget\r\n"));
    assert!(kit.run("acl cat admin").contains("\r\nacl|setuser\r\n"));
    check(
        &mut kit,
        &[
            ("acl cat nosuch", "-ERR Unknown category 'nosuch'"),
            (
                "acl cat a b",
                "-ERR unknown subcommand or wrong number of arguments for 'cat'. Try ACL HELP.",
            ),
            ("acl users", "*2 $3 bob $7 default"),
            ("acl whoami", "$7 default"),
            (
                "acl getuser bob",
                "*14 $5 flags *2 $2 on $6 nopass $9 passwords *0 $8 commands $5 +@all $4 keys \
                 $0  $8 channels $0  $9 databases $6 alldbs $9 selectors *0",
            ),
            (
                "acl deluser default",
                "-ERR The 'default' user cannot be removed",
            ),
            (
                "acl setuser 'a b'",
                "-ERR Usernames can't contain spaces or null characters",
            ),
        ],
    );
    assert!(kit.run("acl genpass").starts_with("$64\r\n"));
    assert!(kit.run("acl genpass 9").starts_with("$3\r\n"));
    assert!(kit.run("acl help").starts_with("*27\r\n+ACL <subcommand>"));
    for line in ["acl load", "acl save"] {
        let refused = "-ERR This instance is not configured to use an ACL file.";
        assert!(kit.run(line).starts_with(refused), "{line}");
    }
}

#[test]
fn the_log_tells_who_was_denied_what_and_where() {
    let (mut kit, mut bob) = with_bob("+multi +get +publish +select ~a db=0");
    for line in [
        "ping",
        "get b",
        "get b",
        "publish c m",
        "select 3",
        "auth bob2 wrong",
        "multi",
        "get b",
    ] {
        bob.run(line);
    }
    let mut rows = Vec::new();
    let reply = kit.run("acl log");
    for entry in reply.split("$5\r\ncount\r\n").skip(1) {
        let words: Vec<&str> = entry.split("\r\n").collect();
        let behind = |name: &str| {
            let at = words.iter().position(|word| *word == name).expect(name);
            words[at + 2]
        };
        let fields = ["reason", "context", "object", "username"].map(behind);
        rows.push(format!("{} {}", words[0], fields.join(" ")));
        assert!(behind("client-info").contains(" user=bob "));
    }
    assert_eq!(
        rows,
        [
            ":1 key multi b bob",
            ":1 auth toplevel auth bob2",
            ":1 database toplevel 3 bob",
            ":1 channel toplevel c bob",
            ":2 key toplevel b bob",
            ":1 command toplevel ping bob",
        ]
    );
    assert!(kit.run("acl log 2").starts_with("*2\r\n"));
    assert!(kit.run("acl log -1").starts_with("*0\r\n"));
    let stats = kit.run("info stats");
    for figure in ["auth:1", "cmd:1", "key:3", "channel:1", "db:1"] {
        assert!(stats.contains(&format!("acl_access_denied_{figure}\r\n")));
    }
    assert_eq!(kit.run("acl log reset"), "+OK\r\n");
    assert_eq!(kit.run("acl log"), "*0\r\n");
    assert_eq!(kit.run("config set acllog-max-len 1"), "+OK\r\n");
    bob.run("discard");
    bob.run("ping");
    assert!(kit.run("acl log").starts_with("*1\r\n"));
}

#[test]
fn a_script_may_ask_what_its_caller_may_run() {
    let (kit, mut bob) = with_bob("+@all -set ~a");
    let mut ask = |argv: &[&[u8]]| access::may_run(&kit.engine, &mut bob.session, argv, 0, None);
    assert_eq!(ask(&[b"get", b"a"]), Verdict::May);
    assert_eq!(ask(&[b"nosuch"]), Verdict::Unknown);
    let no_key = b"No permissions to access a key".to_vec();
    assert_eq!(ask(&[b"get", b"b"]), Verdict::MayNot(no_key));
    let no_command = b"User bob has no permissions to run the 'set' command".to_vec();
    assert_eq!(ask(&[b"set", b"a", b"v"]), Verdict::MayNot(no_command));
    assert!(kit.engine.service::<super::Acl>().logged(9).is_empty());
    let within = Some(access::Context::Lua);
    access::may_run(&kit.engine, &mut bob.session, &[b"get", b"b"], 0, within);
    let logged = kit.engine.service::<super::Acl>().logged(9);
    assert_eq!(super::context_name(logged[0].denied.context), "lua");
}

#[test]
fn a_script_may_do_no_more_than_its_caller() {
    let (mut kit, mut bob) = with_bob("+@all -set ~a");
    let call = |words: &str| format!("eval \"return redis.call({words})\" 0");
    let reply = bob.run(&call("'get', 'b'"));
    let refused = "ACL failure in script: No permissions to access a key";
    assert!(reply.contains(refused), "{reply}");
    assert_eq!(bob.run(&call("'get', 'a'")), "$-1\r\n");
    let ask = "eval \"return redis.acl_check_cmd('set', 'a', 'v')\" 0";
    assert_eq!(bob.run(ask), "$-1\r\n");
    assert_eq!(kit.run(ask), ":1\r\n");
    let log = kit.run("acl log");
    assert!(log.contains("\r\nlua\r\n") && log.contains("cmd=eval "));
}

#[test]
fn who_may_do_everything_is_asked_about_nothing() {
    let (mut kit, mut bob) = with_bob("~* &* +@all");
    let is_free = |kit: &Kit| kit.engine.access.is_free(&kit.session);
    kit.run("ping");
    bob.run("ping");
    assert!(is_free(&kit) && is_free(&bob));
    kit.run("acl setuser bob -get");
    assert!(!is_free(&kit) && !is_free(&bob));
    kit.run("ping");
    bob.run("ping");
    assert!(is_free(&kit) && !is_free(&bob));
}

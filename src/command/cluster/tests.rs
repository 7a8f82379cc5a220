use crate::base::hash;
use crate::cluster::{Cluster, Id, Node, Ref, flag};
use crate::command::testkit::{Kit, Recorder, check};
use std::sync::Arc;

/// A node that serves all slots.
fn node_with(args: &[&str]) -> Kit {
    let mut all = vec!["--cluster-enabled", "yes", "--cluster-databases", "16"];
    all.extend(args);
    let mut kit = Kit::with(&all);
    assert_eq!(kit.run("cluster addslotsrange 0 16383"), "+OK\r\n");
    kit
}

fn node() -> Kit {
    node_with(&[])
}

/// Lets a node know another leader, of whom it has just heard.
fn acquaint(kit: &Kit) -> (Ref, String) {
    let cluster = kit.engine.service::<Cluster>();
    let mut state = cluster.state();
    let mut other = Node::new(Id::random());
    other.flags = flag::LEADER;
    other.address.ip = "10.0.0.2".into();
    other.address.port = 7001;
    let id = other.id.to_string();
    (state.add(other), id)
}

/// Has another node serve a slot.
fn give_away(kit: &mut Kit, key: &str, id: &str) {
    let slot = hash::slot(key.as_bytes());
    assert_eq!(
        kit.run(&format!("cluster setslot {slot} node {id}")),
        "+OK\r\n"
    );
}

const DISABLED: &str = "-ERR This instance has cluster support disabled";

#[test]
fn a_server_that_is_no_node_says_so() {
    let mut kit = Kit::new();
    for line in [
        "cluster info",
        "cluster nodes",
        "cluster help",
        "cluster addslots 1",
        "cluster slot-stats slotsrange 0 1",
        "cluster syncslots x",
        "asking",
        "clusterscan 0",
    ] {
        check(&mut kit, &[(line, DISABLED)]);
    }
    check(
        &mut kit,
        &[
            ("cluster keyslot foo", ":12182"),
            ("mset a 1 b 2", "+OK"),
            (
                "cluster nothing",
                "-ERR unknown subcommand 'nothing'. Try CLUSTER HELP.",
            ),
            (
                "cluster",
                "-ERR wrong number of arguments for 'cluster' command",
            ),
        ],
    );
    assert!(kit.run("info cluster").contains("cluster_enabled:0"));
    assert!(kit.run("cluster keyslot").contains("'cluster|keyslot'"));
}

#[test]
fn a_node_says_that_it_is_one() {
    let mut kit = node();
    assert!(kit.run("info server").contains("redis_mode:cluster\r\n"));
    assert!(kit.run("info cluster").contains("cluster_enabled:1\r\n"));
    assert!(
        kit.run("info cluster_info")
            .contains("cluster_state:ok\r\n")
    );
    assert!(kit.run("hello").contains("$7\r\ncluster\r\n"));
    assert!(kit.run("cluster help").contains("SETSLOT"));
    let info = kit.run("cluster info");
    for line in [
        "cluster_state:ok",
        "cluster_slots_assigned:16384",
        "cluster_slots_ok:16384",
        "cluster_known_nodes:1",
        "cluster_size:1",
        "cluster_stats_messages_sent:0",
    ] {
        assert!(info.contains(&format!("{line}\r\n")), "{line}");
    }
    let id = kit.run("cluster myid");
    let id = id.lines().nth(1).expect("an id");
    let shard = kit.run("cluster myshardid");
    let shard = shard.lines().nth(1).expect("an id");
    let line = format!("{id} :6379@16379 myself,master - 0 0 0 connected 0-16383\n");
    assert!(kit.run("cluster nodes").contains(&line));
    check(
        &mut kit,
        &[
            ("cluster links", "*0"),
            ("cluster getslotmigrations", "*0"),
            ("cluster cancelslotmigrations", "-ERR No migrations ongoing"),
            (
                "cluster failover",
                "-ERR You should send CLUSTER FAILOVER to a replica",
            ),
            ("cluster failover now", "-ERR syntax error"),
            ("cluster saveconfig", "+OK"),
            ("cluster forget 1", "-ERR Unknown node 1"),
            ("cluster replicate no one", "+OK"),
            ("cluster replicate 1", "-ERR Unknown node 1"),
            (
                "cluster meet x 1",
                "-ERR Invalid node address specified: x:1",
            ),
            ("cluster meet ::1 x", "-ERR Invalid base port specified: x"),
            ("cluster meet ::1 0", "-ERR Port number is out of range"),
            (
                "cluster meet ::1 60000",
                "-ERR Cluster bus port number is out of range",
            ),
            (
                "cluster syncslots establish",
                "-ERR This node speaks no cluster bus yet: it can neither reach other nodes nor follow one",
            ),
            ("cluster migrateslots x 1 2", "-ERR syntax error"),
            (
                "cluster migrateslots slotsrange 1 2 node x",
                "-ERR Invalid node name: x",
            ),
            ("cluster count-failure-reports 1", "-ERR Unknown node 1"),
        ],
    );
    assert!(
        kit.run("cluster meet 127.0.0.1 7000")
            .contains("no cluster bus yet")
    );
    let count = format!("cluster count-failure-reports {id}");
    let reply = format!("*1 *3 :0 :16383 *4 $0  :6379 $40 {id} *0");
    check(&mut kit, &[(&count, ":0"), ("cluster slots", &reply)]);
    check(&mut kit, &[(&format!("cluster replicas {id}"), "*0")]);
    check(&mut kit, &[(&format!("cluster slaves {id}"), "*0")]);
    check(
        &mut kit,
        &[(
            &format!("cluster replicate {id}"),
            "-ERR Can't replicate myself",
        )],
    );
    let shards = kit.run("cluster shards").replace("\r\n", " ");
    let wanted = format!(
        "*1 *6 $5 slots *2 :0 :16383 $5 nodes *1 *14 $2 id $40 {id} $4 port :6379 $2 ip $0  \
         $8 endpoint $0  $4 role $6 master $18 replication-offset :0 $6 health $6 online $2 id $40 {shard} "
    );
    assert_eq!(shards, wanted);
}

#[test]
fn clients_are_told_the_name_that_they_are_to_take() {
    let mut kit = node_with(&["--cluster-announce-ip", "10.0.0.1"]);
    let slots = |kit: &mut Kit| kit.run("cluster slots").replace("\r\n", " ");
    assert!(slots(&mut kit).contains("$8 10.0.0.1 :6379 "));
    kit.run("config set cluster-preferred-endpoint-type hostname");
    assert!(slots(&mut kit).contains("*4 $1 ? :6379 "));
    assert!(slots(&mut kit).ends_with("*2 $2 ip $8 10.0.0.1 "));
    kit.run("config set cluster-announce-hostname a.example availability-zone z1");
    assert!(slots(&mut kit).contains("*4 $9 a.example :6379 "));
    assert!(slots(&mut kit).ends_with("*4 $2 ip $8 10.0.0.1 $17 availability-zone $2 z1 "));
    kit.run("config set cluster-preferred-endpoint-type unknown-endpoint");
    assert!(slots(&mut kit).contains("*4 $-1 :6379 "));
}

#[test]
fn slots_are_served_once_they_are_this_nodes() {
    let mut kit = Kit::with(&["--cluster-enabled", "yes"]);
    check(
        &mut kit,
        &[
            ("get foo", "-CLUSTERDOWN Hash slot not served"),
            ("cluster addslots 12182 1", "+OK"),
            ("get foo", "-CLUSTERDOWN The cluster is down"),
            ("config set cluster-allow-reads-when-down yes", "+OK"),
            ("get foo", "$-1"),
            (
                "set foo 1",
                "-CLUSTERDOWN The cluster is down and only accepts read commands",
            ),
            ("config set cluster-require-full-coverage no", "+OK"),
            ("set foo 1", "+OK"),
            ("set bar 1", "-CLUSTERDOWN Hash slot not served"),
            ("cluster addslots 1", "-ERR Slot 1 is already busy"),
            ("cluster addslots x", "-ERR Invalid or out of range slot"),
            (
                "cluster addslots 16384",
                "-ERR Invalid or out of range slot",
            ),
            (
                "cluster addslotsrange 5 3",
                "-ERR start slot number 5 is greater than end slot number 3",
            ),
            (
                "cluster addslotsrange 5 6 7",
                "-ERR wrong number of arguments for 'cluster|addslotsrange' command",
            ),
            ("cluster delslots 2", "-ERR Slot 2 is already unassigned"),
            (
                "cluster flushslots",
                "-ERR DB must be empty to perform CLUSTER FLUSHSLOTS.",
            ),
            (
                "cluster reset",
                "-ERR CLUSTER RESET can't be called with master nodes containing keys",
            ),
            ("del foo", ":1"),
            ("cluster delslotsrange 1 1", "+OK"),
            ("cluster delslots 12182", "+OK"),
            ("cluster flushslots", "+OK"),
            ("cluster reset x", "-ERR syntax error"),
            (
                "cluster reset hard now",
                "-ERR unknown subcommand or wrong number of arguments for 'reset'. Try CLUSTER HELP.",
            ),
            ("cluster reset hard", "+OK"),
            ("cluster set-config-epoch 4", "+OK"),
            (
                "cluster set-config-epoch 5",
                "-ERR Node config epoch is already non-zero",
            ),
            ("cluster bumpepoch", "+STILL 4"),
            ("cluster reset soft", "+OK"),
        ],
    );
    assert!(
        kit.run("cluster nodes")
            .contains(" myself,master - 0 0 4 connected\n")
    );
}

#[test]
fn keys_of_several_slots_are_refused_and_break_a_transaction() {
    let mut kit = node();
    let across = "-CROSSSLOT Keys in request don't hash to the same slot";
    check(
        &mut kit,
        &[
            ("mset a 1 b 2", across),
            ("mset {t}a 1 {t}b 2", "+OK"),
            ("rename {t}a x", across),
            ("spublish a b", ":0"),
            ("multi", "+OK"),
            ("mget a b", across),
            (
                "exec",
                "-EXECABORT Transaction discarded because of previous errors.",
            ),
            // Each is well by itself.
            ("multi", "+OK"),
            ("set a 1", "+QUEUED"),
            ("set b 1", "+QUEUED"),
            ("exec", across),
            ("exec", "-ERR EXEC without MULTI"),
            ("multi", "+OK"),
            ("set {t}a 1", "+QUEUED"),
            ("ping", "+QUEUED"),
            ("get {t}b", "+QUEUED"),
            ("exec", "*3 +OK +PONG $1 2"),
            ("watch a b", across),
            ("exists a", ":0"),
        ],
    );
    assert!(kit.run("ssubscribe a b").starts_with("-CROSSSLOT"));
    assert!(
        kit.run("info errorstats")
            .contains("errorstat_CROSSSLOT:count=6")
    );
}

#[test]
fn a_key_of_another_node_is_looked_for_there() {
    let mut kit = node();
    let (_, id) = acquaint(&kit);
    give_away(&mut kit, "foo", &id);
    let moved = "-MOVED 12182 10.0.0.2:7001";
    check(
        &mut kit,
        &[
            ("get foo", moved),
            ("set foo 1", moved),
            ("spublish foo 1", moved),
            ("publish foo 1", ":0"),
            ("readonly", "+OK"),
            // It does not follow that node.
            ("get foo", moved),
            ("readwrite", "+OK"),
            ("asking", "+OK"),
            ("get foo", moved),
            ("multi", "+OK"),
            ("get foo", moved),
            (
                "exec",
                "-EXECABORT Transaction discarded because of previous errors.",
            ),
            ("get bar", "$-1"),
        ],
    );
    // It changed hands while a transaction was waiting.
    let mut other = kit.another();
    let slot = hash::slot(b"bar");
    check(&mut kit, &[("multi", "+OK"), ("set bar 1", "+QUEUED")]);
    give_away(&mut other, "bar", &id);
    let gone = format!("-MOVED {slot} 10.0.0.2:7001");
    check(
        &mut kit,
        &[("exec", &gone), ("exec", "-ERR EXEC without MULTI")],
    );
}

#[test]
fn a_slot_that_goes_is_served_as_far_as_its_keys_are_here() {
    let mut kit = node();
    let (_, id) = acquaint(&kit);
    kit.run("mset {foo}1 a {foo}2 b");
    let setslot = format!("cluster setslot 12182 migrating {id}");
    let assign = format!("cluster setslot 12182 node {id}");
    let ask = "-ASK 12182 10.0.0.2:7001";
    let again = "-TRYAGAIN Multiple keys request during rehashing of slot";
    check(
        &mut kit,
        &[
            (
                "cluster setslot 12182 migrating x",
                "-ERR I don't know about node x",
            ),
            (
                "cluster setslot 12182 going x",
                "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
            ),
            (
                "cluster setslot 12182 stable timeout",
                "-ERR Missing timeout value",
            ),
            ("cluster setslot 12182 node x", "-ERR Unknown node x"),
            (
                &assign,
                "-ERR Can't assign hashslot 12182 to a different node while I still hold keys for this hash slot.",
            ),
            (&setslot, "+OK"),
            ("get {foo}1", "$1 a"),
            ("get {foo}3", ask),
            ("set {foo}3 1", ask),
            ("mget {foo}1 {foo}2", "*2 $1 a $1 b"),
            ("mget {foo}1 {foo}3", again),
            ("mget {foo}3 {foo}4", ask),
            ("move {foo}1 2", again),
            ("copy {foo}1 {foo}2 db 1", again),
            ("spublish foo 1", ":0"),
            ("multi", "+OK"),
            ("get {foo}3", "+QUEUED"),
            ("exec", ask),
            ("multi", "+OK"),
            ("get {foo}1", "+QUEUED"),
            ("exec", "*1 $1 a"),
            ("multi", "+OK"),
            ("select 1", "+QUEUED"),
            ("get {foo}1", "+QUEUED"),
            ("exec", ask),
        ],
    );
    let open = format!("[12182->-{id}]");
    assert!(kit.run("cluster nodes").contains(&open));
    check(
        &mut kit,
        &[
            ("cluster setslot 12182 stable", "+OK"),
            ("get {foo}3", "$-1"),
            (&setslot, "+OK"),
            ("del {foo}1 {foo}2", ":2"),
            (&assign, "+OK"),
            ("get {foo}1", "-MOVED 12182 10.0.0.2:7001"),
        ],
    );
}

#[test]
fn a_slot_that_comes_is_served_to_who_was_sent() {
    let mut kit = node();
    let (_, id) = acquaint(&kit);
    give_away(&mut kit, "foo", &id);
    let mine = kit.run("cluster myid");
    let mine = mine.lines().nth(1).expect("an id").to_string();
    let moved = "-MOVED 12182 10.0.0.2:7001";
    let again = "-TRYAGAIN Multiple keys request during rehashing of slot";
    check(
        &mut kit,
        &[
            (&format!("cluster setslot 12182 importing {id}"), "+OK"),
            ("get {foo}1", moved),
            ("asking", "+OK"),
            ("set {foo}1 a", "+OK"),
            ("set {foo}1 a", moved),
            ("asking", "+OK"),
            ("ping", "+PONG"),
            ("get {foo}1", moved),
            ("asking", "+OK"),
            ("mget {foo}1 {foo}2", again),
            ("asking", "+OK"),
            ("mget {foo}1 {foo}1", "*2 $1 a $1 a"),
            // It holds for a whole transaction.
            ("asking", "+OK"),
            ("multi", "+OK"),
            ("get {foo}1", "+QUEUED"),
            ("get {foo}1", "+QUEUED"),
            ("exec", "*2 $1 a $1 a"),
            ("get {foo}1", moved),
            (&format!("cluster setslot 12182 node {mine}"), "+OK"),
            ("get {foo}1", "$1 a"),
        ],
    );
    assert!(
        kit.run("cluster bumpepoch").starts_with("+STILL"),
        "it was bumped"
    );
}

#[test]
fn who_waits_for_keys_that_go_is_sent_after_them() {
    let mut kit = node();
    let (_, id) = acquaint(&kit);
    let mut waiting = kit.another();
    assert_eq!(waiting.run("blpop foo 0"), "");
    let mut staying = kit.another();
    assert_eq!(staying.run("blpop bar 0"), "");
    give_away(&mut kit, "foo", &id);
    assert_eq!(kit.engine.waiters.len(), 1);
    let waiter = waiting.session.waiting_for.take().expect("it waited");
    assert!(waiter.is_over());
    waiter.forget(&kit.engine);
    assert_eq!(
        waiting.run("ping"),
        "-MOVED 12182 10.0.0.2:7001\r\n+PONG\r\n"
    );
}

#[test]
fn shard_channels_end_with_their_slot() {
    let mut kit = node();
    let (_, id) = acquaint(&kit);
    let mut listener = kit.another();
    listener.run("ssubscribe foo");
    listener.run("ssubscribe bar");
    give_away(&mut kit, "foo", &id);
    check(
        &mut kit,
        &[("pubsub shardnumsub foo bar", "*4 $3 foo :0 $3 bar :1")],
    );
    let told = listener.run("sunsubscribe bar").replace("\r\n", " ");
    let wanted = "*3 $12 sunsubscribe $3 foo :1 *3 $12 sunsubscribe $3 bar :0 ";
    assert_eq!(told, wanted);
    check(&mut listener, &[("get bar", "$-1")]);
}

#[test]
fn keys_are_counted_and_listed_by_slot() {
    let mut kit = node();
    for n in 0..300 {
        kit.run(&format!("set {{foo}}{n} x"));
        kit.run(&format!("set {{bar}}{n} x px 100000"));
    }
    check(
        &mut kit,
        &[
            ("cluster countkeysinslot 12182", ":300"),
            ("cluster countkeysinslot 1", ":0"),
            ("cluster countkeysinslot 16384", "-ERR Invalid slot"),
            (
                "cluster countkeysinslot x",
                "-ERR value is not an integer or out of range",
            ),
            (
                "cluster getkeysinslot 12182 -1",
                "-ERR Invalid slot or number of keys",
            ),
            ("cluster getkeysinslot 12182 0", "*0"),
            ("select 3", "+OK"),
            ("cluster countkeysinslot 12182", ":0"),
            ("set {foo}0 y", "+OK"),
            ("cluster getkeysinslot 12182 10", "*1 $6 {foo}0"),
            ("select 0", "+OK"),
        ],
    );
    let some = kit.run("cluster getkeysinslot 12182 17");
    assert!(some.starts_with("*17\r\n") && some.matches("{foo}").count() == 17);
    let all = kit.run("cluster getkeysinslot 12182 1000");
    assert!(all.starts_with("*300\r\n"));
    for n in (0..300).step_by(2) {
        kit.run(&format!("del {{foo}}{n}"));
    }
    kit.let_time_be_over(0, "{bar}7");
    kit.run("get {bar}7");
    check(
        &mut kit,
        &[
            ("cluster countkeysinslot 12182", ":150"),
            ("cluster countkeysinslot 5061", ":299"),
            (
                "cluster slot-stats slotsrange 12182 12183",
                "*2 *2 :12182 *2 $9 key-count :151 *2 :12183 *2 $9 key-count :0",
            ),
            (
                "cluster slot-stats orderby key-count limit 1",
                "*1 *2 :5061 *2 $9 key-count :299",
            ),
            (
                "cluster slot-stats orderby key-count limit 1 asc",
                "*1 *2 :0 *2 $9 key-count :0",
            ),
            (
                "cluster slot-stats orderby cpu-usec",
                "-ERR Unrecognized sort metric for ORDERBY.",
            ),
            (
                "cluster slot-stats orderby key-count asc desc",
                "-ERR Multiple filters of the same type are disallowed.",
            ),
            (
                "cluster slot-stats orderby key-count limit 0",
                "-ERR Limit has to lie in between 1 and 16384 (maximum number of slots).",
            ),
            ("rename {foo}1 {foo}x", "+OK"),
            ("cluster countkeysinslot 12182", ":150"),
            ("flushdb", "+OK"),
            ("cluster countkeysinslot 12182", ":0"),
            (
                "cluster slot-stats slotsrange 12182 12182",
                "*1 *2 :12182 *2 $9 key-count :1",
            ),
        ],
    );
}

#[test]
fn a_slot_is_flushed_in_every_database() {
    let mut kit = node();
    let recorder = Arc::new(Recorder::default());
    kit.engine.effects.attach(recorder.clone());
    kit.run("mset {foo}1 a {foo}2 b {foo}3 c");
    kit.run("set bar 1");
    kit.let_time_be_over(0, "{foo}3");
    kit.run("select 2");
    kit.run("set foo 1");
    recorder.take();
    check(
        &mut kit,
        &[
            ("cluster flushslot 12182 now", "-ERR syntax error"),
            ("cluster flushslot 12182", "+OK"),
            ("dbsize", ":0"),
            ("select 0", "+OK"),
            ("dbsize", ":1"),
            ("cluster flushslot 12182 async", "+OK"),
        ],
    );
    assert_eq!(recorder.commands(), ["cluster flushslot 12182"]);
}

/// All keys that a walk with a cursor gives, and how many calls that took.
fn walked(kit: &mut Kit, command: &str, options: &str) -> (Vec<String>, usize) {
    let (mut cursor, mut keys) = ("0".to_string(), Vec::new());
    for call in 1..100_000 {
        let reply = kit.run(&format!("{command} {cursor} {options}"));
        let mut bulks = reply
            .split("\r\n")
            .filter(|l| !l.starts_with(['*', '$', '\0']));
        cursor = bulks.next().expect("a cursor").to_string();
        keys.extend(bulks.filter(|k| !k.is_empty()).map(String::from));
        if cursor == "0" {
            keys.sort();
            keys.dedup();
            return (keys, call);
        }
    }
    panic!("a walk without an end");
}

#[test]
fn walks_with_a_pattern_of_one_slot_stay_in_it() {
    let mut kit = node();
    for n in 0..200 {
        kit.run(&format!("set {{foo}}{n} x"));
        kit.run(&format!("set key:{n} x"));
    }
    let (keys, calls) = walked(&mut kit, "scan", "match {foo}*");
    assert_eq!((keys.len(), calls), (200, 20));
    let (keys, _) = walked(&mut kit, "scan", "count 50");
    assert_eq!(keys.len(), 400);
    let (keys, calls) = walked(&mut kit, "scan", "match {foo}1? count 1000");
    assert_eq!((keys.len(), calls), (10, 1));
    assert!(kit.run("keys {foo}*").starts_with("*200\r\n"));
    assert!(kit.run("keys key:1?").starts_with("*10\r\n"));
    check(
        &mut kit,
        &[("keys key:1", "*1 $5 key:1"), ("keys {bar}*", "*0")],
    );
    check(
        &mut kit,
        &[
            ("scan 99999999999999999 match {foo}*", "*2 $1 0 *0"),
            ("scan 0 slot 1", "-ERR syntax error"),
        ],
    );
}

#[test]
fn a_cluster_is_scanned_slot_by_slot() {
    let mut kit = node();
    for n in 0..200 {
        kit.run(&format!("set {{foo}}{n} x"));
        kit.run(&format!("set key:{n} x"));
    }
    let (keys, _) = walked(&mut kit, "clusterscan", "count 1000");
    assert_eq!(keys.len(), 400);
    let (keys, calls) = walked(&mut kit, "clusterscan", "slot 12182");
    assert_eq!((keys.len(), calls), (200, 21));
    let (keys, _) = walked(&mut kit, "clusterscan", "match {foo}*");
    assert_eq!(keys.len(), 200);
    check(
        &mut kit,
        &[
            ("clusterscan 0 slot 1 match {foo}*", "*2 $1 0 *0"),
            (
                "clusterscan 0 slot 1 slot 2",
                "-ERR SLOT option can only be specified once",
            ),
            ("clusterscan x", "-ERR Invalid cursor"),
            (
                "clusterscan 0-{foo}-0 slot 1",
                "-ERR Cursor slot mismatch with SLOT argument",
            ),
            ("clusterscan 0-{foo}-0 match {bar}*", "*2 $1 0 *0"),
        ],
    );
    // Each part is asked of the node that serves it.
    let (_, id) = acquaint(&kit);
    kit.run("cluster flushslot 12182");
    give_away(&mut kit, "foo", &id);
    check(
        &mut kit,
        &[("clusterscan 0-{foo}-0", "-MOVED 12182 10.0.0.2:7001")],
    );
    let reply = kit.run("clusterscan 0-{alice}-0 count 100000");
    assert!(
        reply.starts_with("*2\r\n") && reply.contains("\r\n0-{"),
        "{reply}"
    );
}

#[test]
fn what_crosses_nodes_is_refused() {
    let mut kit = node();
    kit.run("rpush {a}list 1 2");
    kit.run("mset {a}by1 20 {a}by2 10");
    let denied = |option: &str| {
        format!(
            "-ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
        )
    };
    check(
        &mut kit,
        &[
            ("swapdb 0 1", "-ERR SWAPDB is not allowed in cluster mode"),
            (
                "replicaof no one",
                "-ERR REPLICAOF not allowed in cluster mode.",
            ),
            (
                "failover",
                "-ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.",
            ),
            ("sort {a}list by by*", &denied("BY")),
            ("sort {a}list by {a}by*", "*2 $1 2 $1 1"),
            ("sort_ro {a}list by {a}by* get get*", &denied("GET")),
            (
                "sort {a}list by nosort get # get {a}by*",
                "*4 $1 1 $2 20 $1 2 $2 10",
            ),
            ("select 15", "+OK"),
            ("select 16", "-ERR DB index is out of range"),
            ("set x 1", "+OK"),
            ("move x 3", ":1"),
            (
                "shutdown safe",
                "-ERR Errors trying to SHUTDOWN. Check logs.",
            ),
        ],
    );
    let mut single = Kit::with(&["--cluster-enabled", "yes"]);
    check(
        &mut single,
        &[("select 1", "-ERR DB index is out of range")],
    );
}

#[test]
fn a_transaction_may_draw_a_key_of_any_slot() {
    let mut kit = node();
    check(
        &mut kit,
        &[
            ("setex FOO 10000 BAR", "+OK"),
            ("setex FIZZ 10000 BUZZ", "+OK"),
            ("multi", "+OK"),
            ("del FOO", "+QUEUED"),
            ("randomkey", "+QUEUED"),
            ("exec", "*2 :1 $4 FIZZ"),
        ],
    );
}

#[test]
fn what_a_policy_holds_is_in_its_slot_too() {
    let mut kit = node();
    kit.policy("p {foo}* ttl 60s");
    for n in 0..50 {
        kit.run(&format!("set {{foo}}{n} x"));
        kit.run(&format!("set x{{foo}}{n} x"));
    }
    check(&mut kit, &[("cluster countkeysinslot 12182", ":100")]);
    assert!(
        kit.run("cluster getkeysinslot 12182 1000")
            .starts_with("*100\r\n")
    );
    let (keys, _) = walked(&mut kit, "scan", "match {foo}*");
    assert_eq!(keys.len(), 50);
    kit.run("cache.invalidate prefix {foo}");
    assert!(
        kit.run("cluster getkeysinslot 12182 1000")
            .starts_with("*50\r\n")
    );
    kit.run("cluster flushslot 12182");
    check(&mut kit, &[("cluster countkeysinslot 12182", ":0")]);
}

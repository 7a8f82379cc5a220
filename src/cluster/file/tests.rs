use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccc";
const S: &str = "5555555555555555555555555555555555555555";

/// As Valkey writes it: this node, another leader, and who follows that one.
fn sample() -> String {
    format!(
        "{A} 10.0.0.1:6379@16379,a.example,availability-zone=z1,client-ipv4=1.2.3.4,tls-port=0,nodename=R0,shard-id={S} \
         myself,master - 0 0 3 connected 0-99 101 [5->-{B}] [7000-<-{B}]\n\
         {B} 10.0.0.2:6380@16380,,tls-port=0,shard-id={C} master,fail? - 17 18 2 disconnected 7000-16383\n\
         {C} :0@0,,tls-port=0,shard-id={C} slave,noaddr,fail {B} 0 0 2 disconnected\n\
         vars currentEpoch 9 lastVoteEpoch 4\n"
    )
}

#[test]
fn what_valkey_wrote_is_read() {
    let state = read(&sample(), 1_000).expect("a file of Valkey's");
    let me = state.me();
    assert_eq!(me.id.to_string(), A);
    assert_eq!(me.shard.to_string(), S);
    assert_eq!(me.address.hostname, "a.example");
    assert_eq!(me.address.nodename, "R0");
    assert_eq!(me.address.zone, "z1");
    assert_eq!(
        (me.ip(Asker::File), me.ip(Asker::Client)),
        ("10.0.0.1", "1.2.3.4")
    );
    assert_eq!((me.slots, me.epoch), (101, 3));
    assert_eq!((state.epoch, state.vote_epoch), (9, 4));
    let b = state.find(B.as_bytes()).expect("it is there");
    let node = state.node(b);
    assert_eq!(
        (node.ping_ms, node.pong_ms, node.slots),
        (1_000, 1_000, 9384)
    );
    assert!(node.is(flag::SUSPECTED) && node.is(flag::LEADER));
    assert_eq!(state.ways(5), (Some(b), None));
    assert_eq!(state.ways(7000), (None, Some(b)));
    let c = state.find(C.as_bytes()).expect("it is there");
    assert_eq!(state.node(c).leader, Some(b));
    assert!(state.node(c).is(flag::NO_ADDRESS) && state.node(c).is(flag::FAILED));
    assert_eq!(state.followers(b).count(), 1);
}

#[test]
fn what_is_read_and_written_is_the_same() {
    let mut state = read(&sample(), 0).expect("a file");
    let text = text(&state);
    let again = read(&text, 0).expect("its own file");
    assert_eq!(super::text(&again), text);
    assert!(text.contains(" connected 0-99 101 [5->-bbb"), "{text}");
    assert!(text.ends_with("vars currentEpoch 9 lastVoteEpoch 4\n"));
    // Clients are not shown what is behind the host name.
    let shown = lines(&state, Asker::Client);
    assert!(shown.starts_with(&format!(
        "{A} 1.2.3.4:6379@16379,a.example myself,master - "
    )));
    let mut young = Node::new(Id::random());
    young.flags = flag::HANDSHAKE;
    let young = state.add(young);
    let id = state.node(young).id.to_string();
    assert!(
        !super::text(&state).contains(&id),
        "who is not known yet is not kept"
    );
    assert!(lines(&state, Asker::Client).contains(&id));
}

#[test]
fn older_files_lack_the_bus_port_and_the_shard() {
    let text =
        format!("{A} 127.0.0.1:7000 myself,primary - 0 0 1 connected\n\nvars currentEpoch 1\n");
    let state = read(&text, 0).expect("an older file");
    assert_eq!(state.me().address.bus_port, 17_000);
    assert!(state.me().is(flag::LEADER));
}

#[test]
fn a_file_that_no_valkey_wrote_is_refused_by_its_line() {
    let good = format!("{A} 127.0.0.1:1@2,,shard-id={S} myself,master - 0 0 0 connected");
    assert!(read(&good, 0).is_ok());
    for (line, why) in [
        ("x".to_string(), "too short"),
        (good.replace(A, "A"), "no id"),
        (good.replace("127.0.0.1:1@2", "127"), "no port"),
        (good.replace("shard-id=", "shard="), "an unknown field"),
        (good.replace(S, "5"), "no shard"),
        (
            good.replace("shard-id=", "nodename=a;b,shard-id="),
            "a bad letter",
        ),
        (good.replace("myself,", "myself,king,"), "an unknown flag"),
        (good.replace("myself,", "myself,myself,"), "twice itself"),
        (good.replace(" - ", " x "), "no leader"),
        (good.clone() + " 16384", "no slot"),
        (good.clone() + " 5-70000", "no slot"),
        (good.clone() + " [5->-x]", "no node"),
        (good.clone() + " [5", "an open end"),
        (good.clone() + " \"", "an open quote"),
        (good.replace("@2", "@70000"), "no port"),
    ] {
        match read(&line, 0).expect_err(why) {
            Corrupt::Line(said) => assert_eq!(said, line, "{why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    let twice = format!("{good}\n{good}\n");
    assert_eq!(
        read(&twice, 0).expect_err("twice"),
        Corrupt::Line(good.clone())
    );
    let other = good.replace("myself,", "");
    assert_eq!(read(&other, 0).expect_err("not itself"), Corrupt::NoSelf);
    let odd = good.clone() + "\nvars currentEpoch\n";
    assert_eq!(
        read(&odd, 0).expect_err("odd"),
        Corrupt::Line("vars currentEpoch".into())
    );
}

#[test]
fn the_epoch_is_never_behind_that_of_a_node() {
    let text = format!("{A} :1@2 myself,master - 0 0 7 connected\nvars currentEpoch 3\n");
    assert_eq!(read(&text, 0).expect("a file").epoch, 7);
}

use super::*;
use crate::command::testkit::Kit;

#[test]
fn what_the_configuration_says_of_this_node_is_told_at_once() {
    let mut kit = Kit::with(&["--cluster-enabled", "yes", "--port", "7001"]);
    let line = |kit: &mut Kit| kit.run("cluster nodes");
    assert!(line(&mut kit).contains(" :7001@17001 myself,master "));
    kit.run("config set cluster-announce-ip 10.0.0.9 cluster-announce-port 7 cluster-announce-bus-port 8");
    assert!(line(&mut kit).contains(" 10.0.0.9:7@8 myself"));
    kit.run("config set cluster-announce-hostname a.example cluster-announce-client-port 9");
    assert!(line(&mut kit).contains(" 10.0.0.9:9@8,a.example myself"));
    kit.run("config set cluster-replica-no-failover yes");
    assert!(line(&mut kit).contains(" myself,master,nofailover "));
}

#[test]
fn a_file_that_is_new_is_begun_and_kept_and_locked() {
    let folder = std::env::temp_dir().join(format!("larder-nodes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("nodes.conf");
    let name = path.to_str().expect("a name");
    let args = ["--cluster-enabled", "yes", "--cluster-config-file", name];
    let start = |kit: &Kit| kit.engine.service::<Cluster>().start(&kit.engine);
    let id = {
        let mut kit = Kit::with(&args);
        assert_eq!(start(&kit), Ok(()));
        let refused = start(&Kit::with(&args)).expect_err("it is another one's");
        assert!(
            refused.starts_with("Sorry, the cluster configuration file"),
            "{refused}"
        );
        assert_eq!(kit.run("cluster addslotsrange 0 16383"), "+OK\r\n");
        // What was locked is what stands there now.
        assert!(start(&Kit::with(&args)).is_err());
        let id = kit.run("cluster myid");
        let kept = std::fs::read_to_string(&path).expect("a file");
        assert!(kept.contains(" connected 0-16383\n"), "{kept}");
        id
    };
    let mut kit = Kit::with(&args);
    assert_eq!(start(&kit), Ok(()));
    assert_eq!(kit.run("cluster myid"), id);
    assert!(kit.run("cluster info").contains("cluster_state:ok"));
    drop(kit);
    std::fs::write(&path, "nonsense\n").expect("a file");
    assert_eq!(
        start(&Kit::with(&args)),
        Err("Unrecoverable error: corrupted cluster config file \"nonsense\".".into())
    );
    let replica = format!(
        "{} :1@2 myself,slave {} 0 0 0 connected\n",
        Id::random(),
        Id::random()
    );
    std::fs::write(&path, replica).expect("a file");
    let refused = start(&Kit::with(&args)).expect_err("it cannot follow");
    assert!(refused.contains("bus"), "{refused}");
    std::fs::remove_dir_all(&folder).expect("it is there");
}

#[test]
fn a_port_that_leaves_none_for_the_bus_is_refused() {
    let kit = Kit::with(&["--cluster-enabled", "yes", "--port", "55536"]);
    let refused = kit.engine.service::<Cluster>().start(&kit.engine);
    assert!(refused.expect_err("too high").contains("55535"));
}

"""One node of a Redis Cluster, as cluster clients and redis-cli see it."""

import os
import re
import shutil
import subprocess

import pytest
import redis
from redis.cluster import RedisCluster

from harness import BINARY, eventually, free_port, is_larder
from resp import OK, Err

CLI = os.environ.get("REDIS_CLI") or shutil.which("redis-cli")
# With a port for the bus, the one for clients may be any.
CLUSTER = ("--cluster-enabled", "yes", "--cluster-port", "16379", "--enable-debug-command", "yes", "--cluster-databases", "16")

pytestmark = pytest.mark.skipif(not is_larder(), reason="one node without its bus is Larder's")


@pytest.fixture
def node(start_server):
    """A node that serves all slots."""
    s = start_server(*CLUSTER)
    with s.raw() as c:
        c.says("CLUSTER ADDSLOTSRANGE 0 16383", OK)
        assert info(c)["cluster_state"] == "ok"
    return s


def info(c):
    text = c.call("CLUSTER", "INFO").decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if line)


def cli(node, *args, check=True):
    done = subprocess.run([CLI, "-h", node.host, "-p", str(node.port), *args], capture_output=True, text=True, timeout=60)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_cluster_client_works_with_one_node(node):
    r = RedisCluster(host=node.host, port=node.port, decode_responses=True)
    keys = [f"key:{n}" for n in range(200)]
    for key in keys:
        assert r.set(key, key)
    assert [r.get(key) for key in keys] == keys
    assert r.mget_nonatomic(*keys) == keys
    assert r.mset_nonatomic({key: "x" for key in keys})
    with r.pipeline() as p:
        for key in keys:
            p.incr("{n}" + key)
        assert p.execute() == [1] * len(keys)
    assert sorted(r.scan_iter(match="key:*", count=50)) == sorted(keys)
    assert r.delete(*keys) == len(keys)
    assert r.dbsize() == len(keys)
    with pytest.raises(redis.exceptions.RedisClusterException):
        r.mget("a", "b")
    assert r.cluster_info()["cluster_size"] == "1"
    r.close()


def test_redis_cli_takes_it_for_a_cluster(node):
    assert cli(node, "-c", "set", "foo", "bar").strip() == "OK"
    assert cli(node, "-c", "get", "foo").strip() == "bar"
    assert cli(node, "cluster", "keyslot", "foo").strip() == "12182"
    checked = cli(node, "--cluster", "check", f"{node.host}:{node.port}")
    assert "[OK] All nodes agree about slots configuration." in checked
    assert "[OK] All 16384 slots covered." in checked
    assert "1 keys in 1 masters" in checked


def test_a_node_without_slots_is_a_cluster_that_does_not_serve(start_server):
    s = start_server(*CLUSTER)
    with s.raw() as c:
        assert info(c)["cluster_state"] == "fail"
        assert c.call("GET", "foo") == Err("CLUSTERDOWN Hash slot not served")
        assert c.call("CLUSTER", "ADDSLOTS", 12182) == "OK"
        assert c.call("GET", "foo") == Err("CLUSTERDOWN The cluster is down")
    checked = cli(s, "--cluster", "check", f"{s.host}:{s.port}", check=False)
    assert "[ERR] Not all 16384 slots are covered by nodes." in checked


def test_what_a_node_is_it_still_is_after_a_restart(start_server, tmp_path):
    args = (*CLUSTER, "--dir", tmp_path, "--save", "3600 1")
    s = start_server(*args)
    with s.raw() as c:
        c.says("CLUSTER SET-CONFIG-EPOCH 7", OK)
        c.says("CLUSTER ADDSLOTSRANGE 0 99 200 16383", OK)
        c.says("CONFIG SET cluster-require-full-coverage no", OK)
        name = c.call("CLUSTER", "MYID")
        slot = c.call("CLUSTER", "KEYSLOT", "foo")
        c.says("SET foo bar", OK)
        c.says("SAVE", OK)
    port = s.port
    s.stop()
    before = (tmp_path / "nodes.conf").read_text()
    s = start_server(*args, port=port)
    with s.raw() as c:
        assert c.call("CLUSTER", "MYID") == name
        assert info(c)["cluster_my_epoch"] == "7"
        assert info(c)["cluster_slots_assigned"] == "16284"
        assert c.call("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
        assert c.call("CLUSTER", "GETKEYSINSLOT", slot, 10) == [b"foo"]
    s.stop()
    assert (tmp_path / "nodes.conf").read_text() == before


def test_keys_of_slots_that_nobody_serves_are_served(start_server, tmp_path):
    s = start_server("--dir", tmp_path, "--save", "3600 1")
    with s.raw() as c:
        c.says("SET foo bar", OK)
        c.says("SAVE", OK)
    s.stop()
    s = start_server(*CLUSTER, "--dir", tmp_path)
    with s.raw() as c:
        c.says("CONFIG SET cluster-require-full-coverage no", OK)
        assert c.call("GET", "foo") == b"bar"
        assert info(c)["cluster_slots_assigned"] == "1"
    assert "I have keys for unassigned slot 12182" in s.log()


def test_other_nodes_are_known_from_the_file_until_they_are_missed(start_server, tmp_path):
    me, other = "a" * 40, "b" * 40
    file = tmp_path / "nodes.conf"
    file.write_text(
        f"{me} :1@10001,,tls-port=0,shard-id={'5' * 40} myself,master - 0 0 1 connected 0-99\n"
        f"{other} 10.0.0.2:7001@17001,,tls-port=0,shard-id={'6' * 40} master - 0 1 2 connected 100-16383\n"
        "vars currentEpoch 2 lastVoteEpoch 0\n"
    )
    s = start_server(*CLUSTER, "--dir", tmp_path, "--cluster-node-timeout", "600000")
    with s.raw() as c:
        assert c.call("CLUSTER", "MYID") == me.encode()
        assert f"{other} 10.0.0.2:7001@17001 master - 0 " in c.call("CLUSTER", "NODES").decode()
        eventually(lambda: info(c)["cluster_state"] == "ok", "it serves")
        assert c.call("GET", "foo") == Err("MOVED 12182 10.0.0.2:7001")
        slots = c.call("CLUSTER", "SLOTS")
        assert [(first, last, node[0]) for first, last, node in slots] == [(0, 99, b""), (100, 16383, b"10.0.0.2")]
        c.says(f"CLUSTER SETSLOT 5 MIGRATING {other}", OK)
        assert f"[5->-{other}]" in file.read_text()
        c.says("CONFIG SET cluster-node-timeout 1000", OK)
        eventually(lambda: info(c)["cluster_nodes_pfail"] == "1", "it is missed")
        eventually(lambda: info(c)["cluster_state"] == "fail", "it no longer serves")
        c.says(f"CLUSTER FORGET {other}", OK)
        assert info(c)["cluster_known_nodes"] == "1"
    assert "speaks no cluster bus yet" in s.log()


def refused(*args):
    """What a server says that does not start."""
    done = subprocess.run([BINARY, "--port", str(free_port()), "--http-port", "0", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stdout + done.stderr


def test_a_file_that_is_broken_or_another_nodes_stops_the_start(start_server, tmp_path):
    s = start_server(*CLUSTER, "--dir", tmp_path)
    args = (*CLUSTER, "--dir", str(tmp_path))
    assert "is already used by a different Cluster node" in refused(*args)
    s.stop()
    (tmp_path / "nodes.conf").write_text("this is nothing\n")
    assert 'Unrecoverable error: corrupted cluster config file "this is nothing".' in refused(*args)


def test_a_key_that_is_waited_for_may_go(node):
    with node.raw() as c, node.raw() as waiting:
        waiting.send(b"BLPOP foo 0\r\n")
        eventually(lambda: b"blocked_clients:1" in c.call("INFO", "clients"), "it waits")
        c.says("CLUSTER DELSLOTS 12182", OK)
        assert waiting.read_value() == Err("CLUSTERDOWN The cluster is down")


def test_slots_are_counted_while_many_write(node):
    """Keys come, go and expire; what is counted is what is there."""
    r = node.redis()
    for n in range(3000):
        r.set(f"{{t{n % 7}}}{n}", "x", px=1 if n % 3 == 0 else None)
    for n in range(0, 3000, 5):
        r.delete(f"{{t{n % 7}}}{n}")
    eventually(lambda: r.dbsize() == sum(1 for n in range(3000) if n % 3 and n % 5), "what is over is gone")
    total = 0
    for t in range(7):
        slot = r.execute_command("CLUSTER", "KEYSLOT", f"{{t{t}}}")
        count = r.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
        names = r.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100_000)
        assert len(set(names)) == count
        assert all(re.match(rb"\{t%d\}" % t, name) for name in names)
        total += count
    assert total == r.dbsize()
    r.close()

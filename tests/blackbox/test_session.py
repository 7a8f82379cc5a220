"""An application's session with redis-py: every family, as its methods give it."""

import threading

import pytest


@pytest.fixture
def r(server):
    with server.redis(decode_responses=True) as r:
        r.flushall()
        yield r


def test_lists_and_queues(server, r):
    assert r.rpush("q", "a", "b", "c") == 3
    assert r.lrange("q", 0, -1) == ["a", "b", "c"]
    assert r.lmove("q", "done", "LEFT", "RIGHT") == "a"
    assert r.blpop(["none", "q"], timeout=1) == ("q", "b")
    assert r.lpos("q", "c") == 0 and r.linsert("q", "BEFORE", "c", "x") == 2
    assert r.lmpop(2, "none", "q", direction="LEFT", count=5) == ["q", ["x", "c"]]
    got = []

    def wait():
        with server.redis(decode_responses=True) as other:
            got.append(other.blmove("jobs", "taken", 30))

    waiter = threading.Thread(target=wait)
    waiter.start()
    while r.info("clients")["blocked_clients"] == 0:
        pass
    r.lpush("jobs", "one")
    waiter.join()
    assert got == ["one"] and r.lrange("taken", 0, -1) == ["one"]


def test_hashes(r):
    assert r.hset("h", mapping={"name": "larder", "hits": 1}) == 2
    assert r.hgetall("h") == {"name": "larder", "hits": "1"}
    assert r.hincrby("h", "hits", 41) == 42 and r.hincrbyfloat("h", "ratio", 0.5) == 0.5
    assert r.hmget("h", "name", "none") == ["larder", None]
    assert dict(r.hscan_iter("h", match="h*")) == {"hits": "42"}
    assert r.execute_command("HEXPIRE", "h", 100, "FIELDS", 1, "hits") == [1]
    assert r.execute_command("HTTL", "h", "FIELDS", 2, "hits", "name") in ([100, -1], [99, -1])
    assert r.hdel("h", "name", "none") == 1 and not r.hexists("h", "name")


def test_sets(r):
    r.sadd("a", 1, 2, 3)
    r.sadd("b", 2, 3, "x")
    assert r.sinter("a", "b") == {"2", "3"} and r.sdiff("b", "a") == {"x"}
    assert r.sunionstore("c", "a", "b") == 4 and r.scard("c") == 4
    assert r.smismember("a", 1, "x") == [1, 0] and r.sintercard(2, ["a", "b"]) == 2
    assert r.spop("c", 4) is not None and not r.exists("c")
    assert set(r.sscan_iter("a")) == {"1", "2", "3"}


def test_sorted_sets(r):
    r.zadd("z", {"a": 1, "b": 2.5, "c": float("inf")})
    assert r.zrange("z", 0, -1, withscores=True) == [("a", 1), ("b", 2.5), ("c", float("inf"))]
    assert r.zrangebyscore("z", "(1", "+inf") == ["b", "c"]
    assert r.zincrby("z", 2, "a") == 3 and r.zrank("z", "a") == 1
    assert r.zrange("z", "+inf", 1, byscore=True, desc=True, offset=0, num=1) == ["c"]
    assert r.zpopmin("z") == [("b", 2.5)] and r.zscore("z", "none") is None
    assert r.zunionstore("u", {"z": 2}) == 2 and r.zscore("u", "a") == 6
    assert r.bzpopmax("z", timeout=1) == ("z", "c", float("inf"))


def test_streams_with_a_group(r):
    first = r.xadd("s", {"n": 1})
    r.xgroup_create("s", "g", id="0")
    second = r.xadd("s", {"n": 2})
    assert r.xlen("s") == 2 and r.xrange("s", max=first) == [(first, {"n": "1"})]
    assert r.xreadgroup("g", "me", {"s": ">"}, count=1) == [["s", [(first, {"n": "1"})]]]
    assert r.xpending("s", "g")["pending"] == 1 and r.xack("s", "g", first) == 1
    assert r.xread({"s": first}, block=1000) == [["s", [(second, {"n": "2"})]]]
    assert r.xinfo_groups("s")[0]["lag"] == 1 and r.xtrim("s", maxlen=1, approximate=False) == 1


def test_counters_places_and_bits(r):
    assert r.pfadd("hll", *range(1000)) == 1 and 980 < r.pfcount("hll") < 1020
    assert r.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert abs(r.geodist("g", "Palermo", "Catania", "km") - 166.2742) < 0.001
    assert r.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC") == ["Catania", "Palermo"]
    assert r.setbit("b", 7, 1) == 0 and r.bitcount("b") == 1 and r.bitpos("b", 1) == 7
    assert r.bitfield("f").set("u8", "#0", 200).incrby("u8", "#0", 100).execute() == [0, 44]


def test_any_type_is_copied_sorted_dumped_and_restored(r):
    r.rpush("l", 3, 1, 2)
    assert r.sort("l") == ["1", "2", "3"] and r.copy("l", "l2") and r.rename("l2", "l3")
    assert r.type("l3") == "list" and r.object("ENCODING", "l3") == "listpack"
    assert r.memory_usage("l3") > 0 and set(r.scan_iter(_type="list")) == {"l", "l3"}


def test_a_pipeline_and_a_transaction_over_families(r):
    with r.pipeline(transaction=True) as pipe:
        pipe.rpush("l", 1).hset("h", "f", 1).sadd("s", 1).zadd("z", {"m": 1}).incr("n")
        assert pipe.execute() == [1, 1, 1, 1, 1]

    def move(pipe):
        n = int(pipe.get("n"))
        pipe.multi()
        pipe.set("n", n + 1)

    r.transaction(move, "n")
    assert r.get("n") == "2"

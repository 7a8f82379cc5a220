// An application's session with ioredis: every family, as its methods give it.
//
//     node session_ioredis.js PORT
"use strict";

const assert = require("node:assert/strict");
const Redis = require("ioredis");

const port = Number(process.argv[2]);
const r = new Redis({ port });

const session = {
  async strings() {
    assert.equal(await r.set("k", "v", "EX", 100, "NX"), "OK");
    assert.equal(await r.set("k", "w", "NX"), null);
    assert.equal(await r.getset("k", "x"), "v");
    assert.equal(await r.append("k", "yz"), 3);
    assert.equal(await r.getrange("k", 1, -1), "yz");
    assert.equal(await r.incrby("n", 41), 41);
    assert.equal(await r.incrbyfloat("n", 0.5), "41.5");
    assert.equal(await r.mset({ a: 1, b: 2 }), "OK");
    assert.deepEqual(await r.mget("a", "none", "b"), ["1", null, "2"]);
    await r.setBuffer("bytes", Buffer.from([0, 255, 13, 10]));
    assert.deepEqual(await r.getBuffer("bytes"), Buffer.from([0, 255, 13, 10]));
    await assert.rejects(r.incr("k"), /^ReplyError: ERR value is not an integer or out of range/);
  },

  async keys() {
    await r.mset("a", 1, "b", 2, "c", 3);
    assert.equal(await r.exists("a", "b", "none"), 2);
    assert.equal(await r.expire("a", 100), 1);
    assert.ok((await r.pttl("a")) > 90_000);
    assert.equal(await r.persist("a"), 1);
    assert.equal(await r.copy("a", "copy"), 1);
    assert.equal(await r.rename("copy", "renamed"), "OK");
    assert.equal(await r.type("renamed"), "string");
    const payload = await r.dumpBuffer("renamed");
    assert.equal(await r.restore("restored", 0, payload), "OK");
    const seen = [];
    for await (const some of r.scanStream({ match: "*e*", count: 2 })) seen.push(...some);
    assert.deepEqual([...new Set(seen)].sort(), ["renamed", "restored"]);
    assert.equal(await r.unlink("a", "b", "none"), 2);
    assert.equal(await r.dbsize(), 3);
  },

  async lists() {
    assert.equal(await r.rpush("q", "a", "b", "c"), 3);
    assert.equal(await r.lmove("q", "done", "LEFT", "RIGHT"), "a");
    assert.deepEqual(await r.lrange("q", 0, -1), ["b", "c"]);
    assert.equal(await r.linsert("q", "BEFORE", "c", "x"), 3);
    assert.equal(await r.lpos("q", "c"), 2);
    assert.deepEqual(await r.blpop("none", "q", 1), ["q", "b"]);
    assert.deepEqual(await r.lmpop(2, "none", "q", "RIGHT", "COUNT", 5), ["q", ["c", "x"]]);
    assert.equal(await r.blpop("none", 0.01), null);
    const other = r.duplicate();
    const waiting = other.blmove("jobs", "taken", "LEFT", "RIGHT", 30);
    while (!/blocked_clients:1\r/.test(await r.info("clients")));
    assert.equal(await r.lpush("jobs", "one"), 1);
    assert.equal(await waiting, "one");
    other.disconnect();
  },

  async hashes() {
    assert.equal(await r.hset("h", { name: "larder", hits: 1 }), 2);
    assert.deepEqual(await r.hgetall("h"), { name: "larder", hits: "1" });
    assert.deepEqual(await r.hgetall("none"), {});
    assert.equal(await r.hincrby("h", "hits", 41), 42);
    assert.deepEqual(await r.hmget("h", "name", "none"), ["larder", null]);
    assert.deepEqual(await r.hscan("h", 0, "MATCH", "h*"), ["0", ["hits", "42"]]);
    assert.deepEqual(await r.call("HEXPIRE", "h", 100, "FIELDS", 1, "hits"), [1]);
    assert.deepEqual(await r.call("HTTL", "h", "FIELDS", 2, "none", "name"), [-2, -1]);
    assert.equal((await r.hrandfield("h", 2)).length, 2);
    assert.equal(await r.hdel("h", "name", "none"), 1);
  },

  async sets() {
    assert.equal(await r.sadd("a", 1, 2, 3), 3);
    assert.equal(await r.sadd("b", 2, 3, "x"), 3);
    assert.deepEqual((await r.sinter("a", "b")).sort(), ["2", "3"]);
    assert.deepEqual(await r.sdiff("b", "a"), ["x"]);
    assert.equal(await r.sunionstore("c", "a", "b"), 4);
    assert.deepEqual(await r.smismember("a", 1, "x"), [1, 0]);
    assert.equal(await r.sintercard(2, "a", "b", "LIMIT", 1), 1);
    assert.equal((await r.spop("c", 4)).length, 4);
    assert.equal(await r.exists("c"), 0);
  },

  async sortedSets() {
    assert.equal(await r.zadd("z", 1, "a", 2.5, "b", "inf", "c"), 3);
    assert.deepEqual(await r.zrange("z", 0, -1, "WITHSCORES"), ["a", "1", "b", "2.5", "c", "inf"]);
    assert.deepEqual(await r.zrangebyscore("z", "(1", "+inf"), ["b", "c"]);
    assert.equal(await r.zincrby("z", 2, "a"), "3");
    assert.equal(await r.zrank("z", "a"), 1);
    assert.deepEqual(await r.zrange("z", "+inf", 1, "BYSCORE", "REV", "LIMIT", 0, 1), ["c"]);
    assert.deepEqual(await r.zpopmin("z"), ["b", "2.5"]);
    assert.equal(await r.zunionstore("u", 1, "z", "WEIGHTS", 2), 2);
    assert.equal(await r.zscore("u", "a"), "6");
    assert.deepEqual(await r.bzpopmax("z", 1), ["z", "c", "inf"]);
    assert.deepEqual(await r.zmpop(1, "z", "MIN"), ["z", [["a", "3"]]]);
  },

  async streams() {
    const first = await r.xadd("s", "*", "n", 1);
    assert.equal(await r.xgroup("CREATE", "s", "g", "0"), "OK");
    const second = await r.xadd("s", "MAXLEN", "~", 100, "*", "n", 2);
    assert.deepEqual(await r.xrange("s", "-", first), [[first, ["n", "1"]]]);
    assert.deepEqual(await r.xreadgroup("GROUP", "g", "me", "COUNT", 1, "STREAMS", "s", ">"), [
      ["s", [[first, ["n", "1"]]]],
    ]);
    assert.deepEqual(await r.xpending("s", "g"), [1, first, first, [["me", "1"]]]);
    assert.deepEqual(await r.xautoclaim("s", "g", "you", 0, "0", "JUSTID"), ["0-0", [first], []]);
    assert.equal(await r.xack("s", "g", first), 1);
    assert.deepEqual(await r.xread("BLOCK", 1000, "STREAMS", "s", first), [["s", [[second, ["n", "2"]]]]]);
    assert.equal(await r.xtrim("s", "MAXLEN", 1), 1);
  },

  async countersPlacesAndBits() {
    assert.equal(await r.pfadd("hll", ...Array(1000).keys()), 1);
    assert.ok(Math.abs((await r.pfcount("hll")) - 1000) < 20);
    assert.equal(await r.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2);
    assert.equal(await r.geodist("g", "Palermo", "Catania", "KM"), "166.2742");
    const near = ["FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC"];
    assert.deepEqual(await r.geosearch("g", ...near), ["Catania", "Palermo"]);
    assert.deepEqual(await r.geohash("g", "Palermo", "none"), ["sqc8b49rny0", null]);
    assert.equal(await r.setbit("b", 7, 1), 0);
    assert.equal(await r.bitcount("b"), 1);
    assert.equal(await r.bitop("NOT", "nb", "b"), 1);
    assert.deepEqual(await r.bitfield("f", "SET", "u8", "#0", 200, "INCRBY", "u8", "#0", 100), [0, 44]);
    assert.equal(await r.rpush("l", 3, 1, 2), 3);
    assert.deepEqual(await r.sort("l", "DESC"), ["3", "2", "1"]);
  },

  async pipelinesAndTransactions() {
    assert.deepEqual(await r.pipeline().set("a", 1).incr("a").lpush("a", "x").get("a").exec().then(told), [
      "OK",
      2,
      "WRONGTYPE",
      "2",
    ]);
    const multi = r.multi().rpush("l", 1).hset("h", "f", 1).sadd("s", 1).zadd("z", 1, "m").incr("n");
    assert.deepEqual(told(await multi.exec()), [1, 1, 1, 1, 1]);
    const other = r.duplicate();
    await r.watch("a");
    await other.set("a", "changed");
    assert.equal(await r.multi().set("a", "mine").exec(), null);
    other.disconnect();
    const auto = new Redis({ port, enableAutoPipelining: true, keyPrefix: "auto:" });
    await Promise.all(Array.from({ length: 200 }, (_, n) => auto.set(n, n)));
    assert.deepEqual(await Promise.all(Array.from({ length: 200 }, (_, n) => auto.get(n))), [...Array(200).keys()].map(String));
    assert.equal(await r.get("auto:7"), "7");
    auto.disconnect();
  },

  async publishAndSubscribe() {
    const listener = r.duplicate();
    const heard = [];
    listener.on("message", (channel, text) => heard.push([channel, text]));
    listener.on("pmessage", (pattern, channel, text) => heard.push([pattern, channel, text]));
    assert.equal(await listener.subscribe("news", "more"), 2);
    assert.equal(await listener.psubscribe("n*"), 3);
    assert.equal(await r.publish("news", "hello"), 2);
    assert.deepEqual(await r.pubsub("NUMSUB", "news"), ["news", 1]);
    assert.equal(await listener.punsubscribe("n*"), 2);
    assert.equal(await listener.unsubscribe(), 0);
    assert.equal(await listener.ping(), "PONG");
    assert.deepEqual(heard, [["news", "hello"], ["n*", "news", "hello"]]);
    listener.disconnect();
  },

  async theServerItself() {
    assert.match(await r.info("server"), /redis_version:7/);
    assert.equal(await r.config("SET", "slowlog-log-slower-than", "10000"), "OK");
    assert.deepEqual(await r.config("GET", "slowlog-log-slower-than"), ["slowlog-log-slower-than", "10000"]);
    assert.equal(await r.client("SETNAME", "session"), "OK");
    assert.match(await r.client("LIST"), /name=session/);
    assert.equal((await r.command("INFO", "get"))[0][1], 2);
    assert.equal((await r.time()).length, 2);
    const elsewhere = new Redis({ port, db: 1 });
    await elsewhere.set("there", 1);
    assert.equal(await r.exists("there"), 0);
    elsewhere.disconnect();
  },
};

/** The results of a pipeline, errors by their code. */
function told(results) {
  return results.map(([error, value]) => (error ? error.message.split(" ")[0] : value));
}

async function main() {
  for (const [name, family] of Object.entries(session)) {
    await r.flushall();
    try {
      await family();
    } catch (error) {
      console.error(`in ${name}:`, error);
      process.exit(1);
    }
  }
  r.disconnect();
  console.log(`${Object.keys(session).length} families`);
}

main();

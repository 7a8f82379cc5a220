"""Random commands for the differential test, and when two replies to one count as the same.

A command is made from a template, whose one-letter words stand for random
arguments (see `Generator.word`); one in eight is then spoiled: an argument
dropped, doubled, swapped or replaced. Nothing made here depends on chance in
the server or on the clock, but for what `Rule` allows.
"""

import re

from resp import Err, to_bytes

MAX = 2**63 - 1

# K key, V value, N number from the boundaries, I small index, F float, S seconds from now, M milliseconds from now, A and B absolute
# seconds and milliseconds, P glob pattern, D database, T a timeout that is soon over; a|b one of; [..] perhaps; everything else stands for itself.
TEMPLATES = """
SET K V
SET K V [NX|XX] [GET] [EX|PX|EXAT|PXAT] [S|A|B]
SET K V EX S [NX|XX] [GET]
SET K V PX M [NX|XX]
SET K V EXAT A
SET K V PXAT B [GET]
SET K V KEEPTTL [GET] [XX]
SET K V IFEQ V [GET] [KEEPTTL]
SET K V NX|XX|GET|KEEPTTL|EX|PX|PERSIST|IFEQ NX|XX|GET|KEEPTTL|EX|PX|N
GET K
GET K
GETDEL K
GETEX K [EX|PX|EXAT|PXAT|PERSIST] [S|M|A|B|N]
GETEX K PERSIST
GETEX K EX S
GETSET K V
SETNX K V
SETEX K S V
PSETEX K M V
SETEX K N V
PSETEX K N V
DELIFEQ K V
APPEND K V
APPEND K V
STRLEN K
GETRANGE K I|N I|N
GETRANGE K I I
SUBSTR K I I
SETRANGE K I V
SETRANGE K N V
INCR K
DECR K
INCRBY K N
INCRBY K I
DECRBY K N
DECRBY K I
INCRBYFLOAT K F
INCRBYFLOAT K N
MGET K K [K] [K]
MSET K V [K] [V]
MSET K V K V
MSETNX K V K V
MSETNX K V
MSETEX 2 K V K V [NX|XX] [EX|PX|EXAT|PXAT|KEEPTTL] [S|A|B]
MSETEX 1 K V EX S
MSETEX N K V
LCS K K [LEN|IDX] [WITHMATCHLEN] [MINMATCHLEN] [I]
LCS K K IDX WITHMATCHLEN
DEL K [K] [K]
UNLINK K [K]
EXISTS K [K] [K]
TOUCH K [K]
TYPE K
RENAME K K
RENAMENX K K
COPY K K [DB] [D] [REPLACE]
COPY K K DB D REPLACE
MOVE K D
EXPIRE K S [NX|XX]
PEXPIRE K M [NX|XX]
EXPIREAT K A [NX|XX|GT|LT] [XX|GT|LT]
PEXPIREAT K B [NX|XX|GT|LT]
EXPIRE K N
PEXPIRE K N
EXPIREAT K N
PEXPIREAT K N
PERSIST K
TTL K
PTTL K
EXPIRETIME K
PEXPIRETIME K
KEYS P
SCAN 0 COUNT 100000 [MATCH] [P]
SCAN 0 COUNT 100000 MATCH P TYPE string|hash
SCAN N COUNT 100000
SCAN 0 COUNT N
RANDOMKEY
DBSIZE
SELECT D
SWAPDB D D
FLUSHDB [ASYNC|SYNC|foo]
OBJECT ENCODING|REFCOUNT|FREQ|foo K
MEMORY USAGE K [SAMPLES] [I]
SETBIT K I 0|1|N
GETBIT K I|N
BITCOUNT K [I] [I] [BIT|BYTE]
BITPOS K 0|1 [I] [I]
BITOP AND|OR|XOR|NOT K K [K]
SADD K V [V] [N] [I]
SADD K I I I I
SADD K N V V V
SREM K V|I [N] [I]
SISMEMBER K V|I
SMISMEMBER K V I [N]
SCARD K
SMEMBERS K
SMOVE K K V|I
SPOP K 0|100000|N
SRANDMEMBER K 0|100000
SINTER K K [K]
SINTERCARD 1|2|N K K [LIMIT] [I|N]
SINTERCARD 2 K K LIMIT I
SINTERSTORE K K K
SUNION K [K] [K]
SUNIONSTORE K K [K]
SDIFF K [K] [K]
SDIFFSTORE K K [K]
SSCAN K 0 [COUNT] [100000] [MATCH] [P] [NOVALUES|NOSCORES|TYPE]
SSCAN K 0 COUNT 100000 MATCH P
SSCAN K 0 COUNT N
HSET K V V [V] [V]
HSET K I I I I
HSET K N V V N
HMSET K V V [V]
HSETNX K V|I V
HGET K V|I
HMGET K V V|I [I] [N]
HGETALL K
HKEYS K
HVALS K
HLEN K
HSTRLEN K V|I
HEXISTS K V|I
HDEL K V|I [V] [I]
HGETDEL K FIELDS 1|2|N V|I [V|I]
HINCRBY K V|I N|I
HINCRBYFLOAT K V|I F
HRANDFIELD K 0|100000|N [WITHVALUES]
HSCAN K 0 COUNT 100000 [MATCH] [P] [NOVALUES|NOSCORES|TYPE|COUNT] [N]
HEXPIRE K S [NX|XX|GT|LT] FIELDS 1|2 V|I [V|I]
HPEXPIRE K M [NX|XX|GT|LT] FIELDS 1|2 V|I [V|I]
HEXPIREAT K A [NX|XX|GT|LT] [NX|GT] FIELDS 1|2 V|I [V|I]
HPEXPIREAT K B [NX|XX|GT|LT] FIELDS 1|2|N V|I [V|I]
HTTL K FIELDS 1|2|N V|I [V|I]
HPTTL K FIELDS 1|2 V|I [V|I]
HEXPIRETIME K FIELDS 1|2 V|I [V|I]
HPEXPIRETIME K FIELDS 1|2 V|I [V|I]
HPERSIST K FIELDS 1|2|N V|I [V|I]
HGETEX K [EX|EXAT|PERSIST|KEEPTTL] [S|A] FIELDS 1|2 V|I [V|I]
HGETEX K PX|PXAT M|B FIELDS 1|2 V|I [V|I]
HSETEX K [NX|XX|PERSIST] [FNX|FXX] [EX|EXAT] [S|A] FIELDS 1|2 V|I V [V|I] [V]
HSETEX K [FNX|FXX] PX|PXAT M|B FIELDS 1|2 V|I V [V|I] [V]
HSETEX K [FXX] KEEPTTL FIELDS 1|2|N V|I V [V|I] [V]
LPUSH K V [V] [N] [I]
RPUSH K V V V V V V V V V V V V
RPUSH K I I I V V V
LPUSHX K V [V]
RPUSHX K V [V]
LPOP K [I|N]
RPOP K [I|N]
LLEN K
LINDEX K I
LRANGE K I|N I|N
LTRIM K I I
LTRIM K 1 -2
LSET K I V
LSET K I I
LINSERT K BEFORE|AFTER V|I V
LREM K I|N V|I
LPOS K V|I [RANK] [I] [COUNT] [I] [MAXLEN] [I]
LPOS K V RANK I COUNT 0
LMOVE K K LEFT|RIGHT LEFT|RIGHT
RPOPLPUSH K K
LMPOP 1|2|N K K LEFT|RIGHT [COUNT] [I|N]
LMPOP 2 K K LEFT|RIGHT COUNT I
BLPOP K [K] T
BRPOP K [K] T
BLMOVE K K LEFT|RIGHT LEFT|RIGHT T
BRPOPLPUSH K K T
BLMPOP T 2 K K LEFT|RIGHT [COUNT] [I]
ZADD K F V [F] [V]
ZADD K [NX|XX] [GT|LT] [CH] F V|I F V|I I V
ZADD K I I 2 I 3 I I V I V
ZADD K [GT|XX] INCR F V|I
ZINCRBY K F|I V|I
ZREM K V|I [V] [I]
ZCARD K
ZSCORE K V|I
ZMSCORE K V|I I [V]
ZRANK K V|I [WITHSCORE]
ZREVRANK K V|I [WITHSCORE]
ZCOUNT K -inf|(1|F|I +inf|(10|F|I
ZLEXCOUNT K - +|V
ZRANGE K I|N I|N [REV] [WITHSCORES]
ZRANGE K -inf|(1|F +inf|(10|F BYSCORE [WITHSCORES] [LIMIT] [I] [I]
ZRANGE K +inf|(10|I -inf|(1|I BYSCORE REV LIMIT 0|2 I
ZRANGE K -|+|V +|- BYLEX [REV]
ZREVRANGE K I I [WITHSCORES]
ZRANGEBYSCORE K -inf|F|I +inf|F|I [WITHSCORES] [LIMIT] [1] [I]
ZREVRANGEBYSCORE K +inf|F|I -inf|F|I [WITHSCORES]
ZRANGEBYLEX K - + LIMIT 1|2 I
ZREVRANGEBYLEX K + -
ZRANGESTORE K K I I [REV]
ZRANGESTORE K K -inf|F +inf|F BYSCORE [LIMIT] [1] [I]
ZREMRANGEBYRANK K I I
ZREMRANGEBYSCORE K (1|F|I F|I
ZREMRANGEBYLEX K + -
ZPOPMIN K [I|N]
ZPOPMAX K [I|N]
ZMPOP 1|2|N K K MIN|MAX [COUNT] [I|N]
ZMPOP 2 K K MIN|MAX COUNT I
BZPOPMIN K [K] T
BZPOPMAX K [K] T
BZMPOP T 2 K K MIN|MAX [COUNT] [I]
ZUNION 2 K K [WITHSCORES]
ZUNION 2 K K WEIGHTS 2|inf|x 0.5|1e300 AGGREGATE SUM|MIN|MAX WITHSCORES
ZINTER 2 K K [AGGREGATE] [SUM|MIN|MAX] [WITHSCORES]
ZDIFF 2 K K [WITHSCORES]
ZINTERCARD 1|2|N K K [LIMIT] [I|N]
ZUNIONSTORE K 2 K K [AGGREGATE] [SUM|MIN|MAX]
ZINTERSTORE K 2 K K [WEIGHTS] [2] [3]
ZDIFFSTORE K 1|2|N K K
ZRANDMEMBER K 0|100000 [WITHSCORES]
ZSCAN K 0 COUNT 100000 [MATCH] [P] [NOVALUES|NOSCORES|TYPE]
GEOADD K 13.361389|-120.7|F|I 38.115556|-5.25|F|I V|I
GEOADD K [NX|XX] [CH] 2.5|15.087269 37.502669|1e-5 V|I 179.99|2 80|F V
GEODIST K V|I V|I [m|km|ft|mi|V]
GEOHASH K V|I [V]
GEOPOS K V|I [V]
GEOSEARCH K FROMLONLAT I|F I|F BYRADIUS F|N m|km|ft|mi [WITHDIST] [WITHCOORD] [WITHHASH]
GEOSEARCH K FROMMEMBER V|I BYBOX F|5000 I|5000 km|mi [WITHDIST] [COUNT] [I] [ANY]
GEOSEARCH K BYPOLYGON 3|4|N 1|I 1|I 30 5 20 45 I I [WITHDIST]
GEOSEARCHSTORE K K FROMLONLAT 15 37 BYRADIUS 400|9000 km [STOREDIST]
GEORADIUS K 15|F 37|F 4000|F km|m [WITHDIST] [WITHHASH] [STORE|STOREDIST] [K]
GEORADIUSBYMEMBER K V|I 4000|F km [WITHCOORD] [STORE|STOREDIST] [K]
GEORADIUS_RO K 15 37 F|N km [WITHDIST] [STORE] [K]
CONFIG SET zset-max-listpack-entries|zset-max-ziplist-entries 4|128|I
CONFIG SET list-max-listpack-size|list-max-ziplist-size I
CONFIG SET list-compress-depth 0|1|2
MULTI
EXEC
EXEC
DISCARD
WATCH K [K]
UNWATCH
PING [V]
ECHO V
HELLO [2|3|N] [SETNAME|AUTH|foo] [V]
CLIENT SETNAME V
CLIENT GETNAME
CLIENT NO-EVICT|NO-TOUCH on|off|V
CLIENT REPLY foo
CLIENT KILL ID|TYPE|foo 0|V
CLIENT foo
AUTH V
COMMAND GETKEYS GET|SET|MSET|DEL|RENAME|LCS|GETEX|PING|foo K [V] [K] [V]
COMMAND GETKEYSANDFLAGS GET|SET|MSET|DEL|RENAME|GETEX K [V]
COMMAND INFO foo
CONFIG GET foo
CONFIG SET foo V
CONFIG foo
TIME foo
SHUTDOWN foo
nosuch K V
"""

KEYS = ["a", "b", "c", "d", "e", "f", "g", "", b"bin\0\xff\r\n", "num", "float", "long-key-" + "x" * 60]
INTEGERS = [0, 1, -1, 2, 10, 99, 100, 127, 128, 255, 256, 9999, 10000, 32767, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32, 2**53, 2**53 + 1,
            MAX, MAX - 1, -MAX, -MAX - 1, MAX + 1, -MAX - 2, MAX // 1000, MAX // 1000 + 1, 2**64, 2**64 - 1, 10**30, 512 * 1024 * 1024]
ODD_NUMBERS = ["", " 1", "1 ", "+1", "01", "-0", "1.0", "1e3", "0x10", "--1", "nan", "inf", "-inf", "1_000", "١", "1\0", "9" * 40]
FLOATS = ["0", "1", "-1", "0.1", "-0.1", "1.5", "3.0", "1e5", "1e-5", "1e17", "1e-17", "123456789.123456789", "0.30000000000000004", "1e300", "-2.5e-8",
          "3.14159265358979", ".5", "5.", "+2", "1e400", "inf", "-inf", "nan", "x", "", " 1", "0x1p3", "1e4932"]
WORDS = ["", "v", "value", "hello world", "10", "-5", "3.5", "abcabcabc", "x" * 44, "y" * 45, "z" * 63, "w" * 200, b"\0\1\2\xff", b"\r\n", "012", " 7", "ohmytext",
         "mynewtext", "1e3", str(MAX), str(-MAX - 1), "a b", "\t", "é"]
PATTERNS = ["*", "?", "a*", "[a-c]", "[^a]", "n?m", "\\*", "", "**", "*[", "[", "long*", "b*\xff", "[b-", "[\\]]", "a", "f*t"]
SHORT_WAITS = ["0.001", "0.001", "0.001", "-1", "x", ""]
# The commands that wait, and where each has its timeout.
WAITING = {"BZPOPMIN": -1, "BZPOPMAX": -1, "BZMPOP": 1, "BLPOP": -1, "BRPOP": -1, "BLMOVE": 5, "BRPOPLPUSH": 3, "BLMPOP": 1}
RELATIVE = {"SET", "GETEX", "SETEX", "PSETEX", "EXPIRE", "PEXPIRE", "MSETEX"}


def text_of(words):
    return [w if isinstance(w, str) else "" for w in words]


class Rule:
    """What may differ between two right replies: times by so much, the order of keys, or all but the type."""

    def __init__(self, tolerance=0, unordered=False, only_type=False):
        self.tolerance, self.unordered, self.only_type = tolerance, unordered, only_type

    def __or__(self, other):
        return Rule(max(self.tolerance, other.tolerance), self.unordered or other.unordered, self.only_type or other.only_type)

    def same(self, a, b):
        if self.only_type:
            return type(a) is type(b) and (not isinstance(a, Err) or a == b)
        if isinstance(a, (list, dict)):
            if type(a) is not type(b) or len(a) != len(b):
                return False
            if isinstance(a, dict) and self.unordered:
                return a == b
            if isinstance(a, dict):
                return list(a) == list(b) and all(self.same(a[k], b[k]) for k in a)
            if self.unordered and (all(isinstance(x, bytes) for x in a + b) or all(self.is_pair(x) for x in a + b)):
                a, b = sorted(a), sorted(b)
            return all(self.same(x, y) for x, y in zip(a, b))
        if self.tolerance and isinstance(a, int) and isinstance(b, int) and a > 0 and b > 0:
            return abs(a - b) <= self.tolerance
        return type(a) is type(b) and a == b

    @staticmethod
    def is_pair(x):
        return isinstance(x, list) and len(x) == 2 and all(isinstance(y, bytes) for y in x)


EXACT = Rule()
RULES = {"TTL": Rule(tolerance=5), "EXPIRETIME": Rule(tolerance=5), "PTTL": Rule(tolerance=5000), "PEXPIRETIME": Rule(tolerance=5000),
         "KEYS": Rule(unordered=True), "SCAN": Rule(unordered=True), "RANDOMKEY": Rule(only_type=True),
         **dict.fromkeys(["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME"], Rule(tolerance=5000)),
         **dict.fromkeys(["HGETALL", "HKEYS", "HVALS", "HSCAN", "HRANDFIELD", "SMEMBERS", "SPOP", "SRANDMEMBER", "SINTER", "SUNION", "SDIFF", "SSCAN", "ZSCAN"], Rule(unordered=True))}


def rule_of(command):
    name = to_bytes(command[0]).decode("latin-1").upper() if command else ""
    if name == "MEMORY" or (name == "HELLO"):
        return Rule(only_type=True)
    if name == "EXEC":
        return Rule(tolerance=5000, unordered=True, only_type=False)
    return RULES.get(name, EXACT)


class Generator:
    """Random commands. `known`: the commands that both servers have, in upper case.
    `modern`: the reference speaks as Valkey 9.1 does, so nothing need be left out."""

    def __init__(self, rng, known, modern):
        self.rng = rng
        self.modern = modern
        self.templates = [line.split() for line in TEMPLATES.strip().splitlines() if line.split()[0] in known | {"nosuch"}]
        self.in_multi = False

    def word(self, token):
        rng = self.rng
        if "|" in token:
            return self.word(rng.choice(token.split("|")))
        if token == "K":
            return rng.choice(KEYS)
        if token == "V":
            return rng.choice(WORDS) if rng.random() < 0.6 else str(rng.choice(INTEGERS)) if rng.random() < 0.7 else rng.choice(FLOATS)
        if token == "N":
            return rng.choice(ODD_NUMBERS) if rng.random() < 0.2 else str(rng.choice(INTEGERS))
        if token == "I":
            return str(rng.randint(-12, 40))
        if token == "F":
            return rng.choice(FLOATS)
        if token == "S":
            return str(rng.choice([100, 1000, 86400, 0, -1]))
        if token == "M":
            return str(rng.choice([100_000, 1_000_000, 0, -1]))
        if token == "A":
            return str(rng.choice([4102444800, 4102444801, 4102440000, 1, 0, -1, 1_000_000_000]))
        if token == "B":
            return str(rng.choice([4102444800000, 4102444800001, 4102440000000, 1, 0, -1, 1_000_000_000_000]))
        if token == "P":
            return rng.choice(PATTERNS)
        if token == "T":
            return rng.choice(SHORT_WAITS)
        if token == "D":
            return rng.choice(["0", "0", "1", "2", "3", "3", "16", "-1", "x"])
        return token.lower() if rng.random() < 0.1 else token

    def fill(self, template):
        words, skipped = [], False
        for token in template:
            if token.startswith("["):
                if self.rng.random() < (0.15 if skipped else 0.5):
                    words.append(self.word(token[1:-1]))
                else:
                    skipped = True
            else:
                words.append(self.word(token))
        return words

    def spoil(self, words):
        rng, kind = self.rng, self.rng.randrange(5)
        at = rng.randrange(1, len(words)) if len(words) > 1 else None
        if kind == 0 and at:
            del words[at]
        elif kind == 1:
            words.insert(rng.randrange(1, len(words) + 1), self.word(rng.choice("KVNI")))
        elif kind == 2 and at:
            words.insert(at, words[at])
        elif kind == 3 and at:
            other = rng.randrange(1, len(words))
            words[at], words[other] = words[other], words[at]
        elif at:
            words[at] = self.word(rng.choice("KVNIFDP"))

    def command(self):
        while True:
            words = self.fill(self.rng.choice(self.templates))
            if self.rng.random() < 0.125:
                self.spoil(words)
            words = self.settle(words)
            if words:
                return [to_bytes(w) for w in words]

    def settle(self, words):
        """Takes out what would make two right servers differ; returns nothing for a command to leave out."""
        name = words[0].upper()
        text = text_of(words)
        upper = [t.upper() for t in text]
        if name in RELATIVE:
            # An expiry soon enough to fall between two reads would be a race.
            words = words[:2] + [str(int(t) * 1000 + 100_000) if re.fullmatch(r"[1-9]\d{0,4}", t) else w for w, t in zip(words[2:], text[2:])]
        if name in ("HEXPIRE", "HPEXPIRE", "HGETEX", "HSETEX") and self.is_soon(text):
            return None
        if name in ("HGETEX", "HSETEX") and upper[1:2] == ["FIELDS"]:
            return None  # a deliberate difference: Valkey takes a key of this name for the word
        if name == "HSETEX" and {str(-MAX), str(-MAX - 1)} & set(text):
            return None  # twice as many words overflow in C, and are as many as there are
        if name in ("EXPIRE", "PEXPIRE", "HEXPIRE", "HPEXPIRE") and {"GT", "LT"} & set(upper):
            return None
        if name == "MSETEX" and {"EXAT", "PXAT"} & set(upper) and not {"4102444800", "4102444800000", "4102444800001"} & set(upper):
            return None  # a time already past: DBSIZE counts the key until the background removes it
        if self.in_multi and name in ("HELLO", "RANDOMKEY", "MEMORY", "SHUTDOWN"):
            return None  # their own allowances do not reach into an EXEC's reply
        if name == "SETRANGE" and len(words) > 2 and re.fullmatch(r"\d+", text[2]) and 10_000 < int(text[2]) < 2**29:
            return None  # a right reply, but hundreds of megabytes
        if name == "SETBIT" and len(words) > 2 and re.fullmatch(r"\d+", text[2]) and 100_000 < int(text[2]) < 2**32:
            return None
        if name == "SCAN" and (len(words) < 2 or words[1] != "0" or "100000" not in text) and not self.refused_scan(words, upper):
            return None  # a partial iteration is the server's own choice
        if name in ("HSCAN", "ZSCAN") and (text[2:3] != ["0"] or "100000" not in text or upper.count("COUNT") != 1):
            return None
        if name in ("SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER") and (len(words) < 3 or re.fullmatch(r"-[1-9]\d*|[1-9]\d{0,4}", text[2])):
            return None  # chance decides
        if name in WAITING and not (WAITING[name] < len(words) > 1 and words[WAITING[name]] in SHORT_WAITS):
            return None  # it might wait for long
        if name.startswith("GEO") and {"ASC", "DESC"} & set(upper) or "COUNT" in upper and name.startswith("GEO") and "ANY" not in upper:
            return None  # of places at one distance, either may be first
        if "LEX" in name + "".join(upper) and not set(text[2:4]) <= {"-", "+"} and len(words) > 3:
            return None  # which members lie between, where scores differ, nobody says
        if name == "LSET" and len(words) > 2 and re.fullmatch(r"-?\d+", text[2]) and not -(2**31) <= int(text[2]) < 2**31:
            return None  # the references look at 32 bits of the index, and set another element
        if name == "SHUTDOWN" and upper[1:] != ["FOO"]:
            return None
        if name == "TIME" and len(words) == 1:
            return None
        if name == "COMMAND" and len(words) < 3 and not (len(words) == 2 and upper[1].startswith("GETKEYS")):
            return None  # the whole table, in an order of the server's own
        if name == "CONFIG" and any(set(t) & set("*?[") for t in text):
            return None
        if name == "CONFIG" and any(isinstance(w, bytes) or "\0" in w for w in words):
            return None  # an unknown name is shown up to a zero byte by the references
        if name == "CLIENT" and len(words) > 1 and upper[1] == "REPLY" and set(upper[2:]) & {"ON", "OFF", "SKIP"}:
            return None
        if name == "MEMORY" and (len(words) < 2 or upper[1] != "USAGE"):
            return None
        if not self.modern and not self.fits_older(name, words, upper):
            return None
        if name == "MULTI" and len(words) == 1:
            self.in_multi = True
        elif name in ("EXEC", "DISCARD") and len(words) == 1:
            self.in_multi = False
        return words

    @staticmethod
    def is_soon(text):
        """Whether fields would get a time that comes while the test runs."""
        before = [t.upper() for t in text]
        before = text[:before.index("FIELDS")] if "FIELDS" in before else text
        return any(re.fullmatch(r"[1-9]\d{0,4}", t) and t not in ("100", "1000", "86400") for t in before[2:]) or (
            text[0].upper() == "HPEXPIRE" and text[2:3] in (["100"], ["1000"], ["86400"])) or (
            any(a.upper() == "PX" and b in ("100", "1000", "86400") for a, b in zip(before, before[1:])))

    @staticmethod
    def refused_scan(words, upper):
        """A SCAN that every server refuses, whatever its table looks like."""
        return len(words) > 1 and isinstance(words[1], str) and not re.match(r"\s*[+-]?\d", words[1])

    def fits_older(self, name, words, upper):
        """Whether an older reference (Redis 7.0 and later, Valkey before 9.1) has to answer the same."""
        if name == "SET" and "IFEQ" in upper:
            return False
        if name.startswith(("Z", "BZ", "GEO")):
            return False  # newer: scores are read and written in other ways, and options came
        if name in ("SSCAN", "HSCAN") and (words[2:3] != ["0"] or "100000" not in upper or {"NOVALUES", "NOSCORES"} & set(upper)):
            return False  # newer: a cursor is read strictly, and the option
        if name in ("MULTI", "WATCH") and self.in_multi:
            return False  # newer: refused, and the transaction aborts
        if name in ("OBJECT", "SCAN") and {"ENCODING", "REFCOUNT", "TYPE"} & set(upper):
            return False
        if name in ("COMMAND", "BITCOUNT", "BITPOS"):
            return False
        if name in ("LREM", "LPOS") and str(-MAX - 1) in text_of(words):
            return False  # newer: the one integer without an opposite is refused
        if name == "CLIENT" and (self.in_multi or upper[1:2] not in (["GETNAME"], ["NO-EVICT"], ["REPLY"], ["FOO"], ["KILL"])):
            return False
        if name == "CLIENT" and upper[1:2] == ["KILL"] and len(words) != 4:
            return False  # newer: several ids in one filter
        if name in ("SET", "GETEX") and {"EXAT", "PXAT"} & set(upper) and not {"4102444800", "4102444800000"} & set(upper):
            return False  # newer: a time already past removes the key at once
        if name in ("DBSIZE", "MEMORY") or name == "HELLO" and {"SETNAME", "AUTH"} & set(upper) or name == "AUTH" and len(words) == 3:
            return False
        if name == "SCAN" and words[1:2] == [""]:
            return False
        if name == "GETEX" and not re.fullmatch(r"|PERSIST|(EX|PX|EXAT|PXAT) [1-9]\d{0,12}", " ".join(upper[2:])):
            return False  # newer: the number is checked before the key
        return True

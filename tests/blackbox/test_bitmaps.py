"""Bitmaps: commands that see a string as a row of bits."""

import pytest

from resp import NIL, NOT_INT, OK, SYNTAX, Err, arity

BAD_OFFSET = Err("ERR bit offset is not an integer or out of range")
BAD_BIT = Err("ERR bit is not an integer or out of range")
WRONG_TYPE = Err("WRONGTYPE Operation against a key holding the wrong kind of value")
BAD_FIELD = Err("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")


def bits_of(data):
    return [byte >> (7 - i) & 1 for byte in data for i in range(8)]


def test_setbit_writes_one_bit_and_replies_the_old_one(client):
    client.says("SETBIT k 7 1", 0)
    client.says("SETBIT k 7 1", 1)
    client.says("SETBIT k 7 0", 1)
    client.says("GET k", b"\0")
    client.says("SETBIT k 16 0", 0)
    client.says("GET k", b"\0\0\0")


def test_setbit_changes_an_integer_as_its_text(client):
    client.says("SET k 1", OK)
    client.says("SETBIT k 6 1", 0)
    client.says("GET k", "3")
    client.says("OBJECT ENCODING k", "raw")


def test_setbit_keeps_the_expiration(client):
    client.says("SET k v EX 100", OK)
    client.says("SETBIT k 1000 1", 0)
    assert 90 <= client.call("TTL", "k") <= 100


@pytest.mark.parametrize("offset", ["-1", "x", "''", "1.5", "4294967296", "9223372036854775807", "#1"])
def test_offsets_are_those_of_the_longest_string(client, offset):
    client.says(f"SETBIT k {offset} 1", BAD_OFFSET)
    client.says(f"GETBIT k {offset}", BAD_OFFSET)
    client.says("EXISTS k", 0)


@pytest.mark.parametrize("bit", ["2", "-1", "x", "''", "18446744073709551616"])
def test_a_bit_is_0_or_1(client, bit):
    client.says(f"SETBIT k 0 {bit}", BAD_BIT)
    client.says("EXISTS k", 0)


def test_the_last_bit_of_the_longest_string(client):
    client.says("SETBIT k 4294967295 1", 0)
    client.says("STRLEN k", 512 << 20)
    client.says("BITPOS k 1", 4294967295)
    client.says("BITCOUNT k", 1)
    client.says("SETBIT k 0 1", 0)
    client.says("BITCOUNT k", 2)
    client.says("DEL k", 1)


def test_random_bits_are_counted_and_found_as_one_by_one(client, rng):
    for _ in range(60):
        data = b"".join(bytes([rng.choice([0, 0, 255, 255, rng.randrange(256)])]) * rng.randrange(1, 70)
                        for _ in range(rng.randrange(1, 6)))
        bits = bits_of(data)
        client.says(("SET", "k", data), OK)
        client.says("BITCOUNT k", sum(bits))
        for _ in range(20):
            unit = rng.choice([1, 8])
            total = len(bits) // unit
            start, end = (rng.randrange(-total - 3, total + 3) for _ in range(2))
            word = "BIT" if unit == 1 else "BYTE"
            first = max(start + total, 0) if start < 0 else start
            last = min(max(end + total, 0) if end < 0 else end, total - 1)
            part = bits[first * unit:(last + 1) * unit]
            backwards = start < 0 and end < 0 and start > end
            client.says(f"BITCOUNT k {start} {end} {word}", 0 if backwards else sum(part))
            for bit in (0, 1):
                at = first * unit + part.index(bit) if bit in part else -1
                client.says(f"BITPOS k {bit} {start} {end} {word}", at)
                behind = bits[first * 8:]
                if unit == 8:
                    open_end = first * 8 + behind.index(bit) if bit in behind else len(bits) if behind and not bit else -1
                    client.says(f"BITPOS k {bit} {start}", open_end)


def test_bitcount_and_bitpos_read_their_arguments_strictly(client):
    client.says("SET k v", OK)
    for line in ("BITCOUNT k x", "BITCOUNT k 0 x", "BITCOUNT k 0 x BIT", "BITCOUNT k x 0 BIT", "BITPOS k x", "BITPOS k 1 x",
                 "BITPOS k 1 0 x", "BITCOUNT k x 1 NO", "BITPOS k 1 x 1 NO"):
        client.says(line, NOT_INT)
    for line in ("BITCOUNT k 0 1 NO", "BITCOUNT k 0 x NO", "BITCOUNT k 0 1 BIT BIT", "BITPOS k 1 0 1 NO", "BITPOS k 1 0 1 BIT BIT"):
        client.says(line, SYNTAX)
    for bit in ("2", "-1"):
        client.says(f"BITPOS k {bit}", Err("ERR The bit argument must be 1 or 0."))


OPERATIONS = {
    "AND": lambda x, ys: x and all(ys),
    "OR": lambda x, ys: x or any(ys),
    "XOR": lambda x, ys: (x + sum(ys)) % 2,
    "DIFF": lambda x, ys: x and not any(ys),
    "DIFF1": lambda x, ys: not x and any(ys),
    "ANDOR": lambda x, ys: x and any(ys),
    "ONE": lambda x, ys: x + sum(ys) == 1,
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_bitop_combines_bit_by_bit(client, rng, operation, larder):
    if operation not in ("AND", "OR", "XOR") and not larder:
        pytest.skip("of Redis 8")
    for _ in range(20):
        sources = [rng.randbytes(rng.choice([1, 7, 33, 200, 5000, 20000])) for _ in range(rng.randrange(2, 5))]
        for i, source in enumerate(sources):
            client.says(("SET", f"s{i}", source), OK)
        length = max(map(len, sources))
        client.says(("BITOP", operation, "d", *(f"s{i}" for i in range(len(sources)))), length)
        columns = zip(*(bits_of(s.ljust(length, b"\0")) for s in sources))
        expected = [int(bool(OPERATIONS[operation](x, ys))) for x, *ys in columns]
        assert bits_of(client.call("GET", "d")) == expected


def test_bitop_not_takes_one_source(client):
    client.says(("SET", "k", b"\x00\xf0"), OK)
    client.says("BITOP not d k", 2)
    client.says("GET d", b"\xff\x0f")
    client.says("BITOP NOT d k k", Err("ERR BITOP NOT must be called with a single source key."))


def test_bitop_treats_a_missing_key_as_zeros(client):
    client.says("SET k v", OK)
    client.says("BITOP AND d k none", 1)
    client.says("GET d", b"\0")
    client.says("BITOP OR d none k", 1)
    client.says("GET d", "v")
    client.says("BITOP OR d none", 0)
    client.says("GET d", NIL)


def test_bitop_forgets_the_destinations_expiration(client):
    client.says("SET d v EX 100", OK)
    client.says("SET k 12", OK)
    client.says("BITOP OR d k d", 2)
    client.says("TTL d", -1)
    client.says("OBJECT ENCODING d", "raw")


@pytest.mark.parametrize("operation", ["DIFF", "DIFF1", "ANDOR"])
def test_bitop_of_one_against_the_others_needs_others(client, operation, larder):
    if not larder:
        pytest.skip("of Redis 8")
    client.says(f"BITOP {operation.lower()} d k", Err(f"ERR BITOP {operation} must be called with at least two source keys."))


def test_bitfield_model(client, rng):
    """Fields of all kinds at all offsets, against a number of so many bits."""
    for _ in range(30):
        size = 64
        data = int.from_bytes(rng.randbytes(size), "big")
        client.says(("SET", "k", data.to_bytes(size, "big")), OK)
        words, expected = [], []
        for _ in range(20):
            signed = rng.random() < 0.5
            bits = rng.randrange(1, 65 if signed else 64)
            offset = rng.randrange(size * 8 - bits)
            shift = size * 8 - bits - offset
            old = data >> shift & (1 << bits) - 1
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
            if signed and old > high:
                old -= 1 << bits
            kind = f"{'i' if signed else 'u'}{bits}"
            n = rng.choice([0, 1, -1, rng.randrange(-2**63, 2**63), rng.randrange(-300, 300)])
            overflow = rng.choice(["WRAP", "SAT", "FAIL"])
            word = rng.choice(["GET", "SET", "INCRBY"])
            words += ["OVERFLOW", overflow, word, kind, offset]
            if word == "GET":
                expected.append(old)
                continue
            words.append(n)
            new = old + n if word == "INCRBY" else n if signed else n % 2**64
            if not low <= new <= high:
                if overflow == "FAIL":
                    expected.append(NIL)
                    continue
                new = min(max(new, low), high) if overflow == "SAT" else (new - low) % (1 << bits) + low
            data = data & ~((1 << bits) - 1 << shift) | (new & (1 << bits) - 1) << shift
            expected.append(new if word == "INCRBY" else old)
        client.says(("BITFIELD", "k", *words), expected)
        client.says("GET k", data.to_bytes(size, "big"))


def test_bitfield_grows_the_string_up_to_the_last_field(client):
    client.says("BITFIELD k SET u3 14 5", [0])
    client.says("STRLEN k", 3)
    client.says("BITFIELD k GET u8 #100", [0])
    client.says("STRLEN k", 3)
    client.says("BITFIELD k INCRBY i64 #10 0", [0])
    client.says("STRLEN k", 88)


def test_bitfield_reads_its_arguments_strictly(client):
    for kind in ("u64", "i65", "u0", "i0", "x8", "8", "i", "U8", "i-1", "i08", "''"):
        client.says(f"BITFIELD k GET {kind} 0", BAD_FIELD)
    for offset in ("-1", "x", "#-1", "#x", "#", "##1", "4294967296", "#9223372036854775807"):
        client.says(f"BITFIELD k GET u8 {offset}", BAD_OFFSET)
    for line in ("BITFIELD k GET", "BITFIELD k GET u8", "BITFIELD k SET u8 0", "BITFIELD k PUT u8 0 1", "BITFIELD k OVERFLOW"):
        client.says(line, SYNTAX)
    client.says("BITFIELD k OVERFLOW NEVER", Err("ERR Invalid OVERFLOW type specified"))
    client.says("BITFIELD k SET u8 0 1 SET u8 0 x", NOT_INT)
    client.says("BITFIELD_RO k SET u8 0 1", Err("ERR BITFIELD_RO only supports the GET subcommand"))
    client.says("EXISTS k", 0)
    client.says("BITFIELD k", [])
    client.says("BITFIELD_RO k GET u8 0", [0])


@pytest.mark.parametrize("name", ["SETBIT", "GETBIT", "BITCOUNT", "BITPOS", "BITOP", "BITFIELD", "BITFIELD_RO"])
def test_arity_errors_name_the_command(client, name):
    client.says(name, arity(name.lower()))

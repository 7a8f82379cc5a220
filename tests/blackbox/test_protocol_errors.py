"""Malformed input: the exact error, then the end of that connection and of no other."""

import re

import pytest

from resp import OK, Simple, encode

PREFIX = b"-ERR Protocol error: "
INLINE_MAX = 64 * 1024
INT_MAX = 2**31 - 1
BULK_MAX = 512 * 1024 * 1024


def reply_to(server, data):
    """What the server says to these bytes followed by the end of input."""
    with server.raw() as c:
        try:
            c.send(data)
            c.end_of_input()
        except OSError:
            pass  # it had closed already: what it said can still be read
        return c.read_to_end()


@pytest.fixture(scope="module")
def bystander(server):
    """A client that must never notice what others send."""
    with server.raw() as c:
        yield c
        c.says("PING", Simple("PONG"))


@pytest.mark.parametrize("data,error", [
    (b"*x\r\n", "invalid multibulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"* 1\r\n", "invalid multibulk length"),
    (b"*1 \r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"*01\r\n", "invalid multibulk length"),
    (b"*1.0\r\n", "invalid multibulk length"),
    (b"*%d\r\n" % (INT_MAX + 1), "invalid multibulk length"),
    (b"*99999999999999999999\r\n", "invalid multibulk length"),
    (b"*-99999999999999999999\r\n", "invalid multibulk length"),
    (b"*1\r\n$x\r\n", "invalid bulk length"),
    (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$-99\r\n", "invalid bulk length"),
    (b"*1\r\n$ 4\r\n", "invalid bulk length"),
    (b"*1\r\n$+4\r\n", "invalid bulk length"),
    (b"*1\r\n$04\r\n", "invalid bulk length"),
    (b"*1\r\n$4.0\r\n", "invalid bulk length"),
    (b"*1\r\n$%d\r\n" % (BULK_MAX + 1), "invalid bulk length"),
    (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    (b"*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
    (b"*1\r\nx4\r\nPING\r\n", "expected '$', got 'x'"),
    (b"*1\r\n:4\r\n", "expected '$', got ':'"),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
    (b"*1\r\n\r\n", "expected '$', got '\r'".replace("\r", " ")),
    (b"*2\r\n$4\r\nECHO\r\nPING\r\n", "expected '$', got 'P'"),
    (b"*1\rx$4\r\nPING\r\n", "invalid CRLF in request"),
    (b"*1\r\n$4\rxPING\r\n", "invalid CRLF in request"),
    (b"*1\r\n$4\r\nPINGxx", "invalid CRLF in request"),
    (b"*1\r\n$4\r\nPING\rx", "invalid CRLF in request"),
    (b"*1\r\n$3\r\nPING\r\n", "invalid CRLF in request"),
    (b"ECHO 'a\r\n", "unbalanced quotes in request"),
    (b'ECHO "a\r\n', "unbalanced quotes in request"),
    (b"ECHO it's\r\n", "unbalanced quotes in request"),
    (b'ECHO "a\\\r\n', "unbalanced quotes in request"),
    (b'ECHO a"b\r\n', "unbalanced quotes in request"),
    (b"x" * (INLINE_MAX + 1), "too big inline request"),
    (b"*" + b"1" * INLINE_MAX, "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * INLINE_MAX, "too big bulk count string"),
])
def test_malformed_requests_get_their_error_and_are_cut_off(server, bystander, data, error):
    assert reply_to(server, data) == PREFIX + error.encode() + b"\r\n"
    bystander.says("PING", Simple("PONG"))


def test_what_came_before_an_error_is_answered_and_what_follows_is_not(server, bystander):
    good = encode("SET", "k", "before")
    assert reply_to(server, good + b"*1\r\n$-5\r\n" + encode("SET", "k", "after")) == b"+OK\r\n-ERR Protocol error: invalid bulk length\r\n"
    bystander.says("GET k", "before")


def test_a_command_is_not_run_before_its_last_byte(server, bystander):
    bystander.says("DEL k", *range(2))
    data = encode("SET", "k", "v")
    for cut in range(len(data)):
        assert reply_to(server, data[:cut]) == b""
    bystander.says("EXISTS k", 0)
    assert reply_to(server, data) == b"+OK\r\n"
    bystander.says("GET k", "v")


@pytest.mark.parametrize("name,value", [("proto-max-bulk-len", 1048576)])
def test_proto_max_bulk_len_limits_arguments(start_server, name, value):
    s = start_server(f"--{name}", value)
    assert reply_to(s, b"*1\r\n$%d\r\n" % (value + 1)) == PREFIX + b"invalid bulk length\r\n"
    with s.raw() as c:
        c.says(("ECHO", "x" * value), "x" * value)


def test_inline_lines_up_to_64_kb(server, bystander):
    word = b"x" * (INLINE_MAX - 100)
    assert reply_to(server, b"ECHO " + word + b"\r\n") == b"$%d\r\n%s\r\n" % (len(word), word)
    bystander.says("PING", Simple("PONG"))


@pytest.mark.parametrize("size", [INLINE_MAX + 1, 200_000, 1_000_000])
def test_a_line_without_end_is_cut_off(server, bystander, size):
    # The server may close with bytes unread, and the kernel then takes the error text back: so only the end is certain.
    said = reply_to(server, b"x" * size)
    assert said in (b"", PREFIX + b"too big inline request\r\n")
    bystander.says("PING", Simple("PONG"))


def test_a_million_element_header_costs_nothing_until_filled(server, bystander):
    before = server.resident_bytes()
    clients = [server.raw() for _ in range(50)]
    for c in clients:
        c.send(b"*1000000\r\n$3\r\nDEL\r\n$1\r\na\r\n")
    bystander.says("PING", Simple("PONG"))
    assert server.resident_bytes() - before < 100 << 20
    for c in clients:
        c.close()
    with server.raw() as c:
        c.send(b"*%d\r\n$3\r\nDEL\r\n$1\r\na\r\n" % INT_MAX)
        bystander.says("PING", Simple("PONG"))


def test_a_large_announced_bulk_costs_nothing_until_sent(server, bystander):
    before = server.resident_bytes()
    clients = [server.raw() for _ in range(20)]
    for c in clients:
        c.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\nabc" % BULK_MAX)
    bystander.says("PING", Simple("PONG"))
    assert server.resident_bytes() - before < 200 << 20
    for c in clients:
        c.close()


def test_a_command_of_a_million_elements(server, bystander):
    n = 1_000_000
    data = b"*%d\r\n$6\r\nEXISTS\r\n" % n + b"$1\r\na\r\n" * (n - 1)
    bystander.says("SET a 1", OK)
    with server.raw() as c:
        c.send(data)
        assert c.read_raw() == b":%d\r\n" % (n - 1)


# Every truncation and every corruption of a valid pipeline. What the server must answer is told by
# a small model of the protocol, written from its rules and not from any server's code.


class Model:
    """What a server with only these commands says to any bytes: a RESP parser of its own."""

    def __init__(self):
        self.data = {}

    def answer(self, raw):
        self.out, self.rest = b"", raw
        try:
            while self.rest and self.step():
                pass
        except SyntaxError as error:
            self.out += PREFIX + error.msg.encode("latin-1") + b"\r\n"
        return self.out

    def step(self):
        words = self.multibulk() if self.rest[:1] == b"*" else self.inline()
        if words is None:
            return False  # incomplete: nothing more will come
        return self.run(words) if words else True

    def number(self, text):
        return int(text) if re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text) else None

    def line(self, data):
        end = data.find(b"\r")
        if end < 0 or end + 1 >= len(data):
            return None, None
        return data[:end], data[end:]

    def multibulk(self):
        head, rest = self.line(self.rest)
        if head is None:
            return None
        if rest[1:2] != b"\n":
            raise SyntaxError("invalid CRLF in request")
        count = self.number(head[1:])
        if count is None or count > INT_MAX:
            raise SyntaxError("invalid multibulk length")
        data, words = rest[2:], []
        for _ in range(max(count, 0)):
            head, rest = self.line(data)
            if head is None:
                return None
            if data[:1] != b"$":
                got = data[:1].decode("latin-1")
                raise SyntaxError("expected '$', got '%s'" % (" " if got in "\r\n" else got))
            if rest[1:2] != b"\n":
                raise SyntaxError("invalid CRLF in request")
            size = self.number(head[1:])
            if size is None or not 0 <= size <= BULK_MAX:
                raise SyntaxError("invalid bulk length")
            data = rest[2:]
            if len(data) < size + 2:
                return None
            if data[size:size + 2] != b"\r\n":
                raise SyntaxError("invalid CRLF in request")
            words.append(data[:size])
            data = data[size + 2:]
        self.rest = data
        return words

    def inline(self):
        line, newline, rest = self.rest.partition(b"\n")
        if not newline:
            return None
        if line.endswith(b"\r"):
            line = line[:-1]
        if set(line) & set(b"\"'\0\xff"):
            raise Unsure  # quoting and odd bytes: their rules are tested with exact inputs elsewhere
        self.rest = rest
        return line.split()

    def run(self, words):
        name, args = words[0].upper(), words[1:]
        known = {b"SET": 2, b"GET": 1, b"APPEND": 2, b"ECHO": 1}
        if name not in known:
            raise Unsure
        if len(args) != known[name]:
            raise Unsure
        if name == b"SET":
            self.data[args[0]] = args[1]
            self.out += b"+OK\r\n"
        elif name == b"APPEND":
            self.data[args[0]] = self.data.get(args[0], b"") + args[1]
            self.out += b":%d\r\n" % len(self.data[args[0]])
        else:
            value = args[0] if name == b"ECHO" else self.data.get(args[0])
            self.out += b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
        return True


class Unsure(Exception):
    """The bytes became another command: the model knows only what was said until then."""


PIPELINE = encode("SET", "key", "value") + encode("GET", "key") + encode("APPEND", "key", "") + encode("ECHO", "0123456789ab") + encode("GET", "no")


def check(server, data):
    model = Model()
    try:
        expected, exact = model.answer(data), True
    except Unsure:
        expected, exact = model.out, False
    got = reply_to(server, data)
    if exact:
        assert got == expected, f"\nsent     {data!r}\nreplied  {got!r}\nexpected {expected!r}"
    else:
        assert got.startswith(expected), f"\nsent     {data!r}\nreplied  {got!r}\nexpected {expected!r}..."
    return exact


def test_every_truncation_of_a_pipeline_is_answered_up_to_there(server, bystander):
    for cut in range(len(PIPELINE) + 1):
        bystander.says("DEL key no", *range(3))
        assert check(server, PIPELINE[:cut])
    bystander.says("PING", Simple("PONG"))


@pytest.mark.parametrize("part", range(8))
def test_every_single_byte_corruption_of_a_pipeline(server, bystander, part):
    """Each byte of the pipeline takes each of its 255 other values."""
    exact = 0
    for at in range(part, len(PIPELINE), 8):
        for byte in range(256):
            if byte == PIPELINE[at]:
                continue
            bystander.send(b"*2\r\n$8\r\nFLUSHALL\r\n$4\r\nSYNC\r\n")
            assert bystander.read_raw() == b"+OK\r\n"
            exact += check(server, PIPELINE[:at] + bytes([byte]) + PIPELINE[at + 1:])
    assert exact > 1000
    with server.raw() as fresh:
        fresh.says("PING", Simple("PONG"))


def test_every_removed_and_every_doubled_byte_of_a_pipeline(server, bystander):
    for at in range(len(PIPELINE)):
        for data in (PIPELINE[:at] + PIPELINE[at + 1:], PIPELINE[:at] + PIPELINE[at:at + 1] + PIPELINE[at:]):
            bystander.says("FLUSHALL", OK)
            check(server, data)
    bystander.says("PING", Simple("PONG"))


def test_random_bytes_never_hurt_the_server(server, bystander, rng):
    pieces = [b"*", b"$", b"\r\n", b"\n", b"\r", b"-", b":", b"0", b"1", b"3", b"12", b"SET", b"GET", b"MULTI", b"EXEC", b"k", b"'", b'"', b"\\x", b" ",
              b"\0", b"\xff", b"99999999999", encode("MULTI"), encode("SET", "a", "b"), b"*3\r\n", b"$3\r\n"]
    for _ in range(1500):
        if rng.random() < 0.5:
            data = b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 40)))
        else:
            data = rng.randbytes(rng.randrange(1, 300))
        reply_to(server, data)
    bystander.says("PING", Simple("PONG"))


def test_pipelines_spliced_at_random_never_hurt_the_server(server, bystander, rng):
    for _ in range(1000):
        a, b = sorted(rng.randrange(len(PIPELINE)) for _ in range(2))
        data = PIPELINE[b:] + PIPELINE[:a] + PIPELINE[rng.randrange(len(PIPELINE)):]
        reply_to(server, data)
    bystander.says("PING", Simple("PONG"))

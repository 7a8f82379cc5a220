"""RESP2 and RESP3 as a test needs them: exact bytes in, exact bytes out.

A client library hides what a server really said (redis-py turns replies into
its own types and knows RESP2 only in Debian's version), so the tests speak
the protocol themselves:

    client = Raw(("127.0.0.1", port))
    client.raw("GET", "k")           -> b"$-1\r\n"          the very bytes
    client.call("GET", "k")          -> None                as Python values
    client.says("GET k", NIL)        asserts the very bytes, written briefly

How an expected reply is written for `says`: an int is an integer, a str or
bytes a bulk string, a list an array; `OK`, `NIL`, `NIL_ARRAY`, `Simple(...)`,
`Err(...)`, `Map(...)`, `Set(...)`, `Double(...)`, `Verbatim(...)`,
`Push(...)` are the others. What differs between RESP2 and RESP3 (nil, maps, sets, doubles,
verbatim strings) is written in the form that the connection speaks.
"""

import os
import shlex
import socket

REPLY_TIMEOUT_S = 60  # only how long a broken server may keep a test waiting


class Simple(str):
    """A simple string: +text."""


class Err(str):
    """An error: -text."""


class Map(dict):
    """A map in RESP3; in RESP2 a flat array of keys and values."""


class Set(list):
    """A set in RESP3; in RESP2 an array."""


class Push(list):
    """A push message in RESP3; in RESP2 an array."""


class Double(float):
    """A double in RESP3; in RESP2 a bulk string."""


class Verbatim(bytes):
    """A verbatim string (of type txt) in RESP3; in RESP2 a bulk string."""


class _Nil:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


OK = Simple("OK")
QUEUED = Simple("QUEUED")
NIL = _Nil("NIL")
NIL_ARRAY = _Nil("NIL_ARRAY")
SYNTAX = Err("ERR syntax error")
NOT_INT = Err("ERR value is not an integer or out of range")


def arity(command):
    return Err(f"ERR wrong number of arguments for '{command}' command")


def to_bytes(value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return str(value).encode()


def encode(*args):
    """One command, in the form in which clients send it."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = to_bytes(arg)
        parts.append(b"$%d\r\n" % len(arg))
        parts.append(arg)
        parts.append(b"\r\n")
    return b"".join(parts)


def encode_reply(value, protocol=2):
    """The bytes of a reply written in the notation of `says`."""
    if value is NIL:
        return b"_\r\n" if protocol == 3 else b"$-1\r\n"
    if value is NIL_ARRAY:
        return b"_\r\n" if protocol == 3 else b"*-1\r\n"
    if isinstance(value, Simple):
        return b"+%s\r\n" % value.encode()
    if isinstance(value, Err):
        return b"-%s\r\n" % value.encode()
    if isinstance(value, bool):
        return (b"#t\r\n" if value else b"#f\r\n") if protocol == 3 else b":%d\r\n" % value
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, Double):
        number = (b"%d" % value) if value.is_integer() else repr(float(value)).encode()
        return b",%s\r\n" % number if protocol == 3 else b"$%d\r\n%s\r\n" % (len(number), number)
    if isinstance(value, Verbatim):
        if protocol == 3:
            return b"=%d\r\ntxt:%s\r\n" % (len(value) + 4, bytes(value))
        return b"$%d\r\n%s\r\n" % (len(value), bytes(value))
    if isinstance(value, (str, bytes)):
        value = to_bytes(value)
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if isinstance(value, dict):
        head = b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % (2 * len(value))
        return head + b"".join(encode_reply(x, protocol) for item in value.items() for x in item)
    if isinstance(value, Set):
        head = b"~%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % len(value)
        return head + b"".join(encode_reply(x, protocol) for x in value)
    if isinstance(value, Push):
        head = b">%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % len(value)
        return head + b"".join(encode_reply(x, protocol) for x in value)
    if isinstance(value, (list, tuple)):
        return b"*%d\r\n" % len(value) + b"".join(encode_reply(x, protocol) for x in value)
    raise TypeError(f"no notation for {value!r}")


def words(command):
    """The arguments of a command written as one line ('SET k "a b"') or as a tuple."""
    return shlex.split(command) if isinstance(command, str) else list(command)


def clip(data, limit=400):
    shown = repr(bytes(data[:limit]))
    return shown if len(data) <= limit else f"{shown}... ({len(data)} bytes)"


class Closed(ConnectionError):
    """The server closed the connection where a reply was due."""


class Raw:
    """A connection that hides nothing."""

    def __init__(self, address, timeout_s=REPLY_TIMEOUT_S, receive_buffer=None, source=None):
        """`address`: (host, port), or the path of a Unix socket. `source`: the address to come from."""
        if isinstance(address, (str, os.PathLike)):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target = os.fspath(address)
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.socket = socket.socket(family, socket.SOCK_STREAM)
            target = tuple(address)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        try:
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(target)
        except BaseException:
            self.socket.close()
            raise
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.protocol = 2
        self._buffer = bytearray()
        self._at = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection as a crashed client does: with a RST where it is TCP."""
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    # What goes out.

    def send(self, data):
        self.socket.sendall(data)

    def send_command(self, *args):
        self.send(encode(*args))

    def end_of_input(self):
        """Says that nothing more will be sent; replies can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    # What comes in.

    def _more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise Closed(f"connection closed; unread: {clip(self._buffer[self._at:])}")
        self._buffer += data

    def _line(self):
        start = self._at
        searched = start
        while True:
            end = self._buffer.find(b"\r\n", searched)
            if end >= 0:
                self._at = end + 2
                return bytes(self._buffer[start:end])
            searched = max(start, len(self._buffer) - 1)
            self._more()

    def _exactly(self, count):
        while len(self._buffer) - self._at < count:
            missing = count - (len(self._buffer) - self._at)
            if missing > (1 << 22):
                # A very large value: read in place, so that a test of 512 MB stays fast.
                old = len(self._buffer)
                self._buffer.extend(bytes(missing))
                view, filled = memoryview(self._buffer), old
                try:
                    while filled < old + missing:
                        got = self.socket.recv_into(view[filled:])
                        if not got:
                            raise Closed("connection closed inside a bulk string")
                        filled += got
                finally:
                    view.release()
            else:
                self._more()
        data = bytes(memoryview(self._buffer)[self._at:self._at + count])
        self._at += count
        return data

    def _value(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Simple(rest.decode("latin-1"))
        if kind == b"-":
            return Err(rest.decode("latin-1"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            data = self._exactly(size + 2)
            assert data[-2:] == b"\r\n", f"a bulk string without its CRLF: {clip(data)}"
            return data[:-2]
        if kind in b"*~>":
            size = int(rest)
            if size < 0:
                return None
            items = [self._value() for _ in range(size)]
            return items if kind == b"*" else Set(items) if kind == b"~" else Push(items)
        if kind in b"%|":
            pairs = [(self._value(), self._value()) for _ in range(int(rest))]
            return Map(pairs) if kind == b"%" else self._value()
        if kind == b"_":
            return None
        if kind == b"#":
            return {b"t": True, b"f": False}[rest]
        if kind == b",":
            return Double(rest)
        if kind == b"(":
            return int(rest)
        if kind in b"=!":
            data = self._exactly(int(rest) + 2)[:-2]
            return Verbatim(data[4:]) if kind == b"=" else Err(data.decode("latin-1"))
        raise AssertionError(f"no RESP reply: {clip(line)}")

    def _next(self):
        if self._at > (1 << 20) or self._at == len(self._buffer):
            del self._buffer[:self._at]
            self._at = 0
        start = self._at
        value = self._value()
        return value, start

    def read_value(self):
        """The next reply, as a Python value."""
        return self._next()[0]

    def read_raw(self):
        """The next reply, as the bytes that came."""
        _, start = self._next()
        return bytes(memoryview(self._buffer)[start:self._at])

    def read_both(self):
        """The next reply as a Python value and as the bytes that came."""
        value, start = self._next()
        return value, bytes(memoryview(self._buffer)[start:self._at])

    def read_exactly(self, count):
        if self._at == len(self._buffer):
            del self._buffer[:self._at]
            self._at = 0
        return self._exactly(count)

    def read_to_end(self):
        """Everything until the server closes; a RST counts as the end too."""
        while True:
            try:
                self._more()
            except (Closed, ConnectionResetError):
                data = bytes(self._buffer[self._at:])
                self._at = len(self._buffer)
                return data

    # Both.

    def raw(self, *args):
        self.send_command(*args)
        return self.read_raw()

    def call(self, *args):
        """A command's reply as a Python value; an error is returned, not raised."""
        self.send_command(*args)
        return self.read_value()

    def pipeline(self, commands):
        """The raw replies of commands that went out in one write."""
        self.send(b"".join(encode(*words(c)) for c in commands))
        return [self.read_raw() for _ in commands]

    def says(self, command, *expected):
        """Asserts that a command has exactly this reply (or one of these)."""
        got = self.raw(*words(command))
        wanted = [encode_reply(e, self.protocol) for e in expected]
        assert got in wanted, f"{command!r}\n  replied  {clip(got)}\n  expected {' or '.join(map(clip, wanted))}"

    def hears(self, *expected):
        """Asserts that these come next, unasked."""
        for one in expected:
            got, wanted = self.read_raw(), encode_reply(one, self.protocol)
            assert got == wanted, f"came {clip(got)}\n  expected {clip(wanted)}"

    def hears_nothing_else(self):
        """Asserts that nothing came before the reply to a PING that is sent now."""
        self.send_command("PING", "the end")
        got = self.read_value()
        assert got in (b"the end", [b"pong", b"the end"]), f"came {got!r}"

    def hello(self, protocol):
        reply = self.call("HELLO", protocol)
        assert not isinstance(reply, Err), reply
        self.protocol = protocol
        return reply

"""Users and their rights: where they come from, what they keep from whom, and what lasts."""

import hashlib
import subprocess

import pytest
import redis

from harness import BINARY, eventually, free_port
from resp import NIL, OK, QUEUED, Closed, Err

DIGEST = hashlib.sha256(b"secret").hexdigest()


def denied(command, user="bob"):
    return Err(f"NOPERM User {user} has no permissions to run the '{command}' command")


NO_KEY = Err("NOPERM No permissions to access a key")
NO_CHANNEL = Err("NOPERM No permissions to access a channel")


@pytest.fixture
def admin(server):
    """A connection of the default user to a server without other users."""
    with server.raw() as c:
        for name in c.call("ACL", "USERS"):
            if name != b"default":
                c.call("ACL", "DELUSER", name)
        c.says("ACL SETUSER default reset on nopass ~* &* +@all", OK)
        c.says("ACL LOG RESET", OK)
        yield c


def come_in(server, *credentials, **options):
    c = server.raw(**options)
    c.says(("AUTH", *credentials), OK)
    return c


def is_over(c):
    """Whether a connection has been closed."""
    try:
        c.send(b"PING\r\n")
        return c.read_exactly(1) is None
    except (OSError, Closed):
        return True


def start_fails(config):
    """What a start with this configuration says when it fails."""
    words = ["--port", str(free_port()), "--http-port", "0", "--save", ""]
    done = subprocess.run([BINARY, "-", *words], input=config, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_user_may_do_what_its_rules_say_and_no_more(server, admin):
    admin.says(("ACL", "SETUSER", "bob", "on", ">secret", "+@read", "+set", "~app:*", "&news:*", "+publish"), OK)
    with come_in(server, "bob", "secret") as bob:
        bob.says("ACL WHOAMI", denied("acl|whoami"))
        bob.says("SET app:1 v", OK)
        bob.says("GET app:1", b"v")
        bob.says("GET other", NO_KEY)
        bob.says("MGET app:1 other", NO_KEY)
        bob.says("DEL app:1", denied("del"))
        bob.says("PUBLISH news:1 x", 0)
        bob.says("PUBLISH other x", NO_CHANNEL)
        bob.says("NOSUCH", Err("ERR unknown command 'NOSUCH', with args beginning with: "))
    admin.says("GET app:1", b"v")


def test_a_change_is_in_force_for_who_is_connected(server, admin):
    admin.says("ACL SETUSER bob on nopass +get +ping ~*", OK)
    with come_in(server, "bob", "any") as bob:
        bob.says("GET k", NIL)
        admin.says("ACL SETUSER bob -get", OK)
        bob.says("GET k", denied("get"))
        admin.says("ACL SETUSER bob +get", OK)
        bob.says("GET k", NIL)
        admin.says("ACL DELUSER bob", 1)
        eventually(lambda: is_over(bob), "the connection of a user that is gone is closed")


def test_who_listens_to_what_it_may_no_more_is_cut_off(server, admin):
    admin.says("ACL SETUSER bob on nopass +@all &a &b", OK)
    with come_in(server, "bob", "any") as one, come_in(server, "bob", "any") as other, server.raw() as third:
        one.call("SUBSCRIBE", "a")
        other.call("SUBSCRIBE", "b")
        third.call("SUBSCRIBE", "a")
        admin.says("ACL SETUSER bob resetchannels &b &c", OK)
        eventually(lambda: is_over(one), "who lost its channel is closed")
        admin.says("PUBLISH b x", 1)
        assert other.read_value() == [b"message", b"b", b"x"]
        admin.says("PUBLISH a x", 1)
        assert third.read_value() == [b"message", b"a", b"x"]


def test_pub_sub_patterns_are_compared_by_their_letters(server, admin):
    admin.says("ACL SETUSER bob on nopass +@all &news:*", OK)
    with come_in(server, "bob", "any") as bob:
        bob.says("PSUBSCRIBE news:1*", NO_CHANNEL)
        bob.says("SUBSCRIBE news:1 other", NO_CHANNEL)
        assert bob.call("PSUBSCRIBE", "news:*")[0] == b"psubscribe"


def test_a_transaction_is_judged_twice(server, admin):
    admin.says("ACL SETUSER bob on nopass +multi +exec +set +get ~a*", OK)
    with come_in(server, "bob", "any") as bob:
        bob.says("MULTI", OK)
        bob.says("SET b v", NO_KEY)
        assert bob.call("EXEC").startswith("EXECABORT ")
        bob.says("MULTI", OK)
        bob.says("SET a v", QUEUED)
        bob.says("GET a", QUEUED)
        admin.says("ACL SETUSER bob -set", OK)
        first, second = bob.call("EXEC")
        assert first.startswith("NOPERM ACLs rules changed between") and second is None
    log = admin.call("ACL", "LOG")
    assert [entry[entry.index(b"context") + 1] for entry in log] == [b"multi", b"multi"]


def test_what_waited_is_judged_again(server, admin):
    admin.says("FLUSHALL", OK)
    admin.says("ACL SETUSER bob on nopass +@all ~a", OK)
    with come_in(server, "bob", "any") as bob:
        bob.send(b"BLPOP a 0\r\n")
        eventually(lambda: b"blocked_clients:1" in admin.call("INFO", "clients"), "it waits")
        admin.says("ACL SETUSER bob resetkeys", OK)
        admin.says("RPUSH a v", 1)
        assert bob.read_value() == NO_KEY
        admin.says("LRANGE a 0 -1", [b"v"])


def test_hello_says_who_it_is(server, admin):
    admin.says(("ACL", "SETUSER", "bob", "on", ">secret", "+@all"), OK)
    with server.raw() as c:
        assert c.call("HELLO", "3", "AUTH", "bob", "wrong").startswith("WRONGPASS ")
        c.says("ACL WHOAMI", b"default")
        assert c.call("HELLO", "3", "AUTH", "bob", "secret", "SETNAME", "me")[b"proto"] == 3
        c.says("ACL WHOAMI", b"bob")
        assert b" user=bob " in c.call("CLIENT", "INFO")
        c.call("RESET")
        c.says("ACL WHOAMI", b"default")


def test_client_list_and_kill_know_users(server, admin):
    admin.says("ACL SETUSER bob on nopass +@all", OK)
    with come_in(server, "bob", "any") as bob:
        lines = admin.call("CLIENT", "LIST", "USER", "bob").decode().splitlines()
        assert len(lines) == 1 and " user=bob " in lines[0]
        admin.says("CLIENT LIST USER nobody", Err("ERR No such user 'nobody'"))
        admin.says("CLIENT KILL USER bob", 1)
        eventually(lambda: is_over(bob), "it is closed")


def test_when_the_default_user_is_off_who_comes_has_to_say_who_it_is(server, admin):
    admin.says(("ACL", "SETUSER", "bob", "on", ">secret", "+@all"), OK)
    admin.says("ACL SETUSER default off", OK)
    try:
        with server.raw() as c:
            c.says("PING", Err("NOAUTH Authentication required."))
            assert c.call("HELLO", "3").startswith("NOAUTH HELLO must be called")
            c.says("AUTH bob secret", OK)
            c.says("ACL WHOAMI", b"bob")
    finally:
        admin.says("ACL SETUSER default on", OK)


def test_no_secret_is_shown_anywhere(start_server):
    server = start_server("--commandlog-execution-slower-than", "0", "--loglevel", "debug")
    with server.raw() as admin, server.raw() as monitor:
        monitor.says("MONITOR", OK)
        admin.says(("ACL", "SETUSER", "bob", "on", ">geheim", "+@all"), OK)
        admin.says(("ACL", "SETUSER", "bob", "<geheim", ">geheim2"), OK)
        admin.call("ACL", "SETUSER", "bob", "<geheim3")
        admin.call("ACL", "GETUSER", "bob")
        with come_in(server, "bob", "geheim2") as bob:
            bob.call("AUTH", "bob", "geheim4")
            bob.call("HELLO", "3", "AUTH", "bob", "geheim5")
        admin.says("PING", admin.call("PING"))
        shown = repr([admin.call(*words) for words in (("COMMANDLOG", "GET", "-1", "slow"), ("ACL", "LOG"), ("ACL", "LIST"))])
        admin.call("ECHO", "the-end")
        while True:
            line = repr(monitor.read_value())
            shown += line
            if "the-end" in line:
                break
    assert "(redacted)" in shown
    assert "geheim" not in shown + server.log()


def test_users_of_the_configuration_and_what_a_rewrite_keeps(start_server):
    config = (
        "# ours\n"
        "user bob on >secret ~a* +@read\n"
        'user "o\'hara" on nopass "~\\"x" (~y +get) resetchannels\n'
    )
    server = start_server(config=config)
    with server.raw() as c:
        assert c.call("ACL", "USERS") == [b"bob", b"default", b"o'hara"]
        c.says("CONFIG REWRITE", OK)
        # What a line says is what there is: it stays.
        text = server.config_path.read_text()
        assert "user bob on >secret ~a* +@read\n" in text and "user default" not in text
        c.says("ACL SETUSER bob +set (%W~w +set)", OK)
        c.says("ACL SETUSER alice on nopass", OK)
        c.says(("CONFIG", "SET", "requirepass", "word"), OK)
        c.says(("ACL", "DELUSER", "o'hara"), 1)
        c.says("CONFIG REWRITE", OK)
        shown = c.call("ACL", "LIST")
    text = server.config_path.read_text()
    assert f"user bob on #{DIGEST} ~a* resetchannels -@all +@read +set (%W~w resetchannels -@all +set)\n" in text
    assert "user alice on nopass resetchannels -@all\n" in text and "hara" not in text
    assert text.startswith("# ours\nuser bob ")
    again = start_server(config=text)
    with again.raw() as c:
        c.says("AUTH word", OK)
        assert c.call("ACL", "LIST") == shown


@pytest.mark.parametrize(
    "config, why",
    [
        ("user bob on +nosuch", "Unknown command or category name in ACL"),
        ("user bob nonsense", "Error in user declaration 'nonsense': Syntax error"),
        ("user bob (+get", "Error in user declaration '(+get'"),
        ("user bob on\nuser bob off", "Duplicate user found. A user can only be defined once in config files"),
        ("user bob <geheim", "The password you are trying to remove"),
        ("user bob on\naclfile users.acl", "exclude each other"),
        ("aclfile nowhere.acl", "Error loading ACLs, opening file"),
    ],
)
def test_a_wrong_line_stops_the_start_and_says_why(config, why):
    said = start_fails(config + "\n")
    assert why in said
    assert "geheim" not in said


def test_users_of_a_file(start_server, tmp_path):
    file = tmp_path / "users.acl"
    file.write_text(f"user bob on #{DIGEST} ~* &* +@all\n\n  user eve on nopass &a +@all ~*  \n")
    server = start_server("--aclfile", str(file), "--requirepass", "word")
    with come_in(server, "bob", "secret") as c:
        # The file says nothing of the default user: its password is the configuration's.
        with server.raw() as stranger:
            stranger.says("PING", Err("NOAUTH Authentication required."))
            stranger.says("AUTH word", OK)
        with come_in(server, "eve", "any") as eve, come_in(server, "eve", "any") as listener:
            listener.call("SUBSCRIBE", "a")
            file.write_text("user bob on nopass ~* &* +@all\nuser eve on nonsense\nuser eve\nus er\n")
            said = c.call("ACL", "LOAD")
            assert said.startswith(f"ERR {file}:2: Syntax error. WARNING: Duplicate user 'eve' found on line 3. ")
            assert said.endswith("no change to the previously active ACL rules was performed")
            eve.says("ACL WHOAMI", b"eve")
            file.write_text("user bob on nopass ~* &* +@all\nuser eve on nopass +@all\n")
            c.says("ACL LOAD", OK)
            eve.says("GET a", NO_KEY)
            eventually(lambda: is_over(listener), "it listened to what it may no more")
            file.write_text("user bob on nopass ~* &* +@all\n")
            c.says("ACL LOAD", OK)
            eventually(lambda: is_over(eve), "its user is gone")
        c.says(("ACL", "SETUSER", "new", "on", ">secret", "(~a +get)"), OK)
        c.says("ACL SAVE", OK)
        shown = c.call("ACL", "LIST")
        assert f"user new on #{DIGEST} resetchannels -@all (~a resetchannels -@all +get)\n" in file.read_text()
    again = start_server("--aclfile", str(file))
    with come_in(again, "bob", "any") as c:
        assert c.call("ACL", "LIST") == shown


def test_without_a_file_there_is_none_to_load_or_save(admin):
    for word in ("LOAD", "SAVE"):
        assert admin.call("ACL", word).startswith("ERR This instance is not configured to use an ACL file.")


def test_passwords_that_are_made_are_of_the_length_that_is_wanted(admin):
    made = {admin.call("ACL", "GENPASS") for _ in range(50)}
    assert len(made) == 50 and {len(password) for password in made} == {64}
    assert len(admin.call("ACL", "GENPASS", "5")) == 2
    for bits in ("0", "-1", "5000"):
        assert admin.call("ACL", "GENPASS", bits).startswith("ERR ACL GENPASS argument must be the number of bits")


def test_redis_py_knows_its_way(server, admin):
    with server.redis() as r:
        assert r.acl_setuser(
            "bob", enabled=True, passwords=["+secret"], categories=["+@read"], commands=["+set"], keys=["app:*"],
            channels=["news:*"], selectors=[("+get", "%R~other:*")],
        )
        user = r.acl_getuser("bob")
        assert user["passwords"] == [DIGEST] and user["flags"] == ["on"]
        assert user["keys"] == ["~app:*"] and user["channels"] == ["&news:*"]
        assert user["commands"] == ["+set"] and user["categories"] == ["-@all", "+@read"]
        assert user["selectors"][0][b"keys"] == b"%R~other:*" if b"keys" in user["selectors"][0] else True
        assert r.acl_whoami() == "default" and "bob" in r.acl_users()
        assert "get" in [c if isinstance(c, str) else c.decode() for c in r.acl_cat("read")]
        assert r.acl_dryrun("bob", "get", "app:1") == b"OK"
        with server.redis(username="bob", password="secret") as bob:
            assert bob.set("app:1", "v") and bob.get("app:1") == b"v"
            with pytest.raises(redis.exceptions.NoPermissionError):
                bob.get("x")
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGPASS"):
            server.redis(username="bob", password="wrong").ping()
        log = r.acl_log()
        assert [entry["reason"] for entry in log] == ["auth", "key"]
        assert log[1]["object"] == "x" and log[1]["client-info"]["user"] == "bob"
        assert r.acl_log_reset() and r.acl_deluser("bob") == 1


def test_a_followers_link_is_not_judged_and_users_are_not_replicated(start_server):
    leader = start_server("--user", "default", "on", "nopass", "~*", "&*", "+@all", "--user", "link", "on", ">pw", "+psync", "+replconf", "+ping")
    follower = start_server("--replicaof", leader.host, str(leader.port), "--masteruser", "link", "--masterauth", "pw")
    with leader.raw() as up, follower.raw() as down:
        eventually(lambda: b"master_link_status:up" in down.call("INFO", "replication"), "it follows")
        # Whatever the follower's own users may do, what comes by the link is carried out.
        down.says("ACL SETUSER default -set", OK)
        up.says("ACL SETUSER bob on nopass", OK)
        up.says("SET k v", OK)
        eventually(lambda: down.call("GET", "k") == b"v", "the change has come")
        assert b"bob" not in down.call("ACL", "USERS")

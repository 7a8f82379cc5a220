//! Every error that a client can see, in Redis's own words.

use std::borrow::Cow;

/// An error reply: its code and its text, without the leading `-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(Cow<'static, [u8]>);

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Error { $($(#[$doc])* pub const $name: Error = Error(Cow::Borrowed($text.as_bytes()));)* }
    };
}

errors! {
    /// Options that do not go together, or are unknown.
    SYNTAX = "ERR syntax error";
    /// CLIENT UNBLOCK ended what the client waited for.
    UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
    /// EVALSHA of a script that nobody has shown.
    NO_SCRIPT = "NOSCRIPT No matching script.";
    /// A script runs for too long.
    BUSY_SCRIPT = "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    /// A function does.
    BUSY_FUNCTION = "BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    /// No script is there to be ended.
    NOT_BUSY = "NOTBUSY No scripts in execution right now.";
    /// A script that has begun to write is not ended.
    UNKILLABLE = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";
    /// Nor is one that the leader wants run.
    UNKILLABLE_LEADERS = "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.";
    /// A number of keys that exceeds the words that follow.
    TOO_MANY_KEYS = "ERR Number of keys can't be greater than number of args";
    /// A number of keys below 0.
    NEGATIVE_KEYS = "ERR Number of keys can't be negative";
    /// A script that writes, by a command that only reads.
    WRITING_SCRIPT_READ_ONLY = "ERR Can not execute a script with write flag using *_ro command.";
    /// A script that writes, on a follower.
    WRITING_SCRIPT_FOLLOWER = "READONLY Can not run script with write flag on readonly replica";
    /// A script that writes, while snapshots fail.
    WRITING_SCRIPT_MISCONF = "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk. Writable scripts are blocked. Use 'no-writes' flag for read only scripts.";
    /// A script that does not say that it may run when memory is full.
    SCRIPT_OOM = "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";
    /// A script that does not say that the data may be old.
    SCRIPT_STALE = "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set on the script.";
    /// A script that is not for a cluster.
    SCRIPT_NO_CLUSTER = "ERR Can not run script on cluster, 'no-cluster' flag is set.";
    /// FCALL of a number of keys that is none.
    BAD_KEYS = "ERR Bad number of keys provided";
    /// FCALL of what there is not.
    NO_FUNCTION = "ERR Function not found";
    /// A script calls what there is not.
    UNKNOWN_IN_SCRIPT = "ERR Unknown command called from script";
    /// A script calls a command with too few or too many arguments.
    ARITY_IN_SCRIPT = "ERR Wrong number of args calling command from script";
    /// A script calls what is not for scripts.
    NOT_IN_SCRIPT = "ERR This Valkey command is not allowed from script";
    /// A script that may only read calls what writes.
    WRITE_IN_READING_SCRIPT = "ERR Write commands are not allowed from read-only scripts.";
    /// A script asks for data that may be old.
    STALE_IN_SCRIPT = "ERR Can not execute the command on a stale replica";
    /// A script asks for a key of another node's.
    NOT_LOCAL_IN_SCRIPT = "ERR Attempted to access a non local key in a cluster node";
    /// A script asks for keys of several slots, and did not say that it would.
    CROSS_SLOT_IN_SCRIPT = "ERR Script attempted to access keys that do not hash to the same slot";
    /// The key holds a value of another type.
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// No such key, for commands that need one.
    NO_KEY = "ERR no such key";
    /// Not an integer, or beyond 64 bits.
    NOT_INTEGER = "ERR value is not an integer or out of range";
    /// Not a floating-point number.
    NOT_FLOAT = "ERR value is not a valid float";
    /// Not an integer, or a negative one.
    NOT_POSITIVE = "ERR value is out of range, must be positive";
    /// An integer, but beyond 32 bits.
    NOT_INT32 = "ERR value is out of range, value must between -2147483648 and 2147483647";
    /// An integer, but the least of 64 bits.
    NOT_LONG = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    /// An integer, but outside what the option allows.
    OUT_OF_RANGE = "ERR value is out of range";
    /// INCR and its kin beyond 64 bits.
    OVERFLOW = "ERR increment or decrement would overflow";
    /// DECRBY by the least integer, whose opposite is none.
    DECREMENT_OVERFLOW = "ERR decrement would overflow";
    /// INCRBYFLOAT's result.
    NAN_OR_INF = "ERR increment would produce NaN or Infinity";
    /// ZADD INCR's and ZINCRBY's result: opposite infinities.
    NAN_SCORE = "ERR resulting score is not a number (NaN)";
    /// HINCRBYFLOAT by what is no finite number.
    IS_NAN_OR_INF = "ERR value is NaN or Infinity";
    /// HINCRBY of a field that holds something else.
    HASH_NOT_INTEGER = "ERR hash value is not an integer";
    /// HINCRBYFLOAT of a field that holds something else.
    HASH_NOT_FLOAT = "ERR hash value is not a float";
    /// A number of fields that is none, or not that of the fields that follow.
    NUM_FIELDS = "ERR numfields should be greater than 0 and match the provided number of fields";
    /// A string that would exceed `proto-max-bulk-len`.
    TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// A negative offset.
    OFFSET = "ERR offset is out of range";
    /// An offset of a bit that is none, or beyond the longest string.
    BIT_OFFSET = "ERR bit offset is not an integer or out of range";
    /// SETBIT of something other than 0 and 1.
    BIT_VALUE = "ERR bit is not an integer or out of range";
    /// BITPOS of something other than 0 and 1.
    BIT_WANTED = "ERR The bit argument must be 1 or 0.";
    /// BITOP NOT of several.
    BITOP_NOT = "ERR BITOP NOT must be called with a single source key.";
    /// BITFIELD with a type that is none.
    BITFIELD_TYPE = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    /// BITFIELD with an OVERFLOW that is none.
    BITFIELD_OVERFLOW = "ERR Invalid OVERFLOW type specified";
    /// BITFIELD_RO that would write.
    BITFIELD_READ_ONLY = "ERR BITFIELD_RO only supports the GET subcommand";
    /// A string that is no HyperLogLog.
    HLL_TYPE = "WRONGTYPE Key is not a valid HyperLogLog string value.";
    /// A HyperLogLog whose registers are not all there, or too many.
    HLL_CORRUPT = "INVALIDOBJ Corrupted HLL object detected";
    /// SORT by what is no number.
    SORT_SCORE = "ERR One or more scores can't be converted into double";
    /// RESTORE of a key that is there.
    BUSY_KEY = "BUSYKEY Target key name already exists.";
    /// MIGRATE with a key and KEYS.
    MIGRATE_KEYS = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
    /// MIGRATE cannot reach the other server.
    MIGRATE_CONNECT = "IOERR error or timeout connecting to the client";
    /// It does not listen.
    MIGRATE_WRITE = "IOERR error or timeout writing to target instance";
    /// It does not answer.
    MIGRATE_READ = "IOERR error or timeout reading to target instance";
    /// The keys never stood still.
    MIGRATE_CHANGED = "ERR Keys changed each time they were sent, and are still here";
    /// Nobody can wait for another server while everything is locked.
    MIGRATE_IN_EXEC = "ERR MIGRATE is not allowed in a transaction or a script";
    /// RESTORE with a negative time to live.
    RESTORE_TTL = "ERR Invalid TTL value, must be >= 0";
    /// RESTORE with a negative idle time.
    RESTORE_IDLETIME = "ERR Invalid IDLETIME value, must be >= 0";
    /// RESTORE with a frequency that is no byte.
    RESTORE_FREQ = "ERR Invalid FREQ value, must be >= 0 and <= 255";
    /// RESTORE of what no version that is known has written, or not so.
    RESTORE_FOOTER = "ERR DUMP payload version or checksum are wrong";
    /// RESTORE of what is no value.
    RESTORE_FORMAT = "ERR Bad data format";
    /// MSETEX with a number of keys that is none.
    NUMKEYS = "ERR invalid numkeys value or out of range";
    /// A timeout in seconds that is no number.
    TIMEOUT_NOT_FLOAT = "ERR timeout is not a float or out of range";
    /// A timeout in milliseconds that is none.
    TIMEOUT_NOT_INTEGER = "ERR timeout is not an integer or out of range";
    /// A timeout below 0.
    TIMEOUT_NEGATIVE = "ERR timeout is negative";
    /// A timeout at whose end no clock would arrive.
    TIMEOUT_RANGE = "ERR timeout is out of range";
    /// LSET beyond the list.
    INDEX_RANGE = "ERR index out of range";
    /// A count of keys that is none.
    NUMKEYS_POSITIVE = "ERR numkeys should be greater than 0";
    /// A count of elements that is none.
    COUNT_POSITIVE = "ERR count should be greater than 0";
    /// An integer whose opposite is none.
    LEAST_INTEGER = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    /// LPOS RANK 0.
    LPOS_RANK = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";
    /// LPOS with a negative COUNT.
    LPOS_COUNT = "ERR COUNT can't be negative";
    /// LPOS with a negative MAXLEN.
    LPOS_MAXLEN = "ERR MAXLEN can't be negative";
    /// LCS with two ways to reply.
    LCS_LEN_AND_IDX = "ERR If you want both the length and indexes, please just use IDX.";
    /// LCS of strings of 4 GiB.
    LCS_TOO_LONG = "ERR String too long for LCS";
    /// LCS of strings whose table would exceed `proto-max-bulk-len`.
    LCS_TABLE = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
    /// LCS where the system has no memory.
    LCS_MEMORY = "ERR Insufficient memory, failed allocating transient memory for LCS";
    /// LCS of other things than strings.
    LCS_TYPE = "ERR The specified keys must contain string values";
    /// SELECT, MOVE, COPY, SWAPDB beyond `databases`.
    DB_RANGE = "ERR DB index is out of range";
    /// A number where a database's should be.
    DB_INVALID = "ERR invalid DB index";
    /// MOVE and COPY onto themselves.
    SAME_OBJECT = "ERR source and destination objects are the same";
    /// A cursor that is no unsigned integer.
    CURSOR = "ERR invalid cursor";
    /// A write when memory is full and nothing may be evicted.
    OOM = "OOM command not allowed when used memory > 'maxmemory'.";
    /// Keys of several slots, to a node of a cluster.
    CROSS_SLOT = "CROSSSLOT Keys in request don't hash to the same slot";
    /// Some keys of a slot that is on its way to another node.
    TRY_AGAIN = "TRYAGAIN Multiple keys request during rehashing of slot";
    /// A key while the cluster is down.
    CLUSTER_DOWN = "CLUSTERDOWN The cluster is down";
    /// A write, likewise, where reads are served.
    CLUSTER_DOWN_FOR_WRITES = "CLUSTERDOWN The cluster is down and only accepts read commands";
    /// A key whose slot is nobody's.
    SLOT_NOT_SERVED = "CLUSTERDOWN Hash slot not served";
    /// What only a node of a cluster can do.
    NO_CLUSTER = "ERR This instance has cluster support disabled";
    /// A key, to a client that only looks on.
    REPLICA_TOUCHES_KEYS = "ERR Replica can't interact with the keyspace";
    /// A write while fewer follow than there must be.
    NO_REPLICAS = "NOREPLICAS Not enough good replicas to write.";
    /// A write to a server that follows another one.
    READONLY = "READONLY You can't write against a read only replica.";
    /// A command about data that may be old, where that is not to be told.
    MASTER_DOWN = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    /// A command about data that is not there yet.
    LOADING = "LOADING Larder is loading the dataset in memory";
    /// A follower that asks one that has no link.
    NO_MASTER_LINK = "NOMASTERLINK Can't SYNC while not connected with my master";
    /// WAIT at a follower.
    WAIT_AT_REPLICA = "ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.";
    /// WAITAOF at a follower.
    WAITAOF_AT_REPLICA = "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.";
    /// A command that waited when the server became a follower.
    FORCED_UNBLOCK = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    /// A write while no snapshot can be taken.
    MISCONF = "MISCONF Larder is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Larder logs for details about the RDB error.";
    /// Before AUTH.
    NO_AUTH = "NOAUTH Authentication required.";
    /// AUTH with a wrong password.
    WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";
    /// AUTH where no password is set.
    NO_PASSWORD = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
    /// HELLO before AUTH, and without it.
    HELLO_WITHOUT_AUTH = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
    /// A name with bytes that CLIENT LIST cannot show.
    CLIENT_NAME = "ERR Client names cannot contain spaces, newlines or special characters.";
    /// HELLO with a version that nobody speaks.
    NO_PROTO = "NOPROTO unsupported protocol version";
    /// MONITOR within EXEC.
    MONITOR_IN_EXEC = "ERR MONITOR isn't allowed for DENY BLOCKING client";
    /// SSUBSCRIBE within EXEC.
    SSUBSCRIBE_IN_EXEC = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client";
    /// EXEC without MULTI.
    EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI";
    /// DISCARD without MULTI.
    DISCARD_WITHOUT_MULTI = "ERR DISCARD without MULTI";
    /// EXEC after a command that could not be queued.
    EXEC_ABORT = "EXECABORT Transaction discarded because of previous errors.";
    /// An id of a stream's entry that is none.
    STREAM_ID = "ERR Invalid stream ID specified as stream command argument";
    /// An interval that would begin behind the greatest id.
    STREAM_INTERVAL_START = "ERR invalid start ID for the interval";
    /// An interval that would end before the least id.
    STREAM_INTERVAL_END = "ERR invalid end ID for the interval";
    /// XADD with the least id.
    STREAM_ID_ZERO = "ERR The ID specified in XADD must be greater than 0-0";
    /// XADD with an id that is not greater than the last.
    STREAM_ID_NOT_GREATER = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    /// XADD behind the greatest id.
    STREAM_EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items";
    /// XADD of an entry that no node could hold.
    STREAM_ENTRY_TOO_LARGE = "ERR Elements are too large to be stored";
    /// XADD and XTRIM with two strategies.
    STREAM_TRIM_TWICE = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
    /// XTRIM without a strategy.
    STREAM_TRIM_NOTHING = "ERR syntax error, XTRIM must be called with a trimming strategy";
    /// XADD and XTRIM with a negative length.
    STREAM_MAXLEN = "ERR The MAXLEN argument must be >= 0.";
    /// XADD and XTRIM with a negative limit.
    STREAM_LIMIT = "ERR The LIMIT argument must be >= 0.";
    /// A limit of a trimming that there is not.
    STREAM_LIMIT_ALONE = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    /// A limit of a trimming that is to be exact.
    STREAM_LIMIT_EXACT = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    /// XSETID with a negative number of entries.
    STREAM_ADDED_NEGATIVE = "ERR entries_added must be positive";
    /// XSETID with less than the greatest removed id that it is given.
    STREAM_SETID_BELOW_GIVEN = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
    /// XSETID with less than the greatest removed id.
    STREAM_SETID_BELOW_DELETED = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    /// XSETID with less than the last entry's id.
    STREAM_SETID_BELOW_TOP = "ERR The ID specified in XSETID is smaller than the target stream top item";
    /// XSETID with fewer entries than there are.
    STREAM_SETID_BELOW_LENGTH = "ERR The entries_added specified in XSETID is smaller than the target stream length";
    /// XREAD as one of a group.
    XREAD_GROUP = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
    /// XREAD without acknowledgement.
    XREAD_NOACK = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
    /// XREAD of what no group has.
    XREAD_NEW = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.";
    /// XREADGROUP as nobody.
    XREADGROUP_WITHOUT_GROUP = "ERR Missing GROUP option for XREADGROUP";
    /// XREADGROUP of what comes behind the last id.
    XREADGROUP_LAST_ID = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.";
    /// XREADGROUP of the last entry.
    XREADGROUP_LAST_ENTRY = "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.";
    /// XGROUP of a stream that there is not.
    XGROUP_WITHOUT_KEY = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";
    /// XGROUP with a number of entries read that is none.
    ENTRIES_READ = "ERR value for ENTRIESREAD must be positive or -1";
    /// XGROUP CREATE of a group that is there.
    BUSY_GROUP = "BUSYGROUP Consumer Group name already exists";
    /// XCLAIM with an idle time that is none.
    XCLAIM_IDLE_MIN = "ERR Invalid min-idle-time argument for XCLAIM";
    /// XAUTOCLAIM with an idle time that is none.
    XAUTOCLAIM_IDLE_MIN = "ERR Invalid min-idle-time argument for XAUTOCLAIM";
    /// XCLAIM with a new idle time that is none.
    XCLAIM_IDLE = "ERR Invalid IDLE option argument for XCLAIM";
    /// XCLAIM with a time that is none.
    XCLAIM_TIME = "ERR Invalid TIME option argument for XCLAIM";
    /// XCLAIM with a number of deliveries that is none.
    XCLAIM_RETRYCOUNT = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
    /// A number of ids that is none.
    NUMIDS = "ERR Number of IDs must be a positive integer";
    /// A number of ids that is not theirs.
    NUMIDS_MISMATCH = "ERR The `numids` parameter must match the number of arguments";
    /// XAUTOCLAIM of no entries.
    XAUTOCLAIM_COUNT = "ERR COUNT must be > 0";
    /// CL.THROTTLE of a string that it did not write.
    NO_THROTTLE_STATE = "ERR the key holds a string that is no state of a rate limit";
    /// CL.THROTTLE by what is no rate.
    NO_RATE = "ERR max_burst, count and period make no rate: at most 1000000000 a second, and a whole burst within 100 years";
    /// One connection too many.
    MAX_CLIENTS = "ERR max number of clients reached";
}

impl Error {
    /// An error of these words; line breaks at the end go, others become spaces.
    pub fn new(text: impl Into<Vec<u8>>) -> Error {
        let mut text = text.into();
        while text.pop_if(|b| matches!(b, b'\r' | b'\n')).is_some() {}
        for b in &mut text {
            if matches!(b, b'\r' | b'\n') {
                *b = b' ';
            }
        }
        Error(Cow::Owned(text))
    }

    /// "wrong number of arguments for 'name' command".
    pub fn arity(name: &str) -> Error {
        Error::new(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// A command that may not be part of a transaction.
    pub fn not_in_multi(name: &str) -> Error {
        Error::new(format!(
            "ERR Command '{name}' not allowed inside a transaction"
        ))
    }

    /// A command that the configuration keeps from this client.
    pub fn protected(name: &str, parameter: &str) -> Error {
        Error::new(format!(
            "ERR {name} command not allowed. If the {parameter} option is set to \"local\", you \
             can run it from a local connection, otherwise you need to set this option in the \
             configuration file, and then restart the server."
        ))
    }

    /// An error with a client's own words in it, as far as a C string shows them.
    pub fn quoting(before: &str, words: &[u8], after: &str) -> Error {
        Error::new(
            [
                before.as_bytes(),
                shown(words, words.len()),
                after.as_bytes(),
            ]
            .concat(),
        )
    }

    /// An error with words of a client's in two places, each behind its text.
    pub fn quoting_both(first: (&str, &[u8]), second: (&str, &[u8]), after: &str) -> Error {
        let [first, second] = [first, second].map(|(before, words)| {
            let words = shown(words, words.len());
            [before.as_bytes(), words].concat()
        });
        Error::new([&first, &second, after.as_bytes()].concat())
    }

    /// A subcommand, or arguments, that the handler of a container does not take.
    pub fn unknown_subcommand_or_arity(container: &str, name: &[u8]) -> Error {
        let after = format!("'. Try {} HELP.", container.to_uppercase());
        let before = "ERR unknown subcommand or wrong number of arguments for '";
        Error::quoting(before, shown(name, 128), &after)
    }

    /// Where else a key of a slot is: `code` says for how long.
    pub fn redirection(code: &str, slot: u16, host: &str, port: u16) -> Error {
        format!("{code} {slot} {host}:{port}").into()
    }

    /// SORT with a pattern whose keys another node of the cluster may have.
    pub fn sort_across_slots(option: &str) -> Error {
        format!(
            "ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern \
             may be in different slots."
        )
        .into()
    }

    /// Whether it says that another node, or none, is to be asked.
    pub fn is_about_routing(&self) -> bool {
        let codes: [&[u8]; 5] = [b"MOVED", b"ASK", b"CROSSSLOT", b"TRYAGAIN", b"CLUSTERDOWN"];
        codes.contains(&self.code())
    }

    /// One request too many, by a `rate-limit` in the words of the configuration.
    pub fn rate_limited(limit: &[u8], retry_after_ms: u64) -> Error {
        let after = format!("; retry after {retry_after_ms} ms");
        Error::quoting("RATELIMIT too many requests: ", limit, &after)
    }

    /// An argument that must be an integer, and not less than `least`.
    pub fn at_least(name: &str, least: i64) -> Error {
        Error::new(format!("ERR {name} must be an integer, at least {least}"))
    }

    /// "invalid expire time in 'name' command".
    pub fn expire_time(name: &str) -> Error {
        Error::new(format!("ERR invalid expire time in '{name}' command"))
    }

    /// What a client of RESP2 that subscribes may not do.
    pub fn not_while_subscribed(name: &str) -> Error {
        Error::new(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        ))
    }

    /// A subcommand that the container does not have.
    pub fn unknown_subcommand(container: &str, name: &[u8]) -> Error {
        let after = format!("'. Try {} HELP.", container.to_uppercase());
        Error::quoting("ERR unknown subcommand '", shown(name, 128), &after)
    }

    /// A command that nobody knows, with the beginning of its arguments.
    pub fn unknown_command(argv: &[&[u8]]) -> Error {
        let name = shown(argv[0], 128);
        let mut text = [
            b"ERR unknown command '",
            name,
            b"', with args beginning with: ",
        ]
        .concat();
        let mut room = 128usize;
        for arg in &argv[1..] {
            if room == 0 {
                break;
            }
            let shown = shown(arg, room);
            text.push(b'\'');
            text.extend_from_slice(shown);
            text.extend_from_slice(b"' ");
            room = room.saturating_sub(shown.len() + 3);
        }
        Error::new(text)
    }

    /// The whole text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first word: what INFO errorstats counts by.
    pub fn code(&self) -> &[u8] {
        self.0.split(|&b| b == b' ').next().unwrap_or_default()
    }
}

/// As a C string prints: up to a zero byte.
fn shown(arg: &[u8], most: usize) -> &[u8] {
    let arg = &arg[..arg.len().min(most)];
    arg.split(|&b| b == 0).next().unwrap_or_default()
}

impl From<String> for Error {
    fn from(text: String) -> Error {
        Error::new(text)
    }
}

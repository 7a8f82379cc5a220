//! The rows of the family's commands.

use super::{entries, groups, info, pending, read, removal};
use crate::exec::spec::{
    Arg, ArgKind, Begin, Find, Group, Handler, KeySpec, Spec, category::STREAM, flag::*, key,
    key_flag::*,
};

const KEY: Arg = Arg::key("key");
const GROUP: Arg = text("group");
const CONSUMER: Arg = text("consumer");
const ID: Arg = text("id");
const START: Arg = text("start");
const END: Arg = text("end");
const COUNT: Arg = int("count").token("COUNT").optional();
const JUSTID: Arg = Arg::word("justid", "JUSTID").optional();
const IDLE_MIN: Arg = text("min-idle-time");
const BLOCK: Arg = int("milliseconds").token("BLOCK").optional();
const STREAMS: Arg = Arg::block("streams", &[KEY.multiple(), ID.multiple()]).token("STREAMS");
const GROUP_ID: Arg = Arg::one_of("id-selector", &[text("id"), Arg::word("new-id", "$")]);
const ENTRIES_READ: Arg = int("entriesread")
    .shown_as("entries-read")
    .token("ENTRIESREAD")
    .optional();

const TRIM: Arg = Arg::block(
    "trim",
    &[
        Arg::one_of(
            "strategy",
            &[
                Arg::word("maxlen", "MAXLEN"),
                Arg::word("minid", "MINID").since("6.2.0"),
            ],
        ),
        Arg::one_of(
            "operator",
            &[Arg::word("equal", "="), Arg::word("approximately", "~")],
        )
        .optional(),
        text("threshold"),
        int("count").token("LIMIT").optional().since("6.2.0"),
    ],
);

const REFERENCES: Arg = Arg::one_of(
    "condition",
    &[
        Arg::word("keepref", "KEEPREF"),
        Arg::word("delref", "DELREF"),
        Arg::word("acked", "ACKED"),
    ],
)
.optional();
const IDS: Arg = Arg::block("ids", &[int("numids"), text("id").multiple()]).token("IDS");

const fn text(name: &'static str) -> Arg {
    Arg::new(name, ArgKind::String)
}

const fn int(name: &'static str) -> Arg {
    Arg::new(name, ArgKind::Integer)
}

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];
const UPDATED_KEY: &[KeySpec] = &[key(1, RW | UPDATE)];
const DELETED_KEY: &[KeySpec] = &[key(1, RW | DELETE)];

/// The keys behind STREAMS, from an argument on.
const fn behind_streams(from: isize) -> KeySpec {
    KeySpec {
        flags: RO | ACCESS,
        begin: Begin::Keyword("STREAMS", from),
        find: Find::Range {
            last: -1,
            step: 1,
            limit: 2,
        },
        notes: "",
    }
}

const VARIES: &str = "nondeterministic_output";
const O_1: &str = "O(1)";

/// The family.
pub(super) const SPECS: &[Spec] = &[
    row("xadd", -5, entries::xadd, WRITE | DENYOOM | FAST)
        .keys(&[key(1, RW | UPDATE)
            .notes("An update rather than an insertion, as entries may be trimmed.")])
        .tips(&[VARIES])
        .doc(
            Group::Stream,
            "5.0.0",
            "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
            "Appends an entry to a stream, which is made where there is none.",
        )
        .history(&[
            (
                "6.2.0",
                "Takes `NOMKSTREAM`, trimming by `MINID`, and a `LIMIT` of the trimming.",
            ),
            ("7.0.0", "Takes ids of the form `<ms>-*`."),
        ])
        .args(&[
            KEY,
            Arg::word("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
            TRIM.optional(),
            Arg::one_of("id-selector", &[Arg::word("auto-id", "*"), text("id")]),
            Arg::block("data", &[text("field"), text("value")]).multiple(),
        ]),
    row("xtrim", -4, entries::xtrim, WRITE)
        .keys(DELETED_KEY)
        .tips(&[VARIES])
        .doc(
            Group::Stream,
            "5.0.0",
            "O(N), with N being the number of evicted entries. Constant times are very small however, since entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.",
            "Removes entries from the beginning of a stream.",
        )
        .history(&[(
            "6.2.0",
            "Takes trimming by `MINID`, and a `LIMIT`.",
        )])
        .args(&[KEY, TRIM]),
    row("xdel", -3, entries::xdel, WRITE | FAST)
        .keys(DELETED_KEY)
        .doc(
            Group::Stream,
            "5.0.0",
            "O(1) for each single item to delete in the stream, regardless of the stream size.",
            "Removes entries from a stream by their ids, and tells how many there were.",
        )
        .args(&[KEY, ID.multiple()]),
    row("xdelex", -5, removal::xdelex, WRITE | FAST)
        .keys(DELETED_KEY)
        .doc(
            Group::Stream,
            "8.2.0",
            "O(1) for each single item to delete in the stream, regardless of the stream size.",
            "Removes entries from a stream by their ids, with a say in what becomes of those that groups have pending.",
        )
        .args(&[KEY, REFERENCES, IDS]),
    row("xsetid", -3, entries::xsetid, WRITE | DENYOOM | FAST)
        .keys(UPDATED_KEY)
        .doc(
            Group::Stream,
            "5.0.0",
            O_1,
            "Sets what a stream knows of its past; for replication.",
        )
        .history(&[(
            "7.0.0",
            "Takes the number of entries added, and the greatest id that was deleted.",
        )])
        .args(&[
            KEY,
            text("last-id"),
            int("entries-added").token("ENTRIESADDED").optional().since("7.0.0"),
            text("max-deleted-id").token("MAXDELETEDID").optional().since("7.0.0"),
        ]),
    row("xlen", 2, read::xlen, READONLY | FAST)
        .keys(&[key(1, RO)])
        .doc(Group::Stream, "5.0.0", O_1, "Counts the entries of a stream.")
        .args(&[KEY]),
    row("xrange", -4, read::xrange, READONLY)
        .keys(READ_KEY)
        .doc(
            Group::Stream,
            "5.0.0",
            "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
            "Gives the entries of a stream from one id to another.",
        )
        .history(&[("6.2.0", "Takes intervals that exclude their ends.")])
        .args(&[KEY, START, END, COUNT]),
    row("xrevrange", -4, read::xrevrange, READONLY)
        .keys(READ_KEY)
        .doc(
            Group::Stream,
            "5.0.0",
            "O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
            "Gives the entries of a stream from one id back to another.",
        )
        .history(&[("6.2.0", "Takes intervals that exclude their ends.")])
        .args(&[KEY, END, START, COUNT]),
    row("xread", -4, read::xread, BLOCKING | READONLY | MOVABLE_KEYS)
        .keys(&[behind_streams(1)])
        .key_finder(read::find_keys)
        .doc(
            Group::Stream,
            "5.0.0",
            "",
            "Gives the entries behind an id of each of several streams, and waits for one where there is none.",
        )
        .args(&[COUNT, BLOCK, STREAMS]),
    row("xreadgroup", -7, read::xreadgroup, BLOCKING | WRITE | MOVABLE_KEYS)
        .keys(&[behind_streams(4)])
        .key_finder(read::find_keys)
        .doc(
            Group::Stream,
            "5.0.0",
            "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.",
            "Gives a consumer the entries that its group has given to nobody yet, or those that it has not acknowledged; waits for one where there is none.",
        )
        .args(&[
            Arg::block("group-block", &[GROUP, CONSUMER]).token("GROUP"),
            COUNT,
            BLOCK,
            Arg::word("noack", "NOACK").optional(),
            STREAMS,
        ]),
    row("xack", -4, pending::xack, WRITE | FAST)
        .keys(UPDATED_KEY)
        .doc(
            Group::Stream,
            "5.0.0",
            "O(1) for each message ID processed.",
            "Acknowledges entries that a group has pending, and tells how many there were.",
        )
        .args(&[KEY, GROUP, ID.multiple()]),
    row("xackdel", -6, removal::xackdel, WRITE | FAST)
        .keys(&[key(1, RW | UPDATE | DELETE)])
        .doc(
            Group::Stream,
            "8.2.0",
            "O(1) for each message ID processed.",
            "Acknowledges entries that a group has pending, and removes them from the stream.",
        )
        .args(&[KEY, GROUP, REFERENCES, IDS]),
    row("xpending", -3, pending::xpending, READONLY)
        .keys(READ_KEY)
        .tips(&[VARIES])
        .doc(
            Group::Stream,
            "5.0.0",
            "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.",
            "Tells what a group has delivered and not heard of since.",
        )
        .history(&[(
            "6.2.0",
            "Takes `IDLE`, and intervals that exclude their ends.",
        )])
        .args(&[
            KEY,
            GROUP,
            Arg::block(
                "filters",
                &[
                    int("min-idle-time").token("IDLE").optional().since("6.2.0"),
                    START,
                    END,
                    int("count"),
                    CONSUMER.optional(),
                ],
            )
            .optional(),
        ]),
    row("xclaim", -6, pending::xclaim, WRITE | FAST)
        .keys(UPDATED_KEY)
        .tips(&[VARIES])
        .doc(
            Group::Stream,
            "5.0.0",
            "O(log N) with N being the number of messages in the PEL of the consumer group.",
            "Gives entries that a group has pending to another consumer.",
        )
        .args(&[
            KEY,
            GROUP,
            CONSUMER,
            IDLE_MIN,
            ID.multiple(),
            int("ms").token("IDLE").optional(),
            Arg::new("unix-time-milliseconds", ArgKind::UnixTime)
                .token("TIME")
                .optional(),
            int("count").token("RETRYCOUNT").optional(),
            Arg::word("force", "FORCE").optional(),
            JUSTID,
            text("lastid").token("LASTID").optional(),
        ]),
    row("xautoclaim", -6, pending::xautoclaim, WRITE | FAST)
        .keys(DELETED_KEY)
        .tips(&[VARIES])
        .doc(
            Group::Stream,
            "6.2.0",
            "O(1) if COUNT is small.",
            "Gives whatever a group has had pending for a time to another consumer, some at a time.",
        )
        .history(&[(
            "7.0.0",
            "Tells also which pending entries are no more, and have been cleared away.",
        )])
        .args(&[KEY, GROUP, CONSUMER, IDLE_MIN, START, COUNT, JUSTID]),
    Spec::new("xgroup", -2, groups::help)
        .subcommands(XGROUP)
        .doc(
            Group::Stream,
            "5.0.0",
            "Depends on subcommand.",
            "Holds the commands about consumer groups.",
        ),
    Spec::new("xinfo", -2, info::help)
        .subcommands(XINFO)
        .doc(
            Group::Stream,
            "5.0.0",
            "Depends on subcommand.",
            "Holds the commands that tell what there is to know of a stream.",
        ),
];

const XGROUP: &[Spec] = &[
    row("create", -5, groups::create, WRITE | DENYOOM)
        .keys(&[key(2, RW | INSERT)])
        .doc(Group::Stream, "5.0.0", O_1, "Adds a consumer group.")
        .history(&[("7.0.0", "Takes the number of entries read.")])
        .args(&[
            KEY,
            GROUP,
            GROUP_ID,
            Arg::word("mkstream", "MKSTREAM").optional(),
            ENTRIES_READ,
        ]),
    row("setid", -5, groups::setid, WRITE)
        .keys(&[key(2, RW | UPDATE)])
        .doc(
            Group::Stream,
            "5.0.0",
            O_1,
            "Sets how far a consumer group has read.",
        )
        .history(&[("7.0.0", "Takes the number of entries read.")])
        .args(&[KEY, GROUP, GROUP_ID, ENTRIES_READ]),
    row("destroy", 4, groups::destroy, WRITE)
        .keys(&[key(2, RW | DELETE)])
        .doc(
            Group::Stream,
            "5.0.0",
            "O(N) where N is the number of entries in the group's pending entries list (PEL).",
            "Removes a consumer group.",
        )
        .args(&[KEY, GROUP]),
    row(
        "createconsumer",
        5,
        groups::create_consumer,
        WRITE | DENYOOM,
    )
    .keys(&[key(2, RW | INSERT)])
    .doc(Group::Stream, "6.2.0", O_1, "Adds a consumer to a group.")
    .args(&[KEY, GROUP, CONSUMER]),
    row("delconsumer", 5, groups::delete_consumer, WRITE)
        .keys(&[key(2, RW | DELETE)])
        .doc(
            Group::Stream,
            "5.0.0",
            O_1,
            "Removes a consumer from a group, with what it has pending.",
        )
        .args(&[KEY, GROUP, CONSUMER]),
    row("help", 2, groups::help, LOADING | STALE).doc(
        Group::Stream,
        "5.0.0",
        O_1,
        "Shows what can follow XGROUP.",
    ),
];

const XINFO: &[Spec] = &[
    row("stream", -3, info::info_stream, READONLY)
        .keys(&[key(2, RO | ACCESS)])
        .doc(
            Group::Stream,
            "5.0.0",
            O_1,
            "Tells what there is to know of a stream.",
        )
        .history(&[
            ("6.0.0", "Takes `FULL`."),
            (
                "7.0.0",
                "Tells `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag`, too.",
            ),
            (
                "7.2.0",
                "Tells `active-time`, too; `seen-time` is of any attempt.",
            ),
        ])
        .args(&[
            KEY,
            Arg::block("full-block", &[Arg::word("full", "FULL"), COUNT]).optional(),
        ]),
    row("groups", 3, info::info_groups, READONLY)
        .keys(&[key(2, RO | ACCESS)])
        .doc(
            Group::Stream,
            "5.0.0",
            O_1,
            "Tells what there is to know of a stream's groups.",
        )
        .history(&[("7.0.0", "Tells `entries-read` and `lag`, too.")])
        .args(&[KEY]),
    row("consumers", 4, info::info_consumers, READONLY)
        .keys(&[key(2, RO | ACCESS)])
        .tips(&[VARIES])
        .doc(
            Group::Stream,
            "5.0.0",
            O_1,
            "Tells what there is to know of a group's consumers.",
        )
        .history(&[(
            "7.2.0",
            "Tells `inactive`, too; `idle` is since any attempt.",
        )])
        .args(&[KEY, GROUP]),
    row("help", 2, info::help, LOADING | STALE).doc(
        Group::Stream,
        "5.0.0",
        O_1,
        "Shows what can follow XINFO.",
    ),
];

const fn row(name: &'static str, arity: i16, handler: Handler, flags: u32) -> Spec {
    Spec::new(name, arity, handler)
        .flags(flags)
        .category(STREAM)
}

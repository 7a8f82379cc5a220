//! CLUSTER, and what belongs to it: what this node knows of its cluster, and who serves
//! which slot.
//!
//! Where a row's arity leaves it open, its handler refuses what is too much. What takes
//! another node says that there is no bus yet by which one could be spoken to.

mod changes;
mod slots;

use super::help;
use crate::base::{hash, num};
use crate::cluster::{self, Asker, Cluster, Node, Ref, State, flag};
use crate::exec::context::Ctx;
use crate::exec::spec::{
    Arg, ArgKind, Group, Handler, Scope, Spec, category, flag::*, key, key_flag::NOT_KEY,
};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;

pub use slots::drop_slot;

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("cluster", -2, help_of_cluster)
        .doc(
            Group::Cluster,
            "3.0.0",
            "Depends on subcommand.",
            "A container for commands about the cluster.",
        )
        .subcommands(CLUSTER),
    Spec::new("asking", 1, asking)
        .flags(FAST)
        .category(category::CONNECTION)
        .doc(
            Group::Cluster,
            "3.0.0",
            "O(1)",
            "Says that the next command comes because of an ASK.",
        ),
    Spec::new("clusterscan", -2, slots::cluster_scan)
        .flags(READONLY)
        .category(category::KEYSPACE)
        .scope(Scope::Each)
        .keys(&[key(1, NOT_KEY)])
        .tips(&[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ])
        .doc(
            Group::Cluster,
            "9.1.0",
            "O(N) where N is the number of elements returned.",
            "Lists the keys of the cluster, some with each call.",
        )
        .args(&[
            Arg::new("cursor", ArgKind::String),
            Arg::new("match-pattern", ArgKind::Pattern)
                .token("MATCH")
                .optional(),
            Arg::new("count", ArgKind::Integer)
                .token("COUNT")
                .optional(),
            Arg::new("type", ArgKind::String).token("TYPE").optional(),
            Arg::new("slot", ArgKind::Integer).token("SLOT").optional(),
        ]),
];

const CHANGES: u32 = NO_ASYNC_LOADING | ADMIN | STALE;
const VARIES: &[&str] = &["nondeterministic_output"];
const SLOT: Arg = Arg::new("slot", ArgKind::Integer);
const NODE: &[Arg] = &[Arg::new("node-id", ArgKind::String)];
const RANGE: Arg = Arg::block(
    "range",
    &[
        Arg::new("start-slot", ArgKind::Integer),
        Arg::new("end-slot", ArgKind::Integer),
    ],
)
.multiple();
const SLOTS_COST: &str = "O(N) where N is the total number of hash slot arguments";
const RANGES_COST: &str =
    "O(N) where N is the total number of the slots between the start slot and end slot arguments.";
const NODES_COST: &str = "O(N) where N is the total number of Cluster nodes";
const REPLICAS_COST: &str = "O(N) where N is the number of replicas.";
const FLUSH_TYPE: Arg = Arg::one_of(
    "flush-type",
    &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")],
)
.optional();

/// A row of a subcommand.
const fn row(
    name: &'static str,
    arity: i16,
    flags: u32,
    handler: Handler,
    (since, cost): (&'static str, &'static str),
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, handler)
        .flags(flags)
        .doc(Group::Cluster, since, cost, summary)
}

/// A row of one that changes who serves what.
const fn change(
    name: &'static str,
    arity: i16,
    handler: Handler,
    since_and_cost: (&'static str, &'static str),
    summary: &'static str,
) -> Spec {
    row(name, arity, CHANGES, handler, since_and_cost, summary).scope(Scope::All)
}

const CLUSTER: &[Spec] = &[
    change(
        "addslots",
        -3,
        changes::add_slots,
        ("3.0.0", SLOTS_COST),
        "Has this node serve slots that nobody serves.",
    )
    .args(&[SLOT.multiple()]),
    change(
        "addslotsrange",
        -4,
        changes::add_slots_range,
        ("7.0.0", RANGES_COST),
        "Has this node serve ranges of slots that nobody serves.",
    )
    .args(&[RANGE]),
    change(
        "bumpepoch",
        2,
        changes::bump_epoch,
        ("3.0.0", "O(1)"),
        "Gives this node the greatest epoch.",
    )
    .tips(VARIES),
    row(
        "cancelslotmigrations",
        2,
        CHANGES | ALL_DBS,
        changes::cancel_migrations,
        (
            "9.0.0",
            "O(N), where N is the number of slot migration operations being cancelled.",
        ),
        "Cancels all migrations of slots that are under way.",
    ),
    row(
        "count-failure-reports",
        3,
        ADMIN | STALE,
        count_failure_reports,
        ("3.0.0", "O(N) where N is the number of failure reports"),
        "Counts the nodes that report the failure of a node.",
    )
    .history(&[(
        "9.0.0",
        "Ignore additional failure reports for a node which has been marked as failed.",
    )])
    .tips(VARIES)
    .args(NODE),
    row(
        "countkeysinslot",
        3,
        STALE,
        slots::count_keys,
        ("3.0.0", "O(1)"),
        "Counts the keys of a slot.",
    )
    .scope(Scope::Each)
    .args(&[SLOT]),
    change(
        "delslots",
        -3,
        changes::del_slots,
        ("3.0.0", SLOTS_COST),
        "Has nobody serve slots.",
    )
    .args(&[SLOT.multiple()]),
    change(
        "delslotsrange",
        -4,
        changes::del_slots_range,
        ("7.0.0", RANGES_COST),
        "Has nobody serve ranges of slots.",
    )
    .args(&[RANGE]),
    row(
        "failover",
        -2,
        CHANGES,
        changes::failover,
        ("3.0.0", "O(1)"),
        "Has a replica take the place of its primary.",
    )
    .args(&[Arg::one_of(
        "options",
        &[
            Arg::word("force", "FORCE"),
            Arg::word("takeover", "TAKEOVER"),
        ],
    )
    .optional()]),
    row(
        "flushslot",
        -3,
        WRITE | NO_ASYNC_LOADING | ADMIN | ALL_DBS,
        slots::flush_slot,
        (
            "9.0.0",
            "O(N) where N is the number of keys in the target slot",
        ),
        "Removes all keys of a slot.",
    )
    .scope(Scope::All)
    .category(category::KEYSPACE)
    .args(&[SLOT, FLUSH_TYPE]),
    change(
        "flushslots",
        2,
        changes::flush_slots,
        ("3.0.0", "O(1)"),
        "Has nobody serve what this node serves.",
    ),
    change(
        "forget",
        3,
        changes::forget,
        ("3.0.0", "O(1)"),
        "Removes a node from those that this one knows.",
    )
    .args(NODE),
    row(
        "getkeysinslot",
        4,
        STALE,
        slots::get_keys,
        ("3.0.0", "O(N) where N is the number of requested keys"),
        "Lists keys of a slot.",
    )
    .scope(Scope::Each)
    .tips(VARIES)
    .args(&[SLOT, Arg::new("count", ArgKind::Integer)]),
    row(
        "getslotmigrations",
        2,
        CHANGES,
        changes::migrations,
        (
            "9.0.0",
            "O(N), where N is the number of active slot import and export jobs.",
        ),
        "Lists the migrations of slots that are under way or were of late.",
    ),
    row(
        "help",
        2,
        LOADING | STALE,
        help_of_cluster,
        ("5.0.0", "O(1)"),
        "Returns a text that explains the subcommands.",
    ),
    row(
        "info",
        2,
        LOADING | STALE,
        info,
        ("3.0.0", "O(1)"),
        "Returns figures about the cluster.",
    )
    .tips(VARIES),
    row(
        "keyslot",
        3,
        STALE,
        key_slot,
        ("3.0.0", "O(N) where N is the number of bytes in the key"),
        "Returns the slot of a key.",
    )
    .args(&[Arg::new("key", ArgKind::String)]),
    row(
        "links",
        2,
        STALE,
        links,
        ("7.0.0", NODES_COST),
        "Lists the connections between this node and others.",
    )
    .tips(VARIES),
    row(
        "meet",
        -4,
        CHANGES,
        changes::meet,
        ("3.0.0", "O(1)"),
        "Has this node get to know another one.",
    )
    .history(&[("4.0.0", "Added the optional `cluster_bus_port` argument.")])
    .args(&[
        Arg::new("ip", ArgKind::String),
        Arg::new("port", ArgKind::Integer),
        Arg::new("cluster-bus-port", ArgKind::Integer)
            .since("4.0.0")
            .optional(),
    ]),
    row(
        "migrateslots",
        -4,
        CHANGES | ALL_DBS,
        changes::migrate_slots,
        (
            "9.0.0",
            "O(N) where N is the total number of the slots between all start slot and end slot arguments.",
        ),
        "Has slots of this node go to others, with all their keys.",
    )
    .args(&[Arg::block(
        "migration-group",
        &[
            Arg::word("slotsrange-token", "SLOTSRANGE"),
            RANGE,
            Arg::word("node-token", "NODE"),
            Arg::new("node-id", ArgKind::String),
        ],
    )
    .multiple()]),
    row(
        "myid",
        2,
        LOADING | STALE,
        my_id,
        ("3.0.0", "O(1)"),
        "Returns the id of this node.",
    ),
    row(
        "myshardid",
        2,
        LOADING | STALE,
        my_shard_id,
        ("7.2.0", "O(1)"),
        "Returns the id of this node's shard.",
    )
    .tips(VARIES),
    row(
        "nodes",
        2,
        LOADING | STALE,
        nodes,
        ("3.0.0", NODES_COST),
        "Returns what this node knows of the nodes.",
    )
    .tips(VARIES),
    row(
        "replicas",
        3,
        ADMIN | STALE,
        replicas,
        ("5.0.0", REPLICAS_COST),
        "Lists the replicas of a primary.",
    )
    .tips(VARIES)
    .args(NODE),
    change(
        "replicate",
        -3,
        changes::replicate,
        ("3.0.0", "O(1)"),
        "Has this node follow another one, or no longer.",
    )
    .history(&[(
        "9.0.0",
        "Added support of 'NO ONE' arg instead of <node-id> resulting into detaching replica from primary node.",
    )])
    .args(&[Arg::one_of(
        "args",
        &[
            Arg::new("node-id", ArgKind::String),
            Arg::block("no-one", &[Arg::word("no", "NO"), Arg::word("one", "ONE")]).since("9.0.0"),
        ],
    )]),
    row(
        "reset",
        -2,
        ADMIN | STALE | NOSCRIPT,
        changes::reset,
        (
            "3.0.0",
            "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a side effect.",
        ),
        "Makes this node as if it were new.",
    )
    .scope(Scope::All)
    .args(&[Arg::one_of(
        "reset-type",
        &[Arg::word("hard", "HARD"), Arg::word("soft", "SOFT")],
    )
    .optional()]),
    row(
        "saveconfig",
        2,
        CHANGES,
        changes::save_config,
        ("3.0.0", "O(1)"),
        "Writes the nodes file.",
    ),
    change(
        "set-config-epoch",
        3,
        changes::set_config_epoch,
        ("3.0.0", "O(1)"),
        "Gives a new node an epoch.",
    )
    .args(&[Arg::new("config-epoch", ArgKind::Integer)]),
    row(
        "setslot",
        -4,
        CHANGES | MAY_REPLICATE,
        changes::set_slot,
        ("3.0.0", "O(1)"),
        "Says who serves a slot, or where its keys go to or come from.",
    )
    .scope(Scope::All)
    .history(&[("8.0.0", "Added the `TIMEOUT` option.")])
    .args(&[
        SLOT,
        Arg::one_of(
            "subcommand",
            &[
                Arg::new("importing", ArgKind::String)
                    .shown_as("node-id")
                    .token("IMPORTING"),
                Arg::new("migrating", ArgKind::String)
                    .shown_as("node-id")
                    .token("MIGRATING"),
                Arg::new("node", ArgKind::String)
                    .shown_as("node-id")
                    .token("NODE"),
                Arg::word("stable", "STABLE"),
            ],
        ),
        Arg::new("timeout", ArgKind::Integer)
            .shown_as("timeout")
            .token("TIMEOUT")
            .since("8.0.0")
            .optional(),
    ]),
    row(
        "shards",
        2,
        LOADING | STALE,
        shards,
        ("7.0.0", "O(N) where N is the total number of cluster nodes"),
        "Lists the shards, with their slots and nodes.",
    )
    .history(&[(
        "9.1.0",
        "Added shard level `id` field and node level `availability-zone` field.",
    )])
    .tips(VARIES),
    row(
        "slaves",
        3,
        ADMIN | STALE,
        replicas,
        ("3.0.0", REPLICAS_COST),
        "Lists the replicas of a primary.",
    )
    .deprecated("5.0.0", "`CLUSTER REPLICAS`")
    .tips(VARIES)
    .args(NODE),
    row(
        "slot-stats",
        -4,
        STALE | LOADING,
        slots::slot_stats,
        (
            "8.0.0",
            "O(N) where N is the total number of slots based on arguments. O(N*log(N)) with ORDERBY subcommand.",
        ),
        "Returns figures about the slots that this node serves.",
    )
    .scope(Scope::Each)
    .tips(&["nondeterministic_output", "request_policy:all_shards"])
    .args(&[Arg::one_of(
        "filter",
        &[
            Arg::block(
                "slotsrange",
                &[
                    Arg::new("start-slot", ArgKind::Integer),
                    Arg::new("end-slot", ArgKind::Integer),
                ],
            )
            .token("SLOTSRANGE"),
            Arg::block(
                "orderby",
                &[
                    Arg::new("metric", ArgKind::String),
                    Arg::new("limit", ArgKind::Integer).token("LIMIT").optional(),
                    Arg::one_of(
                        "order",
                        &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")],
                    )
                    .optional(),
                ],
            )
            .token("ORDERBY"),
        ],
    )]),
    row(
        "slots",
        2,
        LOADING | STALE,
        slots_of_nodes,
        ("3.0.0", NODES_COST),
        "Lists the slots, with the nodes that serve them.",
    )
    .history(&[
        ("4.0.0", "Added node IDs."),
        ("7.0.0", "Added additional networking metadata field."),
        (
            "9.1.0",
            "Added `availability-zone` field inside the networking metadata.",
        ),
    ])
    .tips(VARIES),
    row(
        "syncslots",
        -3,
        CHANGES | MAY_REPLICATE,
        changes::sync_slots,
        ("9.0.0", "Depends on subcommand."),
        "A container for what nodes say to each other when slots migrate.",
    )
    .system(),
];

const HELP: &[&str] = &[
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "GETKEYSINSLOT <slot> <count>",
    "    Return up to <count> keys of <slot> that are here.",
    "INFO",
    "    Return figures about the cluster.",
    "KEYSLOT <key>",
    "    Return the slot of <key>.",
    "MYID",
    "    Return the id of this node.",
    "MYSHARDID",
    "    Return the id of this node's shard.",
    "NODES",
    "    Return what this node knows of the nodes, a line for each:",
    "    <id> <ip:port@bus-port[,hostname]> <flags> <primary> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICAS <node-id>",
    "    Return the replicas of <node-id>.",
    "SLOTS",
    "    Return ranges of slots, each with the nodes that serve it.",
    "SLOT-STATS",
    "    Return figures about the slots that this node serves.",
    "SHARDS",
    "    Return the shards, each with its slots and nodes.",
    "ADDSLOTS <slot> [<slot> ...]",
    "    Have this node serve slots.",
    "ADDSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
    "    Have this node serve ranges of slots.",
    "BUMPEPOCH",
    "    Give this node the greatest epoch.",
    "COUNT-FAILURE-REPORTS <node-id>",
    "    Return how many nodes report the failure of <node-id>.",
    "DELSLOTS <slot> [<slot> ...]",
    "    Have nobody serve slots.",
    "DELSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
    "    Have nobody serve ranges of slots.",
    "FAILOVER [FORCE|TAKEOVER]",
    "    Have this replica take the place of its primary.",
    "FORGET <node-id>",
    "    Remove a node from those that this one knows.",
    "FLUSHSLOT <slot> [ASYNC|SYNC]",
    "    Remove all keys of <slot>.",
    "FLUSHSLOTS",
    "    Have nobody serve what this node serves.",
    "MEET <ip> <port> [<bus-port>]",
    "    Have this node get to know another one.",
    "REPLICATE (<node-id>|NO ONE)",
    "    Have this node follow <node-id>, or nobody.",
    "RESET [HARD|SOFT]",
    "    Make this node as if it were new (default: soft).",
    "SET-CONFIG-EPOCH <epoch>",
    "    Give this new node an epoch.",
    "SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)",
    "    Say who serves a slot, or where its keys go to or come from.",
    "SAVECONFIG",
    "    Write the nodes file.",
    "LINKS",
    "    Return the connections between this node and others.",
    "MIGRATESLOTS SLOTSRANGE start-slot end-slot [start-slot end-slot ...] NODE node-id [SLOTSRANGE start-slot end-slot [start-slot end-slot ...] NODE node-id ...]",
    "    Have slots of this node go to others, with all their keys.",
    "CANCELSLOTMIGRATIONS",
    "    Cancel all migrations of slots.",
    "GETSLOTMIGRATIONS",
    "    Return the migrations of slots.",
];

/// This server's cluster; an error where it is no node of one.
fn the_cluster<'t>(ctx: &Ctx<'_, 't>) -> Result<&'t Cluster, Error> {
    match ctx.engine.routing {
        Some(_) => Ok(ctx.engine.service::<Cluster>()),
        None => Err(Error::NO_CLUSTER),
    }
}

/// An argument that names a slot.
pub(super) fn slot_of(text: &[u8]) -> Result<u16, Error> {
    let slot = num::parse_i64(text).and_then(|n| u16::try_from(n).ok());
    let slot = slot.filter(|slot| *slot < hash::SLOTS);
    slot.ok_or_else(|| Error::new("ERR Invalid or out of range slot"))
}

/// The node that an argument names.
fn node_of(state: &State, id: &[u8]) -> Result<Ref, Error> {
    let found = state.find(id);
    found.ok_or_else(|| cluster::unknown(id).into())
}

/// More words than the subcommand takes, or others.
fn wrong(ctx: &Ctx<'_, '_>) -> Error {
    Error::unknown_subcommand_or_arity("cluster", ctx.args.all()[1])
}

fn help_of_cluster(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    help::write(ctx, HELP);
    Ok(())
}

fn asking(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    ctx.session.asking = true;
    ctx.reply.ok();
    Ok(())
}

fn key_slot(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let slot = hash::slot(ctx.args.bytes()?);
    ctx.reply.int(slot.into());
    Ok(())
}

fn my_id(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let id = the_cluster(ctx)?.state().me().id;
    ctx.reply.bulk(id.as_bytes());
    Ok(())
}

fn my_shard_id(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let id = the_cluster(ctx)?.state().me().shard;
    ctx.reply.bulk(id.as_bytes());
    Ok(())
}

fn info(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let routing = ctx.engine.routing.as_ref();
    let text = routing.map(|routing| routing.info()).unwrap_or_default();
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn asker(ctx: &Ctx<'_, '_>) -> Asker {
    cluster::asker(&ctx.session.client)
}

fn nodes(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let text = cluster::lines(&the_cluster(ctx)?.state(), asker(ctx));
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Nobody is connected: there is no bus yet.
fn links(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    ctx.reply.array(0);
    Ok(())
}

fn replicas(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let state = the_cluster(ctx)?.state();
    let at = node_of(&state, ctx.args.bytes()?)?;
    if state.node(at).is(flag::FOLLOWER) {
        return Err(Error::new("ERR The specified node is not a master"));
    }
    let asker = asker(ctx);
    let followers = state.nodes().filter(|(_, node)| node.leader == Some(at));
    let lines: Vec<String> = followers
        .map(|(at, _)| cluster::line(&state, at, asker))
        .collect();
    ctx.reply.array(lines.len());
    lines
        .iter()
        .for_each(|line| ctx.reply.bulk(line.as_bytes()));
    Ok(())
}

/// Nobody reports anything: there is no bus yet.
fn count_failure_reports(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let state = the_cluster(ctx)?.state();
    node_of(&state, ctx.args.bytes()?)?;
    ctx.reply.int(0);
    Ok(())
}

/// How far a node's data is, as it counts; of others, that is not known.
fn offset_of(ctx: &Ctx<'_, '_>, node: &Node) -> i64 {
    let offset = &ctx.engine.leading.offset;
    match node.is(flag::MYSELF) {
        true => offset.load(std::sync::atomic::Ordering::Acquire) as i64,
        false => 0,
    }
}

fn slots_of_nodes(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let cluster = the_cluster(ctx)?;
    let state = cluster.state();
    let asker = asker(ctx);
    let runs = state.runs();
    ctx.reply.array(runs.len());
    for (first, last, at) in runs {
        // Where another one's data is, nobody knows: so none is offered.
        let followers: Vec<&Node> = state
            .followers(at)
            .filter(|node| !node.is(flag::FAILED) && offset_of(ctx, node) != 0)
            .collect();
        ctx.reply.array(3 + followers.len());
        ctx.reply.int(first.into());
        ctx.reply.int(last.into());
        for node in [state.node(at)].into_iter().chain(followers) {
            write_endpoint(&mut ctx.reply, cluster, node, asker);
        }
    }
    Ok(())
}

/// A node, as CLUSTER SLOTS shows it: by which name it goes, then its others.
fn write_endpoint(reply: &mut Reply<'_>, cluster: &Cluster, node: &Node, asker: Asker) {
    let endpoint = cluster.endpoint(node, asker);
    let address = &node.address;
    let ip = node.ip(asker);
    let (mut others, host) = (Vec::new(), &address.hostname[..]);
    let kind = cluster.endpoint_kind();
    if kind != "ip" {
        others.push(("ip", ip));
    }
    if kind != "hostname" && !host.is_empty() {
        others.push(("hostname", host));
    }
    if !address.zone.is_empty() {
        others.push(("availability-zone", &address.zone));
    }
    reply.array(4);
    match endpoint {
        Some(name) => reply.bulk(name.as_bytes()),
        None => reply.null(),
    }
    reply.int(node.port(asker).into());
    reply.bulk(node.id.as_bytes());
    reply.map(others.len());
    for (name, value) in others {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

fn shards(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let cluster = the_cluster(ctx)?;
    let state = cluster.state();
    let mut ids: Vec<_> = state.nodes().map(|(_, node)| node.shard).collect();
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(*id));
    let runs = state.runs();
    ctx.reply.array(ids.len());
    for id in ids {
        let nodes: Vec<(Ref, &Node)> = state.nodes().filter(|(_, node)| node.shard == id).collect();
        let is_here = |at: Ref| nodes.iter().any(|(other, _)| *other == at);
        let slots: Vec<_> = runs.iter().filter(|(_, _, of)| is_here(*of)).collect();
        ctx.reply.map(3);
        ctx.reply.bulk(b"slots");
        ctx.reply.array(slots.len() * 2);
        for (first, last, _) in slots {
            ctx.reply.int((*first).into());
            ctx.reply.int((*last).into());
        }
        ctx.reply.bulk(b"nodes");
        ctx.reply.array(nodes.len());
        for (_, node) in nodes {
            write_details(ctx, cluster, node);
        }
        ctx.reply.bulk(b"id");
        ctx.reply.bulk(id.as_bytes());
    }
    Ok(())
}

/// A node, as CLUSTER SHARDS shows it.
fn write_details(ctx: &mut Ctx<'_, '_>, cluster: &Cluster, node: &Node) {
    let (asker, offset) = (asker(ctx), offset_of(ctx, node));
    let address = &node.address;
    let port = address.port > 0;
    let tls_port = match address.client_ports[1] {
        0 => address.tls_port,
        own => own,
    };
    let has_tls = address.tls_port > 0;
    let follows = node.is(flag::FOLLOWER);
    let reply = &mut ctx.reply;
    let mut count = 6;
    count += usize::from(port) + usize::from(has_tls);
    count += usize::from(!address.hostname.is_empty()) + usize::from(!address.zone.is_empty());
    reply.map(count);
    let text = |reply: &mut Reply<'_>, name: &str, value: &[u8]| {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    };
    let int = |reply: &mut Reply<'_>, name: &str, value: i64| {
        reply.bulk(name.as_bytes());
        reply.int(value);
    };
    text(reply, "id", node.id.as_bytes());
    if port {
        int(reply, "port", node.port(asker).into());
    }
    if has_tls {
        int(reply, "tls-port", tls_port.into());
    }
    text(reply, "ip", node.ip(asker).as_bytes());
    let endpoint = cluster.endpoint(node, asker).unwrap_or("");
    text(reply, "endpoint", endpoint.as_bytes());
    if !address.hostname.is_empty() {
        text(reply, "hostname", address.hostname.as_bytes());
    }
    let role: &[u8] = if follows { b"replica" } else { b"master" };
    text(reply, "role", role);
    int(reply, "replication-offset", offset);
    let health: &[u8] = match (node.is(flag::FAILED), follows && offset == 0) {
        (true, _) => b"fail",
        (false, true) => b"loading",
        (false, false) => b"online",
    };
    text(reply, "health", health);
    if !address.zone.is_empty() {
        text(reply, "availability-zone", address.zone.as_bytes());
    }
}

#[cfg(test)]
mod tests;

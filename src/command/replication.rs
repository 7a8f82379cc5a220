//! Replication: taking followers in, hearing how far they are, waiting for them; and
//! whom this server follows itself.
//!
//! A follower's snapshot is taken under the locks under which it is taken in, and
//! lies in memory until it is sent: it is handed to the connection as one long reply,
//! and every change since comes behind it by mail.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::timeout;
use crate::base::num;
use crate::config::{Primary, param, split};
use crate::exec::context::Ctx;
use crate::exec::failover::Stage;
use crate::exec::leading::Follower;
use crate::exec::session::{Closing, ReplyMode};
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, category, flag::*};
use crate::exec::waiting::{Answer, Condition, Wait};
use crate::persist::rdb;
use crate::persist::snapshot::{self, Form};
use crate::protocol::error::Error;
use crate::replication::Leader;

const REPLICAOF_ARGS: &[Arg] = &[Arg::one_of(
    "args",
    &[
        Arg::block(
            "host-port",
            &[
                Arg::new("host", ArgKind::String),
                Arg::new("port", ArgKind::Integer),
            ],
        ),
        Arg::block("no-one", &[Arg::word("no", "NO"), Arg::word("one", "ONE")]),
    ],
)];
const SYNC_FLAGS: u32 = NO_ASYNC_LOADING | ADMIN | NO_MULTI | NOSCRIPT;
const REPLICAOF_FLAGS: u32 = NO_ASYNC_LOADING | ADMIN | NOSCRIPT | STALE;
const WAIT_TIPS: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("sync", 1, sync)
        .flags(SYNC_FLAGS)
        .scope(Scope::All)
        .doc(
            Group::Server,
            "1.0.0",
            "",
            "Sends a snapshot, and every change from then on.",
        ),
    Spec::new("psync", -3, psync)
        .flags(SYNC_FLAGS)
        .scope(Scope::All)
        .doc(
            Group::Server,
            "2.8.0",
            "",
            "Sends what a follower has missed, or a snapshot, and every change from then on.",
        )
        .args(&[
            Arg::new("replicationid", ArgKind::String),
            Arg::new("offset", ArgKind::Integer),
        ]),
    Spec::new("replconf", -1, replconf)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .doc(
            Group::Server,
            "3.0.0",
            "O(1)",
            "Tells a leader about its follower.",
        )
        .system(),
    Spec::new("role", 1, role)
        .flags(NOSCRIPT | LOADING | STALE | FAST)
        .category(category::ADMIN | category::DANGEROUS)
        .doc(
            Group::Server,
            "2.8.12",
            "O(1)",
            "Says whether the server leads or follows, and whom.",
        ),
    Spec::new("wait", 3, wait)
        .flags(BLOCKING)
        .category(category::CONNECTION)
        .tips(WAIT_TIPS)
        .doc(
            Group::Generic,
            "3.0.0",
            "O(1)",
            "Waits until followers have what the client has written.",
        )
        .args(&[
            Arg::new("numreplicas", ArgKind::Integer),
            Arg::new("timeout", ArgKind::Integer),
        ]),
    Spec::new("waitaof", 4, wait_aof)
        .flags(BLOCKING)
        .category(category::CONNECTION)
        .tips(WAIT_TIPS)
        .doc(
            Group::Generic,
            "7.2.0",
            "O(1)",
            "Waits until append-only files have what the client has written.",
        )
        .args(&[
            Arg::new("numlocal", ArgKind::Integer),
            Arg::new("numreplicas", ArgKind::Integer),
            Arg::new("timeout", ArgKind::Integer),
        ]),
    Spec::new("replicaof", 3, replica_of)
        .flags(REPLICAOF_FLAGS)
        .scope(Scope::All)
        .doc(
            Group::Server,
            "5.0.0",
            "O(1)",
            "Has the server follow another one, or no one.",
        )
        .args(REPLICAOF_ARGS),
    Spec::new("slaveof", 3, replica_of)
        .flags(REPLICAOF_FLAGS)
        .scope(Scope::All)
        .doc(
            Group::Server,
            "1.0.0",
            "O(1)",
            "Has the server follow another one, or no one.",
        )
        .deprecated("5.0.0", "`REPLICAOF`")
        .args(REPLICAOF_ARGS),
];

/// What a follower says of itself before it is taken in.
#[derive(Default)]
struct Introduction {
    address: String,
    port: u32,
    /// It speaks the protocol of today.
    is_capable: bool,
    /// It knows of other histories that it may be told to go on with.
    knows_histories: bool,
    /// Its own version, 8 bits for each part.
    version: Option<u32>,
    wants_no_more: bool,
    /// It asked for none of the keys.
    wants_no_data: bool,
}

/// The first version of Valkey that reads the format's version 80.
const VALKEY_9: u32 = 9 << 16;
/// What every server reads that is still looked after.
const RDB_OF_OLD: u16 = 10;

impl Introduction {
    /// The version of the format that it reads.
    fn rdb_version(&self) -> u16 {
        match self.version {
            Some(VALKEY_9..) => rdb::VERSION,
            // A tool that keeps it in a file.
            _ if self.wants_no_more || !self.is_capable => rdb::VERSION,
            _ => RDB_OF_OLD,
        }
    }
}

/// What a session has while its client follows.
struct Following {
    leader: Arc<Leader>,
    follower: Arc<Follower>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.leader.let_go(&self.follower);
    }
}

/// A snapshot in memory, in pieces that are freed as they are sent.
#[derive(Default)]
struct Pieces {
    full: Vec<Arc<Vec<u8>>>,
    last: Vec<u8>,
    bytes: u64,
}

const PIECE_BYTES: usize = 256 * 1024;

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() >= PIECE_BYTES {
            self.full.push(std::mem::take(&mut self.last).into());
        }
        self.last.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// SYNC
fn sync(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.session.follower {
        return Ok(());
    }
    refuse_without_link(ctx)?;
    send_all(ctx, false)
}

/// PSYNC replicationid offset
fn psync(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.session.follower {
        return Ok(());
    }
    let (id, offset) = (ctx.args.bytes()?, ctx.args.int()?);
    if ctx.args.flag("failover") {
        take_over(ctx, id)?;
    }
    refuse_without_link(ctx)?;
    let resumes = match u64::try_from(offset) {
        Ok(offset) if offset > 0 => resume(ctx, id, offset),
        _ => false,
    };
    let leading = &ctx.engine.leading;
    if resumes {
        leading.partial_syncs.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    if id.first() != Some(&b'?') {
        leading.partial_refusals.fetch_add(1, Ordering::Relaxed);
    }
    send_all(ctx, true)
}

/// The leader asks its follower to take its place: PSYNC … FAILOVER.
fn take_over(ctx: &Ctx<'_, '_>, id: &[u8]) -> Result<(), Error> {
    let engine = ctx.engine;
    crate::notice!(
        "Failover request received for replid {}.",
        String::from_utf8_lossy(id)
    );
    if !engine.following.is_on() {
        return Err(Error::new("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if !id.eq_ignore_ascii_case(engine.leading.id().as_bytes()) {
        return Err(Error::new(
            "ERR PSYNC FAILOVER replid must match my replid.",
        ));
    }
    engine.service::<Leader>().lead(engine);
    let client = shown(ctx);
    crate::notice!("PRIMARY MODE enabled (failover request from '{client}')");
    Ok(())
}

/// Who follows a server without a link would follow nobody.
fn refuse_without_link(ctx: &Ctx<'_, '_>) -> Result<(), Error> {
    let following = &ctx.engine.following;
    if ctx.engine.leading.failover.stage() != Stage::None {
        return Err(Error::new("NOMASTERLINK Can't SYNC while failing over"));
    }
    match following.is_on() && !following.is_linked() {
        true => Err(Error::NO_MASTER_LINK),
        false => Ok(()),
    }
}

/// Goes on where the follower was, if that is possible.
fn resume(ctx: &mut Ctx<'_, '_>, id: &[u8], offset: u64) -> bool {
    let leader = ctx.engine.service::<Leader>().clone();
    let history = ctx.engine.leading.id();
    let mut taken_in = None;
    let (session, reply) = (&mut *ctx.session, &mut ctx.reply);
    let resumes = leader.resume(id, offset, |missed| {
        let intro = session.extensions.get_or_insert_with(Introduction::default);
        let out = reply.output().bytes_mut();
        match intro.knows_histories {
            true => out.extend_from_slice(format!("+CONTINUE {history}\r\n").as_bytes()),
            false => out.extend_from_slice(b"+CONTINUE\r\n"),
        }
        out.extend_from_slice(missed);
        let client = session.client.clone();
        client.begin_following(0);
        let follower = Follower::new(client, intro.address.clone(), intro.port, offset - 1);
        follower.note_alive();
        let follower = Arc::new(follower);
        taken_in = Some(follower.clone());
        follower
    });
    if let Some(follower) = taken_in {
        crate::notice!(
            "Partial resynchronization request from {} accepted.",
            session.client.addr
        );
        follow(ctx, Following { leader, follower });
    }
    resumes
}

/// Sends a snapshot, and takes the follower in.
fn send_all(ctx: &mut Ctx<'_, '_>, says_history: bool) -> Result<(), Error> {
    let (engine, session) = (ctx.engine, &mut *ctx.session);
    let intro = session
        .extensions
        .remove::<Introduction>()
        .unwrap_or_default();
    crate::notice!("Replica {} asks for synchronization", session.client.addr);
    let leader = engine.service::<Leader>().clone();
    let client = session.client.clone();
    let version = intro.rdb_version();
    let (address, port) = (intro.address, intro.port);
    let (follower, stream_db) = leader.take_in(engine, |offset| Follower {
        is_silent: !says_history,
        wants_no_more: intro.wants_no_more,
        ..Follower::new(client.clone(), address, port, offset)
    });
    let offset = follower.acked.load(Ordering::Relaxed);
    let following = Following { leader, follower };
    let history = engine.leading.id();
    let form = Form {
        version,
        history: Some((history.clone(), offset, stream_db)),
        is_empty: intro.wants_no_data,
        ..Form::of(&engine.settings)
    };
    let snapshot = snapshot::write(ctx.txn, Pieces::default(), &form).map_err(|error| {
        crate::warning!("No snapshot for {}: {error}", client.addr);
        session.closing = Closing::AfterReply;
        Error::new(format!("ERR {error}"))
    })?;
    engine.leading.full_syncs.fetch_add(1, Ordering::Relaxed);
    let mut head = match says_history {
        true => format!("+FULLRESYNC {history} {offset}\r\n"),
        false => String::new(),
    };
    head += &format!("${}\r\n", snapshot.bytes);
    client.begin_following(head.len() as u64 + snapshot.bytes);
    let out = ctx.reply.output();
    out.bytes_mut().extend_from_slice(head.as_bytes());
    let pieces = snapshot.full.into_iter().chain([snapshot.last.into()]);
    pieces.for_each(|piece| out.push_blob(piece));
    if intro.wants_no_more {
        session.closing = Closing::AfterReply;
    }
    follow(ctx, following);
    Ok(())
}

/// From here on nothing that the client says is answered.
fn follow(ctx: &mut Ctx<'_, '_>, following: Following) {
    let session = &mut *ctx.session;
    session.follower = true;
    session.reply_mode = ReplyMode::Off;
    session.extensions.get_or_insert_with(|| following);
}

/// REPLCONF option value …
fn replconf(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let words = ctx.args.rest();
    if !words.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = words.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    for (i, &(option, value)) in pairs.iter().enumerate() {
        match &option.to_ascii_lowercase()[..] {
            b"ack" => {
                let on_disk = pairs.get(i + 1);
                let on_disk = on_disk.filter(|(word, _)| word.eq_ignore_ascii_case(b"fack"));
                note_ack(ctx, value, on_disk.map(|(_, value)| *value));
                // Never answered.
                return Ok(());
            }
            // A leader asks by the link, which sees to it.
            b"getack" => return Ok(()),
            _ => introduce(ctx, option, value)?,
        }
    }
    ctx.reply.ok();
    Ok(())
}

fn introduce(ctx: &mut Ctx<'_, '_>, option: &[u8], value: &[u8]) -> Result<(), Error> {
    let extensions = &mut ctx.session.extensions;
    let intro = extensions.get_or_insert_with(Introduction::default);
    match &option.to_ascii_lowercase()[..] {
        b"listening-port" => {
            let port = num::parse_i64(value).ok_or(Error::NOT_INTEGER)?;
            intro.port = u32::try_from(port).unwrap_or(0);
        }
        b"ip-address" if value.len() >= ADDRESS_MAX => {
            return Err(Error::new(format!(
                "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                value.len()
            )));
        }
        b"ip-address" => intro.address = String::from_utf8_lossy(value).into_owned(),
        b"capa" => match &value.to_ascii_lowercase()[..] {
            b"eof" => intro.is_capable = true,
            b"psync2" => {
                intro.is_capable = true;
                intro.knows_histories = true;
            }
            // What else there is to be capable of is not made use of.
            _ => {}
        },
        b"rdb-only" => match num::parse_i64(value) {
            Some(n @ 0..=1) => intro.wants_no_more = n == 1,
            Some(_) => {
                return Err(Error::new(
                    "ERR value is out of range, must be between 0 and 1",
                ));
            }
            None => return Err(Error::NOT_INTEGER),
        },
        b"rdb-filter-only" => {
            let filters =
                split(value).map_err(|_| Error::new("ERR Missing rdb-filter-only values"))?;
            // What is not named is left out; no filter names the keys.
            intro.wants_no_data = true;
            let known = |filter: &[u8]| filter.eq_ignore_ascii_case(b"functions");
            if let Some(other) = filters.iter().find(|filter| !known(filter)) {
                let text = String::from_utf8_lossy(other);
                return Err(Error::new(format!(
                    "ERR Unsupported rdb-filter-only option: {text}"
                )));
            }
        }
        b"version" => match version(value) {
            Some(version) => intro.version = Some(version),
            None => {
                let text = String::from_utf8_lossy(value);
                return Err(Error::new(format!(
                    "ERR Unrecognized version format: {text}"
                )));
            }
        },
        b"rdb-channel" => {}
        _ => {
            let text = String::from_utf8_lossy(option);
            return Err(Error::new(format!(
                "ERR Unrecognized REPLCONF option: {text}"
            )));
        }
    }
    Ok(())
}

/// The longest name of a host, in bytes.
const ADDRESS_MAX: usize = 256;

/// Three numbers with dots between them.
fn version(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let parts = text.split('.').map(|part| part.parse::<u8>().ok());
    match parts.collect::<Option<Vec<u8>>>()?[..] {
        [major, minor, patch] => Some(u32::from_be_bytes([0, major, minor, patch])),
        _ => None,
    }
}

fn note_ack(ctx: &mut Ctx<'_, '_>, offset: &[u8], on_disk: Option<&[u8]>) {
    if !ctx.session.follower {
        return;
    }
    let number = |text| num::parse_i64(text).and_then(|n| u64::try_from(n).ok());
    let (engine, worker) = (ctx.engine, ctx.session.worker);
    let leader = engine.service::<Leader>();
    let followers = engine.leading.followers();
    let id = ctx.session.client.id;
    let follower = followers.iter().find(|one| one.client.id == id);
    if let (Some(follower), Some(offset)) = (follower, number(offset)) {
        leader.note_ack(engine, worker, follower, offset, on_disk.and_then(number));
    }
}

/// ROLE
fn role(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let following = &ctx.engine.following;
    if let Some(primary) = following.leader() {
        ctx.reply.array(5);
        ctx.reply.bulk(b"slave");
        ctx.reply.bulk(&primary.host);
        ctx.reply.int(primary.port.into());
        ctx.reply.bulk(following.phase().name().as_bytes());
        ctx.reply.int(match following.is_linked() {
            true => ctx.engine.leading.offset.load(Ordering::Relaxed) as i64,
            false => -1,
        });
        return Ok(());
    }
    let leading = &ctx.engine.leading;
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.int(leading.offset.load(Ordering::Relaxed) as i64);
    let followers = leading.followers();
    ctx.reply.array(followers.len());
    for follower in followers {
        ctx.reply.array(3);
        ctx.reply.bulk(follower.ip().as_bytes());
        ctx.reply.bulk_int(follower.port.into());
        let acked = follower.acked.load(Ordering::Relaxed);
        ctx.reply.bulk_int(acked as i64);
    }
    Ok(())
}

/// WAIT numreplicas timeout
fn wait(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.engine.following.is_on() {
        return Err(Error::WAIT_AT_REPLICA);
    }
    let wanted = ctx.args.int()?;
    let until_ms = timeout::in_milliseconds(ctx.args.bytes()?, ctx.txn.now_ms)?;
    let leading = ctx.engine.leading.clone();
    let offset = leading.offset.load(Ordering::Acquire);
    let reached = move || leading.reached(offset, false) as i64;
    let counted = reached.clone();
    wait_for(
        ctx,
        until_ms,
        Box::new(move || reached() >= wanted),
        Box::new(move |reply| reply.int(counted())),
    );
    Ok(())
}

/// WAITAOF numlocal numreplicas timeout
fn wait_aof(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let local = ctx.args.int()?;
    if !(0..=1).contains(&local) {
        return Err(Error::new(
            "ERR value is out of range, value must between 0 and 1",
        ));
    }
    let wanted = ctx.args.int()?;
    if wanted < 0 {
        return Err(Error::NOT_POSITIVE);
    }
    let until_ms = timeout::in_milliseconds(ctx.args.bytes()?, ctx.txn.now_ms)?;
    if ctx.engine.following.is_on() {
        return Err(Error::WAITAOF_AT_REPLICA);
    }
    if local > 0 {
        return Err(Error::new(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let leading = ctx.engine.leading.clone();
    let offset = leading.offset.load(Ordering::Acquire);
    let reached = move || leading.reached(offset, true) as i64;
    let counted = reached.clone();
    wait_for(
        ctx,
        until_ms,
        Box::new(move || reached() >= wanted),
        Box::new(move |reply| {
            reply.array(2);
            reply.int(0);
            reply.int(counted());
        }),
    );
    Ok(())
}

fn wait_for(ctx: &mut Ctx<'_, '_>, until_ms: Option<u64>, holds: Condition, answer: Answer) {
    if holds() || ctx.session.in_exec {
        answer(&mut ctx.reply);
        return;
    }
    if !ctx.engine.leading.is_empty() {
        ctx.engine.service::<Leader>().ask();
    }
    ctx.wait(Wait {
        until_ms,
        is_ready: |_| false,
        timed_out: answer,
        until: Some(holds),
        words: None,
    });
}

/// REPLICAOF host port | NO ONE
fn replica_of(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.engine.routing.is_some() {
        return Err(Error::new("ERR REPLICAOF not allowed in cluster mode."));
    }
    let (host, port) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let engine = ctx.engine;
    let following = &engine.following;
    let leader = engine.service::<Leader>();
    if engine.leading.failover.stage() != Stage::None {
        return Err(Error::new("ERR REPLICAOF not allowed while failing over."));
    }
    if engine.is_loading() {
        // It began while this command waited for its turn.
        return Err(Error::LOADING);
    }
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        if leader.lead(engine) {
            let client = shown(ctx);
            crate::notice!("PRIMARY MODE enabled (user request from '{client}')");
        }
        ctx.reply.ok();
        return Ok(());
    }
    if ctx.session.follower {
        return Err(Error::new(
            "ERR Command is not valid when client is a replica.",
        ));
    }
    let number = num::parse_i64(port).ok_or_else(|| Error::new("ERR Invalid master port"))?;
    let port = u16::try_from(number).map_err(|_| Error::new("ERR Invalid master port"))?;
    if following
        .leader()
        .is_some_and(|old| old.host.eq_ignore_ascii_case(host) && old.port == port)
    {
        crate::notice!(
            "REPLICAOF would result into synchronization with the primary we are already \
             connected with. No operation performed."
        );
        ctx.reply.simple("OK Already connected to specified master");
        return Ok(());
    }
    let primary = Primary {
        host: host.into(),
        port,
    };
    let name = String::from_utf8_lossy(host);
    leader.follow(engine, ctx.session.worker, primary, true);
    let client = shown(ctx);
    crate::notice!("REPLICAOF {name}:{port} enabled (user request from '{client}')");
    ctx.reply.ok();
    Ok(())
}

/// The client that asks, for the log.
fn shown(ctx: &Ctx<'_, '_>) -> String {
    let client = &ctx.session.client;
    let name = String::from_utf8_lossy(&client.names.lock().name).into_owned();
    format!(
        "id={} addr={} laddr={} name={name}",
        client.id, client.addr, client.local_addr
    )
}

/// Makes what is known of followers follow the settings.
pub(super) fn configure(engine: &crate::exec::engine::Engine) {
    let lag_max_s = engine.settings.int(param::MIN_REPLICAS_MAX_LAG) as u64;
    engine.leading.count_good(lag_max_s);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use crate::command::testkit::{Kit, check};
    use crate::protocol::output::Output;

    /// What a follower has been sent since it was last asked.
    fn mail(kit: &Kit) -> String {
        let mut out = Output::default();
        kit.session.client.collect(&mut out);
        String::from_utf8_lossy(out.single().unwrap_or_default()).replace("\r\n", " ")
    }

    #[test]
    fn who_asks_for_no_part_of_the_data_gets_an_empty_snapshot() {
        for filter in ["", "functions"] {
            let mut kit = Kit::new();
            kit.run("set k v");
            let mut follower = kit.another();
            let answer = follower.call(&[&b"replconf"[..], b"rdb-filter-only", filter.as_bytes()]);
            assert_eq!(answer, b"+OK\r\n");
            let snapshot = follower.call(&[b"sync"]);
            assert!(snapshot.windows(9).any(|w| w == b"VALKEY080"));
            assert!(!snapshot.windows(4).any(|w| w == b"\x01k\x01v"));
        }
    }

    #[test]
    fn a_follower_gets_a_snapshot_and_then_every_change() {
        let mut kit = Kit::new();
        let mut follower = kit.another();
        kit.run("set k v");
        let snapshot = follower.call(&[b"sync"]);
        assert!(snapshot.starts_with(b"$"));
        assert!(snapshot.windows(9).any(|w| w == b"VALKEY080"));
        assert!(snapshot.windows(4).any(|w| w == b"\x01k\x01v"));
        kit.run("set a 1");
        kit.run("get a");
        kit.run("select 2");
        kit.run("expire a 10");
        kit.run("multi");
        kit.run("incr a");
        kit.run("incr b");
        kit.run("exec");
        assert_eq!(
            mail(&follower),
            "*2 $6 SELECT $1 0 *3 $3 set $1 a $1 1 *1 $5 MULTI *2 $6 SELECT $1 2 *2 $4 incr $1 a \
             *2 $4 incr $1 b *1 $4 EXEC "
        );
        // It says nothing that is answered, and changes nothing.
        assert_eq!(follower.run("ping"), "");
        follower.run("set k x");
        assert_eq!(kit.run("get k"), "$-1\r\n");
        drop(follower);
        assert_eq!(kit.engine.leading.len(), 0);
    }

    #[test]
    fn a_follower_goes_on_where_it_was() {
        let mut kit = Kit::new();
        let mut follower = kit.another();
        check(
            &mut follower,
            &[
                ("replconf listening-port 7000 ip-address h", "+OK"),
                ("replconf capa eof capa psync2", "+OK"),
            ],
        );
        let head = String::from_utf8_lossy(&follower.call(&[b"psync", b"?", b"-1"])).into_owned();
        assert!(head.starts_with("+FULLRESYNC ") && head.contains("REDIS0010"));
        let id = head[12..52].to_string();
        kit.run("set a 1");
        let role = kit.run("role").replace("\r\n", " ");
        assert_eq!(role, "*3 $6 master :50 *1 *3 $1 h $4 7000 $1 0 ");
        follower.run("replconf ack 50");
        assert!(kit.run("role").ends_with("$2\r\n50\r\n"));
        drop(follower);
        kit.run("set a 2");
        let mut again = kit.another();
        again.run("replconf capa psync2");
        assert_eq!(
            again.run(&format!("psync {id} 51")),
            format!("+CONTINUE {id}\r\n*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n2\r\n")
        );
        let mut lost = kit.another();
        assert!(
            lost.run(&format!("psync {id} 999"))
                .starts_with("+FULLRESYNC ")
        );
        let leading = &kit.engine.leading;
        assert_eq!(leading.partial_syncs.load(Relaxed), 1);
        assert_eq!(leading.partial_refusals.load(Relaxed), 1);
        assert_eq!(leading.full_syncs.load(Relaxed), 2);
    }

    #[test]
    fn who_waits_goes_on_when_followers_are_there() {
        let mut kit = Kit::new();
        let mut follower = kit.another();
        follower.run("psync ? -1");
        // The snapshot has gone out.
        follower.session.client.net_out.store(1 << 20, Relaxed);
        check(
            &mut kit,
            &[
                ("set a 1", "+OK"),
                ("wait 0 0", ":0"),
                ("wait 1 -1", "-ERR timeout is negative"),
                (
                    "waitaof 1 0 0",
                    "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
                ),
                ("waitaof 0 0 0", "*2 :0 :0"),
                ("wait 1 0", ""),
            ],
        );
        assert!(kit.session.client.is_waiting());
        assert!(mail(&follower).ends_with("*3 $8 REPLCONF $6 GETACK $1 * "));
        follower.run("replconf ack 49");
        assert!(kit.session.client.is_waiting());
        follower.run("replconf ack 1000");
        assert!(!kit.session.client.is_waiting());
        assert_eq!(mail(&kit), ":1 ");
    }

    #[test]
    fn a_follower_does_as_its_leader_says_and_leads_on_with_the_same_history() {
        let mut kit = Kit::new();
        let mut follower = kit.another();
        follower.run("psync ? -1");
        check(
            &mut kit,
            &[
                ("set k v px 100000", "+OK"),
                ("replicaof h 7000", "+OK"),
                (
                    "replicaof H 7000",
                    "+OK Already connected to specified master",
                ),
                ("role", "*5 $5 slave $1 h :7000 $7 connect :-1"),
                ("config get slaveof", "*2 $7 slaveof $6 h 7000"),
                ("get k", "$1 v"),
                (
                    "set k w",
                    "-READONLY You can't write against a read only replica.",
                ),
                ("config set replica-read-only no", "+OK"),
                ("set own v px 100000", "+OK"),
                ("config set replica-serve-stale-data no", "+OK"),
                (
                    "get k",
                    "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                ),
                ("config set replica-serve-stale-data yes", "+OK"),
                (
                    "psync ? -1",
                    "-NOMASTERLINK Can't SYNC while not connected with my master",
                ),
            ],
        );
        kit.let_time_be_over(0, "k");
        check(&mut kit, &[("get k", "$-1"), ("dbsize", ":2")]);
        kit.sweep();
        check(&mut kit, &[("dbsize", ":2")]);
        kit.engine.following.set_loading(true);
        check(
            &mut kit,
            &[
                ("get k", "-LOADING Larder is loading the dataset in memory"),
                ("role", "*5 $5 slave $1 h :7000 $7 connect :-1"),
            ],
        );
        kit.engine.following.set_loading(false);
        let before = kit.engine.leading.id();
        check(
            &mut kit,
            &[
                ("replicaof no one", "+OK"),
                ("get k", "$-1"),
                ("set k w", "+OK"),
            ],
        );
        let (former, end) = kit.engine.leading.former().expect("a history before");
        assert_eq!(former, before);
        assert_ne!(kit.engine.leading.id(), before);
        assert!(follower.session.client.is_killed());
        drop(follower);
        let mut sibling = kit.another();
        let answer = sibling.run(&format!("psync {former} {end}"));
        assert!(answer.starts_with("+CONTINUE"), "{answer}");
        let mut ahead = kit.another();
        let answer = ahead.run(&format!("psync {former} {}", end + 1));
        assert!(answer.starts_with("+FULLRESYNC"), "{answer}");
    }

    #[test]
    fn writes_want_followers_where_the_configuration_does() {
        let mut kit = Kit::with(&["--min-replicas-to-write", "1"]);
        check(
            &mut kit,
            &[
                ("set a 1", "-NOREPLICAS Not enough good replicas to write."),
                ("get a", "$-1"),
                ("config set min-replicas-to-write 0", "+OK"),
                ("set a 1", "+OK"),
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("replconf capa", "-ERR syntax error"),
                ("replconf x y", "-ERR Unrecognized REPLCONF option: x"),
                (
                    "replconf version 1.2",
                    "-ERR Unrecognized version format: 1.2",
                ),
                ("replconf version 9.1.2", "+OK"),
                (
                    "replconf rdb-filter-only keys",
                    "-ERR Unsupported rdb-filter-only option: keys",
                ),
                ("replconf ack 5", ""),
                ("replicaof no one", "+OK"),
                ("slaveof NO ONE", "+OK"),
                ("replicaof h 70000", "-ERR Invalid master port"),
                ("replicaof h x", "-ERR Invalid master port"),
            ],
        );
    }
}

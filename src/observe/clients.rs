//! CLIENT INFO and CLIENT LIST: one line for a connection.

use std::sync::atomic::Ordering;

use crate::config::param;
use crate::exec::engine::Engine;
use crate::exec::session::{Client, Names};
use crate::exec::tracking::mode;

/// The flags of a client, as the line shows them: `N` where there is none.
pub fn flags(client: &Client) -> String {
    let is_on = |flag: &std::sync::atomic::AtomicBool| flag.load(Ordering::Relaxed);
    let all = [
        ('O', is_on(&client.monitor)),
        ('S', client.is_follower()),
        ('M', client.is_leader()),
        ('P', client.is_subscriber()),
        ('x', client.multi.load(Ordering::Relaxed) >= 0),
        ('b', client.is_waiting()),
        ('t', client.tracking.has(mode::ON)),
        ('R', client.tracking.has(mode::BROKEN)),
        ('B', client.tracking.has(mode::BCAST)),
        ('d', client.is_watch_broken()),
        ('A', client.is_killed()),
        ('U', client.is_unix),
        ('r', is_on(&client.reads_replicas)),
        ('e', is_on(&client.no_evict)),
        ('T', is_on(&client.no_touch)),
        ('I', is_on(&client.imports)),
    ];
    let set: String = all
        .iter()
        .filter(|(_, set)| *set)
        .map(|(c, _)| *c)
        .collect();
    match set.is_empty() {
        true => "N".into(),
        false => set,
    }
}

/// Whole seconds between two Unix times in milliseconds, by the seconds that a
/// clock on the wall shows.
pub fn seconds_between(earlier_ms: u64, later_ms: u64) -> u64 {
    (later_ms / 1000).saturating_sub(earlier_ms / 1000)
}

/// The capabilities that a client claims, a letter each.
pub fn capabilities(client: &Client) -> &'static str {
    match client.redirectable.load(Ordering::Relaxed) {
        true => "r",
        false => "",
    }
}

/// The line, without its end. `argv_bytes` is what the words of its running
/// command take, if it has one.
pub fn line(engine: &Engine, client: &Client, now_ms: u64, argv_bytes: usize) -> Vec<u8> {
    let names = client.names.lock().clone();
    line_of(engine, client, &names, now_ms, argv_bytes)
}

/// The line as the log may show it (`hide-user-data-from-log`).
pub fn line_for_log(engine: &Engine, client: &Client, now_ms: u64) -> Vec<u8> {
    let mut names = client.names.lock().clone();
    if engine.settings.flag(param::HIDE_USER_DATA_FROM_LOG) {
        for text in [&mut names.name, &mut names.user] {
            *text = b"*redacted*".to_vec();
        }
    }
    line_of(engine, client, &names, now_ms, 0)
}

fn line_of(
    engine: &Engine,
    client: &Client,
    names: &Names,
    now_ms: u64,
    argv_bytes: usize,
) -> Vec<u8> {
    let get = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
    let (query, held) = (get(&client.query_bytes), get(&client.query_held));
    let subscribed = |kind: usize| client.subscriptions[kind].load(Ordering::Relaxed);
    let output = client.owed_bytes();
    let (own, unsent) = (client.replies.bytes(), get(&client.output_bytes));
    let is_beyond = get(&client.output_held) > 0;
    let argv_bytes = argv_bytes.max(get(&client.waiting_bytes) as usize);
    let last = client.last_command.load(Ordering::Relaxed);
    let command = match (last & 0xffff, last >> 16) {
        (0, _) => "NULL".to_string(),
        (number, 0) => engine.commands.full_name(number as usize - 1, None),
        (number, sub) => engine
            .commands
            .full_name(number as usize - 1, Some(sub as usize - 1)),
    };
    let head = format!(
        "id={} addr={} laddr={} fd={} name=",
        client.id, client.addr, client.local_addr, client.fd
    );
    let body = format!(
        " age={} idle={} flags={} capa={} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={query} \
         qbuf-free={} argv-mem={argv_bytes} multi-mem={} rbs={own} rbp={} obl={} oll={} omem={} \
         tot-mem={} events={} cmd={command} user=",
        seconds_between(client.since_ms, now_ms),
        seconds_between(get(&client.active_ms), now_ms),
        flags(client),
        capabilities(client),
        client.db.load(Ordering::Relaxed),
        subscribed(0),
        subscribed(1),
        subscribed(2),
        client.multi.load(Ordering::Relaxed),
        client.watching.load(Ordering::Relaxed),
        held.saturating_sub(query),
        get(&client.multi_bytes),
        client.replies.peak().min(own),
        if is_beyond { 0 } else { unsent },
        u8::from(is_beyond) + u8::from(client.mail_bytes() > 0),
        client.owed_held(),
        client.memory_bytes(),
        if output > 0 { "rw" } else { "r" },
    );
    let foot = format!(
        " tot-net-in={} tot-net-out={} tot-cmds={}",
        get(&client.net_in),
        get(&client.net_out),
        get(&client.commands),
    );
    let protocol = client.protocol.load(Ordering::Relaxed);
    let redirect = client.tracking.redirect().map_or(-1, |id| id as i64);
    [
        head.as_bytes(),
        &names.name,
        body.as_bytes(),
        &names.user,
        format!(" redir={redirect} resp={protocol} lib-name=").as_bytes(),
        &names.lib_name,
        b" lib-ver=",
        &names.lib_version,
        foot.as_bytes(),
    ]
    .concat()
}

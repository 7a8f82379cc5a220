//! The cluster that this server is a node of: which nodes there are, who serves which
//! slot, and the file that keeps it.
//!
//! ```text
//!  CLUSTER … ──► state ──┬─► exec::routing: a byte for each slot
//!  CONFIG SET ─► (nodes, ├─► the nodes file
//!  the clock ──►  slots) └─► who waits for keys that are no longer here is sent away
//! ```
//!
//! There is no bus yet over which nodes tell each other of themselves: other nodes are
//! known from the nodes file alone, and since nothing is heard of them, they are
//! suspected when `cluster-node-timeout` is over, as Valkey suspects them.
//!
//! **Lock order.** Shards, then the state, then the file. Who serves a slot changes
//! under all shards' locks.

mod disk;
mod file;
mod node;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::base::clock;
use crate::config::{Settings, param};
use crate::exec::engine::Engine;
use crate::exec::routing::{self, Signposts};
use crate::exec::services::Service;
use crate::exec::session::Client;
use crate::protocol::error::Error;

use disk::Disk;
pub use file::{line, lines};
pub use node::{Address, Asker, Id, Node, Ref, flag};
pub use state::{Action, State, unknown};
use state::{Demands, Trouble};

/// How much greater the port for other nodes is than the one for clients.
pub const BUS_PORT_OFFSET: u16 = 10_000;

/// See the head of this file.
pub struct Cluster {
    state: Mutex<State>,
    disk: Mutex<Disk>,
    settings: Arc<Settings>,
    /// When it was first looked at whether the cluster serves, in Unix milliseconds.
    started_ms: AtomicU64,
}

impl Service for Cluster {
    fn new(engine: &Engine) -> Arc<Cluster> {
        Arc::new(Cluster {
            state: Mutex::new(State::alone()),
            disk: Mutex::default(),
            settings: engine.settings.clone(),
            started_ms: AtomicU64::new(0),
        })
    }
}

impl Signposts for Cluster {
    fn moved(&self, slot: u16, client: &Client) -> Error {
        let state = self.state();
        self.redirect("MOVED", slot, state.owner(slot), &state, client)
    }

    fn ask(&self, slot: u16, client: &Client) -> Error {
        let state = self.state();
        self.redirect("ASK", slot, state.ways(slot).0, &state, client)
    }

    fn info(&self) -> String {
        info(&self.state())
    }
}

/// For whom an answer is.
pub fn asker(client: &Client) -> Asker {
    match client.addr.starts_with('[') {
        true => Asker::ClientOverIpv6,
        false => Asker::Client,
    }
}

impl Cluster {
    /// What is known.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn redirect(
        &self,
        code: &str,
        slot: u16,
        to: Option<Ref>,
        state: &State,
        client: &Client,
    ) -> Error {
        // It may have changed since the client's command was judged.
        let Some(to) = to else {
            return Error::SLOT_NOT_SERVED;
        };
        let (node, asker) = (state.node(to), asker(client));
        let host = self.endpoint(node, asker).unwrap_or("");
        Error::redirection(code, slot, host, node.port(asker))
    }

    /// By which name clients are to go to a node; `None` where they are not told.
    pub fn endpoint<'a>(&self, node: &'a Node, asker: Asker) -> Option<&'a str> {
        match (self.endpoint_kind(), &node.address.hostname[..]) {
            ("hostname", "") => Some("?"),
            ("hostname", name) => Some(name),
            ("unknown-endpoint", _) => None,
            _ => Some(node.ip(asker)),
        }
    }

    /// `cluster-preferred-endpoint-type`
    pub fn endpoint_kind(&self) -> &'static str {
        self.settings
            .choice_name(param::CLUSTER_PREFERRED_ENDPOINT_TYPE)
    }

    /// Reads the nodes file, or begins one, and lets commands be routed from now on.
    ///
    /// # Errors
    /// Why this node cannot start.
    pub fn start(&self, engine: &Engine) -> Result<(), String> {
        let Some(routing) = &engine.routing else {
            return Ok(());
        };
        let settings = &self.settings;
        let port = settings.int(param::PORT);
        if settings.int(param::CLUSTER_PORT) == 0 && port > i64::from(u16::MAX - BUS_PORT_OFFSET) {
            return Err(
                "Larder port number too high. Cluster communication port is 10,000 port numbers \
                 higher than your Larder port. Your Larder port number must be 55535 or less."
                    .into(),
            );
        }
        let name = String::from_utf8_lossy(&settings.text(param::CLUSTER_CONFIG_FILE)).into_owned();
        let (disk, text) = Disk::open(&name)?;
        *self.disk.lock() = disk;
        let is_new = text.is_empty();
        if !is_new {
            let read = file::read(&text, clock::unix_ms()).map_err(|corrupt| {
                let line = match corrupt {
                    file::Corrupt::Line(line) => line,
                    file::Corrupt::NoSelf => text.lines().last().unwrap_or_default().into(),
                };
                format!("Unrecoverable error: corrupted cluster config file \"{line}\".")
            })?;
            *self.state() = read;
        }
        let mut state = self.state();
        let me = state.me();
        match is_new {
            true => crate::notice!("No cluster configuration found, I'm {}", me.id),
            false => crate::notice!("Node configuration loaded, I'm {}", me.id),
        }
        if me.is(flag::FOLLOWER) {
            return Err(format!(
                "By {name} this node is a replica in its cluster. It takes the cluster bus to be \
                 one, which is not there yet."
            ));
        }
        let others = state.nodes().count() - 1;
        if others > 0 {
            crate::warning!(
                "{name} names {others} other nodes. This node speaks no cluster bus yet: it \
                 does not connect to them, and takes each for what the file says until \
                 cluster-node-timeout is over."
            );
        }
        self.introduce(&mut state);
        if is_new && !self.disk.lock().save(&file::text(&state)) {
            return Err("Fatal: can't update cluster config file.".into());
        }
        self.judge(&mut state);
        routing.set(|slot| state.place(slot), state.is_well());
        Ok(())
    }

    /// Tells of this node what the configuration says; whether that is news.
    fn introduce(&self, state: &mut State) -> bool {
        let settings = &self.settings;
        let text = |handle| String::from_utf8_lossy(&settings.text(handle)).into_owned();
        let port = |handle| settings.int(handle) as u16;
        let or = |first: u16, other: u16| if first == 0 { other } else { first };
        let own_port = port(param::PORT);
        let bus_port = own_port.saturating_add(BUS_PORT_OFFSET);
        let address = Address {
            ip: text(param::CLUSTER_ANNOUNCE_IP),
            port: or(port(param::CLUSTER_ANNOUNCE_PORT), own_port),
            tls_port: or(
                port(param::CLUSTER_ANNOUNCE_TLS_PORT),
                port(param::TLS_PORT),
            ),
            bus_port: or(
                port(param::CLUSTER_ANNOUNCE_BUS_PORT),
                or(port(param::CLUSTER_PORT), bus_port),
            ),
            hostname: text(param::CLUSTER_ANNOUNCE_HOSTNAME),
            nodename: text(param::CLUSTER_ANNOUNCE_HUMAN_NODENAME),
            zone: text(param::AVAILABILITY_ZONE),
            client_ips: [
                text(param::CLUSTER_ANNOUNCE_CLIENT_IPV4),
                text(param::CLUSTER_ANNOUNCE_CLIENT_IPV6),
            ],
            client_ports: [
                port(param::CLUSTER_ANNOUNCE_CLIENT_PORT),
                port(param::CLUSTER_ANNOUNCE_CLIENT_TLS_PORT),
            ],
        };
        let no_failover = match settings.flag(param::CLUSTER_REPLICA_NO_FAILOVER) {
            true => flag::NO_FAILOVER,
            false => 0,
        };
        let me = state.me_mut();
        let flags = me.flags & !flag::NO_FAILOVER | no_failover;
        let is_news = me.address != address || me.flags != flags;
        (me.address, me.flags) = (address, flags);
        is_news
    }

    fn demands(&self) -> Demands {
        Demands {
            full_coverage: self.settings.flag(param::CLUSTER_REQUIRE_FULL_COVERAGE),
            node_timeout_ms: self.settings.int(param::CLUSTER_NODE_TIMEOUT) as u64,
        }
    }

    /// Finds out whether the cluster serves, and logs what is new about it.
    fn judge(&self, state: &mut State) {
        let now_ms = clock::unix_ms();
        let first = &self.started_ms;
        let _ = first.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        let started_ms = first.load(Ordering::Relaxed);
        let was_well = state.is_well();
        let found = state.judge(now_ms, started_ms, self.demands());
        if was_well != state.is_well() {
            match state.is_well() {
                true => crate::notice!("Cluster state changed: ok"),
                false => crate::warning!("Cluster state changed: fail"),
            }
        }
        if let Some(Err(trouble)) = found {
            crate::warning!("Cluster is currently down: {}", Trouble::text(trouble));
        }
    }

    /// Changes what is known, for who holds all shards, on the thread of a worker:
    /// commands are routed by it at once, and the file has it when this returns.
    pub fn change<R>(
        &self,
        engine: &Engine,
        worker: usize,
        change: impl FnOnce(&mut State) -> Result<R, String>,
    ) -> Result<R, Error> {
        let mut state = self.state();
        let result = change(&mut state).map_err(Error::from)?;
        self.judge(&mut state);
        if let Some(routing) = &engine.routing {
            routing.set(|slot| state.place(slot), state.is_well());
        }
        self.keep(&state);
        drop(state);
        routing::send_away(engine, worker);
        Ok(result)
    }

    /// Writes the file, and ends the process where that fails and is not to.
    fn keep(&self, state: &State) {
        let mut disk = self.disk.lock();
        if disk.save(&file::text(state)) {
            return;
        }
        match self
            .settings
            .choice_name(param::CLUSTER_CONFIG_SAVE_BEHAVIOR)
        {
            "best-effort" => disk.complain(),
            _ => {
                crate::warning!("Fatal: can't update cluster config file.");
                std::process::exit(1);
            }
        }
    }

    /// SAVECONFIG, and the end: writes the file; false where that fails.
    pub fn save(&self) -> bool {
        let state = self.state();
        self.disk.lock().save(&file::text(&state))
    }

    /// What comes by the clock, on the thread of a worker; no shard is held.
    pub fn tick(&self, engine: &Engine, worker: usize) {
        let Some(routing) = &engine.routing else {
            return;
        };
        let mut state = self.state();
        state.suspect(clock::unix_ms(), self.demands());
        self.judge(&mut state);
        let is_well = state.is_well();
        routing.set_well(is_well);
        drop(state);
        if !engine.waiters.is_empty() {
            routing::send_away(engine, worker);
        }
    }

    /// Has every slot served in which there are keys, of which `count` says how many,
    /// and that nobody serves; which slots hold keys that are another node's.
    pub fn settle_with_data(
        &self,
        engine: &Engine,
        worker: usize,
        count: impl Fn(u16) -> usize,
    ) -> Vec<u16> {
        let mut others = Vec::new();
        let mut taken = Vec::new();
        {
            let state = self.state();
            for slot in (0..crate::base::hash::SLOTS).filter(|slot| count(*slot) > 0) {
                let is_coming = state.ways(slot).1.is_some();
                match state.owner(slot) {
                    Some(at) if at == state.my_ref() => {}
                    _ if is_coming => {}
                    None => taken.push(slot),
                    Some(_) => others.push(slot),
                }
            }
        }
        for slot in &taken {
            crate::notice!("I have keys for unassigned slot {slot}. Taking responsibility for it.");
        }
        for slot in &others {
            crate::notice!(
                "I have keys for slot {slot}, but the slot is assigned to another node. \
                 Deleting keys in the slot."
            );
        }
        if !taken.is_empty() {
            let ranges: Vec<(u16, u16)> = taken.iter().map(|slot| (*slot, *slot)).collect();
            let claimed = self.change(engine, worker, |state| state.claim(&ranges, false));
            debug_assert!(claimed.is_ok(), "nobody serves them");
        }
        others
    }
}

/// Makes the settings that are about this node take effect.
pub fn configure(engine: &Engine) {
    let Some(routing) = &engine.routing else {
        return;
    };
    let cluster = engine.service::<Cluster>();
    routing.ask_for_nodes(cluster.clone());
    let mut state = cluster.state();
    if cluster.introduce(&mut state) && cluster.disk.lock().is_open() {
        cluster.keep(&state);
    }
    cluster.judge(&mut state);
    routing.set_well(state.is_well());
}

/// CLUSTER INFO.
fn info(state: &State) -> String {
    let sum = |is: fn(&Node) -> bool| -> usize {
        let nodes = state.nodes().filter(|(_, node)| is(node));
        nodes.map(|(_, node)| usize::from(node.slots)).sum()
    };
    let count = |is: fn(&Node) -> bool| state.nodes().filter(|(_, node)| is(node)).count();
    let is_failed = |node: &Node| node.is(flag::FAILED);
    let is_suspected = |node: &Node| node.is(flag::SUSPECTED) && !node.is(flag::FAILED);
    let lines = [
        ("cluster_slots_assigned", sum(|_| true)),
        (
            "cluster_slots_ok",
            sum(|node| !node.is(flag::FAILED | flag::SUSPECTED)),
        ),
        ("cluster_slots_pfail", sum(is_suspected)),
        ("cluster_slots_fail", sum(is_failed)),
        (
            "cluster_nodes_pfail",
            count(|node| node.is(flag::SUSPECTED)),
        ),
        ("cluster_nodes_fail", count(is_failed)),
        (
            "cluster_voting_nodes_pfail",
            count(|node| node.is(flag::SUSPECTED) && node.votes()),
        ),
        (
            "cluster_voting_nodes_fail",
            count(|node| node.is(flag::FAILED) && node.votes()),
        ),
        ("cluster_known_nodes", count(|_| true)),
        ("cluster_size", state.size()),
    ];
    let mut text = format!(
        "cluster_state:{}\r\n",
        if state.is_well() { "ok" } else { "fail" }
    );
    let mut put = |name: &str, value: u64| text += &format!("{name}:{value}\r\n");
    for (name, value) in lines {
        put(name, value as u64);
    }
    put("cluster_current_epoch", state.epoch);
    put("cluster_my_epoch", state.epoch_of(state.me()));
    // There is no bus yet.
    for name in [
        "cluster_stats_messages_sent",
        "cluster_stats_messages_received",
        "cluster_stats_bytes_sent",
        "cluster_stats_bytes_received",
        "cluster_stats_pubsub_bytes_sent",
        "cluster_stats_pubsub_bytes_received",
        "cluster_stats_module_bytes_sent",
        "cluster_stats_module_bytes_received",
        "total_cluster_links_buffer_limit_exceeded",
    ] {
        put(name, 0);
    }
    text
}

#[cfg(test)]
mod tests;

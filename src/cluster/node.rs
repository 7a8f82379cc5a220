//! A node of a cluster, as this one knows it.

use std::fmt;

use crate::base::clock;

/// What a node, or a shard, is known by: 40 lower-case letters or digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; Id::LEN]);

impl Id {
    /// Bytes of it.
    pub const LEN: usize = 40;

    /// A new one.
    pub fn random() -> Id {
        Id::parse(clock::random_hex(Id::LEN).as_bytes()).expect("hexadecimal digits")
    }

    /// What a text says; `None` where that is none.
    pub fn parse(text: &[u8]) -> Option<Id> {
        let is_part = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.try_into().ok()?;
        text.iter().all(is_part).then_some(Id(bytes))
    }

    /// Its text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a node is.
pub mod flag {
    /// It may serve slots.
    pub const LEADER: u16 = 1;
    /// It follows one that may.
    pub const FOLLOWER: u16 = 1 << 1;
    /// It has not answered for too long.
    pub const SUSPECTED: u16 = 1 << 2;
    /// Most agree that it has not.
    pub const FAILED: u16 = 1 << 3;
    /// It is this one.
    pub const MYSELF: u16 = 1 << 4;
    /// It has yet to introduce itself.
    pub const HANDSHAKE: u16 = 1 << 5;
    /// Nobody knows where it is.
    pub const NO_ADDRESS: u16 = 1 << 6;
    /// It never takes its leader's place.
    pub const NO_FAILOVER: u16 = 1 << 9;
    /// The names, in the order in which they are listed.
    pub const NAMES: &[(u16, &str)] = &[
        (MYSELF, "myself"),
        (LEADER, "master"),
        (FOLLOWER, "slave"),
        (SUSPECTED, "fail?"),
        (FAILED, "fail"),
        (HANDSHAKE, "handshake"),
        (NO_ADDRESS, "noaddr"),
        (NO_FAILOVER, "nofailover"),
    ];
}

/// Where clients and other nodes find a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Address {
    /// Empty where it is not known: for clients, the one by which they came.
    pub ip: String,
    /// For clients; 0 for none.
    pub port: u16,
    /// For clients that speak TLS; 0 for none.
    pub tls_port: u16,
    /// For nodes.
    pub bus_port: u16,
    /// Empty for none.
    pub hostname: String,
    /// What the log calls it; empty for none.
    pub nodename: String,
    /// Where it stands; empty for nowhere.
    pub zone: String,
    /// For clients that come by IPv4, and by IPv6; empty for `ip`.
    pub client_ips: [String; 2],
    /// For clients, instead of `port` and `tls_port`; 0 for those.
    pub client_ports: [u16; 2],
}

/// A node's place among all.
pub type Ref = u16;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Node {
    /// By which all know it.
    pub id: Id,
    /// That of its shard: a leader and those who follow it.
    pub shard: Id,
    /// Where it is.
    pub address: Address,
    /// From [`flag`].
    pub flags: u16,
    /// Whom it follows.
    pub leader: Option<Ref>,
    /// When it was asked for a sign of life that is still to come, and when it last
    /// gave one, in Unix milliseconds; 0 for never.
    pub ping_ms: u64,
    /// See `ping_ms`.
    pub pong_ms: u64,
    /// Of two that claim a slot, the one with the greater has it.
    pub epoch: u64,
    /// Number of slots that it serves.
    pub slots: u16,
}

/// Who asks: what it is told of a node's address depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// A client that came by IPv4, or by a UNIX socket.
    Client,
    /// A client that came by IPv6.
    ClientOverIpv6,
    /// The nodes file.
    File,
}

impl Node {
    /// One of which nothing is known.
    pub fn new(id: Id) -> Node {
        Node {
            id,
            shard: Id::random(),
            address: Address::default(),
            flags: 0,
            leader: None,
            ping_ms: 0,
            pong_ms: 0,
            epoch: 0,
            slots: 0,
        }
    }

    /// Whether a flag is set.
    pub fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether it has a voice when the nodes decide something.
    pub fn votes(&self) -> bool {
        self.is(flag::LEADER) && self.slots > 0
    }

    /// Its address for whoever asks.
    pub fn ip(&self, asker: Asker) -> &str {
        let [v4, v6] = &self.address.client_ips;
        let own = match asker {
            Asker::Client => v4,
            Asker::ClientOverIpv6 => v6,
            Asker::File => "",
        };
        match own {
            "" => &self.address.ip,
            own => own,
        }
    }

    /// Its port for whoever asks, without TLS.
    pub fn port(&self, asker: Asker) -> u16 {
        match (asker, self.address.client_ports[0]) {
            (Asker::File, _) | (_, 0) => self.address.port,
            (_, own) => own,
        }
    }

    /// What the log calls it.
    pub fn name(&self) -> String {
        let address = &self.address;
        match address.nodename.is_empty() {
            true => format!("{}:{}", address.ip, address.port),
            false => address.nodename.clone(),
        }
    }

    /// Its flags' names.
    pub fn flag_names(&self) -> String {
        let set = flag::NAMES.iter().filter(|(flag, _)| self.is(*flag));
        let names: Vec<&str> = set.map(|(_, name)| *name).collect();
        match names.is_empty() {
            true => "noflags".into(),
            false => names.join(","),
        }
    }
}

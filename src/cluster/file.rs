//! The nodes file: what is known of the cluster, as CLUSTER NODES tells it and as
//! Valkey reads and writes it.
//!
//! ```text
//!  id ip:port@bus-port,hostname,name=value… flags leader ping pong epoch link slot first-last [slot->-id] [slot-<-id]
//!  vars currentEpoch n lastVoteEpoch n
//! ```

use std::fmt::Write;

use super::node::{Asker, Id, Node, Ref, flag};
use super::state::State;
use crate::base::hash;
use crate::protocol::parse;

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Corrupt {
    /// This line of it.
    Line(String),
    /// It does not say which of the nodes this one is.
    NoSelf,
}

/// A node's line, without its end.
pub fn line(state: &State, at: Ref, asker: Asker) -> String {
    let runs = state.runs();
    line_of(state, at, asker, &runs)
}

/// The lines of all nodes.
pub fn lines(state: &State, asker: Asker) -> String {
    let runs = state.runs();
    let is_wanted = |node: &Node| asker != Asker::File || !node.is(flag::HANDSHAKE);
    let nodes = state.nodes().filter(|(_, node)| is_wanted(node));
    nodes.fold(String::new(), |mut text, (at, _)| {
        text += &line_of(state, at, asker, &runs);
        text + "\n"
    })
}

/// The whole file.
pub fn text(state: &State) -> String {
    let vars = format!(
        "vars currentEpoch {} lastVoteEpoch {}\n",
        state.epoch, state.vote_epoch
    );
    lines(state, Asker::File) + &vars
}

fn line_of(state: &State, at: Ref, asker: Asker, runs: &[(u16, u16, Ref)]) -> String {
    let node = state.node(at);
    let address = &node.address;
    let mut text = format!(
        "{} {}:{}@{}",
        node.id,
        node.ip(asker),
        node.port(asker),
        address.bus_port
    );
    let mut put = |part: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = text.write_fmt(part);
    };
    if !address.hostname.is_empty() {
        put(format_args!(",{}", address.hostname));
    }
    if asker == Asker::File {
        if address.hostname.is_empty() {
            put(format_args!(","));
        }
        let texts = [
            ("availability-zone", address.zone.clone()),
            ("client-tls-port", of_port(address.client_ports[1])),
            ("client-tcp-port", of_port(address.client_ports[0])),
            ("client-ipv6", address.client_ips[1].clone()),
            ("client-ipv4", address.client_ips[0].clone()),
            ("tls-port", address.tls_port.to_string()),
            ("nodename", address.nodename.clone()),
            ("shard-id", node.shard.to_string()),
        ];
        for (name, value) in texts.iter().filter(|(_, value)| !value.is_empty()) {
            put(format_args!(",{name}={value}"));
        }
    }
    let leader = node.leader.map(|at| state.node(at).id.to_string());
    // There are no links yet but to oneself.
    let link = match node.is(flag::MYSELF) {
        true => "connected",
        false => "disconnected",
    };
    put(format_args!(
        " {} {} {} {} {} {link}",
        node.flag_names(),
        leader.as_deref().unwrap_or("-"),
        node.ping_ms,
        node.pong_ms,
        state.epoch_of(node)
    ));
    for (first, last, _) in runs.iter().filter(|(_, _, of)| *of == at) {
        match first == last {
            true => put(format_args!(" {first}")),
            false => put(format_args!(" {first}-{last}")),
        }
    }
    if node.is(flag::MYSELF) {
        for slot in 0..hash::SLOTS {
            match state.ways(slot) {
                (Some(to), _) => put(format_args!(" [{slot}->-{}]", state.node(to).id)),
                (None, Some(from)) => put(format_args!(" [{slot}-<-{}]", state.node(from).id)),
                (None, None) => {}
            }
        }
    }
    text
}

fn of_port(port: u16) -> String {
    match port {
        0 => String::new(),
        port => port.to_string(),
    }
}

/// Reads a file; `now_ms` is taken for the time at which the nodes were last heard of.
pub fn read(text: &str, now_ms: u64) -> Result<State, Corrupt> {
    let mut reader = Reader {
        state: State::empty(),
        me: None,
        read: Vec::new(),
        now_ms,
    };
    for line in text.lines().filter(|line| !line.is_empty()) {
        let corrupt = || Corrupt::Line(line.into());
        let words = parse::words(line.as_bytes()).ok_or_else(corrupt)?;
        let words: Vec<String> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        reader.line(&words).ok_or_else(corrupt)?;
    }
    let mut state = reader.state;
    state.be(reader.me.ok_or(Corrupt::NoSelf)?);
    state.epoch = state.greatest_epoch();
    Ok(state)
}

struct Reader {
    state: State,
    me: Option<Ref>,
    /// Nodes whose line was read.
    read: Vec<Ref>,
    now_ms: u64,
}

impl Reader {
    fn node(&mut self, id: &str) -> Option<Ref> {
        let id = Id::parse(id.as_bytes())?;
        let known = self.state.find(id.as_bytes());
        Some(known.unwrap_or_else(|| self.state.add(Node::new(id))))
    }

    fn line(&mut self, words: &[String]) -> Option<()> {
        let Some(first) = words.first() else {
            return Some(());
        };
        if first.eq_ignore_ascii_case("vars") {
            return self.variables(&words[1..]);
        }
        let [id, address, flags, leader, ping, pong, epoch, _, slots @ ..] = words else {
            return None;
        };
        let at = self.node(id)?;
        if self.read.contains(&at) {
            crate::warning!("Duplicate nodeid detected: {id}");
            return None;
        }
        self.read.push(at);
        let has_shard = self.address(at, address)?;
        self.flags(at, flags)?;
        if !leader.starts_with('-') {
            let leader = self.node(leader)?;
            self.state.node_mut(at).leader = Some(leader);
            if !has_shard {
                self.state.node_mut(at).shard = self.state.node(leader).shard;
            }
        }
        let now_ms = self.now_ms;
        let node = self.state.node_mut(at);
        let seen = |text: &String| if number(text) == 0 { 0 } else { now_ms };
        node.ping_ms = seen(ping);
        node.pong_ms = seen(pong);
        let leads = node.leader.is_none();
        node.epoch = if leads { number(epoch) } else { 0 };
        slots.iter().try_for_each(|text| self.slots(at, text))
    }

    fn variables(&mut self, words: &[String]) -> Option<()> {
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return None;
            };
            match &name.to_ascii_lowercase()[..] {
                "currentepoch" => self.state.epoch = number(value),
                "lastvoteepoch" => self.state.vote_epoch = number(value),
                _ => crate::notice!("Skipping unknown cluster config variable '{name}'"),
            }
        }
        Some(())
    }

    /// `ip:port[@bus-port][,hostname[,name=value…]]`; says whether its shard is there.
    fn address(&mut self, at: Ref, text: &str) -> Option<bool> {
        let mut parts = text.split(',');
        let place = parts.next()?;
        let node = self.state.node_mut(at);
        node.address.hostname = parts.next().unwrap_or_default().into();
        let (ip, ports) = place.rsplit_once(':')?;
        node.address.ip = ip.into();
        let (port, bus_port) = match ports.split_once('@') {
            Some((port, bus_port)) => (port, Some(bus_port)),
            None => (ports, None),
        };
        node.address.port = port_of(port)?;
        let mut has_shard = false;
        for part in parts {
            let (name, value) = part.split_once('=')?;
            if !is_plain(name) || !is_plain(value) {
                return None;
            }
            let address = &mut node.address;
            match name {
                "shard-id" => {
                    node.shard = Id::parse(value.as_bytes())?;
                    has_shard = true;
                }
                "nodename" => address.nodename = value.into(),
                "tcp-port" => address.port = port_of(value)?,
                "tls-port" => address.tls_port = port_of(value)?,
                "client-ipv4" => address.client_ips[0] = value.into(),
                "client-ipv6" => address.client_ips[1] = value.into(),
                "client-tcp-port" => address.client_ports[0] = port_of(value)?,
                "client-tls-port" => address.client_ports[1] = port_of(value)?,
                "availability-zone" => address.zone = value.into(),
                _ => return None,
            }
        }
        node.address.bus_port = match bus_port {
            Some(port) => port_of(port)?,
            None => node.address.port.saturating_add(super::BUS_PORT_OFFSET),
        };
        Some(has_shard)
    }

    fn flags(&mut self, at: Ref, text: &str) -> Option<()> {
        for name in text.split(',') {
            let known = |(_, other): &&(u16, &str)| other.eq_ignore_ascii_case(name);
            let set = match &name.to_ascii_lowercase()[..] {
                "primary" => flag::LEADER,
                "replica" => flag::FOLLOWER,
                "noflags" => 0,
                "noaddr" => flag::NO_ADDRESS | flag::FAILED,
                _ => flag::NAMES.iter().find(known)?.0,
            };
            if set == flag::MYSELF && self.me.replace(at).is_some() {
                return None;
            }
            self.state.node_mut(at).flags |= set;
        }
        Some(())
    }

    /// `slot`, `first-last`, `[slot->-id]` or `[slot-<-id]`.
    fn slots(&mut self, at: Ref, text: &str) -> Option<()> {
        let Some(open) = text.strip_prefix('[') else {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            for slot in slot_of(first)?..=slot_of(last)? {
                self.state.give_slot(at, slot);
            }
            return Some(());
        };
        let (slot, way) = open.strip_suffix(']')?.split_once('-')?;
        let slot = slot_of(slot)?;
        if let Some(to) = way.strip_prefix(">-") {
            let to = self.node(to)?;
            self.state.open_slot(slot, Some(to), None);
        } else {
            let from = self.node(way.strip_prefix("<-")?)?;
            self.state.open_slot(slot, None, Some(from));
        }
        Some(())
    }
}

/// What C's `atoi` makes of a text: the digits that it begins with.
fn number(text: &str) -> u64 {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().unwrap_or(0)
}

fn port_of(text: &str) -> Option<u16> {
    u16::try_from(number(text)).ok()
}

fn slot_of(text: &str) -> Option<u16> {
    let slot = u16::try_from(number(text)).ok()?;
    (slot < hash::SLOTS).then_some(slot)
}

/// Whether a name or value holds nothing that would end it.
fn is_plain(text: &str) -> bool {
    let is_ordinary = |b: u8| b > b',' && b != 0x7f && !b";<=>?@[]^{|}~\\".contains(&b);
    text.bytes().all(is_ordinary)
}

#[cfg(test)]
mod tests;

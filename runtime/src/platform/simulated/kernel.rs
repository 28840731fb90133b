//! What the machines' kernels know, and what happens to it.

use super::clocks::Clock;
use super::paths::{Fate, HostId, Paths};
use super::queue::{Event, Queue};
use super::tcp::{Connection, ConnectionId, Side, Stage};
use madsim::task::NodeId;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;

/// Tokio's timers go off at whole milliseconds.
pub(super) const TICK_NANOS: u64 = 1_000_000;
/// The first port that a dialler gets.
pub(super) const EPHEMERAL: u16 = 32_768;

/// A machine.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) node: NodeId,
    pub(super) ip: IpAddr,
    pub(super) on: bool,
    pub(super) next_port: u16,
    pub(super) clock: Clock,
    /// Its timers tick so long after those of a machine that began with the world.
    pub(super) phase: u64,
}

/// Somebody who listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) host: HostId,
    pub(super) number: u64,
    pub(super) backlog: usize,
    pub(super) queue: VecDeque<ConnectionId>,
    pub(super) waker: Option<Waker>,
}

impl Listener {
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }
}

/// Everything that the machines' kernels know.
#[derive(Debug)]
pub(super) struct State {
    pub(super) now: u64,
    pub(super) queue: Queue,
    pub(super) connections: BTreeMap<ConnectionId, Box<Connection>>,
    pub(super) listeners: BTreeMap<SocketAddr, Listener>,
    /// Whom to wake once the lock is open.
    pub(super) woken: Vec<Waker>,
    pub(super) paths: Paths,
    pub(super) hosts: Vec<Host>,
    pub(super) names: BTreeMap<String, HostId>,
    pub(super) nodes: BTreeMap<NodeId, HostId>,
    pub(super) last_connection: ConnectionId,
    pub(super) pump: Option<Waker>,
    /// When the pump wakes.
    pub(super) armed: Option<u64>,
    pub(super) stopped: bool,
}

impl State {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            now: 0,
            queue: Queue::new(),
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            woken: Vec::new(),
            paths: Paths::new(seed),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            nodes: BTreeMap::new(),
            last_connection: 0,
            pump: None,
            armed: None,
            stopped: false,
        }
    }

    pub(super) const fn next_connection(&mut self) -> ConnectionId {
        self.last_connection += 1;
        self.last_connection
    }

    /// Plans an event after so many nanoseconds.
    pub(super) fn plan(&mut self, after: u64, event: Event) {
        self.queue.push(self.now.saturating_add(after), event);
    }

    fn is_on(&self, host: HostId) -> bool {
        let host = usize::try_from(host).ok().and_then(|i| self.hosts.get(i));
        host.is_some_and(|host| host.on)
    }

    /// Sends a packet.
    pub(super) fn packet(&mut self, from: HostId, to: HostId) -> Fate {
        if !self.is_on(from) || !self.is_on(to) {
            return Fate::Lost;
        }
        self.paths.send(from, to)
    }

    /// Takes the first packet of a connection: its process can have it from now on. `false` when
    /// there is none any more.
    pub(super) fn enqueue(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        if connection.queued {
            return true;
        }
        connection.queued = true;
        match self.listeners.get_mut(&connection.acceptor.address) {
            Some(listener) => {
                connection.acceptor.stage = Stage::Open;
                connection.acceptor.held = true;
                listener.queue.push_back(id);
                self.woken.extend(listener.waker.take());
            }
            None => connection.acceptor.stage = Stage::Gone,
        }
        true
    }

    /// Forgets a connection that nobody holds any more.
    pub(super) fn sweep(&mut self, id: ConnectionId) {
        let is_over = self.connections.get(&id).is_some_and(|connection| {
            [&connection.dialler, &connection.acceptor]
                .iter()
                .all(|end| !end.held && matches!(end.stage, Stage::Gone | Stage::Opening))
        });
        if is_over {
            self.connections.remove(&id);
        }
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(waker) => self.woken.push(waker),
            Event::Syn(id) => self.asked(id),
            Event::SynAgain(id, n) => self.ask(id, n),
            Event::SynAck(id) => self.connected(id),
            Event::Refused(id) => self.refused(id),
            Event::Segment {
                id,
                to,
                first,
                bytes,
                fin,
            } => self.arrived(id, to, first, bytes, fin),
            Event::Reset(id, side) => self.was_reset(id, side),
            Event::Retry(id, side) => self.retry(id, side),
            Event::Keepalive(id, side) => self.keepalive(id, side),
        }
    }

    /// The sides of connections that a host's process holds.
    pub(super) fn held_by(&self, host: HostId) -> Vec<(ConnectionId, Side)> {
        let mut held = Vec::new();
        for (id, connection) in &self.connections {
            for side in [Side::Dialler, Side::Acceptor] {
                let end = connection.end(side);
                if end.host == host && end.held {
                    held.push((*id, side));
                }
            }
        }
        held
    }

    pub(super) fn stop_listening(&mut self, host: HostId) {
        let all = self.listeners.iter();
        let its: Vec<_> = all
            .filter(|(_, listener)| listener.host == host)
            .map(|(address, listener)| (*address, listener.number))
            .collect();
        for (address, number) in its {
            self.unlisten(address, number);
        }
    }

    /// A listener ends; those who wait in its queue are reset.
    pub(super) fn unlisten(&mut self, address: SocketAddr, number: u64) {
        let is_it = |listener: &Listener| listener.number == number;
        if !self.listeners.get(&address).is_some_and(is_it) {
            return;
        }
        let ended = self.listeners.remove(&address);
        for id in ended.into_iter().flat_map(|listener| listener.queue) {
            self.abort(id, Side::Acceptor);
        }
    }

    /// Whom an address belongs to.
    pub(super) fn owner(&self, ip: IpAddr) -> Option<HostId> {
        let at = self.hosts.iter().position(|host| host.ip == ip)?;
        HostId::try_from(at).ok()
    }

    /// A fresh local address of a host.
    pub(super) fn local_address(&mut self, host: HostId) -> Option<SocketAddr> {
        let host = usize::try_from(host)
            .ok()
            .and_then(|i| self.hosts.get_mut(i))?;
        let port = host.next_port;
        host.next_port = port.checked_add(1).unwrap_or(EPHEMERAL);
        Some(SocketAddr::new(host.ip, port))
    }

    pub(super) fn host_of(&self, node: NodeId) -> Option<HostId> {
        self.nodes.get(&node).copied()
    }
}

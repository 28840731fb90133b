//! Dials: asked, answered, refused, hung.

use super::super::kernel::State;
use super::super::paths::{Fate, HostId};
use super::super::queue::Event;
use super::*;

impl State {
    /// Begins a dial. `host` is whom `target` belongs to, if it belongs to anybody.
    pub(in super::super) fn dial(
        &mut self,
        from: (HostId, SocketAddr),
        target: (Option<HostId>, SocketAddr),
    ) -> ConnectionId {
        let id = self.next_connection();
        let now = self.now;
        // Nobody has that address: packets to it vanish, as those to a host of no number do.
        let host = target.0.unwrap_or(HostId::MAX);
        let mut dialler = End::new(from.0, from.1, now);
        dialler.held = true;
        let connection = Connection {
            dialler,
            acceptor: End::new(host, target.1, now),
            queued: false,
        };
        self.connections.insert(id, Box::new(connection));
        self.ask(id, 0);
        id
    }

    /// Asks for a connection, for the n-th time.
    pub(in super::super) fn ask(&mut self, id: ConnectionId, n: u32) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if connection.dialler.stage != Stage::Opening {
            return;
        }
        let (from, to) = (connection.dialler.host, connection.acceptor.host);
        match self.packet(from, to) {
            Fate::Arrives(after) => self.plan(after, Event::Syn(id)),
            Fate::Rejected(after) => self.plan(after, Event::Refused(id)),
            Fate::Lost => {}
        }
        if n < SYN_RETRIES_MAX {
            self.plan(SYN_RETRY << n, Event::SynAgain(id, n + 1));
        } else {
            self.break_end(id, Side::Dialler, io::ErrorKind::TimedOut);
        }
    }

    /// A question reaches a machine.
    pub(in super::super) fn asked(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (from, to) = (connection.dialler.host, connection.acceptor.host);
        let target = connection.acceptor.address;
        let answer = match self.listeners.get(&target) {
            // A full queue loses the question.
            Some(listener) if listener.is_full() => return,
            Some(_) => Event::SynAck(id),
            None => Event::Refused(id),
        };
        if let Fate::Arrives(after) = self.packet(to, from) {
            self.plan(after, answer);
        }
    }

    /// The answer reaches the dialler.
    pub(in super::super) fn connected(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let dialler = &mut connection.dialler;
        if dialler.stage != Stage::Opening {
            return;
        }
        dialler.stage = Stage::Open;
        dialler.heard = now;
        let waker = dialler.writer.take();
        self.woken.extend(waker);
        self.send_segment(id, Side::Dialler, 0, 0, false);
    }

    pub(in super::super) fn refused(&mut self, id: ConnectionId) {
        let opening = self
            .connections
            .get(&id)
            .is_some_and(|connection| connection.dialler.stage == Stage::Opening);
        if opening {
            self.break_end(id, Side::Dialler, io::ErrorKind::ConnectionRefused);
        }
    }
}

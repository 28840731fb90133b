//! Ends of connections: in order, by reset, by time.

use super::super::kernel::State;
use super::super::paths::Fate;
use super::super::queue::Event;
use super::*;

impl State {
    /// A side breaks without a word to the other one.
    pub(in super::super) fn break_end(
        &mut self,
        id: ConnectionId,
        side: Side,
        error: io::ErrorKind,
    ) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let key = connection
                .end_mut(side)
                .forget(Some(error), &mut self.woken);
            if let Some(key) = key {
                self.queue.remove(key);
            }
            self.sweep(id);
        }
    }

    /// Sends a reset to a side; lost when the way is cut.
    pub(in super::super) fn reset(&mut self, id: ConnectionId, to: Side) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (target, source) = (connection.end(to).host, connection.end(to.other()).host);
        let earliest = connection.end(to.other()).last_arrival;
        if let Fate::Arrives(after) = self.packet(source, target) {
            let at = self.now.saturating_add(after).max(earliest);
            self.queue.push(at, Event::Reset(id, to));
        }
    }

    pub(in super::super) fn was_reset(&mut self, id: ConnectionId, side: Side) {
        let refused = side == Side::Dialler
            && self
                .connections
                .get(&id)
                .is_some_and(|connection| connection.dialler.stage == Stage::Opening);
        let error = if refused {
            io::ErrorKind::ConnectionRefused
        } else {
            io::ErrorKind::ConnectionReset
        };
        self.break_end(id, side, error);
    }

    /// The process lets go of its side: an end in order, or a reset if it leaves bytes unread.
    pub(in super::super) fn close(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = connection.end_mut(side);
        // A dead process's sockets were closed for it already.
        if !std::mem::take(&mut end.held) {
            return;
        }
        match end.stage {
            Stage::Open if end.input.is_empty() => {
                end.stage = Stage::Orphan;
                self.finish(id, side);
            }
            Stage::Open => self.abort(id, side),
            // An answer that comes will find nothing.
            Stage::Opening => {
                self.connections.remove(&id);
            }
            Stage::Orphan | Stage::Gone => {}
        }
        self.sweep(id);
    }

    /// Ends a side by a reset of the other one.
    pub(in super::super) fn abort(&mut self, id: ConnectionId, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.end_mut(side).held = false;
            self.reset(id, side.other());
            self.break_end(id, side, io::ErrorKind::ConnectionReset);
        }
    }

    /// No more bytes of this side will come.
    pub(in super::super) fn finish(&mut self, id: ConnectionId, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let end = connection.end_mut(side);
            if matches!(end.stage, Stage::Open | Stage::Orphan) && !end.fin_wanted {
                end.fin_wanted = true;
                self.transmit(id, side);
            }
        }
    }
}

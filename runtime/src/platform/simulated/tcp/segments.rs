//! Bytes on their way, in order and once.

use super::super::kernel::State;
use super::super::paths::Fate;
use super::super::queue::Event;
use super::*;

impl State {
    /// How many of these bytes the kernel takes now; none means that the writer waits.
    pub(in super::super) fn write(&mut self, id: ConnectionId, side: Side, bytes: &[u8]) -> usize {
        let Some(connection) = self.connections.get_mut(&id) else {
            return 0;
        };
        let end = connection.end_mut(side);
        let room = size(BUFFER_BYTES.saturating_sub(length(&end.out)));
        let taken = room.min(bytes.len());
        end.out.extend(&bytes[..taken]);
        if taken > 0 {
            self.transmit(id, side);
        }
        taken
    }

    /// Sends what may be sent.
    pub(in super::super) fn transmit(&mut self, id: ConnectionId, side: Side) {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            let unread = length(&connection.end(side.other()).input);
            let end = connection.end_mut(side);
            if !matches!(end.stage, Stage::Open | Stage::Orphan) {
                return;
            }
            let window = BUFFER_BYTES
                .saturating_sub(unread)
                .saturating_sub(end.next - end.acknowledged);
            let bytes = (end.written() - end.next).min(window).min(SEGMENT_BYTES);
            let fin = end.fin_wanted && !end.fin_sent && end.next + bytes == end.written();
            if bytes == 0 && !fin {
                break;
            }
            let first = end.next;
            end.next += bytes;
            end.fin_sent |= fin;
            end.sent = self.now;
            self.send_segment(id, side, first, bytes, fin);
        }
        self.arm_retry(id, side);
    }

    pub(in super::super) fn send_segment(
        &mut self,
        id: ConnectionId,
        from: Side,
        first: u64,
        bytes: u64,
        fin: bool,
    ) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let to = from.other();
        let hosts = (connection.end(from).host, connection.end(to).host);
        if let Fate::Arrives(after) = self.packet(hosts.0, hosts.1) {
            let at = self.now.saturating_add(after);
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            let end = connection.end_mut(from);
            let at = at.max(end.last_arrival);
            end.last_arrival = at;
            let segment = Event::Segment {
                id,
                to,
                first,
                bytes,
                fin,
            };
            self.queue.push(at, segment);
        }
    }

    /// Bytes, or none, reach a side.
    pub(in super::super) fn arrived(
        &mut self,
        id: ConnectionId,
        to: Side,
        first: u64,
        bytes: u64,
        fin: bool,
    ) {
        let now = self.now;
        if to == Side::Acceptor && !self.enqueue(id) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let (end, sender) = connection.both(to);
        // Nobody is there to read: so says the machine.
        let unheard = end.stage == Stage::Orphan && bytes > 0;
        if end.stage == Stage::Gone || unheard {
            if unheard {
                let key = end.forget(None, &mut self.woken);
                key.map(|key| self.queue.remove(key));
            }
            self.reset(id, to.other());
            self.sweep(id);
            return;
        }
        (end.heard, end.probes) = (now, 0);
        let until = first + bytes;
        if first <= end.received && until > end.received {
            let skip = size(end.received.saturating_sub(sender.acknowledged));
            let take = size(until - end.received);
            end.input.extend(sender.out.iter().skip(skip).take(take));
            end.received = until;
            self.woken.extend(end.reader.take());
        }
        if fin && until == end.received && !end.fin_received {
            end.fin_received = true;
            self.woken.extend(end.reader.take());
        }
        self.acknowledge(id, to);
    }

    /// Tells the sender what has arrived, if the way back is open.
    pub(in super::super) fn acknowledge(&mut self, id: ConnectionId, by: Side) {
        let now = self.now;
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (end, sender) = (connection.end(by), connection.end(by.other()));
        let (received, fin) = (end.received, end.fin_received);
        let news = received > sender.acknowledged || (fin && !sender.fin_acknowledged);
        if !news || !matches!(self.packet(end.host, sender.host), Fate::Arrives(_)) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let sender = connection.end_mut(by.other());
        (sender.heard, sender.probes) = (now, 0);
        if matches!(sender.stage, Stage::Opening | Stage::Gone) {
            return;
        }
        let fresh = size(received.saturating_sub(sender.acknowledged)).min(sender.out.len());
        sender.out.drain(..fresh);
        sender.acknowledged = received;
        sender.next = sender.next.max(received);
        sender.fin_acknowledged |= fin;
        sender.retry_pause = RETRY_MIN;
        sender.waiting_since = sender.waits().then_some(now);
        self.woken.extend(sender.writer.take());
        if sender.stage == Stage::Orphan && !sender.waits() {
            let key = sender.forget(None, &mut self.woken);
            key.map(|key| self.queue.remove(key));
            self.sweep(id);
            return;
        }
        self.transmit(id, by.other());
    }

    /// The process has read: there is room again.
    pub(in super::super) fn has_read(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (end, sender) = (connection.end(side), connection.end(side.other()));
        let starved = sender.next < sender.written();
        // The news of it may be lost; then the sender's own retries find out.
        if starved && matches!(self.packet(end.host, sender.host), Fate::Arrives(_)) {
            self.transmit(id, side.other());
        }
    }
}

//! Connections at work, as TCP between real hosts behaves: in order, sent again after a cut, given up
//! after five seconds without an acknowledgement; nothing is learned through a cut
//! (runtime/src/transport/socket.rs, notes/crates.md 1.4).

use super::World;
use super::connection::{ACCEPTOR, ConnId, DIALLER, Frame, Lane};
use super::events::{Event, Life};
use super::paths::{Path, Side};
use crate::trace::seen::{NodeId, Sink};
use doyen_core::identity::Identity;
use doyen_core::input::{Input, LinkEvent};
use doyen_core::time::Time;
use doyen_core::wire::Message;
use std::time::Duration;

/// Unacknowledged for so long, a connection ends (`TCP_USER_TIMEOUT`).
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle for five seconds, asked, and silent for two more, it ends (keep-alive).
const KEEPALIVE: Duration = Duration::from_secs(7);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
/// Frames that wait for a peer; one that is so far behind is disconnected.
const FRAMES_MAX: usize = 512;

/// Whether a message may pass on a link without proof (runtime/src/transport/hub.rs).
const fn passes_unproved(message: &Message) -> bool {
    matches!(
        message,
        Message::Contact { .. } | Message::ContactNack { .. }
    )
}

impl<S: Sink> World<S> {
    /// Sends over the best link to that incarnation; drops the message when there is none.
    pub(super) fn send(&mut self, id: NodeId, to: &Identity, message: Message) {
        let Some(peer) = self.lives.get(&to.incarnation).copied() else {
            return;
        };
        let free = passes_unproved(&message);
        let links = self.nodes[id].links.iter();
        let best = links
            .filter(|link| link.peer == peer && (link.proved || free))
            .max_by_key(|link| (link.proved, link.end == DIALLER));
        if let Some(link) = best.copied() {
            self.keep_message(id, peer.node, &message);
            self.transmit(link.conn, link.end, Frame::Message(message));
        }
    }

    /// Puts a frame on its way.
    pub(super) fn transmit(&mut self, id: ConnId, end: usize, frame: Frame) {
        let conn = &self.conns[id];
        if !conn.ends[end].is_alive {
            return;
        }
        let (from, to) = (side(conn, end), side(conn, 1 - end));
        if conn.ends[end].sent.len() >= FRAMES_MAX {
            self.reset(id, end);
            return;
        }
        let latency = self.paths.latency(from, to);
        let now = self.now;
        let sender = &mut self.conns[id].ends[end];
        sender.arrives = now.after(latency).max(sender.arrives);
        sender.sent.push_back(frame);
        if !sender.is_blocked {
            let at = sender.arrives;
            self.queue.push(at, Event::Packet(id, end));
        }
    }

    /// The next frame that this end sent gets to the other end, or not.
    pub(super) fn packet(&mut self, id: ConnId, end: usize) {
        let conn = &self.conns[id];
        let (from, to) = (side(conn, end), side(conn, 1 - end));
        match self.paths.path(from, to) {
            Path::Drops => {
                self.conns[id].ends[end].is_blocked = true;
                self.unacknowledged(id, end);
            }
            Path::Refuses => {
                self.conns[id].ends[end].sent.clear();
                self.learn_closed(id, end);
            }
            Path::Open => self.gets_through(id, end, from, to),
        }
    }

    fn gets_through(&mut self, id: ConnId, end: usize, from: Side, to: Side) {
        let (now, back) = (self.now, self.paths.path(to, from));
        let conn = &mut self.conns[id];
        if !conn.ends[1 - end].is_alive {
            // Nobody holds the other end: a reset comes back, if it can.
            conn.ends[end].sent.clear();
            if back == Path::Open {
                self.learn_closed(id, end);
            } else {
                self.unacknowledged(id, end);
            }
            return;
        }
        let Some(frame) = conn.ends[end].sent.pop_front() else {
            return;
        };
        conn.ends[1 - end].heard = now;
        if back != Path::Open {
            self.unacknowledged(id, end);
        }
        let receiver = self.conns[id].ends[1 - end].life.node;
        if self.nodes[receiver].is_stopped() {
            let event = Event::Frame(id, 1 - end, Box::new(frame));
            self.nodes[receiver].backlog.push(event);
        } else {
            self.received(id, 1 - end, frame);
        }
    }

    /// A frame is read by the process at this end.
    pub(super) fn received(&mut self, id: ConnId, end: usize, frame: Frame) {
        let conn = &self.conns[id];
        let receiver = &conn.ends[end];
        if !receiver.is_open || !self.is_living(receiver.life) {
            return;
        }
        let node = receiver.life.node;
        let input = match frame {
            Frame::Beat(beat) => Input::Beat(beat),
            Frame::Message(message) if conn.proved || passes_unproved(&message) => {
                let from = Identity::clone(&conn.ends[1 - end].identity);
                Input::Message { from, message }
            }
            Frame::Message(_) => return,
        };
        self.handle(node, input);
    }

    fn unacknowledged(&mut self, id: ConnId, end: usize) {
        let now = self.now;
        let sender = &mut self.conns[id].ends[end];
        if sender.is_alive && sender.unacknowledged.is_none() {
            sender.unacknowledged = Some(now);
            let event = Event::GiveUp(id, end, now);
            self.queue.push(now.after(USER_TIMEOUT), event);
        }
    }

    /// Five seconds without an acknowledgement.
    pub(super) fn give_up(&mut self, id: ConnId, end: usize, since: Time) {
        if self.conns[id].ends[end].unacknowledged == Some(since) {
            self.reset(id, end);
        }
    }

    /// The kernel of this end asked the other one for a sign of life.
    pub(super) fn idle(&mut self, id: ConnId, end: usize) {
        let conn = &self.conns[id];
        let sender = &conn.ends[end];
        if !sender.is_alive || self.paths.is_open(side(conn, 0), side(conn, 1)) {
            return;
        }
        let due = sender.heard.after(KEEPALIVE);
        if self.now >= due {
            self.reset(id, end);
        } else {
            self.queue.push(due, Event::Idle(id, end));
        }
    }

    /// The kernel of this end ends the connection: its process learns it, the peer if a reset gets
    /// through.
    pub(super) fn reset(&mut self, id: ConnId, end: usize) {
        if self.conns[id].ends[end].is_alive {
            self.announce_end(id, end);
            self.closed(id, end);
        }
    }

    /// The process of this end closes it, or dies.
    pub(super) fn close(&mut self, id: ConnId, end: usize) {
        if self.conns[id].ends[end].is_alive {
            self.announce_end(id, end);
        }
        let sender = &mut self.conns[id].ends[end];
        sender.is_alive = false;
        sender.is_open = false;
    }

    /// What closes or resets this end, behind what it sent; a cut swallows it.
    fn announce_end(&mut self, id: ConnId, end: usize) {
        let conn = &self.conns[id];
        let (from, to) = (side(conn, end), side(conn, 1 - end));
        if conn.ends[1 - end].is_alive && self.paths.path(from, to) == Path::Open {
            let latency = self.paths.latency(from, to);
            let at = self
                .now
                .after(latency)
                .max(self.conns[id].ends[end].arrives);
            self.queue.push(at, Event::Closed(id, 1 - end));
        }
    }

    fn learn_closed(&mut self, id: ConnId, end: usize) {
        let conn = &self.conns[id];
        let (from, to) = (side(conn, end), side(conn, 1 - end));
        let latency = self.paths.latency(to, from);
        self.queue
            .push(self.now.after(latency), Event::Closed(id, end));
    }

    /// This end learns that the connection is over.
    pub(super) fn closed(&mut self, id: ConnId, end: usize) {
        let ending = &mut self.conns[id].ends[end];
        ending.is_alive = false;
        ending.unacknowledged = None;
        ending.sent.clear();
        let node = ending.life.node;
        if self.nodes[node].is_stopped() {
            self.nodes[node].backlog.push(Event::Closed(id, end));
        } else {
            self.lose(id, end, true);
        }
    }

    /// A process is done with an end of a connection. `tells`: it tells core, as long as it is the
    /// same life.
    pub(super) fn lose(&mut self, id: ConnId, end: usize, tells: bool) {
        let ending = &mut self.conns[id].ends[end];
        if !std::mem::replace(&mut ending.is_open, false) {
            return;
        }
        let life = ending.life;
        if !self.is_living(life) {
            return;
        }
        let conn = &self.conns[id];
        let (lane, peer) = (conn.lane, &conn.ends[1 - end]);
        let (peer_life, identity) = (peer.life, peer.identity.clone());
        let node = &mut self.nodes[life.node];
        if lane == Lane::Main {
            let before = node.links.len();
            node.links.retain(|link| link.conn != id);
            let was_there = node.links.len() < before;
            if tells && was_there && node.links.iter().all(|link| link.peer != peer_life) {
                let peer = Identity::clone(&identity);
                self.tell_link(life, LinkEvent::Down { peer });
            }
        }
        if end == DIALLER {
            self.link_ended(life, id);
        }
    }

    /// A process learns of a link, in the order of its table of links.
    pub(super) fn tell_link(&mut self, life: Life, event: LinkEvent) {
        self.tell(life, Box::new(Input::Link(event)));
    }

    /// Some paths were cut: whoever is cut off will be asked for a sign of life.
    pub(super) fn was_cut(&mut self) {
        let now = self.now;
        for number in 0..self.conns.len() {
            let id = ConnId(number);
            let conn = &self.conns[id];
            let open = self.paths.is_open(side(conn, 0), side(conn, 1));
            if open || conn.is_over() {
                continue;
            }
            for end in [DIALLER, ACCEPTOR] {
                let ago = self.random_fault.up_to(KEEPALIVE_IDLE);
                let sender = &mut self.conns[id].ends[end];
                let asked = Time::ZERO.after(now.since(Time::ZERO).saturating_sub(ago));
                sender.heard = sender.heard.max(asked);
                let due = sender.heard.after(KEEPALIVE);
                self.queue.push(due, Event::Idle(id, end));
            }
        }
    }

    /// Some cuts were mended: what waited is sent again, as TCP's grown pauses have it.
    pub(super) fn was_mended(&mut self) {
        for number in 0..self.conns.len() {
            let id = ConnId(number);
            if self.conns[id].is_over() {
                continue;
            }
            for end in [DIALLER, ACCEPTOR] {
                self.mended(id, end);
            }
        }
        self.store_was_mended();
    }

    fn mended(&mut self, id: ConnId, end: usize) {
        let now = self.now;
        let conn = &mut self.conns[id];
        let (from, to) = (side(conn, end), side(conn, 1 - end));
        if self.paths.path(from, to) != Path::Open {
            return;
        }
        let back = self.paths.path(to, from) == Path::Open;
        let sender = &mut conn.ends[end];
        if std::mem::replace(&mut sender.is_blocked, false) {
            let at = retransmission(sender.unacknowledged.unwrap_or(now), now);
            sender.arrives = sender.arrives.max(at);
            for _ in 0..sender.sent.len() {
                self.queue.push(at, Event::Packet(id, end));
            }
        }
        if back {
            sender.unacknowledged = None;
        }
        if !sender.is_alive && conn.ends[1 - end].is_alive {
            // Its end was not heard through the cut: the next packet or question is reset.
            let after = self.random_fault.micros(200_000, 5_000_000);
            self.queue
                .push(now.after(after), Event::Closed(id, 1 - end));
        }
    }

    /// Keeps a message for a later replay, if the schedule has one.
    fn keep_message(&mut self, from: NodeId, to: NodeId, message: &Message) {
        if !self.records_messages {
            return;
        }
        let identity = Identity::clone(&self.nodes[from].identity);
        let kept = self.recorded.entry((from, to)).or_default();
        if kept.len() >= 64 {
            kept.pop_front();
        }
        kept.push_back((identity, message.clone()));
    }
}

/// The side of an end.
pub(super) fn side(conn: &super::connection::Conn, end: usize) -> Side {
    Side::of(conn.ends[end].life.node)
}

/// When TCP sends again what was first sent at `since`: 0.2, 0.6, 1.4, 3.0, 6.2 s after that.
fn retransmission(since: Time, now: Time) -> Time {
    let mut pause = Duration::from_millis(200);
    let mut at = since.after(pause);
    while at < now {
        pause = pause.saturating_mul(2);
        at = at.after(pause);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_for_a_cut_is_sent_again_with_growing_pauses() {
        let ms = Time::from_millis;
        for (now, at) in [
            (0, 200),
            (200, 200),
            (201, 600),
            (1_000, 1_400),
            (3_001, 6_200),
        ] {
            assert_eq!(retransmission(ms(0), ms(now)), ms(at));
        }
    }
}

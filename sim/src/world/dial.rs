//! Diallers at work: attempts, handshakes and what comes of them, as with the real ones
//! (runtime/src/transport/dialler.rs, handshake.rs).

use super::World;
use super::connection::{ACCEPTOR, Conn, ConnId, DIALLER, End, Lane, Link};
use super::dialler::{Dialler, State};
use super::events::{Attempt, Event, Life};
use super::paths::{Path, Side};
use crate::trace::seen::{NodeId, Sink};
use doyen_core::identity::{Address, Identity};
use doyen_core::input::LinkEvent;
use doyen_core::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
const DYING_ATTEMPTS_MAX: u32 = 4;
/// How long a refusal waits for the end of the peer's own connection to be seen.
const ORDER_WAIT: Duration = Duration::from_millis(20);
/// Packets until a connection is there: SYN, SYN+ACK.
const CONNECT_PACKETS: u32 = 2;
/// Packets from then on until the acceptor has a proof: two hellos, the proof.
const SHAKE_PACKETS: u32 = 3;

impl<S: Sink> World<S> {
    /// Makes the set of dialled addresses of a lane this one.
    pub(super) fn set_dialled(&mut self, id: NodeId, lane: Lane, addresses: &BTreeSet<Address>) {
        let node = &self.nodes[id];
        let own = &node.identity.address;
        let gone: Vec<usize> = (0..node.diallers.len())
            .rev()
            .filter(|index| {
                let one = &node.diallers[*index];
                one.lane == lane && !addresses.contains(&one.address)
            })
            .collect();
        let known = |address: &Address| {
            let mut diallers = node.diallers.iter();
            diallers.any(|one| one.lane == lane && one.address == *address)
        };
        let new: Vec<Address> = addresses
            .iter()
            .filter(|address| *address != own && !known(address))
            .cloned()
            .collect();
        for index in gone {
            let dialler = self.nodes[id].diallers.remove(index);
            if let State::Up(conn, _) = dialler.state {
                self.end_own(conn, DIALLER);
            }
        }
        for address in new {
            let target = self.server_at(&address);
            let dialler = Dialler::new(lane, address, target);
            self.nodes[id].diallers.push(dialler);
            let index = self.nodes[id].diallers.len() - 1;
            self.begin(id, index, Duration::ZERO);
        }
    }

    /// A process ends a connection of its own and is told so, if it was the last one to that peer.
    fn end_own(&mut self, conn: ConnId, end: usize) {
        if self.conns[conn].ends[end].is_alive {
            self.reset(conn, end);
        } else {
            self.lose(conn, end, true);
        }
    }

    /// Begins an attempt after a pause.
    fn begin(&mut self, id: NodeId, index: usize, pause: Duration) {
        let delay = self.nodes[id].random.host.micros(5, 40);
        let at = self.now.after(pause).after(delay);
        let node = &mut self.nodes[id];
        let (life, ready) = (node.life, node.store_id);
        let proves = node.proves.is_some();
        let dialler = &mut node.diallers[index];
        dialler.number = dialler.number.wrapping_add(1);
        dialler.dying = 0;
        let Some(to) = dialler.target else {
            return;
        };
        if !ready || (dialler.lane == Lane::Beat && !proves) {
            dialler.state = State::Parked;
            return;
        }
        dialler.state = if pause.is_zero() {
            State::Trying
        } else {
            State::Waiting
        };
        let attempt = Attempt {
            from: life,
            to,
            lane: dialler.lane,
            number: dialler.number,
            began: at,
            is_late: false,
        };
        self.queue.push(at, Event::Dial(attempt));
    }

    /// The dialler of an attempt, unless it goes another way by now.
    fn dialler(&mut self, attempt: Attempt) -> Option<&mut Dialler> {
        if !self.is_living(attempt.from) {
            return None;
        }
        let diallers = &mut self.nodes[attempt.from.node].diallers;
        diallers.iter_mut().find(|one| {
            one.lane == attempt.lane
                && one.target == Some(attempt.to)
                && one.number == attempt.number
                && !matches!(one.state, State::Up(..))
        })
    }

    /// Keeps an event for a process that is stopped until it goes on; whether it does.
    fn holds_back(&mut self, life: Life, event: impl FnOnce() -> Event) -> bool {
        let held = self.is_living(life) && self.nodes[life.node].is_stopped();
        if held {
            self.nodes[life.node].backlog.push(event());
        }
        held
    }

    /// An attempt begins: the first packet goes out.
    pub(super) fn dial(&mut self, mut attempt: Attempt) {
        if self.holds_back(attempt.from, || Event::Dial(attempt)) {
            return;
        }
        attempt.began = self.now;
        let Some(dialler) = self.dialler(attempt) else {
            return;
        };
        dialler.state = State::Trying;
        let address = dialler.address.clone();
        let (from, to) = (Side::of(attempt.from.node), Side::of(attempt.to));
        let one_way = self.paths.latency(from, to);
        let now = self.now;
        if self.paths.path(from, to) == Path::Refuses {
            let event = Event::DialFailed(attempt, Some(Box::new(LinkEvent::Refused { address })));
            return self.queue.push(now.after(one_way), event);
        }
        if !self.paths.is_open(from, to) {
            let event = Event::DialFailed(attempt, Some(Box::new(LinkEvent::Silent { address })));
            return self.queue.push(now.after(CONNECT_TIMEOUT), event);
        }
        let target = &self.nodes[attempt.to];
        let connect = one_way.saturating_mul(CONNECT_PACKETS);
        let shake = one_way.saturating_mul(SHAKE_PACKETS);
        let silent = Some(Box::new(LinkEvent::Silent {
            address: address.clone(),
        }));
        let (at, event) = if connect >= CONNECT_TIMEOUT {
            let event = Event::DialFailed(attempt, silent);
            (now.after(CONNECT_TIMEOUT), event)
        } else if !target.lives() {
            let refused = Some(Box::new(LinkEvent::Refused { address }));
            (now.after(connect), Event::DialFailed(attempt, refused))
        } else if shake >= HANDSHAKE_TIMEOUT {
            let event = Event::DialFailed(attempt, silent);
            (now.after(connect).after(HANDSHAKE_TIMEOUT), event)
        } else {
            // From now on the time of the handshake counts.
            attempt.began = now.after(connect);
            let event = Event::Shake(attempt, target.life);
            (attempt.began.after(shake), event)
        };
        self.queue.push(at, event);
    }

    /// The handshake is at the acceptor.
    pub(super) fn shake(&mut self, attempt: Attempt, acceptor: Life) {
        let Some(dialler) = self.dialler(attempt) else {
            return;
        };
        let address = dialler.address.clone();
        let (from, to) = (Side::of(attempt.from.node), Side::of(attempt.to));
        let silent = Event::DialFailed(
            attempt,
            Some(Box::new(LinkEvent::Silent {
                address: address.clone(),
            })),
        );
        let too_late = attempt.began.after(HANDSHAKE_TIMEOUT).max(self.now);
        if !self.paths.is_open(from, to) {
            return self.queue.push(too_late, silent);
        }
        let one_way = self.paths.latency(to, from);
        let back = self.now.after(one_way);
        if !self.is_living(acceptor) {
            return self.queue.push(back, Event::DialFailed(attempt, None));
        }
        if self.nodes[acceptor.node].is_stopped() {
            // Its kernel took the connection; nobody answers.
            self.queue.push(too_late, silent);
            let event = Event::Shake(attempt, acceptor);
            return self.nodes[acceptor.node].backlog.push(event);
        }
        let (one, other) = (&self.nodes[attempt.from.node], &self.nodes[acceptor.node]);
        let proved = match (&one.proves, &other.proves) {
            _ if !other.store_id => Err("it has not reached its store yet".to_owned()),
            (Some(our), Some(their)) if our == their => Ok(true),
            (Some(our), Some(their)) => Err(format!("it is of the cluster {their}, not {our}")),
            (None, None) if attempt.lane == Lane::Main => Ok(false),
            (None, _) | (_, None) => Err(String::new()),
        };
        match proved {
            Err(reason) if reason.is_empty() || one.proves.is_none() => {
                self.queue.push(back, silent);
            }
            Err(reason) => {
                let reason = format!("{address}: {reason}");
                let event = LinkEvent::Rejected { address, reason };
                self.queue
                    .push(back, Event::DialFailed(attempt, Some(Box::new(event))));
            }
            Ok(proved) => self.accept(attempt, acceptor, proved, back),
        }
    }

    fn accept(&mut self, attempt: Attempt, acceptor: Life, proved: bool, back: Time) {
        let now = self.now;
        let (dialler_is, acceptor_is) = (
            self.nodes[attempt.from.node].identity.clone(),
            self.nodes[acceptor.node].identity.clone(),
        );
        let mut ends = [
            End::new(attempt.from, dialler_is, now),
            End::new(acceptor, acceptor_is, now),
        ];
        // What the acceptor says now comes behind its proof.
        ends[ACCEPTOR].arrives = back;
        let conn = self.conns.add(Conn {
            lane: attempt.lane,
            proved,
            ends,
        });
        // The acceptor has said all that it has to; whether it is heard in time is another matter.
        let limit = attempt.began.after(HANDSHAKE_TIMEOUT).max(now);
        let over = Attempt {
            is_late: back >= limit,
            ..attempt
        };
        self.queue.push(back.min(limit), Event::Shaken(over, conn));
        if attempt.lane == Lane::Main {
            self.enter_link(conn, ACCEPTOR);
            self.wake_dialler(acceptor.node, attempt.from.node);
        }
    }

    /// A new link: an older one of the same direction is ended and replaced without an event.
    fn enter_link(&mut self, conn: ConnId, end: usize) {
        let (life, peer) = (
            self.conns[conn].ends[end].life,
            &self.conns[conn].ends[1 - end],
        );
        let (peer_life, identity) = (peer.life, peer.identity.clone());
        let proved = self.conns[conn].proved;
        let node = &mut self.nodes[life.node];
        let mut first = true;
        let mut replaced = Vec::new();
        node.links.retain(|link| {
            let is_old = link.peer == peer_life && link.end == end;
            first &= link.peer != peer_life;
            if is_old {
                replaced.push(link.conn);
            }
            !is_old
        });
        node.links.push(Link {
            peer: peer_life,
            conn,
            end,
            proved,
        });
        for old in replaced {
            self.close(old, end);
        }
        if first {
            let peer = Identity::clone(&identity);
            self.tell_link(life, LinkEvent::Up { peer });
        }
    }

    /// A peer that connects is dialled without further pause.
    fn wake_dialler(&mut self, id: NodeId, peer: NodeId) {
        let mut diallers = self.nodes[id].diallers.iter();
        let waiting = diallers.position(|one| {
            one.lane == Lane::Main && one.target == Some(peer) && one.state == State::Waiting
        });
        if let Some(index) = waiting {
            self.begin(id, index, Duration::ZERO);
        }
    }

    /// The handshake is over at the dialler.
    pub(super) fn shaken(&mut self, attempt: Attempt, conn: ConnId) {
        if self.holds_back(attempt.from, || Event::Shaken(attempt, conn)) {
            return;
        }
        let now = self.now;
        let (from, to) = (Side::of(attempt.from.node), Side::of(attempt.to));
        let open = self.paths.is_open(from, to) && !attempt.is_late;
        let alive = self.conns[conn].ends[DIALLER].is_alive;
        let Some(dialler) = self.dialler(attempt) else {
            return self.close(conn, DIALLER);
        };
        if !open || !alive {
            let address = dialler.address.clone();
            let late = attempt.began.after(HANDSHAKE_TIMEOUT).max(now);
            let (at, event) = if alive {
                (late, Some(Box::new(LinkEvent::Silent { address })))
            } else {
                (now, None)
            };
            self.close(conn, DIALLER);
            return self.queue.push(at, Event::DialFailed(attempt, event));
        }
        dialler.state = State::Up(conn, now);
        match attempt.lane {
            Lane::Main => self.enter_link(conn, DIALLER),
            Lane::Beat => self.beats_connected(attempt.from.node, attempt.to, conn),
        }
    }

    /// An attempt failed.
    pub(super) fn dial_failed(&mut self, attempt: Attempt, event: Option<Box<LinkEvent>>) {
        let held = event.clone();
        if self.holds_back(attempt.from, || Event::DialFailed(attempt, held)) {
            return;
        }
        let now = self.now;
        let linked = self.nodes[attempt.from.node]
            .links
            .iter()
            .any(|link| link.peer.node == attempt.to);
        let Some(dialler) = self.dialler(attempt) else {
            return;
        };
        let event = match event {
            None if dialler.dying < DYING_ATTEMPTS_MAX => {
                let pause = Duration::from_millis(1 << dialler.dying);
                dialler.dying += 1;
                let again = Attempt {
                    began: now.after(pause),
                    ..attempt
                };
                return self.queue.push(again.began, Event::Dial(again));
            }
            None => LinkEvent::Silent {
                address: dialler.address.clone(),
            },
            Some(event) => *event,
        };
        let is_refusal = matches!(event, LinkEvent::Refused { .. });
        if is_refusal && linked && now < attempt.began.after(ORDER_WAIT) {
            let at = now.after(Duration::from_millis(1));
            return self
                .queue
                .push(at, Event::DialFailed(attempt, Some(Box::new(event))));
        }
        let pause = dialler.next_pause();
        let lane = dialler.lane;
        let address = dialler.address.clone();
        if lane == Lane::Main {
            self.tell_link(attempt.from, event);
        }
        self.begin_by_address(attempt.from.node, lane, &address, pause);
    }

    fn begin_by_address(&mut self, id: NodeId, lane: Lane, address: &Address, pause: Duration) {
        let mut diallers = self.nodes[id].diallers.iter();
        let index = diallers.position(|one| one.lane == lane && one.address == *address);
        if let Some(index) = index {
            self.begin(id, index, pause);
        }
    }

    /// A connection that this process dialled is over.
    pub(super) fn link_ended(&mut self, life: Life, conn: ConnId) {
        let now = self.now;
        let node = &mut self.nodes[life.node];
        let up = |one: &Dialler| matches!(one.state, State::Up(up, _) if up == conn);
        let Some(index) = node.diallers.iter().position(up) else {
            return;
        };
        let dialler = &mut node.diallers[index];
        let State::Up(_, made) = dialler.state else {
            return;
        };
        let pause = if dialler.after_break(made, now) {
            Duration::ZERO
        } else {
            dialler.next_pause()
        };
        if dialler.lane == Lane::Beat {
            self.beats_cut(life.node, conn);
        }
        self.begin(life.node, index, pause);
    }

    /// What a process says of itself has changed: all its connections are made anew, and those that
    /// were there are told to be down.
    pub(super) fn says_anew(&mut self, id: NodeId) {
        let life = self.nodes[id].life;
        for number in 0..self.conns.len() {
            let conn = ConnId(number);
            for end in [DIALLER, ACCEPTOR] {
                let ending = &self.conns[conn].ends[end];
                if ending.life == life && ending.is_open {
                    self.end_own(conn, end);
                }
            }
        }
        for index in 0..self.nodes[id].diallers.len() {
            self.begin(id, index, Duration::ZERO);
        }
    }
}

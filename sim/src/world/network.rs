//! The simulated network: connections that behave as TCP does on real hosts. A dial into a cut
//! hangs, a dead process's host refuses, nothing is learned through a cut (notes/crates.md 1.4).

use super::World;
use super::event::Event;
use doyen_core::identity::{Address, Identity};
use doyen_core::input::{Input, LinkEvent};
use doyen_core::output::BeatPlan;
use doyen_core::time::Time;
use doyen_core::wire::Message;
use std::collections::BTreeSet;
use std::time::Duration;

const BEAT_TICK: Duration = Duration::from_millis(50);
const BEAT_RENEWED_WITHIN: Duration = Duration::from_millis(500);
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);

impl World {
    pub(super) fn send(&mut self, address: &Address, to: &Identity, message: Message) {
        let Some(from) = self.identity(address) else {
            return;
        };
        if self.linked(&from, to) && !self.is_cut(&from.address, &to.address) {
            let at = self.now.after(self.random.micros(100, 400));
            let input = Box::new(Input::Message { from, message });
            self.queue.push(
                at,
                Event::Deliver {
                    to: to.clone(),
                    input,
                },
            );
        }
    }

    pub(super) fn set_dialled(&mut self, address: &Address, addresses: BTreeSet<Address>) {
        let Some(from) = self.identity(address) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(address) else {
            return;
        };
        let fresh: Vec<_> = addresses.difference(&node.dialled).cloned().collect();
        node.dialled = addresses;
        for to in fresh {
            self.plan_dial(self.now, &from, &to, FIRST_PAUSE);
        }
    }

    fn plan_dial(&mut self, at: Time, from: &Identity, to: &Address, pause: Duration) {
        let at = at.after(self.random.micros(100, 400));
        self.queue.push(
            at,
            Event::Dial {
                from: from.clone(),
                to: to.clone(),
                pause,
            },
        );
    }

    pub(super) fn dial(&mut self, from: &Identity, to: &Address, pause: Duration) {
        let wanted = self.nodes.get(&from.address).is_some_and(|node| {
            node.process.is_some() && node.identity == *from && node.dialled.contains(to)
        });
        if !wanted {
            return;
        }
        let next = pause.saturating_mul(2).min(Duration::from_secs(1));
        let cut = self.is_cut(&from.address, to) || self.is_cut(to, &from.address);
        let paused = self
            .nodes
            .get(to)
            .is_some_and(|node| node.stopped.is_some());
        match self.identity(to) {
            Some(peer) if self.linked(from, &peer) => {}
            Some(peer) if !cut && !paused => {
                self.links.insert(pair(from, &peer));
                self.tell(from, LinkEvent::Up { peer: peer.clone() });
                self.tell(&peer, LinkEvent::Up { peer: from.clone() });
            }
            None if !cut => {
                self.tell(
                    from,
                    LinkEvent::Refused {
                        address: to.clone(),
                    },
                );
                self.plan_dial(self.now.after(pause), from, to, next);
            }
            Some(_) | None => {
                let at = self.now.after(DIAL_TIMEOUT);
                let input = Box::new(Input::Link(LinkEvent::Silent {
                    address: to.clone(),
                }));
                self.queue.push(
                    at,
                    Event::Deliver {
                        to: from.clone(),
                        input,
                    },
                );
                self.plan_dial(at.after(pause), from, to, next);
            }
        }
    }

    /// A process died: its host resets its connections, as far as the resets get through.
    pub(super) fn unlink(&mut self, gone: &Identity) {
        let ends: Vec<_> = self
            .links
            .iter()
            .filter(|(a, b)| a == gone || b == gone)
            .map(|(a, b)| if a == gone { b.clone() } else { a.clone() })
            .collect();
        self.links.retain(|(a, b)| a != gone && b != gone);
        for peer in ends {
            // Through a cut the death is learned only when something is sent after the heal; the
            // redial stands for that.
            if !self.is_cut(&gone.address, &peer.address) {
                self.tell(&peer, LinkEvent::Down { peer: gone.clone() });
            }
            let at = self.now.after(Duration::from_micros(600));
            self.plan_dial(at, &peer, &gone.address, FIRST_PAUSE);
        }
    }

    pub(super) fn set_beats(&mut self, address: &Address, plan: BeatPlan) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(address) else {
            return;
        };
        let first = node.beats.beat.is_none();
        node.beats = plan;
        node.beats_renewed = now;
        if first {
            let from = node.identity.clone();
            self.queue.push(now, Event::Beats { from });
        }
    }

    pub(super) fn beat(&mut self, from: &Identity) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&from.address) else {
            return;
        };
        if node.process.is_none() || node.identity != *from {
            return;
        }
        self.queue
            .push(now.after(BEAT_TICK), Event::Beats { from: from.clone() });
        if node.stopped.is_some() || now.since(node.beats_renewed) > BEAT_RENEWED_WITHIN {
            return;
        }
        let Some(mut beat) = node.beats.beat.clone() else {
            return;
        };
        let mut to = Vec::new();
        for (address, interval) in &node.beats.targets {
            let due = node
                .beats_sent
                .get(address)
                .is_none_or(|sent| now.since(*sent) >= *interval);
            if due {
                node.beats_sent.insert(address.clone(), now);
                to.push(address.clone());
            }
        }
        for address in to {
            let Some(node) = self.nodes.get_mut(&from.address) else {
                return;
            };
            node.sequence = node.sequence.saturating_add(1);
            beat.sequence = node.sequence;
            if !self.is_cut(&from.address, &address)
                && let Some(to) = self.identity(&address)
            {
                let at = self.now.after(self.random.micros(100, 400));
                let input = Box::new(Input::Beat(beat.clone()));
                self.queue.push(at, Event::Deliver { to, input });
            }
        }
    }

    fn tell(&mut self, to: &Identity, event: LinkEvent) {
        let at = self.now.after(self.random.micros(100, 500));
        let input = Box::new(Input::Link(event));
        self.queue.push(
            at,
            Event::Deliver {
                to: to.clone(),
                input,
            },
        );
    }

    fn linked(&self, one: &Identity, other: &Identity) -> bool {
        self.links.contains(&pair(one, other))
    }

    fn is_cut(&self, from: &Address, to: &Address) -> bool {
        self.cuts.contains(&(from.clone(), to.clone()))
    }
}

fn pair(one: &Identity, other: &Identity) -> (Identity, Identity) {
    if one <= other {
        (one.clone(), other.clone())
    } else {
        (other.clone(), one.clone())
    }
}

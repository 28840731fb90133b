//! The way to the store and back: bounded calls, lost and late answers.

use super::World;
use super::act::Answered;
use super::events::{Event, Life};
use super::paths::{Path, Side};
use super::storage::{Call, StoreCall, Wrong};
use crate::trace::seen::{NodeId, Seen, Sink, Written};
use doyen_core::input::Input;
use doyen_core::records::transaction::{CommitOutcome, ReadOutcome};
use doyen_core::time::Time;
use std::time::Duration;

/// The bound of a client's read (protocol.md B3).
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(1);
/// A request that lay in a socket for longer is not sent again after a cut.
const RESENT_WITHIN: Duration = Duration::from_secs(5);
/// The pause before a store that cannot be reached is asked for its id again.
const ID_PAUSE: Duration = Duration::from_millis(100);

/// What becomes of a call that reached the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is carried out, and answered.
    Told,
    /// It is carried out, and its answer is lost.
    Lost,
    /// It is carried out long after its sender gave it up.
    Late,
}

impl<S: Sink> World<S> {
    /// The paths of a process to the store and back.
    fn store_paths(&self, id: NodeId) -> (Path, Path) {
        match self.store.away(id) {
            Some(true) => (Path::Refuses, Path::Drops),
            Some(false) => (Path::Drops, Path::Drops),
            None => {
                let side = Side::of(id);
                let to = self.paths.path(side, Side::STORE);
                (to, self.paths.path(Side::STORE, side))
            }
        }
    }

    pub(super) fn store_is_open(&self, id: NodeId) -> bool {
        self.store_paths(id) == (Path::Open, Path::Open)
    }

    /// A process calls the store.
    pub(super) fn call_store(&mut self, id: NodeId, what: Call, answered: Answered) {
        let slow = self.store.slow(id);
        let node = &mut self.nodes[id];
        let mut way = self.store.way(&mut node.random.store);
        if matches!(what, Call::Commit(..)) {
            // What is slow about a commit comes before it holds: events and answers come after.
            way = way.saturating_add(self.store.commits(&mut node.random.store));
        }
        let call = StoreCall {
            life: node.life,
            by: node.identity.clone(),
            sent: self.now,
            what,
            answer_lost: answered == Answered::Lost,
            is_late: false,
        };
        let at = self.now.after(way).after(slow / 2);
        self.queue.push(at, Event::Store(Box::new(call)));
    }

    /// A call reaches the store, or does not.
    pub(super) fn store_works(&mut self, call: StoreCall) {
        let id = call.life.node;
        match self.store_paths(id).0 {
            Path::Drops => {
                self.unanswered(&call);
                if !call.is_late && matches!(call.what, Call::Commit(..)) {
                    self.unsent.push(call);
                }
            }
            Path::Refuses => self.refused(&call),
            Path::Open => match self.fate(&call) {
                Fate::Told => self.work(&call),
                Fate::Lost => self.work(&StoreCall {
                    answer_lost: true,
                    ..call
                }),
                Fate::Late => {
                    self.unanswered(&call);
                    let after = self.nodes[id].random.store.micros(100, 3_000_000);
                    let at = call.sent.after(self.bound(&call)).after(after);
                    let late = StoreCall {
                        is_late: true,
                        ..call
                    };
                    self.queue
                        .push(at.max(self.now), Event::Store(Box::new(late)));
                }
            },
        }
    }

    /// Of the commits that lose their answer every other one is carried out late.
    fn fate(&mut self, call: &StoreCall) -> Fate {
        if call.is_late || !matches!(call.what, Call::Commit(..)) {
            return Fate::Told;
        }
        let id = call.life.node;
        let random = &mut self.nodes[id].random.store;
        if !self.store.loses_answer(id, random) {
            Fate::Told
        } else if random.below(2) == 0 {
            Fate::Late
        } else {
            Fate::Lost
        }
    }

    fn bound(&self, call: &StoreCall) -> Duration {
        match call.what {
            Call::Client(..) => READ_DEADLINE,
            Call::Commit(..) | Call::Read(..) => {
                self.nodes[call.life.node].config.times().store_call
            }
        }
    }

    fn work(&mut self, call: &StoreCall) {
        let id = call.life.node;
        let lost = call.answer_lost || call.is_late;
        let slow = self.store.slow(id);
        let bound = call.sent.after(self.bound(call));
        let random = &mut self.nodes[id].random.store;
        let takes = self.store.way(random).saturating_add(slow / 2);
        // Answers of one session come in the order of its calls' execution.
        let at = self.now.after(takes).max(self.nodes[id].answers_arrive);
        self.nodes[id].answers_arrive = at;
        let told = !lost && at <= bound && self.store_paths(id).1 == Path::Open;
        let stamp = self.store.stamp(self.now);
        let answer = match &call.what {
            Call::Commit(ticket, transaction) => {
                let (outcome, changed) = self.store.model.commit(transaction, stamp);
                let seen = Seen::Store(Written {
                    by: &call.by,
                    transaction,
                    outcome: &outcome,
                    told,
                    changed: &changed,
                    store: &self.store.model,
                    stamp,
                });
                self.sink.seen(self.now, &seen);
                if !changed.is_empty() {
                    self.announce(changed);
                }
                let ticket = *ticket;
                Event::StoreAnswer(
                    call.life,
                    call.sent,
                    Box::new(Input::Committed { ticket, outcome }),
                )
            }
            Call::Read(ticket, query) => {
                let outcome = ReadOutcome::Snapshot(self.store.model.read(query, stamp));
                let input = Input::Read {
                    ticket: *ticket,
                    outcome,
                };
                Event::StoreAnswer(call.life, call.sent, Box::new(input))
            }
            Call::Client(request, query) => {
                let outcome = ReadOutcome::Snapshot(self.store.model.read(query, stamp));
                Event::ClientRead(call.life, *request, Box::new(outcome))
            }
        };
        if told {
            self.queue.push(at, answer);
        } else if !call.is_late {
            self.unanswered(call);
        }
    }

    /// No answer comes within the bound of the call: the third outcome (W4).
    pub(super) fn unanswered(&mut self, call: &StoreCall) {
        if call.is_late {
            return;
        }
        let at = call.sent.after(self.bound(call)).max(self.now);
        let failed = || ReadOutcome::Failed {
            reason: "no answer in time".to_owned(),
        };
        self.give_answer(call, at, CommitOutcome::Unknown, failed());
    }

    fn refused(&mut self, call: &StoreCall) {
        let reason = "the store refuses connections".to_owned();
        let failed = ReadOutcome::Failed {
            reason: reason.clone(),
        };
        self.give_answer(call, self.now, CommitOutcome::NotSent { reason }, failed);
    }

    fn give_answer(
        &mut self,
        call: &StoreCall,
        at: Time,
        commit: CommitOutcome,
        read: ReadOutcome,
    ) {
        let event = match &call.what {
            Call::Commit(ticket, _) => {
                let input = Input::Committed {
                    ticket: *ticket,
                    outcome: commit,
                };
                Event::StoreAnswer(call.life, call.sent, Box::new(input))
            }
            Call::Read(ticket, _) => {
                let input = Input::Read {
                    ticket: *ticket,
                    outcome: read,
                };
                Event::StoreAnswer(call.life, call.sent, Box::new(input))
            }
            Call::Client(request, _) => Event::ClientRead(call.life, *request, Box::new(read)),
        };
        self.queue.push(at, event);
    }

    /// An answer of the store is there.
    pub(super) fn store_answered(&mut self, life: Life, sent: Time, input: Box<Input>) {
        if !self.is_living(life) {
            return;
        }
        let node = &mut self.nodes[life.node];
        if node.is_stopped() {
            let event = Event::StoreAnswer(life, sent, input);
            node.backlog.push(event);
        } else {
            self.handle(life.node, *input);
        }
    }

    /// A process asks the store for its id until it is told (F7).
    pub(super) fn ask_store_id(&mut self, life: Life) {
        if !self.is_living(life) {
            return;
        }
        let open = self.store_is_open(life.node);
        let node = &mut self.nodes[life.node];
        if node.is_stopped() {
            node.backlog.push(Event::StoreId(life));
        } else if open {
            node.store_id = true;
            self.says_anew(life.node);
        } else {
            let at = self.now.after(ID_PAUSE);
            self.queue.push(at, Event::StoreId(life));
        }
    }

    /// Some paths to the store were cut.
    pub(super) fn store_was_cut(&mut self) {
        for number in 0..self.nodes.len() {
            let id = NodeId(number);
            if !self.store_is_open(id) {
                let now = self.now;
                self.nodes[id].watch.cut_since.get_or_insert(now);
            }
        }
    }

    /// Some paths to the store are open again: sessions go on or are lost, what lay in sockets is
    /// sent again.
    pub(super) fn store_was_mended(&mut self) {
        for number in 0..self.nodes.len() {
            let id = NodeId(number);
            if self.store_is_open(id) && self.nodes[id].watch.cut_since.is_some() {
                self.watch_again(id);
            }
        }
        let now = self.now;
        for call in std::mem::take(&mut self.unsent) {
            let id = call.life.node;
            if now.since(call.sent) > RESENT_WITHIN {
                continue;
            }
            if self.store_paths(id).0 != Path::Open {
                self.unsent.push(call);
            } else if self.nodes[id].random.store.below(2) == 0 {
                let pause = self.nodes[id].random.store.micros(100, 400_000);
                let late = StoreCall {
                    is_late: now.since(call.sent) > self.bound(&call),
                    ..call
                };
                self.queue
                    .push(now.after(pause), Event::Store(Box::new(late)));
            }
        }
    }

    /// A fault of the store begins.
    pub(super) fn store_goes_wrong(&mut self, number: usize, nodes: Vec<NodeId>, what: Wrong) {
        self.store.begin(number, nodes, what);
        self.store_was_cut();
    }
}

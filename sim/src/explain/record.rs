//! Makes a picture of what a run shows.

mod happenings;

use super::picture::{FaultBand, Item, ItemId, ItemKind, Lane, Life, Picture, Thought, Wrong};
use super::words;
use crate::oracle::Violation;
use crate::schedule::format;
use crate::schedule::model::Schedule;
use crate::story;
use crate::trace::seen::{Ended, NodeId, Phase, Seen, Sink};
use doyen_core::identity::{Identity, Role};
use doyen_core::input::{Input, RequestId, Ticket};
use doyen_core::output::Output;
use doyen_core::process::ClusterView;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{ReadOutcome, Snapshot, TransactionId};
use doyen_core::time::Time;
use std::collections::{BTreeMap, VecDeque};

/// The most items of a picture; then messages are left out, and beyond twice that everything.
const ITEMS_MAX: usize = 20_000;
/// What a read is said to come from: the latest writes of what it found.
const READ_CAUSES_MAX: usize = 3;

/// Listens to a run and draws it.
#[derive(Debug)]
pub struct Recorder {
    picture: Picture,
    faults: Vec<(String, String)>,
    lanes: BTreeMap<NodeId, usize>,
    places: BTreeMap<Identity, usize>,
    hands: Vec<Hand>,
    flying: BTreeMap<(usize, usize, &'static str), VecDeque<ItemId>>,
    transactions: BTreeMap<TransactionId, Sent>,
    writers: BTreeMap<Key, ItemId>,
    asked: BTreeMap<RequestId, ItemId>,
    open_faults: BTreeMap<usize, usize>,
    now: u64,
}

/// What is known of a lane while it is drawn.
#[derive(Debug, Default)]
struct Hand {
    /// What its next outputs come from.
    causes: Vec<ItemId>,
    /// The last item of it that changed something.
    decisive: Option<ItemId>,
    tickets: BTreeMap<Ticket, TransactionId>,
    paused: Option<u64>,
    deed: Option<ItemId>,
}

/// A transaction on its way.
#[derive(Debug)]
struct Sent {
    at: u64,
    causes: Vec<ItemId>,
    item: Option<ItemId>,
}

impl Recorder {
    /// A recorder for a run of this schedule by this engine.
    #[must_use]
    pub fn new(schedule: &Schedule, engine: &str) -> Self {
        let faults = schedule.faults.iter();
        Self {
            picture: Picture {
                name: schedule.name.clone(),
                story: schedule.story.clone(),
                schedule: format::write(schedule).unwrap_or_default(),
                engine: engine.to_owned(),
                ..Picture::default()
            },
            faults: faults
                .map(|fault| (story::fault_told(fault), words::fault_kind(&fault.kind)))
                .collect(),
            lanes: BTreeMap::new(),
            places: BTreeMap::new(),
            hands: Vec::new(),
            flying: BTreeMap::new(),
            transactions: BTreeMap::new(),
            writers: BTreeMap::new(),
            asked: BTreeMap::new(),
            open_faults: BTreeMap::new(),
            now: 0,
        }
    }

    /// The picture, with what is wrong and what led to it.
    #[must_use]
    pub fn finish(mut self, violation: Option<&Violation>) -> Picture {
        let end = self.now;
        self.picture.end = end;
        for lane in &mut self.picture.lanes {
            if let Some(life) = lane.lives.last_mut().filter(|life| life.ended.is_empty()) {
                life.to = end;
            }
        }
        for (lane, hand) in self.picture.lanes.iter_mut().zip(&self.hands) {
            lane.pauses.extend(hand.paused.map(|since| (since, end)));
        }
        for band in self.open_faults.values() {
            self.picture.faults[*band].to = end;
        }
        if let Some(tenure) = self.picture.tenures.last_mut() {
            tenure.to = end;
        }
        self.picture.violation = violation.map(|violation| Wrong {
            at: violation.at.as_nanos() / 1_000,
            oracle: violation.oracle.to_owned(),
            what: violation.what.clone(),
        });
        super::slice::mark(&mut self.picture);
        super::thin::thin_out(&mut self.picture.items);
        self.picture
    }

    fn lane(&self, node: NodeId) -> Option<usize> {
        self.lanes.get(&node).copied()
    }

    fn place(&self, identity: &Identity) -> Option<usize> {
        self.places.get(identity).copied()
    }

    /// Adds an item; `None` when there are too many already.
    fn add(&mut self, item: Item) -> Option<ItemId> {
        let room = if item.kind == ItemKind::Message {
            ITEMS_MAX
        } else {
            ITEMS_MAX * 2
        };
        if self.picture.items.len() >= room {
            self.picture.left_out = self.picture.left_out.saturating_add(1);
            return None;
        }
        self.picture.items.push(item);
        Some(self.picture.items.len().saturating_sub(1))
    }

    /// Adds what a process did: it comes from what the process was told last.
    fn act(&mut self, lane: usize, kind: ItemKind, text: String, detail: String) -> Option<ItemId> {
        let hand = &self.hands[lane];
        let item = Item {
            at: self.now,
            lane,
            kind,
            text,
            detail,
            to: None,
            until: None,
            causes: hand.causes.clone(),
            in_slice: false,
        };
        let id = self.add(item)?;
        if kind != ItemKind::Message {
            self.hands[lane].decisive = Some(id);
        }
        Some(id)
    }

    fn began(&mut self, node: NodeId, name: &str, identity: &Identity, role: Role) {
        let lane = *self.lanes.entry(node).or_insert_with(|| {
            self.hands.push(Hand::default());
            self.picture.lanes.push(Lane {
                name: name.to_owned(),
                role: words::role(role).to_owned(),
                ..Lane::default()
            });
            self.picture.lanes.len().saturating_sub(1)
        });
        self.places.insert(identity.clone(), lane);
        let hand = &mut self.hands[lane];
        hand.causes.clear();
        hand.tickets.clear();
        self.picture.lanes[lane].lives.push(Life {
            incarnation: identity.incarnation.to_string(),
            from: self.now,
            to: self.now,
            ended: String::new(),
        });
    }

    fn ended(&mut self, node: NodeId, how: &Ended) {
        let Some(lane) = self.lane(node) else {
            return;
        };
        let now = self.now;
        if let Some(life) = self.picture.lanes[lane].lives.last_mut() {
            life.to = now;
            life.ended = words::ended(how);
        }
        self.act(lane, ItemKind::Event, words::ended(how), String::new());
        if let Some(since) = self.hands[lane].paused.take() {
            self.picture.lanes[lane].pauses.push((since, now));
        }
    }

    fn input(&mut self, node: NodeId, input: &Input) {
        let Some(lane) = self.lane(node) else {
            return;
        };
        let direct = match input {
            Input::Message { from, message } => {
                let sender = self.place(from);
                let arrived = sender.and_then(|sender| {
                    let kind = words::message(message);
                    self.flying.get_mut(&(sender, lane, kind))?.pop_front()
                });
                if let Some(id) = arrived {
                    self.picture.items[id].until = Some(self.now);
                }
                arrived.into_iter().collect()
            }
            Input::Committed { ticket, .. } => {
                let transaction = self.hands[lane].tickets.remove(ticket);
                let sent = transaction.and_then(|id| self.transactions.remove(&id));
                sent.and_then(|sent| sent.item).into_iter().collect()
            }
            Input::Read {
                outcome: ReadOutcome::Snapshot(snapshot),
                ..
            } => self.read_causes(snapshot),
            Input::Command(command) => {
                let asked = words::request(command).and_then(|request| self.asked.get(&request));
                asked.copied().into_iter().collect()
            }
            Input::EffectReport(_) => self.hands[lane].deed.into_iter().collect(),
            Input::Beat(_) => {
                self.picture.beats = self.picture.beats.saturating_add(1);
                Vec::new()
            }
            Input::Read { .. } | Input::Link(_) | Input::Timeout | Input::StoreChanged(_) => {
                Vec::new()
            }
        };
        let hand = &mut self.hands[lane];
        hand.causes = direct;
        if hand.causes.is_empty() {
            hand.causes.extend(hand.decisive);
        }
    }

    fn read_causes(&self, snapshot: &Snapshot) -> Vec<ItemId> {
        let keys = snapshot.records.keys();
        let mut causes: Vec<ItemId> = keys
            .filter_map(|key| self.writers.get(key).copied())
            .collect();
        causes.sort_unstable_by(|one, other| other.cmp(one));
        causes.dedup();
        causes.truncate(READ_CAUSES_MAX);
        causes
    }

    fn output(&mut self, node: NodeId, output: &Output) {
        let Some(lane) = self.lane(node) else {
            return;
        };
        match output {
            Output::Send { to, message } => {
                let kind = words::message(message);
                let id = self.act(
                    lane,
                    ItemKind::Message,
                    kind.to_owned(),
                    words::cut(message),
                );
                if let (Some(id), Some(to)) = (id, self.place(to)) {
                    self.picture.items[id].to = Some(to);
                    self.flying
                        .entry((lane, to, kind))
                        .or_default()
                        .push_back(id);
                }
            }
            Output::Commit {
                ticket,
                transaction,
            } => {
                let sent = Sent {
                    at: self.now,
                    causes: self.hands[lane].causes.clone(),
                    item: None,
                };
                self.hands[lane]
                    .tickets
                    .insert(*ticket, transaction.id.clone());
                self.transactions.insert(transaction.id.clone(), sent);
            }
            Output::Event(event) => {
                self.act(
                    lane,
                    ItemKind::Event,
                    words::event(event),
                    words::cut(event),
                );
            }
            Output::Dial { .. }
            | Output::Credentials(_)
            | Output::Beat(_)
            | Output::Read { .. }
            | Output::Effect(_)
            | Output::Answer { .. }
            | Output::Stop(_) => {}
        }
    }

    fn fault(&mut self, index: usize, begins: bool, hits: &[NodeId]) {
        let lanes: Vec<_> = hits.iter().filter_map(|node| self.lane(*node)).collect();
        if !begins {
            if let Some(band) = self.open_faults.remove(&index) {
                self.picture.faults[band].to = self.now;
            }
            return;
        }
        let (what, kind) = self.faults.get(index).cloned().unwrap_or_default();
        self.open_faults.insert(index, self.picture.faults.len());
        self.picture.faults.push(FaultBand {
            what,
            kind,
            from: self.now,
            to: self.now,
            lanes,
        });
    }

    fn views(&mut self, views: &[(NodeId, ClusterView)]) {
        for (node, view) in views {
            let Some(lane) = self.lane(*node) else {
                continue;
            };
            let own = view
                .members
                .iter()
                .find(|one| one.identity == view.identity);
            let silent = view.members.iter().filter(|member| !member.reachable);
            let thought = Thought {
                at: self.now,
                status: own
                    .map(|own| format!("{:?}", own.status))
                    .unwrap_or_default(),
                age: own.and_then(|own| own.age),
                epoch: view.epoch.0,
                holder: view.holder.as_ref().and_then(|holder| self.place(holder)),
                generation: view.generation.0,
                ready: view.ready,
                unreachable: silent.filter_map(|one| self.place(&one.identity)).collect(),
            };
            let thoughts = &mut self.picture.lanes[lane].thoughts;
            let same = thoughts.last().is_some_and(|last| {
                let at = last.at;
                *last
                    == Thought {
                        at,
                        ..thought.clone()
                    }
            });
            if !same {
                thoughts.push(thought);
            }
        }
    }

    fn paused(&mut self, node: NodeId, paused: bool) {
        let Some(lane) = self.lane(node) else {
            return;
        };
        let now = self.now;
        if paused {
            self.hands[lane].paused.get_or_insert(now);
        } else if let Some(since) = self.hands[lane].paused.take() {
            self.picture.lanes[lane].pauses.push((since, now));
        }
    }

    fn broken(&mut self, node: NodeId, text: String) {
        if let Some(lane) = self.lane(node) {
            self.act(lane, ItemKind::Broken, text, String::new());
        }
    }
}

impl Sink for Recorder {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        self.now = at.as_nanos() / 1_000;
        match seen {
            Seen::Phase(phase) => {
                let name = match phase {
                    Phase::WarmUp => "warm-up",
                    Phase::Faults => "faults",
                    Phase::Converge => "converge",
                    Phase::Final => "final",
                };
                self.picture.phases.push((self.now, name.to_owned()));
            }
            Seen::Began {
                node,
                name,
                identity,
                role,
            } => self.began(*node, name, identity, *role),
            Seen::Ended { node, how, .. } => self.ended(*node, how),
            Seen::Paused { node, paused } => self.paused(*node, *paused),
            Seen::Input { node, input, .. } => self.input(*node, input),
            Seen::Output { node, output } => self.output(*node, output),
            Seen::Lost { node, output } => {
                if let Some(lane) = self.lane(*node) {
                    let text = format!("never carried out: {}", words::output(output));
                    self.act(lane, ItemKind::Lost, text, words::cut(output));
                }
            }
            Seen::Store(written) => self.stored(written),
            Seen::Deed { node, deed } => self.deed(*node, deed),
            Seen::Asked {
                node,
                request,
                what,
                key,
                ..
            } => self.asks(*node, *request, what, *key),
            Seen::Answered {
                node,
                request,
                answer,
            } => self.answers(*node, *request, *answer),
            Seen::Read {
                node,
                request,
                found,
                ..
            } => self.reads(*node, *request, found.is_some()),
            Seen::Fault {
                index,
                begins,
                hits,
            } => self.fault(*index, *begins, hits),
            Seen::Views { views } => self.views(views),
            Seen::Spins { node } => {
                self.broken(*node, "it wakes for nothing, again and again".to_owned());
            }
            Seen::Panicked { node, message } => self.broken(*node, format!("panic: {message}")),
        }
    }

    fn is_settled(&self) -> bool {
        false
    }
}

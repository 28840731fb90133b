//! The simulated store behind the runtime's trait: one model for all, delays and faults for each.
//!
//! A call travels beside its process: what was sent arrives although its sender died meanwhile.

use super::acts::Then;
use super::journal::Noted;
use super::world::{State, World};
use crate::schedule::model::{Act, StoreProfile};
use crate::trace::seen::NodeId;
use async_trait::async_trait;
use doyen_core::identity::Identity;
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use doyen_core::time::Stamp;
use doyen_runtime::simulated::sleep_until;
use doyen_runtime::store::{Changes, MetaDataDao};
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The store's clock at the world's start: 14 November 2023.
pub(super) const EPOCH_MS: u64 = 1_700_000_000_000;
/// Events that a watcher may be behind before it is told `Everything` instead.
const EVENTS_MAX: usize = 256;
/// How long after its answer was lost a commit may be carried out.
const LATE_MICROS: (u64, u64) = (500_000, 5_000_000);
/// How long a merged event waits for a later one.
const MERGED_MICROS: (u64, u64) = (100_000, 800_000);

/// A store call as the engine may want to disturb it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It goes through.
    Open,
    /// Nothing comes back.
    Silent,
    /// It is refused at once.
    Refuses,
}

/// The store and who watches it.
#[derive(Default)]
pub(super) struct Store {
    pub(super) model: StoreModel,
    last: Stamp,
    /// How far its clock was moved, in milliseconds.
    pub(super) offset: i64,
    watchers: BTreeMap<NodeId, Watcher>,
}

struct Watcher {
    events: mpsc::Sender<(u64, Change)>,
    last: u64,
    missed: bool,
}

impl Store {
    fn stamp(&mut self, now: u64) -> Stamp {
        let millis = EPOCH_MS
            .saturating_add(now / 1_000_000)
            .saturating_add_signed(self.offset);
        // A server's clock that was set back makes times stand still (protocol.md, Times).
        self.last = self.last.max(Stamp(millis));
        self.last
    }
}

/// How long one way of a call takes, in microseconds.
const fn way(profile: StoreProfile) -> (u64, u64) {
    match profile {
        StoreProfile::Local => (200, 900),
        StoreProfile::Zookeeper => (1_000, 6_000),
    }
}

impl State {
    /// Tells whoever watches, as far as events reach them.
    fn announce(&mut self, now: u64, change: &Change) {
        let watchers: Vec<NodeId> = self.store.watchers.keys().copied().collect();
        for node in watchers {
            let reaches = self.hears(node);
            let merged = self.merges(node);
            let random = self.streams.of("events", node.0);
            let mut delay = random.micros(100, 600);
            if random.permille(merged) {
                delay = delay.saturating_add(random.micros(MERGED_MICROS.0, MERGED_MICROS.1));
            }
            let at = now.saturating_add(nanos(delay));
            if let Some(watcher) = self.store.watchers.get_mut(&node) {
                watcher.tell(at, reaches, change);
            }
        }
    }

    /// The watch of a client is set again: it is told that anything may have changed.
    pub(super) fn watch_anew(&mut self, now: u64, node: NodeId) {
        if let Some(watcher) = self.store.watchers.get_mut(&node) {
            watcher.tell(now.saturating_add(1_000_000), true, &Change::Everything);
        }
    }
}

impl Watcher {
    fn tell(&mut self, at: u64, reaches: bool, change: &Change) {
        if !reaches {
            self.missed = true;
            return;
        }
        self.last = self.last.max(at);
        let change = if self.missed {
            Change::Everything
        } else {
            change.clone()
        };
        // Whoever is behind for good has no process any more, or is told everything later.
        self.missed = self.events.try_send((self.last, change)).is_err();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One process's client.
pub(super) struct Client {
    pub(super) world: Arc<World>,
    pub(super) node: NodeId,
}

/// One call on its way.
struct Call {
    arrives: u64,
    back: Duration,
    reach: Reach,
    loses: bool,
}

impl Call {
    fn disturbed(self, then: Then) -> Self {
        match then {
            Then::GoOn | Then::Never => self,
            Then::LoseAnswer => Self {
                loses: true,
                ..self
            },
            Then::Late(at) => Self {
                loses: true,
                arrives: self.arrives.max(at),
                ..self
            },
        }
    }
}

impl Client {
    fn begin(&self, writes: bool) -> Call {
        let now = self.world.now();
        self.world.with(|state| {
            let reach = state.reach(self.node);
            let (slow, lost) = (state.slows(self.node), state.loses(self.node));
            let span = way(state.profile);
            let random = state.streams.of("store", self.node.0);
            let mut there = random.micros(span.0, span.1).saturating_add(slow);
            let back = random.micros(span.0, span.1);
            let loses = writes && random.permille(lost);
            if loses && random.permille(500) {
                there = there.saturating_add(random.micros(LATE_MICROS.0, LATE_MICROS.1));
            }
            Call {
                arrives: now.saturating_add(nanos(there)),
                back,
                reach,
                loses,
            }
        })
    }

    /// Sends something that is worked on at the store, and waits for what comes back.
    async fn send<T: Send + 'static>(
        &self,
        call: Call,
        work: impl FnOnce(&World, bool) -> T + Send + 'static,
    ) -> T {
        if call.reach == Reach::Open {
            let (answer, answered) = oneshot::channel();
            let (world, node) = (self.world.clone(), self.node);
            self.world.aside(async move {
                sleep_until(call.arrives).await;
                // A cut that came meanwhile swallows it.
                if world.with(|state| state.reach(node)) != Reach::Open {
                    return;
                }
                let told = !call.loses && world.with(|state| state.hears(node));
                let done = work(&world, told);
                if told {
                    let back = nanos(call.back);
                    sleep_until(world.now().saturating_add(back)).await;
                    let _ = answer.send(done);
                }
            });
            if let Ok(done) = answered.await {
                return done;
            }
        }
        // Silence: the runtime's own bound ends the call.
        std::future::pending().await
    }
}

impl World {
    fn commits(&self, by: &Identity, transaction: &Transaction, told: bool) -> CommitOutcome {
        let now = self.now();
        self.with(|state| {
            let stamp = state.store.stamp(now);
            let (outcome, changed) = state.store.model.commit(transaction, stamp);
            let noted = Noted::Store(by.clone(), Box::new(transaction.clone()), told, stamp);
            state.note(now, noted);
            for key in changed {
                state.announce(now, &Change::Record(key));
            }
            outcome
        })
    }
}

const REFUSED: &str = "the store refuses connections";

#[async_trait]
impl MetaDataDao for Client {
    async fn commit(&self, transaction: Transaction) -> CommitOutcome {
        let then = self.world.before(self.node, Act::Commit).await;
        let by = match then {
            Then::Never => None,
            _ => self.world.commits_of(self.node, &transaction),
        };
        let Some(by) = by else {
            return std::future::pending().await;
        };
        let call = self.begin(true).disturbed(then);
        if call.reach == Reach::Refuses {
            sleep_until(call.arrives).await;
            return CommitOutcome::NotSent {
                reason: REFUSED.to_owned(),
            };
        }
        self.send(call, move |world, told| {
            world.commits(&by, &transaction, told)
        })
        .await
    }

    async fn read(&self, query: Query) -> ReadOutcome {
        let then = self.world.before(self.node, Act::Read).await;
        if then == Then::Never {
            return std::future::pending().await;
        }
        self.world.reads(self.node, &query);
        let call = self.begin(false).disturbed(then);
        if call.reach == Reach::Refuses {
            sleep_until(call.arrives).await;
            return ReadOutcome::Failed {
                reason: REFUSED.to_owned(),
            };
        }
        self.send(call, move |world, _| {
            let now = world.now();
            world.with(|state| {
                let stamp = state.store.stamp(now);
                ReadOutcome::Snapshot(state.store.model.read(&query, stamp))
            })
        })
        .await
    }

    async fn watch(&self) -> Changes {
        let (events, mut coming) = mpsc::channel(EVENTS_MAX);
        self.world.with(|state| {
            let watcher = Watcher {
                events,
                last: 0,
                missed: false,
            };
            state.store.watchers.insert(self.node, watcher);
        });
        let events = stream::poll_fn(move |cx| coming.poll_recv(cx));
        let events = events.then(|(at, change)| async move {
            sleep_until(at).await;
            change
        });
        stream::iter([Change::Everything]).chain(events).boxed()
    }

    async fn store_id(&self) -> Option<String> {
        let call = self.begin(false);
        sleep_until(call.arrives).await;
        (call.reach == Reach::Open).then(|| "simulated".to_owned())
    }
}

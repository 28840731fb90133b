//! Follows the cluster's own records: read again at every change, and every half second, which is
//! also the barrier of an idle server (protocol.md S7) and the net under lost events (B1).

use super::shared::{Followed, Purpose, Shared};
use crate::identity::Identity;
use crate::output::ClusterEvent;
use crate::planted::planted;
use crate::records::cluster::ClusterRecord;
use crate::records::key::{self, Key, Layout};
use crate::records::singleton::{PulseRecord, SingletonRecord};
use crate::records::transaction::{Change, Query, Snapshot, Stored, Transaction, written};
use crate::records::{Versioned, decode};
use crate::time::{Stamp, Time};
use serde::de::DeserializeOwned;

/// What a read of the cluster's records showed to be new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// There is a roster of a later generation, or another cluster, or the first one.
    pub(crate) roster: bool,
    /// Epoch or holder are others than before; holds the holder before.
    pub(crate) office: Option<Option<Identity>>,
    /// `cluster` was there and is gone, or has another id (F7).
    pub(crate) cluster_changed: Option<String>,
}

/// Reads the cluster's own records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follow {
    reading: bool,
    dirty: bool,
    last: Option<Time>,
    /// We wrote one of the records while the read was under way, so its answer may be older.
    overtaken: bool,
    /// What is read; whole once the cluster's id is known.
    query: Query,
}

impl Follow {
    /// Takes note of a change in the store.
    pub(crate) fn changed(&mut self, shared: &mut Shared, change: &Change) {
        let ours = match change {
            Change::Everything => !planted!(SessionLossIgnored),
            Change::Record(changed) => {
                *changed == key::cluster()
                    || shared
                        .layout()
                        .is_some_and(|layout| is_own(&layout, changed))
            }
        };
        if let (Change::Record(changed), Some(layout)) = (change, shared.layout())
            && *changed == layout.pulse()
        {
            // The event alone shows that the holder moved it; no read is needed.
            shared.followed.pulse_moved = shared.now;
            return;
        }
        if ours {
            self.want(shared);
        }
    }

    /// Reads soon: now, or when the read that is under way is answered.
    pub(crate) fn want(&mut self, shared: &mut Shared) {
        self.dirty = true;
        self.step(shared);
    }

    pub(crate) fn step(&mut self, shared: &mut Shared) {
        let due = self.deadline(shared).is_none_or(|due| shared.now >= due);
        if self.reading || !(self.dirty || due) {
            return;
        }
        self.reading = true;
        self.overtaken = false;
        self.dirty = false;
        self.last = Some(shared.now);
        if self.query.keys.len() <= 1 {
            self.query.keys.insert(key::cluster());
            let layout = shared.layout();
            self.query.keys.extend(layout.iter().flat_map(own_keys));
        }
        shared.read(self.query.clone(), Purpose::Follow);
    }

    /// When the next read is due by itself; `None` for at once.
    pub(crate) fn deadline(&self, shared: &Shared) -> Option<Time> {
        self.last
            .map(|last| last.after(shared.times().idle_barrier))
    }

    /// Whether a read is under way.
    pub(crate) const fn is_reading(&self) -> bool {
        self.reading
    }

    pub(crate) fn failed(&mut self) {
        // The next one is due half a second after the last; a store that is away is not hammered.
        self.reading = false;
    }

    pub(crate) fn answered(&mut self, shared: &mut Shared, snapshot: &Snapshot) -> News {
        self.reading = false;
        let believed = [planted!(OvertakenTaken), planted!(OldReadWins)].contains(&true);
        if self.overtaken && !believed {
            self.want(shared);
            return News::default();
        }
        shared.followed.read = true;
        let news = if snapshot.records.contains_key(&key::cluster()) {
            self.take(shared, snapshot)
        } else {
            let gone = shared.followed.cluster.is_some();
            let text = || "the `cluster` record is gone".to_owned();
            News {
                cluster_changed: gone.then(text),
                ..News::default()
            }
        };
        self.step(shared);
        news
    }

    fn take(&mut self, shared: &mut Shared, snapshot: &Snapshot) -> News {
        let mut news = News::default();
        let old = shared.followed.cluster.as_ref();
        let before = old.map(|old| (old.value.id.clone(), old.value.roster.generation));
        let new: Option<Versioned<ClusterRecord>> = fresh(
            shared,
            snapshot,
            &key::cluster(),
            "the cluster",
            |followed| followed.cluster.as_ref(),
        );
        if let Some(new) = new {
            if let Some((id, _)) = before.as_ref().filter(|(id, _)| *id != new.value.id) {
                news.cluster_changed = Some(format!("cluster {id} is now {}", new.value.id));
                return news;
            }
            let generation = new.value.roster.generation;
            // A read that was sent before our own commit must not take us back.
            if before
                .as_ref()
                .is_none_or(|(_, known)| generation >= *known)
            {
                news.roster = before.as_ref().is_none_or(|(_, known)| generation > *known);
                let layout = || Layout::new(&new.value.id);
                shared.followed.layout.get_or_insert_with(layout);
                shared.followed.cluster = Some(new);
                shared.followed.replaced = shared.followed.replaced.saturating_add(1);
            }
        }
        if before.is_none() {
            self.dirty = true;
            shared.followed.pulse_moved = shared.now;
        }
        news.office = office(shared, snapshot);
        self.rest(shared, snapshot);
        if news.roster {
            let (generation, listed) = shared.roster().map_or_else(Default::default, |roster| {
                (roster.generation, roster.listed.clone())
            });
            shared
                .outbox
                .event(ClusterEvent::RosterChanged { generation, listed });
        }
        news
    }

    /// Takes over what our own committed transaction wrote, without reading it again.
    pub(crate) fn absorb(
        &mut self,
        shared: &mut Shared,
        transaction: &Transaction,
        stamp: Stamp,
    ) -> News {
        self.overtaken = true;
        let records = written(transaction, stamp);
        let records = records
            .into_iter()
            .filter_map(|(key, stored)| Some((key, stored?)))
            .collect();
        let snapshot = Snapshot {
            records,
            stamp,
            ..Snapshot::default()
        };
        self.take(shared, &snapshot)
    }

    fn rest(&mut self, shared: &mut Shared, snapshot: &Snapshot) {
        let Some(layout) = shared.layout() else {
            return;
        };
        let challenge = fresh(shared, snapshot, &layout.challenge(), "a challenge", |f| {
            f.challenge.as_ref()
        });
        if let Some(challenge) = challenge {
            shared.followed.challenge = Some(challenge);
        }
        let split = fresh(shared, snapshot, &layout.split(), "a split", |followed| {
            followed.split.as_ref()
        });
        if let Some(split) = split {
            shared.followed.split = Some(split);
        }
        if let Some(pulse) = snapshot.records.get(&layout.pulse())
            && shared.followed.pulse != Some(pulse.version)
        {
            shared.followed.pulse = Some(pulse.version);
            shared.followed.pulse_moved = shared.now;
            // One that cannot be read counts all the same: its version is what matters.
            let read = decoded::<PulseRecord>(shared, snapshot, &layout.pulse(), "a pulse");
            shared.followed.pulse_rest = read.map(|pulse| pulse.value.rest).unwrap_or_default();
        }
    }
}

fn office(shared: &mut Shared, snapshot: &Snapshot) -> Option<Option<Identity>> {
    let layout = shared.layout()?;
    let new: Versioned<SingletonRecord> = fresh(
        shared,
        snapshot,
        &layout.singleton(),
        "the singleton",
        |followed| followed.singleton.as_ref(),
    )?;
    let before = shared.followed.singleton.clone();
    // As with the roster: a read from before our own commit must not take us back.
    if before
        .as_ref()
        .is_some_and(|old| old.value.epoch >= new.value.epoch && !planted!(OldReadWins))
    {
        return None;
    }
    let moved = ClusterEvent::SingletonMoved {
        epoch: new.value.epoch,
        holder: new.value.holder.clone(),
    };
    shared.followed.singleton = Some(new);
    shared.outbox.event(moved);
    Some(before.map(|old| old.value.holder))
}

fn own_keys(layout: &Layout) -> [Key; 4] {
    [
        layout.singleton(),
        layout.pulse(),
        layout.challenge(),
        layout.split(),
    ]
}

fn is_own(layout: &Layout, changed: &Key) -> bool {
    own_keys(layout).contains(changed)
}

/// Decodes one record of a snapshot if it is not the write of it that is known already: of a
/// cluster at rest nothing is decoded at each look.
fn fresh<T: DeserializeOwned>(
    shared: &mut Shared,
    snapshot: &Snapshot,
    key: &Key,
    what: &'static str,
    known: impl Fn(&Followed) -> Option<&Versioned<T>>,
) -> Option<Versioned<T>> {
    let stored = snapshot.records.get(key)?;
    if known(&shared.followed).is_some_and(|known| known.is_of(stored)) {
        return None;
    }
    decoded_stored(shared, key, what, stored)
}

/// Decodes one record of a snapshot; one that cannot be read is reported and taken as absent.
pub(crate) fn decoded<T: DeserializeOwned>(
    shared: &mut Shared,
    snapshot: &Snapshot,
    key: &Key,
    what: &'static str,
) -> Option<Versioned<T>> {
    decoded_stored(shared, key, what, snapshot.records.get(key)?)
}

/// Decodes a record; one that cannot be read is reported and taken as absent.
pub(crate) fn decoded_stored<T: DeserializeOwned>(
    shared: &mut Shared,
    key: &Key,
    what: &'static str,
    stored: &Stored,
) -> Option<Versioned<T>> {
    match decode(key, what, stored) {
        Ok(record) => Some(record),
        Err(error) => {
            shared.warn(&error);
            None
        }
    }
}

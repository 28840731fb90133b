//! What every part of a driver works with: launch, layout, outbox, and how the store answers.

use super::DriverLaunch;
use super::reader::Reader;
use crate::config::ValidConfig;
use crate::outbox::Outbox;
use crate::output::ClusterEvent;
use crate::records::context::ContextRecord;
use crate::records::key::{Key, Layout};
use crate::records::{RecordError, Versioned, decode, transaction::Snapshot};
use crate::time::{Stamp, StampClock, Time};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::time::Duration;

/// The first pause after the store did not answer.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How many damaged records are remembered, so that each is reported once.
const WARNED_MAX: usize = 1_000;

/// What the parts share.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) config: ValidConfig,
    pub(super) launch: DriverLaunch,
    pub(super) layout: Layout,
    /// The keys of its own context's records.
    pub(super) keys: Keys,
    pub(super) outbox: Outbox,
    pub(super) now: Time,
    pub(super) store: StoreLink,
    /// Reads of context, owner, life and cluster.
    pub(super) records: Reader,
    /// Listings of the context's jobs.
    pub(super) listing: Reader,
    /// The context as it was read last.
    pub(super) context: Option<ContextRecord>,
    warned: BTreeSet<Key>,
}

/// Where the records of a context lie: asked for at each event and each read.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) context: Key,
    pub(super) owner: Key,
    pub(super) life: Key,
    /// The folder of its jobs.
    pub(super) jobs: Key,
}

impl Desk {
    pub(super) fn new(config: ValidConfig, launch: DriverLaunch, now: Time) -> Self {
        let layout = Layout::new(&launch.cluster);
        Self {
            keys: Keys {
                context: layout.context(&launch.context),
                owner: layout.owner(&launch.context),
                life: layout.life(&launch.context),
                jobs: layout.jobs(&launch.context),
            },
            layout,
            outbox: Outbox::new(launch.identity.clone()),
            config,
            launch,
            now,
            store: StoreLink::default(),
            records: Reader::default(),
            listing: Reader::default(),
            context: None,
            warned: BTreeSet::new(),
        }
    }

    /// Tells people something.
    pub(super) fn warn(&mut self, text: String) {
        self.outbox.event(ClusterEvent::Warning { text });
    }

    /// Tells people of a damaged record, once.
    pub(super) fn warn_of(&mut self, key: &Key, text: impl Into<String>) {
        if self.warned.len() < WARNED_MAX && self.warned.insert(key.clone()) {
            self.warn(text.into());
        }
    }

    /// The store answered.
    pub(super) fn store_answered(&mut self, what: Call, stamp: Option<Stamp>) {
        if self.store.answered(self.now, what, stamp) {
            self.outbox
                .event(ClusterEvent::StoreReachable { reachable: true });
        }
    }

    /// The store did not answer.
    pub(super) fn store_failed(&mut self, what: Call) {
        if self.store.failed(self.now, what) {
            self.outbox
                .event(ClusterEvent::StoreReachable { reachable: false });
        }
    }

    /// The store's time now, for people.
    pub(super) fn stamp(&self) -> Stamp {
        self.store.clock.now(self.now)
    }

    /// The context's name; empty before it was read.
    pub(super) fn context_name(&self) -> &str {
        self.context.as_ref().map_or("", |one| one.name.as_str())
    }
}

/// One record of a snapshot.
///
/// # Errors
/// It is there but cannot be read.
pub(super) fn look<T: DeserializeOwned>(
    found: &Snapshot,
    key: &Key,
    what: &'static str,
) -> Result<Option<Versioned<T>>, RecordError> {
    found
        .records
        .get(key)
        .map(|stored| decode(key, what, stored))
        .transpose()
}

/// A call of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Commit,
}

/// How the store answers: its clock, and the pause after it did not.
#[derive(Clone, Debug)]
pub(super) struct StoreLink {
    pub(super) clock: StampClock,
    last_success: Option<Time>,
    reachable: bool,
    /// Commits are not answered, whatever reads are.
    commits_fail: bool,
    pause: Duration,
    retry_at: Option<Time>,
}

impl Default for StoreLink {
    fn default() -> Self {
        Self {
            clock: StampClock::default(),
            last_success: None,
            reachable: true,
            commits_fail: false,
            pause: PAUSE_MIN,
            retry_at: None,
        }
    }
}

impl StoreLink {
    fn answered(&mut self, now: Time, what: Call, stamp: Option<Stamp>) -> bool {
        if let Some(stamp) = stamp {
            self.clock.observe(now, stamp);
        }
        self.last_success = Some(now);
        self.commits_fail &= what == Call::Read;
        // A pause that began lasts: an answered read between two unanswered commits shortens none.
        if !self.commits_fail {
            self.pause = PAUSE_MIN;
        }
        !std::mem::replace(&mut self.reachable, true)
    }

    fn failed(&mut self, now: Time, what: Call) -> bool {
        self.commits_fail |= what == Call::Commit;
        self.delay(now);
        std::mem::replace(&mut self.reachable, false)
    }

    /// Sends nothing for a pause, which doubles until the store answers.
    pub(super) fn delay(&mut self, now: Time) {
        if self.retry_at.is_none() {
            self.retry_at = Some(now.after(self.pause));
            self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Ends the pause when its time has come.
    pub(super) fn tick(&mut self, now: Time) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
    }

    /// Whether something may be sent.
    pub(super) const fn is_open(&self) -> bool {
        self.retry_at.is_none()
    }

    pub(super) const fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    pub(super) const fn last_success(&self) -> Option<Time> {
        self.last_success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_a_second_and_starts_over_after_an_answer() {
        let mut store = StoreLink::default();
        let mut now = Time::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            store.failed(now, Call::Commit);
            let at = store.retry_at().unwrap();
            pauses.push(at.since(now).as_millis());
            store.answered(now, Call::Read, None);
            assert!(
                !store.is_open(),
                "reads do not show that commits are answered"
            );
            now = at;
            store.tick(now);
            assert!(store.is_open());
        }
        assert_eq!(pauses, [200, 400, 800, 1000, 1000]);
        store.answered(now, Call::Commit, None);
        store.failed(now, Call::Read);
        assert_eq!(store.retry_at().unwrap().since(now).as_millis(), 200);
    }
}

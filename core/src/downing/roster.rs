//! Changes of the roster: listing joiners, taking off who leaves, and deciding splits
//! (protocol.md F2, R).
//!
//! | state | on | then |
//! |---|---|---|
//! | connected with all | somebody is not connected any more | unstable, since now |
//! | unstable | the set of the unconnected changes | unstable, since now |
//! | unstable | connected with all | stable; an announcement is void |
//! | unstable for `stable-after`, preferred | | replace the roster |
//! | unstable for `stable-after`, not preferred | | announce, wait `witness-delay`, replace |

use super::keep_oldest::is_preferred;
use crate::identity::Identity;
use crate::membership::{Membership, Status};
use crate::planted::planted;
use crate::reachability::sight::{Seen, Sight};
use crate::records::cluster::{Generation, Roster};
use crate::records::encode;
use crate::records::key;
use crate::records::singleton::{SingletonRecord, SplitRecord};
use crate::records::transaction::{CommitOutcome, Transaction, Version};
use crate::server::shared::{Purpose, Shared};
use crate::server::work::RosterWork;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const RETRY: Duration = Duration::from_millis(500);
const JOINER_FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Joiner {
    generation: Generation,
    heard: Time,
}

/// An announcement of this side (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announcement {
    generation: Generation,
    committed: Option<Time>,
}

/// Who changes the roster, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct RosterKeeper {
    joiners: BTreeMap<Identity, Joiner>,
    /// The listed servers that we are connected with, and those that we are not.
    connected: BTreeSet<Identity>,
    unconnected: BTreeSet<Identity>,
    /// Whether a listed server waits to be taken off the roster.
    exiting: bool,
    since: Option<Time>,
    announcement: Option<Announcement>,
    split_read: Option<Version>,
    /// A split of this generation was read: `stable-after` is skipped once (R4).
    hurried: Option<Generation>,
    /// Until when a process that stood still hears anew whom it is connected with (S5).
    hears_anew: Time,
    committing: bool,
    retry_at: Option<Time>,
}

impl RosterKeeper {
    /// A `Join` of the current generation arrived.
    pub(crate) fn joins(&mut self, now: Time, joiner: Identity, generation: Generation) {
        self.joiners
            .retain(|other, _| other.address != joiner.address || *other == joiner);
        self.joiners.insert(
            joiner,
            Joiner {
                generation,
                heard: now,
            },
        );
    }

    /// The joiners that wait, to beat to them.
    pub(crate) fn joiners(&self) -> impl Iterator<Item = &Identity> {
        self.joiners.keys()
    }

    /// Joiners that have not asked for a while, or whose generation is past.
    pub(crate) fn forget_joiners(&mut self, now: Time, generation: Generation) -> Vec<Identity> {
        let stale = |joiner: &Joiner| {
            joiner.generation != generation || now.since(joiner.heard) > JOINER_FORGOTTEN_AFTER
        };
        let gone: Vec<_> = self
            .joiners
            .iter()
            .filter(|(_, one)| stale(one))
            .map(|(id, _)| id.clone())
            .collect();
        self.joiners.retain(|_, joiner| !stale(joiner));
        gone
    }

    /// Our own timers fired so late: nobody was heard meanwhile, nor heard us. That silence is
    /// nobody else's, and decides nothing: one detection time passes before anybody is left out (S5).
    pub(crate) fn count_anew(&mut self, now: Time, late: Duration, detection: Duration) {
        self.since = self.since.map(|since| since.after(late).min(now));
        if !planted!(WakesDeciding) {
            self.hears_anew = now.after(detection);
        }
    }

    /// The store's `split` record was read (R4).
    pub(crate) fn split_was_read(&mut self, shared: &Shared) {
        let Some(split) = &shared.followed.split else {
            return;
        };
        let changed = self.split_read.is_some_and(|read| read != split.version);
        self.split_read = Some(split.version);
        let by_other = split
            .value
            .writer
            .as_ref()
            .is_some_and(|writer| *writer != shared.me);
        if changed && by_other && split.value.generation == shared.generation() {
            self.hurried = Some(split.value.generation);
        }
    }

    pub(crate) fn committed(&mut self, shared: &Shared, work: RosterWork, outcome: &CommitOutcome) {
        self.committing = false;
        let done = matches!(outcome, CommitOutcome::Committed { .. });
        if done && work == RosterWork::Announce {
            if let Some(announcement) = &mut self.announcement {
                announcement.committed = Some(shared.now);
            }
        } else if !done {
            self.announcement = None;
            self.retry_at = Some(shared.now.after(RETRY));
        }
    }

    /// Goes on; `news` tells that beats, roster or membership are others than at the last step.
    pub(crate) fn step(&mut self, shared: &mut Shared, seen: Seen<'_>, news: bool) {
        let Some(roster) = shared.roster() else {
            return;
        };
        if !roster.lists(&shared.me) {
            return;
        }
        self.watch_stability(shared, roster, seen, news);
        if news {
            self.exiting = exiting(roster, seen.membership).next().is_some();
        }
        if self.committing || self.retry_at.is_some_and(|at| shared.now < at) {
            return;
        }
        let next = self
            .listing(shared, roster, seen)
            .or_else(|| self.delisting(shared, roster, seen));
        if let Some(next) = next {
            self.change(shared, next);
        } else {
            self.decide(shared);
        }
    }

    pub(crate) fn deadline(&self, shared: &Shared) -> Option<Time> {
        if self.committing || shared.leaving {
            return None;
        }
        let since = self.since?;
        let due = match self.announcement {
            Some(Announcement {
                committed: Some(at),
                ..
            }) => at.after(shared.times().witness_delay),
            Some(_) => return None,
            None if self.hurried == Some(shared.generation()) => shared.now,
            None => since.after(shared.times().stable_after),
        };
        let due = due.max(self.hears_anew);
        Some(self.retry_at.map_or(due, |at| due.max(at)))
    }

    fn watch_stability(&mut self, shared: &Shared, roster: &Roster, seen: Seen<'_>, news: bool) {
        let mut moved = false;
        if news {
            self.connected.clone_from(seen.sight.connected());
            let others = roster.listed.iter();
            let others = others.filter(|one| !self.connected.contains(*one));
            let unconnected: BTreeSet<_> = others.cloned().collect();
            moved = unconnected != self.unconnected;
            self.unconnected = unconnected;
        }
        if self.unconnected.is_empty() {
            // Having been connected with all since it was sent voids an announcement (R4).
            if !planted!(AnnouncementNotVoided) {
                self.announcement = None;
            }
            self.since = None;
            self.hurried = None;
        } else if (moved && !planted!(QuietNotRestarted)) || self.since.is_none() {
            self.since = Some(shared.now);
        }
        if self
            .announcement
            .is_some_and(|one| one.generation != roster.generation)
        {
            self.announcement = None;
        }
    }

    /// F2: the leader lists a joiner of this generation that is connected with every listed server
    /// that the leader is connected with.
    fn listing(&self, shared: &Shared, roster: &Roster, seen: Seen<'_>) -> Option<Roster> {
        if self.joiners.is_empty() || shared.leaving || !leads(shared, roster, seen.sight) {
            return None;
        }
        let (now, detection, me) = (shared.now, shared.times().detection, &shared.me);
        let detector = seen.detector;
        let known = |joiner: &Identity| {
            let theirs = detector.heard(joiner).map(|(_, beat)| beat);
            detector.connected(now, detection, me, joiner)
                && (planted!(ListsUnconnected)
                    || theirs.is_some_and(|theirs| {
                        self.connected.iter().filter(|one| *one != me).all(|one| {
                            let replaced = one.address == joiner.address;
                            let hears = theirs.hears.contains(one);
                            replaced || (hears && is_heard(me, one, joiner, seen))
                        })
                    }))
        };
        let room = shared
            .limits()
            .members_max
            .saturating_sub(roster.listed.len());
        let joiners: Vec<_> = self
            .joiners
            .iter()
            .filter(|(id, one)| {
                let current = one.generation == roster.generation;
                (current || planted!(ListsAnyGeneration)) && !roster.lists(id) && known(id)
            })
            .map(|(id, _)| id.clone())
            .take(room)
            .collect();
        (!joiners.is_empty()).then(|| roster.joined_by(&joiners))
    }

    /// R4.
    fn decide(&mut self, shared: &mut Shared) {
        if shared.leaving || self.deadline(shared).is_none_or(|due| shared.now < due) {
            return;
        }
        let Some(roster) = shared.roster() else {
            return;
        };
        if planted!(SplitNotRecomputed)
            && let (Some(_), Some(split)) = (self.announcement, &shared.followed.split)
        {
            let announced = roster.keeping(&split.value.connected);
            return self.change(shared, announced);
        }
        let down_if_alone = shared.config.get().down_if_alone;
        let preferred = is_preferred(roster, &self.connected, down_if_alone);
        if preferred || self.announcement.is_some() || planted!(SplitUnannounced) {
            self.hurried = None;
            // `connected` is of this very moment: it is worked out again with every change.
            let next = roster.keeping(&self.connected);
            self.change(shared, next);
        } else {
            let generation = roster.generation;
            self.announce(shared, generation);
        }
    }

    fn announce(&mut self, shared: &mut Shared, generation: Generation) {
        let (Some(layout), Some(split), Some(cluster)) = (
            shared.layout(),
            shared.followed.split.clone(),
            shared
                .followed
                .cluster
                .as_ref()
                .map(|cluster| cluster.version),
        ) else {
            // A record that cannot be read was reported; it may be mended.
            self.retry_at = Some(shared.now.after(RETRY));
            return;
        };
        self.hurried = None;
        let record = SplitRecord {
            generation,
            writer: Some(shared.me.clone()),
            connected: self.connected.clone(),
            rest: split.value.rest,
        };
        let transaction = shared
            .outbox
            .transaction()
            .check(key::cluster(), cluster)
            .put(layout.split(), encode(&record), split.version);
        self.announcement = Some(Announcement {
            generation,
            committed: None,
        });
        self.committing = true;
        shared.commit(transaction, Purpose::Roster(RosterWork::Announce));
    }

    /// R1: no change waits for convergence; who is Exiting is taken off by the leader at once. A
    /// leaving server that the leader does not take off in time does it itself (ADR 0004).
    fn delisting(&self, shared: &Shared, roster: &Roster, seen: Seen<'_>) -> Option<Roster> {
        if !self.exiting {
            return None;
        }
        let leaves: BTreeSet<_> = exiting(roster, seen.membership).cloned().collect();
        let mine = leaves.contains(&shared.me);
        if !(leads(shared, roster, seen.sight) || mine) {
            return None;
        }
        let gone = if mine {
            BTreeSet::from([shared.me.clone()])
        } else {
            leaves
        };
        let stay = roster.listed.iter().filter(|one| !gone.contains(*one));
        Some(roster.keeping(&stay.cloned().collect()))
    }

    fn change(&mut self, shared: &mut Shared, next: Roster) {
        if let Some(transaction) = roster_change(shared, next) {
            self.committing = true;
            shared.commit(transaction, Purpose::Roster(RosterWork::Change));
        } else {
            self.retry_at = Some(shared.now.after(RETRY));
        }
    }
}

/// Whether a listed server hears a joiner, which beats to all: its own beats tell, or, when it owes us
/// none, that it does not say the contrary (R3).
fn is_heard(me: &Identity, one: &Identity, joiner: &Identity, seen: Seen<'_>) -> bool {
    if seen.lanes.joins(me, one) {
        let heard = seen.detector.heard(one);
        heard.is_some_and(|(_, beat)| beat.hears.contains(joiner))
    } else {
        !seen.membership.observers_of(joiner).contains(one)
    }
}

/// R2: the leader is the oldest listed server that one sees reachable.
pub(crate) fn leader(shared: &Shared, roster: &Roster, sight: &Sight) -> Option<Identity> {
    roster
        .listed
        .iter()
        .find(|one| **one == shared.me || sight.sees(one))
        .cloned()
}

fn leads(shared: &Shared, roster: &Roster, sight: &Sight) -> bool {
    leader(shared, roster, sight).as_ref() == Some(&shared.me)
}

/// The listed servers that wait to be taken off.
fn exiting<'a>(
    roster: &'a Roster,
    membership: &'a Membership,
) -> impl Iterator<Item = &'a Identity> {
    let waits = |one: &&Identity| membership.status(one) == Some(Status::Exiting);
    roster.listed.iter().filter(waits)
}

/// The transaction that replaces the roster. One that leaves anyone out is guarded by `singleton`
/// too, and takes the office for its writer when it leaves out the holder (R5). A holder that takes
/// itself off leaves the office to the oldest that stays, whoever that is: what it still wrote under
/// the office is refused from then on (S3, W2).
fn roster_change(shared: &mut Shared, next: Roster) -> Option<Transaction> {
    let layout = shared.layout()?;
    let cluster = shared.followed.cluster.clone()?;
    let singleton = shared.followed.singleton.clone()?;
    let leaves_out = cluster
        .value
        .roster
        .listed
        .iter()
        .any(|one| !next.lists(one));
    let heir = if next.lists(&singleton.value.holder) || planted!(LeftOutKeepsOffice) {
        None
    } else if next.lists(&shared.me) {
        Some(shared.me.clone())
    } else {
        let oldest = next.listed.first().cloned();
        oldest.filter(|_| !planted!(LeavesWithoutGrant))
    };
    let mut record = cluster.value;
    record.roster = next;
    let mut transaction =
        shared
            .outbox
            .transaction()
            .put(key::cluster(), encode(&record), cluster.version);
    if let Some(holder) = heir {
        let epoch = singleton.value.epoch.next();
        let office = SingletonRecord {
            epoch,
            holder,
            rest: singleton.value.rest,
        };
        transaction = transaction
            .put(layout.singleton(), encode(&office), singleton.version)
            .put_any(layout.pulse(), shared.raised_pulse(epoch, 0));
    } else if leaves_out && !planted!(LeavesOutUnguarded) {
        transaction = transaction.check(layout.singleton(), singleton.version);
    }
    Some(transaction)
}

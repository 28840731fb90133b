//! The office: who holds it, how it is kept, and how it moves (protocol.md S).
//!
//! | what a candidate sees of the holder | what it does |
//! |---|---|
//! | its connection broke and a new dial is refused, or another incarnation answers | claim: S4 |
//! | its beats say `vacant` | challenge at once, wait, claim: S7 (ADR 0016) |
//! | no beat for `claim-after`, or `pulse` unmoved for `hung-after` | challenge, wait, claim: S5, S6 |
//!
//! The i-th candidate waits 150 ms × i in every case (S8). A claim is a guess that the guards of
//! its transaction check; a wrong one is refused by the store and costs nothing.

mod candidates;

pub(crate) use candidates::candidates;

use crate::identity::Identity;
use crate::output::{ClusterEvent, TakenBy};
use crate::planted::planted;
use crate::reachability::lanes::owed_beats;
use crate::reachability::sight::Seen;
use crate::records::encode;
use crate::records::key;
use crate::records::singleton::{ChallengeRecord, Epoch, SingletonRecord};
use crate::records::transaction::{CommitOutcome, Version};
use crate::server::shared::{Purpose, Shared};
use crate::server::work::SingletonWork;
use crate::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

const RETRY: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenged {
    epoch: Epoch,
    /// The version of `pulse` at the commit of the challenge (S5).
    baseline: Version,
    /// When the claim may be made; `None` until the challenge is committed.
    claim_at: Option<Time>,
}

/// One server's part in keeping and moving the office.
#[derive(Clone, Debug, Default)]
pub(crate) struct Singleton {
    /// Since when the holder that we know is the holder, or our count began anew.
    counting_since: Time,
    /// The holder's last beat. The detector forgets it with a proof of death; the count goes on.
    heard: Time,
    proof: Option<(Identity, Time)>,
    /// Of whom proof was taken so far, while they are listed.
    victims: BTreeSet<Identity>,
    alive_after_proof: BTreeSet<Identity>,
    vacant_since: Option<Time>,
    challenged: Option<Challenged>,
    last_challenge: Option<Time>,
    committing: bool,
    retry_at: Option<Time>,
    pulses: u64,
    pulse_sent: Option<Time>,
    answered: Option<Version>,
    pulsing: bool,
}

impl Singleton {
    /// Epoch or holder changed.
    pub(crate) fn office_changed(&mut self, now: Time) {
        let victims = std::mem::take(&mut self.victims);
        let alive_after_proof = std::mem::take(&mut self.alive_after_proof);
        *self = Self {
            counting_since: now,
            victims,
            alive_after_proof,
            ..Self::default()
        };
    }

    /// Our own timers fired late: the holder's silence is counted anew (S5).
    pub(crate) fn count_anew(&mut self, now: Time) {
        self.counting_since = now;
    }

    /// A listed server beats; what counts is the holder's, and that of a victim.
    pub(crate) fn heard(&mut self, shared: &Shared, from: &Identity, vacant: bool) {
        if !self.victims.is_empty() && self.victims.remove(from) {
            // A victim that turns out to live, maybe long after its office was taken: proof is
            // never taken against it again (S4).
            self.proof.take_if(|(victim, _)| victim == from);
            if !planted!(ProvedAgain) {
                self.alive_after_proof.insert(from.clone());
            }
        }
        if shared.holder() != Some(from) {
            return;
        }
        self.heard = shared.now;
        if vacant || !planted!(VacancyKept) {
            self.vacant_since = vacant.then(|| self.vacant_since.unwrap_or(shared.now));
        }
    }

    /// A member is known to be dead (S4); it matters here if it is the holder.
    pub(crate) fn proved(&mut self, shared: &mut Shared, victim: &Identity, how: &'static str) {
        if shared.holder() == Some(victim)
            && !self.alive_after_proof.contains(victim)
            && self.proof.is_none()
        {
            let member = victim.clone();
            shared
                .outbox
                .event(ClusterEvent::ProofOfDeath { member, how });
            self.proof = Some((victim.clone(), shared.now));
            let listed = |one: &Identity| shared.roster().is_some_and(|roster| roster.lists(one));
            self.victims.retain(listed);
            self.alive_after_proof.retain(listed);
            self.victims.insert(victim.clone());
        }
    }

    pub(crate) fn step(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        if !shared.listed() || shared.followed.singleton.is_none() {
            return;
        }
        if shared.holds_office() {
            self.keep(shared);
        } else {
            self.watch(shared, seen);
        }
    }

    /// When something is due by itself, if that is before `other`, at which we are asked again.
    pub(crate) fn deadline(
        &self,
        shared: &Shared,
        seen: Seen<'_>,
        other: Option<Time>,
    ) -> Option<Time> {
        if !shared.listed() || shared.followed.singleton.is_none() {
            return None;
        }
        if shared.holds_office() {
            let next = self
                .pulse_sent
                .map_or(shared.now, |sent| sent.after(shared.times().pulse));
            let again = self.retry_at.filter(|_| self.asked(shared).is_some());
            return (!self.pulsing).then_some(again.map_or(next, |again| next.min(again)));
        }
        if self.committing || !shared.has_store() {
            return None;
        }
        // Whose turn it is takes long to tell: at most inputs nothing is due whosever it is.
        let earliest = self.claim_due(shared, seen, Duration::ZERO)?;
        if other.is_some_and(|other| earliest >= other) {
            return None;
        }
        let due = self.claim_due(shared, seen, turn(shared, seen)?)?;
        debug_assert!(due >= earliest, "a turn never makes a claim due earlier");
        Some(due)
    }

    /// When a candidate of this turn may claim or challenge, for whatever reason comes first.
    fn claim_due(&self, shared: &Shared, seen: Seen<'_>, wait: Duration) -> Option<Time> {
        let reasons = [
            self.proof.as_ref().map(|(_, at)| at.after(wait)),
            self.challenged.as_ref().map_or_else(
                || Some(self.challenge_due(shared, seen, wait)),
                |challenged| challenged.claim_at,
            ),
        ];
        let due = reasons.into_iter().flatten().min();
        due.map(|due| self.retry_at.map_or(due, |at| due.max(at)))
    }

    pub(crate) fn committed(
        &mut self,
        shared: &mut Shared,
        work: SingletonWork,
        sent: Time,
        outcome: &CommitOutcome,
    ) {
        let done = matches!(outcome, CommitOutcome::Committed { .. });
        match work {
            SingletonWork::Pulse => {
                self.pulsing = false;
                if !done {
                    self.pulse_sent = Some(shared.now);
                    self.answered = None;
                    self.retry_at = Some(shared.now.after(RETRY));
                }
                return;
            }
            SingletonWork::Challenge if done => {
                let took = shared.now.since(sent);
                let wait = shared.times().challenge_wait.max(took.saturating_mul(3));
                if let Some(challenged) = &mut self.challenged {
                    challenged.claim_at = Some(shared.now.after(wait));
                }
            }
            SingletonWork::Challenge if planted!(ChallengeNotForgotten) => {}
            SingletonWork::Challenge => {
                // It was not made, so the next one need not wait its pause.
                self.challenged = None;
                self.last_challenge = None;
            }
            SingletonWork::Claim(TakenBy::Challenge) => self.challenged = None,
            SingletonWork::Claim(TakenBy::Vacancy) => {
                self.challenged = None;
                // If it answered, its word was an old one; else its next beat says so again.
                self.vacant_since = None;
            }
            SingletonWork::Claim(_) | SingletonWork::Grant => {}
        }
        self.committing = false;
        if !done {
            self.retry_at = Some(shared.now.after(RETRY));
        }
    }

    /// Whether a grant may be sent now: nothing is on its way, and no pause runs.
    pub(crate) fn can_grant(&self, now: Time) -> bool {
        !self.committing && self.retry_at.is_none_or(|at| now >= at)
    }

    /// S3: gives the office to its heir.
    pub(crate) fn grant(&mut self, shared: &mut Shared, heir: Identity) {
        self.take(shared, heir, SingletonWork::Grant, None);
    }

    /// The challenge of this epoch that the holder still owes a raise of `pulse`.
    fn asked(&self, shared: &Shared) -> Option<Version> {
        let challenge = shared.followed.challenge.as_ref();
        challenge
            .filter(|one| one.value.challenger.is_some() && one.value.epoch == shared.epoch())
            .map(|one| one.version)
            .filter(|version| {
                self.answered != Some(*version)
                    && !(planted!(AnswersOnce) && self.answered.is_some())
            })
    }

    /// The holder's duties: raise `pulse` every 2 s, and once for every change of `challenge`.
    fn keep(&mut self, shared: &mut Shared) {
        let asked = self.asked(shared);
        let asked = asked.filter(|_| self.retry_at.is_none_or(|at| shared.now >= at));
        let due = self
            .pulse_sent
            .is_none_or(|sent| shared.now >= sent.after(shared.times().pulse));
        if self.pulsing || !(due || asked.is_some()) {
            return;
        }
        let (Some(layout), Some(transaction)) = (shared.layout(), shared.fenced()) else {
            return;
        };
        self.pulses = self.pulses.saturating_add(1);
        let raised = shared.raised_pulse(shared.epoch(), self.pulses);
        self.pulse_sent = Some(shared.now);
        self.answered = asked.or(self.answered);
        self.pulsing = true;
        let transaction = transaction.put_any(layout.pulse(), raised);
        shared.commit(transaction, Purpose::Singleton(SingletonWork::Pulse));
    }

    fn watch(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        if self.committing || !shared.has_store() || self.retry_at.is_some_and(|at| shared.now < at)
        {
            return;
        }
        let epoch = shared.epoch();
        self.challenged.take_if(|one| one.epoch != epoch);
        let earliest = self.claim_due(shared, seen, Duration::ZERO);
        if earliest.is_none_or(|at| shared.now < at) {
            return;
        }
        let Some(wait) = turn(shared, seen) else {
            return;
        };
        let due = |at: Option<Time>| at.is_some_and(|at| shared.now >= at.after(wait));
        if due(self.proof.as_ref().map(|(_, at)| *at)) {
            self.claim(shared, TakenBy::Proof, None);
        } else if let Some(challenged) = self.challenged.clone() {
            if challenged.claim_at.is_some_and(|at| shared.now >= at) {
                let vacant = self.vacant_since.is_some();
                let by = if vacant {
                    TakenBy::Vacancy
                } else {
                    TakenBy::Challenge
                };
                // The guard on `pulse` tells whether the holder answered.
                self.claim(shared, by, Some(challenged.baseline));
            }
        } else if shared.now >= self.challenge_due(shared, seen, wait) {
            self.challenge(shared);
        }
    }

    /// Since when the holder says that it is vacant (S7). Its word may have been kept back on the way:
    /// a holder that raised `pulse` a moment ago has the store, and any other is challenged (ADR 0016).
    fn vacant_at(&self, shared: &Shared) -> Option<Time> {
        let without = shared
            .followed
            .pulse_moved
            .after(shared.times().vacant_after);
        self.vacant_since.map(|at| at.max(without))
    }

    /// When silence, a standing `pulse` or the holder's own word is reason to challenge (S5, S6, S7).
    fn challenge_due(&self, shared: &Shared, seen: Seen<'_>, wait: Duration) -> Time {
        let times = shared.times();
        let silent = self.heard.max(self.counting_since);
        let owed = seen.lanes.are_owed();
        debug_assert_eq!(owed, is_owed_beats(shared), "lanes of another roster");
        let by_silence = owed.then(|| silent.after(times.claim_after));
        // Without the store nobody sees `pulse`, and the holder cannot raise it.
        let seen = self.counting_since.max(shared.store_since);
        let still = shared.followed.pulse_moved.max(seen);
        let by_pulse = still.after(times.hung_after);
        let reasons = [by_silence, self.vacant_at(shared)];
        let first = reasons.into_iter().flatten().fold(by_pulse, Time::min);
        let due = first.after(wait);
        let pause = self
            .last_challenge
            .map(|last| last.after(times.challenge_pause));
        pause.map_or(due, |pause| due.max(pause))
    }

    fn challenge(&mut self, shared: &mut Shared) {
        let (Some(layout), Some(singleton), Some(pulse), Some(challenge)) = (
            shared.layout(),
            shared.followed.singleton.clone(),
            shared.followed.pulse,
            shared.followed.challenge.clone(),
        ) else {
            // A record that cannot be read was reported; it may be mended.
            self.retry_at = Some(shared.now.after(RETRY));
            return;
        };
        let epoch = singleton.value.epoch;
        let record = ChallengeRecord {
            epoch,
            challenger: Some(shared.me.clone()),
            rest: challenge.value.rest,
        };
        let transaction = shared
            .outbox
            .transaction()
            .check(layout.singleton(), singleton.version)
            .check(layout.pulse(), pulse)
            .put(layout.challenge(), encode(&record), challenge.version);
        let member = singleton.value.holder;
        shared.outbox.event(ClusterEvent::Challenged { member });
        self.last_challenge = Some(shared.now);
        self.challenged = Some(Challenged {
            epoch,
            baseline: pulse,
            claim_at: None,
        });
        self.committing = true;
        shared.commit(transaction, Purpose::Singleton(SingletonWork::Challenge));
    }

    fn claim(&mut self, shared: &mut Shared, by: TakenBy, baseline: Option<Version>) {
        let me = shared.me.clone();
        self.take(shared, me, SingletonWork::Claim(by), baseline);
    }

    /// S2, S9: one transaction, guarded by `singleton` and by the `cluster` that lists the new
    /// holder; it raises `pulse` too.
    fn take(
        &mut self,
        shared: &mut Shared,
        holder: Identity,
        work: SingletonWork,
        baseline: Option<Version>,
    ) {
        let (Some(layout), Some(singleton), Some(cluster)) = (
            shared.layout(),
            shared.followed.singleton.clone(),
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
        let epoch = if planted!(EpochNotRaised) {
            singleton.value.epoch
        } else {
            singleton.value.epoch.next()
        };
        let office = SingletonRecord {
            epoch,
            holder,
            rest: singleton.value.rest,
        };
        let transaction = shared
            .outbox
            .transaction()
            .put(layout.singleton(), encode(&office), singleton.version)
            .check(key::cluster(), cluster);
        let transaction = if planted!(ClaimSkipsCluster) {
            crate::planted::unguarded(transaction, &key::cluster())
        } else {
            transaction
        };
        let raised = shared.raised_pulse(epoch, 0);
        let transaction = match baseline {
            _ if planted!(ClaimKeepsPulse) => transaction,
            Some(version) if !planted!(ClaimIgnoresAnswer) => {
                transaction.put(layout.pulse(), raised, version)
            }
            Some(_) | None => transaction.put_any(layout.pulse(), raised),
        };
        self.committing = true;
        shared.commit(transaction, Purpose::Singleton(work));
    }
}

/// S8: 150 ms for each older candidate; `None` for who is no candidate.
fn turn(shared: &Shared, seen: Seen<'_>) -> Option<Duration> {
    let older = candidates(shared, seen).position(|one| *one == shared.me)?;
    let older = u32::try_from(older).unwrap_or(u32::MAX);
    Some(shared.times().candidate_step.saturating_mul(older))
}

/// What lanes of the present roster and office tell.
fn is_owed_beats(shared: &Shared) -> bool {
    let (Some(roster), Some(holder)) = (shared.roster(), shared.holder()) else {
        return false;
    };
    owed_beats(&roster.listed, holder).any(|one| *one == shared.me)
}

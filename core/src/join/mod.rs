//! How a starting server comes to be listed: by joining a member that answers, by founding the
//! cluster as a seed, or by founding it again (protocol.md F; seed-join.md).
//!
//! | what is known | what is done |
//! |---|---|
//! | no `cluster` record | seeds found in turn: F3 |
//! | a record, and a member answers | join through it: F1, F2 |
//! | a record that lists nobody else than my address | found again at once: F5 |
//! | a record, nobody answers, `pulse` stands still | found again in turn: F4 |
//! | the generation moved after my `Join` | come again as a fresh incarnation: F2 |

use crate::identity::{Address, Identity};
use crate::output::ClusterEvent;
use crate::planted::planted;
use crate::records::cluster::{ClusterRecord, Generation, Roster};
use crate::records::encode;
use crate::records::key::{self, Layout};
use crate::records::singleton::{
    ChallengeRecord, Epoch, PulseRecord, SingletonRecord, SplitRecord,
};
use crate::records::transaction::CommitOutcome;
use crate::server::Founding;
use crate::server::shared::{Purpose, Shared};
use crate::server::work::JoinWork;
use crate::time::Time;
use crate::wire::{Message, NackReason};
use std::collections::BTreeSet;
use std::time::Duration;

const REPEAT: Duration = Duration::from_secs(1);

/// A server's way into the roster.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    founding: Founding,
    /// When this round of contacts began.
    since: Time,
    spoke: Option<Time>,
    uninitialised: BTreeSet<Address>,
    answered: BTreeSet<Identity>,
    /// The generation that our `Join` names, and when it was first sent.
    joining: Option<(Generation, Time)>,
    committing: bool,
    /// The generation that a founding of ours made, if it was carried out: nobody told us.
    in_doubt: Option<Generation>,
    retry_at: Option<Time>,
    warned: BTreeSet<Address>,
}

impl Join {
    pub(crate) const fn new(founding: Founding, now: Time) -> Self {
        Self {
            founding,
            since: now,
            spoke: None,
            uninitialised: BTreeSet::new(),
            answered: BTreeSet::new(),
            joining: None,
            committing: false,
            in_doubt: None,
            retry_at: None,
            warned: BTreeSet::new(),
        }
    }

    /// Whom to dial while not listed: seeds and the roster's addresses (F1).
    pub(crate) fn contacts(shared: &Shared) -> BTreeSet<Address> {
        let listed = shared
            .roster()
            .into_iter()
            .flat_map(|roster| &roster.listed);
        let addresses = listed
            .map(|one| &one.address)
            .chain(&shared.config.get().seeds);
        addresses
            .filter(|address| **address != shared.me.address)
            .cloned()
            .collect()
    }

    /// Somebody asks whether we are a member to join through.
    pub(crate) fn asked(&mut self, shared: &mut Shared, from: &Identity, seeds: &str) {
        let own = seed_digest(&shared.config.get().seeds);
        self.compare_seeds(shared, from, seeds, &own);
        let reason = if shared.leaving {
            Some(NackReason::Leaving)
        } else if shared.listed() {
            None
        } else if shared.followed.cluster.is_some() {
            Some(NackReason::Joining)
        } else {
            Some(NackReason::Uninitialised)
        };
        let generation = shared.generation();
        let answer = match reason {
            Some(reason) => Message::ContactNack { seeds: own, reason },
            None => Message::ContactAck {
                seeds: own,
                generation,
            },
        };
        shared.outbox.send(from, answer);
    }

    pub(crate) fn acked(&mut self, shared: &mut Shared, from: &Identity, seeds: &str) {
        let own = seed_digest(&shared.config.get().seeds);
        self.compare_seeds(shared, from, seeds, &own);
        if self.answered.insert(from.clone()) && self.joining.is_some() {
            self.send_join(shared, from);
        }
    }

    pub(crate) fn nacked(
        &mut self,
        shared: &mut Shared,
        from: &Identity,
        seeds: &str,
        reason: NackReason,
    ) {
        let own = seed_digest(&shared.config.get().seeds);
        self.compare_seeds(shared, from, seeds, &own);
        self.answered.remove(from);
        // Only "uninitialised" counts towards "nobody is in a cluster" (seed-join.md REQ-8).
        match reason {
            NackReason::Uninitialised => {
                self.uninitialised.insert(from.address.clone());
            }
            NackReason::Joining | NackReason::Leaving => {
                self.uninitialised.remove(&from.address);
            }
        }
    }

    /// A member told us that the generation moved on (F2); `true` when we come again as a fresh
    /// incarnation.
    pub(crate) fn refused(&self, shared: &Shared, current: Generation) -> bool {
        self.joining.is_some_and(|(named, _)| current > named) && shared.listed_in.is_none()
    }

    /// A link to a peer is there: ask it at once.
    pub(crate) fn linked(&self, shared: &mut Shared, peer: &Identity) {
        if shared.listed_in.is_none()
            && !shared.leaving
            && Self::contacts(shared).contains(&peer.address)
        {
            contact(shared, peer);
        }
    }

    pub(crate) fn unlinked(&mut self, peer: &Identity) {
        self.answered.remove(peer);
        self.uninitialised.remove(&peer.address);
    }

    /// Goes on; `true` when we come again as a fresh incarnation (F2).
    pub(crate) fn step(&mut self, shared: &mut Shared, links: &BTreeSet<Identity>) -> bool {
        if shared.listed_in.is_some() || shared.leaving {
            return false;
        }
        self.speak(shared, links);
        if !shared.followed.read {
            return false;
        }
        if self.committing {
            return false;
        }
        let made = self.in_doubt.filter(|made| shared.generation() >= *made);
        if made.is_some() {
            // The roster does not list us, but one before it may have: then never again (F2).
            return true;
        }
        if self.retry_at.is_some_and(|at| shared.now < at) {
            return false;
        }
        match &shared.followed.cluster {
            None => self.found(shared),
            Some(cluster) => {
                let generation = cluster.value.roster.generation;
                let moved = |(named, _): (Generation, Time)| generation > named;
                if self.joining.is_some_and(moved) {
                    if planted!(JoinKeepsIncarnation) {
                        self.joining = None;
                        return false;
                    }
                    return true;
                } else if self.may_refound(shared, &cluster.value.roster) {
                    let cluster = cluster.clone();
                    self.refound(shared, &cluster.value, cluster.version);
                } else if !self.answered.is_empty() {
                    return self.join(shared);
                }
            }
        }
        false
    }

    pub(crate) fn deadline(&self, shared: &Shared) -> Option<Time> {
        if shared.listed_in.is_some() || shared.leaving {
            return None;
        }
        let speak = self.spoke.unwrap_or(self.since).after(REPEAT);
        if self.committing || !shared.followed.read {
            return Some(speak);
        }
        let turn = match &shared.followed.cluster {
            None => self.founding_turn(shared),
            // Without the office's records nothing can be founded again; their read wakes us.
            Some(_) if self.answered.is_empty() => (shared.followed.singleton.is_some()
                && shared.followed.pulse.is_some())
            .then(|| self.refounding_turn(shared)),
            Some(_) => self
                .joining
                .map(|(_, since)| since.after(shared.times().join_retry)),
        };
        let turn = turn.map(|turn| self.retry_at.map_or(turn, |at| turn.max(at)));
        Some(turn.map_or(speak, |turn| turn.min(speak)))
    }

    pub(crate) fn committed(
        &mut self,
        shared: &mut Shared,
        work: JoinWork,
        outcome: &CommitOutcome,
    ) {
        self.committing = false;
        if matches!(outcome, CommitOutcome::Committed { .. }) {
            let event = match work {
                JoinWork::Found => ClusterEvent::Founded {
                    cluster: self.founding.cluster.clone(),
                },
                JoinWork::Refound => ClusterEvent::Refounded {
                    generation: shared.generation(),
                },
            };
            shared.outbox.event(event);
        } else {
            if *outcome == CommitOutcome::Unknown {
                self.in_doubt = self.in_doubt.or(Some(shared.generation().next()));
            }
            self.retry_at = Some(shared.now.after(REPEAT));
        }
    }

    /// Contacts everybody again each second, and repeats the `Join`.
    fn speak(&mut self, shared: &mut Shared, links: &BTreeSet<Identity>) {
        if self
            .spoke
            .is_some_and(|spoke| shared.now < spoke.after(REPEAT))
        {
            return;
        }
        self.spoke = Some(shared.now);
        let contacts = Self::contacts(shared);
        for peer in links.iter().filter(|peer| contacts.contains(&peer.address)) {
            contact(shared, peer);
        }
        for member in self.answered.clone() {
            if self.joining.is_some() {
                self.send_join(shared, &member);
            }
        }
    }

    /// F1: join through whoever answered; begin anew when not listed in time. A Join that was sent
    /// may still be carried out, so its place is given up together with the incarnation: `true`.
    fn join(&mut self, shared: &mut Shared) -> bool {
        let retry = shared.times().join_retry;
        if let Some((_, since)) = self.joining {
            return shared.now >= since.after(retry);
        }
        self.joining = Some((shared.generation(), shared.now));
        for member in self.answered.clone() {
            self.send_join(shared, &member);
        }
        false
    }

    fn send_join(&self, shared: &mut Shared, member: &Identity) {
        let Some((generation, _)) = self.joining else {
            return;
        };
        let version = shared.config.get().version.clone();
        shared.outbox.send(
            member,
            Message::Join {
                generation,
                version,
            },
        );
    }

    /// F3: when it is this seed's turn; `None` for a server that is no seed.
    fn founding_turn(&self, shared: &Shared) -> Option<Time> {
        let seeds = &shared.config.get().seeds;
        let turn = seeds.iter().position(|seed| *seed == shared.me.address)?;
        let mut others = seeds.iter().filter(|seed| **seed != shared.me.address);
        let all_say_no = others.all(|seed| self.uninitialised.contains(seed));
        let wait = if all_say_no {
            Duration::ZERO
        } else {
            shared.times().seed_node_timeout
        };
        Some(
            self.since
                .after(wait.saturating_add(nth(shared.times().seed_takeover, turn))),
        )
    }

    fn found(&mut self, shared: &mut Shared) {
        if self
            .founding_turn(shared)
            .is_none_or(|turn| shared.now < turn)
        {
            return;
        }
        let cluster = ClusterRecord {
            id: self.founding.cluster.clone(),
            secret: self.founding.secret.clone(),
            roster: Roster {
                generation: Generation(1),
                listed: vec![shared.me.clone()],
            },
            rest: Default::default(),
        };
        let layout = Layout::new(&cluster.id);
        let transaction = shared
            .outbox
            .transaction()
            .create(key::cluster(), encode(&cluster))
            .create(layout.singleton(), encode(&office(shared, Epoch(1))))
            .create(layout.pulse(), encode(&pulse(Epoch(1))))
            .create(layout.challenge(), encode(&ChallengeRecord::default()))
            .create(layout.split(), encode(&SplitRecord::default()));
        self.committing = true;
        shared.commit(transaction, Purpose::Join(JoinWork::Found));
    }

    fn may_refound(&self, shared: &Shared, roster: &Roster) -> bool {
        let own_only = roster
            .listed
            .iter()
            .all(|one| one.address == shared.me.address);
        // F5 at once; F4 only while no member answers.
        own_only || (self.answered.is_empty() && shared.now >= self.refounding_turn(shared))
    }

    /// F4: `pulse` must stand still for `refound-after`, looked at by our own clock; then seeds in
    /// turn, and after all of their turns any other server.
    fn refounding_turn(&self, shared: &Shared) -> Time {
        let seeds = &shared.config.get().seeds;
        let turn = seeds.iter().position(|seed| *seed == shared.me.address);
        let wait = nth(shared.times().seed_takeover, turn.unwrap_or(seeds.len()));
        if planted!(RefoundIgnoresPulse) {
            return self.since.after(shared.times().refound_after);
        }
        let still = self.since.max(shared.followed.pulse_moved);
        if planted!(RefoundTooSoon) {
            return still.after(shared.times().refound_after / 8);
        }
        still.after(shared.times().refound_after.saturating_add(wait))
    }

    fn refound(
        &mut self,
        shared: &mut Shared,
        cluster: &ClusterRecord,
        version: crate::records::transaction::Version,
    ) {
        let layout = Layout::new(&cluster.id);
        let (Some(singleton), Some(pulse_version)) =
            (shared.followed.singleton.clone(), shared.followed.pulse)
        else {
            return;
        };
        let epoch = singleton.value.epoch.next();
        let mut office = office(shared, epoch);
        office.rest = singleton.value.rest;
        let mut next = cluster.clone();
        next.roster = Roster {
            generation: cluster.roster.generation.next(),
            listed: vec![shared.me.clone()],
        };
        let raised = shared.raised_pulse(epoch, 0);
        let transaction = shared
            .outbox
            .transaction()
            .put(key::cluster(), encode(&next), version)
            .put(layout.singleton(), encode(&office), singleton.version)
            .put(layout.pulse(), raised, pulse_version);
        let transaction = if planted!(RefoundUnguarded) {
            crate::planted::unguarded(transaction, &layout.pulse())
        } else {
            transaction
        };
        self.committing = true;
        shared.commit(transaction, Purpose::Join(JoinWork::Refound));
    }

    fn compare_seeds(&mut self, shared: &mut Shared, from: &Identity, theirs: &str, own: &str) {
        if theirs != own && self.warned.len() < 64 && self.warned.insert(from.address.clone()) {
            shared.warn(&format!(
                "{} has another seed list than this server: make spark.jobserver.ha.masters \
                 equal, in the same order, on all servers",
                from.address
            ));
        }
    }
}

fn contact(shared: &mut Shared, peer: &Identity) {
    let seeds = seed_digest(&shared.config.get().seeds);
    shared.outbox.send(peer, Message::Contact { seeds });
}

fn office(shared: &Shared, epoch: Epoch) -> SingletonRecord {
    SingletonRecord {
        epoch,
        holder: shared.me.clone(),
        rest: Default::default(),
    }
}

/// The first pulse of an epoch.
pub(crate) fn pulse(epoch: Epoch) -> PulseRecord {
    PulseRecord {
        epoch,
        count: 0,
        rest: Default::default(),
    }
}

fn nth(step: Duration, turn: usize) -> Duration {
    step.saturating_mul(u32::try_from(turn).unwrap_or(u32::MAX))
}

/// A digest of a seed list in its order (FNV-1a), to notice lists that differ (F6).
pub(crate) fn seed_digest(seeds: &[Address]) -> String {
    let text = seeds
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

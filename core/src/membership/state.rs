//! What one server knows of the membership, and how it changes (membership.md D to I).
//!
//! | status  | becomes             | by                                   |
//! | ------- | ------------------- | ------------------------------------ |
//! | absent  | Joining             | `add_joining`, where its Join arrived |
//! | Joining | Up                  | `adopt`: a roster lists it           |
//! | Joining | removed             | `remove_joining`; `adopt`: superseded |
//! | Up      | Leaving             | `set_leaving`, at any member         |
//! | Leaving | Exiting             | `set_exiting`                        |
//! | any of the listed | removed   | `adopt`: a roster no longer lists it |
//!
//! The roster in the store decides who is `Up`; gossip spreads it (protocol.md R1, R2). No change
//! waits for convergence. What gossip says can delay, never decide.

use super::{Member, Status};
use crate::gossip::{Gossip, MEMBERS_MAX, Relation};
use crate::identity::Identity;
use crate::planted::planted;
use crate::records::cluster::Roster;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The membership as one server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    me: Identity,
    /// Shared with who sends it or looks at it: a change makes another state.
    gossip: Arc<Gossip>,
}

/// What came of a peer's gossip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The own state is another one now. Who has seen it does not count: look at
    /// [`Membership::is_converged`] whatever this says.
    pub changed: bool,
    /// The sender lacks something: send it the own state.
    pub reply: bool,
    /// The sender named a generation higher than the own one was, even if its state was dropped for
    /// not containing this server: the record in the store has it, and may say that this server was
    /// left out (protocol.md R6).
    pub newer_roster: bool,
}

/// Why the cluster has not converged (membership.md H).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocker {
    /// It has not seen the current state.
    HasNotSeen,
    /// Somebody does not hear it.
    Unreachable,
}

impl Membership {
    /// The membership of a starting server, which knows only itself, as `Joining`.
    #[must_use]
    pub fn new(me: Identity, version: String) -> Self {
        let myself = Member {
            identity: me.clone(),
            status: Status::Joining,
            version,
        };
        let mut gossip = Gossip::default();
        gossip.members.insert(me.clone(), myself);
        let gossip = Arc::new(gossip);
        let mut membership = Self { me, gossip };
        membership.mark_change();
        membership
    }

    /// Takes a peer's state (membership.md F; protocol.md R2).
    ///
    /// It is dropped when it is meant for another incarnation, when it or the sender's place in it
    /// is not sound, when it does not contain this server, or when this server does not hear the
    /// sender; what others say about the sender does not matter (membership.md E).
    pub fn receive(&mut self, from: &Identity, to: &Identity, gossip: &Gossip) -> Received {
        // What comes every second in a cluster at rest.
        let equal = gossip.content_equals(&self.gossip);
        let sound = || (equal && gossip.is_seen_by_members()) || gossip.check().is_ok();
        if *to != self.me || !sound() {
            return Received::default();
        }
        let (mine, theirs) = (self.gossip.roster.generation, gossip.roster.generation);
        if theirs < mine {
            return Received {
                reply: true,
                ..Received::default()
            };
        }
        let newer_roster = theirs > mine;
        let dropped = Received {
            newer_roster,
            ..Received::default()
        };
        let table = &self.gossip.reachability;
        let strangers = !gossip.members.contains_key(from)
            || !gossip.members.contains_key(&self.me)
            || table.says_unreachable(&self.me, from);
        if strangers {
            return dropped;
        }
        if newer_roster {
            return self.take_newer(gossip);
        }
        // Two rosters of one generation are of two stores: nothing of it is believed (R1).
        if gossip.roster != self.gossip.roster || !self.gossip.members.contains_key(from) {
            return dropped;
        }
        if equal {
            return self.take_same(gossip);
        }
        self.take_equal(gossip)
    }

    /// Goes over to a roster, if its generation is higher than the own one; returns whether it was.
    ///
    /// Who is listed is `Up`, with the statuses beyond it kept; who was listed and is no longer is
    /// removed for good, this server included. See [`Gossip::take_roster`] for joining members.
    pub fn adopt(&mut self, roster: &Roster) -> bool {
        if roster.generation <= self.gossip.roster.generation {
            return false;
        }
        self.state().take_roster(roster, &BTreeSet::new());
        self.mark_change();
        true
    }

    /// Adds a server that asks to be listed; returns whether it is new. A removed incarnation is
    /// refused for good (membership.md K), as is one more than [`MEMBERS_MAX`].
    ///
    /// An older incarnation of its address that still asked to be listed is removed: the newer one
    /// took its place. A listed one stays until the roster replaces it (protocol.md F2).
    pub fn add_joining(&mut self, identity: &Identity, version: &str) -> bool {
        let known = self.gossip.members.contains_key(identity);
        if known || self.gossip.tombstones.contains(identity) {
            return false;
        }
        let members = self.gossip.members.values();
        let replaced = members.filter(|member| {
            !member.status.is_listed() && member.identity.address == identity.address
        });
        let replaced: Vec<Identity> = replaced.map(|member| member.identity.clone()).collect();
        if self.gossip.members.len() - replaced.len() >= MEMBERS_MAX {
            return false;
        }
        for older in replaced {
            let generation = self.gossip.roster.generation;
            self.state().remove(&older, generation);
        }
        let member = Member {
            identity: identity.clone(),
            status: Status::Joining,
            version: version.to_owned(),
        };
        self.state().members.insert(identity.clone(), member);
        self.mark_change();
        true
    }

    /// Removes a server that asked to be listed and went away before it was, for good; returns
    /// whether there was one. Whether it is listed after all is for the store to say.
    pub fn remove_joining(&mut self, identity: &Identity) -> bool {
        if self.status(identity).is_none_or(Status::is_listed) {
            return false;
        }
        let generation = self.gossip.roster.generation;
        self.state().remove(identity, generation);
        self.mark_change();
        true
    }

    /// A listed member is about to leave; returns whether that is news.
    pub fn set_leaving(&mut self, identity: &Identity) -> bool {
        self.step(identity, Status::Up, Status::Leaving)
    }

    /// A leaving member is ready to be taken off the roster; returns whether that is news.
    pub fn set_exiting(&mut self, identity: &Identity) -> bool {
        self.step(identity, Status::Leaving, Status::Exiting)
    }

    /// This server begins to hear a member, or hears it no longer; returns whether that is news.
    /// Nobody observes itself, or who is no member.
    pub fn observe(&mut self, subject: &Identity, reachable: bool) -> bool {
        let members = &self.gossip.members;
        if *subject == self.me
            || [subject, &self.me]
                .iter()
                .any(|one| !members.contains_key(*one))
        {
            return false;
        }
        let table = &self.gossip.reachability;
        if table.says_unreachable(&self.me, subject) != reachable {
            return false;
        }
        let me = self.me.clone();
        self.state().reachability.observe(&me, subject, reachable);
        self.mark_change();
        true
    }

    /// The state to send. It is another one after each change, so whoever keeps it sees by its
    /// pointer whether there was any.
    #[must_use]
    pub const fn gossip(&self) -> &Arc<Gossip> {
        &self.gossip
    }

    /// The members, in the order of their identities.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<Identity, Member> {
        &self.gossip.members
    }

    /// The status of a member; `None` for who is none.
    #[must_use]
    pub fn status(&self, identity: &Identity) -> Option<Status> {
        let member = self.gossip.members.get(identity);
        member.map(|member| member.status)
    }

    /// The other members that at least one member does not hear (membership.md E). Never this
    /// server: what others say of it is in [`Self::observers_of`].
    #[must_use]
    pub fn unreachable(&self) -> BTreeSet<Identity> {
        let mut unreachable = self.gossip.reachability.unreachable();
        unreachable.remove(&self.me);
        unreachable
    }

    /// Whether at least one member does not hear this one, which is not this server.
    #[must_use]
    pub fn is_unreachable(&self, subject: &Identity) -> bool {
        let mut rows = self.gossip.reachability.rows().values();
        *subject != self.me && rows.any(|row| row.unreachable.contains(subject))
    }

    /// Who does not hear this member.
    #[must_use]
    pub fn observers_of(&self, subject: &Identity) -> BTreeSet<Identity> {
        self.gossip.reachability.observers_of(subject)
    }

    /// Whether everybody who has to has seen this state, as far as this server knows
    /// (membership.md H). Nothing waits for it; a server that was removed never converges.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        self.gossip.members.contains_key(&self.me) && self.blocking().next().is_none()
    }

    /// Who keeps the cluster from converging, and why (membership.md R, R16).
    #[must_use]
    pub fn blockers(&self) -> BTreeMap<Identity, Blocker> {
        let blocking = self.blocking();
        blocking.map(|(one, why)| (one.clone(), why)).collect()
    }

    fn blocking(&self) -> impl Iterator<Item = (&Identity, Blocker)> {
        let members = &self.gossip.members;
        let founded = members
            .values()
            .any(|member| matches!(member.status, Status::Up | Status::Leaving));
        members.iter().filter_map(move |(identity, member)| {
            let (must_see, may_be_silent) = match member.status {
                Status::Up | Status::Leaving => (true, false),
                // Before anybody is listed those that join have to agree (membership.md H2).
                Status::Joining | Status::WeaklyUp => (!founded, false),
                Status::Exiting | Status::Down => (false, true),
            };
            if !may_be_silent && *identity != self.me && self.is_called_unreachable(identity) {
                Some((identity, Blocker::Unreachable))
            } else if must_see && !self.gossip.seen.contains(identity) {
                Some((identity, Blocker::HasNotSeen))
            } else {
                None
            }
        })
    }

    /// By an observer that is not `Down` itself: for convergence those do not count.
    fn is_called_unreachable(&self, subject: &Identity) -> bool {
        self.gossip
            .reachability
            .rows()
            .iter()
            .any(|(observer, row)| {
                row.unreachable.contains(subject) && self.status(observer) != Some(Status::Down)
            })
    }

    fn take_newer(&mut self, theirs: &Gossip) -> Received {
        let mut mine = (*self.gossip).clone();
        let asked_since = theirs.members.keys().cloned().collect();
        mine.take_roster(&theirs.roster, &asked_since);
        let merged = mine.merge(theirs);
        let sender_has_all = merged.content_equals(theirs);
        if merged.members.len() > MEMBERS_MAX {
            return Received {
                newer_roster: true,
                ..Received::default()
            };
        }
        let reply = !sender_has_all || !theirs.seen.contains(&self.me);
        self.gossip = Arc::new(merged);
        if sender_has_all {
            self.mark_seen();
        } else {
            // What the new roster ended of the own state is a change of one's own.
            self.mark_change();
        }
        Received {
            changed: true,
            reply,
            newer_roster: true,
        }
    }

    /// An equal state: there is nothing to merge but who has seen it. Equal states of unequal seen
    /// sets are exchanged too (membership.md R, R4).
    fn take_same(&mut self, theirs: &Gossip) -> Received {
        if !theirs.seen.is_subset(&self.gossip.seen) {
            self.state().seen.extend(theirs.seen.iter().cloned());
        }
        self.mark_seen();
        Received {
            reply: !theirs.seen.contains(&self.me),
            ..Received::default()
        }
    }

    /// A state of an equal roster.
    fn take_equal(&mut self, theirs: &Gossip) -> Received {
        let merged = self.gossip.merge(theirs);
        if merged.members.len() > MEMBERS_MAX {
            return Received::default();
        }
        let mine_has_theirs = merged.content_equals(&self.gossip);
        let theirs_has_mine = merged.content_equals(theirs);
        self.gossip = Arc::new(merged);
        self.mark_seen();
        let (changed, reply) = match Relation::of(mine_has_theirs, theirs_has_mine) {
            Relation::Same => (false, !theirs.seen.contains(&self.me)),
            Relation::Before => (true, !theirs.seen.contains(&self.me)),
            Relation::After => (false, true),
            Relation::Concurrent => (true, true),
        };
        Received {
            changed,
            reply,
            newer_roster: false,
        }
    }

    fn step(&mut self, identity: &Identity, from: Status, to: Status) -> bool {
        if self.status(identity) != Some(from) {
            return false;
        }
        if let Some(member) = self.state().members.get_mut(identity) {
            member.status = to;
        }
        self.mark_change();
        true
    }

    /// After a change of one's own nobody else has seen the state (membership.md D, G).
    fn mark_change(&mut self) {
        let me = self.me.clone();
        let state = self.state();
        if !planted!(SeenNotCleared) {
            state.seen.clear();
        }
        if state.members.contains_key(&me) {
            state.version.increment(&me);
        }
        self.mark_seen();
        debug_assert_eq!(self.gossip.check(), Ok(()));
    }

    fn mark_seen(&mut self) {
        let known = self.gossip.seen.contains(&self.me);
        if !known && self.gossip.members.contains_key(&self.me) {
            let me = self.me.clone();
            self.state().seen.insert(me);
        }
    }

    /// The state to change: a copy if anybody else has it.
    fn state(&mut self) -> &mut Gossip {
        Arc::make_mut(&mut self.gossip)
    }
}

#[cfg(test)]
mod tests;

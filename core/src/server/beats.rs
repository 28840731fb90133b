//! Beats: what this server says in them, to whom and how often, and what it hears
//! (protocol.md S, Beats; R3).

use super::ServerProcess;
use crate::identity::{Address, ContextId, Identity, Incarnation};
use crate::output::{BeatPlan, ClusterEvent, Output};
use crate::supervisor::DriverContact;
use crate::wire::{Beat, Message};
use std::collections::BTreeMap;
use std::time::Duration;

/// A server tells the holder of each driver that it hears at most so often (E8).
const DRIVER_REPORT: Duration = Duration::from_secs(10);
/// So many addresses that two servers use are spoken of.
const DOUBLES_MAX: usize = 64;

impl ServerProcess {
    pub(super) fn beat(&mut self, beat: Beat) {
        let (from, vacant) = (beat.from.clone(), beat.vacant);
        if self.membership.status(&from).is_none() {
            self.notice_double(&from);
        }
        if beat.generation > self.shared.generation() || beat.epoch > self.shared.epoch() {
            self.follow.want(&mut self.shared);
        }
        if self.detector.is_full() {
            // The many lives of a server that dies again and again, without a change of the roster.
            self.forget_the_removed();
        }
        if self.detector.record(self.shared.now, beat) {
            self.singleton.heard(&self.shared, &from, vacant);
        }
    }

    /// seed-join.md J26: an incarnation that another one of its address replaced is dead, unless two
    /// servers were given one address. Said once for each address.
    fn notice_double(&mut self, from: &Identity) {
        let address = &from.address;
        let mut members = self.membership.members().keys();
        let replaced = self.membership.gossip().tombstones.contains(from)
            && members.any(|member| member.address == *address);
        if replaced && self.doubled.len() < DOUBLES_MAX && self.doubled.insert(address.clone()) {
            self.shared.warn(&format!(
                "two servers use the address {address} at the same time: give each of them its own"
            ));
        }
    }

    /// Renews the beat thread's beat (S6), at once when roster or office changed.
    pub(super) fn beats(&mut self) {
        let shared = &self.shared;
        let renewal = shared.times().beat_renewal;
        if self
            .beat_sent
            .is_some_and(|sent| shared.now < sent.after(renewal))
        {
            return;
        }
        let age = shared.store_age();
        let holds = shared.holds_office();
        // S7: only while another one has the store, so that the office does not wander in vain.
        let vacant = holds && age >= shared.times().vacant_after && self.others_have_store();
        let beat = Beat {
            from: shared.me.clone(),
            sequence: 0,
            generation: shared.generation(),
            epoch: shared.epoch(),
            holder: shared.holder().map(|holder| holder.incarnation),
            hears: self.picture.hears.clone(),
            store_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            vacant,
        };
        let plan = BeatPlan {
            beat: Some(beat),
            targets: self.targets(),
        };
        self.beat_sent = Some(self.shared.now);
        self.shared.outbox.push(Output::Beat(plan));
    }

    /// The holder beats fast to its candidates and its ring, others slowly to their ring, and its
    /// candidates to the holder; joiners are beaten to fast, and beat fast, so that they are listed
    /// soon.
    fn targets(&self) -> BTreeMap<Address, Duration> {
        let shared = &self.shared;
        let (fast, slow) = (shared.times().beat, shared.times().slow_beat);
        let listed = shared.roster().map(|roster| roster.listed.as_slice());
        let (listed, me) = (listed.unwrap_or_default(), &shared.me);
        if !listed.contains(me) {
            let all = listed.iter().map(|one| (one.address.clone(), fast));
            return all.filter(|(address, _)| *address != me.address).collect();
        }
        let interval = if shared.holds_office() { fast } else { slow };
        let lanes = self.picture.lanes.of(me);
        let mut targets = BTreeMap::new();
        targets.extend(lanes.map(|one| (one.address.clone(), interval)));
        targets.extend(self.roster.joiners().map(|one| (one.address.clone(), fast)));
        targets.remove(&me.address);
        targets
    }

    /// S7: whether another listed server did something in the store while we had none of it for
    /// `vacant-after`: its last success is so much later than ours. Both may be away from it since.
    pub(super) fn others_have_store(&self) -> bool {
        let shared = &self.shared;
        let mine = shared.store_success.unwrap_or(shared.started);
        // A beat may be one renewal old when it is sent, so the success may be as much older.
        let later = mine
            .after(shared.times().vacant_after)
            .after(shared.times().beat_renewal);
        let listed = shared
            .roster()
            .into_iter()
            .flat_map(|roster| &roster.listed);
        listed.filter(|one| **one != shared.me).any(|one| {
            self.detector.heard(one).is_some_and(|(at, beat)| {
                let age = Duration::from_millis(beat.store_age_ms);
                shared.now.since(at) < shared.times().detection && at >= later.after(age)
            })
        })
    }

    /// Carries what the detector says over into our row of the reachability table.
    pub(super) fn observe(&mut self) {
        let shared = &mut self.shared;
        if !shared.listed() {
            return;
        }
        for member in self.picture.lanes.of(&shared.me) {
            let reachable = self.picture.hears.contains(member);
            let waits = self.detector.silence(shared.now, member);
            // Not heard yet, but not for long: nothing is known.
            if !reachable && waits.is_none_or(|silence| silence < shared.times().detection) {
                continue;
            }
            if self.membership.observe(member, reachable) {
                self.gossip_dirty = true;
                let member = member.clone();
                let event = if reachable {
                    ClusterEvent::Reachable { member }
                } else {
                    ClusterEvent::Unreachable { member }
                };
                shared.outbox.event(event);
            }
        }
    }

    /// E8: a driver gives a sign of life; it is confirmed only while we have the store or are
    /// connected with the holder.
    pub(super) fn driver_beat(
        &mut self,
        from: &Identity,
        sequence: u64,
        context: ContextId,
        name: String,
        owns: bool,
    ) {
        let known = self.drivers.contains_key(&from.incarnation);
        if !known && self.drivers.len() >= super::DRIVERS_MAX {
            self.drivers.retain(|_, contact| contact.linked);
            let drivers = &self.drivers;
            self.driver_names
                .retain(|incarnation, _| drivers.contains_key(incarnation));
        }
        let shared = &mut self.shared;
        let linked = self.links.contains(from);
        let known = self.drivers.get(&from.incarnation);
        let contact = DriverContact {
            heard: shared.now,
            linked,
            reported: known.and_then(|known| known.reported),
        };
        let before = self.drivers.insert(from.incarnation, contact);
        if before.is_none_or(|before| !before.linked) {
            self.supervisor.stir();
        }
        self.driver_names
            .insert(from.incarnation, (from.clone(), name, owns));
        if owns && linked {
            self.driver_links.insert(context, from.clone());
        }
        let with_holder = shared.holder().is_some_and(|holder| {
            *holder == shared.me || self.picture.sight.connected().contains(holder)
        });
        if shared.listed() && (shared.has_store() || with_holder) {
            let servers = shared
                .roster()
                .map(|roster| roster.listed.clone())
                .unwrap_or_default();
            shared
                .outbox
                .send(from, Message::DriverHeard { sequence, servers });
            self.report_driver(from.incarnation);
        }
    }

    /// E8: the holder counts from the last beat that any server reports. So the pauses between two
    /// reports stay well below the fifth of `driver-lost-after` by which a driver gives up earlier.
    fn report_driver(&mut self, driver: Incarnation) {
        let shared = &mut self.shared;
        let now = shared.now;
        let pause = DRIVER_REPORT.min(shared.times().driver_lost_after / 10);
        let holder = shared.holder().filter(|holder| **holder != shared.me);
        let Some(holder) = holder.cloned() else {
            return;
        };
        let Some(contact) = self.drivers.get_mut(&driver) else {
            return;
        };
        let to = holder.incarnation;
        let due = contact
            .reported
            .is_none_or(|(at, whom)| whom != to || now >= at.after(pause));
        if due && self.links.contains(&holder) {
            contact.reported = Some((now, to));
            let message = Message::DriverSeen { driver };
            shared.outbox.send(&holder, message);
        }
    }

    /// E8: another listed server hears a driver, which proves no more than that it lives.
    pub(super) fn driver_seen(&mut self, from: &Identity, driver: Incarnation) {
        let listed = self.shared.roster().is_some_and(|all| all.lists(from));
        let full = self.drivers.len() >= super::DRIVERS_MAX;
        if !listed || (full && !self.drivers.contains_key(&driver)) {
            return;
        }
        let now = self.shared.now;
        self.drivers.entry(driver).or_default().heard = now;
    }
}

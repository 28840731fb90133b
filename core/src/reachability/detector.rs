//! Who was heard lately, by beats (protocol.md R3, Beats): a fixed time, in integers.
//!
//! A member that is silent for the detection time is unreachable. The detector of the reference
//! (phi accrual, membership.md L) will take this place behind the same face once arbitration by
//! gossip needs it; it asks the same questions of the same beats.

use crate::identity::Identity;
use crate::planted::planted;
use crate::time::Time;
use crate::wire::Beat;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most incarnations that are followed at once: several times the members there can be, since
/// beats of who is not a member yet are kept too. Beats of further ones are ignored.
pub const FOLLOWED_MAX: usize = 256;

/// What is known of one incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// From when silence is counted: the last beat, the expectation, or the last reset.
    counted_from: Time,
    /// The last beat, and when it came.
    last: Option<(Time, Beat)>,
    /// Whether it was silent for `detection` when that was looked at last.
    silent: bool,
}

/// Counts the silence of each incarnation. Keyed by incarnation, so that the beats of a restarted
/// member never keep its old life alive (membership.md R, R13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detector {
    records: BTreeMap<Identity, Record>,
    picture: u64,
}

impl Detector {
    /// Takes note of a beat. A sequence number that is not higher than the last one of that
    /// incarnation is a stale replay, and ignored; returns whether the beat was taken.
    pub fn record(&mut self, now: Time, beat: Beat) -> bool {
        if let Some(record) = self.records.get_mut(&beat.from) {
            let last = record.last.as_ref().map(|(_, last)| last);
            if last.is_some_and(|last| beat.sequence <= last.sequence) && !planted!(StaleBeatTaken)
            {
                return false;
            }
            let same = last.is_some_and(|last| last.hears == beat.hears);
            self.picture = self.picture.wrapping_add(u64::from(!same));
            record.counted_from = now;
            record.last = Some((now, beat));
            return true;
        }
        if self.records.len() >= FOLLOWED_MAX {
            return false;
        }
        self.picture = self.picture.wrapping_add(1);
        self.records
            .insert(beat.from.clone(), Record::new(now, Some(beat)));
        true
    }

    /// Whether nobody new can be followed before somebody is forgotten.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.records.len() >= FOLLOWED_MAX
    }

    /// Begins to count the silence of a member that was never heard, so that one that never beats
    /// is noticed too. Changes nothing for one that is followed already.
    pub fn expect(&mut self, now: Time, identity: &Identity) {
        if !self.records.contains_key(identity) && self.records.len() < FOLLOWED_MAX {
            self.picture = self.picture.wrapping_add(1);
            self.records
                .insert(identity.clone(), Record::new(now, None));
        }
    }

    /// Follows this incarnation no longer: it was removed, or is not beaten to any more.
    pub fn forget(&mut self, identity: &Identity) {
        self.picture = self.picture.wrapping_add(1);
        self.records.remove(identity);
    }

    /// The own timers fired late: what looks like the others' silence may be one's own. The count
    /// starts anew for everyone (protocol.md S5).
    pub fn reset(&mut self, now: Time) {
        if planted!(SilenceNotReset) {
            return;
        }
        for record in self.records.values_mut() {
            record.counted_from = record.counted_from.max(now);
        }
    }

    /// A number that stays the same from one look to the next as long as it is the same who is
    /// heard ([`Self::hears`]), who is silent ([`Self::silence`] of `detection`) and who is
    /// [`Self::connected`]: whatever rests on these alone need not be worked out again.
    pub fn picture(&mut self, now: Time, detection: Duration) -> u64 {
        for record in self.records.values_mut() {
            let silent = now.since(record.counted_from) >= detection;
            self.picture = self
                .picture
                .wrapping_add(u64::from(silent != record.silent));
            record.silent = silent;
        }
        self.picture
    }

    /// The last beat of this incarnation, and when it came.
    #[must_use]
    pub fn heard(&self, identity: &Identity) -> Option<(Time, &Beat)> {
        let last = self.records.get(identity)?.last.as_ref();
        last.map(|(at, beat)| (*at, beat))
    }

    /// For how long this incarnation has been silent, as counted; `None` when it is not followed.
    #[must_use]
    pub fn silence(&self, now: Time, identity: &Identity) -> Option<Duration> {
        let record = self.records.get(identity)?;
        Some(now.since(record.counted_from))
    }

    /// Whom this process hears: at least one beat came, and the silence is below `detection`.
    #[must_use]
    pub fn hears(&self, now: Time, detection: Duration) -> BTreeSet<Identity> {
        let records = self.records.iter();
        records
            .filter(|(_, record)| record.is_heard(now, detection))
            .map(|(identity, _)| identity.clone())
            .collect()
    }

    /// Whether this incarnation is among those that [`Self::hears`] gives.
    #[must_use]
    pub fn hears_one(&self, now: Time, detection: Duration, identity: &Identity) -> bool {
        let record = self.records.get(identity);
        record.is_some_and(|record| record.is_heard(now, detection))
    }

    /// Whether `me` and `other` hear each other: `other` is heard, and its last beat says that it
    /// hears `me` (protocol.md R3). Everybody is connected with itself.
    #[must_use]
    pub fn connected(
        &self,
        now: Time,
        detection: Duration,
        me: &Identity,
        other: &Identity,
    ) -> bool {
        let Some(record) = self.records.get(other) else {
            return me == other;
        };
        let hears_me = |(_, beat): &(Time, Beat)| beat.hears.contains(me);
        let mutual = record.last.as_ref().is_some_and(hears_me);
        let hears = record.is_heard(now, detection);
        let both = mutual && hears;
        me == other || both || (planted!(OneEarSuffices) && (mutual || hears))
    }

    /// When the next incarnation becomes silent for `detection`, if no beat comes; `None` when all
    /// are silent already or none is followed.
    #[must_use]
    pub fn next_expiry(&self, now: Time, detection: Duration) -> Option<Time> {
        let ends = self.records.values();
        let ends = ends.map(|record| record.counted_from.after(detection));
        ends.filter(|end| *end > now).min()
    }
}

impl Record {
    fn new(now: Time, beat: Option<Beat>) -> Self {
        Self {
            counted_from: now,
            last: beat.map(|beat| (now, beat)),
            silent: false,
        }
    }

    fn is_heard(&self, now: Time, detection: Duration) -> bool {
        self.last.is_some() && now.since(self.counted_from) < detection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};
    use crate::records::cluster::Generation;
    use crate::records::singleton::Epoch;
    use std::sync::Arc;

    const DETECTION: Duration = Duration::from_secs(5);

    fn id(port: u16, life: u64) -> Identity {
        Identity::new(Address::new("h", port), Incarnation(life))
    }

    fn beat(from: &Identity, sequence: u64, hears: &[Identity]) -> Beat {
        Beat {
            from: from.clone(),
            sequence,
            generation: Generation(1),
            epoch: Epoch(1),
            holder: None,
            hears: Arc::new(hears.iter().cloned().collect()),
            store_age_ms: 0,
            vacant: false,
        }
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn silence_for_exactly_the_detection_time_is_unreachable() {
        let mut detector = Detector::default();
        assert!(detector.record(at(1), beat(&id(2, 1), 1, &[])));
        assert_eq!(detector.next_expiry(at(1), DETECTION), Some(at(6)));
        let just_before = Time::from_millis(5_999);
        assert!(detector.hears(just_before, DETECTION).contains(&id(2, 1)));
        assert!(detector.hears(at(6), DETECTION).is_empty());
        assert_eq!(detector.next_expiry(at(6), DETECTION), None);
    }

    #[test]
    fn a_stale_replay_does_not_keep_a_dead_member_alive() {
        let mut detector = Detector::default();
        assert!(detector.record(at(1), beat(&id(2, 1), 7, &[])));
        assert!(!detector.record(at(4), beat(&id(2, 1), 7, &[])));
        assert!(!detector.record(at(4), beat(&id(2, 1), 6, &[])));
        assert_eq!(
            detector.silence(at(4), &id(2, 1)),
            Some(DETECTION - at(2).since(at(0)))
        );
        assert!(detector.record(at(4), beat(&id(2, 1), 8, &[])));
        assert_eq!(detector.silence(at(4), &id(2, 1)), Some(Duration::ZERO));
    }

    #[test]
    fn the_beats_of_a_new_life_do_not_keep_the_old_one_alive() {
        // membership.md R13.
        let mut detector = Detector::default();
        detector.record(at(0), beat(&id(2, 1), 900, &[]));
        assert!(detector.record(at(4), beat(&id(2, 2), 1, &[])));
        assert_eq!(detector.hears(at(6), DETECTION), BTreeSet::from([id(2, 2)]));
    }

    #[test]
    fn a_member_that_never_beats_is_noticed() {
        let mut detector = Detector::default();
        detector.expect(at(0), &id(2, 1));
        detector.expect(at(3), &id(2, 1));
        assert_eq!(detector.next_expiry(at(3), DETECTION), Some(at(5)));
        assert_eq!(detector.silence(at(5), &id(2, 1)), Some(DETECTION));
        assert!(detector.hears(at(1), DETECTION).is_empty());
        assert_eq!(detector.heard(&id(2, 1)), None);
        detector.forget(&id(2, 1));
        assert_eq!(detector.silence(at(5), &id(2, 1)), None);
    }

    #[test]
    fn after_ones_own_pause_the_count_starts_anew_for_everyone() {
        // protocol.md S5.
        let mut detector = Detector::default();
        detector.record(at(0), beat(&id(2, 1), 1, &[]));
        detector.expect(at(0), &id(3, 1));
        detector.reset(at(60));
        assert_eq!(
            detector.hears(at(64), DETECTION),
            BTreeSet::from([id(2, 1)])
        );
        assert_eq!(detector.next_expiry(at(64), DETECTION), Some(at(65)));
        assert_eq!(detector.heard(&id(2, 1)).map(|(when, _)| when), Some(at(0)));
    }

    #[test]
    fn two_are_connected_only_if_each_hears_the_other() {
        // protocol.md R3; sbr.md S5: one-way loss.
        let (me, other) = (id(1, 1), id(2, 1));
        let mut detector = Detector::default();
        assert!(detector.connected(at(0), DETECTION, &me, &me));
        assert!(!detector.connected(at(0), DETECTION, &me, &other));
        detector.record(at(0), beat(&other, 1, &[id(3, 1)]));
        assert!(!detector.connected(at(0), DETECTION, &me, &other));
        detector.record(at(1), beat(&other, 2, std::slice::from_ref(&me)));
        assert!(detector.connected(at(5), DETECTION, &me, &other));
        assert!(!detector.connected(at(6), DETECTION, &me, &other));
    }

    #[test]
    fn it_follows_no_more_than_its_bound() {
        let mut detector = Detector::default();
        for life in 0..FOLLOWED_MAX as u64 {
            assert!(detector.record(at(0), beat(&id(2, life), 1, &[])));
        }
        assert!(!detector.record(at(0), beat(&id(3, 0), 1, &[])));
        assert!(detector.record(at(1), beat(&id(2, 0), 2, &[])));
        detector.forget(&id(2, 0));
        assert!(detector.record(at(1), beat(&id(3, 0), 1, &[])));
    }
}

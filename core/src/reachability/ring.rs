//! Who beats to whom when there are more members than each can watch (membership.md L).
//!
//! The ring is symmetric, unlike the reference's: two servers are connected only if each hears the
//! other (protocol.md R3), so whoever beats to a member must be beaten to by it.
//!
//! When all neighbours of a member die with it, nobody sees that one die (membership.md R, R3). It
//! is seen in the next round: the roster leaves out those that were seen, and the ring closes.

use crate::identity::Identity;
use std::collections::BTreeSet;

/// The members that `me` exchanges beats with: all others while there are at most `monitored_by`
/// of them, else the nearest `monitored_by / 2`, rounded up, on each side of the ring.
///
/// Members lie on the ring in the order of a hash of their incarnation, so that neighbours are not
/// of one host or one start. The hash is value-stable: every member computes the same ring, in
/// every release.
#[must_use]
pub fn neighbours(
    me: &Identity,
    members: &BTreeSet<Identity>,
    monitored_by: usize,
) -> BTreeSet<Identity> {
    let mut ring: Vec<&Identity> = members.iter().filter(|one| *one != me).collect();
    if ring.len() <= monitored_by {
        return ring.into_iter().cloned().collect();
    }
    ring.sort_by_key(|one| place(one));
    let split = ring.partition_point(|one| place(one) < place(me));
    ring.rotate_left(split); // Now clockwise from `me`.
    let side = monitored_by.div_ceil(2);
    let after = ring.iter().take(side);
    let before = ring.iter().rev().take(side);
    after.chain(before).map(|one| (*one).clone()).collect()
}

fn place(identity: &Identity) -> (u64, &Identity) {
    (mix(identity.incarnation.0), identity)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so that two places are equal
/// only if two incarnations are.
const fn mix(incarnation: u64) -> u64 {
    let mut z = incarnation.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};

    fn members(count: u16) -> BTreeSet<Identity> {
        (1..=count)
            .map(|port| Identity::new(Address::new("h", port), Incarnation(u64::from(port))))
            .collect()
    }

    #[test]
    fn the_hash_is_value_stable() {
        // The first outputs of SplitMix64 seeded with 0 are mix(0), mix(0x9e37…), …
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn whoever_beats_to_a_member_is_beaten_to_by_it() {
        for count in 1..=20 {
            let all = members(count);
            for monitored_by in 0..=20 {
                let others = all.len() - 1;
                for one in &all {
                    let near = neighbours(one, &all, monitored_by);
                    assert!(!near.contains(one));
                    let want = (2 * monitored_by.div_ceil(2)).min(others);
                    assert_eq!(near.len(), want.max(others.min(monitored_by)));
                    for other in &near {
                        assert!(neighbours(other, &all, monitored_by).contains(one));
                    }
                }
            }
        }
    }

    #[test]
    fn few_members_all_watch_each_other() {
        let all = members(10);
        for one in &all {
            assert_eq!(neighbours(one, &all, 9).len(), 9);
        }
    }

    #[test]
    fn a_member_that_is_not_in_the_set_yet_has_neighbours_too() {
        let me = Identity::new(Address::new("z", 1), Incarnation(99));
        let all = members(16);
        let near = neighbours(&me, &all, 4);
        let mut with_me = all.clone();
        with_me.insert(me.clone());
        assert_eq!(near, neighbours(&me, &with_me, 4));
    }

    #[test]
    fn when_a_whole_arc_dies_round_by_round_every_dead_one_is_seen() {
        // membership.md R3: nobody watches the middle of the arc until its ends are taken out.
        let mut all = members(16);
        let mut ring: Vec<Identity> = all.iter().cloned().collect();
        ring.sort_by(|a, b| place(a).cmp(&place(b)));
        let mut dead: BTreeSet<Identity> = ring.drain(..12).collect();
        for _round in 0..4 {
            let seen: Vec<Identity> = (dead.iter())
                .filter(|one| ring.iter().any(|s| neighbours(s, &all, 4).contains(*one)))
                .cloned()
                .collect();
            assert!(dead.is_empty() || !seen.is_empty());
            for one in &seen {
                all.remove(one);
                dead.remove(one);
            }
        }
        assert!(dead.is_empty());
    }
}

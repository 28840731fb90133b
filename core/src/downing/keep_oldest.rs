//! keep-oldest: the side of the oldest, unless that is alone against two or more (sbr.md 4.1).
//!
//! With arbitration by the store the answer does not say who dies, only who need not wait: the
//! preferred side replaces the roster at once, any other announces itself and waits (protocol.md
//! R4). So the rows of sbr.md 4.1 in which a whole cluster goes down (K7, K8, K9) become *waits*.
//! Only listed servers count: a listed one is counted whether it leaves or not, and since every
//! side reads the same record, no view can count another one (sbr.md's pessimism has no place).

use crate::identity::Identity;
use crate::planted::planted;
use crate::records::cluster::Roster;
use std::collections::BTreeSet;

/// Whether the side `connected` (which contains the decider) is the preferred one of `roster`.
///
/// `down_if_alone`: a lone oldest yields to at least two others that it does not see.
#[must_use]
pub fn is_preferred(roster: &Roster, connected: &BTreeSet<Identity>, down_if_alone: bool) -> bool {
    let Some(oldest) = roster.oldest() else {
        return false; // Nobody is listed: nothing to keep (sbr.md 4.1, M empty).
    };
    let here = roster
        .listed
        .iter()
        .filter(|one| connected.contains(*one))
        .count();
    let elsewhere = roster.listed.len() - here;
    if connected.contains(oldest) {
        let others = if planted!(AloneOffByOne) { 1 } else { 2 };
        let alone = here == 1 && elsewhere >= others;
        !(down_if_alone && alone) // K1, K2, K4, K5, K10; alone: K3
    } else {
        down_if_alone && elsewhere == 1 && here >= 2 // K3, K6; else K1, K2, K4, K7, K8, K9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};
    use crate::records::cluster::Generation;

    fn servers(count: u16) -> Roster {
        Roster {
            generation: Generation(1),
            listed: (0..count)
                .map(|port| Identity::new(Address::new("h", port), Incarnation(u64::from(port))))
                .collect(),
        }
    }

    /// Calls `visit` with every way to put `count` servers into at most `parts` parts, some of
    /// which may be empty.
    fn every_split(count: usize, parts: usize, visit: &mut impl FnMut(&[usize])) {
        let mut part_of = vec![0; count];
        loop {
            visit(&part_of);
            let Some(place) = part_of.iter().rposition(|part| part + 1 < parts) else {
                return;
            };
            part_of[place] += 1;
            part_of[place + 1..].fill(0);
        }
    }

    fn preferred_parts(roster: &Roster, part_of: &[usize], parts: usize, alone: bool) -> usize {
        let side = |part: usize| -> BTreeSet<Identity> {
            let members = roster.listed.iter().zip(part_of);
            members
                .filter(|(_, of)| **of == part)
                .map(|(one, _)| one.clone())
                .collect()
        };
        (0..parts)
            .map(side)
            .filter(|side| !side.is_empty() && is_preferred(roster, side, alone))
            .count()
    }

    #[test]
    fn of_two_sides_exactly_one_is_preferred() {
        let mut splits = 0;
        for count in 1..=5 {
            let roster = servers(count);
            every_split(usize::from(count), 2, &mut |part_of| {
                for alone in [true, false] {
                    let found = preferred_parts(&roster, part_of, 2, alone);
                    assert_eq!(found, 1, "{count} servers as {part_of:?}, {alone}");
                    splits += 1;
                }
            });
        }
        assert_eq!(splits, 2 * (2 + 4 + 8 + 16 + 32));
    }

    #[test]
    fn of_three_sides_at_most_one_is_preferred() {
        let mut none = 0;
        for count in 1..=5 {
            let roster = servers(count);
            every_split(usize::from(count), 3, &mut |part_of| {
                for alone in [true, false] {
                    let found = preferred_parts(&roster, part_of, 3, alone);
                    assert!(found <= 1, "{count} servers as {part_of:?}, {alone}");
                    none += usize::from(found == 0);
                }
            });
        }
        assert!(none > 0, "a lone oldest against two lone others: all wait");
    }

    #[test]
    fn of_the_survivors_of_any_crash_at_most_one_side_is_preferred() {
        // Part 2 crashed: it decides nothing, but it is listed.
        for count in 1..=5 {
            let roster = servers(count);
            every_split(usize::from(count), 3, &mut |part_of| {
                for alone in [true, false] {
                    assert!(preferred_parts(&roster, part_of, 2, alone) <= 1);
                }
            });
        }
    }

    #[test]
    fn who_is_not_listed_is_not_counted() {
        // sbr.md K16, K17: joining servers neither help nor hurt.
        let roster = servers(3);
        let mut side: BTreeSet<Identity> = roster.listed[..1].iter().cloned().collect();
        for port in 10..20 {
            side.insert(Identity::new(Address::new("j", port), Incarnation(1)));
        }
        assert!(!is_preferred(&roster, &side, true));
        assert!(is_preferred(&roster, &side, false));
    }

    #[test]
    fn an_empty_roster_prefers_nobody() {
        let side = servers(2).listed.into_iter().collect();
        assert!(!is_preferred(&Roster::default(), &side, true));
    }
}

//! Laws of merging gossip (membership.md C to G).

use super::*;
use crate::identity::Incarnation;
use crate::reachability::table::Row;
use proptest::prelude::*;

fn id(port: u16) -> Identity {
    Identity::new(Address::new("h", port), Incarnation(u64::from(port)))
}

fn roster(generation: u64, ports: &[u16]) -> Roster {
    Roster {
        generation: Generation(generation),
        listed: ports.iter().map(|port| id(*port)).collect(),
    }
}

fn member(port: u16, status: Status) -> Member {
    Member {
        identity: id(port),
        status,
        version: "1".to_owned(),
    }
}

fn state(members: &[(u16, Status)]) -> Gossip {
    let listed = members.iter().filter(|(_, status)| status.is_listed());
    let listed: Vec<u16> = listed.map(|(port, _)| *port).collect();
    Gossip {
        roster: roster(4, &listed),
        members: (members.iter())
            .map(|(port, status)| (id(*port), member(*port, *status)))
            .collect(),
        ..Gossip::default()
    }
}

#[test]
fn of_two_statuses_the_higher_wins_in_both_directions() {
    use Status::{Down, Exiting, Leaving, Up};
    let order = [Up, Leaving, Exiting, Down]; // membership.md B
    for (place, low) in order.iter().enumerate() {
        for high in &order[place..] {
            let (one, other) = (state(&[(1, *low)]), state(&[(1, *high)]));
            assert_eq!(one.merge(&other).members[&id(1)].status, *high);
            assert_eq!(other.merge(&one).members[&id(1)].status, *high);
        }
    }
    assert!(Status::Joining < Status::WeaklyUp && Status::WeaklyUp < Up);
}

#[test]
fn a_merge_of_states_that_differ_was_seen_by_nobody() {
    let mut one = state(&[(1, Status::Up), (2, Status::Leaving)]);
    let mut other = state(&[(1, Status::Leaving), (2, Status::Up)]);
    one.seen = BTreeSet::from([id(1)]);
    other.seen = BTreeSet::from([id(2)]);
    assert_eq!(one.relation(&other), Relation::Concurrent);
    assert!(one.merge(&other).seen.is_empty());
    // Of an older and a newer state, the newer one's.
    let newer = one.merge(&other);
    let newer = Gossip {
        seen: BTreeSet::from([id(1)]),
        ..newer
    };
    assert_eq!(newer.merge(&other).seen, BTreeSet::from([id(1)]));
    assert_eq!(other.relation(&newer), Relation::Before);
}

#[test]
fn a_removed_member_stays_removed_and_its_traces_go_on_both_sides() {
    // membership.md R1, R2, R17.
    let all = [(1, Status::Up), (2, Status::Up), (3, Status::Joining)];
    let mut lagging = state(&all);
    lagging.seen = BTreeSet::from([id(1), id(3)]);
    lagging.version.increment(&id(3));
    lagging.reachability.observe(&id(3), &id(1), false);
    lagging.reachability.observe(&id(1), &id(3), false);
    let mut ahead = lagging.clone();
    ahead.remove(&id(3), Generation(4));
    for merged in [lagging.merge(&ahead), ahead.merge(&lagging)] {
        assert_eq!(merged.check(), Ok(()));
        assert!(!merged.members.contains_key(&id(3)));
        assert!(merged.version.entries().is_empty());
        assert!(merged.reachability.unreachable().is_empty());
        assert_eq!(merged.relation(&ahead), Relation::Same);
    }
}

#[test]
fn a_later_roster_removes_who_it_does_not_list_and_keeps_who_joins() {
    let mut gossip = state(&[
        (1, Status::Up),
        (2, Status::Leaving),
        (3, Status::Exiting),
        (4, Status::Joining),
        (5, Status::Joining),
    ]);
    gossip.take_roster(&roster(5, &[1, 4, 6]), &BTreeSet::new());
    let statuses: Vec<(u16, Status)> = (gossip.members.values())
        .map(|member| (member.identity.address.port(), member.status))
        .collect();
    assert_eq!(
        statuses,
        [
            (1, Status::Up),
            (4, Status::Up),
            (5, Status::Joining),
            (6, Status::Up)
        ]
    );
    assert!(gossip.tombstones.contains(&id(2)) && gossip.tombstones.contains(&id(3)));
    assert_eq!(gossip.check(), Ok(()));
}

#[test]
fn a_joining_life_is_removed_when_another_life_of_its_address_gets_listed() {
    let older = Identity::new(Address::new("h", 9), Incarnation(1));
    let newer = Identity::new(Address::new("h", 9), Incarnation(2));
    let joining = |identity: &Identity| Member {
        identity: identity.clone(),
        status: Status::Joining,
        version: String::new(),
    };
    let mut gossip = state(&[(1, Status::Up)]);
    gossip.members.insert(older.clone(), joining(&older));
    let mut next = roster(5, &[1]);
    next.listed.push(newer.clone());
    gossip.take_roster(&next, &BTreeSet::new());
    assert!(gossip.tombstones.contains(&older));
    assert_eq!(gossip.members[&newer].status, Status::Up);
    // The listed one restarts: its next life joins beside it, whatever else gets listed.
    let third = Identity::new(Address::new("h", 9), Incarnation(3));
    gossip.members.insert(third.clone(), joining(&third));
    let mut after = roster(6, &[1, 7]);
    after.listed.push(newer.clone());
    gossip.take_roster(&after, &BTreeSet::new());
    assert_eq!(gossip.members[&third].status, Status::Joining);
    assert_eq!(gossip.check(), Ok(()));
}

#[test]
fn a_joiner_taken_for_gone_is_up_when_the_store_listed_it() {
    let mut gossip = state(&[(1, Status::Up), (2, Status::Joining)]);
    gossip.remove(&id(2), Generation(4));
    gossip.take_roster(&roster(5, &[1, 2]), &BTreeSet::new());
    assert_eq!(gossip.members[&id(2)].status, Status::Up);
    assert_eq!(gossip.check(), Ok(()));
}

type Breaks = fn(&mut Gossip);

#[test]
fn each_broken_invariant_is_named() {
    let good = state(&[(1, Status::Up), (2, Status::Joining)]);
    assert_eq!(good.check(), Ok(()));
    let broken: [(Breaks, &str); 8] = [
        (
            |g| _ = g.seen.insert(id(9)),
            "seen by no member: h:9#0000000000000009",
        ),
        (
            |g| g.version.increment(&id(9)),
            "a change counted for no member: ",
        ),
        (
            |g| _ = g.reachability.observe(&id(9), &id(1), false),
            "an observation of or by",
        ),
        (
            |g| _ = g.reachability.observe(&id(1), &id(9), false),
            "an observation of or by",
        ),
        (
            |g| g.tombstones.add(id(2), Generation(4)),
            "both a member and removed: h:2",
        ),
        (
            |g| drop(g.members.remove(&id(1))),
            "a listed server is no member: h:1",
        ),
        (
            |g| g.roster.listed.push(id(2)),
            "status and roster disagree: h:2",
        ),
        (
            |g| g.roster.listed.push(id(1)),
            "a roster lists an incarnation twice",
        ),
    ];
    for (breaks, want) in broken {
        let mut bad = good.clone();
        breaks(&mut bad);
        let found = bad.check().unwrap_err().to_string();
        assert!(found.starts_with(want), "{found} is not {want}");
    }
}

/// A sound state of one roster out of arbitrary bytes: three listed servers, four others.
fn sound(bytes: &[u8]) -> Gossip {
    let mut bytes = bytes.iter().copied().chain(std::iter::repeat(0));
    let mut draw = |below: u8| bytes.next().unwrap_or(0) % below;
    let mut gossip = Gossip {
        roster: roster(4, &[1, 2, 3]),
        ..Gossip::default()
    };
    let listed = [Status::Up, Status::Leaving, Status::Exiting, Status::Down];
    for port in 1..=3 {
        let status = listed[usize::from(draw(4))];
        gossip.members.insert(id(port), member(port, status));
    }
    for port in 4..=7 {
        match draw(4) {
            0 => {}
            1 => gossip
                .tombstones
                .add(id(port), Generation(u64::from(draw(5)))),
            _ => drop(
                gossip
                    .members
                    .insert(id(port), member(port, Status::Joining)),
            ),
        }
    }
    let members: Vec<Identity> = gossip.members.keys().cloned().collect();
    let mut rows = BTreeMap::new();
    for one in &members {
        for _ in 0..draw(3) {
            gossip.version.increment(one);
        }
        if draw(2) == 0 {
            gossip.seen.insert(one.clone());
        }
        let version = u64::from(draw(3));
        let unreachable = members.iter().filter(|_| draw(3) == 0).cloned().collect();
        if version > 0 {
            rows.insert(
                one.clone(),
                Row {
                    version,
                    unreachable,
                },
            );
        }
    }
    gossip.reachability = ReachabilityTable::new(rows);
    assert_eq!(gossip.check(), Ok(()));
    gossip
}

fn any_state() -> impl Strategy<Value = Gossip> {
    proptest::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| sound(&bytes))
}

proptest! {
    /// membership.md R18, S8.
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in any_state(), b in any_state(), c in any_state()
    ) {
        prop_assert_eq!(a.merge(&a), a.clone());
        prop_assert_eq!(a.merge(&b), b.merge(&a));
        prop_assert_eq!(a.merge(&b).merge(&c), a.merge(&b.merge(&c)));
        prop_assert_eq!(a.merge(&b).merge(&b), a.merge(&b));
    }

    /// membership.md R1, R17, C: whatever is merged, the result is sound and has both.
    #[test]
    fn a_merged_state_is_sound_and_nobody_removed_is_in_it(a in any_state(), b in any_state()) {
        let merged = a.merge(&b);
        prop_assert_eq!(merged.check(), Ok(()));
        for removed in a.tombstones.entries().keys().chain(b.tombstones.entries().keys()) {
            prop_assert!(!merged.members.contains_key(removed));
        }
        prop_assert!(matches!(a.relation(&merged), Relation::Same | Relation::Before));
    }
}

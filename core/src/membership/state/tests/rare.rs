//! Branches that exist for one rare reason each.

use super::{Cluster, id, life, roster};
use crate::membership::{Blocker, Membership, Received, Status};
use std::collections::BTreeMap;

#[test]
fn a_restarted_server_that_reads_its_own_old_life_in_the_roster_goes_on_joining() {
    // protocol.md F2: it is about to replace it. Nothing was listed since it asked.
    let mut server = Membership::new(life(2, 2), "1".to_owned());
    assert!(server.adopt(&roster(5, &[id(1), id(2)])));
    assert_eq!(server.status(&life(2, 2)), Some(Status::Joining));
    assert_eq!(server.status(&id(2)), Some(Status::Up));
    // The same when gossip tells it first.
    let mut cluster = Cluster::of(2);
    cluster.start(&life(2, 2));
    cluster.at(&id(1)).add_joining(&life(2, 2), "1");
    cluster.send(&id(1), &life(2, 2));
    let joiner = cluster.at(&life(2, 2));
    assert_eq!(joiner.status(&life(2, 2)), Some(Status::Joining));
    assert_eq!(joiner.members().len(), 3);
}

#[test]
fn a_joiner_that_the_newer_state_knows_is_no_older_life() {
    // Both know 2's third life; only the sender knows that its second one was listed before it
    // asked.
    let mut cluster = Cluster::of(2);
    cluster
        .at(&id(2))
        .adopt(&roster(6, &[id(1), id(2), life(3, 2)]));
    for one in [id(1), id(2)] {
        cluster.at(&one).add_joining(&life(3, 3), "1");
    }
    cluster.send(&id(2), &id(1));
    let statuses = [life(3, 2), life(3, 3)].map(|one| cluster.at(&id(1)).status(&one));
    assert_eq!(statuses, [Some(Status::Up), Some(Status::Joining)]);
}

#[test]
fn who_is_not_heard_is_not_listened_to_but_its_newer_roster_is_noticed() {
    // membership.md E, F.
    let mut cluster = Cluster::of(3);
    cluster.at(&id(1)).observe(&id(2), false);
    cluster.at(&id(2)).set_leaving(&id(3));
    let state = cluster.at(&id(2)).gossip().clone();
    let before = cluster.at(&id(1)).clone();
    let received = cluster.at(&id(1)).receive(&id(2), &id(1), &state);
    assert_eq!(received, Received::default());
    cluster.at(&id(2)).adopt(&roster(6, &[id(1), id(2)]));
    let state = cluster.at(&id(2)).gossip().clone();
    let received = cluster.at(&id(1)).receive(&id(2), &id(1), &state);
    assert!(received.newer_roster && !received.changed && !received.reply);
    assert_eq!(*cluster.at(&id(1)), before);
}

#[test]
fn what_a_member_that_is_down_says_blocks_nobody() {
    // membership.md H1. Only arbitration by gossip marks members `Down`; theirs is understood.
    let mut cluster = Cluster::of(3);
    cluster.at(&id(3)).observe(&id(2), false);
    cluster.settle();
    let mut state = (**cluster.at(&id(2)).gossip()).clone();
    let before = cluster.at(&id(1)).blockers();
    assert_eq!(before, BTreeMap::from([(id(2), Blocker::Unreachable)]));
    state.members.get_mut(&id(3)).expect("listed").status = Status::Down;
    let received = cluster.at(&id(1)).receive(&id(2), &id(1), &state);
    assert!(received.changed);
    cluster.servers.remove(&id(3));
    cluster.settle();
    cluster.expect_agreed();
    assert!(cluster.at(&id(1)).unreachable().contains(&id(2)));
}

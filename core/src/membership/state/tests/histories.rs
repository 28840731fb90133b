//! Random histories of a cluster beside a store whose roster changes.

use super::{Cluster, id, roster};
use crate::identity::Identity;
use crate::membership::Membership;
use crate::records::cluster::Roster;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Send(u16, u16),
    Observe(u16, u16, bool),
    Leave(u16, u16),
    Join(u16, u16),
    GoAway(u16, u16),
    /// The store lists or leaves out this server, and this one reads it.
    Roster(u16, u16),
    Read(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    let (listed, known) = (1..=4_u16, 1..=7_u16);
    prop_oneof![
        8 => (listed.clone(), known.clone()).prop_map(|(a, b)| Step::Send(a, b)),
        2 => (listed.clone(), known.clone(), any::<bool>())
            .prop_map(|(a, b, c)| Step::Observe(a, b, c)),
        1 => (listed.clone(), known.clone()).prop_map(|(a, b)| Step::Leave(a, b)),
        2 => (listed.clone(), 5..=7_u16).prop_map(|(a, b)| Step::Join(a, b)),
        1 => (listed.clone(), 5..=7_u16).prop_map(|(a, b)| Step::GoAway(a, b)),
        2 => (listed.clone(), 3..=7_u16).prop_map(|(a, b)| Step::Roster(a, b)),
        2 => listed.prop_map(Step::Read),
    ]
}

/// The store's roster beside the cluster. An incarnation once left out is never listed again (F2).
fn change_roster(store: &mut Roster, ever: &mut BTreeSet<Identity>, subject: &Identity) {
    if store.lists(subject) {
        let stay = store.listed.iter().filter(|one| *one != subject);
        *store = store.keeping(&stay.cloned().collect());
    } else if ever.insert(subject.clone()) {
        *store = store.joined_by(std::slice::from_ref(subject));
    }
}

fn take(cluster: &mut Cluster, store: &mut Roster, ever: &mut BTreeSet<Identity>, step: &Step) {
    match *step {
        Step::Send(a, b) => cluster.send(&id(a), &id(b)),
        Step::Observe(a, b, reachable) => _ = cluster.at(&id(a)).observe(&id(b), reachable),
        Step::Leave(a, b) => _ = cluster.at(&id(a)).set_leaving(&id(b)),
        Step::Join(a, b) => _ = cluster.at(&id(a)).add_joining(&id(b), "1"),
        Step::GoAway(a, b) => _ = cluster.at(&id(a)).remove_joining(&id(b)),
        Step::Roster(a, b) => {
            change_roster(store, ever, &id(b));
            cluster.at(&id(a)).adopt(store);
        }
        Step::Read(a) => _ = cluster.at(&id(a)).adopt(store),
    }
}

proptest! {
    /// membership.md S1, S5, S8; R1, R2, R4, R17: in any history every state stays sound, nobody
    /// listed comes back, and once all read the roster and hear each other, they agree.
    #[test]
    fn in_any_history_states_stay_sound_and_agree_in_the_end(
        steps in proptest::collection::vec(any_step(), 0..60)
    ) {
        let mut cluster = Cluster::of(4);
        for joiner in 5..=7 {
            cluster.start(&id(joiner));
        }
        let mut store = roster(5, &[id(1), id(2), id(3), id(4)]);
        let mut ever: BTreeSet<Identity> = store.listed.iter().cloned().collect();
        for step in &steps {
            let before: Vec<Membership> = cluster.servers.values().cloned().collect();
            take(&mut cluster, &mut store, &mut ever, step);
            for (old, new) in before.iter().zip(cluster.servers.values()) {
                prop_assert_eq!(new.gossip().check(), Ok(()));
                prop_assert!(new.gossip().roster.generation >= old.gossip().roster.generation);
                for removed in old.gossip().tombstones.entries().keys() {
                    let back = new.status(removed);
                    prop_assert!(back.is_none() || new.gossip().roster.lists(removed));
                }
            }
        }
        cluster.servers.retain(|one, _| store.lists(one));
        let running: Vec<Identity> = cluster.servers.keys().cloned().collect();
        for one in &running {
            cluster.at(one).adopt(&store);
            for other in &running {
                cluster.at(one).observe(other, true);
            }
        }
        cluster.settle();
        let first = cluster.at(&running[0]).gossip().clone();
        for one in &running {
            prop_assert_eq!(cluster.at(one).gossip(), &first);
            prop_assert_eq!(first.members[one].status.is_listed(), true);
        }
    }

    /// membership.md D: while nobody is removed, clocks tell what the states tell.
    #[test]
    fn clocks_and_states_relate_alike_while_nobody_is_removed(
        steps in proptest::collection::vec(any_step(), 0..60)
    ) {
        let mut cluster = Cluster::of(4);
        let first = cluster.at(&id(1)).gossip().clone();
        for step in &steps {
            if matches!(step, Step::Send(..) | Step::Observe(..) | Step::Leave(..) | Step::Join(..)) {
                let (mut store, mut ever) = (first.roster.clone(), BTreeSet::new());
                take(&mut cluster, &mut store, &mut ever, step);
            }
        }
        for one in cluster.servers.values() {
            for other in cluster.servers.values() {
                let (one, other) = (one.gossip(), other.gossip());
                prop_assert_eq!(one.version.relation(&other.version), one.relation(other));
            }
        }
    }
}

//! Stories and laws of one server's membership (membership.md Q, R).

use super::*;
use crate::identity::{Address, Incarnation};
use crate::records::cluster::Generation;

mod histories;
mod rare;

fn life(port: u16, incarnation: u64) -> Identity {
    Identity::new(Address::new("h", port), Incarnation(incarnation))
}

fn id(port: u16) -> Identity {
    life(port, 1)
}

fn roster(generation: u64, listed: &[Identity]) -> Roster {
    Roster {
        generation: Generation(generation),
        listed: listed.to_vec(),
    }
}

/// Servers that send each other their states. Whoever is asked for a reply sends one.
#[derive(Default)]
struct Cluster {
    servers: BTreeMap<Identity, Membership>,
    messages: usize,
}

impl Cluster {
    /// Servers 1 to `count`, all listed, all agreed.
    fn of(count: u16) -> Self {
        let listed: Vec<Identity> = (1..=count).map(id).collect();
        let mut cluster = Self::default();
        for one in &listed {
            cluster.start(one);
            cluster.at(one).adopt(&roster(5, &listed));
        }
        cluster.settle();
        cluster
    }

    fn start(&mut self, identity: &Identity) {
        let server = Membership::new(identity.clone(), "1".to_owned());
        self.servers.insert(identity.clone(), server);
    }

    fn at(&mut self, identity: &Identity) -> &mut Membership {
        self.servers.get_mut(identity).expect("it runs")
    }

    fn send(&mut self, from: &Identity, to: &Identity) {
        let mut next = Some((from.clone(), to.clone()));
        let mut replies = 0;
        while let Some((from, to)) = next.take() {
            let gossip = self.at(&from).gossip().clone();
            let Some(receiver) = self.servers.get_mut(&to) else {
                continue;
            };
            self.messages += 1;
            let received = receiver.receive(&from, &to, &gossip);
            assert_eq!(receiver.gossip().check(), Ok(()));
            if received.reply {
                next = Some((to, from));
            }
            replies += 1;
            assert!(replies <= 4, "endless replies (membership.md R2)");
        }
    }

    /// `from` sends its state to every member that it knows.
    fn tell(&mut self, from: &Identity) {
        let members: Vec<Identity> = self.at(from).members().keys().cloned().collect();
        for to in members.iter().filter(|to| *to != from) {
            self.send(from, to);
        }
    }

    /// Two rounds in which everyone tells everyone.
    fn settle(&mut self) {
        let running: Vec<Identity> = self.servers.keys().cloned().collect();
        for from in running.iter().chain(&running) {
            self.tell(from);
        }
    }

    #[track_caller]
    fn expect_agreed(&self) {
        let mut servers = self.servers.values();
        let first = servers.next().expect("one runs");
        assert!(first.is_converged(), "blocked by {:?}", first.blockers());
        for other in servers {
            assert_eq!(other.gossip(), first.gossip());
        }
    }
}

#[test]
fn the_second_server_joins_through_the_first_and_is_up_when_the_roster_lists_it() {
    let (mut cluster, joiner) = (Cluster::of(1), id(2));
    cluster.start(&joiner);
    assert!(cluster.at(&id(1)).add_joining(&joiner, "2"));
    cluster.send(&id(1), &joiner);
    cluster.expect_agreed();
    assert_eq!(cluster.at(&joiner).status(&joiner), Some(Status::Joining));
    cluster
        .at(&id(1))
        .adopt(&roster(6, &[id(1), joiner.clone()]));
    cluster.send(&id(1), &joiner);
    assert_eq!(cluster.at(&joiner).status(&joiner), Some(Status::Up));
    cluster.expect_agreed();
    // NodeUp: joining again when Up is no event.
    assert!(!cluster.at(&id(1)).add_joining(&joiner, "2"));
    let known = &cluster.at(&id(1)).members()[&joiner];
    assert_eq!(known.version, "2");
}

#[test]
fn gossip_that_is_not_for_me_or_does_not_contain_me_is_dropped() {
    let mut cluster = Cluster::of(2);
    let state = cluster.at(&id(1)).gossip().clone();
    let receiver = cluster.at(&id(2));
    let before = receiver.clone();
    // For the former life of this address (membership.md K).
    assert_eq!(
        receiver.receive(&id(1), &life(2, 9), &state),
        Received::default()
    );
    // From who is no member.
    assert_eq!(
        receiver.receive(&id(7), &id(2), &state),
        Received::default()
    );
    // Not sound: seen by who is no member (membership.md R17).
    let mut bad = (*state).clone();
    bad.seen.insert(id(7));
    assert_eq!(receiver.receive(&id(1), &id(2), &bad), Received::default());
    assert_eq!(*receiver, before);
}

#[test]
fn two_rosters_of_one_generation_are_never_mixed() {
    // protocol.md R1.
    let mut cluster = Cluster::of(2);
    let mut stranger = Membership::new(id(1), "1".to_owned());
    stranger.adopt(&roster(5, &[id(2), id(1)]));
    let received = cluster
        .at(&id(2))
        .receive(&id(1), &id(2), &stranger.gossip().clone());
    assert_eq!(received, Received::default());
}

#[test]
fn a_state_of_a_lower_generation_is_answered_and_never_merged() {
    // protocol.md R2.
    let mut cluster = Cluster::of(3);
    cluster.at(&id(1)).adopt(&roster(6, &[id(1), id(2)]));
    let before = cluster.at(&id(1)).clone();
    let old = cluster.at(&id(3)).gossip().clone();
    let received = cluster.at(&id(1)).receive(&id(3), &id(1), &old);
    assert_eq!(
        received,
        Received {
            reply: true,
            ..Received::default()
        }
    );
    assert_eq!(*cluster.at(&id(1)), before);
    // The one left out takes nothing of the answer, but learns that the roster moved (R6).
    let answer = cluster.at(&id(1)).gossip().clone();
    let received = cluster.at(&id(3)).receive(&id(1), &id(3), &answer);
    assert_eq!(
        received,
        Received {
            newer_roster: true,
            ..Received::default()
        }
    );
    assert_eq!(cluster.at(&id(3)).status(&id(3)), Some(Status::Up));
}

#[test]
fn a_server_that_reads_that_it_was_left_out_is_no_member_any_more() {
    let mut cluster = Cluster::of(3);
    let left_out = cluster.at(&id(3));
    assert!(left_out.adopt(&roster(6, &[id(1), id(2)])));
    assert!(!left_out.adopt(&roster(6, &[id(1), id(2)])));
    assert!(!left_out.adopt(&roster(5, &[id(1), id(2), id(3)])));
    assert_eq!(left_out.status(&id(3)), None);
    assert!(!left_out.is_converged() && !left_out.gossip().seen.contains(&id(3)));
    assert!(!left_out.add_joining(&id(3), "1") && !left_out.observe(&id(1), false));
}

#[test]
fn a_removed_member_does_not_come_back_by_a_lagging_peer() {
    // membership.md R1; protocol.md F2. Server 2 lags with 3 as Leaving.
    let mut cluster = Cluster::of(3);
    cluster.at(&id(2)).set_leaving(&id(3));
    cluster.at(&id(1)).adopt(&roster(6, &[id(1), id(2)]));
    cluster.servers.remove(&id(3));
    cluster.settle();
    cluster.expect_agreed();
    assert_eq!(cluster.at(&id(2)).status(&id(3)), None);
    assert!(!cluster.at(&id(2)).add_joining(&id(3), "1"), "a late Join");
    // A joiner that went away does not come back by who still knows it.
    cluster.at(&id(1)).add_joining(&id(4), "1");
    cluster.tell(&id(1));
    cluster.at(&id(1)).remove_joining(&id(4));
    cluster.send(&id(2), &id(1));
    cluster.settle();
    cluster.expect_agreed();
    assert_eq!(cluster.at(&id(1)).status(&id(4)), None);
}

#[test]
fn a_member_that_leaves_goes_through_leaving_and_exiting() {
    let mut cluster = Cluster::of(3);
    assert!(
        !cluster.at(&id(1)).set_exiting(&id(3)),
        "not before Leaving"
    );
    assert!(cluster.at(&id(1)).set_leaving(&id(3)));
    assert!(!cluster.at(&id(1)).set_leaving(&id(3)));
    cluster.settle();
    cluster.expect_agreed();
    assert!(cluster.at(&id(3)).set_exiting(&id(3)));
    cluster.servers.remove(&id(2));
    cluster.settle();
    assert_eq!(cluster.at(&id(1)).status(&id(3)), Some(Status::Exiting));
    // Exiting ones need not have seen; 2 must.
    let blockers = cluster.at(&id(1)).blockers();
    assert_eq!(blockers, BTreeMap::from([(id(2), Blocker::HasNotSeen)]));
    cluster.at(&id(1)).adopt(&roster(6, &[id(1), id(2)]));
    assert_eq!(cluster.at(&id(1)).status(&id(3)), None);
}

#[test]
fn it_does_not_converge_while_a_member_is_unreachable() {
    // membership.md Q, Convergence; R16.
    let mut cluster = Cluster::of(3);
    cluster.servers.remove(&id(3));
    cluster.at(&id(1)).observe(&id(3), false);
    cluster.settle();
    for one in [id(1), id(2)] {
        let server = cluster.at(&one);
        assert_eq!(server.unreachable(), BTreeSet::from([id(3)]));
        assert_eq!(server.observers_of(&id(3)), BTreeSet::from([id(1)]));
        assert_eq!(server.members().len(), 3);
        assert_eq!(server.gossip().seen, BTreeSet::from([id(1), id(2)]));
        assert!(!server.is_converged());
        assert_eq!(
            server.blockers(),
            BTreeMap::from([(id(3), Blocker::Unreachable)])
        );
    }
    // The roster does not wait for it (R1).
    cluster.at(&id(2)).adopt(&roster(6, &[id(1), id(2)]));
    cluster.settle();
    cluster.expect_agreed();
}

#[test]
fn a_pair_that_did_not_hear_each_other_heals() {
    // membership.md Q, SurviveNetworkInstability; E, only the own row blocks gossip.
    let mut cluster = Cluster::of(3);
    cluster.at(&id(1)).observe(&id(2), false);
    cluster.at(&id(2)).observe(&id(1), false);
    cluster.settle();
    let unreachable = cluster.at(&id(3)).unreachable();
    assert_eq!(unreachable, BTreeSet::from([id(1), id(2)]));
    cluster.at(&id(1)).observe(&id(2), true);
    cluster.at(&id(2)).observe(&id(1), true);
    cluster.settle();
    cluster.expect_agreed();
}

#[test]
fn a_dead_observers_word_goes_with_it() {
    // membership.md R6, N: A alone said that B is unreachable, and died.
    let mut cluster = Cluster::of(3);
    cluster.at(&id(3)).observe(&id(2), false);
    cluster.settle();
    cluster.servers.remove(&id(3));
    assert!(!cluster.at(&id(1)).is_converged());
    cluster.at(&id(1)).adopt(&roster(6, &[id(1), id(2)]));
    cluster.settle();
    cluster.expect_agreed();
    assert!(cluster.at(&id(1)).unreachable().is_empty());
}

#[test]
fn equal_states_of_unequal_seen_sets_are_exchanged() {
    // membership.md R4: 2 and 3 got the same state from 1, which then falls silent.
    let mut cluster = Cluster::of(3);
    cluster.at(&id(1)).set_leaving(&id(1));
    let state = cluster.at(&id(1)).gossip().clone();
    for to in [id(2), id(3)] {
        let received = cluster.at(&to).receive(&id(1), &to, &state);
        assert!(received.changed && received.reply);
    }
    assert!(!cluster.at(&id(2)).is_converged());
    cluster.send(&id(3), &id(2));
    assert!(cluster.at(&id(2)).is_converged() && cluster.at(&id(3)).is_converged());
}

#[test]
fn one_change_costs_at_most_two_messages_a_member() {
    // membership.md R10.
    for count in [2, 3, 5, 16] {
        let mut cluster = Cluster::of(count);
        cluster.messages = 0;
        cluster.at(&id(1)).set_leaving(&id(1));
        cluster.tell(&id(1));
        assert!(cluster.at(&id(1)).is_converged());
        assert!(cluster.messages <= 2 * usize::from(count));
        cluster.settle();
        cluster.expect_agreed();
        cluster.messages = 0;
        cluster.tell(&id(2));
        assert_eq!(
            cluster.messages,
            usize::from(count) - 1,
            "nobody answers old news"
        );
    }
}

#[test]
fn a_roster_told_by_gossip_spreads_without_further_changes() {
    let mut cluster = Cluster::of(5);
    cluster.servers.remove(&id(5));
    let keeping: Vec<Identity> = (1..=4).map(id).collect();
    cluster.at(&id(1)).adopt(&roster(6, &keeping));
    let version = cluster.at(&id(1)).gossip().version.clone();
    cluster.tell(&id(1));
    cluster.settle();
    cluster.expect_agreed();
    assert_eq!(cluster.at(&id(4)).gossip().version, version);
}

#[test]
fn a_server_that_restarts_at_its_address_joins_whatever_its_old_life_was() {
    // membership.md R5, Q (QuickRestart, RestartNode); protocol.md F2.
    for old in [Status::Up, Status::Leaving, Status::Exiting] {
        let mut cluster = Cluster::of(3);
        let mut listed = vec![id(1), id(2), id(3)];
        for round in 2..5 {
            let last = listed.last().expect("three").clone();
            if old >= Status::Leaving {
                cluster.at(&id(1)).set_leaving(&last);
            }
            if old == Status::Exiting {
                cluster.at(&id(1)).set_exiting(&last);
            }
            cluster.servers.remove(&last);
            cluster.at(&id(1)).observe(&last, false);
            let fresh = life(3, round);
            cluster.start(&fresh);
            assert!(cluster.at(&id(2)).add_joining(&fresh, "1"));
            cluster.settle();
            let joins = cluster.at(&fresh).members().len();
            assert_eq!(joins, 4, "beside its old life");
            let generation = Generation(round + 3);
            let next = Roster { generation, listed }.joined_by(std::slice::from_ref(&fresh));
            cluster.at(&id(2)).adopt(&next);
            cluster.settle();
            cluster.expect_agreed();
            assert_eq!(cluster.at(&id(1)).status(&last), None);
            assert_eq!(cluster.at(&id(1)).status(&fresh), Some(Status::Up));
            assert!(cluster.at(&id(1)).unreachable().is_empty());
            listed = next.listed;
        }
    }
}

#[test]
fn churn_does_not_make_gossip_grow() {
    // membership.md Q, NodeChurn; R2.
    let mut cluster = Cluster::of(3);
    let stable = [id(1), id(2), id(3)];
    for round in 0..200 {
        let generation = 6 + 2 * round;
        let guests = [life(8, round + 1), life(9, round + 1)];
        let mut listed = stable.to_vec();
        for guest in &guests {
            cluster.start(guest);
            cluster.at(&id(1)).add_joining(guest, "1");
            listed.push(guest.clone());
        }
        cluster.at(&id(1)).adopt(&roster(generation, &listed));
        cluster.settle();
        cluster.at(&guests[0]).set_leaving(&guests[0]);
        cluster.at(&guests[1]).observe(&id(2), false);
        cluster.settle();
        cluster.servers.retain(|one, _| stable.contains(one));
        cluster.at(&id(2)).adopt(&roster(generation + 1, &stable));
        cluster.settle();
        cluster.expect_agreed();
    }
    let gossip = cluster.at(&id(1)).gossip();
    assert_eq!(gossip.members.len(), 3);
    assert!(gossip.version.entries().len() <= 3);
    assert!(gossip.reachability.rows().len() <= 3);
    assert_eq!(
        gossip.tombstones.entries().len(),
        crate::gossip::TOMBSTONES_MAX
    );
}

#[test]
fn there_are_no_more_members_than_the_bound_and_one_joiner_of_an_address() {
    let mut server = Membership::new(id(1), "1".to_owned());
    server.adopt(&roster(1, &[id(1)]));
    for port in 2..=64 {
        assert!(server.add_joining(&id(port), "1"));
    }
    assert!(!server.add_joining(&id(65), "1"));
    assert!(
        server.add_joining(&life(2, 2), "1"),
        "in the place of the older life"
    );
    assert_eq!(server.status(&id(2)), None);
    assert_eq!(server.members().len(), MEMBERS_MAX);
}

#[test]
fn before_anybody_is_listed_those_that_join_must_have_seen() {
    // membership.md H2.
    let mut server = Membership::new(id(1), "1".to_owned());
    assert!(server.is_converged());
    server.add_joining(&id(2), "1");
    assert_eq!(
        server.blockers(),
        BTreeMap::from([(id(2), Blocker::HasNotSeen)])
    );
    server.adopt(&roster(1, &[id(1)]));
    assert!(server.is_converged(), "once somebody is, not any more");
}

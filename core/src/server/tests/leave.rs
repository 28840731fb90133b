//! Leaving in order (protocol.md S3, R1; singleton.md H5, H17, C2, C3).

use super::estate::creation;
use super::world::{Say, World, layout, ms, s, secs};
use crate::identity::Identity;
use crate::input::{Command, Input};
use crate::membership::{Membership, Status};
use crate::output::{Answer, StopReason};
use crate::records::call::CallState;
use crate::records::cluster::Generation;
use crate::records::key;
use crate::records::transaction::CommitOutcome;
use crate::wire::{Message, NackReason};

fn leaves(world: &mut World) {
    world.tell(Input::Command(Command::Leave));
}

fn ready(world: &World) -> bool {
    world.server.view(world.now).ready
}

fn grants(world: &World) -> Vec<Vec<String>> {
    world.written(&layout().singleton())
}

/// Readiness off at once; it serves on while it drains.
#[test]
fn s3_a_leaving_holder_is_not_ready_and_serves_on_while_it_drains() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    leaves(&mut world);
    assert!(!ready(&world));
    world.pass(ms(1_900));
    assert_eq!(grants(&world), [[""; 0]; 0]);
    world.asks(1, creation("etl"));
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
}

/// S2 †, S3: one transaction gives epoch + 1 to the next oldest listed server.
#[test]
fn s3_a_leaving_holder_grants_the_office_to_the_next_oldest_and_leaves() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.pass(ms(50));
    world.forget();
    leaves(&mut world);
    world.pass(ms(2_050));
    let grant = ["put singleton@0", "check cluster@0", "put pulse"];
    assert_eq!(grants(&world), [grant]);
    assert_eq!((world.office().epoch.0, world.office().holder), (6, s(2)));
    let change = ["put cluster@0", "check singleton@1"];
    assert_eq!(world.written(&key::cluster()), [change]);
    assert_eq!(
        (world.listed(), &world.stops[..]),
        (vec![s(2), s(3)], &[StopReason::Left][..])
    );
}

/// S3: the next oldest that lives.
#[test]
fn s3_the_office_is_granted_to_nobody_who_is_not_heard() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.silence(&s(2));
    world.pass(secs(6));
    leaves(&mut world);
    world.pass(ms(2_050));
    assert_eq!(world.office().holder, s(3));
    assert_eq!(world.listed(), [s(2), s(3)]);
}

/// Another server says in its gossip that it leaves.
fn says_that_it_leaves(world: &mut World, n: u16) {
    let mut theirs = Membership::new(s(n), String::new());
    theirs.adopt(&world.roster().unwrap());
    assert!(theirs.set_leaving(&s(n)));
    let (to, gossip) = (world.me.clone(), theirs.gossip().clone());
    world.says(&s(n), Message::Gossip { to, gossip });
}

/// S3: else the office would move once more.
#[test]
fn s3_the_office_is_granted_to_nobody_who_leaves_while_another_one_stays() {
    for (leaving, heir) in [(vec![], 2), (vec![2], 3), (vec![3], 2), (vec![2, 3], 2)] {
        let mut world = World::member(1, &[1, 2, 3], 1);
        for n in &leaving {
            says_that_it_leaves(&mut world, *n);
        }
        leaves(&mut world);
        world.pass(ms(2_050));
        assert_eq!(world.office().holder, s(heir), "while {leaving:?} leave");
    }
}

/// Both would grant it to each other, hundreds of times a second, until one is seen to go.
#[test]
fn s3_who_has_only_leaving_heirs_takes_itself_off_with_the_office() {
    let mut world = World::member(1, &[1, 2], 1);
    let epoch = world.office().epoch.0;
    says_that_it_leaves(&mut world, 2);
    leaves(&mut world);
    world.pass(ms(2_050));
    assert_eq!((world.listed(), world.office().holder), (vec![s(2)], s(2)));
    assert_eq!(world.office().epoch.0, epoch + 1);
    let one_step = world.written(&key::cluster());
    assert_eq!(world.written(&layout().singleton()), one_step);
}

/// S8: who leaves is no candidate, and is not waited for.
#[test]
fn s8_a_leaving_server_is_no_candidate_while_another_one_stays() {
    let mut world = World::member(3, &[1, 2, 3], 1);
    says_that_it_leaves(&mut world, 2);
    world.tell(Input::Link(crate::input::LinkEvent::Up {
        peer: super::world::reborn(1),
    }));
    assert_eq!(world.office().holder, s(3), "at once");
}

/// S8: while it drains it serves on, if nobody else can; then it goes, and leaves the office to who
/// stays.
#[test]
fn s8_a_leaving_server_takes_the_office_if_nobody_else_is_there() {
    let mut world = World::member(2, &[1, 2], 1);
    leaves(&mut world);
    world.silence(&s(1));
    world.tell(Input::Link(crate::input::LinkEvent::Up {
        peer: super::world::reborn(1),
    }));
    assert_eq!(world.office().holder, s(2));
    world.asks(1, creation("etl"));
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
    world.pass(ms(2_100));
    assert_eq!((world.listed(), world.office().epoch.0), (vec![s(1)], 7));
    assert_eq!(world.office().holder, s(1));
    assert_eq!(world.stops, [StopReason::Left]);
}

/// S3, ADR 0018: two leave, and the gossip of one does not reach the other, which gives the office
/// back. It is not given to and fro: it goes with who gave it away before.
#[test]
fn s3_an_office_that_came_back_is_not_given_to_the_same_heir_again() {
    for (listed, heirs) in [(&[1, 2][..], 0), (&[1, 2, 3], 1)] {
        let mut world = World::member(1, listed, 1);
        world.hold(layout().singleton());
        world.hold(key::cluster());
        leaves(&mut world);
        world.pass(ms(2_050));
        world.answer_held(Say::Commit);
        assert_eq!((world.office().epoch.0, world.office().holder), (6, s(2)));
        world.takes_office(&s(1));
        world.pass(ms(500));
        let again = |one: &Vec<String>| one.iter().any(|part| part == "put singleton@2");
        let given = world.held().iter().filter(|one| again(one)).count();
        assert_eq!(given, heirs, "among {listed:?}");
    }
}

/// S2 †: the heir is listed in the roster that guards the grant.
#[test]
fn s3_a_grant_is_void_when_the_roster_moved_and_is_made_again() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.hold(layout().singleton());
    leaves(&mut world);
    world.pass(ms(2_050));
    world.watched = false;
    world.lists(&[s(1), s(3)]);
    world.let_go(Say::Commit);
    assert_eq!(world.office().holder, s(1));
    world.pass(secs(1));
    assert_eq!((world.office().holder, world.listed()), (s(3), vec![s(3)]));
    assert_eq!(world.stops, [StopReason::Left]);
}

#[test]
fn s3_a_grant_whose_answer_was_lost_is_not_repeated() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.hold(layout().singleton());
    leaves(&mut world);
    world.pass(ms(2_050));
    world.let_go(Say::Lost);
    world.pass(secs(1));
    assert_eq!((grants(&world).len(), world.office().epoch.0), (1, 6));
    assert_eq!(world.stops, [StopReason::Left]);
}

/// singleton.md H17: nobody is left to grant to; the empty roster is founded again at once (F5).
#[test]
fn s3_the_last_server_leaves_an_empty_roster() {
    let mut world = World::holder();
    leaves(&mut world);
    world.pass(ms(250));
    assert_eq!((world.listed(), world.office().holder), (vec![], s(1)));
    assert_eq!(world.stops, [StopReason::Left]);
}

/// The last server has nobody to drain to, but answers what it holds.
#[test]
fn s3_the_last_server_drains_while_it_holds_requests() {
    let mut world = World::holder();
    world.asks(1, creation("etl"));
    leaves(&mut world);
    world.pass(ms(1_900));
    assert_eq!(world.stops, []);
    world.pass(ms(200));
    assert!(matches!(world.answer_to(1), Some(Answer::NotReady { .. })));
    assert_eq!(world.stops, [StopReason::Left]);
}

/// S3: bounded, whatever the store and the others do.
#[test]
fn s3_leaving_is_bounded_without_the_store_and_without_anybody() {
    for n in [1, 2] {
        let mut world = World::member(n, &[1, 2, 3], 1);
        world.store_away = true;
        for other in (1..=3).filter(|other| *other != n) {
            world.silence(&s(other));
        }
        leaves(&mut world);
        world.pass(ms(9_900));
        assert_eq!(world.stops, []);
        world.pass(ms(200));
        assert_eq!(world.stops, [StopReason::Left]);
    }
}

/// ADR 0004: whom the leader does not take off in time takes itself off; no convergence is waited
/// for.
#[test]
fn r1_a_leaving_server_takes_itself_off_without_waiting_for_anybody() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.silence(&s(3));
    world.pass(secs(6));
    leaves(&mut world);
    world.pass(ms(2_050));
    assert_eq!(
        (world.listed(), world.office().holder),
        (vec![s(1), s(3)], s(1))
    );
    assert_eq!(world.stops, [StopReason::Left]);
}

/// W2: with nobody to grant the office to it goes to the oldest that stays, in the transaction that
/// takes its holder off: what that one wrote under the office and is still on its way is refused.
#[test]
fn s3_a_holder_that_takes_itself_off_writes_nothing_under_the_office_any_more() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    for n in [2, 3] {
        world.silence(&s(n));
    }
    world.pass(secs(6));
    world.forget();
    world.hold(layout().pulse());
    leaves(&mut world);
    world.pass(ms(2_050));
    assert_eq!(world.held()[0], ["check singleton@0", "put pulse"]);
    let off = ["put cluster@0", "put singleton@0", "put pulse"];
    assert_eq!(world.held().last().unwrap(), &off);
    let (ticket, transaction) = world.held.pop_back().unwrap();
    world.answer_commit(ticket, &transaction, Say::Commit);
    world.run();
    assert_eq!(world.listed(), [s(2), s(3)]);
    assert_eq!((world.office().epoch.0, world.office().holder), (6, s(2)));
    assert_eq!(world.stops, [StopReason::Left]);
    let (_, pulse) = world.held.pop_front().unwrap();
    let (outcome, _) = world.store.commit(&pulse, world.stamp());
    assert_eq!(outcome, CommitOutcome::Refused { operation: 0 });
}

#[test]
fn s3_a_starting_server_leaves_at_once() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    leaves(&mut world);
    assert_eq!(
        (world.stops.clone(), world.commits.len()),
        (vec![StopReason::Left], 0)
    );
    let mut world = World::without_cluster(&s(1));
    leaves(&mut world);
    world.pass(secs(30));
    assert_eq!(
        (world.stops, world.commits.len()),
        (vec![StopReason::Left], 0)
    );
}

/// singleton.md H5: who leaves takes no office, whatever it sees.
#[test]
fn s3_a_leaving_server_claims_nothing() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    leaves(&mut world);
    world.silence(&s(1));
    world.tell(Input::Link(crate::input::LinkEvent::Up {
        peer: super::world::reborn(1),
    }));
    world.pass(ms(1_900));
    assert_eq!(world.commits, []);
}

/// seed-join.md J19: who leaves is no member to join through, and lists nobody.
#[test]
fn s3_a_leaving_server_takes_no_joiners() {
    let mut world = World::member(1, &[1, 2], 1);
    leaves(&mut world);
    world.says(
        &s(3),
        Message::Contact {
            seeds: String::new(),
        },
    );
    let nack = |one: &(Identity, Message)| {
        let reason = NackReason::Leaving;
        one.0 == s(3) && matches!(&one.1, Message::ContactNack { reason: r, .. } if *r == reason)
    };
    assert!(world.sent.iter().any(nack));
    let (generation, version) = (Generation(3), String::new());
    world.says(
        &s(3),
        Message::Join {
            generation,
            version,
        },
    );
    world.meets(&s(3));
    world.pass(ms(1_500));
    assert_eq!(world.written(&key::cluster()), [[""; 0]; 0]);
}

/// The others see it leave.
#[test]
fn s3_a_leaving_server_says_so() {
    let mut world = World::member(2, &[1, 2], 1);
    leaves(&mut world);
    world.pass(ms(100));
    let leaving = world.sent.iter().filter_map(|(to, message)| match message {
        Message::Gossip { gossip, .. } => Some((to, gossip.members[&s(2)].status)),
        _ => None,
    });
    assert!(
        leaving
            .into_iter()
            .any(|one| one == (&s(1), Status::Leaving))
    );
}

#[test]
fn s3_leaving_twice_is_leaving_once() {
    let mut world = World::member(1, &[1, 2], 1);
    leaves(&mut world);
    world.pass(secs(1));
    leaves(&mut world);
    world.pass(ms(1_050));
    assert_eq!(world.stops, [StopReason::Left]);
    assert_eq!(world.office().epoch.0, 6);
}

/// A split that comes due while the server leaves is not decided, and nothing spins.
#[test]
fn s3_a_leaving_server_decides_no_split() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.silence(&s(2));
    world.silence(&s(3));
    world.pass(secs(23));
    leaves(&mut world);
    world.hold(key::cluster());
    world.pass(ms(9_900));
    assert_eq!(world.written(&layout().split()), [[""; 0]; 0]);
    assert_eq!(
        world.held(),
        [["put cluster@0", "put singleton@0", "put pulse"]],
        "it takes itself off"
    );
}

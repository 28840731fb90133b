//! Founding a cluster again from its record (protocol.md F4, F5).

use super::world::{Say, World, cluster, config, layout, ms, reborn, s, secs};
use crate::input::{Input, LinkEvent};
use crate::join::seed_digest;
use crate::output::{ClusterEvent, StopReason};
use crate::records::cluster::{ClusterRecord, Generation};
use crate::records::key;
use crate::records::model::StoreModel;
use crate::wire::{Message, NackReason};

/// Everything that F4 wants guarded: roster, office and pulse, each under the version looked at.
const REFOUNDING: [&str; 3] = ["put cluster@0", "put singleton@0", "put pulse@0"];

fn restarted(n: u16, listed: &[u16]) -> World {
    World::newcomer(&reborn(n), listed, listed.first().copied().unwrap_or(1))
}

#[test]
fn f4_a_pulse_that_stands_still_for_ten_seconds_lets_the_first_seed_found_again() {
    let mut world = restarted(1, &[1, 2, 3]);
    world.pass(ms(9_990));
    assert_eq!(world.commits, []);
    world.pass(ms(20));
    assert_eq!(world.written(&key::cluster()), [REFOUNDING]);
    let record: ClusterRecord = world.get(&key::cluster()).unwrap().value;
    assert_eq!(record.id.as_str(), "one");
    assert_eq!(record.secret.0, "secret");
    assert_eq!(record.roster.generation, Generation(4));
    assert_eq!(record.roster.listed, [reborn(1)]);
    assert_eq!(
        (world.office().epoch.0, world.office().holder),
        (6, reborn(1))
    );
    let generation = Generation(4);
    assert!(
        world
            .events
            .contains(&ClusterEvent::Refounded { generation })
    );
    assert!(world.server.view(world.now).ready);
}

/// seed-join.md J7, J17: whoever reaches nobody, but sees in the store that the cluster lives.
#[test]
fn f4_a_pulse_that_moves_keeps_everybody_waiting() {
    for watched in [true, false] {
        let mut world = restarted(1, &[2, 3]);
        world.watched = watched;
        for _ in 0..50 {
            world.pass(secs(2));
            world.pulses();
        }
        assert_eq!(world.commits, []);
    }
}

/// The look at `pulse` that counts is the guard: it moved after the last read of it.
#[test]
fn f4_a_pulse_that_moved_unseen_refuses_the_refounding() {
    let mut world = restarted(1, &[2, 3]);
    world.hold(key::cluster());
    world.pass(secs(11));
    assert_eq!(world.held(), [REFOUNDING]);
    world.pulses();
    world.let_go(Say::Commit);
    assert_eq!(world.listed(), [s(2), s(3)]);
    world.pass(secs(9));
    assert_eq!(
        world.written(&key::cluster()).len(),
        1,
        "its ten seconds begin anew"
    );
}

#[test]
fn f4_a_roster_or_an_office_that_moved_refuses_the_refounding() {
    type Change = fn(&mut World);
    let changes: [Change; 2] = [
        |world| world.lists(&[s(3)]),
        |world| world.takes_office(&s(3)),
    ];
    for change in changes {
        let mut world = restarted(1, &[2, 3]);
        world.hold(key::cluster());
        world.pass(secs(11));
        change(&mut world);
        let before = (world.roster(), world.office());
        world.let_go(Say::Commit);
        assert_eq!((world.roster(), world.office()), before);
    }
}

/// The store was away between the two looks: they were made by reads, and the second by a guard.
#[test]
fn f4_looks_are_counted_by_the_own_clock_and_not_while_nothing_was_read() {
    let mut store = StoreModel::new();
    cluster(&mut store, 3, &[2, 3], &s(2));
    let mut world = World::start(&reborn(1), store, config());
    world.store_away = true;
    world.run();
    world.pass(secs(60));
    world.store_away = false;
    world.pass(secs(10));
    assert_eq!(
        world.commits,
        [],
        "the first look was less than ten seconds ago"
    );
    world.pass(secs(1));
    assert_eq!(world.written(&key::cluster()), [REFOUNDING]);
}

#[test]
fn f4_the_ith_seed_waits_its_turn_and_who_is_no_seed_waits_for_all_of_them() {
    for (me, turn) in [(1, 10_000), (2, 30_000), (3, 50_000), (9, 70_000)] {
        let mut world = restarted(me, &[4, 5]);
        world.pass(ms(turn - 10));
        assert_eq!(world.commits, []);
        world.pass(ms(20));
        assert_eq!(world.written(&key::cluster()), [REFOUNDING]);
    }
}

/// seed-join.md J5, J6, J9, J17, J20: while a member answers, its cluster is joined, never replaced.
#[test]
fn f4_nobody_founds_again_while_a_member_answers() {
    let mut world = restarted(1, &[2, 3]);
    let seeds = seed_digest(&config().seeds);
    world.tell(Input::Link(LinkEvent::Up { peer: s(2) }));
    world.pass(secs(9));
    let generation = Generation(3);
    world.says(&s(2), Message::ContactAck { seeds, generation });
    world.pass(secs(9));
    assert_eq!((&world.commits[..], &world.stops[..]), (&[][..], &[][..]));
}

/// seed-join.md J9, J19: a Nack does not keep a dead cluster from being founded again.
#[test]
fn f4_a_nack_does_not_count_as_a_members_answer() {
    let mut world = restarted(1, &[2, 3]);
    let seeds = seed_digest(&config().seeds);
    let reason = NackReason::Joining;
    world.says(&s(3), Message::ContactNack { seeds, reason });
    world.pass(ms(10_010));
    assert_eq!(world.written(&key::cluster()), [REFOUNDING]);
}

#[test]
fn f4_a_refounding_whose_answer_was_lost_is_found_by_reading() {
    let mut world = restarted(1, &[2, 3]);
    world.hold(key::cluster());
    world.pass(secs(11));
    world.let_go(Say::Lost);
    world.pass(secs(5));
    assert!(world.server.view(world.now).ready);
    assert_eq!(world.written(&key::cluster()).len(), 1);
}

/// seed-join.md J10: the last server left in order.
#[test]
fn f5_an_empty_roster_is_founded_again_at_once() {
    for me in [1, 2, 3, 9] {
        let world = restarted(me, &[]);
        assert_eq!(world.written(&key::cluster()), [REFOUNDING]);
        assert_eq!(world.listed(), [reborn(me)]);
    }
}

#[test]
fn f5_a_roster_of_older_incarnations_of_the_own_address_is_founded_again_at_once() {
    let world = restarted(2, &[2]);
    assert_eq!(world.written(&key::cluster()), [REFOUNDING]);
    assert_eq!(world.listed(), [reborn(2)]);
    let other = restarted(1, &[2]);
    assert_eq!(other.commits, []);
}

#[test]
fn f5_two_that_found_again_at_once_make_one_roster() {
    let mut world = World::start(&reborn(2), StoreModel::new(), config());
    cluster(&mut world.store, 3, &[], &s(1));
    world.hold(key::cluster());
    world.run();
    assert_eq!(world.held(), [REFOUNDING]);
    world.lists(&[s(3)]);
    world.let_go(Say::Commit);
    assert_eq!(world.listed(), [s(3)]);
    assert_eq!(world.stops, []);
}

/// protocol.md W3: absence cannot be guarded against a cluster that is another one by now.
#[test]
fn f4_a_cluster_that_was_made_anew_is_not_taken_for_the_old_one() {
    let mut world = restarted(1, &[2, 3]);
    world.hold(key::cluster());
    world.pass(secs(11));
    world.other(|one| {
        one.delete_any(key::cluster())
            .delete_any(layout().singleton())
    });
    world.let_go(Say::Commit);
    assert_eq!(world.roster(), None);
}

/// An office that cannot be read is nobody's to take, and is waited for.
#[test]
fn f4_a_cluster_whose_office_cannot_be_read_is_not_founded_again() {
    let mut store = StoreModel::new();
    cluster(&mut store, 3, &[2, 3], &s(2));
    let mut world = World::start(&reborn(1), store, config());
    let office = world.office();
    world.holder_pulses = false;
    world.other(|one| one.put_any(layout().singleton(), "{".into()));
    world.pass(secs(60));
    assert_eq!(world.commits, []);
    world.puts(layout().singleton(), &office);
    world.pass(secs(1));
    let refounding = ["put cluster@0", "put singleton@2", "put pulse@0"];
    assert_eq!(world.written(&key::cluster()), [refounding]);
}

/// seed-join.md J21, J38, J39: its turn comes before the answers that wait in its queue. The guards
/// decide, by the store, whether anybody lives; then the answers are heard.
#[test]
fn f4_a_server_that_slept_over_the_answers_joins_all_the_same() {
    let mut world = restarted(1, &[2, 3]);
    world.pass(secs(1));
    world.watched = false;
    world.pulses();
    world.hold(key::cluster());
    world.sleep(secs(40));
    assert_eq!(world.held(), [REFOUNDING], "its last look was long ago");
    world.let_go(Say::Commit);
    assert_eq!(
        world.listed(),
        [s(2), s(3)],
        "the guard on pulse was the second look"
    );
    let seeds = seed_digest(&config().seeds);
    world.tell(Input::Link(LinkEvent::Up { peer: s(2) }));
    let generation = Generation(3);
    world.says(&s(2), Message::ContactAck { seeds, generation });
    world.pass(secs(1));
    let asks = |message: &Message| {
        matches!(
            message,
            Message::Join {
                generation: Generation(3),
                ..
            }
        )
    };
    assert!(
        world
            .sent
            .iter()
            .any(|(to, message)| *to == s(2) && asks(message))
    );
    assert_eq!(world.listed(), [s(2), s(3)]);
}

/// F2: its founding was carried out and nobody told it; others founded again without it since. It was
/// listed once, so it never is again.
#[test]
fn f2_who_may_have_been_listed_without_knowing_comes_again_as_another() {
    for say in [Say::Lost, Say::Unknown] {
        let mut world = World::without_cluster(&s(1));
        world.hold(key::cluster());
        world.pass(secs(6));
        let (ticket, founding) = world.held.pop_front().unwrap();
        world.slow_reads = true;
        world.answer_commit(ticket, &founding, say);
        if say == Say::Unknown {
            cluster(&mut world.store, 2, &[2, 3], &s(2));
        } else {
            let key = key::cluster();
            let mut record: ClusterRecord = world.get(&key).unwrap().value;
            record.roster.generation = Generation(2);
            record.roster.listed = vec![s(2), s(3)];
            world.puts(key, &record);
        }
        world.run();
        world.slow_reads = false;
        world.release_reads();
        world.pass(ms(600));
        assert_eq!(world.stops, [StopReason::Reincarnate], "{say:?}");
    }
}

//! Splits: who decides, when, and under which guards (protocol.md R3 to R5; sbr.md K).

use super::world::{Say, World, config, layout, ms, s, secs};
use crate::records::cluster::Generation;
use crate::records::key;
use crate::records::singleton::SplitRecord;
use std::collections::BTreeSet;

/// Detection plus `stable-after`: when a side that is preferred decides.
const DECIDES: u64 = 25_000;

/// From now on these are not heard by anybody, and hear nobody.
fn split_off(world: &mut World, gone: &[u16]) {
    for n in gone {
        world.silence(&s(*n));
        for peer in world.peers.values_mut() {
            peer.hears.remove(&s(*n));
        }
    }
}

fn announcement(world: &World) -> Option<SplitRecord> {
    let record: SplitRecord = world.get(&layout().split()).unwrap().value;
    record.writer.is_some().then_some(record)
}

/// sbr.md K1, K10: the side of the oldest does not wait beyond `stable-after`.
#[test]
fn r4_the_preferred_side_replaces_the_roster_after_stable_after() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[3]);
    world.pass(ms(DECIDES - 200));
    assert_eq!(world.written(&key::cluster()), [[""; 0]; 0]);
    world.pass(ms(400));
    let change = ["put cluster@0", "check singleton@0"];
    assert_eq!(world.written(&key::cluster()), [change]);
    assert_eq!(world.listed(), [s(1), s(2)]);
    assert_eq!(announcement(&world), None);
}

/// sbr.md K6: a lone oldest is not preferred, its two others are; and the holder is left out.
#[test]
fn r5_a_change_that_leaves_out_the_holder_takes_the_office_in_the_same_transaction() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.hold(layout().challenge());
    split_off(&mut world, &[1]);
    world.pass(ms(DECIDES + 200));
    let change = ["put cluster@0", "put singleton@0", "put pulse"];
    assert_eq!(world.written(&key::cluster()), [change]);
    assert_eq!(world.listed(), [s(2), s(3)]);
    assert_eq!((world.office().epoch.0, world.office().holder), (6, s(2)));
}

/// †: guarded by `singleton` even when the holder stays.
#[test]
fn r5_a_change_that_leaves_anyone_out_is_guarded_by_the_office() {
    let mut world = World::member(1, &[1, 2, 3], 2);
    world.hold(key::cluster());
    split_off(&mut world, &[3]);
    world.pass(ms(DECIDES + 200));
    assert_eq!(
        world.held(),
        [["put cluster@0", "check singleton@0"]],
        "the holder, 2, stays"
    );
    // Just now the server that is about to be left out takes the office.
    world.takes_office(&s(3));
    world.let_go(Say::Commit);
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    world.pass(secs(1));
    assert_eq!(
        (world.listed(), world.office().holder),
        (vec![s(1), s(2)], s(1))
    );
}

/// †, sbr.md K3: announce, wait `witness-delay` after that commit, then replace.
#[test]
fn r4_a_side_that_is_not_preferred_announces_and_waits_before_it_replaces() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[2, 3]);
    world.pass(ms(DECIDES + 200));
    let announced = announcement(&world).unwrap();
    assert_eq!(announced.generation, Generation(3));
    assert_eq!(
        (announced.writer, announced.connected),
        (Some(s(1)), BTreeSet::from([s(1)]))
    );
    assert_eq!(
        world.written(&layout().split()),
        [["check cluster@0", "put split@0"]]
    );
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    world.pass(ms(1_700));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    world.pass(ms(400));
    assert_eq!(world.listed(), [s(1)]);
}

/// sbr.md K7, K8, K9: where the reference ends the whole cluster, the survivor waits and stays.
#[test]
fn r4_the_survivor_of_two_stays_after_the_witness_delay() {
    let mut world = World::member(2, &[1, 2], 1);
    world.hold(layout().challenge());
    split_off(&mut world, &[1]);
    world.pass(ms(DECIDES + 1_900));
    assert_eq!(world.listed(), [s(1), s(2)]);
    world.pass(ms(400));
    assert_eq!((world.listed(), world.office().holder), (vec![s(2)], s(2)));
    assert_eq!(world.stops, []);
}

/// The delay counts from the commit of the announcement, not from its sending.
#[test]
fn r4_the_witness_delay_counts_from_the_commit_of_the_announcement() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.hold(layout().split());
    split_off(&mut world, &[2, 3]);
    world.pass(ms(DECIDES + 5_000));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    world.let_go(Say::Commit);
    world.pass(ms(1_900));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(1)]);
}

#[test]
fn r4_an_announcement_that_was_refused_or_not_answered_is_made_again() {
    for say in [Say::Refuse(1), Say::Unknown, Say::NotSent, Say::Lost] {
        let mut world = World::member(1, &[1, 2, 3], 1);
        world.hold(layout().split());
        split_off(&mut world, &[2, 3]);
        world.pass(ms(DECIDES + 200));
        world.let_go(say);
        world.pass(ms(2_000));
        assert_eq!(
            world.listed(),
            [s(1), s(2), s(3)],
            "{say:?}: the delay begins anew"
        );
        assert_eq!(world.written(&layout().split()).len(), 2, "{say:?}");
        world.pass(ms(700));
        assert_eq!(world.listed(), [s(1)], "{say:?}");
    }
}

/// Having been connected with all since it sent the announcement voids it, sent or committed.
#[test]
fn r4_having_been_connected_with_all_voids_an_announcement() {
    for committed in [false, true] {
        let mut world = World::member(1, &[1, 2, 3], 1);
        if !committed {
            world.hold(layout().split());
        }
        split_off(&mut world, &[2, 3]);
        world.pass(ms(DECIDES + 200));
        world.meets(&s(2));
        world.meets(&s(3));
        world.pass(ms(200));
        split_off(&mut world, &[2, 3]);
        if !committed {
            world.let_go(Say::Commit);
        }
        world.pass(ms(20_000));
        assert_eq!(world.listed(), [s(1), s(2), s(3)]);
        assert_eq!(world.written(&layout().split()).len(), 1);
        world.pass(ms(10_000));
        assert_eq!(
            world.written(&layout().split()).len(),
            2,
            "a later split is announced anew"
        );
        assert_eq!(world.listed(), [s(1)]);
    }
}

#[test]
fn r4_an_announcement_is_void_when_the_generation_moves() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[2, 3]);
    world.pass(ms(DECIDES + 200));
    assert!(announcement(&world).is_some());
    world.lists(&[s(1), s(2), s(3), s(4)]);
    world.pass(ms(10_000));
    assert_eq!(world.roster().unwrap().generation, Generation(4));
}

/// The preferred side's replacement arrives while the other one waits: that is what the wait is for.
#[test]
fn r4_the_preferred_sides_roster_wins_over_an_announcement() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[2, 3]);
    world.pass(ms(DECIDES + 1_000));
    world.lists(&[s(2), s(3)]);
    assert_eq!(world.stops.len(), 1);
    assert_eq!(world.listed(), [s(2), s(3)]);
}

/// Recomputed in the step that sends it: whoever came back meanwhile stays.
#[test]
fn r4_whom_it_is_connected_with_is_recomputed_when_the_roster_is_sent() {
    let mut world = World::member(1, &[1, 2, 3, 4], 1);
    split_off(&mut world, &[2, 3, 4]);
    world.pass(ms(DECIDES + 1_000));
    assert!(announcement(&world).is_some());
    world.meets(&s(2));
    world.pass(ms(1_500));
    assert_eq!(world.listed(), [s(1), s(2)]);
}

#[test]
fn r4_a_change_of_the_unconnected_begins_stable_after_anew() {
    let mut world = World::member(1, &[1, 2, 3, 4], 1);
    split_off(&mut world, &[4]);
    world.pass(secs(15));
    split_off(&mut world, &[3]);
    world.pass(ms(DECIDES - 200));
    assert_eq!(world.listed(), [s(1), s(2), s(3), s(4)]);
    world.pass(ms(400));
    assert_eq!(world.listed(), [s(1), s(2)]);
}

/// sbr.md, not after healing: whoever is heard again in time is not left out.
#[test]
fn r4_a_split_that_heals_in_time_leaves_nobody_out() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[3]);
    world.pass(ms(DECIDES - 1_000));
    world.meets(&s(3));
    world.pass(secs(60));
    assert_eq!(world.roster().unwrap().generation, Generation(3));
}

/// R3 †: a one-way link does not connect.
#[test]
fn r3_two_servers_are_connected_only_if_each_hears_the_other() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.peer(&s(3)).hears.remove(&s(1));
    world.pass(ms(19_500));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    world.pass(ms(1_000));
    assert_eq!(
        world.listed(),
        [s(1), s(2)],
        "3 is heard, but does not hear"
    );
}

#[test]
fn r3_the_beats_of_a_server_say_whom_it_hears() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    let hears = |world: &World| (*world.plan.beat.as_ref().unwrap().hears).clone();
    assert_eq!(hears(&world), BTreeSet::from([s(2), s(3)]));
    world.silence(&s(3));
    world.pass(ms(4_700));
    assert_eq!(hears(&world), BTreeSet::from([s(2), s(3)]));
    world.pass(ms(600));
    assert_eq!(hears(&world), BTreeSet::from([s(2)]));
}

fn announces(world: &mut World, writer: u16, generation: u64) {
    let record = SplitRecord {
        generation: Generation(generation),
        writer: Some(s(writer)),
        connected: BTreeSet::from([s(writer)]),
        rest: Default::default(),
    };
    world.puts(layout().split(), &record);
}

/// Who reads another side's announcement skips `stable-after`, for those it is not connected with.
#[test]
fn r4_an_announcement_of_the_other_side_hurries_the_preferred_one() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[3]);
    world.pass(secs(6));
    announces(&mut world, 3, 3);
    assert_eq!(world.listed(), [s(1), s(2)]);
}

/// A side that is not preferred still announces and waits.
#[test]
fn r4_a_hurried_side_that_is_not_preferred_still_announces_and_waits() {
    let mut world = World::member(2, &[1, 2], 2);
    split_off(&mut world, &[1]);
    world.pass(secs(6));
    announces(&mut world, 1, 3);
    assert_eq!(world.listed(), [s(1), s(2)]);
    assert_eq!(announcement(&world).unwrap().writer, Some(s(2)));
    world.pass(ms(1_900));
    assert_eq!(world.listed(), [s(1), s(2)]);
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(2)]);
}

#[test]
fn r4_an_announcement_of_another_generation_or_without_a_split_hurries_nobody() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[3]);
    world.pass(secs(6));
    announces(&mut world, 3, 2);
    world.pass(secs(5));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    let mut world = World::member(1, &[1, 2, 3], 1);
    announces(&mut world, 3, 3);
    world.pass(secs(30));
    assert_eq!(world.roster().unwrap().generation, Generation(3));
}

/// sbr.md K4: with `down-if-alone` off a lone oldest is preferred.
#[test]
fn r4_a_lone_oldest_is_preferred_when_down_if_alone_is_off() {
    let mut config = config();
    config.down_if_alone = false;
    let mut world = World::member_with(1, &[1, 2, 3], 1, config);
    split_off(&mut world, &[2, 3]);
    world.pass(ms(DECIDES + 200));
    assert_eq!((world.listed(), announcement(&world)), (vec![s(1)], None));
}

/// S5, W10 of sbr.md: a pause looks like everybody's silence, and decides nothing.
#[test]
fn r4_a_server_that_did_not_run_decides_nothing_when_it_wakes() {
    let mut world = World::member(1, &[1, 2], 1);
    world.sleep(secs(60));
    world.pass(secs(60));
    assert_eq!(world.listed(), [s(1), s(2)]);
    assert_eq!(world.roster().unwrap().generation, Generation(3));
}

/// Servers 3 and 4 did not hear 1, which stood still for 25 s, and announced themselves; what they
/// said before they hear it again comes first.
fn wakes_among_the_deaf() -> World {
    let mut world = World::member(1, &[1, 2, 3, 4], 1);
    for n in [3, 4] {
        world.peer(&s(n)).hears = BTreeSet::from([s(3), s(4)]);
    }
    world.sleep(secs(25));
    world.pass(ms(200));
    announces(&mut world, 3, 3);
    world
}

/// sbr.md W10: it hears anew before an announcement hurries it.
#[test]
fn r4_who_just_woke_leaves_nobody_out_that_has_not_heard_it_yet() {
    let mut world = wakes_among_the_deaf();
    world.pass(secs(2));
    for n in [3, 4] {
        world.hears(&s(n));
    }
    world.pass(secs(60));
    assert_eq!(world.roster().unwrap().generation, Generation(3));
}

#[test]
fn r4_whom_it_still_does_not_hear_when_it_has_been_awake_is_left_out_hurriedly() {
    let mut world = wakes_among_the_deaf();
    world.pass(ms(4_600));
    assert_eq!(world.listed(), [s(1), s(2), s(3), s(4)]);
    world.pass(ms(400));
    assert_eq!(world.listed(), [s(1), s(2)]);
}

/// An announcement that it made before it stood still is no older for that.
#[test]
fn r4_who_stood_still_after_its_announcement_hears_anew_before_it_acts() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    split_off(&mut world, &[2, 3]);
    world.pass(ms(DECIDES + 200));
    assert!(announcement(&world).is_some());
    for n in [2, 3] {
        world.peer(&s(n)).hears = BTreeSet::from([s(2), s(3)]);
        world.beat(&s(n));
    }
    world.sleep(secs(10));
    world.pass(secs(2));
    for n in [2, 3] {
        world.hears(&s(n));
    }
    world.pass(secs(60));
    assert_eq!(world.roster().unwrap().generation, Generation(3));
}

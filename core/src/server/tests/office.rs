//! The office, continued: hung holders, holders without store, turns, take-over and the end of a
//! tenure (protocol.md S6 to S9, W1, W2).

use super::world::{Say, World, layout, ms, s, secs};
use crate::input::{Input, LinkEvent};
use crate::output::{ClusterEvent, TakenBy};
use crate::records::key;

fn challenges(world: &World) -> usize {
    world.written(&layout().challenge()).len()
}

fn claims(world: &World) -> Vec<Vec<String>> {
    world.written(&layout().singleton())
}

/// The holder is dead for this server: the connection broke, a new dial was refused.
fn dies(world: &mut World, n: u16) {
    world.silence(&s(n));
    world.tell(Input::Link(LinkEvent::Down { peer: s(n) }));
    let address = s(n).address;
    world.tell(Input::Link(LinkEvent::Refused { address }));
}

/// S6: beats come, but the store shows no sign of life.
#[test]
fn s6_whoever_sees_pulse_unmoved_for_five_seconds_challenges_whatever_it_hears() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.pass(ms(1_050));
    world.pulses();
    world.holder_pulses = false;
    world.forget();
    world.pass(ms(4_900));
    assert_eq!(challenges(&world), 0);
    // An event only tells that it moved; the next read is what is counted from, half a second on.
    world.pass(ms(700));
    assert_eq!(challenges(&world), 1);
    world.pass(ms(300));
    assert_eq!(world.office().holder, s(2));
}

/// S6: nobody sees `pulse` stand still while the store is away, and a holder that could not raise it
/// gets its time when the store is back.
#[test]
fn s6_the_time_without_the_store_does_not_count_as_a_look_at_pulse() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.holder_pulses = false;
    world.store_away = true;
    world.pass(secs(20));
    world.store_away = false;
    world.pass(ms(5_400));
    assert_eq!(challenges(&world), 0);
    world.pass(ms(300));
    assert_eq!(
        challenges(&world),
        1,
        "five seconds since it has the store again"
    );
}

/// S6: also one to which no fast beats are owed.
#[test]
fn s6_a_server_without_fast_beats_challenges_a_hung_holder_too() {
    let listed: Vec<u16> = (1..=8).collect();
    let mut world = World::member(8, &listed, 1);
    world.holder_pulses = false;
    world.pass(secs(8));
    assert_eq!(challenges(&world), 1);
}

/// S6: the beat is renewed more often than the beat thread stops for lack of it.
#[test]
fn s6_the_beat_is_renewed_often_enough_for_the_beat_thread() {
    let mut world = World::member(1, &[1, 2], 1);
    for _ in 0..20 {
        world.plan.beat = None;
        world.pass(ms(400));
        assert!(world.plan.beat.is_some());
    }
}

/// S7: the holder says so in every beat, while another one has the store.
#[test]
fn s7_a_holder_without_store_says_vacant_until_it_can_commit_again() {
    let mut world = World::member(1, &[1, 2], 1);
    let vacant = |world: &World| world.plan.beat.as_ref().unwrap().vacant;
    world.store_away = true;
    world.pass(ms(600));
    assert!(!vacant(&world));
    world.pass(ms(900));
    assert!(vacant(&world));
    assert!(world.plan.beat.as_ref().unwrap().store_age_ms >= 700);
    world.store_away = false;
    world.pass(ms(800));
    assert!(!vacant(&world));
}

#[test]
fn s7_a_holder_is_not_vacant_while_nobody_else_has_the_store() {
    let mut world = World::member(1, &[1, 2], 1);
    world.peer(&s(2)).store_age_ms = 60_000;
    world.store_away = true;
    world.pass(secs(10));
    assert!(!world.plan.beat.as_ref().unwrap().vacant);
}

/// S7: the store is away for everybody; what the others say of it in their beats grows old with it.
#[test]
fn s7_a_holder_is_not_vacant_when_the_store_itself_is_away() {
    // Ordinary servers beat once a second, and the last success of an idle one may be half a second
    // younger than the holder's.
    for (last_success, beat_after) in [(0, 0), (0, 900), (500, 300), (500, 990)] {
        let mut world = World::member(1, &[1, 2], 1);
        world.silence(&s(2));
        world.store_away = true;
        for tenth in 0..40 {
            if tenth % 10 == beat_after / 100 {
                let age = (tenth * 100_u64).saturating_sub(last_success);
                world.peer(&s(2)).store_age_ms = age;
                world.beat(&s(2));
            }
            world.pass(ms(100));
            let vacant = world.plan.beat.as_ref().unwrap().vacant;
            assert!(
                !vacant,
                "{last_success}, {beat_after}: after {tenth} tenths"
            );
        }
    }
}

/// S7, the other way round: the others' slow beats show that they have the store.
#[test]
fn s7_a_holder_that_alone_lost_the_store_is_vacant_within_three_seconds() {
    let mut world = World::member(1, &[1, 2], 1);
    world.silence(&s(2));
    world.store_away = true;
    let mut first = None;
    for tenth in 0..30_u64 {
        if tenth % 10 == 9 {
            world.peer(&s(2)).store_age_ms = 500;
            world.beat(&s(2));
        }
        world.pass(ms(100));
        if world.plan.beat.as_ref().unwrap().vacant {
            first.get_or_insert(tenth);
        }
    }
    assert!(first.is_some());
}

#[test]
fn s7_who_does_not_hold_the_office_is_never_vacant() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.store_away = true;
    world.pass(secs(3));
    assert!(!world.plan.beat.as_ref().unwrap().vacant);
}

fn taken_by(world: &World) -> Vec<TakenBy> {
    let taken = |event: &ClusterEvent| match event {
        ClusterEvent::OfficeTaken { by, .. } => Some(*by),
        _ => None,
    };
    world.events.iter().filter_map(taken).collect()
}

/// W4: the answer comes after the read that shows the claim, or never.
#[test]
fn w4_a_claim_that_a_read_shows_is_called_what_it_was() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.hold(layout().singleton());
    dies(&mut world, 1);
    world.carry_out_held();
    world.pass(secs(1));
    assert_eq!(world.office().holder, s(2));
    assert_eq!(taken_by(&world), [TakenBy::Proof]);
}

#[test]
fn s7_a_vacant_office_is_challenged_at_once_and_claimed_unanswered() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.peer(&s(1)).vacant = true;
    world.beat(&s(1));
    assert_eq!((challenges(&world), claims(&world).len()), (1, 0));
    world.pass(ms(300));
    assert_eq!(
        claims(&world),
        [["put singleton@0", "check cluster@0", "put pulse@0"]]
    );
    assert_eq!(taken_by(&world), [TakenBy::Vacancy]);
}

/// S1, S7, ADR 0016: its word was kept back on the way, and its pulse is not due yet; it has the
/// store again, so it answers.
#[test]
fn s7_a_holder_that_answers_is_not_vacant_whatever_an_old_beat_says() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.peer(&s(1)).vacant = true;
    world.beat(&s(1));
    world.peer(&s(1)).vacant = false;
    world.pulses();
    world.pass(secs(1));
    assert_eq!(world.office().holder, s(1));
    assert_eq!(challenges(&world), 1);
}

/// S1, S7: its word was kept back on the way; it has the store again, as its pulse shows.
#[test]
fn s7_a_holder_whose_pulse_moves_is_not_vacant_whatever_an_old_beat_says() {
    let mut world = World::member(2, &[1, 2], 1);
    world.pass(secs(3));
    world.forget();
    world.pulses();
    world.peer(&s(1)).vacant = true;
    world.beat(&s(1));
    world.peer(&s(1)).vacant = false;
    world.pass(ms(50));
    assert_eq!(world.commits, []);
    assert_eq!(world.office().holder, s(1));
}

#[test]
fn s7_a_candidate_without_store_claims_nothing() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.store_away = true;
    world.pass(secs(1));
    world.forget();
    world.peer(&s(1)).vacant = true;
    world.pass(secs(3));
    assert_eq!(world.commits, []);
}

/// S7: an idle server makes a barrier every 500 ms, so that its age stays below 700 ms.
#[test]
fn s7_an_idle_server_makes_a_barrier_every_half_second() {
    let mut world = World::member(3, &[1, 2, 3], 1);
    world.watched = false;
    world.forget();
    world.pass(secs(10));
    assert_eq!(world.queries.len(), 20);
}

/// S8: 150 ms for each older candidate that is listed, alive and has the store.
#[test]
fn s8_the_ith_candidate_waits_150_ms_times_i() {
    for (me, wait) in [(2, 0), (3, 150), (4, 300)] {
        let mut world = World::member(me, &[1, 2, 3, 4], 1);
        dies(&mut world, 1);
        if wait > 0 {
            world.pass(ms(wait - 10));
            assert_eq!(claims(&world), [[""; 0]; 0], "server {me}");
            world.pass(ms(20));
        }
        assert_eq!(claims(&world).len(), 1, "server {me}");
    }
}

#[test]
fn s8_candidates_that_are_dead_or_without_store_are_not_waited_for() {
    let mut world = World::member(4, &[1, 2, 3, 4], 1);
    world.peer(&s(3)).store_age_ms = 10_000;
    world.silence(&s(2));
    world.pass(secs(6));
    world.forget();
    dies(&mut world, 1);
    assert_eq!(claims(&world).len(), 1);
}

#[test]
fn s8_the_turn_is_kept_for_challenges_too() {
    let mut world = World::member(3, &[1, 2, 3], 1);
    world.pass(ms(50));
    world.silence(&s(1));
    world.pass(ms(790));
    assert_eq!(challenges(&world), 0);
    world.pass(ms(20));
    assert_eq!(challenges(&world), 1);
}

/// S9, in order: claim; then everything is read in a round after it; only then decisions.
#[test]
fn s9_the_new_holder_reads_everything_after_its_claim_before_it_is_ready() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.pass(ms(50));
    world.slow_reads = true;
    world.forget();
    dies(&mut world, 1);
    let folders: Vec<_> = world
        .queries
        .iter()
        .filter(|one| !one.folders.is_empty())
        .collect();
    assert_eq!(folders.len(), 1);
    let l = layout();
    for folder in [l.calls(), l.contexts(), l.owners(), l.lives()] {
        assert!(folders[0].folders.contains(&folder));
    }
    let ready = |world: &World| {
        let is = |event: &ClusterEvent| matches!(event, ClusterEvent::OfficeReady { .. });
        world.events.iter().any(is)
    };
    assert!(!ready(&world));
    world.release_reads();
    assert!(ready(&world));
}

#[test]
fn s9_a_take_over_whose_read_failed_reads_again() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.hold(layout().singleton());
    dies(&mut world, 1);
    world.store_away = true;
    world.let_go(Say::Commit);
    world.pass(secs(1));
    let ready = |event: &ClusterEvent| matches!(event, ClusterEvent::OfficeReady { .. });
    assert!(!world.events.iter().any(ready));
    world.store_away = false;
    world.pass(secs(1));
    assert!(world.events.iter().any(ready));
}

/// S9: every transaction that takes the office raises `pulse`, so that F4's looks begin anew.
#[test]
fn s9_whoever_takes_the_office_raises_pulse_in_the_same_transaction() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    dies(&mut world, 1);
    let claim = &claims(&world)[0];
    assert!(claim.contains(&"put pulse".to_owned()), "{claim:?}");
}

/// W1: the fence that fails is confirmed by a read; the holder steps down and serves on.
#[test]
fn w1_a_holder_whose_fence_failed_steps_down_and_serves_on() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.watched = false;
    world.takes_office(&s(2));
    world.pass(ms(2_500));
    let epoch = crate::records::singleton::Epoch(6);
    assert!(world.events.contains(&ClusterEvent::SteppedDown { epoch }));
    assert_eq!(world.stops, []);
    assert!(world.server.view(world.now).ready);
    world.forget();
    world.pass(secs(5));
    assert_eq!(world.written(&layout().pulse()), [[""; 0]; 0]);
}

/// W1: a refusal alone ends nothing: the read says that the office is still its own.
#[test]
fn w1_a_refused_pulse_alone_ends_no_tenure() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.hold(layout().pulse());
    world.pass(secs(3));
    world.let_go(Say::Refuse(0));
    world.pass(secs(3));
    let down = |event: &ClusterEvent| matches!(event, ClusterEvent::SteppedDown { .. });
    assert!(!world.events.iter().any(down));
    assert!(world.written(&layout().pulse()).len() > 1);
}

/// singleton.md H3, X6: what a paused holder had decided is refused by the fence.
#[test]
fn w2_what_a_holder_that_slept_commits_is_refused_by_the_fence() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.hold(layout().pulse());
    world.pass(secs(3));
    world.watched = false;
    world.takes_office(&s(2));
    world.let_go(Say::Commit);
    let refused = crate::records::transaction::CommitOutcome::Refused { operation: 0 };
    assert!(
        world
            .commits
            .iter()
            .any(|(_, outcome)| *outcome == Some(refused.clone()))
    );
    assert_eq!(world.office().holder, s(2));
}

/// singleton.md H4: an office does not come back with an older read.
#[test]
fn s2_a_read_from_before_the_own_claim_takes_nobody_back() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.pass(ms(50));
    world.slow_reads = true;
    world.tell(Input::StoreChanged(
        crate::records::transaction::Change::Record(key::cluster()),
    ));
    dies(&mut world, 1);
    assert_eq!(world.server.view(world.now).holder, Some(s(2)));
    world.release_reads();
    assert_eq!(world.server.view(world.now).holder, Some(s(2)));
    let down = |event: &ClusterEvent| matches!(event, ClusterEvent::SteppedDown { .. });
    assert!(!world.events.iter().any(down));
}

//! The office: how it is kept and how it moves (protocol.md S1 to S9, W1, W4).

use super::world::{Say, World, config, layout, ms, reborn, s, secs};
use crate::identity::Identity;
use crate::input::{Input, LinkEvent};
use crate::output::{ClusterEvent, TakenBy};
use crate::records::singleton::ChallengeRecord;
use crate::records::transaction::CommitOutcome;

const CHALLENGE: [&str; 3] = ["check singleton@0", "check pulse@0", "put challenge@0"];
const CLAIM: [&str; 3] = ["put singleton@0", "check cluster@0", "put pulse@0"];
const CLAIM_BY_PROOF: [&str; 3] = ["put singleton@0", "check cluster@0", "put pulse"];

/// A candidate whose holder, 1, answers only when the test says so.
fn candidate(n: u16, listed: &[u16]) -> World {
    let mut store = crate::records::model::StoreModel::new();
    super::world::cluster(&mut store, 3, listed, &s(1));
    let mut world = World::start(&s(n), store, config());
    world.holder_pulses = false;
    world.run();
    for other in listed.iter().filter(|other| **other != n) {
        world.meets(&s(*other));
    }
    world.pass(ms(1_050));
    world.forget();
    world
}

fn challenges(world: &World) -> Vec<Vec<String>> {
    world.written(&layout().challenge())
}

fn claims(world: &World) -> Vec<Vec<String>> {
    world.written(&layout().singleton())
}

fn broke(world: &mut World, peer: &Identity) {
    world.tell(Input::Link(LinkEvent::Down { peer: peer.clone() }));
}

fn refused(world: &mut World, n: u16) {
    let address = s(n).address;
    world.tell(Input::Link(LinkEvent::Refused { address }));
}

fn taken_by(world: &World) -> Vec<TakenBy> {
    let all = world.events.iter().filter_map(|event| match event {
        ClusterEvent::OfficeTaken { by, .. } => Some(*by),
        _ => None,
    });
    all.collect()
}

#[test]
fn s1_the_holder_keeps_the_office_while_it_lives_is_listed_and_can_commit() {
    let mut world = World::member(2, &[1, 2, 3], 2);
    world.lists(&[s(1), s(3), s(2)]);
    world.silence(&s(1));
    world.pass(secs(20));
    assert_eq!((world.office().holder, claims(&world)), (s(2), vec![]));
}

/// The holder: `pulse` every 2 s, under the fence.
#[test]
fn s5_the_holder_raises_pulse_every_two_seconds_under_its_fence() {
    let mut world = World::member(1, &[1, 2], 1);
    world.pass(secs(10));
    let pulses = world.written(&layout().pulse());
    assert_eq!(pulses, [["check singleton@0", "put pulse"]; 5]);
}

/// S4: the connection broke and a new dial is refused by the peer itself.
#[test]
fn s4_a_broken_link_and_a_refused_dial_prove_death_and_the_office_is_claimed_at_once() {
    let mut world = candidate(2, &[1, 2, 3]);
    broke(&mut world, &s(1));
    assert_eq!(world.commits, []);
    refused(&mut world, 1);
    assert_eq!(claims(&world), [CLAIM_BY_PROOF]);
    assert_eq!((world.office().epoch.0, world.office().holder), (6, s(2)));
    assert_eq!(taken_by(&world), [TakenBy::Proof]);
}

#[test]
fn s4_a_refused_dial_alone_proves_nothing() {
    let mut world = candidate(2, &[1, 2, 3]);
    refused(&mut world, 1);
    world.pass(ms(500));
    assert_eq!(world.commits, []);
}

#[test]
fn s4_silence_is_no_proof() {
    let mut world = candidate(2, &[1, 2, 3]);
    broke(&mut world, &s(1));
    let address = s(1).address;
    world.tell(Input::Link(LinkEvent::Silent { address }));
    world.pass(ms(500));
    assert_eq!(world.commits, []);
}

#[test]
fn s4_a_link_that_came_again_takes_back_the_first_half_of_a_proof() {
    let mut world = candidate(2, &[1, 2, 3]);
    broke(&mut world, &s(1));
    world.tell(Input::Link(LinkEvent::Up { peer: s(1) }));
    refused(&mut world, 1);
    world.pass(ms(500));
    assert_eq!(world.commits, []);
}

#[test]
fn s4_another_incarnation_at_the_holders_address_proves_its_death() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.tell(Input::Link(LinkEvent::Up { peer: reborn(1) }));
    assert_eq!(claims(&world), [CLAIM_BY_PROOF]);
    assert_eq!(world.office().holder, s(2));
}

/// A slow link brings the answer of the holder's earlier life when the present one is known.
#[test]
fn s4_a_life_that_was_taken_off_proves_nothing_against_the_one_after_it() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.lists(&[s(2), s(3), reborn(1)]);
    world.takes_office(&reborn(1));
    world.forget();
    world.tell(Input::Link(LinkEvent::Up { peer: s(1) }));
    assert_eq!(world.commits, []);
    assert_eq!(world.office().holder, reborn(1));
}

#[test]
fn s4_the_death_of_another_server_moves_no_office() {
    let mut world = candidate(2, &[1, 2, 3]);
    broke(&mut world, &s(3));
    refused(&mut world, 3);
    world.tell(Input::Link(LinkEvent::Up { peer: reborn(3) }));
    world.pass(ms(500));
    assert_eq!(world.commits, []);
}

/// S4: if the victim turns out to live, proof is never again taken against that incarnation.
#[test]
fn s4_proof_is_never_again_taken_against_a_victim_that_lives() {
    let mut world = candidate(3, &[1, 2, 3]);
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    let how = "refused";
    let proof = ClusterEvent::ProofOfDeath { member: s(1), how };
    assert!(world.events.contains(&proof));
    world.beat(&s(1));
    world.pass(secs(1));
    assert_eq!(
        claims(&world),
        [[""; 0]; 0],
        "it was not yet its turn, and 1 beats"
    );
    world.forget();
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    world.pass(secs(1));
    assert!(!world.events.contains(&proof));
    assert_eq!(claims(&world), [[""; 0]; 0]);
}

/// S4: nor when it turns out only after its office was taken, and has it again.
#[test]
fn s4_proof_is_never_again_taken_against_a_victim_that_lives_and_holds_the_office_again() {
    let mut world = candidate(2, &[1, 2, 3]);
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    assert_eq!(world.office().holder, s(2));
    world.beat(&s(1));
    world.takes_office(&s(1));
    world.forget();
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    world.pass(ms(500));
    assert_eq!(claims(&world), [[""; 0]; 0]);
    assert_eq!(world.office().holder, s(1));
}

/// S2 †: the claim is void when the roster moved, and when the office did.
#[test]
fn s2_a_claim_is_guarded_by_the_office_and_by_the_roster_that_lists_the_claimant() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.hold(layout().singleton());
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    world.watched = false;
    world.lists(&[s(1), s(3)]);
    world.let_go(Say::Commit);
    assert_eq!((world.office().epoch.0, world.office().holder), (5, s(1)));
    assert_eq!(world.stops.len(), 1, "it reads that it is left out");

    let mut world = candidate(2, &[1, 2, 3]);
    world.hold(layout().singleton());
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    world.takes_office(&s(3));
    world.let_go(Say::Commit);
    assert_eq!(world.office().holder, s(3));
    world.pass(ms(500));
    assert_eq!(
        claims(&world).len(),
        1,
        "the victim is not the holder any more"
    );
}

#[test]
fn s2_a_claim_whose_answer_was_lost_is_found_by_reading() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.hold(layout().singleton());
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    world.let_go(Say::Lost);
    world.pass(secs(1));
    assert_eq!((claims(&world).len(), world.office().epoch.0), (1, 6));
    assert_eq!(taken_by(&world).len(), 1);
}

/// W4: it may still be carried out, and only its guards say whether it may.
#[test]
fn s2_a_claim_of_unknown_outcome_is_decided_anew() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.hold(layout().singleton());
    world.silence(&s(1));
    broke(&mut world, &s(1));
    refused(&mut world, 1);
    world.let_go(Say::Unknown);
    world.pass(ms(200));
    assert_eq!((claims(&world).len(), world.office().epoch.0), (2, 6));
}

/// S5 †: guarded by the versions of `singleton` and `pulse`.
#[test]
fn s5_silence_for_claim_after_is_challenged() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.silence(&s(1));
    world.pass(ms(640));
    assert_eq!(world.commits, []);
    world.pass(ms(20));
    assert_eq!(challenges(&world), [CHALLENGE]);
    let record: ChallengeRecord = world.get(&layout().challenge()).unwrap().value;
    assert_eq!((record.epoch.0, record.challenger), (5, Some(s(2))));
    assert_eq!(claims(&world), [[""; 0]; 0]);
}

#[test]
fn s5_a_challenge_is_void_when_pulse_or_office_moved_meanwhile() {
    type Change = fn(&mut World);
    let changes: [Change; 2] = [World::pulses, |world| world.takes_office(&s(3))];
    for change in changes {
        let mut world = candidate(2, &[1, 2, 3]);
        world.hold(layout().challenge());
        world.silence(&s(1));
        world.pass(ms(700));
        world.watched = false;
        change(&mut world);
        let before = world.office();
        world.answer_held(Say::Commit);
        world.pass(ms(400));
        assert_eq!((world.office(), claims(&world).len()), (before, 0));
        let record: ChallengeRecord = world.get(&layout().challenge()).unwrap().value;
        assert_eq!(record.challenger, None);
    }
}

#[test]
fn s5_pulse_unmoved_for_250_ms_lets_the_challenger_claim() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.silence(&s(1));
    world.pass(ms(890));
    assert_eq!(claims(&world), [[""; 0]; 0]);
    world.pass(ms(20));
    assert_eq!(claims(&world), [CLAIM]);
    assert_eq!((world.office().epoch.0, world.office().holder), (6, s(2)));
    assert_eq!(taken_by(&world), [TakenBy::Challenge]);
}

/// S5 †: the claim is guarded by the version of `pulse` at the challenge's commit.
#[test]
fn s5_a_challenge_that_is_answered_moves_nothing() {
    for watched in [true, false] {
        let mut world = candidate(2, &[1, 2, 3]);
        world.silence(&s(1));
        world.pass(ms(700));
        assert_eq!(challenges(&world), [CHALLENGE]);
        world.watched = watched;
        world.pulses();
        world.pass(ms(400));
        assert_eq!((world.office().epoch.0, world.office().holder), (5, s(1)));
    }
}

/// S5: three times the challenge's own commit time, if that is longer.
#[test]
fn s5_a_slow_store_gives_the_holder_more_time() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.hold(layout().challenge());
    world.silence(&s(1));
    world.pass(ms(660));
    world.pass(ms(300));
    world.let_go(Say::Commit);
    world.pass(ms(880));
    assert_eq!(claims(&world), [[""; 0]; 0]);
    world.pass(ms(50));
    assert_eq!(claims(&world), [CLAIM]);
}

#[test]
fn s5_a_new_epoch_voids_a_challenge() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.silence(&s(1));
    world.pass(ms(700));
    world.takes_office(&s(3));
    world.pass(secs(2));
    assert_eq!((world.office().epoch.0, world.office().holder), (6, s(3)));
    assert_eq!(claims(&world), [[""; 0]; 0]);
}

/// The answer of the older challenge comes late: it says nothing of the newer one.
#[test]
fn s5_the_late_answer_of_an_older_challenge_starts_no_claim() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.hold(layout().challenge());
    world.silence(&s(1));
    world.pass(ms(700));
    world.carry_out_held();
    world.takes_office(&s(3));
    world.silence(&s(3));
    world.pass(ms(900));
    assert_eq!(world.held().len(), 2);
    world.answer_held(Say::Commit);
    world.pass(secs(5));
    assert_eq!((claims(&world), world.office().holder), (vec![], s(3)));
}

#[test]
fn s5_each_server_challenges_at_most_once_a_second() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.silence(&s(1));
    let mut answered = 0;
    for _ in 0..50 {
        world.pass(ms(100));
        let found = world.get::<ChallengeRecord>(&layout().challenge());
        if found.unwrap().version.0 > answered {
            answered += 1;
            world.pulses();
        }
    }
    let done =
        |outcome: &Option<CommitOutcome>| matches!(outcome, Some(CommitOutcome::Committed { .. }));
    let made = world
        .commits
        .iter()
        .filter(|(_, outcome)| done(outcome))
        .count();
    assert_eq!(made, 5, "challenges in 5 s");
    assert_eq!(world.office().holder, s(1));
}

/// S5: only servers to which the holder owes its fast beats challenge by silence.
#[test]
fn s5_only_the_first_five_candidates_challenge_by_silence() {
    let listed: Vec<u16> = (1..=8).collect();
    for (n, owed) in [(6, true), (7, false), (8, false)] {
        let mut world = candidate(n, &listed);
        world.silence(&s(1));
        world.pass(ms(3_000));
        assert_eq!(!challenges(&world).is_empty(), owed, "server {n}");
    }
}

#[test]
fn s5_the_holder_beats_fast_to_its_first_five_candidates_and_its_ring() {
    let listed: Vec<u16> = (1..=8).collect();
    let mut world = World::member(1, &listed, 1);
    world.pass(secs(1));
    for n in 2..=6 {
        assert_eq!(world.plan.targets[&s(n).address], ms(100));
    }
    let mut other = World::member(2, &listed, 1);
    other.pass(secs(1));
    assert!(other.plan.targets.values().all(|every| *every == secs(1)));
    assert!(!other.plan.targets.contains_key(&s(2).address));
}

/// S5: a server whose own timers fired late starts its count anew.
#[test]
fn s5_a_server_that_did_not_run_counts_the_holders_silence_anew() {
    let mut world = candidate(2, &[1, 2, 3]);
    world.silence(&s(1));
    world.sleep(secs(3));
    assert_eq!(world.commits, []);
    world.pass(ms(690));
    assert_eq!(world.commits, []);
    world.pass(ms(20));
    assert_eq!(challenges(&world).len(), 1);
}

fn asks(world: &mut World, challenger: u16, epoch: u64) {
    let record = ChallengeRecord {
        epoch: crate::records::singleton::Epoch(epoch),
        challenger: Some(s(challenger)),
        rest: Default::default(),
    };
    world.puts(layout().challenge(), &record);
}

/// S5: one raise for every change of `challenge`, after it was read.
#[test]
fn s5_the_holder_raises_pulse_once_for_every_challenge() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.pass(ms(1_900));
    world.forget();
    for n in [2, 3, 2] {
        asks(&mut world, n, 5);
        assert_eq!(
            world.written(&layout().pulse()),
            [["check singleton@0", "put pulse"]]
        );
        world.pass(ms(600));
        assert_eq!(world.written(&layout().pulse()).len(), 1);
        world.forget();
    }
}

#[test]
fn s5_a_raise_that_the_store_did_not_confirm_is_made_again() {
    for say in [Say::Unknown, Say::NotSent, Say::Lost] {
        let mut world = World::member(1, &[1, 2, 3], 1);
        world.pass(ms(100));
        world.forget();
        world.hold(layout().pulse());
        asks(&mut world, 2, 5);
        world.let_go(say);
        world.pass(ms(600));
        assert!(world.written(&layout().pulse()).len() >= 2, "{say:?}");
    }
}

/// A store that is away is asked again after a pause, however urgent the answer is.
#[test]
fn s5_a_holder_that_cannot_answer_tries_again_after_a_pause() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.pass(ms(100));
    world.forget();
    world.slow_reads = true;
    asks(&mut world, 2, 5);
    world.store_away = true;
    world.release_reads();
    world.pass(ms(1_000));
    let tries = world.written(&layout().pulse()).len();
    assert!((2..=12).contains(&tries), "{tries} tries in a second");
    world.store_away = false;
    world.pass(ms(150));
    assert_eq!(world.written(&layout().pulse()).len(), tries + 1);
}

#[test]
fn s5_a_challenge_of_an_older_epoch_is_not_answered() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.pass(ms(100));
    world.forget();
    asks(&mut world, 2, 4);
    assert_eq!(world.commits, []);
}

/// S5: after it read it, not when it hears of it.
#[test]
fn s5_the_holder_answers_only_a_challenge_that_it_has_read() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.pass(ms(100));
    world.forget();
    world.slow_reads = true;
    asks(&mut world, 2, 5);
    assert_eq!(world.commits, []);
    world.release_reads();
    assert_eq!(world.written(&layout().pulse()).len(), 1);
}

//! Tests of `rightful_moves`.

use super::*;
use crate::oracle::history::{History, cluster, layout, office, pulse, server};
use crate::schedule::model::Target;
use doyen_core::records::cluster::Generation;
use doyen_core::records::key;
use doyen_core::wire::Beat;

fn history() -> History {
    let target = Target::SingletonHost;
    History::cluster(RightfulMoves::default(), vec![FaultKind::Pause { target }])
}

fn rule(history: &mut History) -> String {
    history
        .fails()
        .trim_start_matches("rightful_moves/")
        .to_owned()
}

fn beat(vacant: bool) -> Input {
    Input::Beat(Beat {
        from: server(1, 1),
        sequence: 1,
        generation: Generation(3),
        epoch: Epoch(1),
        holder: Some(server(1, 1).incarnation),
        hears: Default::default(),
        store_age_ms: 0,
        vacant,
    })
}

/// A claim under the version of `pulse` that is there.
fn claims_guarded(history: &mut History, by: &Identity) {
    let records = &history.facts.records;
    let versions = (
        records.singleton.as_ref().unwrap().version,
        records.pulse.as_ref().unwrap().version,
    );
    let cluster = history.version_of_cluster();
    let claim = history
        .transaction()
        .put(layout().singleton(), office(2, by), versions.0)
        .check(key::cluster(), cluster)
        .put(layout().pulse(), pulse(2, 0), versions.1);
    history.writes(by, &claim);
}

fn proof(history: &mut History) {
    let member = server(1, 1);
    let how = "refused";
    history.event(2, ClusterEvent::ProofOfDeath { member, how });
}

#[test]
fn a_dead_holder_loses_the_office_by_proof() {
    let two = server(2, 1);
    let mut history = history();
    history.wait(10_000).dies(&server(1, 1));
    proof(&mut history);
    history.claims(&two, &two);
    assert_eq!(history.verdict(), Ok(()));
}

#[test]
fn a_holder_that_stands_still_loses_it_by_an_unanswered_challenge() {
    let two = server(2, 1);
    let mut history = history();
    history.wait(10_000).fault(0, true, &[1]).wait(1_000);
    history.challenges(&two).wait(300);
    claims_guarded(&mut history, &two);
    assert_eq!(history.verdict(), Ok(()));
}

#[test]
fn a_vacant_holder_is_challenged_at_once_and_loses_it_unanswered() {
    let (two, member) = (server(2, 1), server(1, 1));
    for (vacant, challenges, rule) in [
        (true, true, None),
        (true, false, Some("rightful_moves/no reason")),
        (false, true, Some("rightful_moves/hasty challenge")),
    ] {
        let mut history = history();
        history.wait(10_000).reads(2).fault(0, true, &[1]);
        history.input(2, &beat(vacant));
        if challenges {
            let member = member.clone();
            history.event(2, ClusterEvent::Challenged { member });
            history.challenges(&two);
        }
        history.wait(300);
        claims_guarded(&mut history, &two);
        let found = history.verdict().err().map(|one| one.fingerprint);
        assert_eq!(found.as_deref(), rule);
    }
}

#[test]
fn a_claim_without_a_reason_or_without_its_guard_or_wait_is_a_violation() {
    let two = server(2, 1);
    let paused = |challenge: bool, wait: u64| {
        let mut history = history();
        history.wait(10_000).fault(0, true, &[1]).wait(1_000);
        if challenge {
            history.challenges(&server(2, 1));
        }
        history.wait(wait);
        history
    };
    let mut history = paused(false, 0);
    history.claims(&two, &two);
    assert_eq!(rule(&mut history), "no reason");
    let mut history = paused(true, 300);
    history.claims(&two, &two);
    assert_eq!(rule(&mut history), "answer ignored");
    let mut history = paused(true, 100);
    claims_guarded(&mut history, &two);
    assert_eq!(rule(&mut history), "no wait");
}

#[test]
fn a_holder_that_is_sound_keeps_the_office() {
    let two = server(2, 1);
    let mut history = history();
    history.wait(10_000).challenges(&two).wait(300);
    claims_guarded(&mut history, &two);
    assert_eq!(rule(&mut history), "taken from the living");
}

#[test]
fn a_challenge_follows_silence_and_proof_follows_death() {
    let member = server(1, 1);
    // Told of the pulse, then heard, so long before the challenge.
    for (pulse_told, heard, good) in [
        (300, 300, false),
        (800, 800, true),
        (5_100, 300, true),
        // Whatever happened to `pulse`, the challenger was not told.
        (9_000, 0, true),
    ] {
        let mut history = history();
        history.wait(10_000).reads(2).wait(pulse_told - heard);
        let version = history.facts.records.singleton.as_ref().unwrap().version;
        let raise = history
            .transaction()
            .check(layout().singleton(), version)
            .put_any(layout().pulse(), pulse(1, 1));
        history.writes(&member, &raise);
        history
            .input(2, &beat(false))
            .wait(heard)
            .input(2, &Input::Timeout);
        let member = member.clone();
        history.event(2, ClusterEvent::Challenged { member });
        assert_eq!(history.verdict().is_ok(), good, "{pulse_told} {heard} ms");
    }
    let mut history = history();
    proof(&mut history);
    assert_eq!(rule(&mut history), "false proof");
}

#[test]
fn only_who_leaves_gives_the_office_away() {
    let (one, two) = (server(1, 1), server(2, 1));
    for leaves in [false, true] {
        let mut history = history();
        if leaves {
            history.input(1, &Input::Command(Command::Leave));
        }
        history.claims(&one, &two);
        assert_eq!(history.verdict().is_ok(), leaves);
    }
}

#[test]
fn a_cluster_is_founded_anew_over_a_standing_pulse_only() {
    for (millis, good) in [(8_000, false), (60_000, true)] {
        let mut history = history();
        let fresh = server(2, 2);
        for number in 1..=3 {
            history.dies(&server(number, 1));
        }
        history.begins(2, 2).wait(millis);
        let records = &history.facts.records;
        let versions = (
            records.singleton.as_ref().unwrap().version,
            records.pulse.as_ref().unwrap().version,
        );
        let roster = Roster {
            generation: Generation(4),
            listed: vec![fresh.clone()],
        };
        let version = history.version_of_cluster();
        let refound = history
            .transaction()
            .put(key::cluster(), cluster(roster), version)
            .put(layout().singleton(), office(2, &fresh), versions.0)
            .put(layout().pulse(), pulse(2, 0), versions.1);
        history.writes(&fresh, &refound);
        assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
    }
}

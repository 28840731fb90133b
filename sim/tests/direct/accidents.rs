//! Accidents at an act: between decision and act, and right after it.

use super::trace::{BEGINS, ENDS, Trace, run, target, with_fault};
use doyen_sim::schedule::model::{Accident, Act, FaultKind};

fn at_act(act: Act, what: Accident) -> Trace {
    let (trace, _) = run(&with_fault(FaultKind::AtAct {
        target: target("singleton-host"),
        act,
        nth: 1,
        what,
    }));
    assert!(trace.serves(), "{act:?} {what:?}");
    trace
}

#[test]
fn who_is_killed_before_an_act_never_does_it_and_who_is_killed_after_it_did() {
    for act in [Act::Commit, Act::Read, Act::Send] {
        let before = at_act(act, Accident::KillBefore);
        assert_eq!(before.during("killed"), 1, "{act:?}");
        assert!(before.after("lost") >= 1, "{act:?}");
        let after = at_act(act, Accident::KillAfter);
        assert_eq!(after.during("killed"), 1, "{act:?}");
        assert_eq!(after.count("began", ENDS, ENDS + 10), 1, "{act:?}");
    }
}

#[test]
fn who_is_stopped_before_an_act_does_it_when_it_goes_on() {
    for act in [Act::Commit, Act::Read, Act::Send] {
        for what in [Accident::PauseBefore, Accident::PauseAfter] {
            let trace = at_act(act, what);
            assert_eq!(trace.during("paused"), 1, "{act:?} {what:?}");
            assert_eq!(trace.count("resumed", ENDS, ENDS + 1), 1);
            assert_eq!(trace.after("lost"), 0);
        }
    }
}

#[test]
fn a_lost_answer_is_unknown_and_the_act_is_done() {
    let trace = at_act(Act::Commit, Accident::LoseAnswer);
    assert_eq!(trace.during("untold"), 1);
    assert_eq!(trace.during("unknown"), 1);
    let trace = at_act(Act::Read, Accident::LoseAnswer);
    assert_eq!(trace.during("read-failed"), 1);
}

#[test]
fn a_late_act_is_done_when_the_fault_ends() {
    let trace = at_act(Act::Commit, Accident::ActLate);
    assert_eq!(trace.count("unknown", BEGINS, ENDS), 1);
    assert_eq!(trace.count("untold", BEGINS, ENDS), 0);
    assert_eq!(trace.count("untold", ENDS, ENDS + 10), 1);
}

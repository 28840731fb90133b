//! Every kind of fault hits whom it names, shows, and is taken back.

use super::trace::{BEGINS, ENDS, Trace, calm, run, target, with_fault};
use doyen_sim::schedule::model::{At, Fault, FaultKind, LaunchFault, Request, Topology};

type Shows = fn(&Trace) -> bool;

fn isolate(one: &str) -> Topology {
    Topology::Isolate(vec![target(one)])
}

/// Runs the schedule with each of these; `shows` must hold, and all serve at the end.
#[track_caller]
fn each(cases: Vec<(&'static str, FaultKind, usize, Shows)>) {
    for (name, kind, hits, shows) in cases {
        let (trace, _) = run(&with_fault(kind));
        let begun = trace.hits.first().expect("it begins");
        assert!(begun.0 && begun.1.len() == hits, "{name} hits {begun:?}");
        assert!(trace.hits.iter().any(|(begins, _)| !begins), "{name} ends");
        assert!(shows(&trace), "{name} does not show");
        assert!(trace.serves(), "{name}: they serve afterwards");
    }
}

#[test]
fn cuts() {
    let cut = |topology, refuses| FaultKind::Cut { topology, refuses };
    let names = |all: &[&str]| all.iter().map(|one| target(one)).collect::<Vec<_>>();
    each(vec![
        ("cut", cut(isolate("s3"), false), 1, |trace| {
            trace.at("beat", 2) == 0 && trace.at("beat", 1) > 30 && trace.at("link-refused", 2) == 0
        }),
        ("firewall", cut(isolate("s3"), true), 1, |trace| {
            trace.during("link-refused") > 0 && trace.during("link-down") > 0
        }),
        (
            "one way",
            cut(Topology::OneWay(names(&["s1"]), names(&["s2"])), false),
            2,
            |trace| trace.at("beat", 1) <= 6 && trace.at("beat", 2) > 30,
        ),
        (
            "store side",
            cut(
                Topology::Sides(vec![names(&["s1"]), names(&["s2", "store"])]),
                false,
            ),
            2,
            |trace| trace.during("unknown") + trace.during("read-failed") > 0,
        ),
        (
            "bridge",
            cut(
                Topology::Bridge(names(&["s1"]), target("s2"), names(&["s3"])),
                false,
            ),
            2,
            |trace| trace.at("beat", 2) <= 6 && trace.at("beat", 1) > 30,
        ),
        ("ring", cut(Topology::MajoritiesRing, false), 3, |trace| {
            trace.at("beat", 1) <= 6 && trace.at("beat", 2) > 30
        }),
    ]);
}

#[test]
fn faults_of_links() {
    let millis = At::from_millis;
    let names = |all: &[&str]| all.iter().map(|one| target(one)).collect::<Vec<_>>();
    let bad = |loss, duplicate, reorder| FaultKind::Link {
        from: vec![target("s1")],
        to: Vec::new(),
        latency: millis(20),
        jitter: millis(5),
        loss,
        burst: 3,
        duplicate,
        reorder,
    };
    each(vec![
        (
            "flap",
            FaultKind::Flap {
                topology: isolate("s1"),
                period: millis(800),
                cut: millis(400),
            },
            1,
            // Cut half of the time: what lay in sockets comes with the next heal.
            |trace| trace.count("beat", 10_000, 10_390) < 12 && trace.at("beat", 1) > 15,
        ),
        (
            "swizzle",
            FaultKind::Swizzle {
                targets: names(&["s1", "s2"]),
                step: millis(300),
            },
            2,
            |trace| {
                trace.count("beat", 10_320, 10_590) == 0 && trace.count("beat", 11_400, ENDS) > 30
            },
        ),
        ("loss", bad(900, 0, 0), 1, |trace| {
            trace.during("beat") < trace.count("beat", 5_500, 9_500) * 2 / 3
        }),
        ("duplicates", bad(0, 500, 0), 1, |trace| {
            trace.during("beat-twice") > 10
        }),
        ("reorder", bad(0, 0, 500), 1, |trace| {
            trace.during("beat-old") > 5
        }),
        (
            "replay",
            FaultKind::Replay {
                from: target("s1"),
                to: target("s2"),
            },
            2,
            |trace| {
                trace.count("message", BEGINS, BEGINS + 10)
                    > trace.count("message", BEGINS - 20, BEGINS - 10) + 5
            },
        ),
    ]);
}

#[test]
fn faults_of_processes() {
    each(vec![
        (
            "pause",
            FaultKind::Pause {
                target: target("singleton-host"),
            },
            1,
            |trace| trace.during("paused") == 1 && trace.after("resumed") == 1,
        ),
        (
            "crash",
            FaultKind::Crash {
                target: target("oldest"),
            },
            1,
            |trace| trace.during("killed") == 1 && trace.count("began", ENDS, ENDS + 10) == 1,
        ),
        (
            "crash loop",
            FaultKind::CrashLoop {
                target: target("s2"),
                every: At::from_millis(900),
            },
            1,
            |trace| trace.during("killed") == 5,
        ),
        (
            "crash all",
            FaultKind::CrashAll { drivers: false },
            3,
            |trace| trace.during("killed") == 3 && trace.during("engine-ended") == 0,
        ),
        (
            "power off",
            FaultKind::CrashAll { drivers: true },
            4,
            |trace| {
                trace.during("killed") == 4 && trace.count("engine-ended", BEGINS, BEGINS + 1) == 1
            },
        ),
        (
            "leave",
            FaultKind::Leave {
                target: target("leader"),
            },
            1,
            |trace| trace.during("ended") == 1 && trace.count("began", ENDS, ENDS + 10) == 1,
        ),
        (
            "start",
            FaultKind::Start {
                target: target("s1"),
            },
            1,
            |trace| trace.during("began") == 0,
        ),
    ]);
}

#[test]
fn faults_of_clocks() {
    let s1 = || target("s1");
    each(vec![
        (
            "drift",
            FaultKind::ClockDrift {
                target: s1(),
                ppm: 200_000,
            },
            1,
            |trace| {
                trace.during("clock-fast") > 20
                    && trace.count("clock-fast", ENDS + 500, u64::MAX) == 0
            },
        ),
        (
            "step",
            FaultKind::ClockStep {
                target: s1(),
                by: At::from_secs(60),
                suspended: false,
            },
            1,
            |trace| trace.during("clock-jumped") == 1,
        ),
        (
            "suspend",
            FaultKind::ClockStep {
                target: s1(),
                by: At::from_secs(3),
                suspended: true,
            },
            1,
            |trace| {
                let resumed = trace.count("resumed", BEGINS + 3_000, BEGINS + 3_001);
                trace.during("paused") >= 1 && resumed == trace.during("paused")
            },
        ),
        (
            "freeze",
            FaultKind::ClockFreeze { target: s1() },
            1,
            |trace| {
                trace.during("clock-still") > 20
                    && trace.count("clock-still", ENDS + 10, u64::MAX) == 0
            },
        ),
        (
            "stamps",
            FaultKind::StampStep { millis: 50_000 },
            0,
            |trace| {
                trace.during("stamp-ahead") > 0 && trace.count("stamp-ahead", ENDS, u64::MAX) == 0
            },
        ),
    ]);
}

#[test]
fn faults_of_the_store() {
    let s1 = || vec![target("s1")];
    each(vec![
        (
            "slow",
            FaultKind::StoreSlow {
                targets: s1(),
                latency: At::from_millis(1_000),
            },
            1,
            |trace| trace.during("read-failed") > 2 && trace.during("untold") > 0,
        ),
        (
            "away",
            FaultKind::StoreAway {
                targets: s1(),
                refuses: false,
            },
            1,
            |trace| trace.during("read-failed") > 0 && trace.during("not-sent") == 0,
        ),
        (
            "refusing",
            FaultKind::StoreAway {
                targets: Vec::new(),
                refuses: true,
            },
            0,
            |trace| trace.during("not-sent") > 0 && trace.during("written") == 0,
        ),
        (
            "session",
            FaultKind::SessionLost {
                targets: Vec::new(),
            },
            0,
            |trace| trace.during("everything") >= 3,
        ),
        (
            "answers",
            FaultKind::AnswersLost {
                targets: s1(),
                permille: 1_000,
            },
            1,
            |trace| trace.during("untold") > 0 && trace.after("unknown") > 0,
        ),
        (
            "events",
            FaultKind::EventsMerged {
                targets: s1(),
                permille: 800,
            },
            1,
            |trace| trace.during("changed") < trace.count("changed", 14_000, 18_000) * 3,
        ),
    ]);
}

#[test]
fn faults_of_engines() {
    let driver = || target("driver-of(c1)");
    each(vec![
        (
            "engine",
            FaultKind::EngineDeath { target: driver() },
            1,
            |trace| trace.during("engine-died") == 1 && trace.during("ended") == 1,
        ),
        (
            "pid",
            FaultKind::PidReused { target: driver() },
            1,
            |trace| trace.during("killed") == 1 && trace.during("engine-ended") == 1,
        ),
    ]);
}

/// The context is deleted while its engine does not heed SIGTERM: it takes SIGKILL.
#[test]
fn an_engine_that_ignores_sigterm_ends_two_seconds_later() {
    for ignores in [false, true] {
        let kind = if ignores {
            FaultKind::IgnoresTerm {
                target: target("driver-of(c1)"),
            }
        } else {
            FaultKind::StampStep { millis: 1 }
        };
        let mut schedule = with_fault(kind);
        let mut ask = schedule.workload[0].clone();
        ask.at = At::from_millis(BEGINS + 500);
        ask.what = Request::DeleteContext {
            context: "c1".to_owned(),
        };
        schedule.workload.push(ask);
        let (trace, _) = run(&schedule);
        let soon = trace.count("engine-ended", BEGINS + 500, BEGINS + 2_500);
        let late = trace.count("engine-ended", BEGINS + 2_500, ENDS);
        assert_eq!((soon, late), if ignores { (0, 1) } else { (1, 0) });
    }
}

/// A second context is created while launches misbehave.
#[test]
fn launches_misbehave() {
    let cases: [(LaunchFault, Shows); 5] = [
        (LaunchFault::Late, |trace| {
            trace.after("driver-started") >= 1
        }),
        (LaunchFault::Doubled, |trace| {
            // Where the lock is no use, two start; only one takes the context.
            trace.after("driver-started") >= 1 && trace.after("engine-started") == 1
        }),
        (LaunchFault::Unreported, |trace| {
            trace.during("launched") == 0 && trace.after("engine-started") == 1
        }),
        (LaunchFault::Failing, |trace| {
            trace.during("not-launched") >= 1
        }),
        (LaunchFault::Orphaned, |trace| {
            let killed = trace.words.iter().find(|(_, _, word)| *word == "killed");
            let gone = trace.words.iter().filter(|(at, _, word)| {
                *word == "engine-ended" && killed.is_some_and(|(killed, ..)| at > killed)
            });
            let (killed, gone) = (killed.unwrap().0, gone.map(|one| one.0).next().unwrap());
            (3_000..5_000).contains(&(gone - killed))
        }),
    ];
    for (how, shows) in cases {
        let mut schedule = calm();
        for server in ["s1", "s2", "s3"] {
            let kind = FaultKind::Launches {
                target: target(server),
                how,
            };
            let fault = Fault::new(At::from_millis(BEGINS), kind).until(At::from_millis(ENDS));
            schedule.faults.push(fault);
        }
        let context = "c2".to_owned();
        let mut ask = schedule.workload[0].clone();
        ask.at = At::from_millis(BEGINS + 100);
        ask.what = Request::CreateContext { context };
        schedule.workload.push(ask);
        if how == LaunchFault::Orphaned {
            let kind = FaultKind::Crash {
                target: target("driver-of(c2)"),
            };
            schedule
                .faults
                .push(Fault::new(At::from_millis(BEGINS + 2_000), kind));
        }
        let (trace, _) = run(&schedule);
        assert!(shows(&trace), "{how:?}");
        assert!(trace.serves(), "{how:?}");
    }
}

#[test]
fn a_fault_that_names_nobody_hits_nobody() {
    let kind = FaultKind::Pause {
        target: target("driver-of(absent)"),
    };
    let (trace, _) = run(&with_fault(kind));
    assert_eq!(trace.hits.first(), Some(&(true, Vec::new())));
    assert_eq!(trace.after("paused"), 0);
}

/// A cut that lasts less than five seconds breaks no connection: TCP sends again.
#[test]
fn a_short_cut_breaks_no_connection_and_a_long_one_does() {
    let kind = FaultKind::Cut {
        topology: isolate("s3"),
        refuses: false,
    };
    let (short, _) = run(&with_fault(kind.clone()));
    assert_eq!(short.after("link-down"), 0);
    let mut schedule = with_fault(kind);
    schedule.faults[0].until = Some(At::from_millis(BEGINS + 9_000));
    let (long, _) = run(&schedule);
    assert!(long.count("link-down", BEGINS + 4_900, BEGINS + 9_000) >= 4);
    assert!(long.count("link-silent", BEGINS + 4_900, BEGINS + 9_000) >= 4);
}

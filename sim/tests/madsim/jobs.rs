//! Stories of contexts and jobs over the real runtime: drivers are processes of their own.

use crate::watcher::{Watcher, at, named, play, schedule, with};
use doyen_core::output::Answer;
use doyen_core::records::call::CallOutcome;
use doyen_core::records::job::JobState;
use doyen_sim::schedule::model::{Ask, Fault, FaultKind, Request, Target};

fn create(millis: u64, of: &str) -> Ask {
    let context = "etl".to_owned();
    Ask::new(at(millis), named(of), Request::CreateContext { context })
}

fn submit(millis: u64, of: &str, job: &str, lasts: u64) -> Ask {
    let what = Request::Submit {
        context: "etl".to_owned(),
        job: job.to_owned(),
        lasts: at(lasts),
        sync: true,
        fails: false,
    };
    Ask::new(at(millis), named(of), what)
}

fn delete(millis: u64, of: &str) -> Ask {
    let context = "etl".to_owned();
    Ask::new(at(millis), named(of), Request::DeleteContext { context })
}

/// Answers in the order in which they were asked for.
fn answers(watcher: &Watcher) -> Vec<Option<Answer>> {
    let mut asked: Vec<_> = watcher
        .asked
        .iter()
        .map(|(request, at)| (*at, *request))
        .collect();
    asked.sort_unstable();
    let answer = |request| {
        watcher
            .answers
            .get(request)
            .and_then(|(_, answer)| answer.clone())
    };
    let calls = asked
        .iter()
        .filter(|(_, r)| watcher.answers.contains_key(r));
    calls.map(|(_, request)| answer(request)).collect()
}

#[test]
fn a_context_runs_jobs_of_every_server_and_its_results_are_read_at_each() {
    let asks = vec![
        create(5_000, "s1"),
        submit(7_000, "s2", "one", 500),
        submit(7_000, "s3", "two", 1_000),
        delete(12_000, "s2"),
    ];
    let (watcher, _, conformance) = play(&with(schedule(3, 4, 30), vec![], asks));
    let story = watcher.story();
    match &answers(&watcher)[..] {
        [Some(created), Some(one), Some(two), Some(stopped)] => {
            assert!(
                matches!(created, Answer::Call(CallOutcome::ContextCreated { .. })),
                "{created:?} {story}"
            );
            for job in [one, two] {
                let Answer::JobDone(job) = job else {
                    panic!("{job:?} {story}")
                };
                assert_eq!(job.state, JobState::Finished);
            }
            assert!(
                matches!(stopped, Answer::Call(CallOutcome::ContextStopped { .. })),
                "{stopped:?} {story}"
            );
        }
        other => panic!("{other:?} {story}"),
    }
    assert_eq!(
        watcher.reads,
        [Some(true); 9],
        "two jobs and a context at three servers: {story}"
    );
    // What a server has under way when it begins a new life (F2) is lost, and nothing else.
    assert!(
        conformance.answers == 4 && conformance.lost <= 3,
        "{conformance:?}"
    );
}

#[test]
fn a_job_outlives_the_holder_that_launched_its_driver() {
    let asks = vec![create(5_000, "s2"), submit(7_000, "s3", "long", 8_000)];
    let target = Target::SingletonHost;
    let crash = Fault::new(at(8_000), FaultKind::Crash { target }).until(at(20_000));
    let (watcher, _, _) = play(&with(schedule(3, 5, 40), vec![crash], asks));
    let Some(Some(Answer::JobDone(job))) = answers(&watcher).pop() else {
        panic!("{}", watcher.story())
    };
    assert_eq!(job.state, JobState::Finished);
}

#[test]
fn a_killed_driver_ends_its_job_with_an_error_that_every_server_shows() {
    let asks = vec![create(5_000, "s1"), submit(7_000, "s2", "long", 20_000)];
    let target = Target::DriverOf("etl".to_owned());
    let crash = Fault::new(at(9_000), FaultKind::Crash { target });
    let (watcher, _, _) = play(&with(schedule(3, 6, 60), vec![crash], asks));
    let Some(Some(Answer::JobDone(job))) = answers(&watcher).pop() else {
        panic!("{}", watcher.story())
    };
    assert_eq!(job.state, JobState::Error, "{}", watcher.story());
    assert_eq!(watcher.reads, [Some(true); 6]);
}

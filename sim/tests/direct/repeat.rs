//! Same schedule, same run.

use super::trace::{calm, run};
use doyen_sim::engine::Engine;
use doyen_sim::engine::direct::Direct;
use doyen_sim::judge::Judge;
use doyen_sim::schedule::generate::generate;
use doyen_sim::schedule::model::{At, Setting};
use doyen_sim::schedule::profile::Profile;
use doyen_sim::schedule::settings::config_of;
use doyen_sim::trace::seen::Phase;

#[test]
fn a_calm_run_passes_its_phases_and_every_job_can_be_read_everywhere() {
    let (trace, ran) = run(&calm());
    assert!(trace.serves());
    assert_eq!(trace.phases, [Phase::WarmUp, Phase::Converge, Phase::Final]);
    let reads = trace.count("read", 80_000, u64::MAX);
    assert_eq!(
        reads,
        3 * (16 + 1),
        "each job and the context at each server"
    );
    assert_eq!(trace.count("not-read", 0, u64::MAX), 0);
    assert!(ran.events > 1_000);
}

#[test]
fn the_same_schedule_runs_the_same_twice() {
    let profile = Profile::default().validate().unwrap();
    for seed in 0..12 {
        let schedule = generate(seed, &profile);
        let config = config_of(&schedule, None).unwrap();
        let once = || {
            let mut judge = Judge::new(&schedule, config.get());
            let ran = Direct.run(&schedule, &mut judge).unwrap();
            (judge.judge(&ran).trail, ran.events, ran.store)
        };
        let (one, two) = (once(), once());
        assert_eq!(one.0, two.0, "seed {seed}");
        assert_eq!((one.1, one.2), (two.1, two.2), "seed {seed}");
    }
}

#[test]
fn another_seed_of_a_purpose_is_another_run() {
    let mut schedule = calm();
    let (one, _) = run(&schedule);
    schedule.seeds.insert("latency".to_owned(), 8);
    let (two, _) = run(&schedule);
    assert_ne!(one.words, two.words);
}

#[test]
fn a_setting_that_is_none_is_a_fault_of_the_harness() {
    let mut schedule = calm();
    let at = Setting::Time(At::from_secs(1));
    schedule.settings.insert("nonsense".to_owned(), at);
    let mut judge = Judge::new(&calm(), config_of(&calm(), None).unwrap().get());
    let error = Direct.run(&schedule, &mut judge).unwrap_err();
    assert!(error.0.contains("nonsense"), "{error}");
}

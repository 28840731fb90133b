//! Laws that hold whatever a driver is told, in whatever order.

use super::world::{Answers, World, context, context_id, job, job_id, launch, server};
use crate::config::Config;
use crate::identity::JobId;
use crate::input::{Command, EffectReport, Input, LinkEvent, Ticket};
use crate::output::Effect;
use crate::records::context::ContextState;
use crate::records::job::{JobError, JobRefusal, JobState, Payload};
use crate::records::transaction::{Change, CommitOutcome, Operation, ReadOutcome, Snapshot};
use crate::time::{Stamp, Time};
use crate::wire::Message;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SLOTS: u32 = 2;
const JOBS: u16 = 8;

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Answers(Answers),
    Release,
    SlowReads,
    Watched(bool),
    Submit(u16),
    Kill(u16),
    /// Somebody writes or removes a record: 0 context, 1 owner, 2 life, else a job.
    Touch(u16),
    Remove(u16),
    Damage(u16),
    EngineReady,
    EngineEnded(bool),
    Running(u16),
    Refused(u16, bool),
    Finished(u16),
    Failed(u16),
    Killed(u16),
    Link(u16, bool),
    Heard(u64),
    Hint(u16),
    Everything,
    Again(prop::sample::Index),
    Nonsense(u64),
    Stop,
    Leave,
    LoseFence,
}

fn one_job() -> impl Strategy<Value = u16> {
    1..=JOBS
}

fn step() -> impl Strategy<Value = Step> {
    let answers = prop_oneof![
        Just(Answers::AtOnce),
        Just(Answers::Away),
        Just(Answers::Lost),
        Just(Answers::Held),
        Just(Answers::Late),
        Just(Answers::Dropped),
    ];
    let store = prop_oneof![
        4 => answers.prop_map(Step::Answers),
        4 => Just(Step::Release),
        2 => Just(Step::SlowReads),
        1 => any::<bool>().prop_map(Step::Watched),
        2 => (0..JOBS + 3).prop_map(Step::Touch),
        1 => one_job().prop_map(Step::Remove),
        1 => one_job().prop_map(Step::Damage),
        1 => Just(Step::Everything),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
        1 => (0..200_u64).prop_map(Step::Nonsense),
    ];
    let reports = prop_oneof![
        2 => Just(Step::EngineReady),
        4 => one_job().prop_map(Step::Running),
        1 => (one_job(), any::<bool>()).prop_map(|(one, valid)| Step::Refused(one, valid)),
        4 => one_job().prop_map(Step::Finished),
        2 => one_job().prop_map(Step::Failed),
        2 => one_job().prop_map(Step::Killed),
    ];
    let ends = prop_oneof![
        any::<bool>().prop_map(Step::EngineEnded),
        Just(Step::Stop),
        Just(Step::Leave),
        Just(Step::LoseFence),
    ];
    prop_oneof![
        8 => store,
        10 => reports,
        8 => one_job().prop_map(Step::Submit),
        2 => one_job().prop_map(Step::Kill),
        6 => (1..70_000_u64).prop_map(Step::Pass),
        1 => (1..4_u16, any::<bool>()).prop_map(|(port, up)| Step::Link(port, up)),
        1 => (0..50_u64).prop_map(Step::Heard),
        1 => one_job().prop_map(Step::Hint),
        1 => ends,
    ]
}

/// What the laws need to know of what happened.
struct Run {
    world: World,
    seen_effects: usize,
    /// Jobs that the engine has.
    open: BTreeSet<JobId>,
    /// How jobs ended first, for those whose record nobody else touched.
    results: BTreeMap<JobId, JobState>,
    spoilt: BTreeSet<JobId>,
    submitted: BTreeSet<u16>,
    fence_lost: bool,
    engine_gone: bool,
    /// When the engine was told to end: after 60 s the driver goes on without it.
    told_to_end: Option<Time>,
    before: Time,
}

impl Run {
    fn new(settings: &str, adhoc: bool) -> Self {
        let mut config = Config::new(Vec::new());
        config.limits.jobs_per_context = SLOTS;
        let mut record = context();
        record.settings = settings.into();
        record.adhoc = adhoc;
        Self {
            world: World::with(&record, config),
            seen_effects: 0,
            open: BTreeSet::new(),
            results: BTreeMap::new(),
            spoilt: BTreeSet::new(),
            submitted: BTreeSet::new(),
            fence_lost: false,
            engine_gone: false,
            told_to_end: None,
            before: Time::ZERO,
        }
    }

    fn end(&mut self, number: u16, state: JobState, report: EffectReport) {
        let id = job_id(number);
        let bound = Duration::from_secs(60);
        let given_up = self
            .told_to_end
            .is_some_and(|at| self.world.now.since(at) >= bound);
        if self.open.remove(&id) && !self.engine_gone && !given_up {
            self.results.insert(id, state);
        }
        self.world.report(report);
    }

    fn report(&mut self, step: Step) {
        let error = || JobError::new("E", "failed");
        match step {
            Step::EngineReady => self.world.report(EffectReport::EngineReady {
                application_id: None,
                url: None,
            }),
            Step::EngineEnded(orderly) => {
                self.engine_gone = true;
                self.open.clear();
                self.world.engine_ended(orderly);
            }
            Step::Running(number) => self.world.running(number),
            Step::Refused(number, valid) => {
                let refusal = if valid {
                    JobRefusal::ClassNotFound
                } else {
                    JobRefusal::ValidationFailed { error: error() }
                };
                let job = job_id(number);
                let state = JobState::Error;
                self.end(number, state, EffectReport::JobRefused { job, refusal });
            }
            Step::Finished(number) => {
                let report = EffectReport::JobFinished {
                    job: job_id(number),
                    result: Payload::Inline("1".into()),
                };
                self.end(number, JobState::Finished, report);
            }
            Step::Failed(number) => {
                let (job, error) = (job_id(number), error());
                self.end(
                    number,
                    JobState::Error,
                    EffectReport::JobFailed { job, error },
                );
            }
            Step::Killed(number) => {
                let (job, rung) = (job_id(number), "killed".into());
                self.end(
                    number,
                    JobState::Killed,
                    EffectReport::JobKilled { job, rung },
                );
            }
            other => unreachable!("{other:?} is no report"),
        }
    }

    fn records(&mut self, step: &Step) {
        let layout = self.world.layout.clone();
        let key = match *step {
            Step::Touch(0) => layout.context(&context_id()),
            Step::Touch(1) => layout.owner(&context_id()),
            Step::Touch(2) => layout.life(&context_id()),
            Step::Touch(number) => layout.job(&context_id(), &job_id(number - 2)),
            Step::Remove(number) | Step::Damage(number) => {
                self.spoilt.insert(job_id(number));
                layout.job(&context_id(), &job_id(number))
            }
            _ => unreachable!("{step:?} changes no record"),
        };
        let found = self.world.store.records().find(|(one, _)| **one == key);
        let Some(value) = found.map(|(_, stored)| stored.value.clone()) else {
            return;
        };
        self.world.other(|transaction| match step {
            Step::Remove(_) => transaction.delete_any(key),
            Step::Damage(_) => transaction.put_any(key, "{".into()),
            _ => transaction.put_any(key, value),
        });
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pass(millis) => self.world.pass(Duration::from_millis(millis)),
            Step::Answers(answers) => self.world.answers = answers,
            Step::Release => self.world.release(),
            Step::SlowReads => self.world.slow_reads = true,
            Step::Watched(watched) => self.world.watched = watched,
            Step::Submit(number) => {
                if self.submitted.insert(number) {
                    self.world.submit(&job(number));
                }
            }
            Step::Kill(number) => {
                let damaged = self.spoilt.contains(&job_id(number));
                if !damaged && self.world.open(number).is_some() {
                    self.world.kill(number);
                }
            }
            Step::Touch(_) | Step::Remove(_) | Step::Damage(_) => self.records(&step),
            Step::Link(port, true) => self.world.link(port),
            Step::Link(port, false) => {
                let peer = server(port);
                self.world.tell(Input::Link(LinkEvent::Down { peer }));
            }
            Step::Heard(sequence) => {
                let servers = vec![server(1), server(3)];
                let message = Message::DriverHeard { sequence, servers };
                let from = server(1);
                self.world.tell(Input::Message { from, message });
            }
            Step::Hint(number) => {
                let (context, job) = (context_id(), job_id(number));
                let message = Message::JobHint { context, job };
                let from = server(2);
                self.world.tell(Input::Message { from, message });
            }
            Step::Everything => self.world.tell(Input::StoreChanged(Change::Everything)),
            Step::Again(index) => self.again(index),
            Step::Nonsense(ticket) => self.nonsense(Ticket(1_000_000 + ticket)),
            Step::Stop => self
                .world
                .change_context(|one| one.state = ContextState::Stopping),
            Step::Leave => self.world.tell(Input::Command(Command::Leave)),
            Step::LoseFence => {
                self.fence_lost = true;
                self.world.change_owner(|one| one.owner = None);
            }
            report => self.report(report),
        }
    }

    /// Store answers and events come twice; reports do not, since they would be other reports.
    fn again(&mut self, index: prop::sample::Index) {
        let past: Vec<&Input> = self.world.past.iter().collect();
        if past.is_empty() {
            return;
        }
        let input = (*index.get(&past)).clone();
        if !matches!(input, Input::EffectReport(_) | Input::Command(_)) {
            self.world.tell(input);
        }
    }

    fn nonsense(&mut self, ticket: Ticket) {
        let outcome = CommitOutcome::Committed { stamp: Stamp(1) };
        self.world.tell(Input::Committed { ticket, outcome });
        let outcome = ReadOutcome::Snapshot(Snapshot::default());
        self.world.tell(Input::Read { ticket, outcome });
    }

    fn check(&mut self) {
        let before = std::mem::replace(&mut self.before, self.world.now);
        let world = &self.world;
        for effect in &world.effects[self.seen_effects..] {
            if let Effect::StartJob { job } = effect {
                assert!(!self.engine_gone, "a job started without an engine");
                self.open.insert(job.id.clone());
            }
        }
        self.seen_effects = world.effects.len();
        let slots = usize::try_from(SLOTS).unwrap();
        assert!(self.open.len() <= slots, "{:?} at once", self.open);
        let started = world.started();
        let distinct: BTreeSet<&JobId> = started.iter().collect();
        assert_eq!(distinct.len(), started.len(), "a job started twice");
        let stop = |one: &Effect| *one == Effect::StopEngine;
        if let Some(at) = world.effects.iter().position(stop) {
            assert_eq!(at + 1, world.effects.len(), "after StopEngine: nothing");
            // Seen after the step: it may have been told earlier within a step that took time.
            self.told_to_end.get_or_insert(before);
        }
        if world.stop.is_some() {
            assert_eq!(world.driver.poll_timeout(), None);
        }
    }

    /// Every write but the taking one carries the fence, and lands only while it holds.
    fn check_writes(&self) {
        let layout = &self.world.layout;
        let owner = layout.owner(&context_id());
        let mut ended = BTreeSet::new();
        let driver = launch().identity.to_string();
        for (transaction, outcome) in &self.world.commits {
            assert!(transaction.id.0.starts_with(&driver));
            let takes = transaction.operations.iter().any(
                |one| matches!(one, Operation::Put { key, version: Some(_), .. } if *key == owner),
            );
            let first = transaction.operations.first().unwrap();
            let fenced = matches!(first, Operation::Check { key, .. } if *key == owner);
            assert!(takes ^ fenced, "{transaction:?}");
            for operation in &transaction.operations {
                if let Operation::Create { key, .. } = operation
                    && matches!(outcome, CommitOutcome::Committed { .. })
                {
                    assert!(ended.insert(key.clone()), "{key} was made twice");
                }
            }
        }
    }

    /// The store is back, the engine returns what it has: nothing is left open, no result is lost.
    fn settle(&mut self) {
        self.world.watched = true;
        self.world.release();
        self.world.pass(Duration::from_secs(15));
        self.check();
        let number_of = |id: &JobId| (1..=JOBS).find(|number| job_id(*number) == *id);
        while let Some(number) = self.open.first().and_then(number_of) {
            self.take(Step::Finished(number));
            self.world.pass(Duration::from_secs(15));
            self.check();
        }
        let stopping = self.world.count(&Effect::StopEngine) > 0;
        if stopping && self.world.stop.is_none() {
            self.take(Step::EngineEnded(true));
            self.world.pass(Duration::from_secs(15));
        }
        self.check();
        let ready = self.world.driver.view(self.world.now).ready;
        if self.fence_lost {
            return;
        }
        for number in &self.submitted {
            let id = job_id(*number);
            if self.spoilt.contains(&id) {
                continue;
            }
            if let Some(state) = self.results.get(&id)
                && *state == JobState::Finished
            {
                let done = self.world.done(*number).map(|one| one.state);
                let stopped_first = self.world.stop.is_some() && done.is_none();
                assert!(
                    done == Some(JobState::Finished) || stopped_first && self.alone(),
                    "{id} finished, and is {done:?}"
                );
            }
            if ready && let Some(open) = self.world.open(*number) {
                assert!(open.state.is_final(), "{id} is left {:?}", open.state);
            }
        }
    }

    /// Nobody confirmed it for too long: what it had is lost to the holder's clean-up (E8).
    fn alone(&self) -> bool {
        let fenced = |one: &crate::output::StopReason| match one {
            crate::output::StopReason::DriverFenced { what } => what.contains("confirmed"),
            _ => false,
        };
        self.world.stop.as_ref().is_some_and(fenced)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_a_driver_is_told_its_laws_hold(
        steps in prop::collection::vec(step(), 1..80),
        adhoc in prop::bool::weighted(0.2),
        stop_on_error in prop::bool::weighted(0.2),
        taken in prop::bool::weighted(0.8),
    ) {
        let settings = format!(r#"{{"stop-context-on-job-error":{stop_on_error}}}"#);
        let mut run = Run::new(&settings, adhoc);
        run.world.run();
        if taken {
            run.take(Step::EngineReady);
        }
        for step in steps {
            run.take(step);
            run.check();
        }
        run.settle();
        run.check_writes();
    }

    #[test]
    fn equal_inputs_give_equal_outputs(steps in prop::collection::vec(step(), 1..40)) {
        let play = || {
            let mut run = Run::new("{}", false);
            run.world.run();
            for step in steps.clone() {
                run.take(step);
            }
            let world = run.world;
            (world.effects, world.commits, world.sent, world.dials, world.stop)
        };
        prop_assert_eq!(play(), play());
    }
}

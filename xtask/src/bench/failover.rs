//! `bench failover`: the singleton's holder is killed, stopped or asked to go, again and again,
//! while calls go on at the other servers.

use super::machine::Machine;
use super::spin::Spinners;
use super::stats::Times;
use super::{bare, report, start_cluster, stop_cluster};
use crate::say::{self, Step};
use crate::{BenchCommon, Verdict};
use clap::{Args, ValueEnum};
use doyen_tests::cluster::{Cluster, STOP_WITHIN};
use doyen_tests::events::{Event, now_ms};
use doyen_tests::load::{Kind, Load, Plan, Sample, gap_ms, millis, sum_up};
use doyen_tests::running::Fault;
use doyen_tests::{Outcome, trouble, wait};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// How long a stopped holder stays silent (design.md §9).
const SILENCE: Duration = Duration::from_secs(5);
/// The longest that a gateway holds a call is 30 s: after this nothing more can come.
const GAP_MAX: Duration = Duration::from_secs(45);
/// Creates and deletes of contexts, beside the deciding calls.
const CONTEXTS_EVERY: Duration = Duration::from_millis(500);
/// The deciding calls at each survivor.
const DECIDING_EVERY: Duration = Duration::from_millis(10);
/// What a stop in order has upset shows within this after the holder's end.
const AFTER_END: Duration = Duration::from_millis(300);
/// Bare rounds are enough for a median after this many.
const BARE_ROUNDS_MAX: usize = 100;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    common: BenchCommon,
    /// Which store the servers share.
    #[arg(long, value_enum, default_value_t = StoreKind::Embedded)]
    store: StoreKind,
    /// What happens to the holder. `stop` ends after 5 s.
    #[arg(long, value_enum)]
    fault: FaultKind,
    /// How many servers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=5))]
    servers: u64,
    /// Keep two processors busy with other work meanwhile.
    #[arg(long)]
    busy: bool,
    /// How often. Below 100 rounds p99 is the maximum; published figures use at least 300.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    Embedded,
    Zookeeper,
    Postgres,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FaultKind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT after 5 s.
    Stop,
    /// All packets of the holder dropped for 5 s.
    Cut,
    /// SIGTERM.
    Graceful,
}

impl FaultKind {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What one round gave.
#[derive(Default)]
struct Round {
    gap_ms: f64,
    detect_ms: Option<f64>,
    claim_ms: Option<f64>,
    context_ms: Option<f64>,
    samples: Vec<Sample>,
    downed: usize,
}

/// What all rounds gave.
#[derive(Default)]
struct Totals {
    gaps: Times,
    detects: Times,
    claims: Times,
    contexts: Times,
    limits: Times,
    calls: usize,
    failed: usize,
    downed: usize,
}

impl Totals {
    fn add(&mut self, round: &Round) {
        let summary = sum_up(&round.samples);
        for failure in &summary.failures {
            say::note(format!("failed call: {failure}"));
        }
        self.gaps.add(round.gap_ms);
        for (times, value) in [
            (&mut self.detects, round.detect_ms),
            (&mut self.claims, round.claim_ms),
            (&mut self.contexts, round.context_ms),
        ] {
            if let Some(ms) = value {
                times.add(ms);
            }
        }
        self.calls += summary.calls;
        self.failed += summary.failed;
        self.downed += round.downed;
    }
}

/// # Errors
/// The cluster does not come up, a round never ends, or processes do not do as told.
pub(crate) async fn run(options: Options) -> Outcome<Verdict> {
    if options.store != StoreKind::Embedded {
        say::note("`--store zookeeper|postgres`: not built yet; only `embedded` is");
        return Ok(Verdict::NotBuilt);
    }
    if options.fault == FaultKind::Cut {
        say::note(
            "`--fault cut` needs network namespaces: not built yet; use kill, stop, graceful",
        );
        return Ok(Verdict::NotBuilt);
    }
    let servers = usize::try_from(options.servers).unwrap_or(usize::MAX);
    let mut cluster = start_cluster(&options.common, servers).await?;
    let machine = Machine::before();
    let spinners = Spinners::start(if options.busy { 2 } else { 0 })?;
    let mut totals = Totals::default();
    let step = Step::begin(format!(
        "{} rounds of {}",
        options.rounds,
        options.fault.name()
    ));
    for number in 0..options.rounds {
        let round = round(&mut cluster, options.fault, number).await?;
        totals.add(&round);
        if totals.limits.len() < BARE_ROUNDS_MAX {
            let folder = cluster.path().to_path_buf();
            let phase = Duration::from_micros(number * 3_700 % 10_000);
            let bare = tokio::task::spawn_blocking(move || bare::round(&folder, phase)).await;
            totals
                .limits
                .add(bare.map_err(|e| trouble(e.to_string()))??);
        }
        step.progress(&format!(
            "{} of {}: {:.1} ms",
            number + 1,
            options.rounds,
            round.gap_ms
        ));
    }
    step.done(format!("{} calls, {} failed", totals.calls, totals.failed));
    drop(spinners);
    let mut result = lines(&options, &totals);
    machine.after(&options.common, &mut result);
    stop_cluster(cluster).await?;
    report(&options.common, result);
    Ok(Verdict::of(totals.failed == 0 && totals.downed == 0))
}

fn lines(options: &Options, totals: &Totals) -> Map<String, Value> {
    if let (Some(p50), Some(max)) = (
        totals.contexts.percentile(50),
        totals.contexts.percentile(100),
    ) {
        say::note(format!(
            "first context created and deleted after the fault: p50 {p50:.1} ms, max {max:.1} ms"
        ));
    }
    let values = [
        ("store", "embedded".into()),
        ("fault", options.fault.name().into()),
        ("servers", options.servers.into()),
        ("rounds", options.rounds.into()),
        ("p50_ms", totals.gaps.json(50)),
        ("p99_ms", totals.gaps.json(99)),
        ("max_ms", totals.gaps.json(100)),
        ("calls", totals.calls.into()),
        ("failed_calls", totals.failed.into()),
        ("detect_p50_ms", totals.detects.json(50)),
        ("claim_p50_ms", totals.claims.json(50)),
        ("limit_p50_ms", totals.limits.json(50)),
        ("downed", totals.downed.into()),
    ];
    values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

async fn round(cluster: &mut Cluster, fault: FaultKind, number: u64) -> Outcome<Round> {
    let victim = cluster.holder().await?;
    let survivors = cluster.others(victim);
    let epoch = cluster.state(survivors[0]).await?.epoch;
    let targets: Vec<(usize, u16)> = survivors
        .iter()
        .map(|i| (*i, cluster.server(*i).http))
        .collect();
    let plan = Plan {
        deciding: DECIDING_EVERY,
        contexts: Some(CONTEXTS_EVERY),
        jobs: None,
    };
    let load = Load::start(&targets, &plan, &format!("r{number}"));
    warm_up(&load, &survivors).await?;
    // The fault falls at another phase of the clients' clocks in every round.
    tokio::time::sleep(Duration::from_micros(number * 3_700 % 10_000)).await;

    let since_ms = now_ms();
    let start = Instant::now();
    cluster.fault(
        victim,
        match fault {
            FaultKind::Kill => Fault::Kill,
            FaultKind::Stop | FaultKind::Cut => Fault::Stop,
            FaultKind::Graceful => Fault::Terminate,
        },
    )?;
    let gap = wait::until("a deciding call is answered", GAP_MAX, async || {
        gap_ms(&load.samples(), &survivors, start).ok_or_else(|| "none yet".to_owned())
    });
    let gap = gap
        .await
        .map_err(|e| trouble(format!("{e}\n{}", cluster.logs(30))))?;
    let mut round = Round {
        gap_ms: gap,
        ..Round::default()
    };
    let end = recover(cluster, fault, victim, start).await?;
    let all: Vec<usize> = (0..cluster.len()).collect();
    round.downed = restart_ended(cluster, &all)?;
    cluster.wait_up(&all).await?;
    if fault == FaultKind::Stop {
        check_ordinary(cluster, victim).await?;
    }
    wait::until("a context is created and deleted", GAP_MAX, async || {
        context_ms(&load.samples(), start)
            .map(drop)
            .ok_or_else(|| "none yet".to_owned())
    })
    .await?;
    round.samples = load.finish().await;
    round.context_ms = context_ms(&round.samples, start);
    if fault == FaultKind::Graceful {
        let silence = longest_silence_ms(&round.samples, &survivors, start, end + AFTER_END);
        round.gap_ms = round.gap_ms.max(silence);
    }
    let mut events: Vec<Event> = survivors
        .iter()
        .flat_map(|index| cluster.events(*index, since_ms - 1.0))
        .collect();
    events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    let after = |event: &Event| (event.at_ms - since_ms).max(0.0);
    let victim = cluster.server(victim).address();
    round.detect_ms = events.iter().find(|e| is_death(e, &victim)).map(after);
    round.claim_ms = events.iter().find(|e| is_claim(e, epoch)).map(after);
    Ok(round)
}

/// The news that the victim is not there any more.
fn is_death(event: &Event, victim: &str) -> bool {
    ["proof-of-death", "challenged", "unreachable"].contains(&event.name.as_str())
        && event.text("member").contains(victim)
}

/// The office is taken under a later epoch.
fn is_claim(event: &Event, epoch: u64) -> bool {
    event.name == "office-taken" && event.number("epoch").is_some_and(|taken| taken > epoch)
}

/// Until each survivor answers deciding calls and contexts come and go.
async fn warm_up(load: &Load, survivors: &[usize]) -> Outcome<()> {
    wait::until(
        "calls succeed before the fault",
        Duration::from_secs(20),
        async || {
            let samples = load.samples();
            let good = |kind, server| {
                let of = |s: &&Sample| s.kind == kind && s.failure.is_none() && s.server == server;
                samples.iter().filter(of).count()
            };
            let decided = survivors
                .iter()
                .all(|index| good(Kind::Deciding, *index) >= 5);
            let deleted = survivors
                .iter()
                .any(|index| good(Kind::Delete, *index) >= 1);
            if decided && deleted {
                Ok(())
            } else {
                Err(sum_up(&samples).failures.join("; "))
            }
        },
    )
    .await
}

/// Ends the fault. Returns when the victim was gone, or the fault over.
async fn recover(
    cluster: &mut Cluster,
    fault: FaultKind,
    victim: usize,
    start: Instant,
) -> Outcome<Instant> {
    match fault {
        FaultKind::Kill | FaultKind::Graceful => {
            let status = cluster.reap(victim, STOP_WITHIN).await?;
            let end = Instant::now();
            if fault == FaultKind::Graceful && status.code() != Some(0) {
                let logs = cluster.logs(20);
                return Err(trouble(format!(
                    "asked to stop, the holder ended with {status}\n{logs}"
                )));
            }
            cluster.start_server(victim)?;
            Ok(end)
        }
        FaultKind::Stop | FaultKind::Cut => {
            tokio::time::sleep((start + SILENCE).saturating_duration_since(Instant::now())).await;
            cluster.fault(victim, Fault::Continue)?;
            Ok(Instant::now())
        }
    }
}

/// Starts servers again that ended by themselves; how many.
fn restart_ended(cluster: &mut Cluster, all: &[usize]) -> Outcome<usize> {
    let ended = cluster.ended(all);
    for (index, code) in &ended {
        say::note(format!(
            "server {index} ended by itself with {code:?}\n{}",
            cluster.logs(10)
        ));
        cluster.start_server(*index)?;
    }
    Ok(ended.len())
}

/// The old holder, continued, serves as an ordinary member.
async fn check_ordinary(cluster: &Cluster, victim: usize) -> Outcome<()> {
    let api = cluster.api(victim);
    api.delete_context("absent-after-stop")
        .await?
        .expect(&[404])?;
    let holder = api.cluster().await?.holder;
    if holder == Some(cluster.server(victim).address()) {
        return Err(trouble("the stopped holder has its office still, or again"));
    }
    Ok(())
}

/// From the fault to the first context that was created and deleted after it.
fn context_ms(samples: &[Sample], fault: Instant) -> Option<f64> {
    let created = samples
        .iter()
        .find(|s| s.kind == Kind::Create && s.sent >= fault && s.failure.is_none())?;
    let deleted = samples
        .iter()
        .find(|s| s.kind == Kind::Delete && s.sent >= created.done && s.failure.is_none())?;
    Some(millis(deleted.done.duration_since(fault)))
}

/// The longest time in which a survivor answered no deciding call with success; the worst of all.
///
/// Not how long a call took: where calls queue already without a fault, that would tell of the
/// queue.
fn longest_silence_ms(samples: &[Sample], servers: &[usize], from: Instant, to: Instant) -> f64 {
    let mut worst = Duration::ZERO;
    for server in servers {
        let mut answers: Vec<Instant> = samples
            .iter()
            .filter(|s| s.kind == Kind::Deciding && s.server == *server && s.failure.is_none())
            .map(|s| s.done)
            .filter(|done| (from..=to).contains(done))
            .collect();
        answers.sort_unstable();
        let mut last = from;
        for next in answers.into_iter().chain([to]) {
            worst = worst.max(next.duration_since(last));
            last = next;
        }
    }
    millis(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_and_claims_are_told_from_other_events() {
        let event = |line: &str| Event::parse(line).unwrap();
        let victim = "127.0.0.1:7";
        let death = r#"{"timestamp":"1970-01-01T00:00:01Z","event":"proof-of-death","member":"127.0.0.1:7#00aa"}"#;
        assert!(is_death(&event(death), victim));
        assert!(!is_death(&event(death), "127.0.0.1:8"));
        let claim = event(
            r#"{"timestamp":"1970-01-01T00:00:01Z","event":"office-taken","epoch":4,"by":"proof"}"#,
        );
        assert!(is_claim(&claim, 3) && !is_claim(&claim, 4));
        assert!(!is_death(&claim, victim));
    }

    #[test]
    fn a_context_counts_when_it_was_created_and_deleted_after_the_fault() {
        let base = Instant::now();
        let at = |ms| base + Duration::from_millis(ms);
        let sample = |kind, sent, done, failure: Option<&str>| Sample {
            kind,
            server: 0,
            sent: at(sent),
            done: at(done),
            failure: failure.map(str::to_owned),
            job: None,
        };
        let mut samples = vec![
            sample(Kind::Create, 90, 120, None),
            sample(Kind::Delete, 120, 130, None),
            sample(Kind::Create, 140, 150, Some("503")),
            sample(Kind::Create, 160, 170, None),
        ];
        assert_eq!(context_ms(&samples, at(100)), None);
        samples.push(sample(Kind::Delete, 170, 190, None));
        assert!((context_ms(&samples, at(100)).unwrap() - 90.0).abs() < 1e-6);
    }

    #[test]
    fn silence_is_the_longest_time_without_a_success_at_the_worst_server() {
        let base = Instant::now();
        let at = |ms| base + Duration::from_millis(ms);
        let answer = |server, done, failure: Option<&str>| Sample {
            kind: Kind::Deciding,
            server,
            sent: base,
            done: at(done),
            failure: failure.map(str::to_owned),
            job: None,
        };
        let samples = [
            answer(0, 110, None),
            answer(0, 120, Some("503")),
            answer(0, 130, None),
            answer(0, 150, None),
            answer(1, 115, None),
            answer(1, 145, None),
            answer(1, 300, None),
        ];
        let silence = |servers: &[usize]| longest_silence_ms(&samples, servers, at(100), at(160));
        assert!((silence(&[0]) - 20.0).abs() < 1e-6);
        assert!((silence(&[0, 1]) - 30.0).abs() < 1e-6);
        let never = silence(&[2]);
        assert!((never - 60.0).abs() < 1e-6, "{never}");
    }
}

//! Calls that go on while something is broken: each is timed, none is repeated, each failure kept.
//!
//! Deciding calls are sent in an open loop: a call that is held delays no other, as with many
//! independent clients.

use crate::api::Api;
use crate::http::{Client, Reply};
use crate::{Outcome, trouble};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

/// The most deciding calls of one client in flight: at one in 10 ms, 5 s of a server that holds all.
/// Below the 1,000 that a gateway holds (protocol.md C6).
const IN_FLIGHT_MAX: usize = 450;

/// What a call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// DELETE of an absent context: needs a write accepted under the epoch.
    Deciding,
    /// POST of a job.
    Submit,
    /// POST of a context.
    Create,
    /// DELETE of that context.
    Delete,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it was.
    pub kind: Kind,
    /// To which server.
    pub server: usize,
    /// When it was sent.
    pub sent: Instant,
    /// When it was answered, or failed.
    pub done: Instant,
    /// Why it failed: any transport error, and any answer but the expected one.
    pub failure: Option<String>,
    /// The job that it started.
    pub job: Option<String>,
}

impl Sample {
    /// How long it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.done.duration_since(self.sent)
    }
}

/// Which jobs to submit.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// How often.
    pub every: Duration,
    /// Into which context.
    pub context: String,
    /// Of which binary.
    pub binary: String,
    /// With which main class.
    pub class: String,
}

/// What to call, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A deciding call to *each* server so often.
    pub deciding: Duration,
    /// A create and delete of a `process` context so often, each time at the next server.
    pub contexts: Option<Duration>,
    /// Jobs, each at the next server.
    pub jobs: Option<Jobs>,
}

type Samples = Arc<Mutex<Vec<Sample>>>;

/// Calls that are going on.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    samples: Samples,
}

impl Load {
    /// Starts calling these servers (their number and HTTP port), each by a client of its own.
    /// `mark` makes names of contexts differ between loads.
    #[must_use]
    pub fn start(servers: &[(usize, u16)], plan: &Plan, mark: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut load = Self {
            stop,
            tasks: JoinSet::new(),
            samples: Samples::default(),
        };
        let count = u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        let start = Instant::now();
        let targets: Vec<(usize, Api)> = servers
            .iter()
            .map(|(index, port)| (*index, Api::new(Client::new(*port))))
            .collect();
        for (turn, target) in (0..count).zip(&targets) {
            let first = start + plan.deciding * turn / count;
            let caller = Caller::new(std::slice::from_ref(target), &load.samples, &stopped);
            load.tasks
                .spawn(caller.decide(first, plan.deciding, format!("absent-{mark}")));
        }
        if let Some(every) = plan.contexts {
            let caller = Caller::new(&targets, &load.samples, &stopped);
            load.tasks
                .spawn(caller.make_contexts(every, format!("brief-{mark}")));
        }
        if let Some(jobs) = plan.jobs.clone() {
            let caller = Caller::new(&targets, &load.samples, &stopped);
            load.tasks.spawn(caller.submit(jobs));
        }
        load
    }

    /// The calls so far; those in flight are not among them.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts no more calls, waits for those in flight, and returns all.
    pub async fn finish(mut self) -> Vec<Sample> {
        // The receivers live in the tasks; when all have ended there is nobody to tell.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.samples()
    }
}

/// Calls of one kind to some servers in turn.
struct Caller {
    targets: Vec<(usize, Api)>,
    samples: Samples,
    stopped: watch::Receiver<bool>,
}

impl Caller {
    fn new(targets: &[(usize, Api)], samples: &Samples, stopped: &watch::Receiver<bool>) -> Self {
        Self {
            targets: targets.to_vec(),
            samples: Arc::clone(samples),
            stopped: stopped.clone(),
        }
    }

    /// Waits for the next tick; false when it is time to stop.
    async fn tick(&mut self, ticks: &mut tokio::time::Interval) -> bool {
        tokio::select! {
            biased;
            _ = self.stopped.wait_for(|stopped| *stopped) => false,
            _ = ticks.tick() => true,
        }
    }

    async fn decide(mut self, first: Instant, every: Duration, name: String) {
        let mut ticks = ticker(first, every);
        let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let mut flights = JoinSet::new();
        let (server, api) = self.targets[0].clone();
        while self.tick(&mut ticks).await {
            while flights.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let (api, name, samples) = (api.clone(), name.clone(), Arc::clone(&self.samples));
            flights.spawn(async move {
                let call = timed(Kind::Deciding, server, &[404], api.delete_context(&name));
                push(&samples, call.await);
                drop(permit);
            });
        }
        while flights.join_next().await.is_some() {}
    }

    async fn make_contexts(mut self, every: Duration, name: String) {
        let mut ticks = ticker(Instant::now(), every);
        let mut turn = 0;
        while self.tick(&mut ticks).await {
            let (server, api) = self.targets[turn % self.targets.len()].clone();
            let name = format!("{name}-{turn}");
            let settings = [("doyen.engine", "process")];
            let create = api.create_context(&name, &settings);
            let created = timed(Kind::Create, server, &[200], create).await;
            push(&self.samples, created);
            let delete = api.delete_context(&name);
            push(
                &self.samples,
                timed(Kind::Delete, server, &[200, 202], delete).await,
            );
            turn += 1;
        }
    }

    async fn submit(mut self, jobs: Jobs) {
        let mut ticks = ticker(Instant::now(), jobs.every);
        let mut turn = 0;
        while self.tick(&mut ticks).await {
            let (server, api) = self.targets[turn % self.targets.len()].clone();
            let query = [
                ("cp", jobs.binary.as_str()),
                ("mainClass", jobs.class.as_str()),
                ("context", jobs.context.as_str()),
            ];
            let call = api.submit(&query, &Value::Null);
            push(
                &self.samples,
                timed(Kind::Submit, server, &[202], call).await,
            );
            turn += 1;
        }
    }
}

fn ticker(first: Instant, every: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(first.into(), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn push(samples: &Samples, sample: Sample) {
    samples
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(sample);
}

async fn timed(
    kind: Kind,
    server: usize,
    expected: &[u16],
    call: impl Future<Output = Outcome<Reply>>,
) -> Sample {
    let sent = Instant::now();
    let outcome = call
        .await
        .and_then(|reply| reply.expect(expected))
        .and_then(|reply| {
            // A 404 of a router or a proxy is none of ours: ours are JSON.
            if reply.status == 404 && reply.json()["status"] != "ERROR" {
                return Err(trouble(format!("404 without JSON: {}", reply.brief())));
            }
            Ok(reply)
        });
    let done = Instant::now();
    let job = outcome.as_ref().ok().and_then(|reply| {
        if kind == Kind::Submit {
            reply.json()["jobId"].as_str().map(str::to_owned)
        } else {
            None
        }
    });
    Sample {
        kind,
        server,
        sent,
        done,
        failure: outcome.err().map(|e| e.to_string()),
        job,
    }
}

/// What the calls say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many calls.
    pub calls: usize,
    /// How many failed.
    pub failed: usize,
    /// The longest, in milliseconds.
    pub longest_ms: f64,
    /// The first few failures, in words.
    pub failures: Vec<String>,
}

/// Sums up.
#[must_use]
pub fn sum_up(samples: &[Sample]) -> Summary {
    let failures = samples.iter().filter_map(|sample| {
        let why = sample.failure.as_ref()?;
        Some(format!(
            "{:?} at server {}: {why}",
            sample.kind, sample.server
        ))
    });
    Summary {
        calls: samples.len(),
        failed: samples
            .iter()
            .filter(|sample| sample.failure.is_some())
            .count(),
        longest_ms: samples.iter().map(|s| millis(s.took())).fold(0.0, f64::max),
        failures: failures.take(5).collect(),
    }
}

/// For each server, how long after the fault its first deciding call that was *sent after it* had
/// succeeded; the worst of all servers. `None` while one of them has none.
#[must_use]
pub fn gap_ms(samples: &[Sample], servers: &[usize], fault: Instant) -> Option<f64> {
    let mut worst = 0.0_f64;
    for server in servers {
        let answered = samples
            .iter()
            .filter(|s| s.kind == Kind::Deciding && s.server == *server && s.failure.is_none())
            .filter(|s| s.sent >= fault)
            .map(|s| millis(s.done.duration_since(fault)))
            .min_by(f64::total_cmp)?;
        worst = worst.max(answered);
    }
    Some(worst)
}

/// A duration in milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    fn sample(server: usize, base: Instant, sent: u64, done: u64, fails: bool) -> Sample {
        Sample {
            kind: Kind::Deciding,
            server,
            sent: base + Duration::from_millis(sent),
            done: base + Duration::from_millis(done),
            failure: fails.then(|| "503".to_owned()),
            job: None,
        }
    }

    #[test]
    fn the_gap_counts_only_successes_sent_after_the_fault_and_the_worst_server() {
        let base = Instant::now();
        let fault = base + Duration::from_millis(100);
        let samples = [
            sample(0, base, 95, 105, false), // sent before
            sample(0, base, 101, 103, true), // failed
            sample(0, base, 105, 112, false),
            sample(1, base, 102, 130, false),
            sample(1, base, 110, 125, false),
        ];
        let gap = gap_ms(&samples, &[0, 1], fault).unwrap();
        assert!((gap - 25.0).abs() < 1e-6, "{gap}");
        assert_eq!(gap_ms(&samples, &[0, 1, 2], fault), None);
        let summary = sum_up(&samples);
        assert_eq!((summary.calls, summary.failed), (5, 1));
        assert!((summary.longest_ms - 28.0).abs() < 1e-6);
    }

    /// A server that answers each request on a connection with this.
    fn answer_all(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let mut stream = stream;
                    while let Some(Ok(line)) = lines.next() {
                        if line.is_empty() && stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        port
    }

    async fn run(port: u16) -> Summary {
        let plan = Plan {
            deciding: Duration::from_millis(5),
            contexts: None,
            jobs: None,
        };
        let load = Load::start(&[(0, port)], &plan, "x");
        while load.samples().len() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sum_up(&load.finish().await)
    }

    #[tokio::test]
    async fn expected_answers_are_successes_and_503_is_a_failure() {
        let json = r#"{"status":"ERROR"}"#;
        let good: &'static str = Box::leak(
            format!(
                "HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{json}",
                json.len()
            )
            .into_boxed_str(),
        );
        let summary = run(answer_all(good)).await;
        assert_eq!(summary.failed, 0, "{summary:?}");
        let summary = run(answer_all("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(summary.failed, summary.calls);
        let plain = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";
        let summary = run(answer_all(plain)).await;
        assert_eq!(summary.failed, summary.calls, "a 404 that is not ours");
    }

    #[tokio::test]
    async fn a_refused_connection_is_a_failure() {
        let port = crate::ports::free(1).unwrap()[0];
        let summary = run(port).await;
        assert_eq!(summary.failed, summary.calls);
    }
}

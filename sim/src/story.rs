//! A schedule and its violation, told in sentences and as a test to paste.

use crate::oracle::Violation;
use crate::schedule::model::{
    Accident, Act, Ask, Fault, FaultKind, LaunchFault, Request, Schedule, Target, Topology,
};

/// The story: who takes part, what is asked, what goes wrong, what is violated.
#[must_use]
pub fn tell(schedule: &Schedule, violation: &Violation) -> String {
    let names: Vec<_> = schedule
        .servers
        .iter()
        .map(|one| one.name.clone())
        .collect();
    let mut sentences = vec![match names.as_slice() {
        [one] => format!("Server {one} runs alone."),
        several => format!("Servers {} run.", and(several)),
    }];
    let mut happenings: Vec<_> = schedule
        .workload
        .iter()
        .map(|ask| (ask.at, ask_told(ask)))
        .chain(
            schedule
                .faults
                .iter()
                .map(|fault| (fault.at, fault_told(fault))),
        )
        .collect();
    happenings.sort_by_key(|(at, _)| *at);
    sentences.extend(
        happenings
            .into_iter()
            .map(|(at, told)| format!("At {at} {told}.")),
    );
    sentences.push(format!(
        "Then, at {}, {} is violated: {}.",
        violation.at,
        violation.oracle,
        said(&violation.what)
    ));
    sentences.join("\n")
}

/// What is wrong, without the records and transactions that some oracles add to it.
fn said(what: &str) -> &str {
    let end = what.find(": Transaction {").unwrap_or(what.len());
    what[..end].trim_end_matches('.')
}

/// A test that runs it, ready to paste into `sim/tests`.
#[must_use]
pub fn test(schedule: &Schedule) -> String {
    let name = schedule.name.replace('-', "_");
    let file = &schedule.name;
    format!(
        "#[test]\nfn schedule_{name}() {{\n    // The schedule lies in tests/corpus/{file}.toml \
         with its story.\n    common::check_schedule(\"{file}\");\n}}"
    )
}

fn ask_told(ask: &Ask) -> String {
    let key = ask.key.as_ref().map(|key| format!(" with key {key}"));
    let (of, what) = (&ask.of, request_told(&ask.what));
    format!("a client asks {of} {what}{}", key.unwrap_or_default())
}

pub(crate) fn request_told(request: &Request) -> String {
    match request {
        Request::CreateContext { context } => format!("to create context {context}"),
        Request::DeleteContext { context } => format!("to delete context {context}"),
        Request::Submit {
            context,
            job,
            lasts,
            sync,
            fails,
        } => {
            let waits = if *sync {
                ", waiting for its result"
            } else {
                ""
            };
            let fails = if *fails { " and fails" } else { "" };
            format!("to run job {job} in {context}, which lasts {lasts}{fails}{waits}")
        }
        Request::Kill { job } => format!("to kill job {job}"),
        Request::ReadJob { job } => format!("for job {job}"),
        Request::ReadContext { context } => format!("for context {context}"),
    }
}

pub(crate) fn fault_told(fault: &Fault) -> String {
    let what = kind_told(&fault.kind);
    match fault.until {
        Some(until) => format!("{what}, until {until}"),
        None => what,
    }
}

fn kind_told(kind: &FaultKind) -> String {
    let told = network_told(kind).or_else(|| process_told(kind));
    told.unwrap_or_else(|| service_told(kind))
}

/// What goes wrong between processes.
fn network_told(kind: &FaultKind) -> Option<String> {
    Some(match kind {
        FaultKind::Cut { topology, refuses } => {
            let how = if *refuses { "refused" } else { "dropped" };
            format!("{}; packets are {how}", topology_told(topology))
        }
        FaultKind::Flap {
            topology,
            period,
            cut,
        } => format!("{}, for {cut} of every {period}", topology_told(topology)),
        FaultKind::Swizzle { targets, step } => {
            format!(
                "{} lose their links one by one, every {step}",
                all_of(targets)
            )
        }
        FaultKind::Link {
            from,
            to,
            latency,
            jitter,
            loss,
            burst,
            duplicate,
            reorder,
        } => format!(
            "the links from {} to {} get {latency} slower (up to {jitter} more) and lose {loss}, \
             double {duplicate} and reorder {reorder} of 1000, in bursts of {burst}",
            all_of(from),
            all_of(to)
        ),
        FaultKind::Replay { from, to } => format!("an old message of {from} reaches {to} again"),
        _ => return None,
    })
}

/// What goes wrong with one process or its clock.
fn process_told(kind: &FaultKind) -> Option<String> {
    Some(match kind {
        FaultKind::Pause { target } => format!("{target} is stopped"),
        FaultKind::Crash { target } => format!("{target} is killed"),
        FaultKind::CrashLoop { target, every } => format!("{target} is killed every {every}"),
        FaultKind::CrashAll { drivers: false } => "all servers are killed".to_owned(),
        FaultKind::CrashAll { drivers: true } => "the power fails for all".to_owned(),
        FaultKind::Leave { target } => format!("{target} is told to leave"),
        FaultKind::Start { target } => format!("{target} is started"),
        FaultKind::AtAct {
            target,
            act,
            nth,
            what,
        } => format!(
            "from now on {}, {target} {}",
            nth_told(*nth, *act),
            accident_told(*what)
        ),
        FaultKind::ClockDrift { target, ppm } => {
            format!("the clock of {target} drifts by {ppm} parts in a million")
        }
        FaultKind::ClockStep {
            target,
            by,
            suspended: false,
        } => format!("the clock of {target} jumps ahead by {by}"),
        FaultKind::ClockStep {
            target,
            by,
            suspended: true,
        } => format!("the host of {target} sleeps for {by}"),
        FaultKind::ClockFreeze { target } => format!("the clock of {target} stands still"),
        _ => return None,
    })
}

/// What goes wrong with the store and with engines.
fn service_told(kind: &FaultKind) -> String {
    match kind {
        FaultKind::StampStep { millis } => format!("the store's clock jumps by {millis} ms"),
        FaultKind::StoreSlow { targets, latency } => {
            format!("the store takes {latency} longer for {}", all_of(targets))
        }
        FaultKind::StoreAway { targets, refuses } => {
            let how = if *refuses {
                "refuses"
            } else {
                "does not answer"
            };
            format!("the store {how} {}", all_of(targets))
        }
        FaultKind::SessionLost { targets } => {
            format!("the store's sessions of {} are lost", all_of(targets))
        }
        FaultKind::AnswersLost { targets, permille } => format!(
            "{permille} of 1000 commits of {} lose their answers",
            all_of(targets)
        ),
        FaultKind::EventsMerged { targets, permille } => format!(
            "{permille} of 1000 events of the store for {} are merged",
            all_of(targets)
        ),
        FaultKind::EngineDeath { target } => format!("the engine of {target} dies"),
        FaultKind::Launches { target, how } => {
            let how = match how {
                LaunchFault::Late => "come late",
                LaunchFault::Doubled => "happen twice",
                LaunchFault::Unreported => "are not reported",
                LaunchFault::Failing => "fail",
                LaunchFault::Orphaned => "leave orphans",
            };
            format!("launches by {target} {how}")
        }
        FaultKind::IgnoresTerm { target } => {
            format!("the engine of {target} does not heed SIGTERM")
        }
        FaultKind::PidReused { target } => {
            format!("{target} dies and its pid goes to another process")
        }
        // The kinds that the other two tell.
        other => format!("{other:?}"),
    }
}

fn nth_told(nth: u32, act: Act) -> String {
    let act = match act {
        Act::Commit => "commit",
        Act::Read => "read",
        Act::Effect => "effect",
        Act::Send => "message",
    };
    match nth {
        1 => format!("at its next {act}"),
        nth => format!("at its {act} number {nth}"),
    }
}

const fn accident_told(accident: Accident) -> &'static str {
    match accident {
        Accident::KillBefore => "is killed before it",
        Accident::KillAfter => "is killed right after it",
        Accident::PauseBefore => "is stopped between decision and act",
        Accident::PauseAfter => "is stopped right after it",
        Accident::LoseAnswer => "loses its answer",
        Accident::ActLate => "loses its answer, and it happens late",
    }
}

fn topology_told(topology: &Topology) -> String {
    match topology {
        Topology::Sides(sides) => {
            let sides: Vec<_> = sides.iter().map(|side| all_of(side)).collect();
            format!("the network splits: {}", sides.join(" | "))
        }
        Topology::Isolate(targets) if targets.len() == 1 => {
            format!("{} is cut off", all_of(targets))
        }
        Topology::Isolate(targets) => format!("{} are cut off, each alone", all_of(targets)),
        Topology::OneWay(from, to) => {
            format!("{} cannot reach {}, one way", all_of(from), all_of(to))
        }
        Topology::Bridge(one, bridge, other) => format!(
            "{} and {} reach each other only through {bridge}",
            all_of(one),
            all_of(other)
        ),
        Topology::MajoritiesRing => "each server reaches only a majority around itself".to_owned(),
    }
}

fn all_of(targets: &[Target]) -> String {
    if targets.is_empty() {
        return "everybody".to_owned();
    }
    let names: Vec<_> = targets.iter().map(ToString::to_string).collect();
    and(&names)
}

fn and(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

//! What must hold within a schedule before it can be run. Every bound has a name here.

use super::model::{Ask, At, FORMAT, Fault, FaultKind, Request, Schedule, Target, Topology};
pub use super::path::{Path, Step};
use super::settings;
use std::collections::BTreeSet;
use std::fmt;

/// Servers of one schedule.
pub const SERVERS_MAX: usize = 16;
/// Asks of one schedule.
pub const WORKLOAD_MAX: usize = 10_000;
/// Faults of one schedule.
pub const FAULTS_MAX: usize = 1_000;
/// The longest run, and the longest time in one.
pub const TIME_MAX: At = At::from_secs(3_600);
/// The shortest round of a fault that comes and goes.
pub const ROUND_MIN: At = At::from_millis(10);
/// The largest share of what is counted in a thousand.
pub const PERMILLE_MAX: u32 = 1_000;
/// The longest burst of lost packets.
pub const BURST_MAX: u32 = 10_000;
/// The strongest drift of a clock, in parts per million.
pub const DRIFT_MAX: i32 = 500_000;
/// The largest number of an act.
pub const NTH_MAX: u32 = 1_000_000;
/// The largest step of the store's clock, in milliseconds: a day.
pub const STAMP_STEP_MAX: i64 = 86_400_000;
/// The longest name, in bytes.
pub const NAME_MAX: usize = 100;
/// The longest story, in bytes.
pub const STORY_MAX: usize = 20_000;
/// The largest seed: TOML has no larger integers.
pub const SEED_MAX: u64 = i64::MAX as u64;

/// What is wrong in a schedule, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct Wrong {
    /// Where.
    pub path: Path,
    /// What, and what was expected.
    pub what: String,
}

type Checked = Result<(), Wrong>;

fn wrong(path: Path, what: impl Into<String>) -> Checked {
    Err(Wrong {
        path,
        what: what.into(),
    })
}

/// Checks a schedule.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn check(schedule: &Schedule) -> Checked {
    head(schedule)?;
    servers(schedule)?;
    let names = Names::of(schedule);
    phases(schedule)?;
    workload(schedule, &names)?;
    faults(schedule, &names)
}

fn head(schedule: &Schedule) -> Checked {
    if schedule.format != FORMAT {
        let what = format!("`{}`: this release writes format {FORMAT}", schedule.format);
        return wrong(Path::key("format"), what);
    }
    if schedule.name.len() > NAME_MAX {
        return wrong(Path::key("name"), format!("longer than {NAME_MAX} bytes"));
    }
    if schedule.story.len() > STORY_MAX {
        return wrong(Path::key("story"), format!("longer than {STORY_MAX} bytes"));
    }
    let seeds = schedule.seeds.values().map(|seed| ("seeds", *seed));
    for (key, seed) in [("seed", schedule.seed)].into_iter().chain(seeds) {
        if seed > SEED_MAX {
            return wrong(Path::key(key), format!("`{seed}`: the limit is {SEED_MAX}"));
        }
    }
    Ok(())
}

fn servers(schedule: &Schedule) -> Checked {
    let count = schedule.servers.len();
    if count == 0 || count > SERVERS_MAX {
        let what = format!("{count} servers: expected 1 to {SERVERS_MAX}");
        return wrong(Path::key("servers"), what);
    }
    let mut names = BTreeSet::new();
    for (index, server) in schedule.servers.iter().enumerate() {
        let at = |key: &str| Path::element("servers", index, key);
        let is_plain = matches!(
            Target::try_from(server.name.clone()),
            Ok(Target::Named(_)) if server.name.len() <= NAME_MAX
        );
        if !is_plain {
            let what = format!(
                "`{}` cannot be a server's name: expected letters, digits, `-` and `_`, and no \
                 word that names a role",
                server.name
            );
            return wrong(at("name"), what);
        }
        if !names.insert(server.name.as_str()) {
            return wrong(at("name"), format!("`{}` is there twice", server.name));
        }
        time(at("start"), server.start)?;
    }
    for (index, server) in schedule.servers.iter().enumerate() {
        let at = |key: &str| Path::element("servers", index, key);
        let mut listed = BTreeSet::new();
        for seed in &server.seed_list {
            if !names.contains(seed.as_str()) {
                return wrong(
                    at("seed-list"),
                    format!("`{seed}` is no server of this schedule"),
                );
            }
            if !listed.insert(seed) {
                return wrong(at("seed-list"), format!("`{seed}` is there twice"));
            }
        }
        if let Err(error) = settings::config_of(schedule, Some(server)) {
            let own = error
                .name()
                .is_some_and(|name| server.settings.contains_key(name));
            let mut path = if own || (error.name().is_none() && !server.settings.is_empty()) {
                at("settings")
            } else {
                Path::key("settings")
            };
            path.0
                .extend(error.name().map(|name| Step::Key(name.to_owned())));
            return wrong(path, error.to_string());
        }
    }
    Ok(())
}

fn phases(schedule: &Schedule) -> Checked {
    let phases = &schedule.phases;
    let path = |key: &str| Path(vec![Step::Key("phases".into()), Step::Key(key.into())]);
    time(path("heal"), phases.heal)?;
    time(path("end"), phases.end)?;
    if phases.end <= phases.heal {
        let what = format!(
            "`{}` is not after phases.heal, `{}`",
            phases.end, phases.heal
        );
        return wrong(path("end"), what);
    }
    Ok(())
}

fn time(path: Path, at: At) -> Checked {
    if at > TIME_MAX {
        return wrong(path, format!("`{at}`: the limit is {TIME_MAX}"));
    }
    Ok(())
}

fn between<T: Copy + PartialOrd + fmt::Display>(path: Path, value: T, low: T, high: T) -> Checked {
    if value < low || value > high {
        return wrong(path, format!("`{value}`: expected {low} to {high}"));
    }
    Ok(())
}

struct Names<'a> {
    servers: BTreeSet<&'a str>,
    contexts: BTreeSet<&'a str>,
    jobs: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(schedule: &'a Schedule) -> Self {
        let mut names = Self {
            servers: schedule.servers.iter().map(|s| s.name.as_str()).collect(),
            contexts: BTreeSet::new(),
            jobs: BTreeSet::new(),
        };
        for ask in &schedule.workload {
            match &ask.what {
                Request::CreateContext { context } => {
                    names.contexts.insert(context);
                }
                Request::Submit { job, .. } => {
                    names.jobs.insert(job);
                }
                Request::DeleteContext { .. }
                | Request::Kill { .. }
                | Request::ReadJob { .. }
                | Request::ReadContext { .. } => {}
            }
        }
        names
    }

    fn target(&self, path: Path, target: &Target, store: bool) -> Checked {
        match target {
            Target::Named(name) if !self.servers.contains(name.as_str()) => {
                let known: Vec<_> = self.servers.iter().copied().collect();
                let known = known.join("`, `");
                let what = format!("`{name}` is no server of this schedule: they are `{known}`");
                wrong(path, what)
            }
            Target::DriverOf(context) if !self.contexts.contains(context.as_str()) => {
                let what = format!("`{target}`: nothing in the workload creates `{context}`");
                wrong(path, what)
            }
            Target::Store if !store => wrong(
                path,
                "`store` is a target of a topology only; see `store-away`",
            ),
            Target::Named(_)
            | Target::Oldest
            | Target::Youngest
            | Target::Leader
            | Target::SingletonHost
            | Target::FirstSeed
            | Target::DriverOf(_)
            | Target::Store => Ok(()),
        }
    }
}

fn in_order(list: &str, index: usize, at: At, before: &mut At) -> Checked {
    if at < *before {
        let what = format!("`{at}` comes after `{before}`: put them in order of time");
        return wrong(Path::element(list, index, "at"), what);
    }
    *before = at;
    Ok(())
}

fn workload(schedule: &Schedule, names: &Names<'_>) -> Checked {
    if schedule.workload.len() > WORKLOAD_MAX {
        return wrong(
            Path::key("workload"),
            format!("more than {WORKLOAD_MAX} asks"),
        );
    }
    let mut before = At(0);
    for (index, ask) in schedule.workload.iter().enumerate() {
        in_order("workload", index, ask.at, &mut before)?;
        one_ask(index, ask, schedule.phases.end, names)?;
    }
    Ok(())
}

fn one_ask(index: usize, ask: &Ask, end: At, names: &Names<'_>) -> Checked {
    let at = |key: &str| Path::element("workload", index, key);
    if ask.at > end {
        return wrong(
            at("at"),
            format!("`{}` is after phases.end, `{end}`", ask.at),
        );
    }
    if matches!(ask.of, Target::Store | Target::DriverOf(_)) {
        return wrong(at("of"), format!("`{}` is no server", ask.of));
    }
    names.target(at("of"), &ask.of, false)?;
    if ask
        .key
        .as_ref()
        .is_some_and(|key| key.is_empty() || key.len() > NAME_MAX)
    {
        return wrong(at("key"), format!("expected 1 to {NAME_MAX} bytes"));
    }
    match &ask.what {
        Request::CreateContext { context }
        | Request::DeleteContext { context }
        | Request::ReadContext { context } => name(at("context"), context),
        Request::Submit {
            context,
            job,
            lasts,
            ..
        } => {
            name(at("context"), context)?;
            name(at("job"), job)?;
            time(at("lasts"), *lasts)
        }
        Request::Kill { job } | Request::ReadJob { job } if !names.jobs.contains(job.as_str()) => {
            wrong(
                at("job"),
                format!("`{job}`: nothing in the workload submits it"),
            )
        }
        Request::Kill { .. } | Request::ReadJob { .. } => Ok(()),
    }
}

fn name(path: Path, text: &str) -> Checked {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(is_word) {
        let what = format!("`{text}` is no name: expected letters, digits, `-`, `_` and `.`");
        return wrong(path, what);
    }
    Ok(())
}

fn faults(schedule: &Schedule, names: &Names<'_>) -> Checked {
    if schedule.faults.len() > FAULTS_MAX {
        return wrong(
            Path::key("faults"),
            format!("more than {FAULTS_MAX} faults"),
        );
    }
    let mut before = At(0);
    for (index, fault) in schedule.faults.iter().enumerate() {
        in_order("faults", index, fault.at, &mut before)?;
        let at = |key: &str| Path::element("faults", index, key);
        let heal = schedule.phases.heal;
        if fault.at >= heal {
            let what = format!("`{}` is not before phases.heal, `{heal}`", fault.at);
            return wrong(at("at"), what);
        }
        if let Some(until) = fault.until {
            if until <= fault.at {
                let what = format!("`{until}` is not after its `at`, `{}`", fault.at);
                return wrong(at("until"), what);
            }
            if until > heal {
                let what = format!("`{until}` is after phases.heal, `{heal}`, which ends all");
                return wrong(at("until"), what);
            }
        }
        for (key, target) in targets(fault) {
            names.target(at(key), target, key == "topology")?;
        }
        bounds(fault, &at)?;
    }
    Ok(())
}

/// Whom a fault names, and by which key.
fn targets(fault: &Fault) -> Vec<(&'static str, &Target)> {
    match &fault.kind {
        FaultKind::Cut { topology, .. } | FaultKind::Flap { topology, .. } => topology
            .targets()
            .into_iter()
            .map(|target| ("topology", target))
            .collect(),
        FaultKind::Link { from, to, .. } => {
            let to = to.iter().map(|target| ("to", target));
            from.iter()
                .map(|target| ("from", target))
                .chain(to)
                .collect()
        }
        FaultKind::Replay { from, to } => vec![("from", from), ("to", to)],
        FaultKind::Swizzle { targets, .. }
        | FaultKind::StoreSlow { targets, .. }
        | FaultKind::StoreAway { targets, .. }
        | FaultKind::SessionLost { targets }
        | FaultKind::AnswersLost { targets, .. }
        | FaultKind::EventsMerged { targets, .. } => {
            targets.iter().map(|target| ("targets", target)).collect()
        }
        FaultKind::Pause { target }
        | FaultKind::Crash { target }
        | FaultKind::CrashLoop { target, .. }
        | FaultKind::Leave { target }
        | FaultKind::Start { target }
        | FaultKind::AtAct { target, .. }
        | FaultKind::ClockDrift { target, .. }
        | FaultKind::ClockStep { target, .. }
        | FaultKind::ClockFreeze { target }
        | FaultKind::EngineDeath { target }
        | FaultKind::Launches { target, .. }
        | FaultKind::IgnoresTerm { target }
        | FaultKind::PidReused { target } => vec![("target", target)],
        FaultKind::CrashAll { .. } | FaultKind::StampStep { .. } => Vec::new(),
    }
}

fn bounds(fault: &Fault, at: &impl Fn(&str) -> Path) -> Checked {
    match &fault.kind {
        FaultKind::Cut { topology, .. } => sides(at("topology"), topology),
        FaultKind::Flap {
            topology,
            period,
            cut,
        } => {
            sides(at("topology"), topology)?;
            between(at("period"), *period, ROUND_MIN, TIME_MAX)?;
            between(at("cut"), *cut, At(1), *period)
        }
        FaultKind::Swizzle { targets, step } => {
            if targets.is_empty() {
                return wrong(at("targets"), "nobody: expected at least one target");
            }
            between(at("step"), *step, At(1), TIME_MAX)
        }
        FaultKind::Link {
            latency,
            jitter,
            loss,
            burst,
            duplicate,
            reorder,
            ..
        } => {
            time(at("latency"), *latency)?;
            time(at("jitter"), *jitter)?;
            between(at("loss"), *loss, 0, PERMILLE_MAX)?;
            between(at("burst"), *burst, 0, BURST_MAX)?;
            between(at("duplicate"), *duplicate, 0, PERMILLE_MAX)?;
            between(at("reorder"), *reorder, 0, PERMILLE_MAX)
        }
        FaultKind::CrashLoop { every, .. } => between(at("every"), *every, ROUND_MIN, TIME_MAX),
        FaultKind::AtAct { nth, .. } => between(at("nth"), *nth, 1, NTH_MAX),
        FaultKind::ClockDrift { ppm, .. } => between(at("ppm"), *ppm, -DRIFT_MAX, DRIFT_MAX),
        FaultKind::ClockStep { by, .. } => between(at("by"), *by, At(1), TIME_MAX),
        FaultKind::StampStep { millis } => {
            between(at("millis"), *millis, -STAMP_STEP_MAX, STAMP_STEP_MAX)
        }
        FaultKind::StoreSlow { latency, .. } => time(at("latency"), *latency),
        FaultKind::AnswersLost { permille, .. } | FaultKind::EventsMerged { permille, .. } => {
            between(at("permille"), *permille, 0, PERMILLE_MAX)
        }
        FaultKind::Replay { .. }
        | FaultKind::Pause { .. }
        | FaultKind::Crash { .. }
        | FaultKind::CrashAll { .. }
        | FaultKind::Leave { .. }
        | FaultKind::Start { .. }
        | FaultKind::ClockFreeze { .. }
        | FaultKind::StoreAway { .. }
        | FaultKind::SessionLost { .. }
        | FaultKind::EngineDeath { .. }
        | FaultKind::Launches { .. }
        | FaultKind::IgnoresTerm { .. }
        | FaultKind::PidReused { .. } => Ok(()),
    }
}

fn sides(path: Path, topology: &Topology) -> Checked {
    if let Topology::Isolate(alone) = topology
        && alone.is_empty()
    {
        return wrong(path, "nobody: expected at least one target");
    }
    let mut named = BTreeSet::new();
    for target in topology.targets() {
        // The store may be on several sides: those that reach it.
        if *target != Target::Store && !named.insert(target) {
            return wrong(path, format!("`{target}` is there twice"));
        }
    }
    Ok(())
}

//! From a seed to a schedule: the same seed and profile, the same schedule, on every machine.

use super::draw::Draw;
use super::fairness;
use super::model::{
    At, Expect, FORMAT, Fault, Phases, RULES, Rest, Schedule, Server, Setting, StoreProfile, Target,
};
use super::profile::{Between, Profile, ValidProfile};
use super::settings;
use super::stream::Stream;
use super::swarm::Swarm;
use super::topology::Cast;
use super::vary;
use super::workload;
use doyen_core::config::Config;
use std::collections::BTreeMap;

/// How likely each number of servers is, where a profile allows it.
const SERVERS: [(u32, u32); 5] = [(1, 5), (2, 12), (3, 60), (4, 10), (5, 13)];
const CONTEXTS: [(u32, u32); 5] = [(0, 5), (1, 20), (2, 50), (3, 15), (4, 10)];
/// Faults begin after this, but for those of the formation.
const CALM: At = At::from_secs(3);

/// Draws the schedule of a seed.
#[must_use]
pub fn generate(seed: u64, profile: &ValidProfile) -> Schedule {
    let profile = profile.get();
    let mut stream = Stream::of(seed, "servers");
    let count = count(profile.servers, &SERVERS, &mut stream);
    let mut servers = servers(profile, count, &mut stream);
    let contexts: Vec<_> = (1..=count_of(profile.contexts, &mut stream))
        .map(|number| format!("c{number}"))
        .collect();
    let mut stream = Stream::of(seed, "settings");
    let common = vary::common(profile, &mut stream);
    vary::mixed(profile, &common, &mut servers, &mut stream);
    let store = profile.store.unwrap_or_else(|| {
        if stream.percent(30) {
            StoreProfile::Zookeeper
        } else {
            StoreProfile::Local
        }
    });
    let heal = profile.heal.unwrap_or_else(|| heal(&common, &mut stream));
    let cast = Cast {
        servers: servers
            .iter()
            .map(|s| Target::Named(s.name.clone()))
            .collect(),
        drivers: contexts.iter().cloned().map(Target::DriverOf).collect(),
    };
    let mut stream = Stream::of(seed, "workload");
    let asks = stream.between(u64::from(profile.asks.least), u64::from(profile.asks.most));
    let workload = workload::draw(&cast, &contexts, asks, heal, stream);
    let cast = known(cast, &workload);
    let starts = servers.iter().map(|server| server.start).collect();
    let faults = faults(seed, profile, cast, starts, heal);
    let mut schedule = Schedule {
        format: FORMAT,
        rules: RULES,
        name: format!("seed-{seed}"),
        story: String::new(),
        expect: Expect::Pass,
        catches: Vec::new(),
        seed,
        seeds: BTreeMap::new(),
        servers,
        settings: common,
        store,
        phases: Phases {
            heal,
            end: heal,
            rest: Rest::new(),
        },
        workload,
        faults,
        rest: Rest::new(),
    };
    schedule.phases.end = fairness::end(&schedule);
    schedule
}

/// Drivers that the workload never asks for are no targets.
fn known(mut cast: Cast, workload: &[super::model::Ask]) -> Cast {
    let created = |context: &str| {
        workload.iter().any(|ask| {
            matches!(&ask.what, super::model::Request::CreateContext { context: c } if c == context)
        })
    };
    cast.drivers.retain(|driver| match driver {
        Target::DriverOf(context) => created(context),
        _ => true,
    });
    cast
}

fn count(range: Between, likely: &[(u32, u32)], stream: &mut Stream) -> u32 {
    let within: Vec<_> = likely
        .iter()
        .copied()
        .filter(|(count, _)| (range.least..=range.most).contains(count))
        .collect();
    let drawn = stream.weighted(&within);
    drawn.unwrap_or_else(|| stream.between_u32(range.least, range.most))
}

fn count_of(contexts: Between, stream: &mut Stream) -> u32 {
    count(contexts, &CONTEXTS, stream)
}

fn servers(profile: &Profile, count: u32, stream: &mut Stream) -> Vec<Server> {
    let names = profile.server_names(count);
    let late = stream.percent(20);
    let differing = profile.seed_list.is_empty() && stream.percent(15);
    names
        .iter()
        .map(|name| Server {
            name: name.clone(),
            start: if late && stream.percent(50) {
                stream.time(At(0), At::from_secs(20))
            } else {
                stream.time(At(0), At::from_millis(300))
            },
            seed_list: if differing {
                seed_list(name, &names, stream)
            } else {
                profile.seed_list.clone()
            },
            settings: BTreeMap::new(),
            rest: Rest::new(),
        })
        .collect()
}

/// A seed list that need not be that of the others.
fn seed_list(own: &str, names: &[String], stream: &mut Stream) -> Vec<String> {
    let mut list = names.to_vec();
    match stream.below(4) {
        0 => list = vec![own.to_owned()],
        1 => list.reverse(),
        2 => stream.shuffle(&mut list),
        _ => {
            stream.shuffle(&mut list);
            let count = stream.index(list.len()).saturating_add(1);
            list.truncate(count);
        }
    }
    list
}

/// Faults last long enough for a split in the middle of them to be decided.
fn heal(common: &BTreeMap<String, Setting>, stream: &mut Stream) -> At {
    let mut config = Config::new(Vec::new());
    let applied = settings::apply(&mut config, common);
    debug_assert!(applied.is_ok(), "drawn settings are valid");
    let times = &config.times;
    let decided = times
        .detection
        .saturating_add(times.stable_after)
        .saturating_add(times.witness_delay);
    let decided = u64::try_from(decided.as_millis()).unwrap_or(u64::MAX);
    let decided = At::from_millis(decided.min(300_000));
    let more = if stream.percent(4) {
        stream.time(At::from_secs(40), At::from_secs(120))
    } else {
        stream.time(At::from_secs(10), At::from_secs(16))
    };
    At(decided.0.saturating_add(more.0))
}

fn faults(seed: u64, profile: &Profile, cast: Cast, starts: Vec<At>, heal: At) -> Vec<Fault> {
    let mut stream = Stream::of(seed, "swarm");
    let swarm = Swarm::draw(profile, &mut stream);
    let mut draw = Draw {
        cast,
        starts,
        swarm: &swarm,
        heal,
        stream: Stream::of(seed, "faults"),
    };
    let most = if stream.percent(60) {
        profile.faults.most.min(profile.faults.least.max(4))
    } else {
        profile.faults.most
    };
    let count = stream.between_u32(profile.faults.least, most);
    // At times everything happens at once.
    let last = At(heal.0.saturating_sub(500_000));
    let clustered = stream.percent(30);
    let pivot = stream.time(CALM, last);
    let mut faults = Vec::new();
    for _ in 0..count {
        let Some(name) = stream.weighted(&swarm.kinds) else {
            break;
        };
        let at = if clustered {
            draw.near(pivot, At::from_millis(1), At::from_secs(6))
        } else {
            stream.time(CALM, last)
        };
        if super::swarm::KINDS.iter().any(|(kind, _)| *kind == name) {
            faults.extend(draw.one(name, at));
        } else {
            faults.extend(draw.combo(name, at));
        }
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

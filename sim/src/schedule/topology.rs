//! Cuts by name.

use super::model::{Target, Topology};
use super::stream::Stream;

/// The named topologies, as weights of a suite call them.
pub const TOPOLOGIES: [&str; 9] = [
    "halves",
    "majority",
    "isolate-one",
    "role-alone",
    "bridge",
    "majorities-ring",
    "one-way",
    "three-parts",
    "drivers-apart",
];

/// Who can be cut.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    /// The servers.
    pub(super) servers: Vec<Target>,
    /// The drivers, by their contexts.
    pub(super) drivers: Vec<Target>,
}

impl Cast {
    /// A server, by name or by role.
    pub(super) fn server(&self, stream: &mut Stream) -> Target {
        const ROLES: [Target; 5] = [
            Target::SingletonHost,
            Target::Oldest,
            Target::Youngest,
            Target::Leader,
            Target::FirstSeed,
        ];
        let from: &[Target] = if stream.percent(55) {
            &self.servers
        } else {
            &ROLES
        };
        stream.pick(from).cloned().unwrap_or(Target::Oldest)
    }

    /// A driver, when there is any.
    pub(super) fn driver(&self, stream: &mut Stream) -> Option<Target> {
        stream.pick(&self.drivers).cloned()
    }

    /// A server or, less often, a driver.
    pub(super) fn anybody(&self, stream: &mut Stream) -> Target {
        let driver = if stream.percent(30) {
            self.driver(stream)
        } else {
            None
        };
        driver.unwrap_or_else(|| self.server(stream))
    }

    /// Some of the servers by name and perhaps drivers; empty, for everybody, at times.
    pub(super) fn some(&self, stream: &mut Stream) -> Vec<Target> {
        if stream.percent(25) {
            return Vec::new();
        }
        if stream.percent(40) {
            return vec![self.anybody(stream)];
        }
        let mut all: Vec<_> = self.servers.iter().chain(&self.drivers).cloned().collect();
        stream.shuffle(&mut all);
        let count = stream.index(all.len()).saturating_add(1);
        all.truncate(count);
        all
    }
}

/// The topology of this name over a cast, at random where the name leaves it open.
pub(super) fn build(name: &str, cast: &Cast, stream: &mut Stream) -> Topology {
    let mut servers = cast.servers.clone();
    stream.shuffle(&mut servers);
    let count = servers.len();
    match name {
        "halves" => split(vec![servers.split_off(count / 2), servers], cast, stream),
        "majority" => split(
            vec![servers.split_off(count / 2 + 1), servers],
            cast,
            stream,
        ),
        "three-parts" => {
            let third = servers.split_off(count - count / 3);
            split(
                vec![servers.split_off(servers.len() / 2), servers, third],
                cast,
                stream,
            )
        }
        "bridge" if count >= 3 => {
            let other = servers.split_off(count / 2 + 1);
            let middle = servers.pop().unwrap_or(Target::Oldest);
            Topology::Bridge(servers, middle, other)
        }
        "majorities-ring" if count >= 4 => Topology::MajoritiesRing,
        "one-way" => {
            let from = servers.split_off(stream.index(count.max(2) - 1) + 1);
            let mut sides = [servers, from];
            stream.shuffle(&mut sides);
            let [mut from, mut to] = sides;
            if from.is_empty() || to.is_empty() {
                to = vec![Target::Store];
                from = vec![Target::SingletonHost];
            }
            Topology::OneWay(from, to)
        }
        "drivers-apart" if !cast.drivers.is_empty() => {
            let mut drivers = cast.drivers.clone();
            drivers.truncate(stream.index(drivers.len()) + 1);
            let mut sides = vec![drivers, servers];
            place_store(&mut sides, stream);
            Topology::Sides(sides)
        }
        "role-alone" => {
            let role = [
                Target::SingletonHost,
                Target::Oldest,
                Target::FirstSeed,
                Target::Leader,
            ];
            Topology::Isolate(stream.pick(&role).cloned().into_iter().collect())
        }
        // What is too small for its name, too.
        _ => Topology::Isolate(vec![cast.anybody(stream)]),
    }
}

/// Sides with the drivers and the store among them, at random.
fn split(mut sides: Vec<Vec<Target>>, cast: &Cast, stream: &mut Stream) -> Topology {
    sides.retain(|side| !side.is_empty());
    let together = stream.percent(30);
    for driver in &cast.drivers {
        let index = stream.index(sides.len());
        if !together && let Some(side) = sides.get_mut(index) {
            side.push(driver.clone());
        }
    }
    if sides.len() < 2 {
        sides.push(vec![Target::Store]);
    } else {
        place_store(&mut sides, stream);
    }
    Topology::Sides(sides)
}

/// Reached by all, mostly; else on some of the sides.
fn place_store(sides: &mut [Vec<Target>], stream: &mut Stream) {
    if stream.percent(50) {
        return;
    }
    let index = stream.index(sides.len());
    for (place, side) in sides.iter_mut().enumerate() {
        if place == index || stream.percent(20) {
            side.push(Target::Store);
        }
    }
}

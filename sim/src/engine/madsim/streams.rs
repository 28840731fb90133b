//! Random streams by purpose: those of the direct engine, so that a schedule's `seeds` mean the same.

use crate::schedule::model::Schedule;
use crate::world::random::{self, Purpose, Random};
use std::collections::BTreeMap;

/// All streams of a run, each by purpose and place.
#[derive(Debug)]
pub(super) struct Streams {
    roots: random::Streams,
    streams: BTreeMap<(&'static str, u16), Random>,
}

impl Streams {
    pub(super) fn new(schedule: &Schedule) -> Self {
        Self {
            roots: random::Streams::new(schedule.seed, &schedule.seeds),
            streams: BTreeMap::new(),
        }
    }

    /// A seed for something with streams of its own.
    pub(super) fn seed(&self, purpose: Purpose) -> u64 {
        self.roots.stream(purpose, u64::MAX, u64::MAX).next()
    }

    /// The stream of a use at a place.
    pub(super) fn of(&mut self, of_what: &'static str, place: u16) -> &mut Random {
        let (purpose, number) = match of_what {
            "incarnations" => (Purpose::Identity, 1),
            "clusters" => (Purpose::Identity, 2),
            "drivers" => (Purpose::Identity, 3),
            "ids" => (Purpose::Identity, 4),
            "store" => (Purpose::Store, 1),
            "events" => (Purpose::Store, 2),
            "launches" => (Purpose::Launch, 1),
            "client" => (Purpose::Client, 1),
            _ => (Purpose::Fault, 1),
        };
        let roots = &self.roots;
        let stream = self.streams.entry((of_what, place));
        stream.or_insert_with(|| roots.stream(purpose, u64::from(place), number))
    }
}

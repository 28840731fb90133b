//! What is going to happen, in a total order: by time, then by the order in which it was planned.

use doyen_core::driver::DriverLaunch;
use doyen_core::identity::{Address, Identity};
use doyen_core::input::{Input, Ticket};
use doyen_core::records::transaction::{Query, Transaction};
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// A call to the store on its way.
#[derive(Clone, Debug)]
pub enum StoreRequest {
    /// A transaction.
    Commit(Ticket, Transaction),
    /// A query.
    Read(Ticket, Query),
}

/// Something that is going to happen.
#[derive(Debug)]
pub enum Event {
    /// An input reaches this life of a process, if it still lives then.
    Deliver {
        /// Which life.
        to: Identity,
        /// What.
        input: Box<Input>,
    },
    /// A wake that a process asked for.
    Wake {
        /// Whose.
        address: Address,
        /// The time that it asked for; another one has replaced it if they differ.
        at: Time,
    },
    /// A process tries to connect.
    Dial {
        /// Which life dials.
        from: Identity,
        /// Where to.
        to: Address,
        /// The pause before the next try.
        pause: Duration,
    },
    /// The beat thread of a process looks at its plan.
    Beats {
        /// Whose.
        from: Identity,
    },
    /// A driver process comes to life.
    Spawn {
        /// What it is launched with.
        launch: Box<DriverLaunch>,
    },
    /// A call reaches the store.
    Store {
        /// Whose.
        from: Identity,
        /// What.
        request: StoreRequest,
    },
}

/// Planned events.
#[derive(Debug, Default)]
pub struct Queue {
    events: BTreeMap<(Time, u64), Event>,
    planned: u64,
}

impl Queue {
    /// Plans an event.
    pub fn push(&mut self, at: Time, event: Event) {
        self.planned = self.planned.saturating_add(1);
        self.events.insert((at, self.planned), event);
    }

    /// Takes the next event that happens at `until` or before.
    pub fn pop_until(&mut self, until: Time) -> Option<(Time, Event)> {
        let entry = self.events.first_entry()?;
        if entry.key().0 > until {
            return None;
        }
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }
}

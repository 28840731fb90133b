//! The simulated store: the model of every backend behind delays, and cut off from whom it should.

use super::World;
use super::event::{Event, StoreRequest};
use doyen_core::identity::{Address, Identity};
use doyen_core::input::{Input, Ticket};
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use doyen_core::time::Stamp;
use std::time::Duration;

const CALL: Duration = Duration::from_millis(800);
/// The store's clock at the world's start: 14 November 2023.
const EPOCH_MS: u64 = 1_700_000_000_000;

impl World {
    pub(super) fn commit(&mut self, address: &Address, ticket: Ticket, transaction: Transaction) {
        self.call(address, StoreRequest::Commit(ticket, transaction));
    }

    pub(super) fn read(&mut self, address: &Address, ticket: Ticket, query: Query) {
        self.call(address, StoreRequest::Read(ticket, query));
    }

    fn call(&mut self, address: &Address, request: StoreRequest) {
        let Some(from) = self.identity(address) else {
            return;
        };
        let at = self.now.after(self.random.micros(200, 900));
        self.queue.push(at, Event::Store { from, request });
    }

    pub(super) fn store_works(&mut self, from: &Identity, request: StoreRequest) {
        let away = self.store_cuts.contains(&from.address);
        let stamp = Stamp(EPOCH_MS.saturating_add(self.now.as_millis()));
        let input = match request {
            StoreRequest::Commit(ticket, _) if away => Input::Committed {
                ticket,
                outcome: CommitOutcome::Unknown,
            },
            StoreRequest::Read(ticket, _) if away => {
                let reason = "cut off".to_owned();
                Input::Read {
                    ticket,
                    outcome: ReadOutcome::Failed { reason },
                }
            }
            StoreRequest::Commit(ticket, transaction) => {
                let (outcome, changed) = self.store.commit(&transaction, stamp);
                for key in changed {
                    self.announce(&Change::Record(key));
                }
                Input::Committed { ticket, outcome }
            }
            StoreRequest::Read(ticket, query) => {
                let snapshot = self.store.read(&query, stamp);
                Input::Read {
                    ticket,
                    outcome: ReadOutcome::Snapshot(snapshot),
                }
            }
        };
        let delay = if away {
            CALL
        } else {
            self.random.micros(200, 900)
        };
        let event = Event::Deliver {
            to: from.clone(),
            input: Box::new(input),
        };
        self.queue.push(self.now.after(delay), event);
    }

    /// Watches: an event without data to everybody who is not cut off.
    fn announce(&mut self, change: &Change) {
        let watchers: Vec<_> = self
            .nodes
            .iter()
            .filter(|(address, node)| node.process.is_some() && !self.store_cuts.contains(*address))
            .map(|(_, node)| node.identity.clone())
            .collect();
        for to in watchers {
            let at = self.now.after(self.random.micros(100, 600));
            let input = Box::new(Input::StoreChanged(change.clone()));
            self.queue.push(at, Event::Deliver { to, input });
        }
    }
}

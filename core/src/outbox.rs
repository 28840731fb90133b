//! The ordered queue of outputs, and the bookkeeping of store calls that every part shares.

use crate::identity::Identity;
use crate::input::Ticket;
use crate::output::{ClusterEvent, Output};
use crate::records::transaction::{Query, Transaction, TransactionId};
use crate::wire::Message;
use std::collections::VecDeque;

/// Outputs in the order in which they were decided, and the numbers of store calls.
#[derive(Clone, Debug)]
pub struct Outbox {
    identity: Identity,
    queue: VecDeque<Output>,
    tickets: u64,
}

impl Outbox {
    /// An empty outbox of this process.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self {
            identity,
            queue: VecDeque::new(),
            tickets: 0,
        }
    }

    /// Adds an output.
    pub fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Adds an event.
    pub fn event(&mut self, event: ClusterEvent) {
        self.push(Output::Event(event));
    }

    /// Adds a message.
    pub fn send(&mut self, to: &Identity, message: Message) {
        self.push(Output::Send {
            to: to.clone(),
            message,
        });
    }

    /// Takes the next output.
    pub fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Whether everything was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// An empty transaction with a fresh id of this process (W4).
    pub fn transaction(&mut self) -> Transaction {
        self.tickets = self.tickets.saturating_add(1);
        Transaction::new(TransactionId(format!("{}/{}", self.identity, self.tickets)))
    }

    /// Commits a transaction.
    pub fn commit(&mut self, transaction: Transaction) -> Ticket {
        let ticket = self.ticket();
        self.push(Output::Commit {
            ticket,
            transaction,
        });
        ticket
    }

    /// Reads.
    pub fn read(&mut self, query: Query) -> Ticket {
        let ticket = self.ticket();
        self.push(Output::Read { ticket, query });
        ticket
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.saturating_add(1);
        Ticket(self.tickets)
    }
}

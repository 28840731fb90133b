//! Histories made by hand, for the tests of oracles.

mod make;
mod write;

pub(crate) use make::*;

use super::facts::Facts;
use super::{Oracle, Violation, kinds};
use crate::engine::Ran;
use crate::schedule::model::FaultKind;
use crate::trace::seen::{Deed, Ended, NodeId, Phase, Seen, Written};
use doyen_core::config::Config;
use doyen_core::identity::{ContextId, Identity, Role};
use doyen_core::input::{Input, Ticket};
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::context::IntentNumber;
use doyen_core::records::key;
use doyen_core::records::model::StoreModel;
use doyen_core::records::singleton::Epoch;
use doyen_core::records::transaction::{
    CommitOutcome, Query, ReadOutcome, Transaction, TransactionId, Version,
};
use doyen_core::time::{Stamp, Time};
use std::time::Duration;

/// A history, told to one oracle.
pub(crate) struct History {
    oracle: Box<dyn Oracle>,
    pub(crate) facts: Facts,
    store: StoreModel,
    at: Time,
    commits: u64,
    violation: Option<Violation>,
}

impl History {
    /// The history before anything happened.
    pub(crate) fn new(oracle: impl Oracle + 'static, faults: Vec<FaultKind>) -> Self {
        let config = Config::new(Vec::new());
        Self {
            oracle: Box::new(oracle),
            facts: Facts::new(&schedule(3, faults), &config),
            store: StoreModel::new(),
            at: Time::from_millis(1_000),
            commits: 0,
            violation: None,
        }
    }

    /// Three servers, all listed in generation 3, the first holds epoch 1 and is ready.
    pub(crate) fn cluster(oracle: impl Oracle + 'static, faults: Vec<FaultKind>) -> Self {
        let mut history = Self::new(oracle, faults);
        for number in 1..=3 {
            history.begins(number, 1);
        }
        let first = server(1, 1);
        history.wait(6_000).founds(&first);
        for number in 2..=3 {
            let listed = (1..=number).map(|one| server(one, 1)).collect();
            history.rosters(&first, u64::from(number), listed);
        }
        let epoch = Epoch(1);
        history.event(1, ClusterEvent::OfficeReady { epoch });
        history
    }

    /// Shows one observation.
    pub(crate) fn sees(&mut self, seen: &Seen<'_>) -> &mut Self {
        self.facts.observe(self.at, seen);
        if self.oracle.listens() & kinds::of(seen) != 0 && self.violation.is_none() {
            self.violation = self.oracle.seen(self.at, seen, &self.facts).err();
        }
        self
    }

    /// Lets milliseconds pass.
    pub(crate) fn wait(&mut self, millis: u64) -> &mut Self {
        self.at = self.at.after(Duration::from_millis(millis));
        self
    }

    pub(crate) fn begins(&mut self, number: u16, life: u64) -> &mut Self {
        let identity = server(number, life);
        self.sees(&Seen::Began {
            node: NodeId(number),
            name: &format!("s{number}"),
            identity: &identity,
            role: Role::Server,
        })
    }

    /// A driver is launched on the host of a server, and begins.
    pub(crate) fn launches(&mut self, number: u16, context: &str, intent: u64, host: u16) {
        let identity = driver(number);
        let deed = Deed::DriverStarted {
            context: ContextId::new(context),
            intent: IntentNumber(intent),
            driver: identity.incarnation,
        };
        self.deed(host, &deed);
        self.sees(&Seen::Began {
            node: NodeId(100 + number),
            name: &format!("driver-of({context})"),
            identity: &identity,
            role: Role::Driver,
        });
    }

    pub(crate) fn dies(&mut self, identity: &Identity) -> &mut Self {
        self.ends(identity, &Ended::Killed)
    }

    pub(crate) fn ends(&mut self, identity: &Identity, how: &Ended) -> &mut Self {
        let node = self.facts.life(identity.incarnation).unwrap().node;
        self.sees(&Seen::Ended {
            node,
            identity,
            how,
        })
    }

    pub(crate) fn input(&mut self, node: u16, input: &Input) -> &mut Self {
        let clock = self.at;
        self.sees(&Seen::Input {
            node: NodeId(node),
            clock,
            input,
        })
    }

    pub(crate) fn output(&mut self, node: u16, output: &Output) -> &mut Self {
        self.sees(&Seen::Output {
            node: NodeId(node),
            output,
        })
    }

    pub(crate) fn event(&mut self, node: u16, event: ClusterEvent) -> &mut Self {
        self.output(node, &Output::Event(event))
    }

    pub(crate) fn deed(&mut self, node: u16, deed: &Deed) -> &mut Self {
        self.sees(&Seen::Deed {
            node: NodeId(node),
            deed,
        })
    }

    pub(crate) fn fault(&mut self, index: usize, begins: bool, hits: &[u16]) -> &mut Self {
        let hits: Vec<NodeId> = hits.iter().map(|one| NodeId(*one)).collect();
        self.sees(&Seen::Fault {
            index,
            begins,
            hits: &hits,
        })
    }

    pub(crate) fn pauses(&mut self, node: u16, paused: bool) -> &mut Self {
        self.sees(&Seen::Paused {
            node: NodeId(node),
            paused,
        })
    }

    pub(crate) fn phase(&mut self, phase: Phase) -> &mut Self {
        self.sees(&Seen::Phase(phase))
    }

    /// Looks at every process; views are not shown.
    pub(crate) fn looks(&mut self) -> &mut Self {
        self.sees(&Seen::Views { views: &[] })
    }

    pub(crate) fn transaction(&mut self) -> Transaction {
        self.commits += 1;
        Transaction::new(TransactionId(format!("t{}", self.commits)))
    }

    /// Commits; refused commits are shown too.
    pub(crate) fn commits(&mut self, by: &Identity, transaction: &Transaction) -> &mut Self {
        let stamp = Stamp(1_000_000 + self.at.as_millis());
        let (outcome, changed) = self.store.commit(transaction, stamp);
        let store = self.store.clone();
        self.sees(&Seen::Store(Written {
            by,
            transaction,
            outcome: &outcome,
            told: true,
            changed: &changed,
            store: &store,
            stamp,
        }))
    }

    /// Sends and commits what must be accepted.
    pub(crate) fn writes(&mut self, by: &Identity, transaction: &Transaction) -> &mut Self {
        let (outcome, _) = self.store.clone().commit(transaction, Stamp(1));
        let accepted = matches!(outcome, CommitOutcome::Committed { .. });
        assert!(accepted, "{outcome:?} of {transaction:?}");
        let node = self.facts.life(by.incarnation).map(|life| life.node);
        let node = node.unwrap_or(NodeId(0));
        self.sends(node.0, transaction).commits(by, transaction)
    }

    /// Sends a transaction to the store, which is not there yet.
    pub(crate) fn sends(&mut self, node: u16, transaction: &Transaction) -> &mut Self {
        let transaction = transaction.clone();
        let ticket = Ticket(1);
        self.output(
            node,
            &Output::Commit {
                ticket,
                transaction,
            },
        )
    }

    /// A server reads the cluster's own records.
    pub(crate) fn reads(&mut self, node: u16) -> &mut Self {
        let own = [
            layout().singleton(),
            layout().pulse(),
            layout().challenge(),
            layout().split(),
        ];
        let mut query = Query::default();
        query.keys.extend(own);
        query.keys.insert(key::cluster());
        let outcome = ReadOutcome::Snapshot(self.store.read(&query, Stamp(1)));
        let ticket = Ticket(1);
        self.input(node, &Input::Read { ticket, outcome })
    }

    /// The run ends; the first violation.
    pub(crate) fn verdict(&mut self) -> Result<(), Violation> {
        if let Some(violation) = self.violation.take() {
            return Err(violation);
        }
        let ran = Ran {
            events: 0,
            simulated: self.at.since(Time::ZERO),
            store: self.store.clone(),
        };
        self.oracle.end(self.at, &ran, &self.facts)
    }

    /// The fingerprint of the violation that there must be.
    pub(crate) fn fails(&mut self) -> String {
        self.verdict().expect_err("a violation").fingerprint
    }

    /// Whether the oracle waits for nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.oracle.is_settled()
    }

    pub(crate) fn version_of_cluster(&self) -> Version {
        self.facts.records.cluster.as_ref().unwrap().version
    }

    pub(crate) const fn now(&self) -> Time {
        self.at
    }
}

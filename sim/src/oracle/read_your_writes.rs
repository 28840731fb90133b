//! `read_your_writes`: a read that is not marked stale shows a state that the record had at some
//! moment since it was asked: so whatever was acknowledged before is seen, at any server.
//!
//! Envelope: always. Source: design.md 5; protocol.md B2.

use super::facts::Facts;
use super::records::{Kind, kind};
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::hash::Hash64;
use crate::trace::seen::{Seen, Written};
use doyen_core::input::RequestId;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{CommitOutcome, Operation};
use doyen_core::time::Time;
use std::collections::BTreeMap;

const NAME: &str = "read_your_writes";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ReadYourWrites {
    /// Since when each record had which content; `None` while it was absent.
    states: BTreeMap<Key, Vec<(Time, Option<u64>)>>,
    asked: BTreeMap<RequestId, Time>,
}

impl Oracle for ReadYourWrites {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::CLIENT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Store(written) => self.written(at, written),
            Seen::Asked { request, .. } => {
                self.asked.insert(*request, at);
            }
            Seen::Read {
                node,
                request,
                key,
                found,
            } => {
                let asked = self.asked.get(request).copied().unwrap_or(at);
                if let Some(found) = found {
                    let found = found.map(|stored| content(&stored.value));
                    let life = facts.last_at_node(*node);
                    claim!(
                        NAME,
                        at,
                        self.had(key, found, asked, at),
                        "old",
                        "{} answered a read of `{key}`, asked at {asked}, with a state that it \
                         had not since then: {:?}",
                        life.map_or("", |life| life.name.as_str()),
                        found.map_or("absent", |_| "present")
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl ReadYourWrites {
    fn written(&mut self, at: Time, written: &Written<'_>) {
        if !matches!(written.outcome, CommitOutcome::Committed { .. }) {
            return;
        }
        for operation in &written.transaction.operations {
            let value = match operation {
                Operation::Create { value, .. } | Operation::Put { value, .. } => {
                    Some(content(value))
                }
                Operation::Delete { .. } => None,
                Operation::Check { .. } | Operation::CheckAbsent { .. } => continue,
            };
            let read = matches!(
                kind(operation.key()),
                Kind::Job
                    | Kind::Done
                    | Kind::Context
                    | Kind::Ended
                    | Kind::Name
                    | Kind::LastName
                    | Kind::Place
            );
            if read {
                let states = self.states.entry(operation.key().clone()).or_default();
                states.push((at, value));
            }
        }
    }

    /// Whether a record had this content at some moment of a span.
    fn had(&self, key: &Key, found: Option<u64>, from: Time, to: Time) -> bool {
        let states = self.states.get(key).map(Vec::as_slice).unwrap_or_default();
        let absent = (Time::ZERO, None);
        let mut before = std::iter::once(&absent).chain(states).peekable();
        while let Some((since, content)) = before.next() {
            let until = before.peek().map_or(to, |(next, _)| *next);
            if *content == found && until >= from && *since <= to {
                return true;
            }
        }
        false
    }
}

fn content(value: &str) -> u64 {
    let mut hash = Hash64::default();
    hash.bytes(value.as_bytes());
    hash.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, layout, server};
    use crate::schedule::model::Request;
    use crate::trace::seen::NodeId;
    use doyen_core::identity::ContextId;
    use doyen_core::records::transaction::Stored;
    use doyen_core::time::Stamp;

    fn reads(history: &mut History, waited: u64, found: Option<Option<&Stored>>) {
        let what = Request::ReadContext {
            context: "a".into(),
        };
        history.sees(&Seen::Asked {
            node: NodeId(2),
            request: RequestId(7),
            what: &what,
            key: None,
            job: None,
            deadline: Time::from_millis(99_000),
        });
        history.wait(waited).sees(&Seen::Read {
            node: NodeId(2),
            request: RequestId(7),
            key: &layout().context(&ContextId::new("a")),
            found,
        });
    }

    #[test]
    fn a_read_shows_what_was_acknowledged_before_it() {
        let stored = |value: &str| Stored {
            value: value.to_owned(),
            version: Default::default(),
            created: Stamp(1),
            modified: Stamp(1),
            written_by: doyen_core::records::transaction::TransactionId("t".into()),
        };
        let mut history = History::cluster(ReadYourWrites::default(), vec![]);
        reads(&mut history, 1, Some(None));
        history
            .wait(10)
            .creates_context(&server(1, 1), "a")
            .wait(10);
        reads(&mut history, 1, None);
        assert_eq!(history.verdict(), Ok(()));
        reads(&mut history, 1, Some(Some(&stored("other"))));
        assert_eq!(history.fails(), "read_your_writes/old");
        let mut history = History::cluster(ReadYourWrites::default(), vec![]);
        history
            .wait(10)
            .creates_context(&server(1, 1), "a")
            .wait(10);
        reads(&mut history, 1, Some(None));
        assert_eq!(history.fails(), "read_your_writes/old");
    }
}

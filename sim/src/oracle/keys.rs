//! `keys` (of `no_lost_call`): a key of idempotency belongs to one request and gives one answer.
//!
//! | claim | envelope |
//! | --- | --- |
//! | a success, an open and an accepted call keep their key; a refusal and an expiry free it | always |
//! | the same key under the same route names the same object, at any server | always |
//! | another request under a key that is in use gets no object | always |
//!
//! Source: design.md 5; protocol.md C5.

use super::facts::Facts;
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::schedule::model::Request;
use crate::trace::seen::Seen;
use doyen_core::input::RequestId;
use doyen_core::output::Answer;
use doyen_core::records::call::{CallOutcome, CallState, KeyObject};
use doyen_core::time::Time;
use std::collections::BTreeMap;

const NAME: &str = "keys";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keys {
    asked: BTreeMap<RequestId, (String, Request)>,
    /// What a route and key gave: to which request, which object.
    given: BTreeMap<String, (Request, String)>,
}

impl Oracle for Keys {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::CLIENT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Store(_) => {
                for change in &facts.changes {
                    stored(at, change, facts)?;
                }
            }
            Seen::Asked {
                request,
                what,
                key: Some(key),
                ..
            } => {
                let slot = format!("{}/{key}", route(what));
                self.asked.insert(*request, (slot, (*what).clone()));
            }
            Seen::Answered {
                request, answer, ..
            } => {
                if let Some((slot, what)) = self.asked.remove(request)
                    && let Some(object) = answer.and_then(object)
                {
                    self.gives(at, slot, what, object)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Keys {
    fn gives(
        &mut self,
        at: Time,
        slot: String,
        what: Request,
        object: String,
    ) -> Result<(), Violation> {
        let Some((first, known)) = self.given.get(&slot) else {
            self.given.insert(slot, (what, object));
            return Ok(());
        };
        claim!(
            NAME,
            at,
            *first == what,
            "other request",
            "key {slot} belongs to {first:?} and gave {object} to {what:?}"
        );
        claim!(
            NAME,
            at,
            *known == object,
            "other answer",
            "key {slot} gave {known} before and {object} now"
        );
        Ok(())
    }
}

/// What a commit did to keys.
fn stored(at: Time, change: &Change, facts: &Facts) -> Result<(), Violation> {
    match change {
        Change::Settled(id, step) => {
            let Some(call) = step.now() else {
                return Ok(());
            };
            let (Some(digest), CallState::Settled { outcome }) = (&call.key, &call.progress) else {
                return Ok(());
            };
            let key = facts.records.keys.get(digest);
            let kept = key.is_some_and(|key| key.value.object == KeyObject::Call(id.clone()));
            let keeps = matches!(
                outcome,
                CallOutcome::ContextCreated { .. }
                    | CallOutcome::ContextStopped { .. }
                    | CallOutcome::StopInProgress { .. }
            );
            claim!(
                NAME,
                at,
                kept == keeps,
                "kept",
                "call {id} is settled as {outcome:?}, and its key {} (C5)",
                if kept { "stays" } else { "is gone" }
            );
        }
        Change::Call(id, step) => {
            let digest = step.now().and_then(|call| call.key.as_ref());
            let held = |digest: &String| {
                let key = facts.records.keys.get(digest);
                key.is_some_and(|key| key.value.object == KeyObject::Call(id.clone()))
            };
            claim!(
                NAME,
                at,
                digest.is_none_or(held),
                "open",
                "call {id} is open and its key {digest:?} is not its own (C5)"
            );
        }
        Change::Job(id, step) => {
            let live = step.now().filter(|job| !job.state.is_final());
            let digest = live.and_then(|job| job.key.as_ref());
            let held = |digest: &String| {
                let key = facts.records.keys.get(digest);
                key.is_some_and(|key| key.value.object == KeyObject::Job(id.clone()))
            };
            claim!(
                NAME,
                at,
                digest.is_none_or(held),
                "open",
                "job {id} is open and its key {digest:?} is not its own (C5)"
            );
        }
        _ => {}
    }
    Ok(())
}

/// Keys of different routes are different keys.
const fn route(what: &Request) -> &'static str {
    match what {
        Request::CreateContext { .. } => "create",
        Request::DeleteContext { .. } => "delete",
        Request::Submit { .. } => "submit",
        Request::Kill { .. } => "kill",
        Request::ReadJob { .. } | Request::ReadContext { .. } => "read",
    }
}

/// The object that a success, an open or an accepted call names.
fn object(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Call(
            CallOutcome::ContextCreated { context }
            | CallOutcome::ContextStopped { context }
            | CallOutcome::StopInProgress { context },
        ) => Some(format!("context {context}")),
        Answer::JobAccepted(job) | Answer::JobDone(job) => Some(format!("job {}", job.id)),
        Answer::CallInProgress { .. }
        | Answer::Call(_)
        | Answer::Unknown
        | Answer::TooMany { .. }
        | Answer::NotReady { .. }
        | Answer::KeyMismatch
        | Answer::ContextNotFound
        | Answer::JobNotFound
        | Answer::JobRefused(_)
        | Answer::JobWaiting { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, call_record, layout, server};
    use crate::trace::seen::NodeId;
    use doyen_core::identity::{CallId, ContextId};
    use doyen_core::records::encode;

    fn asks(history: &mut History, request: u64, name: &str, context: &str) {
        let what = Request::CreateContext {
            context: name.into(),
        };
        history.sees(&Seen::Asked {
            node: NodeId(1),
            request: RequestId(request),
            what: &what,
            key: Some("k"),
            job: None,
            deadline: Time::from_millis(99_000),
        });
        let answer = Answer::Call(CallOutcome::ContextCreated {
            context: ContextId::new(context),
        });
        history.sees(&Seen::Answered {
            node: NodeId(1),
            request: RequestId(request),
            answer: Some(&answer),
        });
    }

    #[test]
    fn a_key_gives_one_answer_to_one_request() {
        for (name, context, rule) in [
            ("a", "1", None),
            ("a", "2", Some("keys/other answer")),
            ("b", "1", Some("keys/other request")),
        ] {
            let mut history = History::cluster(Keys::default(), vec![]);
            asks(&mut history, 1, "a", "1");
            asks(&mut history, 2, name, context);
            let found = history.verdict().err().map(|one| one.fingerprint);
            assert_eq!(found.as_deref(), rule);
        }
    }

    #[test]
    fn a_refusal_frees_the_key_and_a_success_keeps_it() {
        for (outcome, frees, good) in [
            (CallOutcome::Expired, true, true),
            (CallOutcome::Expired, false, false),
            (
                CallOutcome::StopInProgress {
                    context: ContextId::new("x"),
                },
                true,
                false,
            ),
        ] {
            let mut history = History::cluster(Keys::default(), vec![]);
            let id = CallId::new("c");
            let record = |progress| {
                let mut record = call_record("c", progress);
                record.key = Some("abcd".into());
                encode(&record)
            };
            let key = layout().idempotency("abcd");
            let owned = "{\"request\":\"r\",\"object\":{\"call\":\"c\"}}".to_owned();
            let open = history
                .transaction()
                .create(key.clone(), owned)
                .create(layout().call(&id), record(CallState::Open));
            history.writes(&server(1, 1), &open);
            let settle = history.transaction();
            let settle = if frees {
                settle.delete_any(key)
            } else {
                settle
            }
            .delete_any(layout().call(&id))
            .create(
                layout().settled(&id),
                record(CallState::Settled { outcome }),
            );
            history.writes(&server(1, 1), &settle);
            assert_eq!(history.verdict().is_ok(), good);
        }
    }
}

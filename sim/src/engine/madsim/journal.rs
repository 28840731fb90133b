//! What was seen, owned until it is shown: processes run in tasks, and the sink stands outside.

use crate::schedule::model::Request;
use crate::trace::seen::{Deed, Ended, NodeId, Phase, Seen, Sink, Written};
use doyen_core::identity::{Identity, JobId, Role};
use doyen_core::input::{Input, RequestId};
use doyen_core::output::{Answer, Output};
use doyen_core::process::ClusterView;
use doyen_core::records::key::Key;
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{Stored, Transaction};
use doyen_core::time::{Stamp, Time};

/// [`Seen`], owned.
#[derive(Debug)]
pub(super) enum Noted {
    Phase(Phase),
    Began(NodeId, String, Identity, Role),
    Ended(NodeId, Identity, Ended),
    Paused(NodeId, bool),
    Input(NodeId, Time, Box<Input>),
    Output(NodeId, Box<Output>),
    Lost(NodeId, Box<Output>),
    /// By whom, what, whether it is told, when.
    Store(Identity, Box<Transaction>, bool, Stamp),
    Deed(NodeId, Deed),
    Asked {
        node: NodeId,
        request: RequestId,
        what: Request,
        key: Option<String>,
        job: Option<JobId>,
        deadline: Time,
    },
    Answered(NodeId, RequestId, Option<Box<Answer>>),
    Read(NodeId, RequestId, Key, Option<Option<Stored>>),
    Fault(usize, bool, Vec<NodeId>),
    Views(Vec<(NodeId, ClusterView)>),
    Spins(NodeId),
    Panicked(NodeId, String),
}

/// What was seen and not shown yet.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Vec<(Time, Noted)>,
    /// How many there were.
    pub(super) count: u64,
}

impl Journal {
    pub(super) fn note(&mut self, at: Time, noted: Noted) {
        self.entries.push((at, noted));
        self.count += 1;
    }

    pub(super) fn take(&mut self) -> Vec<(Time, Noted)> {
        std::mem::take(&mut self.entries)
    }
}

/// Shows what was noted. `store` is the store as the sink knows it: every commit is carried out once
/// more, so that each is shown with the store right after it.
pub(super) fn show(entries: &[(Time, Noted)], store: &mut StoreModel, sink: &mut dyn Sink) {
    for (at, noted) in entries {
        if let Noted::Store(by, transaction, told, stamp) = noted {
            let (outcome, changed) = store.commit(transaction, *stamp);
            let written = Written {
                by,
                transaction,
                outcome: &outcome,
                told: *told,
                changed: &changed,
                store,
                stamp: *stamp,
            };
            sink.seen(*at, &Seen::Store(written));
        } else if let Some(seen) = seen(noted) {
            sink.seen(*at, &seen);
        }
    }
}

fn seen(noted: &Noted) -> Option<Seen<'_>> {
    Some(match noted {
        Noted::Phase(phase) => Seen::Phase(*phase),
        Noted::Began(node, name, identity, role) => Seen::Began {
            node: *node,
            name,
            identity,
            role: *role,
        },
        Noted::Ended(node, identity, how) => Seen::Ended {
            node: *node,
            identity,
            how,
        },
        Noted::Paused(node, paused) => Seen::Paused {
            node: *node,
            paused: *paused,
        },
        Noted::Input(node, clock, input) => Seen::Input {
            node: *node,
            clock: *clock,
            input,
        },
        Noted::Output(node, output) => Seen::Output {
            node: *node,
            output,
        },
        Noted::Lost(node, output) => Seen::Lost {
            node: *node,
            output,
        },
        Noted::Store(..) => return None,
        Noted::Deed(node, deed) => Seen::Deed { node: *node, deed },
        Noted::Asked {
            node,
            request,
            what,
            key,
            job,
            deadline,
        } => Seen::Asked {
            node: *node,
            request: *request,
            what,
            key: key.as_deref(),
            job: job.as_ref(),
            deadline: *deadline,
        },
        Noted::Answered(node, request, answer) => Seen::Answered {
            node: *node,
            request: *request,
            answer: answer.as_deref(),
        },
        Noted::Read(node, request, key, found) => Seen::Read {
            node: *node,
            request: *request,
            key,
            found: found.as_ref().map(Option::as_ref),
        },
        Noted::Fault(index, begins, hits) => Seen::Fault {
            index: *index,
            begins: *begins,
            hits,
        },
        Noted::Views(views) => Seen::Views { views },
        Noted::Spins(node) => Seen::Spins { node: *node },
        Noted::Panicked(node, message) => Seen::Panicked {
            node: *node,
            message,
        },
    })
}

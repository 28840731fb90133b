//! The context of its own that a job without a context gets (rest-api.md 5.5, protocol.md C5).
//!
//! With a key, both steps are under it: the context's creation carries a key that is derived from
//! the job's, and is written only while no job has the job's key. So a repeated request finds the
//! context or the job of the first one, whichever server is asked. The derived key is freed with
//! the context (see `supervisor::ending`), the job's as that of every job.

use super::Next;
use super::calls::CallRequest;
use crate::identity::ContextId;
use crate::input::{NewAdhoc, NewCall, NewJob, RequestKey};
use crate::output::Answer;
use crate::records::call::{CallOperation, CallOutcome};
use crate::records::transaction::{CommitOutcome, Snapshot};
use crate::server::shared::Shared;
use crate::time::Time;

/// The creation of a job's own context.
#[derive(Clone, Debug)]
pub(super) struct Creation {
    new: NewCall,
    /// The job's key; while it is taken, no context is made.
    job_key: Option<RequestKey>,
    call: Box<CallRequest>,
}

/// What a creation wants next.
pub(super) enum Made {
    /// The context is there: the one of our call, or of the call that our key belongs to.
    Context(ContextId),
    /// Not yet, or not at all.
    Next(Next),
}

impl Creation {
    pub(super) fn new(job: &NewJob, adhoc: &NewAdhoc, deadline: Time) -> Self {
        let new = NewCall {
            id: adhoc.call.clone(),
            user: job.user.clone(),
            route: "POST /jobs".to_owned(),
            key: job.key.as_ref().map(key_of_context),
            operation: CallOperation::CreateContext {
                name: job.context_name.clone(),
                settings: adhoc.settings.clone(),
                adhoc: true,
            },
            wait: adhoc.wait,
        };
        Self {
            call: Box::new(CallRequest::unless(new.clone(), deadline, job.key.clone())),
            new,
            job_key: job.key.clone(),
        }
    }

    /// Whether another request made this context.
    pub(super) fn is_anothers(&self, context: &ContextId) -> bool {
        self.new.id.as_str() != context.as_str()
    }

    /// The context that was found is no more: begins again, with our call, which was not needed.
    pub(super) fn afresh(&mut self, deadline: Time) {
        *self.call = CallRequest::unless(self.new.clone(), deadline, self.job_key.clone());
    }

    pub(super) fn go_on(&mut self, shared: &mut Shared) -> Made {
        Made::of(self.call.go_on(shared))
    }

    pub(super) fn looked(&mut self, shared: &mut Shared, found: &Snapshot) -> Made {
        Made::of(self.call.looked(shared, found))
    }

    pub(super) fn committed(
        &mut self,
        shared: &mut Shared,
        withdrawn: bool,
        outcome: &CommitOutcome,
    ) -> Made {
        Made::of(self.call.committed(shared, withdrawn, outcome))
    }

    pub(super) fn expired(&mut self, shared: &mut Shared) -> Made {
        Made::of(self.call.expired(shared))
    }
}

impl Made {
    fn of(next: Next) -> Self {
        match next {
            Next::Answer(Answer::Call(CallOutcome::ContextCreated { context })) => {
                Self::Context(context)
            }
            other => Self::Next(other),
        }
    }
}

/// The key of the creation, of the same request: no digest of a request's key has this end.
fn key_of_context(job: &RequestKey) -> RequestKey {
    RequestKey {
        digest: format!("{}-context", job.digest),
        request: job.request.clone(),
    }
}

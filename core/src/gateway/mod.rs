//! The gateway of one server: takes requests, writes them as records, answers from the records
//! (protocol.md C, J1).
//!
//! | a request is | until |
//! |---|---|
//! | looking (jobs: for its context) | the records are read |
//! | creating (jobs: a context of its own) | that runs, see `adhoc` |
//! | writing | its transaction is answered |
//! | waiting | its record is where the route wants it, or its time is over |
//! | expiring (an open call) | the store's clock is past its deadline, or a bound of our own |
//! | withdrawing (an open call past its deadline, a refused job) | its record is gone |

mod adhoc;
mod calls;
mod job_writes;
mod jobs;
mod kills;

pub(crate) use calls::settle;

use crate::identity::{ContextId, Identity};
use crate::input::{Command, RequestId, RequestKey};
use crate::output::{Answer, Output};
use crate::records::call::{KeyObject, KeyRecord};
use crate::records::encode;
use crate::records::key::{Key, Layout};
use crate::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use crate::server::shared::{PendingCall, Purpose, Shared};
use crate::server::work::GatewayWork;
use crate::time::Time;
use calls::CallRequest;
use jobs::JobRequest;
use kills::KillRequest;
use std::collections::BTreeMap;
use std::time::Duration;

/// A lost event costs at most this long: every request looks again by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(25);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// Which drivers are linked, so that a written job can be hinted to its driver.
pub(crate) type DriverLinks = BTreeMap<ContextId, Identity>;

#[derive(Clone, Debug)]
enum Asked {
    Call(Box<CallRequest>),
    Job(Box<JobRequest>),
    Kill(KillRequest),
}

/// What a request wants next.
#[derive(Clone, Debug)]
enum Next {
    /// Look at these records when they change, and now if asked to.
    Watch(Query),
    /// Look at these records at once.
    Look(Query),
    /// Commit this.
    Write(Transaction),
    /// Commit this removal.
    Withdraw(Transaction),
    /// Do it again after a pause.
    Again,
    /// Do it again after this pause.
    AgainAfter(Duration),
    /// It is over.
    Answer(Answer),
}

#[derive(Clone, Debug)]
struct Held {
    asked: Asked,
    deadline: Time,
    /// What it looks at when something changes.
    watches: Query,
    busy: bool,
    dirty: bool,
    look_at: Time,
    pause: Duration,
}

/// The requests that this server holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gateway {
    held: BTreeMap<RequestId, Held>,
}

impl Gateway {
    /// Takes a request of the host, or refuses it at once (C6).
    pub(crate) fn take(&mut self, shared: &mut Shared, command: Command) {
        let (request, asked, wait) = match command {
            Command::Call { request, call } => {
                let hold = shared.times().gateway_hold;
                let wait = if call.wait.is_zero() {
                    hold
                } else {
                    hold.min(call.wait)
                };
                let deadline = shared.now.after(wait);
                (
                    request,
                    Asked::Call(Box::new(CallRequest::new(call, deadline))),
                    wait,
                )
            }
            Command::Submit { request, job } => {
                let job = JobRequest::new(job, shared);
                let wait = job.deadline().since(shared.now);
                (request, Asked::Job(Box::new(job)), wait)
            }
            Command::KillJob { request, job } => (
                request,
                Asked::Kill(KillRequest::new(job)),
                Duration::from_secs(3),
            ),
            Command::Forget { request } => {
                self.held.remove(&request);
                return;
            }
            Command::Leave => return,
        };
        if self.held.len() >= shared.limits().held_max {
            let limit = format!("{} requests held by this server", shared.limits().held_max);
            answer(shared, request, Answer::TooMany { limit });
            return;
        }
        let held = Held {
            asked,
            deadline: shared.now.after(wait),
            watches: Query::default(),
            busy: false,
            dirty: false,
            look_at: shared.now,
            pause: RETRY_FIRST,
        };
        self.held.insert(request, held);
        self.go_on(shared, request);
    }

    /// How many requests are held.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// This server is left out or stops: every request is answered with 503 first (R6).
    pub(crate) fn give_up(&mut self, shared: &mut Shared, reason: &str) {
        for request in std::mem::take(&mut self.held).into_keys() {
            answer(
                shared,
                request,
                Answer::NotReady {
                    reason: reason.to_owned(),
                },
            );
        }
    }

    pub(crate) fn changed(&mut self, shared: &mut Shared, change: &Change) {
        let touched: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| match change {
                Change::Everything => true,
                Change::Record(key) => held.watches.keys.contains(key),
            })
            .map(|(request, _)| *request)
            .collect();
        for request in touched {
            self.look(shared, request);
        }
    }

    pub(crate) fn step(&mut self, shared: &mut Shared) {
        let now = shared.now;
        let due: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| !held.busy && (now >= held.look_at || now >= held.deadline))
            .map(|(request, _)| *request)
            .collect();
        for request in due {
            let over = self
                .held
                .get(&request)
                .is_some_and(|held| now >= held.deadline);
            if over {
                self.expire(shared, request);
            } else {
                self.go_on(shared, request);
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let waiting = self.held.values().filter(|held| !held.busy);
        waiting.map(|held| held.look_at.min(held.deadline)).min()
    }

    pub(crate) fn committed(
        &mut self,
        shared: &mut Shared,
        links: &DriverLinks,
        work: &GatewayWork,
        call: &PendingCall,
        outcome: &CommitOutcome,
    ) {
        let (GatewayWork::Write(request)
        | GatewayWork::Look(request)
        | GatewayWork::Withdraw(request)) = work;
        let withdrawn = matches!(work, GatewayWork::Withdraw(_));
        let Some(mut held) = self.held.remove(request) else {
            return;
        };
        held.busy = false;
        let next = match &mut held.asked {
            Asked::Call(one) => one.committed(shared, withdrawn, outcome),
            Asked::Job(one) => {
                one.committed(shared, links, withdrawn, outcome, call.transaction.as_ref())
            }
            Asked::Kill(one) => one.committed(shared, links, outcome),
        };
        self.carry_out(shared, *request, held, next);
    }

    pub(crate) fn was_read(
        &mut self,
        shared: &mut Shared,
        work: &GatewayWork,
        outcome: &ReadOutcome,
    ) {
        let (GatewayWork::Write(request)
        | GatewayWork::Look(request)
        | GatewayWork::Withdraw(request)) = work;
        let Some(mut held) = self.held.remove(request) else {
            return;
        };
        held.busy = false;
        let next = match outcome {
            ReadOutcome::Failed { .. } => Next::Again,
            ReadOutcome::Snapshot(found) => match &mut held.asked {
                Asked::Call(one) => one.looked(shared, found),
                Asked::Job(one) => one.looked(shared, found),
                Asked::Kill(one) => one.looked(shared, found),
            },
        };
        self.carry_out(shared, *request, held, next);
    }

    fn look(&mut self, shared: &mut Shared, request: RequestId) {
        let Some(held) = self.held.get_mut(&request) else {
            return;
        };
        if held.busy {
            held.dirty = true;
        } else if !held.watches.keys.is_empty() {
            let query = held.watches.clone();
            held.busy = true;
            shared.read(query, Purpose::Gateway(GatewayWork::Look(request)));
        }
    }

    /// Begins, or does again what failed.
    fn go_on(&mut self, shared: &mut Shared, request: RequestId) {
        let Some(mut held) = self.held.remove(&request) else {
            return;
        };
        let next = match &mut held.asked {
            Asked::Call(one) => one.go_on(shared),
            Asked::Job(one) => one.go_on(shared),
            Asked::Kill(one) => one.go_on(shared),
        };
        self.carry_out(shared, request, held, next);
    }

    fn expire(&mut self, shared: &mut Shared, request: RequestId) {
        let Some(mut held) = self.held.remove(&request) else {
            return;
        };
        let next = match &mut held.asked {
            Asked::Call(one) => one.expired(shared),
            Asked::Job(one) => one.expired(shared),
            Asked::Kill(one) => Next::Answer(one.expired()),
        };
        // Whatever is left to do about it must be done soon: one look and one commit.
        let bound = shared.times().store_call.saturating_mul(2);
        held.deadline = shared.now.after(bound);
        self.carry_out(shared, request, held, next);
    }

    fn carry_out(&mut self, shared: &mut Shared, request: RequestId, mut held: Held, next: Next) {
        held.look_at = shared.now.after(LOOK_AGAIN);
        if let Asked::Job(job) = &mut held.asked
            && let Some(deadline) = job.next_deadline(shared.now)
        {
            held.deadline = deadline;
        }
        match next {
            Next::Answer(given) => {
                answer(shared, request, given);
                return;
            }
            Next::Watch(query) => {
                let again = held.dirty || held.watches != query;
                held.dirty = false;
                held.watches = query;
                if again {
                    held.busy = true;
                    let look = Purpose::Gateway(GatewayWork::Look(request));
                    shared.read(held.watches.clone(), look);
                }
            }
            Next::Look(query) => {
                held.watches = query.clone();
                held.busy = true;
                held.dirty = false;
                shared.read(query, Purpose::Gateway(GatewayWork::Look(request)));
            }
            Next::Write(transaction) => {
                held.busy = true;
                shared.commit(transaction, Purpose::Gateway(GatewayWork::Write(request)));
            }
            Next::Withdraw(transaction) => {
                held.busy = true;
                shared.commit(
                    transaction,
                    Purpose::Gateway(GatewayWork::Withdraw(request)),
                );
            }
            Next::AgainAfter(pause) => {
                held.watches = Query::default();
                held.look_at = shared.now.after(pause);
            }
            Next::Again => {
                // What was watched belongs to what failed: the next try asks for its own.
                held.watches = Query::default();
                held.look_at = shared.now.after(held.pause);
                held.pause = held.pause.saturating_mul(2).min(RETRY_MAX);
            }
        }
        self.held.insert(request, held);
    }
}

fn answer(shared: &mut Shared, request: RequestId, answer: Answer) {
    shared.outbox.push(Output::Answer { request, answer });
}

/// Adds the key of a request to the transaction that makes its call or job (C5).
fn create_key(
    transaction: Transaction,
    layout: &Layout,
    key: Option<&RequestKey>,
    object: KeyObject,
) -> Transaction {
    let Some(key) = key else { return transaction };
    let value = KeyRecord {
        request: key.request.clone(),
        object,
        rest: Default::default(),
    };
    transaction.create(layout.idempotency(&key.digest), encode(&value))
}

/// What a record of a key of idempotency tells a request that came with it (C5).
enum KeyAnswer {
    Mismatch,
    Object(KeyObject),
}

fn read_key(record: &KeyRecord, request_digest: &str) -> KeyAnswer {
    if record.request == request_digest {
        KeyAnswer::Object(record.object.clone())
    } else {
        KeyAnswer::Mismatch
    }
}

fn watch(keys: impl IntoIterator<Item = Key>) -> Query {
    Query::keys(keys)
}

//! The loop of the host: wait, handle once, drain, arm the wake.

use super::calls::StoreCalls;
use super::feeders::{ask_store_id, launch, watch_store};
use super::handle::{Dropped, HostHandle};
use super::{Decider, HostParts, MakeProcess, events, fresh_identity};
use crate::beat::BeatThread;
use crate::clock::Clock;
use crate::platform::{JoinSet, consume_budget, sleep};
use crate::transport::{Transport, TransportEvent};
use doyen_core::identity::{Address, Identity};
use doyen_core::input::{Command, EffectReport, Input, RequestId};
use doyen_core::output::{Answer, ClusterEvent, Effect, Output, StopReason};
use doyen_core::process::ClusterView;
use doyen_core::records::transaction::Change;
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Requests that wait for the host; whoever asks more waits. Core bounds those that it holds.
const REQUESTS_MAX: usize = 1_024;
/// Changes and reports that wait for core; the store's watch and the launcher wait beyond it.
const CHANGES_MAX: usize = 1_024;
/// Events that a slow listener may be behind.
const EVENTS_MAX: usize = 1_024;
/// The view is made anew at most so often, unless an event says that something happened.
const VIEW_PAUSE: Duration = Duration::from_millis(20);
/// It is made anew at the latest so long after the last one, if the process was told anything
/// since. At rest another input mostly comes before, and no timer is needed: each costs a wake.
const VIEW_AGE_MAX: Duration = Duration::from_millis(250);
/// After so many other inputs a request is taken, so that a flood of messages starves none.
const TURNS_MAX: u32 = 32;
/// How long queued messages may take to go out at the end.
const CLOSE_GRACE: Duration = Duration::from_millis(200);

/// What comes from the handles.
pub(super) enum Request {
    /// A command whose answer somebody waits for.
    Command {
        id: RequestId,
        command: Box<Command>,
        answer: oneshot::Sender<Answer>,
    },
    /// Look, with everything handled that came before.
    View {
        answer: oneshot::Sender<Arc<ClusterView>>,
    },
}

/// What carries out decisions.
pub(super) struct Mechanism {
    pub(super) clock: Clock,
    pub(super) identity: Identity,
    pub(super) transport: Transport,
    pub(super) beat: BeatThread,
}

/// Where inputs come from.
pub(super) struct Inbox {
    transport: mpsc::Receiver<TransportEvent>,
    changes: mpsc::Receiver<Change>,
    reports: mpsc::Receiver<EffectReport>,
    requests: mpsc::Receiver<Request>,
    store_id: mpsc::Receiver<String>,
    turns: u32,
}

#[expect(
    clippy::large_enum_variant,
    reason = "moved once a turn; a box would cost more"
)]
enum Turn {
    Input(Input),
    Request(Request),
    Dropped,
    StoreId(String),
    RefreshView,
}

/// The owner of a process.
pub(super) struct Task<D> {
    mechanism: Mechanism,
    process: D,
    make: MakeProcess<D>,
    address: Address,
    calls: StoreCalls,
    effects: mpsc::UnboundedSender<Effect>,
    waiting: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    dropped: Arc<Dropped>,
    leave: Arc<tokio::sync::Notify>,
    view: watch::Sender<Arc<ClusterView>>,
    view_made: Time,
    view_due: bool,
    events: broadcast::Sender<ClusterEvent>,
    /// Ends with the task.
    _feeders: JoinSet<()>,
}

impl<D: Decider> Task<D> {
    pub(super) fn new(
        parts: HostParts<D>,
        process: D,
        mechanism: Mechanism,
        transport: mpsc::Receiver<TransportEvent>,
    ) -> (Self, Inbox, HostHandle) {
        let (requests_in, requests) = mpsc::channel(REQUESTS_MAX);
        let (changes_in, changes) = mpsc::channel(CHANGES_MAX);
        let (reports_in, reports) = mpsc::channel(CHANGES_MAX);
        let (store_id_in, store_id) = mpsc::channel(1);
        // No bound of its own: core has at most one effect under way for each intent and job, and
        // those are bounded by its limits. A bound here would let the launcher stop the host.
        let (effects, effects_out) = mpsc::unbounded_channel();
        let mut feeders = JoinSet::new();
        feeders.spawn(watch_store(parts.metadata.clone(), changes_in));
        feeders.spawn(ask_store_id(parts.metadata.clone(), store_id_in));
        feeders.spawn(launch(parts.launcher, effects_out, reports_in));
        let now = mechanism.clock.now();
        let (view, view_out) = watch::channel(Arc::new(process.view(now)));
        let events = broadcast::Sender::new(EVENTS_MAX);
        let handle = HostHandle {
            requests: requests_in,
            numbers: Arc::default(),
            dropped: Arc::default(),
            leave: Arc::default(),
            view: view_out,
            events: events.clone(),
        };
        let task = Self {
            mechanism,
            process,
            make: parts.make,
            address: parts.address,
            calls: StoreCalls::new(parts.metadata, parts.store_call),
            effects,
            waiting: BTreeMap::new(),
            dropped: handle.dropped.clone(),
            leave: handle.leave.clone(),
            view,
            view_made: now,
            view_due: false,
            events,
            _feeders: feeders,
        };
        let inbox = Inbox {
            transport,
            changes,
            reports,
            requests,
            store_id,
            turns: 0,
        };
        (task, inbox, handle)
    }

    /// Runs until the process stops for good.
    pub(super) async fn run(mut self, mut inbox: Inbox) -> StopReason {
        // A process may want things before it is told any.
        let mut stop = self.drain();
        loop {
            // A process that always wants its timer would otherwise let no other task run.
            consume_budget().await;
            if let Some(reason) = stop.take() {
                if reason != StopReason::Reincarnate {
                    return self.finish(reason).await;
                }
                self.reincarnate();
                stop = self.drain();
                continue;
            }
            stop = match self.next(&mut inbox).await {
                Turn::Input(input) => self.tell(input),
                Turn::Request(request) => self.take(request),
                Turn::Dropped => self.forget_dropped(),
                Turn::StoreId(id) => {
                    self.mechanism.transport.store_id(id);
                    None
                }
                Turn::RefreshView => None,
            };
            self.refresh_view();
        }
    }

    /// Waits for the next thing to do, the most urgent first.
    async fn next(&mut self, inbox: &mut Inbox) -> Turn {
        if inbox.turns >= TURNS_MAX {
            inbox.turns = 0;
            if let Ok(request) = inbox.requests.try_recv() {
                return Turn::Request(request);
            }
        }
        inbox.turns += 1;
        loop {
            let now = self.mechanism.clock.now();
            let timeout = self.process.poll_timeout();
            let refresh = self.view_due.then(|| self.view_made.after(VIEW_AGE_MAX));
            tokio::select! {
                biased;
                () = self.leave.notified() => return Turn::Input(Input::Command(Command::Leave)),
                answer = self.calls.next() => return Turn::Input(answer),
                Some(event) = inbox.transport.recv() => {
                    if event.life == self.mechanism.identity.incarnation {
                        return Turn::Input(event.input);
                    }
                }
                Some(change) = inbox.changes.recv() => {
                    return Turn::Input(Input::StoreChanged(change));
                }
                Some(report) = inbox.reports.recv() => {
                    return Turn::Input(Input::EffectReport(report));
                }
                // After what has come already: queued answers are told before an expired deadline
                // is (seed-join.md J39), and core looks at its deadlines at every input anyway.
                () = until(now, timeout) => {
                    // The timer counts another clock and may be early by a hair.
                    if timeout.is_some_and(|t| self.mechanism.clock.now() >= t) {
                        return Turn::Input(Input::Timeout);
                    }
                }
                Some(id) = inbox.store_id.recv() => return Turn::StoreId(id),
                Some(request) = inbox.requests.recv() => {
                    inbox.turns = 0;
                    return Turn::Request(request);
                }
                () = self.dropped.wait() => return Turn::Dropped,
                () = until(now, refresh) => return Turn::RefreshView,
            }
        }
    }

    /// Tells the process one thing and carries out what it wants; why it stops, if it does.
    fn tell(&mut self, input: Input) -> Option<StopReason> {
        self.process.handle(self.mechanism.clock.now(), input);
        self.drain()
    }

    fn take(&mut self, request: Request) -> Option<StopReason> {
        match request {
            // Whoever gave up before the request was taken asked for nothing.
            Request::Command { answer, .. } if answer.is_closed() => None,
            Request::Command {
                id,
                command,
                answer,
            } => {
                self.waiting.insert(id, answer);
                self.tell(Input::Command(*command))
            }
            Request::View { answer } => {
                self.make_view();
                let _ = answer.send(self.view.borrow().clone());
                None
            }
        }
    }

    fn forget_dropped(&mut self) -> Option<StopReason> {
        for request in self.dropped.take() {
            if self.waiting.remove(&request).is_none() {
                continue;
            }
            let stop = self.tell(Input::Command(Command::Forget { request }));
            if stop.is_some() {
                return stop;
            }
        }
        None
    }

    /// Carries out everything that the process wants; why it stops, if it does.
    fn drain(&mut self) -> Option<StopReason> {
        self.view_due = true;
        let mut stop = None;
        while let Some(output) = self.process.poll_output() {
            if let Output::Stop(reason) = output {
                stop = Some(reason);
            } else {
                self.carry_out(output);
            }
        }
        stop
    }

    fn carry_out(&mut self, output: Output) {
        let Mechanism {
            transport, beat, ..
        } = &mut self.mechanism;
        match output {
            Output::Send { to, message } => transport.send(&to, &message),
            Output::Dial { addresses } => transport.dial(addresses),
            Output::Credentials(credentials) => transport.credentials(credentials),
            Output::Beat(plan) => beat.plan(plan),
            Output::Commit {
                ticket,
                transaction,
            } => self.calls.commit(ticket, transaction),
            Output::Read { ticket, query } => self.calls.read(ticket, query),
            Output::Effect(effect) => {
                // The launcher's task lives as long as this one.
                let _ = self.effects.send(effect);
            }
            Output::Answer { request, answer } => {
                if let Some(waiting) = self.waiting.remove(&request) {
                    // A caller that is gone by now is told nothing.
                    let _ = waiting.send(answer);
                }
            }
            Output::Event(event) => {
                events::log(&event);
                self.make_view();
                // Nobody may be listening.
                let _ = self.events.send(event);
            }
            // Taken by `drain`, which ends the life.
            Output::Stop(_) => {}
        }
    }

    fn refresh_view(&mut self) {
        let due = self.view_made.after(VIEW_PAUSE);
        if self.view_due && self.mechanism.clock.now() >= due {
            self.make_view();
        }
    }

    fn make_view(&mut self) {
        let now = self.mechanism.clock.now();
        self.view.send_replace(Arc::new(self.process.view(now)));
        self.view_made = now;
        self.view_due = false;
    }

    /// A fresh incarnation, without exit (F2).
    fn reincarnate(&mut self) {
        self.answer_all("this server begins a new life");
        self.calls.forget();
        self.mechanism.beat.forget();
        // Without random numbers the next number is as good: no other life of this address runs.
        let identity = fresh_identity(&self.address).unwrap_or_else(|error| {
            tracing::error!(%error, "no random numbers for a new incarnation");
            let mut next = self.mechanism.identity.clone();
            next.incarnation.0 = next.incarnation.0.wrapping_add(1);
            next
        });
        tracing::info!(old = %self.mechanism.identity, new = %identity, "new incarnation");
        self.mechanism
            .transport
            .dial(std::collections::BTreeSet::new());
        self.mechanism.transport.identity(identity.clone());
        self.mechanism.identity = identity.clone();
        self.process = (self.make)(identity, self.mechanism.clock.now());
        self.make_view();
    }

    fn answer_all(&mut self, reason: &str) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let _ = waiting.send(Answer::NotReady {
                reason: reason.to_owned(),
            });
        }
    }

    async fn finish(mut self, reason: StopReason) -> StopReason {
        self.answer_all("this process is stopping");
        self.make_view();
        self.mechanism.transport.close(CLOSE_GRACE).await;
        reason
    }
}

/// Waits from `now` until that time; for ever when there is none.
async fn until(now: Time, time: Option<Time>) {
    match time {
        Some(time) if time <= now => {}
        Some(time) => sleep(time.since(now)).await,
        None => std::future::pending().await,
    }
}

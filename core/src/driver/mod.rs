//! One driver: owns a context, runs its jobs in slots (protocol.md E, J).
//!
//! | phase | until | then |
//! | --- | --- | --- |
//! | `Taking` | the context is its own, or it comes too late (E2) | `Owning`, stop |
//! | `Owning` | all is stored; the fence is lost (W1); nobody hears it (E8) | stop, `Fenced` |
//! | `Fenced` | the engine is gone, at most 5 s (E4) | stop |
//!
//! In `Owning` nothing is done by a handler itself: inputs change what is known, and after each
//! of them `Attempt::pump` does whatever is due, so that a lost answer, an event twice and a store
//! that comes back take the same way.

mod admit;
mod attempt;
mod contact;
mod desk;
mod ending;
mod finish;
mod life;
mod reader;
mod reads;
mod report;
mod slots;
mod take;
#[cfg(test)]
mod tests;
mod view;

use crate::config::ValidConfig;
use crate::identity::{Address, ClusterId, ContextId, Identity};
use crate::input::{Command, EffectReport, Input, Ticket};
use crate::outbox::Outbox;
use crate::output::{Answer, Effect, Output, StopReason};
use crate::records::cluster::Secret;
use crate::records::context::{IntentNumber, ProcessId};
use crate::records::job::JobError;
use crate::records::transaction::CommitOutcome;
use crate::time::Time;
use crate::wire::Message;
use attempt::{Attempt, Engine, Fate};
use contact::Contact;
use desk::{Call, Desk};
use ending::Reason;
use std::time::Duration;
use take::{Taken, Taking};

/// How long a driver that lost its fence waits for its engine's end; then it exits, and the keeper
/// ends the engine (E4).
const FENCED_BOUND: Duration = Duration::from_secs(5);

/// What a driver is launched with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverLaunch {
    /// Its identity: host name and port 0, since it listens nowhere.
    pub identity: Identity,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its context.
    pub context: ContextId,
    /// The intent that launched it.
    pub intent: IntentNumber,
    /// Itself, as a process of its host.
    pub process: ProcessId,
    /// Servers to dial until it has read the roster.
    pub servers: Vec<Address>,
}

/// The driver of one context.
#[derive(Clone, Debug)]
pub struct DriverProcess {
    desk: Desk,
    contact: Contact,
    phase: Phase,
    started: Time,
    secret: Option<Secret>,
}

#[derive(Clone, Debug)]
enum Phase {
    Taking(Taking),
    Owning(Box<Attempt>),
    Fenced { what: String, until: Time },
    Stopped,
}

impl DriverProcess {
    /// A starting driver; it holds its lock file already (E2). Its first outputs wait to be polled.
    #[must_use]
    pub fn new(config: ValidConfig, launch: DriverLaunch, now: Time) -> Self {
        let mut driver = Self {
            desk: Desk::new(config, launch, now),
            contact: Contact::default(),
            phase: Phase::Taking(Taking::default()),
            started: now,
            secret: None,
        };
        driver.desk.records.mark();
        driver.pump();
        driver
    }

    /// See [`crate::process::Process::handle`].
    pub fn handle(&mut self, now: Time, input: Input) {
        if matches!(self.phase, Phase::Stopped) {
            return;
        }
        self.desk.now = self.desk.now.max(now);
        match input {
            Input::Message { from, message } => self.message(&from, message),
            Input::Link(event) => {
                let owns = self.owns();
                self.contact.link(event, owns, &mut self.desk);
            }
            Input::Command(command) => self.command(&command),
            Input::Committed { ticket, outcome } => self.committed(ticket, &outcome),
            Input::Read { ticket, outcome } => self.read(ticket, outcome),
            Input::StoreChanged(change) => self.changed(&change),
            Input::EffectReport(report) => self.report(report),
            // Beats are for servers; what a time-out is for is seen below.
            Input::Beat(_) | Input::Timeout => {}
        }
        self.pump();
    }

    /// See [`crate::process::Process::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox().pop()
    }

    /// See [`crate::process::Process::poll_timeout`]. What is due already waits for an answer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let heard = self.contact.confirmed();
        let common = [self.desk.store.retry_at(), self.contact.due()];
        let own: [Option<Time>; 5] = match &self.phase {
            Phase::Stopped => return None,
            Phase::Taking(_) => [Some(self.take_until()), None, None, None, None],
            Phase::Owning(attempt) => attempt.timers(heard, &self.desk),
            Phase::Fenced { until, .. } => [Some(*until), None, None, None, None],
        };
        let all = common.into_iter().chain(own).flatten();
        all.filter(|at| *at > self.desk.now).min()
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.desk.outbox
    }

    fn owns(&self) -> bool {
        matches!(self.phase, Phase::Owning(_))
    }

    fn take_until(&self) -> Time {
        self.started.after(self.desk.config.times().driver_take)
    }

    fn message(&mut self, from: &Identity, message: Message) {
        match message {
            Message::JobHint { context, .. } => {
                if context == self.desk.launch.context {
                    self.desk.listing.mark();
                }
            }
            Message::DriverHeard { sequence, servers } => {
                self.contact.heard(from, sequence, &servers, &self.desk);
            }
            // Between servers.
            Message::Contact { .. }
            | Message::ContactAck { .. }
            | Message::ContactNack { .. }
            | Message::Join { .. }
            | Message::JoinRefused { .. }
            | Message::Gossip { .. }
            | Message::CallHint { .. }
            | Message::DriverBeat { .. }
            | Message::DriverSeen { .. } => {}
        }
    }

    fn command(&mut self, command: &Command) {
        let request = match command {
            Command::Call { request, .. }
            | Command::Submit { request, .. }
            | Command::KillJob { request, .. } => *request,
            Command::Forget { .. } => return,
            Command::Leave => return self.leave(),
        };
        let reason = "a driver takes no requests: ask a server".to_owned();
        self.outbox().push(Output::Answer {
            request,
            answer: Answer::NotReady { reason },
        });
    }

    /// Its host is told to end it, by a signal: the context ends without having been asked to.
    fn leave(&mut self) {
        match &mut self.phase {
            Phase::Taking(_) => self.lose("it was told to end before it took its context".into()),
            Phase::Owning(attempt) => {
                let error = JobError::new("doyen.DriverTerminated", "The driver was told to end");
                attempt.stop(Reason::Terminated(error), &mut self.desk);
            }
            Phase::Fenced { .. } | Phase::Stopped => {}
        }
    }

    fn committed(&mut self, ticket: Ticket, outcome: &CommitOutcome) {
        match outcome {
            CommitOutcome::Committed { stamp } => {
                self.desk.store_answered(Call::Commit, Some(*stamp));
            }
            CommitOutcome::Refused { .. } => self.desk.store_answered(Call::Commit, None),
            CommitOutcome::Unknown | CommitOutcome::NotSent { .. } => {
                self.desk.store_failed(Call::Commit);
            }
        }
        match &mut self.phase {
            Phase::Taking(taking) => {
                let taken = taking.committed(ticket, outcome, &mut self.desk);
                self.taken(taken);
            }
            Phase::Owning(attempt) => {
                let fate = attempt.committed(ticket, outcome, &mut self.desk);
                self.meet(fate);
            }
            Phase::Fenced { .. } | Phase::Stopped => {}
        }
    }

    fn report(&mut self, report: EffectReport) {
        match &mut self.phase {
            Phase::Owning(attempt) => attempt.report(report, &mut self.desk),
            Phase::Fenced { what, .. } => {
                if matches!(report, EffectReport::EngineEnded { .. }) {
                    let what = what.clone();
                    self.stop(StopReason::DriverFenced { what });
                }
            }
            Phase::Taking(_) | Phase::Stopped => {}
        }
    }

    fn taken(&mut self, taken: Taken) {
        match taken {
            Taken::NotYet => {}
            Taken::Lost(why) => self.lose(why),
            Taken::Mine(fence, life) => {
                let attempt = Attempt::begin(fence, *life, &mut self.desk);
                self.phase = Phase::Owning(Box::new(attempt));
            }
        }
    }

    fn meet(&mut self, fate: Option<Fate>) {
        match fate {
            None => {}
            Some(Fate::Done) => self.stop(StopReason::DriverDone),
            Some(Fate::Lost(why)) => self.lose(why),
        }
    }

    /// The context is not this driver's: its engine ends, nothing is written any more (W1).
    fn lose(&mut self, what: String) {
        let engine = match &self.phase {
            Phase::Owning(attempt) => attempt.engine,
            Phase::Taking(_) | Phase::Fenced { .. } | Phase::Stopped => {
                return self.stop(StopReason::DriverFenced { what });
            }
        };
        match engine {
            Engine::Ended { .. } => return self.stop(StopReason::DriverFenced { what }),
            Engine::Starting | Engine::Ready { .. } => {
                self.outbox().push(Output::Effect(Effect::StopEngine));
            }
            Engine::Stopping { .. } => {}
        }
        let until = self.desk.now.after(FENCED_BOUND);
        self.phase = Phase::Fenced { what, until };
    }

    fn stop(&mut self, reason: StopReason) {
        self.outbox().push(Output::Stop(reason));
        self.phase = Phase::Stopped;
    }

    /// Does whatever is due.
    fn pump(&mut self) {
        self.desk.store.tick(self.desk.now);
        match &mut self.phase {
            Phase::Stopped => return,
            Phase::Taking(_) => {
                if self.desk.now >= self.take_until() {
                    let bound = self.desk.config.times().driver_take.as_secs();
                    let context = &self.desk.launch.context;
                    return self.lose(format!("context {context} was not taken within {bound} s"));
                }
            }
            Phase::Owning(attempt) => {
                let fate = attempt.pump(self.contact.confirmed(), &mut self.desk);
                self.meet(fate);
            }
            Phase::Fenced { what, until } => {
                if self.desk.now >= *until {
                    let what = what.clone();
                    return self.stop(StopReason::DriverFenced { what });
                }
            }
        }
        if matches!(self.phase, Phase::Stopped) {
            return;
        }
        let owns = self.owns();
        self.contact.pump(owns, &mut self.desk);
        self.send_reads();
    }
}

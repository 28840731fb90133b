//! The attempt of a driver that owns its context: engine, jobs and life, under one fence
//! (protocol.md W1, E2, E8).

use super::desk::{Desk, look};
use super::ending::{Reason, stops_on_job_error};
use super::life::{Life, Written};
use super::slots::Jobs;
use super::take::{Standing, is_stopping, standing};
use crate::input::Ticket;
use crate::output::{Effect, Output};
use crate::planted::planted;
use crate::records::context::{ContextRecord, DriverPhase, LifeRecord};
use crate::records::job::JobError;
use crate::records::transaction::{CommitOutcome, Query, Snapshot, Version};
use crate::time::Time;
use std::time::Duration;

/// How often everything is read again, in case that an event was lost (B1).
const RELIST: Duration = Duration::from_secs(10);
/// How long the engine may take to end; then the driver exits, and the keeper ends the engine (E4).
const STOP_BOUND: Duration = Duration::from_secs(60);

/// The engine as the driver knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// Told to start.
    Starting,
    /// Takes jobs.
    Ready {
        /// Since when.
        at: Time,
    },
    /// Told to end.
    Stopping {
        /// Since when.
        since: Time,
    },
    /// Gone.
    Ended {
        /// The listing that shows every job that was submitted before.
        listing: u64,
    },
}

impl Engine {
    pub(super) const fn is_ready(self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// Whether it is there and was not told to end.
    const fn is_up(self) -> bool {
        matches!(self, Self::Starting | Self::Ready { .. })
    }
}

/// How an attempt is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The fence is lost, or nobody hears the driver.
    Lost(String),
    /// Everything is stored.
    Done,
}

/// The attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) jobs: Jobs,
    pub(super) engine: Engine,
    pub(super) reason: Option<Reason>,
    pub(super) stop_on_error: bool,
    pub(super) life: Life,
    fence: Version,
    /// The first read that was sent after the context was taken.
    reads_from: u64,
    relist_at: Time,
    idle_asked: bool,
}

impl Attempt {
    /// The context is taken: start its engine, unless it is to stop already.
    pub(super) fn begin(fence: Version, life: Life, desk: &mut Desk) -> Self {
        let context = desk.context.clone();
        let settings = context.as_ref().map_or("{}", |one| one.settings.as_str());
        let stop_on_error = stops_on_job_error(settings).unwrap_or_else(|error| {
            let id = desk.launch.context.clone();
            desk.warn(format!(
                "settings of context {id} are no JSON object: {error}"
            ));
            false
        });
        let mut attempt = Self {
            jobs: Jobs::default(),
            engine: Engine::Starting,
            reason: None,
            stop_on_error,
            life,
            fence,
            reads_from: desk.records.mark(),
            relist_at: desk.now.after(RELIST),
            idle_asked: false,
        };
        let listing = desk.listing.mark();
        match context {
            Some(context) if !is_stopping(&context) => {
                let context = Box::new(context);
                desk.outbox
                    .push(Output::Effect(Effect::StartEngine { context }));
            }
            Some(_) | None => {
                attempt.engine = Engine::Ended { listing };
                attempt.reason = Some(Reason::Asked);
            }
        }
        attempt
    }

    /// Takes a read of context, owner and life.
    pub(super) fn observe(&mut self, found: &Snapshot, read: u64, desk: &mut Desk) -> Option<Fate> {
        if read < self.reads_from {
            return None;
        }
        let fate = self
            .fence(found, desk)
            .or_else(|| context_over(found, desk));
        if fate.is_some() {
            return self.soften(fate);
        }
        let key = desk.keys.life.clone();
        match look::<LifeRecord>(found, &key, "a sign of life") {
            Ok(Some(life)) => fate_of(self.life.observe(life, read, desk)),
            Ok(None) => Some(Fate::Lost(format!("`{key}` is gone"))),
            Err(error) => {
                desk.warn_of(&key, error.to_string());
                None
            }
        }
    }

    /// Takes a listing of the jobs.
    pub(super) fn list(&mut self, found: &Snapshot, read: u64, desk: &mut Desk) -> Option<Fate> {
        let fate = self.fence(found, desk);
        if fate.is_none() {
            self.jobs.observe(found, read, desk);
        }
        self.soften(fate)
    }

    /// The holder ends an attempt once it read that it is over: what was to be said was said.
    fn soften(&self, fate: Option<Fate>) -> Option<Fate> {
        fate.map(|fate| {
            if self.life.says_ended() {
                Fate::Done
            } else {
                fate
            }
        })
    }

    /// A fence that a read shows lost is lost: every read is a barrier (W1, B2).
    fn fence(&mut self, found: &Snapshot, desk: &mut Desk) -> Option<Fate> {
        match standing(&desk.launch, &desk.keys.owner, found) {
            Ok(Standing::Mine(version)) => {
                self.fence = version;
                None
            }
            Ok(Standing::Free(_) | Standing::Lost(_)) if planted!(DriverIgnoresFence) => None,
            Ok(Standing::Free(_)) => {
                let context = &desk.launch.context;
                Some(Fate::Lost(format!(
                    "the attempt of context {context} was ended"
                )))
            }
            Ok(Standing::Lost(why)) => Some(Fate::Lost(why)),
            Err(error) => {
                let key = desk.keys.owner.clone();
                desk.warn_of(&key, error.to_string());
                None
            }
        }
    }

    /// Takes the answer to a commit.
    pub(super) fn committed(
        &mut self,
        ticket: Ticket,
        outcome: &CommitOutcome,
        desk: &mut Desk,
    ) -> Option<Fate> {
        if self.jobs.committed(ticket, outcome, desk) {
            return None;
        }
        let written = self.life.committed(ticket, outcome, desk)?;
        fate_of(written)
    }

    /// Ends the context for this reason, unless it is ending already.
    pub(super) fn stop(&mut self, reason: Reason, desk: &mut Desk) {
        if self.reason.is_some() {
            return;
        }
        self.reason = Some(reason);
        if self.engine.is_up() {
            self.engine = Engine::Stopping { since: desk.now };
            desk.outbox.push(Output::Effect(Effect::StopEngine));
        }
    }

    /// The engine is gone.
    pub(super) fn engine_ended(&mut self, error: Option<JobError>, desk: &mut Desk) {
        if matches!(self.engine, Engine::Ended { .. }) {
            return;
        }
        let silent = || JobError::new("doyen.EngineEnded", "The engine ended without being asked");
        let reason = self
            .reason
            .get_or_insert_with(|| Reason::EngineDied(error.unwrap_or_else(silent)));
        let listing = desk.listing.mark();
        self.engine = Engine::Ended { listing };
        self.jobs.end_all(reason, desk);
    }

    /// Decides and writes; tells when the attempt is over.
    pub(super) fn pump(&mut self, heard: Option<Time>, desk: &mut Desk) -> Option<Fate> {
        if desk.now >= self.alone_at(heard, desk) {
            let last = desk.now.since(self.last_sign(heard)).as_secs();
            return Some(Fate::Lost(format!(
                "neither the store nor a server has confirmed this driver for {last} s"
            )));
        }
        if desk.now >= self.relist_at {
            self.relist_at = desk.now.after(RELIST);
            desk.records.mark();
            desk.listing.mark();
        }
        self.look_for_reasons(desk);
        self.jobs.decide(self.engine, self.reason.as_ref(), desk);
        self.conclude(desk);
        self.life.pump(self.fence, desk);
        self.jobs.write(self.fence, desk);
        None
    }

    fn look_for_reasons(&mut self, desk: &mut Desk) {
        let Some(context) = &desk.context else { return };
        let adhoc = context.adhoc;
        if is_stopping(context) {
            self.stop(Reason::Asked, desk);
        } else if adhoc && self.jobs.settled {
            self.stop(Reason::AdhocDone, desk);
        } else if let Some(at) = self.idle_at(desk)
            && desk.now >= at
        {
            let listed = desk.listing.answered().is_some_and(|one| one.sent >= at);
            if listed {
                self.stop(Reason::AdhocDone, desk);
            } else if !std::mem::replace(&mut self.idle_asked, true) {
                desk.listing.mark();
            }
        }
        if let Engine::Stopping { since } = self.engine
            && desk.now >= since.after(STOP_BOUND)
        {
            let bound = STOP_BOUND.as_secs();
            desk.warn(format!(
                "the engine did not end within {bound} s of being told to: the keeper will end it"
            ));
            self.engine_ended(None, desk);
        }
    }

    /// When an ad-hoc context that got no job is over.
    fn idle_at(&self, desk: &Desk) -> Option<Time> {
        let adhoc = desk.context.as_ref().is_some_and(|one| one.adhoc);
        match self.engine {
            Engine::Ready { at } if adhoc && !self.jobs.seen => {
                Some(at.after(desk.config.times().adhoc_idle))
            }
            Engine::Ready { .. }
            | Engine::Starting
            | Engine::Stopping { .. }
            | Engine::Ended { .. } => None,
        }
    }

    /// Says that the context is over, once every job of it is.
    fn conclude(&mut self, desk: &Desk) {
        if let (Engine::Ended { listing }, Some(reason)) = (self.engine, &self.reason) {
            let listed = desk
                .listing
                .answered()
                .is_some_and(|one| one.number >= listing);
            if listed && self.jobs.table.is_empty() && !self.life.says_ended() {
                self.life.say(reason.phase());
            }
        }
    }

    /// The engine is ready for jobs.
    pub(super) fn engine_ready(
        &mut self,
        application_id: Option<String>,
        url: Option<String>,
        desk: &Desk,
    ) {
        if self.engine == Engine::Starting {
            self.engine = Engine::Ready { at: desk.now };
            self.life.say(DriverPhase::Ready {
                application_id,
                url,
            });
        }
    }

    /// When it last gave a sign that was confirmed, by the time of its sending (E8).
    fn last_sign(&self, heard: Option<Time>) -> Time {
        self.life.stamped().max(heard.unwrap_or_default())
    }

    fn alone_at(&self, heard: Option<Time>, desk: &Desk) -> Time {
        let bound = desk.config.times().driver_lost_after;
        self.last_sign(heard).after(bound.saturating_mul(4) / 5)
    }

    /// What a listing asks: the jobs, the fence, and the ends that are in doubt.
    pub(super) fn listing(&mut self, desk: &Desk) -> Query {
        let layout = &desk.layout;
        self.jobs.asked = self.jobs.in_doubt();
        let done = self.jobs.asked.iter().map(|id| layout.done(id));
        Query::keys(done.chain([desk.keys.owner.clone()])).with_folder(desk.keys.jobs.clone())
    }

    /// The times at which something is to be done.
    pub(super) fn timers(&self, heard: Option<Time>, desk: &Desk) -> [Option<Time>; 5] {
        let stop = match self.engine {
            Engine::Stopping { since } => Some(since.after(STOP_BOUND)),
            Engine::Starting | Engine::Ready { .. } | Engine::Ended { .. } => None,
        };
        [
            Some(self.alone_at(heard, desk)),
            Some(self.relist_at),
            self.life.due(),
            self.idle_at(desk),
            stop,
        ]
    }
}

fn fate_of(written: Written) -> Option<Fate> {
    (written == Written::Ended).then_some(Fate::Done)
}

/// A context that is final or gone has no attempt any more.
fn context_over(found: &Snapshot, desk: &mut Desk) -> Option<Fate> {
    let key = desk.keys.context.clone();
    match look::<ContextRecord>(found, &key, "a context") {
        Ok(Some(context)) if context.value.state.is_final() => {
            let state = context.value.state.name();
            Some(Fate::Lost(format!("`{key}` is {state}")))
        }
        Ok(Some(_)) => None,
        Ok(None) => Some(Fate::Lost(format!("`{key}` is gone"))),
        Err(error) => {
            desk.warn_of(&key, error.to_string());
            None
        }
    }
}

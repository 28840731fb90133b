//! `prompt` (of `converges` and `no_lost_call`): while nothing goes wrong, work is done at once: no
//! call stays open, no job waits for a slot that is free, the holder's `pulse` beats, challenges
//! are answered, the store is asked.
//!
//! Envelope: calm for [`CALM`], membership settled. Source: protocol.md C1, C2, J1, J2, S1, S5, S7.

use super::facts::Facts;
use super::report::claim;
use super::{Oracle, Violation, kinds, legitimacy};
use crate::trace::seen::Seen;
use doyen_core::identity::Role;
use doyen_core::records::call::CallState;
use doyen_core::records::context::ContextState;
use doyen_core::records::job::{JobRecord, JobState};
use doyen_core::time::Time;
use std::time::Duration;

const NAME: &str = "prompt";
/// What is decided at once is decided within so long: a lost hint costs a pulse, a lost event the
/// gateway's look.
const SOON: Duration = Duration::from_secs(8);
/// A driver lists its jobs at least every ten seconds.
const JOB_SOON: Duration = Duration::from_secs(15);
/// The same, and the rungs of a kill.
const KILL_SOON: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Prompt;

impl Oracle for Prompt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        let Seen::Views { views } = seen else {
            return Ok(());
        };
        let Some(calm) = facts.envelope.calm_since().filter(|_| !facts.mixed) else {
            return Ok(());
        };
        let settled = calm.after(legitimacy::membership_bound(facts));
        if at < settled || facts.records.cluster.is_none() {
            return Ok(());
        }
        // Whatever is older than the calm began to be worked on with it.
        let age = |since: Time| at.since(since.max(settled));
        let serves = facts.records.singleton.as_ref().is_some_and(|office| {
            let life = facts.life(office.value.holder.incarnation);
            life.is_some_and(|life| life.lives() && age(office.at) >= SOON)
        });
        // How soon a dead holder is followed is for `failover` to say.
        if serves {
            office(at, facts, age)?;
            work(at, facts, age)?;
        }
        for (_, view) in *views {
            let live = facts
                .life(view.identity.incarnation)
                .filter(|life| life.lives() && life.role == Role::Server);
            let old = live.is_none_or(|life| age(life.began) < SOON);
            claim!(
                NAME,
                at,
                old || view.store_age_ms.is_none_or(|age| age < 5_000),
                "store",
                "{} has had nothing of the store for {:?} ms",
                facts.name(&view.identity),
                view.store_age_ms
            );
        }
        Ok(())
    }
}

fn office(at: Time, facts: &Facts, age: impl Fn(Time) -> Duration) -> Result<(), Violation> {
    let records = &facts.records;
    let holder = records.singleton.as_ref().and_then(|one| {
        let life = facts.life(one.value.holder.incarnation)?;
        (life.lives() && age(one.at) >= SOON).then_some(life)
    });
    let Some(holder) = holder else {
        return Ok(());
    };
    let slow = facts.times.pulse.saturating_mul(2).saturating_add(SOON);
    let pulse = records.pulse.as_ref().map(|one| one.at);
    claim!(
        NAME,
        at,
        pulse.is_none_or(|pulse| age(pulse) <= slow),
        "pulse",
        "{} holds the office and has not raised `pulse` for {:?}",
        holder.name,
        pulse.map(|pulse| at.since(pulse))
    );
    let challenge = records.challenge.as_ref().filter(|one| {
        let epoch = records.singleton.as_ref().map(|one| one.value.epoch);
        one.value.challenger.is_some() && Some(one.value.epoch) == epoch
    });
    let answered = |one: Time| pulse.is_some_and(|pulse| pulse >= one);
    claim!(
        NAME,
        at,
        challenge.is_none_or(|one| answered(one.at) || age(one.at) <= SOON),
        "challenge",
        "{} holds the office and has not answered a challenge",
        holder.name
    );
    Ok(())
}

fn work(at: Time, facts: &Facts, age: impl Fn(Time) -> Duration) -> Result<(), Violation> {
    let records = &facts.records;
    let open = records
        .calls
        .iter()
        .find(|(_, call)| call.value.progress == CallState::Open && age(call.since) > SOON);
    claim!(
        NAME,
        at,
        open.is_none(),
        "open call",
        "call {:?} has been open for {:?}",
        open.map(|(id, _)| id),
        open.map(|(_, call)| at.since(call.since))
    );
    for (id, job) in &records.jobs {
        let waits = job.value.state == JobState::Submitted && age(job.since) > JOB_SOON;
        claim!(
            NAME,
            at,
            !(waits && could_run(&job.value, facts, &age)),
            "waiting job",
            "job {id} has waited for {:?}, and its driver could run or refuse it",
            at.since(job.since)
        );
    }
    for (id, job) in &records.jobs {
        let lives = records.owners.get(&job.value.context).is_some_and(|owner| {
            let driver = owner
                .value
                .owner
                .as_ref()
                .and_then(|one| facts.life(one.driver));
            driver.is_some_and(|life| life.lives())
        });
        let waits = job.value.kill && !job.value.state.is_final() && age(job.at) > KILL_SOON;
        claim!(
            NAME,
            at,
            !(waits && lives),
            "kill",
            "job {id} is to be killed for {:?}, and its driver lives",
            at.since(job.at)
        );
    }
    for (id, context) in &records.contexts {
        let owner = records.owners.get(id);
        let ending = context.value.ending;
        let stays = ending.is_some() && age(context.at) > SOON;
        claim!(
            NAME,
            at,
            !stays,
            "ending context",
            "context {id} has been ending as {ending:?} for {:?}, its owner is {:?}",
            at.since(context.at),
            owner.map(|one| &one.value.owner)
        );
    }
    Ok(())
}

/// Whether a driver that lives owns the job's context, and has had it for a while.
fn could_run(job: &JobRecord, facts: &Facts, age: &impl Fn(Time) -> Duration) -> bool {
    let records = &facts.records;
    let context = records.contexts.get(&job.context);
    let owner = records.owners.get(&job.context);
    let driver = owner.and_then(|one| one.value.owner.as_ref());
    let lives = driver
        .and_then(|one| facts.life(one.driver))
        .is_some_and(|life| life.lives());
    let runs = context
        .is_some_and(|one| one.value.state == ContextState::Running && age(one.at) > JOB_SOON);
    lives && runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};

    fn cluster() -> History {
        let mut history = History::cluster(Prompt, vec![]);
        history.wait(120_000);
        history
    }

    fn raises(history: &mut History) {
        let version = history.facts.records.singleton.as_ref().unwrap().version;
        let layout = crate::oracle::history::layout();
        let count = history.facts.records.pulse.as_ref().unwrap().value.count + 1;
        let raise = history
            .transaction()
            .check(layout.singleton(), version)
            .put_any(layout.pulse(), crate::oracle::history::pulse(1, count));
        history.writes(&server(1, 1), &raise);
    }

    #[test]
    fn a_call_is_decided_soon() {
        for (millis, good) in [(5_000, true), (9_000, false)] {
            let mut history = cluster();
            history.creates_call(&server(2, 1), "c");
            raises(&mut history);
            history.wait(millis).looks();
            let found = history.verdict().err().map(|one| one.fingerprint);
            assert_eq!(found.is_none(), good, "{millis} ms: {found:?}");
        }
    }

    #[test]
    fn the_pulse_beats() {
        let mut history = cluster();
        history.looks();
        assert_eq!(history.fails(), "prompt/pulse");
        let mut history = cluster();
        raises(&mut history);
        history.wait(5_000).looks();
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn a_challenge_is_answered() {
        let mut history = cluster();
        raises(&mut history);
        history
            .wait(1_000)
            .challenges(&server(2, 1))
            .wait(9_000)
            .looks();
        assert_eq!(history.fails(), "prompt/challenge");
    }

    #[test]
    fn before_the_servers_could_settle_nothing_is_claimed() {
        let mut history = History::cluster(Prompt, vec![]);
        history
            .creates_call(&server(2, 1), "c")
            .wait(20_000)
            .looks();
        assert_eq!(history.verdict(), Ok(()));
    }
}

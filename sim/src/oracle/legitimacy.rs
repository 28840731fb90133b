//! Was it right to be stuck? A run that has not come to rest is a violation only if nothing excuses
//! it: some server lives, everything is healed, and it had the time that the rules may take.

use super::facts::Facts;
use crate::trace::seen::Phase;
use doyen_core::records::context::ContextState;
use doyen_core::records::job::JobState;
use doyen_core::time::Time;
use std::time::Duration;

/// The steps of a run: store calls, beats, drivers' starts and stops.
const ROOM: Duration = Duration::from_secs(10);

/// The verdict about a run that has not come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It may be, for this reason.
    Rightly(String),
    /// It may not.
    Wrongly,
}

/// Whether a run that has not come to rest may be stuck.
#[must_use]
pub fn judge(at: Time, facts: &Facts) -> Stuck {
    if let Some(why) = excuse(facts) {
        return Stuck::Rightly(why);
    }
    let Some(calm) = facts.envelope.healed_since() else {
        return Stuck::Rightly("something still goes wrong".to_owned());
    };
    let (had, needs) = (at.since(calm.max(facts.asked)), records_bound(facts));
    if had < needs {
        return Stuck::Rightly(format!("it had {had:?} of calm, and may need {needs:?}"));
    }
    Stuck::Wrongly
}

/// A reason for which nobody can go on, however long they try.
#[must_use]
pub fn excuse(facts: &Facts) -> Option<String> {
    if !matches!(facts.phase.0, Phase::Converge | Phase::Final) {
        return Some("the faults are not healed".to_owned());
    }
    if facts.servers().next().is_none() {
        return Some("no server lives".to_owned());
    }
    let is_seed = |name: &String| {
        facts
            .seeds
            .get(name)
            .is_none_or(|seeds| seeds.contains(name))
    };
    if facts.records.cluster.is_none() && !facts.servers().any(|life| is_seed(&life.name)) {
        return Some("there is no cluster, and no server that lives is a seed".to_owned());
    }
    let running = facts.records.jobs.values().find(|job| {
        let owner = facts.records.owners.get(&job.value.context);
        let driver = owner.and_then(|one| one.value.owner.as_ref());
        let lives = driver
            .and_then(|one| facts.life(one.driver))
            .is_some_and(|one| one.lives());
        job.value.state == JobState::Running && lives && !job.value.kill
    });
    running.map(|job| format!("job {} still runs", job.value.id))
}

/// Whether there is no cluster and never will be: no server of the schedule is a seed (F3). That is
/// how such a run comes to rest.
#[must_use]
pub fn is_never_founded(facts: &Facts) -> bool {
    let mut seeds = facts.seeds.iter();
    facts.records.cluster.is_none() && seeds.all(|(name, seeds)| !seeds.contains(name))
}

/// How long the servers may take, in calm, until they are one cluster with one holder.
///
/// The longest of three ways there: a split is decided and who was left out joins again; all are
/// new, and the cluster is founded, or founded again, by the first seed that lives. Two tries of a
/// join, and room.
#[must_use]
pub fn membership_bound(facts: &Facts) -> Duration {
    let times = &facts.times;
    let split = times
        .detection
        .saturating_add(times.stable_after)
        .saturating_add(times.witness_delay);
    let turn = |name: &String| {
        let seeds = facts.seeds.get(name)?;
        Some(
            seeds
                .iter()
                .position(|seed| seed == name)
                .unwrap_or(seeds.len()),
        )
    };
    let turn = facts.servers().filter_map(|life| turn(&life.name)).min();
    let turn = u32::try_from(turn.unwrap_or_default()).unwrap_or(u32::MAX);
    let found = times
        .refound_after
        .max(times.seed_node_timeout)
        .saturating_add(times.seed_takeover.saturating_mul(turn));
    split
        .max(found)
        .saturating_add(times.join_retry.saturating_mul(2))
        .saturating_add(ROOM)
}

/// How long everything may take, in calm, until no call or intent is open and whatever is not final
/// has a living owner.
#[must_use]
pub fn records_bound(facts: &Facts) -> Duration {
    let times = &facts.times;
    let moving = |state| matches!(state, ContextState::Started | ContextState::Stopping);
    let contexts = &facts.records.contexts;
    let starts = contexts.values().any(|one| {
        moving(one.value.state) || one.value.intent.is_some() || one.value.ending.is_some()
    });
    let mut bound = membership_bound(facts).saturating_add(ROOM);
    if starts || !facts.records.calls.is_empty() {
        bound = bound
            .saturating_add(times.driver_take)
            .saturating_add(times.context_stop.saturating_mul(2));
    }
    if unproved(facts) {
        bound = bound.saturating_add(times.driver_lost_after);
    }
    bound
}

/// Whether some attempt is over that the holder cannot prove dead, since it ran on another host; or
/// was ended just now, perhaps by time: nobody owns it any more, so its host is not known (E6, E8).
fn unproved(facts: &Facts) -> bool {
    let contexts = &facts.records.contexts;
    if contexts.values().any(|one| one.value.ending.is_some()) {
        return true;
    }
    let holder = facts
        .holder()
        .map(|one| facts.name(one))
        .unwrap_or_default();
    facts.records.owners.values().any(|owner| {
        let Some(owner) = owner.value.owner.as_ref() else {
            return false;
        };
        let dead = facts.life(owner.driver).is_none_or(|life| !life.lives());
        dead && !owner.process.host.ends_with(&holder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, context_record, layout, owner, server};
    use crate::oracle::no_panic::NoPanic;
    use doyen_core::identity::ContextId;
    use doyen_core::records::encode;

    #[test]
    fn who_has_no_server_or_no_time_is_rightly_stuck() {
        let mut history = History::cluster(NoPanic, vec![]);
        let stuck = |history: &History| judge(history.now(), &history.facts);
        let rightly = |stuck: Stuck| matches!(stuck, Stuck::Rightly(_));
        assert!(rightly(stuck(&history)), "not healed");
        history.phase(Phase::Converge);
        assert!(rightly(stuck(&history)), "no time");
        history.wait(200_000);
        assert_eq!(stuck(&history), Stuck::Wrongly);
        for number in 1..=3 {
            history.dies(&server(number, 1));
        }
        history.wait(200_000);
        assert!(rightly(stuck(&history)), "nobody lives");
    }

    #[test]
    fn without_a_record_and_without_a_seed_nobody_founds() {
        let mut history = History::new(NoPanic, vec![]);
        history.facts.seeds.insert("s3".into(), vec!["s1".into()]);
        history.begins(3, 1).phase(Phase::Converge).wait(300_000);
        assert!(matches!(
            judge(history.now(), &history.facts),
            Stuck::Rightly(_)
        ));
        history.begins(1, 1).wait(300_000);
        assert_eq!(judge(history.now(), &history.facts), Stuck::Wrongly);
    }

    #[test]
    fn the_first_seed_that_lives_has_its_turn() {
        let mut history = History::new(NoPanic, vec![]);
        history.begins(1, 1);
        let first = membership_bound(&history.facts);
        let mut history = History::new(NoPanic, vec![]);
        history.begins(3, 1);
        assert!(membership_bound(&history.facts) > first);
    }

    #[test]
    fn an_attempt_that_time_has_ended_had_the_time_of_a_lost_driver() {
        let mut history = History::cluster(NoPanic, vec![]);
        history.creates_context(&server(1, 1), "c");
        let starting = records_bound(&history.facts);
        let (id, layout) = (ContextId::new("c"), layout());
        let mut record = context_record("c", ContextState::Running, None);
        record.ending = Some(ContextState::Killed);
        let records = &history.facts.records;
        let versions = (records.owners[&id].version, records.contexts[&id].version);
        let transaction = history
            .fenced()
            .put(layout.owner(&id), owner(2, None), versions.0)
            .put(layout.context(&id), encode(&record), versions.1);
        history.writes(&server(1, 1), &transaction);
        let lost = history.facts.times.driver_lost_after;
        assert_eq!(records_bound(&history.facts), starting + lost);
    }
}

//! `failover` (of `someone_survives` and `no_lost_call`): when the holder dies, the office moves
//! soon, and is served soon.
//!
//! Envelope: since the death nothing else goes wrong, and before it was calm for as long as the
//! others may take to see each other; a listed server lives. The bound is that of silence, the
//! slowest way: `claim-after`, the challenge, a step for each candidate, four store calls. Source:
//! protocol.md S4, S5, S8, S9; design.md 1.

use super::envelope;
use super::facts::Facts;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::Incarnation;
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::singleton::Epoch;
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "failover";
/// The look of this oracle once a second, and timers.
const ROOM: Duration = Duration::from_millis(2_500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Failover {
    /// Since when the holder that the store names does not serve.
    vacant: Option<(Incarnation, Time)>,
    ready: BTreeMap<Incarnation, Epoch>,
}

impl Oracle for Failover {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::VIEWS | kinds::EVENT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Output {
                node,
                output: Output::Event(ClusterEvent::OfficeReady { epoch }),
            } => {
                if let Some(life) = facts.at_node(*node) {
                    self.ready.insert(life.identity.incarnation, *epoch);
                }
                Ok(())
            }
            Seen::Views { .. } => self.look(at, facts),
            _ => Ok(()),
        }
    }
}

impl Failover {
    fn look(&mut self, at: Time, facts: &Facts) -> Result<(), Violation> {
        let Some(office) = facts.records.singleton.as_ref() else {
            return Ok(());
        };
        let holder = office.value.holder.incarnation;
        let Some(life) = facts.life(holder) else {
            return Ok(());
        };
        let Some(died) = life.ended else {
            self.vacant = None;
            let ready = self.ready.get(&holder) == Some(&office.value.epoch);
            let span = bound(facts);
            let sound = facts.sound(life.node, span) && !facts.mixed;
            claim!(
                NAME,
                at,
                ready || !sound || at.since(office.at) <= span,
                "not served",
                "{} took epoch {} {:?} ago and does not serve",
                life.name,
                office.value.epoch,
                at.since(office.at)
            );
            return Ok(());
        };
        self.vacant.get_or_insert((holder, died));
        let lasted = at.since(died);
        let others_hit = facts.envelope.troubles().iter().any(|one| {
            let of_life = one.hits == [life.node] && one.classes & envelope::DEATH != 0;
            let recent = one
                .until
                .is_none_or(|until| until.after(calm_before(facts)) >= died);
            recent && !of_life
        });
        let candidate = facts.roster().is_some_and(|roster| {
            roster.listed.iter().any(|one| {
                let life = facts.life(one.incarnation);
                life.is_some_and(|life| life.lives() && life.began.after(bound(facts)) < died)
            })
        });
        claim!(
            NAME,
            at,
            lasted <= bound(facts) || others_hit || !candidate || facts.mixed,
            "late",
            "{} held the office and died {lasted:?} ago, and nobody has taken it",
            life.name
        );
        Ok(())
    }
}

/// How long before the death it must have been calm.
fn calm_before(facts: &Facts) -> Duration {
    facts
        .times
        .stable_after
        .saturating_add(facts.times.detection)
}

fn bound(facts: &Facts) -> Duration {
    let times = &facts.times;
    let servers = u32::try_from(facts.seeds.len()).unwrap_or(u32::MAX);
    times
        .claim_after
        .saturating_add(times.challenge_wait)
        .saturating_add(times.challenge_pause)
        .saturating_add(times.candidate_step.saturating_mul(servers))
        .saturating_add(times.store_call.saturating_mul(2))
        .saturating_add(ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};
    use crate::schedule::model::{FaultKind, Target};

    fn cluster() -> History {
        let target = Target::Youngest;
        let faults = vec![FaultKind::Pause { target }];
        let mut history = History::cluster(Failover::default(), faults);
        history.wait(60_000);
        history
    }

    #[test]
    fn the_office_moves_soon_after_the_holders_death() {
        let mut history = cluster();
        history.dies(&server(1, 1)).wait(3_000).looks();
        assert_eq!(history.verdict(), Ok(()));
        history.wait(9_000).looks();
        assert_eq!(history.fails(), "failover/late");
    }

    #[test]
    fn whoever_takes_it_serves_soon() {
        for (ready, good) in [(true, true), (false, false)] {
            let two = server(2, 1);
            let mut history = cluster();
            history.dies(&server(1, 1)).wait(1_000).claims(&two, &two);
            if ready {
                let epoch = Epoch(2);
                history.event(2, ClusterEvent::OfficeReady { epoch });
            }
            history.wait(20_000).looks();
            assert_eq!(history.verdict().is_ok(), good);
        }
    }

    #[test]
    fn nothing_is_claimed_while_something_else_goes_wrong() {
        let mut history = cluster();
        history
            .fault(0, true, &[3])
            .dies(&server(1, 1))
            .wait(12_000)
            .looks();
        assert_eq!(history.verdict(), Ok(()));
    }
}

//! `rightful_endings` (of `no_lost_job`): an attempt is ended by the holder only for a reason.
//!
//! | what the holder may know | envelope |
//! | --- | --- |
//! | the driver said that it ended, in `life` | always |
//! | its processes were verified dead (E3, E6) | always |
//! | no server that it saw listed had heard it for `driver-lost-after` (E8) | clocks true |
//! | no driver took it: its launch failed, a stop came, or `driver-take` passed | clocks true |
//!
//! Source: protocol.md E2, E3, E6, E8, J5; lifecycle.md 2.

use super::facts::{Facts, percent};
use super::records::{Change, Step};
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{NodeId, Seen};
use doyen_core::identity::{ContextId, Identity, Incarnation};
use doyen_core::input::{EffectReport, Input, Verdict};
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::context::{
    ContextState, DriverPhase, IntentKind, IntentNumber, OwnerRecord,
};
use doyen_core::time::Time;
use doyen_core::wire::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "rightful_endings";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RightfulEndings {
    /// Which server was told that whose attempt is dead.
    proved: BTreeSet<(NodeId, ContextId, Option<Incarnation>)>,
    /// Launches that a server was told to have failed.
    failed: BTreeSet<(NodeId, ContextId, IntentNumber)>,
    /// The roster as a server last said that it read it.
    rosters: BTreeMap<Incarnation, Vec<Identity>>,
    /// When a server last heard a driver, itself or through one that it saw listed.
    heard: BTreeMap<(NodeId, Incarnation), Time>,
}

impl Oracle for RightfulEndings {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::REPORT | kinds::MESSAGE | kinds::EVENT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input {
                node,
                input: Input::Message { from, message },
                ..
            } => {
                let driver = match message {
                    Message::DriverBeat { .. } => from.incarnation,
                    // The word of who is not listed counts for nothing, however late it arrives.
                    Message::DriverSeen { driver } if self.sees_listed(*node, from, facts) => {
                        *driver
                    }
                    _ => return Ok(()),
                };
                self.heard.insert((*node, driver), at);
            }
            Seen::Input {
                node,
                input: Input::EffectReport(report),
                ..
            } => self.reported(*node, report),
            Seen::Output {
                node,
                output: Output::Event(ClusterEvent::RosterChanged { listed, .. }),
            } => {
                if let Some(life) = facts.last_at_node(*node) {
                    self.rosters
                        .insert(life.identity.incarnation, listed.clone());
                }
            }
            Seen::Store(written) => {
                for change in &facts.changes {
                    if let Change::Owner(id, step) = change {
                        self.changed(at, written.by, id, step, facts)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl RightfulEndings {
    /// Whether the server at a node has read a roster that lists this one, and no later one.
    fn sees_listed(&self, node: NodeId, other: &Identity, facts: &Facts) -> bool {
        let life = facts.last_at_node(node);
        life.and_then(|life| self.rosters.get(&life.identity.incarnation))
            .is_some_and(|listed| listed.contains(other))
    }

    fn reported(&mut self, node: NodeId, report: &EffectReport) {
        match report {
            EffectReport::Verified {
                context,
                driver,
                verdict: Verdict::Dead,
                ..
            } => {
                self.proved.insert((node, context.clone(), *driver));
            }
            EffectReport::Launched {
                context,
                intent,
                error: Some(_),
            } => {
                self.failed.insert((node, context.clone(), *intent));
            }
            _ => {}
        }
    }

    fn changed(
        &self,
        at: Time,
        by: &Identity,
        id: &ContextId,
        step: &Step<OwnerRecord>,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let (Some(old), Some(new)) = (step.before.as_ref(), step.now()) else {
            return Ok(());
        };
        let ends = new.owner.is_none() && new.intent > old.value.intent;
        let Some(life) = facts.life(by.incarnation).filter(|_| ends) else {
            return Ok(());
        };
        match &old.value.owner {
            Some(owner) => self.ended(at, life.node, id, owner.driver, facts),
            None => self.given_up(at, life.node, id, old.value.intent, old.at, facts),
        }
    }

    fn ended(
        &self,
        at: Time,
        holder: NodeId,
        id: &ContextId,
        driver: Incarnation,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let life = facts.records.lives.get(id);
        let said = life.is_some_and(|one| {
            one.value.driver == Some(driver) && matches!(one.value.phase, DriverPhase::Ended { .. })
        });
        let proved = self.proved.contains(&(holder, id.clone(), Some(driver)));
        let heard = self.heard.get(&(holder, driver)).copied();
        let moved = life.map(|one| one.at);
        let last = heard.max(moved).unwrap_or_default();
        let bound = percent(facts.times.driver_lost_after, 95);
        let lost = at.since(last) >= bound || !facts.true_times();
        claim!(
            NAME,
            at,
            said || proved || lost,
            "without a reason",
            "{} ended the attempt of driver {driver} of context {id}, which was neither proved \
             dead nor lost: last heard {:?} ago",
            facts
                .at_node(holder)
                .map_or("the holder", |life| life.name.as_str()),
            at.since(last)
        );
        let lives = facts.life(driver).is_some_and(|life| life.lives());
        let spared = facts.launched.get(&driver).map(|_| {
            facts.envelope.free_of(
                at,
                facts.times.driver_lost_after,
                super::envelope::ANY & !super::envelope::ORDERLY,
            )
        });
        claim!(
            NAME,
            at,
            said || proved || !(lives && spared == Some(true)),
            "lost in calm",
            "the attempt of driver {driver} of context {id} was given up as lost, in calm"
        );
        Ok(())
    }

    fn given_up(
        &self,
        at: Time,
        holder: NodeId,
        id: &ContextId,
        intent: IntentNumber,
        since: Time,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let Some(context) = facts.records.contexts.get(id).map(|one| &one.value) else {
            return Ok(());
        };
        let relaunched = context
            .intent
            .as_ref()
            .is_some_and(|intent| matches!(intent.kind, IntentKind::Launch { .. }));
        if relaunched || context.state == ContextState::Stopping {
            return Ok(());
        }
        let failed = self.failed.contains(&(holder, id.clone(), intent));
        let dead = self.proved.contains(&(holder, id.clone(), None));
        let waited = at.since(since);
        let due: Duration = percent(facts.times.driver_take, 95);
        claim!(
            NAME,
            at,
            failed || dead || waited >= due || !facts.true_times(),
            "given up too soon",
            "the launch of context {id} was given up after {waited:?}, though nothing says that \
             it failed"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, context_record, driver, layout, life, owner, server};
    use doyen_core::records::cluster::Generation;
    use doyen_core::records::encode;

    fn cluster() -> History {
        let mut history = History::cluster(RightfulEndings::default(), vec![]);
        history.creates_context(&server(1, 1), "a");
        history
    }

    fn owned() -> History {
        let mut history = cluster();
        history.launches(1, "a", 1, 1);
        history.takes_context(1, "a");
        history
    }

    /// The holder clears the owner.
    fn ends(history: &mut History) {
        let id = ContextId::new("a");
        let mut record = context_record("a", ContextState::Started, None);
        record.ending = Some(ContextState::Killed);
        let transaction = history
            .fenced()
            .put_any(layout().owner(&id), owner(2, None))
            .put_any(layout().context(&id), encode(&record));
        history.writes(&server(1, 1), &transaction);
    }

    #[test]
    fn an_attempt_that_said_so_or_is_proved_dead_or_is_long_lost_may_be_ended() {
        let id = ContextId::new("a");
        let mut history = owned();
        let ended = DriverPhase::Ended {
            orderly: true,
            error: None,
        };
        let say = history
            .transaction()
            .put_any(layout().life(&id), life(Some(1), ended, 2));
        history.writes(&driver(1), &say);
        ends(&mut history);
        assert_eq!(history.verdict(), Ok(()));

        let mut history = owned();
        let report = EffectReport::Verified {
            context: id,
            driver: Some(driver(1).incarnation),
            verdict: Verdict::Dead,
            last_output: String::new(),
        };
        history.input(1, &Input::EffectReport(report));
        ends(&mut history);
        assert_eq!(history.verdict(), Ok(()));

        let mut history = owned();
        history.dies(&driver(1)).wait(300_000);
        ends(&mut history);
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn an_attempt_that_was_heard_a_moment_ago_is_not_ended() {
        let mut history = owned();
        history.wait(10_000);
        ends(&mut history);
        assert_eq!(history.fails(), "rightful_endings/without a reason");
        let mut history = owned();
        history.wait(400_000);
        ends(&mut history);
        assert_eq!(history.fails(), "rightful_endings/lost in calm");
    }

    /// Seed 504272: a server was stopped, left out, and went on: it passed on a beat that had waited
    /// for it, of a driver that had died meanwhile.
    #[test]
    fn the_word_of_another_server_counts_while_the_holder_sees_it_listed() {
        for (numbers, good) in [(vec![1, 2], false), (vec![1], true), (vec![], true)] {
            let mut history = owned();
            let driver = driver(1);
            history.dies(&driver).wait(290_000);
            if !numbers.is_empty() {
                let listed = numbers.iter().map(|one| server(*one, 1)).collect();
                let generation = Generation(4);
                history.event(1, ClusterEvent::RosterChanged { generation, listed });
            }
            let message = Message::DriverSeen {
                driver: driver.incarnation,
            };
            let from = server(2, 1);
            history.input(1, &Input::Message { from, message });
            history.wait(20_000);
            ends(&mut history);
            assert_eq!(history.verdict().is_ok(), good, "{numbers:?}");
        }
    }

    #[test]
    fn a_launch_is_given_up_when_it_failed_or_in_time() {
        for (millis, good) in [(5_000, false), (30_000, true)] {
            let mut history = cluster();
            history.wait(millis);
            ends(&mut history);
            assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
        }
    }
}

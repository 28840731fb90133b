//! `converges`: some time after the last fault all live members agree, one singleton serves, no
//! intent or call is open, and every record that is not final has a living owner.
//!
//! Envelope: nothing goes wrong, for as long as `legitimacy` says that it may take; membership
//! during the faults too, whenever a calm is that long. Source: design.md 5; protocol.md F, R, S1,
//! E9.

use super::facts::{Facts, Life};
use super::legitimacy;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{NodeId, Phase, Seen};
use doyen_core::identity::{Identity, Incarnation, Role};
use doyen_core::membership::Status;
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::process::{ClusterView, MemberView};
use doyen_core::records::context::ContextState;
use doyen_core::records::job::JobState;
use doyen_core::records::singleton::Epoch;
use doyen_core::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "converges";
/// While records still change, the end of it is near; a run that never comes to it is judged at
/// its end.
const PROGRESS: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Converges {
    ready: BTreeMap<Incarnation, Epoch>,
    /// What is not so yet; `None` once everything is.
    waits: Option<String>,
}

impl Default for Converges {
    fn default() -> Self {
        Self {
            ready: BTreeMap::new(),
            waits: Some("nobody was looked at after the heal".to_owned()),
        }
    }
}

impl Oracle for Converges {
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
            Seen::Views { views } => self.looks(at, views, facts),
            _ => Ok(()),
        }
    }

    fn is_settled(&self) -> bool {
        self.waits.is_none()
    }

    fn waits_for(&self) -> Option<String> {
        self.waits.clone()
    }
}

impl Converges {
    fn looks(
        &mut self,
        at: Time,
        views: &[(NodeId, ClusterView)],
        facts: &Facts,
    ) -> Result<(), Violation> {
        let healed = matches!(facts.phase.0, Phase::Converge | Phase::Final);
        // However often servers have ended and begun by themselves since.
        let calm = facts.envelope.healed_since().map(|since| at.since(since));
        let membership_due = calm.is_some_and(|calm| calm > legitimacy::membership_bound(facts));
        if !healed && !membership_due {
            return Ok(());
        }
        if healed && legitimacy::is_never_founded(facts) {
            self.waits = None;
            return Ok(());
        }
        let membership = self.membership(views, facts);
        // Without a seed nobody founds; during the faults a start may be late, or nobody lives.
        let nobody = facts.servers().next().is_none();
        let may_be_stuck = facts.mixed || nobody || (healed && legitimacy::excuse(facts).is_some());
        let founded = facts.records.cluster.is_some() || healed;
        claim!(
            NAME,
            at,
            membership.is_none() || !membership_due || may_be_stuck || !founded,
            "membership",
            "nothing has been wrong for {calm:?}, and {}",
            membership.clone().unwrap_or_default()
        );
        if !healed {
            return Ok(());
        }
        self.waits = membership.or_else(|| records(views, facts));
        // What was asked last has as much time as what was there when the calm began.
        let idle = calm.map(|calm| calm.min(at.since(facts.asked)));
        let due = idle.is_some_and(|idle| idle > legitimacy::records_bound(facts))
            && at.since(facts.progressed) > PROGRESS;
        claim!(
            NAME,
            at,
            self.waits.is_none() || !due || may_be_stuck,
            "records",
            "nothing has been wrong for {calm:?}, and {}",
            self.waits.clone().unwrap_or_default()
        );
        Ok(())
    }

    /// What keeps the servers from being one cluster with one holder.
    fn membership(&self, views: &[(NodeId, ClusterView)], facts: &Facts) -> Option<String> {
        let Some(roster) = facts.roster() else {
            return Some("there is no cluster".to_owned());
        };
        let live: BTreeSet<&Identity> = facts.servers().map(|life| &life.identity).collect();
        let listed: BTreeSet<&Identity> = roster.listed.iter().collect();
        if live != listed {
            return Some(format!("{live:?} live, and {listed:?} are listed"));
        }
        let Some(office) = facts.records.singleton.as_ref().map(|one| &one.value) else {
            return Some("nobody holds the office".to_owned());
        };
        if !listed.contains(&office.holder) {
            return Some(format!(
                "{} holds the office and is not listed",
                office.holder
            ));
        }
        if self.ready.get(&office.holder.incarnation) != Some(&office.epoch) {
            return Some(format!(
                "{} does not serve under epoch {}",
                office.holder, office.epoch
            ));
        }
        let of_server = |(node, view): &&(NodeId, ClusterView)| {
            let life: Option<&Life> = facts.at_node(*node);
            life.is_some_and(|life| life.role == Role::Server && life.identity == view.identity)
        };
        let mut servers = views.iter().filter(of_server);
        servers.find_map(|(_, view)| disagrees(view, roster, office.epoch, facts))
    }
}

/// What a server sees otherwise than the records have it.
fn disagrees(
    view: &ClusterView,
    roster: &doyen_core::records::cluster::Roster,
    epoch: Epoch,
    facts: &Facts,
) -> Option<String> {
    let name = facts.name(&view.identity);
    if view.generation != roster.generation || view.epoch != epoch {
        return Some(format!(
            "{name} is at generation {} and epoch {}, the store at {} and {epoch}",
            view.generation, view.epoch, roster.generation
        ));
    }
    // A joiner that went away is forgotten with the next generation only.
    let gone = |one: &MemberView| {
        let life = facts.life(one.identity.incarnation);
        one.status == Status::Joining && life.is_none_or(|life| !life.lives())
    };
    let servers = view.members.iter();
    let servers = servers.filter(|one| one.role == Role::Server && !gone(one));
    let odd = servers
        .clone()
        .find(|one| !one.reachable || one.status != Status::Up);
    if let Some(odd) = odd {
        return Some(format!(
            "{name} sees {} as {:?}, reachable: {}",
            odd.identity, odd.status, odd.reachable
        ));
    }
    if servers.count() != roster.listed.len() {
        return Some(format!("{name} sees other members than the roster's"));
    }
    if view.leader.as_ref() != roster.oldest() {
        return Some(format!("{name} takes {:?} for the leader", view.leader));
    }
    if !view.ready {
        return Some(format!("{name} is not ready: {:?}", view.not_ready));
    }
    (!view.converged).then(|| format!("{name} has not converged"))
}

/// What is still open in the records.
fn records(views: &[(NodeId, ClusterView)], facts: &Facts) -> Option<String> {
    let records = &facts.records;
    if let Some((id, call)) = records.calls.first_key_value() {
        return Some(format!("call {id} is {:?}", call.value.progress));
    }
    for (id, context) in &records.contexts {
        let context = &context.value;
        let owner = records
            .owners
            .get(id)
            .and_then(|one| one.value.owner.as_ref());
        let life = owner
            .and_then(|one| facts.life(one.driver))
            .filter(|life| life.lives());
        let idle = context.intent.is_none() && context.ending.is_none();
        let Some(life) = life.filter(|_| idle && context.state == ContextState::Running) else {
            return Some(format!(
                "context {id} is {:?}, its intent is {:?}, its owner {owner:?}",
                context.state, context.intent
            ));
        };
        let shows = |view: &ClusterView| {
            view.members.iter().any(|one| {
                one.identity.incarnation == life.identity.incarnation && one.status == Status::Up
            })
        };
        let is_server =
            |view: &ClusterView| facts.servers().any(|one| one.identity == view.identity);
        let blind = views
            .iter()
            .find(|(_, view)| is_server(view) && !shows(view));
        if let Some((_, view)) = blind {
            return Some(format!(
                "{} does not show {}",
                facts.name(&view.identity),
                life.name
            ));
        }
    }
    let open = |one: &&std::rc::Rc<super::records::Held<doyen_core::records::job::JobRecord>>| {
        let owner = records.owners.get(&one.value.context);
        let owned = owner.is_some_and(|one| one.value.owner.is_some());
        let runs = one.value.state == JobState::Running;
        one.value.state == JobState::Submitted || (runs && (!owned || one.value.kill))
    };
    let job = records.jobs.values().find(open)?;
    let (id, state, kill) = (&job.value.id, &job.value.state, job.value.kill);
    Some(format!("job {id} is {state:?}, to be killed: {kill}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};
    use doyen_core::records::cluster::Generation;

    fn view(number: u16, reachable: bool) -> (NodeId, ClusterView) {
        let member = |other: u16| MemberView {
            identity: server(other, 1),
            role: Role::Server,
            status: Status::Up,
            age: Some(usize::from(other) - 1),
            reachable: reachable || other != 3,
            version: String::new(),
            context: None,
        };
        let view = ClusterView {
            identity: server(number, 1),
            cluster: None,
            epoch: Epoch(1),
            holder: Some(server(1, 1)),
            generation: Generation(3),
            leader: Some(server(1, 1)),
            converged: true,
            ready: true,
            takes_calls: true,
            not_ready: None,
            store_age_ms: None,
            others_have_store: true,
            members: (1..=3).map(member).collect(),
        };
        (NodeId(number), view)
    }

    fn looks(history: &mut History, reachable: bool) {
        let views: Vec<_> = (1..=3).map(|number| view(number, reachable)).collect();
        history.sees(&Seen::Views { views: &views });
    }

    #[test]
    fn a_cluster_that_agrees_is_settled() {
        let mut history = History::cluster(Converges::default(), vec![]);
        assert!(!history.is_settled());
        history.phase(Phase::Converge);
        looks(&mut history, true);
        assert!(history.is_settled());
    }

    #[test]
    fn one_that_does_not_has_its_time_and_no_more() {
        let mut history = History::cluster(Converges::default(), vec![]);
        history.phase(Phase::Converge).wait(20_000);
        looks(&mut history, false);
        assert!(!history.is_settled());
        assert_eq!(history.verdict(), Ok(()));
        history.wait(100_000);
        looks(&mut history, false);
        assert_eq!(history.fails(), "converges/membership");
    }

    #[test]
    fn of_a_cluster_of_which_nobody_lives_nothing_is_claimed() {
        for (dead, good) in [(3, true), (2, false)] {
            let mut history = History::cluster(Converges::default(), vec![]);
            for number in 1..=dead {
                history.dies(&server(number, 1));
            }
            history.wait(200_000).looks();
            assert_eq!(history.verdict().is_ok(), good, "{dead} of 3 died");
        }
    }

    #[test]
    fn an_open_call_keeps_it_from_being_settled() {
        let mut history = History::cluster(Converges::default(), vec![]);
        history
            .creates_call(&server(2, 1), "c")
            .phase(Phase::Converge);
        looks(&mut history, true);
        assert!(!history.is_settled());
        history.wait(300_000);
        looks(&mut history, true);
        assert_eq!(history.fails(), "converges/records");
    }

    #[test]
    fn servers_of_which_none_is_a_seed_rest_without_a_cluster() {
        for (seed, rests) in [("s2", true), ("s1", false)] {
            let mut history = History::new(Converges::default(), vec![]);
            history.facts.seeds = [("s1".into(), vec![seed.into()])].into();
            history.begins(1, 1).phase(Phase::Converge).wait(20_000);
            history.sees(&Seen::Views { views: &[] });
            assert_eq!(history.is_settled(), rests, "{seed}");
        }
    }

    #[test]
    fn a_dead_server_that_is_listed_keeps_it_too() {
        let mut history = History::cluster(Converges::default(), vec![]);
        history
            .dies(&server(3, 1))
            .phase(Phase::Converge)
            .wait(1_000);
        looks(&mut history, true);
        assert!(!history.is_settled());
    }
}

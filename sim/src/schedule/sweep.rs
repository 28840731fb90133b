//! The crash-point sweep: at each store call and each effect of a workload a process dies, stands
//! still, or loses the answer, one schedule for each.

use super::check::NAME_MAX;
use super::model::{Accident, Act, At, Fault, FaultKind, Schedule, Target};
use crate::trace::seen::{NodeId, Seen, Sink};
use doyen_core::identity::{Identity, Role};
use doyen_core::output::Output;
use doyen_core::records::key::Key;
use doyen_core::time::Time;
use std::collections::BTreeMap;

/// What a place did in an undisturbed run, from the moment at which a fault can name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acts {
    /// By what a fault names it: a server's name, or the context that a driver owns.
    pub target: Target,
    /// From when on it can be named: from its start for a server, from taking its record for a
    /// driver.
    pub from: At,
    /// When each act of a kind was decided, in order.
    pub times: Vec<(Act, Vec<At>)>,
}

impl Acts {
    fn new(target: Target, from: At) -> Self {
        let kinds = [Act::Commit, Act::Read, Act::Effect, Act::Send];
        Self {
            target,
            from,
            times: kinds.map(|act| (act, Vec::new())).to_vec(),
        }
    }

    /// How many acts of this kind there were.
    #[must_use]
    pub fn count(&self, act: Act) -> usize {
        let times = self.times.iter().find(|(kind, _)| *kind == act);
        times.map_or(0, |(_, times)| times.len())
    }
}

/// Listens to an undisturbed run and counts the acts of its nodes.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    began: Option<Time>,
    nodes: BTreeMap<NodeId, Acts>,
    drivers: BTreeMap<Identity, (NodeId, Target)>,
}

impl Counter {
    /// What each place did.
    #[must_use]
    pub fn acts(self) -> Vec<Acts> {
        self.nodes.into_values().collect()
    }

    fn at(&mut self, now: Time) -> At {
        let began = *self.began.get_or_insert(now);
        let micros = now.since(began).as_nanos().div_ceil(1_000);
        At(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// The kind of act that an output is, if it is one.
#[must_use]
pub const fn act_of(output: &Output) -> Option<Act> {
    match output {
        Output::Commit { .. } => Some(Act::Commit),
        Output::Read { .. } => Some(Act::Read),
        Output::Effect(_) => Some(Act::Effect),
        Output::Send { .. } => Some(Act::Send),
        Output::Dial { .. }
        | Output::Credentials(_)
        | Output::Beat(_)
        | Output::Answer { .. }
        | Output::Event(_)
        | Output::Stop(_) => None,
    }
}

impl Sink for Counter {
    fn seen(&mut self, now: Time, seen: &Seen<'_>) {
        let at = self.at(now);
        match seen {
            Seen::Began {
                node,
                name,
                identity,
                role,
            } => match role {
                Role::Server => {
                    let target = Target::Named((*name).to_owned());
                    // A fault hits only who is there already.
                    let from = At(at.0.saturating_add(1));
                    let acts = || Acts::new(target, from);
                    self.nodes.entry(*node).or_insert_with(acts);
                }
                Role::Driver => {
                    let name = name.split('#').next().unwrap_or_default().to_owned();
                    if let Ok(target) = Target::try_from(name) {
                        self.drivers.insert((*identity).clone(), (*node, target));
                    }
                }
            },
            Seen::Output { node, output } => {
                if let (Some(acts), Some(act)) = (self.nodes.get_mut(node), act_of(output)) {
                    let times = acts.times.iter_mut().find(|(kind, _)| *kind == act);
                    if let Some((_, times)) = times {
                        times.push(at);
                    }
                }
            }
            Seen::Store(written) => {
                let is_owner = |key: &Key| key.as_str().contains("/owner/");
                if let Some((node, target)) = self.drivers.get(written.by)
                    && written.changed.iter().any(is_owner)
                {
                    let acts = || Acts::new(target.clone(), at);
                    self.nodes.entry(*node).or_insert_with(acts);
                }
            }
            _ => {}
        }
    }

    fn is_settled(&self) -> bool {
        true
    }
}

/// What a sweep does where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which accidents happen at which kind of act.
    pub accidents: Vec<(Act, Vec<Accident>)>,
    /// How long who is killed stays dead.
    pub dead: At,
    /// How long who is stopped stands still, or a late act takes: one schedule for each.
    pub pauses: Vec<At>,
    /// Of each kind of act of each place only the first so many.
    pub acts_max: usize,
}

impl Default for Plan {
    fn default() -> Self {
        use Accident::{ActLate, KillAfter, KillBefore, LoseAnswer, PauseAfter, PauseBefore};
        let all = vec![
            KillBefore,
            KillAfter,
            PauseBefore,
            PauseAfter,
            LoseAnswer,
            ActLate,
        ];
        Self {
            accidents: vec![
                (Act::Commit, all),
                (
                    Act::Effect,
                    vec![KillBefore, KillAfter, PauseBefore, PauseAfter],
                ),
                (Act::Read, vec![KillAfter, PauseAfter, LoseAnswer]),
            ],
            dead: At::from_secs(2),
            // Longer than a claim takes, and long enough for a split to be decided by default.
            pauses: vec![At::from_secs(3), At::from_secs(30)],
            acts_max: 1_000,
        }
    }
}

/// One point of a sweep.
#[derive(Clone, Copy, Debug)]
struct Point<'a> {
    acts: &'a Acts,
    act: Act,
    nth: u32,
    at: At,
    what: Accident,
    lasts: At,
}

/// The schedules of a sweep, one by one: the base with one accident more.
pub fn sweep<'a>(
    base: &'a Schedule,
    acts: &'a [Acts],
    plan: &'a Plan,
) -> impl Iterator<Item = Schedule> + 'a {
    acts.iter()
        .flat_map(move |acts| points(acts, plan))
        .filter(|point| point.at < base.phases.heal)
        .map(move |point| with(base, point))
}

fn points<'a>(acts: &'a Acts, plan: &'a Plan) -> impl Iterator<Item = Point<'a>> {
    plan.accidents.iter().flat_map(move |(act, accidents)| {
        let of_kind = acts.times.iter().filter(move |(kind, _)| kind == act);
        let times = of_kind.flat_map(|(_, times)| times).take(plan.acts_max);
        (1..).zip(times).flat_map(move |(nth, at)| {
            accidents.iter().flat_map(move |what| {
                spans(*what, plan).iter().map(move |lasts| Point {
                    acts,
                    act: *act,
                    nth,
                    at: *at,
                    what: *what,
                    lasts: *lasts,
                })
            })
        })
    })
}

fn spans(what: Accident, plan: &Plan) -> &[At] {
    match what {
        Accident::KillBefore | Accident::KillAfter | Accident::LoseAnswer => {
            std::slice::from_ref(&plan.dead)
        }
        Accident::PauseBefore | Accident::PauseAfter | Accident::ActLate => &plan.pauses,
    }
}

fn with(base: &Schedule, point: Point<'_>) -> Schedule {
    let mut schedule = base.clone();
    let end = At(point.at.0.saturating_add(point.lasts.0));
    let kind = FaultKind::AtAct {
        target: point.acts.target.clone(),
        act: point.act,
        nth: point.nth,
        what: point.what,
    };
    let fault = Fault {
        until: (end < base.phases.heal).then_some(end),
        ..Fault::new(point.acts.from, kind)
    };
    let place = schedule
        .faults
        .partition_point(|other| other.at <= fault.at);
    schedule.faults.insert(place, fault);
    let point = format!(
        "{}-{:?}-{}-{:?}-{}",
        point.acts.target, point.act, point.nth, point.what, point.lasts
    );
    let mut name = format!("{}-{}", base.name, point.to_ascii_lowercase());
    name.truncate(NAME_MAX);
    schedule.name = name;
    schedule
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::super::check::check;
    use super::super::format;
    use super::*;
    use crate::trace::seen::Written;
    use doyen_core::identity::{Address, Incarnation};
    use doyen_core::input::Ticket;
    use doyen_core::records::model::StoreModel;
    use doyen_core::records::transaction::{CommitOutcome, Query, Transaction, TransactionId};
    use doyen_core::time::Stamp;
    use std::collections::BTreeSet;

    const BASE: &str = "format = 1\nrules = 1\nname = \"base\"\nseed = 3\nphases.heal = \"20s\"\n\
        phases.end = \"99s\"\nservers = [\n  { name = \"s1\" },\n]\nworkload = [\n  \
        { at = \"1s\", of = \"s1\", ask = \"create-context\", context = \"c1\" },\n]\n";

    fn identity(name: &str) -> Identity {
        Identity::new(Address::new(name, 0), Incarnation(7))
    }

    fn commit() -> Output {
        Output::Commit {
            ticket: Ticket(1),
            transaction: Transaction::new(TransactionId("t".to_owned())),
        }
    }

    /// A server that commits twice and reads once, and a driver that takes its record and commits.
    fn counted() -> Vec<Acts> {
        let mut counter = Counter::default();
        let (server, driver) = (identity("s1"), identity("driver"));
        let (s, d) = (NodeId(0), NodeId(1));
        let mut see = |millis: u64, seen: &Seen<'_>| {
            counter.seen(Time::from_millis(1_000 + millis), seen);
        };
        let began = |node, name, identity, role| Seen::Began {
            node,
            name,
            identity,
            role,
        };
        see(0, &began(s, "s1", &server, Role::Server));
        see(
            5,
            &Seen::Output {
                node: s,
                output: &commit(),
            },
        );
        let query = Query::default();
        see(
            6,
            &Seen::Output {
                node: s,
                output: &Output::Read {
                    ticket: Ticket(2),
                    query,
                },
            },
        );
        see(900, &began(d, "driver-of(c1)#1", &driver, Role::Driver));
        see(
            901,
            &Seen::Output {
                node: d,
                output: &commit(),
            },
        );
        let outcome = CommitOutcome::Committed { stamp: Stamp(1) };
        let transaction = Transaction::new(TransactionId("t".to_owned()));
        let written = Written {
            by: &driver,
            transaction: &transaction,
            outcome: &outcome,
            told: true,
            changed: &BTreeSet::from([Key::new("x/owner/7")]),
            store: &StoreModel::new(),
            stamp: Stamp(1),
        };
        see(902, &Seen::Store(written));
        see(
            950,
            &Seen::Output {
                node: d,
                output: &commit(),
            },
        );
        see(
            30_000,
            &Seen::Output {
                node: s,
                output: &commit(),
            },
        );
        counter.acts()
    }

    #[test]
    fn acts_are_counted_from_when_a_fault_can_name_who_does_them() {
        let acts = counted();
        let [server, driver] = acts.as_slice() else {
            panic!("{acts:?}");
        };
        assert_eq!(server.target, Target::Named("s1".to_owned()));
        assert_eq!((server.count(Act::Commit), server.count(Act::Read)), (2, 1));
        assert_eq!(driver.target, Target::DriverOf("c1".to_owned()));
        assert_eq!(
            (driver.from, driver.count(Act::Commit)),
            (At::from_millis(902), 1)
        );
    }

    #[test]
    fn a_sweep_has_one_schedule_for_each_point_and_accident() {
        let base = format::read("base", BASE).unwrap();
        let all: Vec<_> = sweep(&base, &counted(), &Plan::default()).collect();
        // Two commits before the heal with 2 kills, 1 lost answer and 3 × 2 pauses; one read with
        // 1 kill, 1 lost answer and 2 pauses.
        assert_eq!(all.len(), 2 * (3 + 6) + 4);
        let names: BTreeSet<_> = all.iter().map(|schedule| &schedule.name).collect();
        assert_eq!(names.len(), all.len());
        for schedule in &all {
            check(schedule).unwrap_or_else(|wrong| panic!("{}: {wrong}", schedule.name));
        }
        let text = format::write(&all[3]).unwrap();
        let fault = "  { at = \"1us\", kind = \"at-act\", target = \"s1\", act = \"commit\", nth = 1, \
                     what = \"pause-before\" },\n";
        assert!(text.contains(fault), "{text}");
    }
}

//! One run: its time line, from the first start to the last look.

use super::clients::Clients;
use super::conditions::Conditions;
use super::faults::{Hits, nanos};
use super::journal::{self, Journal, Noted};
use super::recording::Recording;
use super::store::Store;
use super::streams::Streams;
use super::world::{Kind, State, World};
use crate::engine::{HarnessFault, Ran};
use crate::schedule::model::Schedule;
use crate::schedule::settings::{self, address_of};
use crate::trace::seen::{Ended, NodeId, Phase, Sink};
use crate::world::random::Purpose;
use doyen_core::config::ValidConfig;
use doyen_core::records::model::StoreModel;
use doyen_runtime::simulated::{Net, sleep_until};
use madsim::runtime::{Handle, Runtime};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
/// How long results may take to be read at the end.
const LAST_LOOK: u64 = 5 * SECOND;

/// One thing of the time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Start(usize),
    EndFault(usize),
    Heal,
    BeginFault(usize),
    Ask(usize),
    Look,
    End,
}

pub(super) fn run(
    schedule: &Schedule,
    sink: &mut dyn Sink,
    records: bool,
) -> Result<(Ran, Recording), HarnessFault> {
    let (configs, driver_config) = configs(schedule)?;
    let streams = Streams::new(schedule);
    let runtime =
        Runtime::with_seed_and_config(streams.seed(Purpose::Host), madsim::Config::default());
    runtime.add_simulator::<Net>();
    let links = streams.seed(Purpose::Latency);
    let state = State {
        journal: Journal::default(),
        places: Vec::new(),
        streams,
        profile: schedule.store,
        store: Store::default(),
        conditions: Conditions::default(),
        active: BTreeMap::new(),
        acts: Vec::new(),
        engines: BTreeMap::new(),
        clients: Clients::default(),
        lives: 0,
        is_healed: false,
        recording: records.then(Recording::default),
    };
    Ok(runtime.block_on(async move {
        let net = Net::current();
        net.seed(links);
        madsim::task::spawn(net.clone().pump());
        let main = Handle::current().get_node(madsim::plugin::node());
        let main = main.expect("the main node is always there");
        let world = World::new(net, main, configs, driver_config, state);
        let mut play = Play {
            world,
            schedule,
            sink,
            shown: StoreModel::new(),
            hits: BTreeMap::new(),
        };
        let ran = play.play().await;
        let recording = play.world.with(|state| state.recording.take());
        (ran, recording.unwrap_or_default())
    }))
}

fn configs(schedule: &Schedule) -> Result<(Vec<ValidConfig>, ValidConfig), HarnessFault> {
    let config = |server| {
        settings::config_of(schedule, server)
            .map_err(|error| HarnessFault(format!("the schedule's settings: {error}")))
    };
    let servers = schedule.servers.iter().map(|server| config(Some(server)));
    Ok((servers.collect::<Result<_, _>>()?, config(None)?))
}

struct Play<'a> {
    world: Arc<World>,
    schedule: &'a Schedule,
    sink: &'a mut dyn Sink,
    /// The store as the sink knows it.
    shown: StoreModel,
    hits: BTreeMap<usize, Hits>,
}

impl Play<'_> {
    fn actions(&self) -> Vec<(u64, Action)> {
        let (heal, end) = self.phases();
        let mut actions = vec![(heal, Action::Heal), (end, Action::End)];
        for (n, server) in self.schedule.servers.iter().enumerate() {
            actions.push((nanos(server.start), Action::Start(n)));
        }
        for (n, fault) in self.schedule.faults.iter().enumerate() {
            if nanos(fault.at) < heal {
                actions.push((nanos(fault.at), Action::BeginFault(n)));
                let until = fault.until.map(nanos).filter(|until| *until < heal);
                actions.extend(until.map(|until| (until, Action::EndFault(n))));
            }
        }
        for (n, ask) in self.schedule.workload.iter().enumerate() {
            actions.push((nanos(ask.at), Action::Ask(n)));
        }
        actions.extend((1..=end / SECOND).map(|n| (n * SECOND, Action::Look)));
        actions.retain(|(at, _)| *at <= end);
        actions.sort_unstable();
        actions
    }

    fn phases(&self) -> (u64, u64) {
        let heal = nanos(self.schedule.phases.heal);
        (heal, nanos(self.schedule.phases.end).max(heal))
    }

    async fn play(&mut self) -> Ran {
        for server in self.schedule.servers.iter().enumerate() {
            let (n, server) = server;
            let address = address_of(&server.name);
            self.world
                .add_place(server.name.clone(), address, Kind::Server(n));
        }
        self.world.note(Noted::Phase(Phase::WarmUp));
        let (mut healed, mut faulty, mut settled) = (false, false, 0);
        for (at, action) in self.actions() {
            sleep_until(at).await;
            match action {
                Action::Start(n) => self.start(n),
                Action::BeginFault(n) => {
                    if !std::mem::replace(&mut faulty, true) {
                        self.world.note(Noted::Phase(Phase::Faults));
                    }
                    self.begin_fault(n);
                }
                Action::EndFault(n) => self.end_fault(n),
                Action::Heal => {
                    self.heal();
                    healed = true;
                }
                Action::Ask(n) => self.ask(n),
                Action::Look => {
                    self.look();
                    let quiet = healed && self.asked_all(at) && self.is_quiet();
                    settled = if quiet && self.sink.is_settled() {
                        settled + 1
                    } else {
                        0
                    };
                    if settled >= 2 {
                        break;
                    }
                }
                Action::End => break,
            }
            self.show();
        }
        self.finish().await
    }

    fn asked_all(&self, now: u64) -> bool {
        self.schedule
            .workload
            .iter()
            .all(|ask| nanos(ask.at) <= now)
    }

    fn is_quiet(&self) -> bool {
        self.world.with(|state| state.clients.open == 0)
    }

    fn start(&self, n: usize) {
        self.world
            .start_server(NodeId(u16::try_from(n).unwrap_or(u16::MAX)));
    }

    fn begin_fault(&mut self, n: usize) {
        if let Some(fault) = self.schedule.faults.get(n) {
            let (heal, _) = self.phases();
            let ends = fault.until.map_or(heal, nanos).min(heal);
            let hits = self.world.begin_fault(n, fault, ends);
            self.hits.insert(n, hits);
        }
    }

    fn end_fault(&mut self, n: usize) {
        let hits = self.hits.remove(&n);
        if let (Some(fault), Some(hits)) = (self.schedule.faults.get(n), hits) {
            self.world.end_fault(n, fault, &hits);
        }
    }

    fn heal(&mut self) {
        let on: Vec<usize> = self.hits.keys().copied().collect();
        for n in on {
            self.end_fault(n);
        }
        self.world.note(Noted::Phase(Phase::Converge));
        self.world.with(|state| state.is_healed = true);
        let (heal, _) = self.phases();
        for (n, server) in self.schedule.servers.iter().enumerate() {
            if nanos(server.start) <= heal {
                self.start(n);
            }
        }
    }

    fn ask(&self, n: usize) {
        if let Some(ask) = self.schedule.workload.get(n) {
            self.world.ask(ask);
        }
    }

    fn look(&mut self) {
        let net = self.world.net.clone();
        let views = self.world.with(|state| {
            let views = state.nodes().filter_map(|(node, place)| {
                let shown = place.life.as_ref()?.shown.as_ref()?;
                Some((node, shown.view(net.clock(place.machine))))
            });
            views.collect()
        });
        self.world.note(Noted::Views(views));
        self.show();
    }

    fn show(&mut self) {
        let entries = self.world.with(|state| state.journal.take());
        journal::show(&entries, &mut self.shown, self.sink);
    }

    /// Reads every result at every server, then ends all processes.
    async fn finish(&mut self) -> Ran {
        self.world.note(Noted::Phase(Phase::Final));
        self.world.read_everything();
        let until = self.world.now().saturating_add(LAST_LOOK);
        while !self.is_quiet() && self.world.now() < until {
            sleep_until(self.world.now().saturating_add(LAST_LOOK / 100)).await;
        }
        self.show();
        let simulated = Duration::from_nanos(self.world.now());
        let (events, store) = self.world.with(|state| {
            let store = std::mem::take(&mut state.store.model);
            (state.journal.count, store)
        });
        let all: Vec<NodeId> = self
            .world
            .with(|s| s.nodes().map(|(node, _)| node).collect());
        for node in all {
            self.world.end(node, Ended::Killed);
        }
        self.world.net.stop();
        // What ends with its node is dropped in a turn of its own.
        madsim::time::sleep(Duration::from_millis(1)).await;
        Ran {
            events,
            simulated,
            store,
        }
    }
}

//! Laws that hold whatever a server is told, in whatever order and at whatever time.

use super::estate::{context_id, creation, deletion, job_id, job_key, key, new_job};
use super::lawful::lawful;
use super::newer::is_newer;
use super::world::{Say, World, config, layout, ms, reborn, s, secs};
use crate::identity::{CallId, Identity};
use crate::input::{Command, Input, LinkEvent, RequestId, Ticket, Verdict};
use crate::join::seed_digest;
use crate::records::cluster::Generation;
use crate::records::context::DriverPhase;
use crate::records::job::JobState;
use crate::records::key as keys;
use crate::records::singleton::{ChallengeRecord, Epoch, SplitRecord};
use crate::records::transaction::{Change, CommitOutcome, ReadOutcome, Snapshot};
use crate::wire::{Message, NackReason};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug)]
enum Start {
    Empty,
    Newcomer,
    Holder,
    Candidate,
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Sleep(u64),
    Meets(u16),
    Reborn(u16),
    Silence(u16),
    Deaf(u16, u16),
    Vacant(u16, bool),
    StoreAge(u16, u64),
    Link(u8, u16),
    Away(bool),
    Watched(bool),
    SlowReads,
    ReleaseReads,
    Hold(u8),
    CarryOut,
    LetGo(Say),
    AnswerHeld(Say),
    Lists(Vec<u16>),
    Takes(u16),
    Pulse,
    Challenge(u16, u64),
    Announce(u16, u64),
    Damage(u8),
    Everything,
    Message(u8, u16, u64),
    Create(u64, bool),
    Delete(u64, bool),
    Submit(u64, bool),
    Kill(u64),
    Forget(u64),
    OthersCall(u64, bool),
    Driver(u8),
    Nonsense(u64),
    Newer(u8),
    Leave,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        3 => Just(Say::Commit),
        1 => (0..3_usize).prop_map(Say::Refuse),
        1 => Just(Say::Lost),
        1 => Just(Say::Unknown),
        1 => Just(Say::NotSent),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 1..=4_u16;
    let peers = prop_oneof![
        3 => n().prop_map(Step::Meets),
        1 => n().prop_map(Step::Reborn),
        3 => n().prop_map(Step::Silence),
        2 => (n(), n()).prop_map(|(one, other)| Step::Deaf(one, other)),
        1 => (n(), any::<bool>()).prop_map(|(one, vacant)| Step::Vacant(one, vacant)),
        1 => (n(), 0..5_000_u64).prop_map(|(one, age)| Step::StoreAge(one, age)),
        3 => (0..4_u8, n()).prop_map(|(what, one)| Step::Link(what, one)),
        4 => (0..8_u8, n(), 0..8_u64).prop_map(|(what, one, g)| Step::Message(what, one, g)),
    ];
    let store = prop_oneof![
        2 => any::<bool>().prop_map(Step::Away),
        1 => any::<bool>().prop_map(Step::Watched),
        2 => Just(Step::SlowReads),
        2 => Just(Step::ReleaseReads),
        4 => (0..8_u8).prop_map(Step::Hold),
        1 => Just(Step::CarryOut),
        3 => say().prop_map(Step::LetGo),
        3 => say().prop_map(Step::AnswerHeld),
        2 => prop::collection::vec(n(), 0..4).prop_map(Step::Lists),
        2 => n().prop_map(Step::Takes),
        2 => Just(Step::Pulse),
        1 => (n(), 4..8_u64).prop_map(|(one, epoch)| Step::Challenge(one, epoch)),
        1 => (n(), 2..6_u64).prop_map(|(one, g)| Step::Announce(one, g)),
        1 => (0..3_u8).prop_map(Step::Damage),
        2 => (0..12_u8).prop_map(Step::Newer),
        1 => Just(Step::Everything),
        1 => (0..100_u64).prop_map(Step::Nonsense),
    ];
    let id = || 1..=4_u64;
    let clients = prop_oneof![
        4 => (id(), any::<bool>()).prop_map(|(one, keyed)| Step::Create(one, keyed)),
        3 => (5..=8_u64, any::<bool>()).prop_map(|(one, keyed)| Step::Delete(one, keyed)),
        3 => (11..=14_u64, any::<bool>()).prop_map(|(one, sync)| Step::Submit(one, sync)),
        1 => (11..=14_u64).prop_map(Step::Kill),
        1 => (1..=14_u64).prop_map(Step::Forget),
        2 => (21..=24_u64, any::<bool>()).prop_map(|(one, new)| Step::OthersCall(one, new)),
        6 => (0..8_u8).prop_map(Step::Driver),
    ];
    prop_oneof![
        8 => prop_oneof![1..200_u64, 1..5_000_u64, 1..40_000_u64].prop_map(Step::Pass),
        1 => (1..20_000_u64).prop_map(Step::Sleep),
        8 => peers,
        10 => store,
        8 => clients,
        1 => Just(Step::Leave),
    ]
}

fn begin(start: Start) -> World {
    match start {
        Start::Empty => World::without_cluster(&s(1)),
        Start::Newcomer => World::newcomer(&s(3), &[1, 2], 1),
        Start::Holder => World::member(1, &[1, 2, 3], 1),
        Start::Candidate => World::member(2, &[1, 2, 3], 1),
    }
}

fn others(world: &World, n: u16) -> Option<Identity> {
    let peer = s(n);
    (peer.address != world.me.address).then_some(peer)
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Pass(millis) => world.pass(ms(millis)),
        Step::Sleep(millis) => world.sleep(ms(millis)),
        Step::Meets(n) => {
            if let Some(peer) = others(world, n) {
                world.meets(&peer);
            }
        }
        Step::Reborn(n) => {
            if others(world, n).is_some() {
                world.meets(&reborn(n));
            }
        }
        Step::Silence(n) => {
            if let Some(peer) = world.peers.get_mut(&s(n)) {
                peer.beats = false;
            }
        }
        Step::Deaf(one, other) => {
            if let Some(peer) = world.peers.get_mut(&s(one)) {
                peer.hears.remove(&s(other));
            }
        }
        Step::Vacant(n, vacant) => {
            if let Some(peer) = world.peers.get_mut(&s(n)) {
                peer.vacant = vacant;
            }
        }
        Step::StoreAge(n, age) => {
            if let Some(peer) = world.peers.get_mut(&s(n)) {
                peer.store_age_ms = age;
            }
        }
        Step::Link(what, n) => link(world, what, n),
        Step::Message(what, n, generation) => message(world, what, n, generation),
        Step::Driver(what) => drive(world, what),
        Step::Leave => world.tell(Input::Command(Command::Leave)),
        Step::Create(n, keyed) => {
            let key = keyed.then(|| key("ab1", "body")).flatten();
            world.asks_with(n, creation(&format!("etl{}", n % 2)), key, secs(30));
        }
        Step::Delete(n, keyed) => {
            let key = keyed.then(|| key("ab1", "other")).flatten();
            world.asks_with(n, deletion(&format!("etl{}", n % 2)), key, secs(5));
        }
        Step::Submit(n, sync) => {
            let mut job = new_job(n, sync);
            job.context_name = "etl1".into();
            world.submits_job(n, job);
        }
        Step::Kill(n) => {
            let (request, job) = (RequestId(n + 100), job_id(n));
            world.tell(Input::Command(Command::KillJob { request, job }));
        }
        Step::Forget(n) => {
            let request = RequestId(n);
            world.tell(Input::Command(Command::Forget { request }));
        }
        other => store(world, other),
    }
}

fn store(world: &mut World, step: Step) {
    let exists = world.roster().is_some();
    match step {
        Step::Away(away) => world.store_away = away,
        Step::Watched(watched) => world.watched = watched,
        Step::SlowReads => world.slow_reads = true,
        Step::ReleaseReads => world.release_reads(),
        Step::Hold(what) => world.hold(holdable()[usize::from(what)].clone()),
        Step::CarryOut if world.has_held() => world.carry_out_held(),
        Step::LetGo(say) if world.has_held() => world.let_go(say),
        Step::AnswerHeld(say) if world.has_held() => world.answer_held(say),
        Step::Lists(listed) if exists => {
            let listed: BTreeSet<_> = listed.into_iter().map(s).collect();
            world.lists(&listed.into_iter().collect::<Vec<_>>());
        }
        Step::Takes(n) if exists => world.takes_office(&s(n)),
        Step::Pulse if exists => world.pulses(),
        Step::Challenge(n, epoch) if exists => {
            let record = ChallengeRecord {
                epoch: Epoch(epoch),
                challenger: Some(s(n)),
                rest: Default::default(),
            };
            world.puts(layout().challenge(), &record);
        }
        Step::Announce(n, generation) if exists => {
            let record = SplitRecord {
                generation: Generation(generation),
                writer: Some(s(n)),
                connected: BTreeSet::from([s(n)]),
                rest: Default::default(),
            };
            world.puts(layout().split(), &record);
        }
        Step::Damage(what) => {
            let id = CallId::new(context_id(1).as_str());
            let all = [layout().challenge(), layout().split(), layout().call(&id)];
            let key = all[usize::from(what)].clone();
            if world.get_text(&key).is_some() {
                world.other(|one| one.put_any(key, "{".into()));
            }
        }
        Step::Newer(what) => {
            let mut all = holdable().to_vec();
            let numbers = [1, 5, 21];
            all.extend(numbers.map(|n| layout().call(&CallId::new(context_id(n).as_str()))));
            all.push(job_key(1));
            let key = all[usize::from(what)].clone();
            if world.get_text(&key).is_some_and(|text| !is_newer(&text)) {
                world.newer(key);
            }
        }
        Step::Everything => world.tell(Input::StoreChanged(Change::Everything)),
        Step::OthersCall(n, new) if exists && world.keys_with(&format!("{n:012x}")).is_empty() => {
            let operation = if new {
                creation("etl1")
            } else {
                deletion("etl1")
            };
            world.others_call(n, operation);
        }
        Step::Nonsense(n) => {
            // Tickets of calls that were answered already, or never made.
            let ticket = Ticket(if n < 50 { n + 1_000_000 } else { 1 });
            let outcome = ReadOutcome::Snapshot(Snapshot::default());
            world.tell(Input::Read { ticket, outcome });
            let outcome = CommitOutcome::Unknown;
            world.tell(Input::Committed { ticket, outcome });
        }
        _ => {}
    }
}

fn holdable() -> [keys::Key; 8] {
    let l = layout();
    [
        keys::cluster(),
        l.singleton(),
        l.pulse(),
        l.challenge(),
        l.split(),
        l.context(&context_id(1)),
        l.owner(&context_id(1)),
        l.settled(&CallId::new(context_id(1).as_str())),
    ]
}

fn link(world: &mut World, what: u8, n: u16) {
    let (Some(peer), address) = (others(world, n), s(n).address) else {
        return;
    };
    world.tell(Input::Link(match what {
        0 => LinkEvent::Up { peer },
        1 => LinkEvent::Down { peer },
        2 => LinkEvent::Refused { address },
        _ => LinkEvent::Silent { address },
    }));
}

fn message(world: &mut World, what: u8, n: u16, generation: u64) {
    let Some(peer) = others(world, n) else { return };
    let seeds = seed_digest(&config().seeds);
    let generation = Generation(generation);
    let reason = NackReason::Uninitialised;
    let version = String::new();
    let message = match what {
        0 => Message::Contact { seeds },
        1 => Message::ContactAck { seeds, generation },
        2 => Message::ContactNack { seeds, reason },
        3..=5 => Message::Join {
            generation,
            version,
        },
        6 => Message::JoinRefused { generation },
        _ => Message::CallHint {
            call: CallId::new(context_id(generation.0).as_str()),
        },
    };
    world.says(&peer, message);
}

fn drive(world: &mut World, what: u8) {
    if world.context(1).is_none() {
        return;
    }
    match what {
        0 if world.owner(1).owner.is_none() => world.driver_takes(1),
        1 => world.driver_is_ready(1),
        2 => world.driver_is_linked(1),
        3 => world.driver_is_gone(),
        4 => world.driver_says(
            1,
            DriverPhase::Ended {
                orderly: false,
                error: None,
            },
        ),
        5 => world.verified(1, Verdict::Dead),
        6 => world.verified(1, Verdict::Unknown),
        7 if world.live_job(1).is_none() && world.done_job(1).is_none() => {
            world.puts_job(1, JobState::Running);
        }
        _ => {}
    }
}

fn run(start: Start, steps: &[Step]) -> World {
    let mut world = begin(start);
    world.judge = Some(lawful);
    for step in steps {
        take(&mut world, step.clone());
        assert!(world.stops.len() <= 1, "{:?}", world.stops);
    }
    world.pass(secs(3));
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// No panic, no spinning (a time-out is never due when it was just handled), no output after
    /// the last one, and every transaction within its laws.
    #[test]
    fn whatever_happens_every_transaction_is_guarded_and_no_timer_spins(
        start in prop_oneof![
            Just(Start::Empty),
            Just(Start::Newcomer),
            Just(Start::Holder),
            Just(Start::Candidate),
        ],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(start, &steps);
    }

    /// Same inputs, same outputs.
    #[test]
    fn the_same_inputs_give_the_same_outputs(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let (one, other) = (run(Start::Holder, &steps), run(Start::Holder, &steps));
        prop_assert_eq!(one.commits, other.commits);
        prop_assert_eq!(one.sent, other.sent);
        prop_assert_eq!(one.events, other.events);
        prop_assert_eq!(one.effects, other.effects);
    }
}

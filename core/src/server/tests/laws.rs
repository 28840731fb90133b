//! Laws that hold whatever comes in: nothing panics, nothing spins, and what the holder decides
//! carries the fence (protocol.md W2).

use super::world::{World, ms, reborn, s};
use crate::identity::Identity;
use crate::input::{Input, LinkEvent};
use crate::records::cluster::Generation;
use crate::records::transaction::Change;
use crate::wire::{Message, NackReason};
use proptest::prelude::*;

/// Something that the world may do to a server; numbers choose among few peers and short times.
#[derive(Clone, Debug)]
enum Step {
    Pass(u16),
    Link(u8, u8),
    Say(u8, u8),
    StoreAway(bool),
    Changed(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u16..3_000).prop_map(Step::Pass),
        2 => (0_u8..4, 0_u8..4).prop_map(|(peer, kind)| Step::Link(peer, kind)),
        2 => (0_u8..4, 0_u8..5).prop_map(|(peer, kind)| Step::Say(peer, kind)),
        1 => any::<bool>().prop_map(Step::StoreAway),
        1 => (0_u8..3).prop_map(Step::Changed),
    ]
}

fn peer(n: u8) -> Identity {
    match n {
        0 => s(1),
        1 => s(2),
        2 => s(3),
        _ => reborn(2),
    }
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Pass(millis) => world.pass(ms(u64::from(*millis))),
        Step::Link(n, kind) => {
            let peer = peer(*n);
            let event = match kind {
                0 => LinkEvent::Up { peer },
                1 => LinkEvent::Down { peer },
                2 => LinkEvent::Refused {
                    address: peer.address,
                },
                _ => LinkEvent::Silent {
                    address: peer.address,
                },
            };
            world.tell(Input::Link(event));
        }
        Step::Say(n, kind) => {
            let seeds = "x".to_owned();
            let message = match kind {
                0 => Message::Contact { seeds },
                1 => Message::ContactAck {
                    seeds,
                    generation: Generation(1),
                },
                2 => Message::ContactNack {
                    seeds,
                    reason: NackReason::Uninitialised,
                },
                3 => Message::Join {
                    generation: Generation(1),
                    version: String::new(),
                },
                _ => Message::JoinRefused {
                    generation: Generation(9),
                },
            };
            world.says(&peer(*n), message);
        }
        Step::StoreAway(away) => world.store_away = *away,
        Step::Changed(kind) => {
            let key = match kind {
                0 => crate::records::key::cluster(),
                1 => super::world::layout().singleton(),
                _ => super::world::layout().challenge(),
            };
            world.tell(Input::StoreChanged(Change::Record(key)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The world itself fails a server that is woken for nothing, or that writes without a fence.
    #[test]
    fn nothing_that_comes_in_breaks_a_member(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::member(1, &[1, 2, 3], 1);
        for step in &steps {
            take(&mut world, step);
        }
        prop_assert!(world.server.poll_timeout().is_none_or(|due| due > world.now));
    }

    #[test]
    fn nothing_that_comes_in_breaks_a_newcomer(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::newcomer(&s(3), &[1, 2], 1);
        for step in &steps {
            take(&mut world, step);
        }
        prop_assert!(world.server.poll_timeout().is_none_or(|due| due > world.now));
    }
}

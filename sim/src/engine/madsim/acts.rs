//! Accidents at the n-th act of a process: between what was decided and what was done.

use super::world::World;
use crate::schedule::model::{Accident, Act};
use crate::trace::seen::{Ended, NodeId};
use doyen_runtime::simulated::sleep_until;
use std::sync::Arc;

/// An accident that waits for its act.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    /// Of which fault.
    pub(super) fault: usize,
    node: NodeId,
    act: Act,
    left: u32,
    what: Accident,
}

/// What an act must do after the accident at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing else.
    GoOn,
    /// It is never done.
    Never,
    /// Its answer is lost.
    LoseAnswer,
    /// Its answer is lost, and it is done at this time.
    Late(u64),
}

impl World {
    pub(super) fn at_act(&self, fault: usize, node: NodeId, act: Act, nth: u32, what: Accident) {
        self.with(|state| {
            state.acts.push(Awaited {
                fault,
                node,
                act,
                left: nth.max(1),
                what,
            });
        });
    }

    fn accident(&self, node: NodeId, act: Act) -> Option<(Accident, usize)> {
        self.with(|state| {
            let awaited = state
                .acts
                .iter_mut()
                .filter(|awaited| awaited.node == node && awaited.act == act);
            let mut due = None;
            for awaited in awaited {
                awaited.left = awaited.left.saturating_sub(1);
                if awaited.left == 0 {
                    due = Some((awaited.what, awaited.fault));
                }
            }
            state.acts.retain(|awaited| awaited.left > 0);
            due
        })
    }

    /// A process is about to do this; comes back when it may, unless it died or stands still.
    pub(super) async fn before(self: &Arc<Self>, node: NodeId, act: Act) -> Then {
        let Some((what, fault)) = self.accident(node, act) else {
            return Then::GoOn;
        };
        match what {
            Accident::KillBefore => {
                self.end(node, Ended::Killed);
                Then::Never
            }
            Accident::PauseBefore => {
                self.pause(node, fault);
                // This task is one of those that stand still.
                sleep_until(self.now().saturating_add(1)).await;
                Then::GoOn
            }
            Accident::KillAfter => {
                let world = self.clone();
                self.later(1, move |_| world.end(node, Ended::Killed));
                Then::GoOn
            }
            Accident::PauseAfter => {
                let world = self.clone();
                self.later(1, move |_| world.pause(node, fault));
                Then::GoOn
            }
            Accident::LoseAnswer => Then::LoseAnswer,
            Accident::ActLate => {
                let ends = self.with(|state| state.active.get(&fault).copied());
                Then::Late(ends.unwrap_or(0))
            }
        }
    }

    /// A process is about to send a message; whether it still can.
    pub(super) fn before_send(self: &Arc<Self>, node: NodeId) -> bool {
        match self.accident(node, Act::Send) {
            Some((Accident::KillBefore, _)) => {
                self.end(node, Ended::Killed);
                false
            }
            Some((Accident::KillAfter, _)) => {
                let world = self.clone();
                self.later(1, move |_| world.end(node, Ended::Killed));
                true
            }
            // A message has no answer, and its process cannot stand still in the middle of a turn.
            Some((Accident::PauseBefore | Accident::PauseAfter, fault)) => {
                self.pause(node, fault);
                true
            }
            Some((Accident::LoseAnswer | Accident::ActLate, _)) | None => true,
        }
    }
}

//! Leaving in order: readiness off, drain, give the office away, leave; bounded whatever the others
//! do (protocol.md S3, R1).
//!
//! | state | until |
//! |---|---|
//! | draining | `drain-delay` is over; or nothing is held and nobody else is there |
//! | granting | the office is another's, or nobody stays who can take it |
//! | exiting | the roster does not list us any more |

use super::shared::Shared;
use crate::identity::Identity;
use crate::membership::Membership;
use crate::planted::planted;
use crate::singleton::Singleton;
use crate::time::Time;

/// A server's way out.
#[derive(Clone, Debug, Default)]
pub(super) struct Leave {
    since: Option<Time>,
    exiting: bool,
}

impl Leave {
    pub(super) fn begin(&mut self, shared: &mut Shared, membership: &mut Membership) {
        if self.since.is_none() {
            self.since = Some(shared.now);
            shared.leaving = true;
            let me = shared.me.clone();
            membership.set_leaving(&me);
        }
    }

    /// Goes on leaving; `true` when it is over whatever the roster says.
    pub(super) fn step(
        &mut self,
        shared: &mut Shared,
        membership: &mut Membership,
        singleton: &mut Singleton,
        heir: Option<Identity>,
        idle: bool,
    ) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        if shared.listed_in.is_none() || shared.now >= since.after(shared.times().leave_bound) {
            return true;
        }
        let alone = shared
            .roster()
            .is_none_or(|roster| roster.listed.len() <= 1);
        let drained = shared.now >= since.after(shared.times().drain_delay) || (alone && idle);
        if !drained || (shared.holds_office() && singleton.grant(shared, heir)) {
            return false;
        }
        if !self.exiting && !planted!(ExitsUntold) {
            self.exiting = true;
            let me = shared.me.clone();
            membership.set_exiting(&me);
        }
        false
    }

    pub(super) fn deadline(&self, shared: &Shared) -> Option<Time> {
        let since = self.since?;
        let drained = since.after(shared.times().drain_delay);
        let bound = since.after(shared.times().leave_bound);
        Some(if shared.now < drained { drained } else { bound })
    }
}

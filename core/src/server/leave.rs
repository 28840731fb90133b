//! Leaving in order: readiness off, drain, give the office away, leave; bounded whatever the others
//! do (protocol.md S3, R1).
//!
//! | state | until |
//! |---|---|
//! | draining | `drain-delay` is over; or nothing is held and nobody else is there |
//! | granting | the office is another's, or nobody stays who can take it and did not give it back |
//! | exiting | the roster does not list us any more |

use super::shared::Shared;
use crate::identity::Identity;
use crate::membership::{Membership, Status};
use crate::planted::planted;
use crate::records::singleton::Epoch;
use crate::singleton::Singleton;
use crate::time::Time;
use std::collections::BTreeMap;

/// A server's way out.
#[derive(Clone, Debug, Default)]
pub(super) struct Leave {
    since: Option<Time>,
    exiting: bool,
    /// In which epoch the office was first offered to whom. It ends with the process, which is
    /// over within `leave-bound`.
    offered: BTreeMap<Identity, Epoch>,
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

    /// Whether the office may be given to it (S3, ADR 0018). Two that leave would give it to each
    /// other until one is gone, so nobody gets it who is known to leave; and nobody gets it twice, for
    /// the leaving may not be known. A grant that failed is made again.
    pub(super) fn may_give(&self, epoch: Epoch, membership: &Membership, heir: &Identity) -> bool {
        let came_back = self.offered.get(heir).is_some_and(|first| *first != epoch);
        membership.status(heir) != Some(Status::Leaving) && !came_back
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
        if !drained || (shared.holds_office() && self.grants(shared, singleton, heir)) {
            return false;
        }
        if !self.exiting && !planted!(ExitsUntold) {
            self.exiting = true;
            let me = shared.me.clone();
            membership.set_exiting(&me);
        }
        false
    }

    /// Gives the office away; `false` when there is nobody to give it to.
    fn grants(
        &mut self,
        shared: &mut Shared,
        singleton: &mut Singleton,
        heir: Option<Identity>,
    ) -> bool {
        if !singleton.can_grant(shared.now) {
            return true;
        }
        let heir = heir.filter(|_| !planted!(LeavesWithoutGrant));
        let Some(heir) = heir else { return false };
        let epoch = shared.epoch();
        self.offered.entry(heir.clone()).or_insert(epoch);
        singleton.grant(shared, heir);
        true
    }

    pub(super) fn deadline(&self, shared: &Shared) -> Option<Time> {
        let since = self.since?;
        let drained = since.after(shared.times().drain_delay);
        let bound = since.after(shared.times().leave_bound);
        Some(if shared.now < drained { drained } else { bound })
    }
}

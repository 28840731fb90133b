//! What a server does when the roster or the office changed, or the cluster is not its own any more.

use super::ServerProcess;
use super::follow::News;
use crate::identity::Identity;
use crate::output::{ClusterEvent, Output, StopReason, TakenBy};
use std::time::Duration;

impl ServerProcess {
    pub(super) fn take_news(&mut self, news: News, by: TakenBy) {
        if let Some(what) = news.cluster_changed {
            let reason = if self.shared.listed_in.is_some() {
                StopReason::ClusterChanged { what }
            } else {
                StopReason::Reincarnate
            };
            self.stop(reason);
            return;
        }
        if news.roster {
            self.roster_changed();
        }
        if let Some(before) = news.office.filter(|_| !self.stopped) {
            self.office_changed(before.as_ref(), by);
        }
    }

    pub(super) fn roster_changed(&mut self) {
        let Some(roster) = self.shared.roster().cloned() else {
            return;
        };
        self.gossip_dirty |= self.membership.adopt(&roster);
        self.forget_the_removed();
        self.broken.retain(|one| roster.lists(one));
        self.beat_sent = None;
        for gone in self
            .roster
            .forget_joiners(self.shared.now, roster.generation)
        {
            self.gossip_dirty |= self.membership.remove_joining(&gone);
        }
        let generation = roster.generation;
        if roster.lists(&self.shared.me) {
            if self.shared.listed_in.is_none() {
                self.shared.listed_in = Some(generation);
                self.shared
                    .outbox
                    .event(ClusterEvent::Listed { generation });
            }
        } else if self.shared.listed_in.is_some() {
            let left = self.shared.leaving;
            self.stop(if left {
                StopReason::Left
            } else {
                StopReason::LeftOut { generation }
            });
        }
    }

    /// Incarnations that are no members any more are not followed any longer.
    pub(super) fn forget_the_removed(&mut self) {
        let hears = self.detector.hears(self.shared.now, Duration::MAX);
        for gone in hears
            .iter()
            .filter(|one| self.membership.status(one).is_none())
        {
            self.detector.forget(gone);
        }
    }

    pub(super) fn office_changed(&mut self, before: Option<&Identity>, by: TakenBy) {
        let shared = &mut self.shared;
        self.singleton.office_changed(shared.now);
        self.beat_sent = None;
        if shared.holds_office() {
            let epoch = shared.epoch();
            shared.outbox.event(ClusterEvent::OfficeTaken { epoch, by });
            self.supervisor.take_over(shared);
        } else {
            self.supervisor.step_down();
            if before == Some(&shared.me) {
                let epoch = shared.epoch();
                shared.outbox.event(ClusterEvent::SteppedDown { epoch });
            }
        }
    }

    pub(super) fn stop(&mut self, reason: StopReason) {
        self.gateway.give_up(
            &mut self.shared,
            "this server is leaving the cluster; ask another one",
        );
        self.supervisor.step_down();
        self.stopped = true;
        self.shared.outbox.push(Output::Stop(reason));
    }
}

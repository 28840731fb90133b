//! What is not acknowledged, and who is not heard: sent again, asked, given up.

use super::super::kernel::State;
use super::super::paths::{Fate, nanos};
use super::super::queue::Event;
use super::*;

impl State {
    pub(in super::super) fn arm_retry(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = connection.end_mut(side);
        if !end.waits() {
            end.waiting_since = None;
            return;
        }
        end.waiting_since.get_or_insert(now);
        if end.retry.is_none() {
            let key = self
                .queue
                .push(now + end.retry_pause, Event::Retry(id, side));
            end.retry = Some(key);
        }
    }

    /// Looks at what is not acknowledged: sends it again, or gives up.
    pub(in super::super) fn retry(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = connection.end_mut(side);
        end.retry = None;
        let Some(since) = end.waiting_since.filter(|_| end.waits()) else {
            return;
        };
        let bound = end.tuning.map(|tuning| nanos(tuning.user_timeout));
        let limit = bound.map_or(u64::MAX, |bound| since.saturating_add(bound));
        if now >= limit {
            self.break_end(id, side, io::ErrorKind::TimedOut);
            return;
        }
        let due = end
            .sent
            .max(since)
            .saturating_add(end.retry_pause)
            .min(limit);
        if now >= due {
            end.retry_pause = end.retry_pause.saturating_mul(2).min(RETRY_MAX);
            end.next = end.acknowledged;
            end.fin_sent = false;
            end.sent = now;
        }
        let next = end
            .sent
            .max(since)
            .saturating_add(end.retry_pause)
            .min(limit);
        end.retry = Some(self.queue.push(next.max(now + 1), Event::Retry(id, side)));
        self.transmit(id, side);
    }

    pub(in super::super) fn set_tuning(&mut self, id: ConnectionId, side: Side, tuning: Tuning) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.end_mut(side).tuning = Some(tuning);
            self.plan(nanos(tuning.keepalive_idle), Event::Keepalive(id, side));
        }
    }

    /// Asks an idle peer for a sign of life.
    pub(in super::super) fn keepalive(&mut self, id: ConnectionId, side: Side) {
        let now = self.now;
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (end, peer) = (connection.end(side), connection.end(side.other()));
        let Some(tuning) = end.tuning else { return };
        if !matches!(end.stage, Stage::Open) {
            return;
        }
        let (idle, interval) = (
            nanos(tuning.keepalive_idle),
            nanos(tuning.keepalive_interval),
        );
        let silent = now.saturating_sub(end.heard);
        // What waits for an acknowledgement asks by itself.
        if silent < idle || end.waits() {
            let after = idle.saturating_sub(silent).max(interval.min(idle));
            self.plan(after, Event::Keepalive(id, side));
            return;
        }
        // With a user time-out Linux counts time, not questions.
        if end.probes > 0 && silent >= nanos(tuning.user_timeout) {
            self.break_end(id, side, io::ErrorKind::TimedOut);
            return;
        }
        let (here, there, gone) = (end.host, peer.host, peer.stage == Stage::Gone);
        let heard = matches!(self.packet(here, there), Fate::Arrives(_))
            && matches!(self.packet(there, here), Fate::Arrives(_));
        if heard && gone {
            self.was_reset(id, side);
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            let (end, peer) = connection.both(side);
            if heard {
                (end.heard, end.probes) = (now, 0);
                peer.heard = now;
            } else {
                end.probes += 1;
            }
        }
        self.plan(
            if heard { idle } else { interval },
            Event::Keepalive(id, side),
        );
    }
}

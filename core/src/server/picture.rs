//! What most of a step rests on, worked out again only when something of it has changed: nearly all
//! inputs of a cluster at rest are beats and timers that change nothing.

use super::ServerProcess;
use crate::gossip::Gossip;
use crate::identity::Identity;
use crate::reachability::ring::neighbours;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whom this server hears and watches, and the states that this was worked out from.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// Whom it hears.
    pub(super) hears: BTreeSet<Identity>,
    /// With which listed servers it exchanges beats.
    pub(super) ring: BTreeSet<Identity>,
    /// See [`crate::reachability::detector::Detector::picture`].
    beats: u64,
    /// See [`super::shared::Followed::replaced`].
    cluster: u64,
    /// The state of membership: another one after each change.
    gossip: Option<Arc<Gossip>>,
}

impl ServerProcess {
    /// Brings the picture up to date; returns whether beats, roster or membership are others than
    /// at the last step. What rests on these alone is left as it is when they are not.
    pub(super) fn look_around(&mut self) -> bool {
        let shared = &self.shared;
        let (now, detection) = (shared.now, shared.times().detection);
        let beats = self.detector.picture(now, detection);
        let cluster = shared.followed.replaced;
        let gossip = self.membership.gossip();
        let old = &self.picture;
        let same_gossip = old
            .gossip
            .as_ref()
            .is_some_and(|old| Arc::ptr_eq(old, gossip));
        if same_gossip && old.beats == beats && old.cluster == cluster {
            return false;
        }
        let listed = shared
            .roster()
            .into_iter()
            .flat_map(|roster| &roster.listed);
        let listed: BTreeSet<_> = listed.cloned().collect();
        self.picture = Picture {
            hears: self.detector.hears(now, detection),
            ring: neighbours(&shared.me, &listed, shared.limits().monitored_by),
            beats,
            cluster,
            gossip: Some(gossip.clone()),
        };
        true
    }
}

//! What most of a step rests on, worked out again only when something of it has changed: nearly all
//! inputs of a cluster at rest are beats and timers that change nothing.

use super::ServerProcess;
use crate::gossip::Gossip;
use crate::identity::Identity;
use crate::reachability::lanes::Lanes;
use crate::reachability::sight::{Eyes, Sight};
use crate::records::cluster::Generation;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whom this server hears, watches and is connected with, and what this was worked out from.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// Whom it hears.
    pub(super) hears: Arc<BTreeSet<Identity>>,
    /// Who exchanges beats with whom.
    pub(super) lanes: Lanes,
    /// Which listed servers it sees, and is connected with.
    pub(super) sight: Sight,
    /// The generation and the holder that the lanes are of.
    laid: Option<(Generation, Option<Identity>)>,
    /// See [`crate::reachability::detector::Detector::picture`].
    beats: u64,
    /// See [`super::shared::Followed::replaced`].
    cluster: u64,
    /// The state of membership: another one after each change.
    gossip: Option<Arc<Gossip>>,
}

impl ServerProcess {
    /// Brings the picture up to date; returns whether beats, roster, office or membership are others
    /// than at the last step. What rests on these alone is left as it is when they are not.
    pub(super) fn look_around(&mut self) -> bool {
        let laid = self.lay_lanes();
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
        if same_gossip && old.beats == beats && old.cluster == cluster && !laid {
            return false;
        }
        let eyes = Eyes {
            me: &shared.me,
            lanes: &old.lanes,
            detector: &self.detector,
            table: &gossip.reachability,
            now,
            detection,
        };
        let listed = shared.roster().map(|roster| roster.listed.as_slice());
        let sight = Sight::of(eyes, listed.unwrap_or_default());
        let gossip = Some(gossip.clone());
        let hears = self.detector.hears(now, detection);
        let picture = &mut self.picture;
        picture.sight = sight;
        if hears != *picture.hears {
            picture.hears = Arc::new(hears);
        }
        (picture.beats, picture.cluster, picture.gossip) = (beats, cluster, gossip);
        true
    }

    /// The roster or the office changed, and with them who exchanges beats with us. Who begins to is
    /// followed anew: what was heard of it long ago is no reason to miss it now. Of who no longer
    /// does we say nothing. Returns whether there are new lanes.
    fn lay_lanes(&mut self) -> bool {
        let shared = &self.shared;
        let Some(roster) = shared.roster() else {
            return false;
        };
        let (generation, holder) = (roster.generation, shared.holder());
        let laid = self.picture.laid.as_ref();
        if laid.is_some_and(|(of, under)| *of == generation && under.as_ref() == holder) {
            return false;
        }
        let me = &shared.me;
        let monitored_by = shared.limits().monitored_by;
        let lanes = Lanes::new(me, &roster.listed, holder, monitored_by);
        let old = &self.picture.lanes;
        let hears = self.detector.hears(shared.now, shared.times().detection);
        let new = lanes.of(me).filter(|one| !old.joins(me, one));
        for one in new.filter(|one| !hears.contains(*one)) {
            self.detector.forget(one);
            self.detector.expect(shared.now, one);
        }
        for one in old.of(me).filter(|one| !lanes.joins(me, one)) {
            self.gossip_dirty |= self.membership.observe(one, true);
        }
        self.picture.laid = Some((generation, holder.cloned()));
        self.picture.lanes = lanes;
        true
    }
}

//! Who may take the office after its holder (protocol.md S3, S8).

use crate::identity::Identity;
use crate::membership::Status;
use crate::reachability::sight::Seen;
use crate::server::shared::Shared;
use std::time::Duration;

/// The candidates, oldest first: listed, alive, with the store. Who leaves is one only while nobody
/// else is, so that the office does not move again with it; who is ready to go never is.
pub(crate) fn candidates<'a>(
    shared: &'a Shared,
    seen: Seen<'a>,
) -> impl Iterator<Item = &'a Identity> {
    let listed = shared.roster().map(|roster| roster.listed.as_slice());
    let listed = listed.unwrap_or_default().iter();
    let may = move |one: &&Identity| {
        let (holder, status) = (shared.holder(), seen.membership.status(one));
        Some(*one) != holder && status < Some(Status::Exiting) && is_alive(shared, seen, one)
    };
    let leaves = move |one: &Identity| seen.membership.status(one) == Some(Status::Leaving);
    let somebody_stays = listed.clone().filter(may).any(|one| !leaves(one));
    listed
        .filter(may)
        .filter(move |one| !(somebody_stays && leaves(one)))
}

/// Lives, and has the store. Of one that owes us no beats nothing is known of its store: the guards
/// will tell.
fn is_alive(shared: &Shared, seen: Seen<'_>, one: &Identity) -> bool {
    let times = shared.times();
    let fresh = times.vacant_after.saturating_add(times.slow_beat);
    if *one == shared.me {
        return true;
    }
    if !seen.lanes.joins(&shared.me, one) {
        return seen.sight.sees(one);
    }
    seen.detector.heard(one).is_some_and(|(at, beat)| {
        shared.now.since(at) < times.detection && Duration::from_millis(beat.store_age_ms) < fresh
    })
}

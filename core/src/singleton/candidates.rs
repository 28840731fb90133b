//! Who may take the office after its holder (protocol.md S3, S8).

use crate::identity::Identity;
use crate::membership::Status;
use crate::reachability::sight::Seen;
use crate::server::shared::Shared;
use std::time::Duration;

/// The candidates, oldest first: listed, alive, with the store. Who leaves is one only while nobody
/// else is, so that the office does not move again with it; who is ready to go never is.
pub(crate) fn candidates(shared: &Shared, seen: Seen<'_>) -> Vec<Identity> {
    let fresh = shared
        .times()
        .vacant_after
        .saturating_add(shared.times().slow_beat);
    let beats = |one: &Identity| {
        seen.detector.heard(one).is_some_and(|(at, beat)| {
            shared.now.since(at) < shared.times().detection
                && Duration::from_millis(beat.store_age_ms) < fresh
        })
    };
    // Of one that owes us no beats nothing is known of its store: the guards will tell.
    let alive = |one: &Identity| {
        let owes = seen.lanes.joins(&shared.me, one);
        *one == shared.me
            || if owes {
                beats(one)
            } else {
                seen.sight.sees(one)
            }
    };
    let status = |one: &Identity| seen.membership.status(one).unwrap_or(Status::Up);
    let listed = shared
        .roster()
        .map(|roster| roster.listed.as_slice())
        .unwrap_or_default();
    let others = listed.iter().filter(|one| shared.holder() != Some(*one));
    let (leaving, staying): (Vec<_>, Vec<_>) = others
        .filter(|one| alive(one) && status(one) < Status::Exiting)
        .cloned()
        .partition(|one| status(one) == Status::Leaving);
    if staying.is_empty() { leaving } else { staying }
}

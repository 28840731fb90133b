//! What every transaction of a server must keep, judged by the store as it is when it is sent.

use super::hands::{text, writes};
use super::newer::is_newer;
use super::world::{World, layout};
use crate::identity::CallId;
use crate::records::call::{CallRecord, CallState};
use crate::records::cluster::{ClusterRecord, Roster};
use crate::records::key as keys;
use crate::records::singleton::SingletonRecord;
use crate::records::transaction::{Operation, Transaction};
use std::collections::BTreeSet;

/// The laws of one transaction.
pub(super) fn lawful(world: &World, one: &Transaction) {
    let ops = text(one);
    let has = |prefix: &str| ops.iter().any(|op| op.starts_with(prefix));
    let founds = has("create cluster");
    let fenced = has("check singleton@") || has("put singleton@") || founds;
    let decides = [
        "context/",
        "context-name/",
        "context-last/",
        "owner/",
        "life/",
        "ended/",
        "done/",
        "pulse",
    ];
    for write in writes(one) {
        let key = write.key().as_str().replace("c/one/", "");
        let decided = decides.iter().any(|folder| key.starts_with(folder));
        // W2: whatever the holder decides carries the fence on the office.
        assert!(!decided || fenced, "without the fence: {ops:?}");
        // W3: nothing but `cluster` and `pulse` is written whatever its version.
        let any = matches!(write, Operation::Put { version: None, .. });
        assert!(!any || key == "pulse", "{ops:?}");
        let deletes = matches!(write, Operation::Delete { .. });
        let kept = ["cluster", "singleton", "pulse", "challenge", "split"];
        assert!(!deletes || !kept.contains(&key.as_str()), "{ops:?}");
    }
    if has("put challenge") {
        assert!(
            has("check singleton@") && has("check pulse@"),
            "S5: {ops:?}"
        );
    }
    if has("put split") {
        assert!(has("check cluster@"), "R4: {ops:?}");
    }
    if has("put singleton") {
        // S2, S9: the roster that lists the new holder, and a raise of `pulse`.
        assert!(has("check cluster@") || has("put cluster@"), "{ops:?}");
        assert!(has("put pulse"), "{ops:?}");
    }
    keeps_unknown_fields(world, one, &ops);
    expires_what_is_past(world, one, &ops);
    assert!(one.encoded_bytes() <= crate::records::transaction::TRANSACTION_BYTES_MAX);
    for write in writes(one) {
        if let Operation::Put {
            key,
            value,
            version,
        } = write
            && *key == keys::cluster()
        {
            let version = version.unwrap();
            let next: ClusterRecord = serde_json::from_str(value).unwrap();
            let known: Option<crate::records::Versioned<ClusterRecord>> = world.get(key);
            if let Some(known) = known.filter(|known| known.version == version) {
                successor(&known.value.roster, &next.roster, &ops);
            }
        }
        if let Operation::Put {
            key,
            value,
            version: Some(version),
        } = write
            && *key == layout().singleton()
        {
            let next: SingletonRecord = serde_json::from_str(value).unwrap();
            let known: Option<crate::records::Versioned<SingletonRecord>> = world.get(key);
            if let Some(known) = known.filter(|known| known.version == *version) {
                assert_eq!(next.epoch, known.value.epoch.next(), "S2: {ops:?}");
            }
        }
    }
}

/// W7: what replaces a record in the version that it has now, and what a record moves to when it is
/// over, has every field that it has.
fn keeps_unknown_fields(world: &World, one: &Transaction, ops: &[String]) {
    let moves = [
        ("call/", "settled/"),
        ("context/", "ended/"),
        ("job/", "done/"),
    ];
    for write in writes(one) {
        let (Operation::Put { key, version, .. } | Operation::Delete { key, version }) = write
        else {
            continue;
        };
        let newer = world.get_text(key).is_some_and(|text| is_newer(&text));
        let current = || {
            world
                .get::<serde_json::Value>(key)
                .map(|known| known.version)
        };
        if !newer || version.is_none() || current() != *version {
            continue;
        }
        let of = |folder: &str| key.as_str().starts_with(&format!("c/one/{folder}"));
        let moved = moves.iter().find(|(from, _)| of(from)).map(|(_, to)| to);
        let next = writes(one).into_iter().find_map(|next| match next {
            Operation::Put { key: at, value, .. } if at == key => Some(value),
            Operation::Create { key: at, value } => (at.name() == key.name()
                && moved.is_some_and(|to| at.as_str().contains(to)))
            .then_some(value),
            _ => None,
        });
        assert!(next.is_none_or(|next| is_newer(next)), "W7: {key}: {ops:?}");
    }
}

/// C4: only an open call is expired, and only when the store's clock is past its deadline.
fn expires_what_is_past(world: &World, one: &Transaction, ops: &[String]) {
    for write in writes(one) {
        let Operation::Create { key, value } = write else {
            continue;
        };
        let settled = key.as_str().contains("/settled/");
        if !settled || !value.contains(r#""outcome":"expired""#) {
            continue;
        }
        let call = layout().call(&CallId::new(key.name()));
        let deleted = one.operations.iter().find_map(|other| match other {
            Operation::Delete { key, version } if *key == call => *version,
            _ => None,
        });
        assert!(deleted.is_some(), "C4: {ops:?}");
        let readable = world.get_text(&call).is_some_and(|text| text != "{");
        let known = readable.then(|| world.get::<CallRecord>(&call)).flatten();
        if let Some(known) = known.filter(|known| Some(known.version) == deleted) {
            assert_eq!(known.value.progress, CallState::Open, "C4: {ops:?}");
            assert_eq!(known.remaining(world.stamp()), None, "C4: {ops:?}");
        }
    }
}

/// R1, R5: one more generation, nobody twice, and whoever is left out costs a guard on the office.
fn successor(old: &Roster, new: &Roster, ops: &[String]) {
    assert_eq!(new.generation, old.generation.next());
    let once: BTreeSet<_> = new.listed.iter().map(|one| &one.address).collect();
    assert_eq!(once.len(), new.listed.len(), "an address twice: {ops:?}");
    if old.listed.iter().any(|one| !new.lists(one)) {
        let guarded = ops.iter().any(|op| op.contains(" singleton@"));
        assert!(guarded, "R5: {ops:?}");
    }
}

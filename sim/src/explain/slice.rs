//! What led to a violation: from the last things that it speaks of, back along direct causes.

use super::picture::{ItemId, ItemKind, Picture};
use std::collections::{BTreeSet, VecDeque};

/// The most items that are called the cause; more than that explains nothing.
const ITEMS_MAX: usize = 120;
/// Where a search begins at most.
const STARTS_MAX: usize = 6;

/// Marks the items that led to the violation.
pub fn mark(picture: &mut Picture) {
    let Some(wrong) = picture.violation.clone() else {
        return;
    };
    let mut chosen: BTreeSet<ItemId> = BTreeSet::new();
    let mut next: VecDeque<ItemId> = starts(picture, wrong.at, &wrong.what).into();
    while let Some(id) = next.pop_front() {
        if chosen.len() >= ITEMS_MAX || !chosen.insert(id) {
            continue;
        }
        next.extend(picture.items[id].causes.iter().copied());
    }
    for id in chosen {
        picture.items[id].in_slice = true;
    }
}

/// The last items before the violation that share a name with it, latest first; when none does,
/// the last decisive one.
fn starts(picture: &Picture, at: u64, what: &str) -> Vec<ItemId> {
    let names = names_in(what);
    let before = || {
        let happened = picture.items.iter().enumerate().rev();
        happened.filter(|(_, item)| item.at <= at && item.kind != ItemKind::Message)
    };
    let speaks = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
    let named: Vec<ItemId> = before()
        .filter(|(_, item)| speaks(&item.text) || speaks(&item.detail))
        .map(|(id, _)| id)
        .take(STARTS_MAX)
        .collect();
    if named.is_empty() {
        before().map(|(id, _)| id).take(1).collect()
    } else {
        named
    }
}

/// Words of a text that name something: with a digit and long enough to be no mere number.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '#' | '.');
    text.split(|c: char| !is_part(c))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.len() >= 2)
        .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
        .filter(|word| word.contains(|c: char| c.is_ascii_alphabetic()))
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::picture::{Item, Wrong};

    fn item(at: u64, kind: ItemKind, text: &str, causes: &[ItemId]) -> Item {
        Item {
            at,
            lane: 0,
            kind,
            text: text.to_owned(),
            detail: String::new(),
            to: None,
            until: None,
            causes: causes.to_vec(),
            in_slice: false,
        }
    }

    fn sliced(items: Vec<Item>, what: &str) -> Vec<ItemId> {
        let mut picture = Picture {
            items,
            violation: Some(Wrong {
                at: 100,
                oracle: "no_lost_job".to_owned(),
                what: what.to_owned(),
            }),
            ..Picture::default()
        };
        mark(&mut picture);
        let marked = picture.items.iter().enumerate();
        marked
            .filter(|(_, item)| item.in_slice)
            .map(|(id, _)| id)
            .collect()
    }

    #[test]
    fn causes_of_what_the_violation_names_are_marked_and_nothing_else() {
        let items = vec![
            item(1, ItemKind::Call, "client asks", &[]),
            item(2, ItemKind::Message, "gossip", &[]),
            item(3, ItemKind::Accepted, "put job j-17", &[0]),
            item(4, ItemKind::Accepted, "put pulse", &[1]),
            item(200, ItemKind::Accepted, "put job j-17 later", &[3]),
        ];
        assert_eq!(sliced(items, "job j-17 is lost"), [0, 2]);
    }

    #[test]
    fn a_violation_that_names_nothing_starts_at_the_last_decisive_item() {
        let items = vec![
            item(1, ItemKind::Event, "founded", &[]),
            item(2, ItemKind::Event, "left", &[]),
            item(3, ItemKind::Message, "gossip", &[1]),
        ];
        assert_eq!(sliced(items, "nobody serves"), [1]);
    }

    #[test]
    fn a_slice_is_bounded() {
        let items = (0..1_000)
            .map(|id: usize| {
                let causes: Vec<_> = id.checked_sub(1).into_iter().collect();
                item(1, ItemKind::Event, "s1 moved", &causes)
            })
            .collect();
        assert_eq!(sliced(items, "s1 is wrong").len(), ITEMS_MAX);
    }
}

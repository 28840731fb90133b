//! Keeps a page small enough to open at once: details of what led to nothing are shortened.

use super::picture::{Item, ItemKind};
use super::words::shorten;

/// The most bytes of all details together: a page of 10,000 items stays below 2 MB.
const DETAILS_MAX: usize = 300_000;
/// How far each detail is shortened, step by step, until they fit.
const DETAIL_STEPS: [usize; 5] = [1_000, 500, 240, 80, 0];

/// Shortens details until they fit.
pub(super) fn thin_out(items: &mut [Item]) {
    for most in DETAIL_STEPS {
        let bytes: usize = items.iter().map(|item| item.detail.len()).sum();
        if bytes <= DETAILS_MAX {
            return;
        }
        for item in items.iter_mut().filter(|item| !item.in_slice) {
            // Messages are the most, and say the least.
            let is_message = item.kind == ItemKind::Message;
            let most = if is_message { most / 8 } else { most };
            item.detail = shorten(std::mem::take(&mut item.detail), most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::page;
    use crate::explain::picture::Picture;

    /// As large as real ones are (138 bytes without the detail, over a run of 5,612).
    fn item(kind: ItemKind, in_slice: bool) -> Item {
        let is_message = kind == ItemKind::Message;
        let text = if is_message {
            "driver-heard"
        } else {
            "may not write roster 4 (s3, s1): cluster has changed by another one"
        };
        Item {
            at: 12_345_678,
            lane: 3,
            kind,
            text: text.to_owned(),
            detail: "d".repeat(1_200),
            to: is_message.then_some(2),
            until: Some(12_346_789),
            causes: vec![9_998, 9_999],
            in_slice,
        }
    }

    #[test]
    fn a_page_of_ten_thousand_items_stays_below_two_megabytes_and_keeps_what_explains() {
        let kinds = [ItemKind::Message, ItemKind::Accepted];
        let mut items: Vec<_> = (0..10_000)
            .map(|number| item(kinds[number % 2], number % 1_000 == 0))
            .collect();
        thin_out(&mut items);
        assert!(
            items
                .iter()
                .filter(|item| item.in_slice)
                .all(|item| item.detail.len() == 1_200)
        );
        let picture = Picture {
            items,
            ..Picture::default()
        };
        let bytes = page::html(&picture).map(|page| page.len());
        assert!(bytes.is_ok_and(|bytes| bytes < 2_000_000));
    }

    #[test]
    fn details_of_a_short_run_stay_whole() {
        let mut items = vec![item(ItemKind::Message, false); 100];
        thin_out(&mut items);
        assert!(items.iter().all(|item| item.detail.len() == 1_200));
    }
}

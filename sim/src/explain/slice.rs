//! What led to a violation: from the last things that it speaks of, back along direct causes.

use super::picture::{Item, ItemId, ItemKind, Picture};
use std::collections::{BTreeSet, BinaryHeap};

/// Words of a violation that is about contexts, jobs and calls.
const WORK: [&str; 8] = [
    "job", "context", "call", "driver", "attempt", "engine", "key", "answer",
];
/// The shortest id of a context, a job or a call; names of members are shorter.
const ID_MIN: usize = 30;
/// The most items that are called the cause; more than that explains nothing.
const ITEMS_MAX: usize = 40;
/// The fewest that it may have in a short run.
const ITEMS_MIN: usize = 6;
/// Of all items, one in so many may be called the cause.
const SHARE: usize = 10;
/// Where a search begins at most.
const STARTS_MAX: usize = 6;

/// Marks the items that led to the violation: the latest first, so that what is near in time is
/// told when there is too much. Routine is passed through, and not told itself.
pub fn mark(picture: &mut Picture) {
    let Some(wrong) = picture.violation.clone() else {
        return;
    };
    let most = (picture.items.len() / SHARE).clamp(ITEMS_MIN, ITEMS_MAX);
    let topic = Topic::of(&wrong.what);
    let starts = starts(picture, wrong.at, &wrong.what, &topic);
    // What the last step came from is told, be it routine.
    let last = starts
        .iter()
        .max()
        .map(|id| picture.items[*id].causes.clone());
    let last = last.unwrap_or_default();
    let mut seen: BTreeSet<ItemId> = starts.iter().copied().collect();
    let mut next: BinaryHeap<ItemId> = starts.iter().copied().collect();
    let mut chosen: Vec<ItemId> = starts.clone();
    let mut asked: BTreeSet<ItemId> = BTreeSet::new();
    while let Some(id) = next.pop() {
        if chosen.len() >= most {
            break;
        }
        let item = &picture.items[id];
        let is_start = starts.contains(&id);
        let told = is_start || topic.includes(item) || asked.contains(&id);
        if !is_start && told && (!is_routine(item) || last.contains(&id)) {
            chosen.push(id);
        }
        for cause in item.causes.iter().filter(|cause| seen.insert(**cause)) {
            next.push(*cause);
            // Who asked does not know the id yet that the answer will name.
            if told && picture.items[*cause].kind == ItemKind::Call {
                asked.insert(*cause);
            }
        }
    }
    for id in chosen {
        picture.items[id].in_slice = true;
    }
}

/// What a violation is about.
struct Topic {
    /// Contexts, jobs and calls; otherwise the office and the roster.
    is_work: bool,
    /// The ids that it names, as texts and details have them.
    ids: Vec<String>,
}

impl Topic {
    fn of(what: &str) -> Self {
        let ids = names_in(what);
        Self {
            is_work: WORK.iter().any(|word| what.contains(word)),
            ids: ids.into_iter().filter(|id| id.len() >= ID_MIN).collect(),
        }
    }

    /// Whether an item may have to do with it.
    fn includes(&self, item: &Item) -> bool {
        if !is_work(item) {
            return true;
        }
        let names =
            |id: &String| item.text.contains(id.as_str()) || item.detail.contains(id.as_str());
        self.is_work && (self.ids.is_empty() || self.ids.iter().any(names))
    }
}

/// Whether it is about contexts and jobs, which say nothing of who holds the office or is listed.
fn is_work(item: &Item) -> bool {
    match item.kind {
        ItemKind::Call | ItemKind::Answer | ItemKind::Deed => true,
        ItemKind::Accepted | ItemKind::Refused => {
            let of_office = ["roster", "singleton", "pulse", "challenge", "split"];
            !of_office.iter().any(|name| item.text.contains(name))
        }
        ItemKind::Message => matches!(item.text.as_str(), "call-hint" | "job-hint"),
        ItemKind::Event | ItemKind::Lost | ItemKind::Broken => false,
    }
}

/// What goes round all the time and decides nothing by itself: gossip, beats, signs of life.
fn is_routine(item: &Item) -> bool {
    match item.kind {
        ItemKind::Message => matches!(
            item.text.as_str(),
            "gossip" | "driver-beat" | "driver-heard" | "driver-seen" | "contact" | "contact-ack"
        ),
        ItemKind::Accepted => item.text.starts_with("writes pulse") && !item.text.contains(','),
        ItemKind::Event => item.text.starts_with("warns"),
        ItemKind::Answer => item.text == "read",
        ItemKind::Refused | ItemKind::Deed | ItemKind::Call | ItemKind::Lost | ItemKind::Broken => {
            false
        }
    }
}

/// The last decisive item before the violation, and the last ones that share a name with it.
fn starts(picture: &Picture, at: u64, what: &str, topic: &Topic) -> Vec<ItemId> {
    let names = names_in(what);
    let before = || {
        let happened = picture.items.iter().enumerate().rev();
        happened.filter(|(_, item)| item.at <= at && item.kind != ItemKind::Message)
    };
    let speaks = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
    let told = |item: &Item| !is_routine(item) && topic.includes(item);
    let decisive = || before().filter(|(_, item)| told(item));
    // What happened in the instant of the violation is what showed it; then the latest that speak
    // of what it names, those whose own words do and those whose details do.
    let shown = decisive().filter(|(_, item)| item.at == at);
    let mut starts: Vec<ItemId> = shown.map(|(id, _)| id).take(1).collect();
    let by_text = decisive().filter(|(_, item)| speaks(&item.text));
    starts.extend(by_text.map(|(id, _)| id).take(STARTS_MAX / 2));
    let by_detail = decisive().filter(|(_, item)| speaks(&item.detail));
    starts.extend(by_detail.map(|(id, _)| id).take(STARTS_MAX / 2));
    if starts.is_empty() {
        starts.extend(decisive().map(|(id, _)| id).take(1));
    }
    starts.sort_unstable();
    starts.dedup();
    starts
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
    fn what_is_said_of_the_office_leaves_jobs_and_routine_out_but_for_the_last_causes() {
        let items = vec![
            item(1, ItemKind::Accepted, "writes singleton (epoch 1, s1)", &[]),
            item(2, ItemKind::Accepted, "writes job 17 (RUNNING)", &[0]),
            item(3, ItemKind::Message, "gossip", &[1]),
            item(4, ItemKind::Accepted, "writes pulse 1/6", &[3]),
            item(5, ItemKind::Accepted, "writes pulse 1/7", &[2, 3]),
            item(
                100,
                ItemKind::Accepted,
                "writes singleton (epoch 2, s2)",
                &[4],
            ),
        ];
        assert_eq!(sliced(items, "s2 took the office from s1"), [0, 4, 5]);
    }

    #[test]
    fn what_is_said_of_a_call_leaves_other_calls_out_but_not_who_asked() {
        let id = "018bcfe5-bf00-7a1c-a8b8-860278bd3540";
        let writes = format!("writes call {id}");
        let items = vec![
            item(1, ItemKind::Call, "to create context c1", &[]),
            item(2, ItemKind::Call, "to create context c2", &[]),
            item(3, ItemKind::Accepted, "writes call of c1", &[0]),
            item(4, ItemKind::Accepted, &writes, &[1, 2]),
            item(100, ItemKind::Accepted, &writes, &[3]),
        ];
        assert_eq!(sliced(items, &format!("call {id} is lost")), [1, 3, 4]);
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

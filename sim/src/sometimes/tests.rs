//! Tests of the counters.

use super::*;
use std::collections::BTreeSet;

#[test]
fn words_and_sentences_are_all_different() {
    let words: BTreeSet<_> = Thing::ALL.iter().map(|one| one.word()).collect();
    let sentences: BTreeSet<_> = Thing::ALL.iter().map(|one| one.sentence()).collect();
    assert_eq!(words.len(), Thing::ALL.len());
    assert_eq!(sentences.len(), Thing::ALL.len());
}

#[test]
fn counters_of_runs_are_added() {
    let (mut one, mut other) = (Counters::default(), Counters::default());
    one.note(Thing::Founded);
    other.note(Thing::Founded);
    other.note(Thing::Left);
    one.merge(&other);
    assert_eq!((one.of(Thing::Founded), one.of(Thing::Left)), (2, 1));
    assert!(one.never().all(|thing| one.of(thing) == 0));
    assert_eq!(one.never().count() + 2, Thing::ALL.len());
}

//! What the fuzz target `wire_decode` asserts, on valid frames with several things broken at once:
//! the same cases in every run. `PROPTEST_CASES` asks for more of them.

use super::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// One thing that goes wrong with bytes.
#[derive(Clone, Debug)]
enum Mutation {
    /// A byte becomes another.
    Set(Index, u8),
    /// One bit changes.
    Flip(Index, u8),
    /// A part is left out.
    Remove(Index, Index),
    /// A part comes twice, right behind itself.
    Repeat(Index, Index),
    /// Bytes come in between: lengths and numbers at their ends among them.
    Insert(Index, Vec<u8>),
    /// The rest is of another frame.
    Splice(Index, Index),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    // Protobuf: the longest varints, one that is too long, keys of wire types with and without
    // an end, a length of 4 GiB.
    let odd = select(vec![
        vec![0xff; 9],
        vec![0xff; 11],
        vec![0x80; 10],
        vec![0x0b],
        vec![0x0b; 200],
        vec![0x0c],
        vec![0x0f],
        vec![0x12, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x0a, 0],
        vec![0],
    ]);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, to)| Mutation::Set(at, to)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), at()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        (at(), at()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        (at(), odd).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), at()).prop_map(|(at, from)| Mutation::Splice(at, from)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation, other: &[u8]) {
    let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
    let span = |a: &Index, b: &Index, bytes: &[u8]| {
        let (a, b) = (place(a, bytes), place(b, bytes));
        a.min(b)..a.max(b)
    };
    match mutation {
        Mutation::Set(at, to) => {
            let at = place(at, bytes);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = *to;
            }
        }
        Mutation::Flip(at, bit) => {
            let at = place(at, bytes);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Mutation::Remove(from, to) => drop(bytes.drain(span(from, to, bytes))),
        Mutation::Repeat(from, to) => {
            let span = span(from, to, bytes);
            let copy = bytes[span.clone()].to_vec();
            bytes.splice(span.end..span.end, copy);
        }
        Mutation::Insert(at, odd) => {
            let at = place(at, bytes);
            bytes.splice(at..at, odd.iter().copied());
        }
        Mutation::Splice(at, from) => {
            bytes.truncate(place(at, bytes));
            bytes.extend_from_slice(&other[place(from, other)..]);
        }
    }
}

/// Nothing panics, and what is taken is what it would be said as.
fn check(bytes: &[u8]) -> Result<u32, TestCaseError> {
    let mut taken = 0;
    if let Ok(message) = decode_message(bytes) {
        prop_assert_eq!(decode_message(&encode_message(&message)), Ok(message));
        taken += 1;
    }
    if let Ok(beat) = decode_beat(bytes) {
        prop_assert_eq!(decode_beat(&encode_beat(&beat)), Ok(beat));
        taken += 1;
    }
    Ok(taken)
}

#[test]
fn mutated_frames_are_refused_or_survive_a_round_trip() {
    let cases = Config::default().cases * 8;
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let frame = || {
        prop_oneof![
            4 => any_message().prop_map(|one| encode_message(&one)),
            1 => any_beat().prop_map(|one| encode_beat(&one)),
        ]
    };
    let mutations = proptest::collection::vec(any_mutation(), 1..8);
    let taken = std::cell::Cell::new(0_u32);
    let outcome = runner.run(&(frame(), frame(), mutations), |(mut bytes, other, all)| {
        for mutation in &all {
            mutate(&mut bytes, mutation, &other);
            taken.set(taken.get() + check(&bytes)?);
        }
        Ok(())
    });
    outcome.unwrap();
    let taken = taken.get();
    assert!(
        taken > cases / 20,
        "only {taken} were taken: the rest proves nothing"
    );
}

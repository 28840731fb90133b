//! Runs many trials on several threads, and tells about each as it ends.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

/// How many results may wait for whoever listens: enough to never stop a thread, and bounded.
const WAITING_MAX: usize = 1_024;

/// Runs `trial` for every number of the range on so many threads, and gives each result, as it
/// comes, to `listen`, which ends everything by returning `false`. Numbers are taken in order, so
/// that what was run is a prefix of the range but for the last few.
pub fn run_all<T: Send>(
    numbers: Range<u64>,
    threads: usize,
    trial: impl Fn(u64) -> T + Sync,
    mut listen: impl FnMut(u64, T) -> bool,
) {
    let next = AtomicU64::new(numbers.start);
    let ended = AtomicBool::new(false);
    let (results, received) = mpsc::sync_channel(WAITING_MAX);
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let results = results.clone();
            scope.spawn(|| {
                let results = results;
                while !ended.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let is_last = number >= numbers.end;
                    if is_last || results.send((number, trial(number))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (number, result) in received {
            if !ended.load(Ordering::Relaxed) && !listen(number, result) {
                ended.store(true, Ordering::Relaxed);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_is_run_once() {
        let mut seen = BTreeSet::new();
        run_all(
            5..1_005,
            4,
            |number| number * 2,
            |number, result| {
                assert_eq!(result, number * 2);
                assert!(seen.insert(number));
                true
            },
        );
        assert_eq!(seen, (5..1_005).collect());
    }

    #[test]
    fn who_listens_can_end_it() {
        let mut heard = 0;
        run_all(
            0..u64::MAX,
            2,
            |number| number,
            |_, _| {
                heard += 1;
                heard < 10
            },
        );
        assert_eq!(heard, 10);
    }
}

//! Delta debugging: the fewest elements of a list with which something still holds
//! (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).

/// A list of elements of `all`, in their order, for which `holds` and from which no single element
/// can be taken away. `all` itself must hold.
pub(super) fn fewest<T: Clone>(all: &[T], mut holds: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = all.to_vec();
    if !kept.is_empty() && holds(&[]) {
        return Vec::new();
    }
    let mut size = kept.len().div_ceil(2);
    while size > 0 && kept.len() > 1 {
        let mut start = 0;
        let mut smaller = false;
        while start < kept.len() {
            let end = start.saturating_add(size).min(kept.len());
            let without: Vec<T> = [&kept[..start], &kept[end..]].concat();
            if !without.is_empty() && holds(&without) {
                kept = without;
                smaller = true;
            } else {
                start = end;
            }
        }
        size = match (smaller, size) {
            (true, size) => size.min(kept.len().div_ceil(2)),
            (false, 1) => 0,
            (false, size) => size.div_ceil(2).min(size.saturating_sub(1)),
        };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_kept_when_nothing_is_needed() {
        assert_eq!(fewest(&[1, 2, 3], |_| true), Vec::<i32>::new());
    }

    proptest! {
        #[test]
        fn exactly_what_is_needed_is_kept(
            all in proptest::collection::vec(0..100_u32, 1..60),
            picks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            let mut needed: Vec<usize> = picks.iter().map(|pick| pick.index(all.len())).collect();
            needed.sort_unstable();
            needed.dedup();
            let numbered: Vec<(usize, u32)> = all.iter().copied().enumerate().collect();
            let kept = fewest(&numbered, |some| {
                needed.iter().all(|index| some.iter().any(|(at, _)| at == index))
            });
            let indexes: Vec<usize> = kept.iter().map(|(at, _)| *at).collect();
            prop_assert_eq!(indexes, needed);
        }
    }
}

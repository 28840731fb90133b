//! Values of arguments: ranges of seeds, shards, times.

use std::ops::Range;
use std::time::Duration;

/// `A..B`, without B.
pub(super) fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let error = || format!("`{text}` is no range of seeds: expected A..B with A < B, like 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(error)?;
    let number = |text: &str| {
        text.trim()
            .replace('_', "")
            .parse::<u64>()
            .map_err(|_| error())
    };
    let (from, to) = (number(from)?, number(to)?);
    if from < to {
        Ok(from..to)
    } else {
        Err(error())
    }
}

/// `I/N`, from 1.
pub(super) fn parse_shard(text: &str) -> Result<(u64, u64), String> {
    let error = || format!("`{text}` is no shard: expected I/N with 1 <= I <= N, like 1/4");
    let (part, of) = text.split_once('/').ok_or_else(error)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| error());
    let (part, of) = (number(part)?, number(of)?);
    if (1..=of).contains(&part) {
        Ok((part, of))
    } else {
        Err(error())
    }
}

/// The seeds of a shard: the parts of all shards are disjoint and cover all.
pub(super) fn shard_of(all: &Range<u64>, (part, of): (u64, u64)) -> Range<u64> {
    let length = u128::from(all.end.saturating_sub(all.start));
    let edge = |index: u64| {
        let offset = length * u128::from(index) / u128::from(of.max(1));
        all.start
            .saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
    };
    edge(part.saturating_sub(1))..edge(part)
}

/// `90s`, `10m`, `2h`.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let error = || format!("`{text}` is no time: expected a number with s, m or h, like 10m");
    let (number, unit) = text
        .char_indices()
        .next_back()
        .map(|(at, _)| text.split_at(at))
        .ok_or_else(error)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused_with_an_example() {
        assert_eq!(parse_seeds("0..1_000"), Ok(0..1_000));
        assert_eq!(parse_shard("2/4"), Ok((2, 4)));
        assert_eq!(parse_time("10m"), Ok(Duration::from_secs(600)));
        for refused in [
            parse_seeds("7").err(),
            parse_seeds("7..7").err(),
            parse_shard("0/4").err(),
            parse_shard("5/4").err(),
            parse_time("10").err(),
            parse_time("").err(),
            parse_time("1d").err(),
        ] {
            assert!(refused.is_some_and(|text| text.contains("expected")));
        }
    }

    #[test]
    fn shards_are_disjoint_and_cover_all() {
        for (all, of) in [(0..10, 3), (5..7, 4), (0..u64::MAX, 7)] {
            let parts: Vec<_> = (1..=of).map(|part| shard_of(&all, (part, of))).collect();
            assert_eq!(parts[0].start, all.start);
            assert_eq!(parts[parts.len() - 1].end, all.end);
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start));
        }
    }
}

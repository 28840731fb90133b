//! Durations, sizes and switches as HOCON writes them (config.md 2).

use std::time::Duration;

const DURATIONS: &[(&[&str], u128)] = &[
    (
        &["", "ms", "milli", "millis", "millisecond", "milliseconds"],
        1_000_000,
    ),
    (&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], 1),
    (
        &["us", "micro", "micros", "microsecond", "microseconds"],
        1_000,
    ),
    (&["s", "second", "seconds"], 1_000_000_000),
    (&["m", "minute", "minutes"], 60_000_000_000),
    (&["h", "hour", "hours"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
];

const SIZES: &[(&[&str], u128)] = &[
    (&["", "B", "b", "byte", "bytes"], 1),
    (&["K", "k", "Ki", "KiB", "kibibyte", "kibibytes"], 1 << 10),
    (&["M", "m", "Mi", "MiB", "mebibyte", "mebibytes"], 1 << 20),
    (&["G", "g", "Gi", "GiB", "gibibyte", "gibibytes"], 1 << 30),
    (&["T", "t", "Ti", "TiB", "tebibyte", "tebibytes"], 1 << 40),
    (&["kB", "kilobyte", "kilobytes"], 1_000),
    (&["MB", "megabyte", "megabytes"], 1_000_000),
    (&["GB", "gigabyte", "gigabytes"], 1_000_000_000),
    (&["TB", "terabyte", "terabytes"], 1_000_000_000_000),
];

/// A duration: a number and an optional unit, without one milliseconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let nanos = amount(text, DURATIONS)?;
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

/// A size in bytes: a number and an optional unit, without one bytes.
#[must_use]
pub(crate) fn size(text: &str) -> Option<u64> {
    u64::try_from(amount(text, SIZES)?).ok()
}

/// `true`/`yes`/`on` and `false`/`no`/`off`.
#[must_use]
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A number with a fraction, times its unit, in whole parts of the smallest unit; exact.
fn amount(text: &str, units: &[(&[&str], u128)]) -> Option<u128> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let (_, factor) = units.iter().find(|(names, _)| names.contains(&unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 20 || fraction.len() > 15 {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(*factor)? / scale)
}

/// A duration for people: the largest unit that leaves a whole number.
#[must_use]
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0 s".to_owned();
    }
    for (name, factor) in [("h", 3_600_000), ("s", 1_000)] {
        if millis.is_multiple_of(factor) {
            return format!("{} {name}", millis / factor);
        }
    }
    format!("{millis} ms")
}

/// A size for people.
#[must_use]
pub(crate) fn show_size(bytes: u64) -> String {
    for (name, factor) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{} {name}", bytes / factor);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_specification_has_it() {
        for (text, millis) in [
            ("20s", 20_000),
            ("20 s", 20_000),
            ("0.5 s", 500),
            ("1.001s", 1_001),
            ("30", 30),
            ("250ms", 250),
            ("1 minute", 60_000),
            ("72h", 259_200_000),
            ("5 days", 432_000_000),
            ("0", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "20 x",
            "-1s",
            "1e3",
            "1 s s",
            "ten seconds",
            "99999999999999999999d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_the_specification_has_it() {
        for (text, bytes) in [
            ("30m", 31_457_280),
            ("10 MB", 10_000_000),
            ("10 MiB", 10_485_760),
            ("512k", 524_288),
            ("4 GiB", 4_294_967_296),
            ("100", 100),
            ("1.5K", 1_536),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "10 KB", "m", "-1", "10 parsecs"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for text in ["20s", "72h", "250ms", "61s", "0"] {
            let value = duration(text).unwrap();
            assert_eq!(duration(&show_duration(value)), Some(value), "{text}");
        }
        for text in ["30m", "10 MB", "1"] {
            let value = size(text).unwrap();
            assert_eq!(size(&show_size(value)), Some(value), "{text}");
        }
    }
}

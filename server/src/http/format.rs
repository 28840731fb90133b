//! Times as answers print them (rest-api.md 1.3).

use doyen_core::time::Stamp;
use time::OffsetDateTime;

/// ISO-8601, UTC, always three digits of fraction, `Z`.
pub(crate) fn instant(stamp: Stamp) -> String {
    let seconds = i64::try_from(stamp.0 / 1_000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        stamp.0 % 1_000
    )
}

/// `<seconds as a Java double> secs`, or `Job not done yet`.
pub(crate) fn duration(started: Stamp, ended: Option<Stamp>) -> String {
    ended.map_or_else(
        || String::from("Job not done yet"),
        |ended| format!("{} secs", java_seconds(ended.0.saturating_sub(started.0))),
    )
}

/// Milliseconds as Java prints `millis / 1000.0`: plain below ten million, else with an exponent.
fn java_seconds(millis: u64) -> String {
    let digits = format!("{millis:04}");
    let exponent = digits.len() - 4;
    let (whole, fraction) = if exponent < 7 {
        digits.split_at(digits.len() - 3)
    } else {
        digits.split_at(1)
    };
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    if exponent < 7 {
        format!("{whole}.{fraction}")
    } else {
        format!("{whole}.{fraction}E{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_in_rest_api_1_3() {
        assert_eq!(
            instant(Stamp(1_709_629_811_120)),
            "2024-03-05T09:10:11.120Z"
        );
        assert_eq!(instant(Stamp(1_709_629_811_000)).len(), 24);
        for (millis, text) in [
            (300_000, "300.0 secs"),
            (6_341, "6.341 secs"),
            (0, "0.0 secs"),
            (1, "0.001 secs"),
            (1_250, "1.25 secs"),
            (9_999_999_999, "9999999.999 secs"),
            (10_000_000_000, "1.0E7 secs"),
            (12_345_678_901, "1.2345678901E7 secs"),
        ] {
            assert_eq!(duration(Stamp(5), Some(Stamp(5 + millis))), text);
        }
        assert_eq!(duration(Stamp(5), None), "Job not done yet");
    }
}

//! The words of a schedule: who ([`Target`]) and when ([`At`]).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Who.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The server of this name.
    Named(String),
    /// The oldest listed server.
    Oldest,
    /// The youngest listed server.
    Youngest,
    /// The leader in the view of the oldest.
    Leader,
    /// The holder.
    SingletonHost,
    /// The first of the seed list.
    FirstSeed,
    /// The driver that owns the context of this name.
    DriverOf(String),
    /// The metadata store: only in a topology.
    Store,
}

/// Why a text names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no target: expected a server's name, `oldest`, `youngest`, `leader`, \
     `singleton-host`, `first-seed`, `driver-of(CONTEXT)` or `store`"
)]
pub struct TargetError(String);

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        let driver_of = text
            .strip_prefix("driver-of(")
            .and_then(|rest| rest.strip_suffix(')'))
            .map(|context| Self::DriverOf(context.to_owned()));
        Ok(match text.as_str() {
            "oldest" => Self::Oldest,
            "youngest" => Self::Youngest,
            "leader" => Self::Leader,
            "singleton-host" => Self::SingletonHost,
            "first-seed" => Self::FirstSeed,
            "store" => Self::Store,
            _ if driver_of.is_some() => driver_of.unwrap_or(Self::Store),
            name if is_name(name) => Self::Named(text),
            _ => return Err(TargetError(text)),
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Oldest => f.write_str("oldest"),
            Self::Youngest => f.write_str("youngest"),
            Self::Leader => f.write_str("leader"),
            Self::SingletonHost => f.write_str("singleton-host"),
            Self::FirstSeed => f.write_str("first-seed"),
            Self::DriverOf(context) => write!(f, "driver-of({context})"),
            Self::Store => f.write_str("store"),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// A time of a run, or a span of it, in whole microseconds: written `20s`, `1.5s`, `300ms`, `50us`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct At(pub u64);

impl At {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// The next whole second, itself when it is one.
    #[must_use]
    pub const fn rounded_up(self) -> Self {
        Self(self.0.div_ceil(1_000_000).saturating_mul(1_000_000))
    }

    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time: expected a number with `s`, `ms` or `us`, like `20s` or `1.5s`")]
pub struct AtError(String);

impl FromStr for At {
    type Err = AtError;

    fn from_str(text: &str) -> Result<Self, AtError> {
        let error = || AtError(text.to_owned());
        let (number, digits) = if let Some(number) = text.strip_suffix("ms") {
            (number, 3)
        } else if let Some(number) = text.strip_suffix("us") {
            (number, 0)
        } else {
            (text.strip_suffix('s').ok_or_else(error)?, 6)
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > digits {
            return Err(error());
        }
        let padded = format!("{whole}{part:0<digits$}");
        padded.parse().map(Self).map_err(|_| error())
    }
}

impl TryFrom<String> for At {
    type Error = AtError;

    fn try_from(text: String) -> Result<Self, AtError> {
        text.parse()
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, digits) = match self.0 {
            micros if micros >= 1_000_000 || micros == 0 => ("s", 6),
            micros if micros >= 1_000 => ("ms", 3),
            _ => ("us", 0),
        };
        let one = 10_u64.pow(digits);
        let (whole, part) = (self.0 / one, self.0 % one);
        if part == 0 {
            return write!(f, "{whole}{unit}");
        }
        let width = usize::try_from(digits).unwrap_or_default();
        let part = format!("{part:0width$}");
        write!(f, "{whole}.{}{unit}", part.trim_end_matches('0'))
    }
}

impl From<At> for String {
    fn from(at: At) -> Self {
        at.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, micros) in [
            ("0s", 0),
            ("20s", 20_000_000),
            ("1.5s", 1_500_000),
            ("1.000001s", 1_000_001),
            ("300ms", 300_000),
            ("2.5ms", 2_500),
            ("50us", 50),
        ] {
            assert_eq!(text.parse::<At>().unwrap(), At(micros), "{text}");
            assert_eq!(At(micros).to_string(), text);
        }
        for text in [
            "",
            "s",
            "1",
            "-1s",
            "1.s.s",
            ".5s",
            "1.0000001s",
            "1.5us",
            "1e3s",
        ] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }

    #[test]
    fn targets_are_read_as_they_are_written() {
        for text in ["s1", "oldest", "singleton-host", "driver-of(c-1)", "store"] {
            let target = Target::try_from(text.to_owned()).unwrap();
            assert_eq!(target.to_string(), text);
        }
        assert!(Target::try_from("driver-of(c".to_owned()).is_err());
        assert!(Target::try_from(String::new()).is_err());
    }
}

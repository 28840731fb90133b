//! Settings of a schedule, by the names of core's configuration: `stable-after = "7s"`.

use super::model::{At, Schedule, Server, Setting};
use doyen_core::config::{Config, Limits, Times, ValidConfig};
use doyen_core::identity::Address;
use std::collections::BTreeMap;
use std::time::Duration;

/// A time longer than this is a slip of the pen.
pub const SETTING_TIME_MAX: At = At::from_secs(100 * 3600);
/// A bound larger than this is a slip of the pen.
pub const SETTING_NUMBER_MAX: u64 = 1_000_000;
/// The port of every simulated server.
pub const PORT: u16 = 2552;

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Nothing has this name.
    #[error("no setting is called so: expected one of {}", names().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// It is of another type, or out of bounds.
    #[error("{found}: expected {expected}")]
    Form {
        /// The name.
        name: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Two settings do not fit each other; names both.
    #[error("{0} (protocol.md, Times)")]
    Rule(String),
}

impl SettingError {
    /// Which setting, if it is one alone.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Unknown { name } | Self::Form { name, .. } => Some(name),
            Self::Rule(_) => None,
        }
    }
}

/// The address of a server of this name.
#[must_use]
pub fn address_of(name: &str) -> Address {
    Address::new(name, PORT)
}

/// The configuration of one server, or of a driver when no server is given: the schedule's
/// settings, then its own, and its seed list.
///
/// # Errors
/// [`SettingError`] when a setting is unknown or of a wrong form, or when two do not fit.
pub fn config_of(
    schedule: &Schedule,
    server: Option<&Server>,
) -> Result<ValidConfig, SettingError> {
    let own = server.filter(|server| !server.seed_list.is_empty());
    let seeds = match own {
        Some(server) => server
            .seed_list
            .iter()
            .map(|name| address_of(name))
            .collect(),
        None => schedule
            .servers
            .iter()
            .map(|server| address_of(&server.name))
            .collect(),
    };
    let mut config = Config::new(seeds);
    apply(&mut config, &schedule.settings)?;
    if let Some(server) = server {
        apply(&mut config, &server.settings)?;
    }
    config
        .validate()
        .map_err(|error| SettingError::Rule(error.to_string()))
}

/// Puts settings into a configuration.
///
/// # Errors
/// [`SettingError`] when one is unknown or of a wrong form.
pub fn apply(
    config: &mut Config,
    settings: &BTreeMap<String, Setting>,
) -> Result<(), SettingError> {
    for (name, setting) in settings {
        if name == "down-if-alone" {
            let Setting::Switch(on) = setting else {
                return Err(form(name, setting, "`true` or `false`"));
            };
            config.down_if_alone = *on;
        } else if let Some(field) = time(&mut config.times, name) {
            *field = time_in(name, setting)?;
        } else {
            limit(&mut config.limits, name, setting)?;
        }
    }
    Ok(())
}

fn time_in(name: &str, setting: &Setting) -> Result<Duration, SettingError> {
    match setting {
        Setting::Time(at) if *at > At(0) && *at <= SETTING_TIME_MAX => Ok(at.duration()),
        Setting::Time(_) | Setting::Number(_) | Setting::Switch(_) => Err(form(
            name,
            setting,
            "a time from `1us` to `360000s`, like `7s`",
        )),
    }
}

fn limit(limits: &mut Limits, name: &str, setting: &Setting) -> Result<(), SettingError> {
    let is_known = LIMITS.contains(&name);
    if !is_known {
        return Err(SettingError::Unknown {
            name: name.to_owned(),
        });
    }
    let expected = "a whole number from 1 to 1000000";
    let number = match setting {
        Setting::Number(number) if (1..=SETTING_NUMBER_MAX).contains(number) => *number,
        Setting::Number(_) | Setting::Switch(_) | Setting::Time(_) => {
            return Err(form(name, setting, expected));
        }
    };
    let size = usize::try_from(number).unwrap_or(usize::MAX);
    match name {
        "calls-max" => limits.calls_max = size,
        "held-max" => limits.held_max = size,
        "members-max" => limits.members_max = size,
        "contexts-max" => limits.contexts_max = size,
        "monitored-by" => limits.monitored_by = size,
        _ => limits.jobs_per_context = u32::try_from(number).unwrap_or(u32::MAX),
    }
    Ok(())
}

fn form(name: &str, found: &Setting, expected: &'static str) -> SettingError {
    let found = match found {
        Setting::Switch(on) => format!("`{on}`"),
        Setting::Number(number) => format!("`{number}`"),
        Setting::Time(at) => format!("`{at}`"),
    };
    SettingError::Form {
        name: name.to_owned(),
        found,
        expected,
    }
}

const LIMITS: [&str; 6] = [
    "calls-max",
    "held-max",
    "members-max",
    "contexts-max",
    "monitored-by",
    "jobs-per-context",
];

macro_rules! times {
    ($($name:literal $field:ident),* $(,)?) => {
        const TIMES: &[&str] = &[$($name),*];

        fn time<'a>(times: &'a mut Times, name: &str) -> Option<&'a mut Duration> {
            // Names every field, so that a new one is not forgotten here.
            let Times { $($field),* } = times;
            match name {
                $($name => Some($field),)*
                _ => None,
            }
        }

        /// Of each time the longer one.
        pub(super) fn take_longer(times: &mut Times, others: &Times) {
            $(times.$field = times.$field.max(others.$field);)*
        }
    };
}

times! {
    "beat" beat,
    "slow-beat" slow_beat,
    "beat-renewal" beat_renewal,
    "detection" detection,
    "claim-after" claim_after,
    "challenge-wait" challenge_wait,
    "challenge-pause" challenge_pause,
    "candidate-step" candidate_step,
    "pulse" pulse,
    "hung-after" hung_after,
    "idle-barrier" idle_barrier,
    "vacant-after" vacant_after,
    "stable-after" stable_after,
    "witness-delay" witness_delay,
    "seed-node-timeout" seed_node_timeout,
    "seed-takeover" seed_takeover,
    "refound-after" refound_after,
    "join-retry" join_retry,
    "drain-delay" drain_delay,
    "leave-bound" leave_bound,
    "store-call" store_call,
    "gateway-hold" gateway_hold,
    "client-deadline" client_deadline,
    "driver-take" driver_take,
    "context-init" context_init,
    "context-stop" context_stop,
    "driver-lost-after" driver_lost_after,
    "driver-stamp" driver_stamp,
    "driver-beat" driver_beat,
    "adhoc-idle" adhoc_idle,
    "cleanup-after" cleanup_after,
}

/// The names of all settings.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let others = LIMITS.iter().chain(&["down-if-alone"]);
    TIMES.iter().chain(others).copied().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::*;

    fn one(name: &str, setting: Setting) -> BTreeMap<String, Setting> {
        BTreeMap::from([(name.to_owned(), setting)])
    }

    #[test]
    fn every_setting_can_be_set_and_changes_the_configuration() {
        for name in names() {
            let plain = Config::new(Vec::new());
            let mut config = plain.clone();
            let setting = match name {
                "down-if-alone" => Setting::Switch(false),
                name if TIMES.contains(&name) => Setting::Time(At::from_millis(123)),
                _ => Setting::Number(7),
            };
            apply(&mut config, &one(name, setting)).unwrap();
            assert_ne!(config, plain, "{name}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named_with_what_is_expected() {
        let mut config = Config::new(Vec::new());
        for (name, setting, words) in [
            ("stable-afer", Setting::Number(1), "expected one of beat, "),
            ("detection", Setting::Number(5), "`5`: expected a time"),
            ("detection", Setting::Time(At(0)), "`0s`: expected a time"),
            (
                "held-max",
                Setting::Number(0),
                "`0`: expected a whole number",
            ),
            ("down-if-alone", Setting::Number(1), "`true` or `false`"),
        ] {
            let error = apply(&mut config, &one(name, setting)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.name(), Some(name));
        }
    }
}

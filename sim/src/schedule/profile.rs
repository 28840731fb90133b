//! What a suite may say about the schedules that are drawn for it: who takes part, which settings
//! are fixed, how often each kind of fault comes, how long runs are.

use super::check::{FAULTS_MAX, NAME_MAX, SERVERS_MAX, TIME_MAX};
use super::model::{At, Setting, StoreProfile, Target};
use super::settings;
use super::swarm;
use doyen_core::config::Config;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most contexts and asks that are drawn for a run.
pub const DRAWN_MAX: u32 = 500;
/// The shortest time of faults.
pub const HEAL_MIN: At = At::from_secs(10);
/// The largest weight.
pub const WEIGHT_MAX: u32 = 10_000;

/// From the least to the most, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Between {
    /// The least.
    pub least: u32,
    /// The most.
    pub most: u32,
}

impl Between {
    /// From the least to the most.
    #[must_use]
    pub const fn new(least: u32, most: u32) -> Self {
        Self { least, most }
    }
}

/// How schedules are drawn. Everything has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// How many servers; three mostly, where it is left open.
    pub servers: Between,
    /// How many contexts, and so drivers; two mostly.
    pub contexts: Between,
    /// How many asks of clients beside the creation of the contexts.
    pub asks: Between,
    /// How many faults; a combination counts as one.
    pub faults: Between,
    /// Names of the servers in the order of the seed list; `s1`, `s2`, … where it is too short.
    pub names: Vec<String>,
    /// The seed list of every server; empty for all servers, and for lists that differ at times.
    pub seed_list: Vec<String>,
    /// Settings of every run.
    pub settings: BTreeMap<String, Setting>,
    /// Whether other settings than the defaults are drawn for what `settings` leaves open.
    pub vary_settings: bool,
    /// The store's profile; without, both come.
    pub store: Option<StoreProfile>,
    /// Weights that differ from the generator's, by the name of a kind of fault, of a combination
    /// or of a topology; 0 for never.
    pub weights: BTreeMap<String, u32>,
    /// Whether each run has its own random subset and weights of them.
    pub swarm: bool,
    /// When faults end; without, derived from the settings.
    pub heal: Option<At>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            servers: Between::new(1, 5),
            contexts: Between::new(0, 4),
            asks: Between::new(4, 20),
            faults: Between::new(0, 9),
            names: Vec::new(),
            seed_list: Vec::new(),
            settings: BTreeMap::new(),
            vary_settings: true,
            store: None,
            weights: BTreeMap::new(),
            swarm: true,
            heal: None,
        }
    }
}

/// Why a profile cannot be used: the key, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {what}")]
pub struct ProfileError {
    /// The key.
    pub key: String,
    /// What is wrong and what was expected.
    pub what: String,
}

/// A profile that schedules can be drawn from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidProfile(Profile);

impl ValidProfile {
    /// The profile.
    #[must_use]
    pub const fn get(&self) -> &Profile {
        &self.0
    }
}

impl Profile {
    /// Checks it.
    ///
    /// # Errors
    /// [`ProfileError`] for the first thing that is wrong.
    pub fn validate(self) -> Result<ValidProfile, ProfileError> {
        let servers_max = u32::try_from(SERVERS_MAX).unwrap_or(u32::MAX);
        let faults_max = u32::try_from(FAULTS_MAX).unwrap_or(u32::MAX) / 10;
        for (key, range, least, most) in [
            ("servers", self.servers, 1, servers_max),
            ("contexts", self.contexts, 0, DRAWN_MAX / 10),
            ("asks", self.asks, 0, DRAWN_MAX),
            ("faults", self.faults, 0, faults_max),
        ] {
            if range.least < least || range.most > most || range.least > range.most {
                let what = format!(
                    "from {} to {}: expected a range within {least} to {most}",
                    range.least, range.most
                );
                return Err(wrong(key, what));
            }
        }
        if let Some(heal) = self.heal
            && (heal < HEAL_MIN || heal > At(TIME_MAX.0 / 2))
        {
            let what = format!("`{heal}`: expected {HEAL_MIN} to {}", At(TIME_MAX.0 / 2));
            return Err(wrong("heal", what));
        }
        self.check_names()?;
        self.check_weights()?;
        let mut config = Config::new(Vec::new());
        settings::apply(&mut config, &self.settings)
            .and_then(|()| {
                let valid = config.validate();
                valid.map_err(|error| settings::SettingError::Rule(error.to_string()))
            })
            .map_err(|error| {
                let name = error.name().map(|name| format!(".{name}"));
                wrong(
                    &format!("settings{}", name.unwrap_or_default()),
                    error.to_string(),
                )
            })?;
        Ok(ValidProfile(self))
    }

    fn check_names(&self) -> Result<(), ProfileError> {
        let mut known = BTreeSet::new();
        for name in &self.names {
            let plain = matches!(Target::try_from(name.clone()), Ok(Target::Named(_)));
            if !plain || name.len() > NAME_MAX || !known.insert(name) {
                let what = format!(
                    "`{name}`: expected names of servers that differ: letters, digits, `-`, `_`, \
                     and no word that names a role"
                );
                return Err(wrong("names", what));
            }
        }
        let all = self.server_names(self.servers.least);
        let mut listed = BTreeSet::new();
        for seed in &self.seed_list {
            if !all.contains(seed) || !listed.insert(seed) {
                let what = format!(
                    "`{seed}`: expected servers that take part in every run, each once: `{}`; see \
                     `servers` and `names`",
                    all.join("`, `")
                );
                return Err(wrong("seed-list", what));
            }
        }
        Ok(())
    }

    fn check_weights(&self) -> Result<(), ProfileError> {
        let names = swarm::names();
        for (name, weight) in &self.weights {
            let key = format!("weights.{name}");
            if !names.contains(&name.as_str()) {
                let what = format!(
                    "no fault is called so: expected one of {}",
                    names.join(", ")
                );
                return Err(wrong(&key, what));
            }
            if *weight > WEIGHT_MAX {
                return Err(wrong(
                    &key,
                    format!("`{weight}`: the limit is {WEIGHT_MAX}"),
                ));
            }
        }
        Ok(())
    }

    /// The names of the first servers.
    pub(super) fn server_names(&self, count: u32) -> Vec<String> {
        let count = usize::try_from(count).unwrap_or(SERVERS_MAX);
        let mut names: Vec<_> = self.names.iter().take(count).cloned().collect();
        let mut number = 0_u32;
        while names.len() < count {
            number = number.saturating_add(1);
            let name = format!("s{number}");
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

fn wrong(key: &str, what: String) -> ProfileError {
    ProfileError {
        key: key.to_owned(),
        what,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::*;

    fn read(text: &str) -> Profile {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_suite_says_only_what_differs() {
        let text = "servers = { least = 3, most = 3 }\nnames = [\"a\", \"b\"]\n\
                    seed-list = [\"b\", \"s1\"]\nsettings.stable-after = \"30s\"\nweights.cut = 0\n";
        let profile = read(text);
        assert_eq!(profile.contexts, Profile::default().contexts);
        assert_eq!(profile.server_names(3), ["a", "b", "s1"]);
        let again = read(&toml::to_string(&profile).unwrap());
        assert_eq!(again, profile);
        assert!(profile.validate().is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, key, words) in [
            (
                "servers = { least = 0, most = 3 }",
                "servers",
                "within 1 to 16",
            ),
            ("faults = { least = 3, most = 2 }", "faults", "from 3 to 2"),
            ("heal = \"1s\"", "heal", "expected 10s to 1800s"),
            ("names = [\"oldest\"]", "names", "no word that names a role"),
            (
                "seed-list = [\"s2\"]",
                "seed-list",
                "take part in every run, each once: `s1`",
            ),
            (
                "weights.cuts = 1",
                "weights.cuts",
                "expected one of cut, flap",
            ),
            ("weights.cut = 99999", "weights.cut", "the limit is 10000"),
            (
                "settings.stable = 1",
                "settings.stable",
                "no setting is called so",
            ),
            (
                "settings.stable-after = \"9s\"",
                "settings",
                "2 × detection (10000 ms)",
            ),
        ] {
            let error = read(text).validate().unwrap_err();
            assert_eq!(error.key, key);
            assert!(error.what.contains(words), "{error}");
        }
        assert!(toml::from_str::<Profile>("server = 3").is_err());
    }
}

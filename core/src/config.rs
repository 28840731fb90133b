//! The configuration of a process, and the check of its inequalities (protocol.md, Times).

use crate::identity::Address;
use std::time::Duration;

/// Every time and bound that a decision uses. Defaults are protocol.md's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The seed list, in the order that founds (`spark.jobserver.ha.masters`, or own address).
    pub seeds: Vec<Address>,
    /// What the program calls its version, for people.
    pub version: String,
    /// The times.
    pub times: Times,
    /// The bounds.
    pub limits: Limits,
    /// Whether a lone oldest goes down when at least two others stay together (sbr.md 4.1).
    pub down_if_alone: bool,
}

/// Times that decisions use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// The holder's beat.
    pub beat: Duration,
    /// Everybody else's beat.
    pub slow_beat: Duration,
    /// How often core renews the beat thread's beat; the thread stops after 500 ms without (S6).
    pub beat_renewal: Duration,
    /// A member that is not heard for so long is unreachable.
    pub detection: Duration,
    /// Silence of the holder before a challenge (S5).
    pub claim_after: Duration,
    /// How long the holder may take to answer a challenge (S5).
    pub challenge_wait: Duration,
    /// The least pause between two challenges of one server (S5).
    pub challenge_pause: Duration,
    /// The wait of each further candidate (S8).
    pub candidate_step: Duration,
    /// How often the holder raises `pulse`.
    pub pulse: Duration,
    /// `pulse` unmoved for so long: the holder hangs (S6).
    pub hung_after: Duration,
    /// How often an idle server makes a barrier (S7).
    pub idle_barrier: Duration,
    /// A holder without store for so long says `vacant` (S7).
    pub vacant_after: Duration,
    /// The wait before a split is decided (R4).
    pub stable_after: Duration,
    /// The wait between announcing a split and acting on it, for a side not preferred (R4).
    pub witness_delay: Duration,
    /// The wait of the first seed for a member's answer (F3).
    pub seed_node_timeout: Duration,
    /// The further wait of each later seed (F3).
    pub seed_takeover: Duration,
    /// How long `pulse` must stand still before a cluster is founded again (F4).
    pub refound_after: Duration,
    /// How long a joiner waits to be listed before it begins anew (F1).
    pub join_retry: Duration,
    /// How long a leaving holder goes on serving (S3).
    pub drain_delay: Duration,
    /// The bound of leaving, also without an answer of anybody (S3).
    pub leave_bound: Duration,
    /// The bound of one store call, kept by the runtime.
    pub store_call: Duration,
    /// How long a gateway holds a call (C4).
    pub gateway_hold: Duration,
    /// The client's deadline (`akka.http.server.request-timeout`).
    pub client_deadline: Duration,
    /// From a launch to the driver taking its record (`forked-jvm-init-timeout`).
    pub driver_take: Duration,
    /// From taking its record to a ready engine (`context-init-timeout`).
    pub context_init: Duration,
    /// How long a stop may take before the call answers 202 (`context-deletion-timeout`).
    pub context_stop: Duration,
    /// A driver that nobody hears for so long is lost (E8).
    pub driver_lost_after: Duration,
    /// A driver stamps `life` so often (E8).
    pub driver_stamp: Duration,
    /// A driver beats so often to every listed server.
    pub driver_beat: Duration,
    /// An ad-hoc context that gets no job for so long stops.
    pub adhoc_idle: Duration,
    /// Final records are deleted after so long (`dao-cleanup-after`).
    pub cleanup_after: Duration,
}

/// Bounds that decisions keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open and accepted calls of the whole cluster (C1).
    pub calls_max: usize,
    /// Requests that one gateway holds (C6).
    pub held_max: usize,
    /// Members by full gossip.
    pub members_max: usize,
    /// Contexts that are not final.
    pub contexts_max: usize,
    /// How many servers beat to each other (`monitored-by-nr-of-members`).
    pub monitored_by: usize,
    /// Jobs that run in one context (`max-jobs-per-context`).
    pub jobs_per_context: u32,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Default for Times {
    fn default() -> Self {
        Self {
            beat: ms(100),
            slow_beat: ms(1_000),
            beat_renewal: ms(200),
            detection: ms(5_000),
            claim_after: ms(700),
            challenge_wait: ms(250),
            challenge_pause: ms(1_000),
            candidate_step: ms(150),
            pulse: ms(2_000),
            hung_after: ms(5_000),
            idle_barrier: ms(500),
            vacant_after: ms(700),
            stable_after: ms(20_000),
            witness_delay: ms(2_000),
            seed_node_timeout: ms(5_000),
            seed_takeover: ms(20_000),
            refound_after: ms(10_000),
            join_retry: ms(10_000),
            drain_delay: ms(2_000),
            leave_bound: ms(10_000),
            store_call: ms(800),
            gateway_hold: ms(30_000),
            client_deadline: ms(40_000),
            driver_take: ms(30_000),
            context_init: ms(60_000),
            context_stop: ms(15_000),
            driver_lost_after: ms(300_000),
            driver_stamp: ms(60_000),
            driver_beat: ms(1_000),
            adhoc_idle: ms(60_000),
            cleanup_after: Duration::from_secs(72 * 3600),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 10_000,
            held_max: 1_000,
            members_max: 16,
            contexts_max: 1_000,
            monitored_by: 9,
            jobs_per_context: 8,
        }
    }
}

/// A rule between two settings that does not hold; names both sides and their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} ({left_ms} ms) must be {relation} {right} ({right_ms} ms)")]
pub struct ConfigError {
    /// The left side.
    pub left: &'static str,
    /// Its value in milliseconds.
    pub left_ms: u128,
    /// How the two must stand to each other.
    pub relation: &'static str,
    /// The right side.
    pub right: &'static str,
    /// Its value in milliseconds.
    pub right_ms: u128,
}

/// A configuration whose inequalities hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidConfig(Config);

impl ValidConfig {
    /// The settings.
    #[must_use]
    pub const fn get(&self) -> &Config {
        &self.0
    }

    /// The times.
    #[must_use]
    pub const fn times(&self) -> &Times {
        &self.0.times
    }

    /// The bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

impl Config {
    /// The default configuration with these seeds.
    #[must_use]
    pub fn new(seeds: Vec<Address>) -> Self {
        Self {
            seeds,
            version: String::new(),
            times: Times::default(),
            limits: Limits::default(),
            down_if_alone: true,
        }
    }

    /// Checks the inequalities of protocol.md, Times.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate(self) -> Result<ValidConfig, ConfigError> {
        let t = &self.times;
        let claim = t
            .claim_after
            .saturating_add(t.challenge_wait)
            .saturating_add(t.store_call);
        let barrier = t.idle_barrier;
        let alone = t.driver_lost_after.saturating_mul(4) / 5;
        for (left, left_value, right, right_value) in [
            ("beat", t.beat, "claim-after", t.claim_after),
            (
                "claim-after + challenge + store call",
                claim,
                "gateway hold",
                t.gateway_hold,
            ),
            (
                "gateway hold",
                t.gateway_hold,
                "request-timeout",
                t.client_deadline,
            ),
            ("store call", t.store_call, "gateway hold", t.gateway_hold),
            ("idle barrier", barrier, "vacant-after", t.vacant_after),
            (
                "2 × pulse + store call",
                t.pulse.saturating_mul(2).saturating_add(t.store_call),
                "refound-after",
                t.refound_after,
            ),
            (
                "2 × store call",
                t.store_call.saturating_mul(2),
                "witness-delay",
                t.witness_delay,
            ),
            (
                "2 × detection",
                t.detection.saturating_mul(2),
                "stable-after",
                t.stable_after,
            ),
            // Two signs of life may fail in a row, each for as long as it and the look at what
            // became of it may take, before a driver counts as alone (E8).
            (
                "3 × driver-stamp + 4 × store call",
                t.driver_stamp
                    .saturating_mul(3)
                    .saturating_add(t.store_call.saturating_mul(4)),
                "4/5 × driver-lost-after",
                alone,
            ),
            (
                "3 × driver-beat",
                t.driver_beat.saturating_mul(3),
                "4/5 × driver-lost-after",
                alone,
            ),
        ] {
            if left_value >= right_value {
                return Err(ConfigError {
                    left,
                    left_ms: left_value.as_millis(),
                    relation: "less than",
                    right,
                    right_ms: right_value.as_millis(),
                });
            }
        }
        Ok(ValidConfig(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold() {
        assert!(Config::new(Vec::new()).validate().is_ok());
    }

    #[test]
    fn a_broken_rule_names_both_sides() {
        let mut config = Config::new(Vec::new());
        config.times.stable_after = Duration::from_secs(7);
        let error = config.validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 × detection (10000 ms) must be less than stable-after (7000 ms)"
        );
    }

    #[test]
    fn a_driver_has_time_for_three_signs_of_life_before_it_is_alone() {
        let error = |change: fn(&mut Times)| {
            let mut config = Config::new(Vec::new());
            change(&mut config.times);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(
            error(|times| times.driver_lost_after = ms(200_000)),
            "3 × driver-stamp + 4 × store call (183200 ms) must be less than \
             4/5 × driver-lost-after (160000 ms)"
        );
        assert_eq!(
            error(|times| times.driver_beat = ms(80_000)),
            "3 × driver-beat (240000 ms) must be less than 4/5 × driver-lost-after (240000 ms)"
        );
    }
}

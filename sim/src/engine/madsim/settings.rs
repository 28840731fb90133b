//! The configuration of core that a schedule's settings say.

use crate::engine::HarnessFault;
use crate::schedule::model::Setting;
use doyen_core::config::{Config, ValidConfig};
use doyen_core::identity::Address;
use std::collections::BTreeMap;
use std::time::Duration;

/// Makes a configuration; `maps` are applied in order.
pub(super) fn config(
    seeds: Vec<Address>,
    maps: &[&BTreeMap<String, Setting>],
) -> Result<ValidConfig, HarnessFault> {
    let mut config = Config::new(seeds);
    for (name, setting) in maps.iter().flat_map(|map| map.iter()) {
        set(&mut config, name, setting)?;
    }
    config
        .validate()
        .map_err(|error| HarnessFault(format!("the schedule's settings: {error}")))
}

fn set(config: &mut Config, name: &str, setting: &Setting) -> Result<(), HarnessFault> {
    let wrong = || {
        HarnessFault(format!(
            "the setting `{name}` = {setting:?} is none of core's"
        ))
    };
    match setting {
        Setting::Switch(value) => match name {
            "down-if-alone" => config.down_if_alone = *value,
            _ => return Err(wrong()),
        },
        Setting::Number(value) => {
            let number = number(config, name).ok_or_else(wrong)?;
            *number = usize::try_from(*value).map_err(|_| wrong())?;
        }
        Setting::Time(value) => *time(config, name).ok_or_else(wrong)? = value.duration(),
    }
    Ok(())
}

fn number<'a>(config: &'a mut Config, name: &str) -> Option<&'a mut usize> {
    let limits = &mut config.limits;
    Some(match name {
        "calls-max" => &mut limits.calls_max,
        "held-max" => &mut limits.held_max,
        "members-max" => &mut limits.members_max,
        "contexts-max" => &mut limits.contexts_max,
        "monitored-by" => &mut limits.monitored_by,
        _ => return None,
    })
}

fn time<'a>(config: &'a mut Config, name: &str) -> Option<&'a mut Duration> {
    let times = &mut config.times;
    Some(match name {
        "beat" => &mut times.beat,
        "slow-beat" => &mut times.slow_beat,
        "beat-renewal" => &mut times.beat_renewal,
        "detection" => &mut times.detection,
        "claim-after" => &mut times.claim_after,
        "challenge-wait" => &mut times.challenge_wait,
        "challenge-pause" => &mut times.challenge_pause,
        "candidate-step" => &mut times.candidate_step,
        "pulse" => &mut times.pulse,
        "hung-after" => &mut times.hung_after,
        "idle-barrier" => &mut times.idle_barrier,
        "vacant-after" => &mut times.vacant_after,
        "stable-after" => &mut times.stable_after,
        "witness-delay" => &mut times.witness_delay,
        "seed-node-timeout" => &mut times.seed_node_timeout,
        "seed-takeover" => &mut times.seed_takeover,
        "refound-after" => &mut times.refound_after,
        "join-retry" => &mut times.join_retry,
        "drain-delay" => &mut times.drain_delay,
        "leave-bound" => &mut times.leave_bound,
        "store-call" => &mut times.store_call,
        "gateway-hold" => &mut times.gateway_hold,
        "client-deadline" => &mut times.client_deadline,
        "driver-take" => &mut times.driver_take,
        "context-init" => &mut times.context_init,
        "context-stop" => &mut times.context_stop,
        "driver-lost-after" => &mut times.driver_lost_after,
        "driver-stamp" => &mut times.driver_stamp,
        "driver-beat" => &mut times.driver_beat,
        "adhoc-idle" => &mut times.adhoc_idle,
        "cleanup-after" => &mut times.cleanup_after,
        _ => return None,
    })
}

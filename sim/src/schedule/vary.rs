//! Settings drawn for a run: the defaults, scaled-down ones so that more happens within a minute, or
//! ones that differ between servers. What a suite fixes stays.

use super::model::{At, Server, Setting};
use super::profile::Profile;
use super::settings;
use super::stream::Stream;
use doyen_core::config::Config;
use std::collections::BTreeMap;

type Settings = BTreeMap<String, Setting>;

/// Settings of all servers.
pub(super) fn common(profile: &Profile, stream: &mut Stream) -> Settings {
    let mut drawn = Settings::new();
    if profile.vary_settings {
        if stream.percent(60) {
            scale(&mut drawn, stream);
        }
        if stream.percent(20) {
            drivers(&mut drawn, stream);
        }
        if stream.percent(10) {
            limits(&mut drawn, stream);
        }
        if stream.percent(15) {
            set(&mut drawn, "down-if-alone", Setting::Switch(false));
        }
    }
    fixed(profile, drawn)
}

/// Settings of single servers that differ from the others'.
pub(super) fn mixed(
    profile: &Profile,
    common: &Settings,
    servers: &mut [Server],
    stream: &mut Stream,
) {
    if !profile.vary_settings || !stream.percent(12) {
        return;
    }
    for server in servers {
        if !stream.percent(50) {
            continue;
        }
        let mut own = Settings::new();
        scale(&mut own, stream);
        if stream.percent(30) {
            set(
                &mut own,
                "down-if-alone",
                Setting::Switch(stream.percent(50)),
            );
        }
        own.retain(|name, _| !profile.settings.contains_key(name));
        let mut both = common.clone();
        both.extend(own.clone());
        if is_valid(&both) {
            server.settings = own;
        }
    }
}

/// What was drawn under what is fixed; what is fixed alone when the two do not fit.
fn fixed(profile: &Profile, mut drawn: Settings) -> Settings {
    drawn.extend(profile.settings.clone());
    if is_valid(&drawn) {
        drawn
    } else {
        profile.settings.clone()
    }
}

fn is_valid(drawn: &Settings) -> bool {
    let mut config = Config::new(Vec::new());
    settings::apply(&mut config, drawn).is_ok() && config.validate().is_ok()
}

fn set(drawn: &mut Settings, name: &str, setting: Setting) {
    drawn.insert(name.to_owned(), setting);
}

fn time(drawn: &mut Settings, name: &str, time: At) {
    set(drawn, name, Setting::Time(time));
}

/// Shorter times of membership and calls, whose inequalities hold (protocol.md, Times).
fn scale(drawn: &mut Settings, stream: &mut Stream) {
    let ms = At::from_millis;
    let detection = stream.time(ms(1_200), ms(4_000));
    let more = stream.time(ms(200), ms(5_000));
    time(drawn, "detection", detection);
    time(drawn, "stable-after", At(2 * detection.0 + more.0));
    time(drawn, "refound-after", stream.time(ms(4_900), ms(8_000)));
    time(
        drawn,
        "seed-node-timeout",
        stream.time(ms(1_000), ms(5_000)),
    );
    time(drawn, "seed-takeover", stream.time(ms(2_000), ms(8_000)));
    time(drawn, "join-retry", stream.time(ms(3_000), ms(10_000)));
    if stream.percent(50) {
        time(drawn, "drain-delay", stream.time(ms(100), ms(2_000)));
        time(drawn, "leave-bound", stream.time(ms(3_000), ms(8_000)));
    }
    if stream.percent(50) {
        let hold = stream.time(ms(4_000), ms(20_000));
        time(drawn, "gateway-hold", hold);
        time(drawn, "client-deadline", At(hold.0 + ms(3_000).0));
    }
    if stream.percent(30) {
        time(drawn, "claim-after", stream.time(ms(400), ms(1_200)));
    }
}

fn drivers(drawn: &mut Settings, stream: &mut Stream) {
    let ms = At::from_millis;
    let lost = stream.time(ms(10_000), ms(60_000));
    time(drawn, "driver-lost-after", lost);
    time(drawn, "driver-stamp", At::from_millis(lost.0 / 1_000 / 8));
    if stream.percent(50) {
        time(drawn, "driver-take", stream.time(ms(3_000), ms(20_000)));
        time(drawn, "context-init", stream.time(ms(5_000), ms(30_000)));
        time(drawn, "context-stop", stream.time(ms(2_000), ms(15_000)));
    }
}

fn limits(drawn: &mut Settings, stream: &mut Stream) {
    let mut number = |name: &str, least, most| {
        let number = Setting::Number(stream.between(least, most));
        set(drawn, name, number);
    };
    number("jobs-per-context", 1, 3);
    number("held-max", 2, 6);
    number("calls-max", 2, 6);
}

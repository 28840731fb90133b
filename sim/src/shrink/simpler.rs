//! Simpler forms of the parts of a schedule, the simplest first.

use crate::schedule::model::{Ask, At, Fault, FaultKind, Request, Schedule, StoreProfile};
use std::collections::BTreeMap;

/// Simpler forms of a fault: without an end, at a rounder time, shorter, milder.
pub(super) fn faults(fault: &Fault) -> Vec<Fault> {
    let mut forms = Vec::new();
    let with = |change: &dyn Fn(&mut Fault)| {
        let mut form = fault.clone();
        change(&mut form);
        form
    };
    if fault.until.is_some() {
        forms.push(with(&|form| form.until = None));
    }
    for at in rounder(fault.at) {
        forms.push(with(&|form| {
            form.at = at;
            let lasts = fault.until.map(|until| until.0.saturating_sub(fault.at.0));
            form.until = lasts.map(|lasts| At(at.0.saturating_add(lasts)));
        }));
    }
    if let Some(until) = fault.until {
        let lasts = until.0.saturating_sub(fault.at.0);
        for shorter in [lasts / 4, lasts / 2] {
            let end = At(fault.at.0.saturating_add(shorter)).rounded_up();
            if end < until {
                forms.push(with(&|form| form.until = Some(end)));
            }
        }
        for end in rounder(until).into_iter().filter(|end| *end > fault.at) {
            forms.push(with(&|form| form.until = Some(end)));
        }
    }
    for kind in milder(&fault.kind) {
        forms.push(with(&|form| form.kind = kind.clone()));
    }
    forms
}

/// A link with fewer ills, an act that comes earlier, a cut that only drops.
fn milder(kind: &FaultKind) -> Vec<FaultKind> {
    let mut forms = Vec::new();
    let mut push = |form: FaultKind| {
        if form != *kind {
            forms.push(form);
        }
    };
    match kind.clone() {
        FaultKind::Cut { topology, .. } => push(FaultKind::Cut {
            topology,
            refuses: false,
        }),
        FaultKind::Flap { topology, .. } => push(FaultKind::Cut {
            topology,
            refuses: false,
        }),
        FaultKind::Link { .. } => calmer(kind).into_iter().for_each(&mut push),
        FaultKind::CrashLoop { target, .. } => push(FaultKind::Crash { target }),
        FaultKind::AtAct {
            target,
            act,
            nth,
            what,
        } => {
            for nth in [1, nth / 2, nth.saturating_sub(1)] {
                if nth > 0 {
                    push(FaultKind::AtAct {
                        target: target.clone(),
                        act,
                        nth,
                        what,
                    });
                }
            }
        }
        // The others are as mild as their kind can be.
        _ => {}
    }
    forms
}

/// A link with one ill less.
fn calmer(kind: &FaultKind) -> Vec<FaultKind> {
    let FaultKind::Link {
        from,
        to,
        latency,
        jitter,
        loss,
        burst,
        duplicate,
        reorder,
    } = kind.clone()
    else {
        return Vec::new();
    };
    let calm = [
        (At(0), jitter, loss, burst, duplicate, reorder),
        (latency, At(0), loss, burst, duplicate, reorder),
        (latency, jitter, 0, 0, duplicate, reorder),
        (latency, jitter, loss, 0, duplicate, reorder),
        (latency, jitter, loss, burst, 0, reorder),
        (latency, jitter, loss, burst, duplicate, 0),
    ];
    let link = |(latency, jitter, loss, burst, duplicate, reorder)| FaultKind::Link {
        from: from.clone(),
        to: to.clone(),
        latency,
        jitter,
        loss,
        burst,
        duplicate,
        reorder,
    };
    calm.into_iter().map(link).collect()
}

/// Simpler forms of an ask: without key, at a rounder time, a shorter job that succeeds.
pub(super) fn asks(ask: &Ask) -> Vec<Ask> {
    let mut forms = Vec::new();
    if ask.key.is_some() {
        let key = None;
        forms.push(Ask { key, ..ask.clone() });
    }
    for at in rounder(ask.at) {
        forms.push(Ask { at, ..ask.clone() });
    }
    if let Request::Submit {
        context,
        job,
        lasts,
        sync,
        fails,
    } = &ask.what
    {
        let form = |lasts, sync, fails| Ask {
            what: Request::Submit {
                context: context.clone(),
                job: job.clone(),
                lasts,
                sync,
                fails,
            },
            ..ask.clone()
        };
        if *sync || *fails {
            forms.push(form(*lasts, false, false));
        }
        for lasts in rounder(*lasts) {
            forms.push(form(lasts, *sync, *fails));
        }
    }
    forms
}

/// Simpler forms of what holds for all: default settings, the quick store, plain servers.
pub(super) fn wholes(schedule: &Schedule) -> Vec<Schedule> {
    let mut forms = Vec::new();
    let mut push = |change: &dyn Fn(&mut Schedule)| {
        let mut form = schedule.clone();
        change(&mut form);
        if form != *schedule {
            forms.push(form);
        }
    };
    push(&|form| form.settings = BTreeMap::new());
    for name in schedule.settings.keys() {
        push(&|form| {
            form.settings.remove(name);
        });
    }
    push(&|form| form.store = StoreProfile::Local);
    push(&|form| form.seeds = BTreeMap::new());
    for index in 0..schedule.servers.len() {
        push(&|form| form.servers[index].seed_list = Vec::new());
        push(&|form| form.servers[index].settings = BTreeMap::new());
        push(&|form| form.servers[index].start = At(0));
    }
    forms
}

/// The same time, rounder: whole tens of seconds, seconds, tenths, milliseconds.
fn rounder(at: At) -> Vec<At> {
    let mut forms: Vec<At> = [10_000_000, 1_000_000, 100_000, 1_000]
        .into_iter()
        .map(|unit| At(at.0.div_euclid(unit).saturating_mul(unit)))
        .filter(|rounded| *rounded != at)
        .collect();
    forms.dedup();
    forms
}

//! What each process was fed under madsim gives the same outputs in a bare core, and each output
//! was carried out once or is accounted for (design.md 6).

use super::Options;
use crate::cli::run::cores;
use crate::cli::{Exit, Outcome, note, say_json};
use crate::engine::HarnessFault;
use crate::engine::madsim::{Conformance, Madsim, Mismatch};
use crate::runner::run_all;
use crate::schedule::generate::generate;
use crate::schedule::model::Schedule;
use crate::schedule::profile::ValidProfile;
use crate::trace::seen::{Seen, Sink};
use crate::trial::alone;
use doyen_core::time::Time;
use serde_json::json;
use std::num::NonZeroUsize;

/// Mismatches that are told.
const TOLD_MAX: u64 = 10;

/// Nobody listens; the run goes on to its end.
struct Deaf;

impl Sink for Deaf {
    fn seen(&mut self, _: Time, _: &Seen<'_>) {}

    fn is_settled(&self) -> bool {
        true
    }
}

pub(super) fn check(options: &Options) -> Outcome {
    let jobs = options.jobs.map_or_else(cores, NonZeroUsize::get);
    let (mut checked, mut inputs) = (0_u64, 0_u64);
    let (mut mismatches, mut unaccounted) = (0_u64, 0_u64);
    let mut fault = None;
    let one = |seed: u64| {
        let schedule = generate(seed, &ValidProfile::default());
        alone(|| replayed(&schedule))
    };
    run_all(options.seeds.clone(), jobs, one, |seed, result| {
        checked = checked.saturating_add(1);
        match result {
            Ok(Ok(conformance)) => inputs = inputs.saturating_add(conformance.inputs),
            Ok(Err(mismatch)) => {
                match mismatch {
                    Mismatch::Differs(_) => mismatches = mismatches.saturating_add(1),
                    Mismatch::Unaccounted(_) => unaccounted = unaccounted.saturating_add(1),
                }
                if mismatches.saturating_add(unaccounted) <= TOLD_MAX {
                    note(&format!("seed {seed}: {mismatch}"));
                }
            }
            Err(error) => fault = Some(format!("seed {seed}: {error}")),
        }
        fault.is_none()
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    note(&format!(
        "{checked} seeds, {inputs} inputs replayed: {mismatches} with mismatches, {unaccounted} \
         with outputs unaccounted for"
    ));
    if options.json {
        say_json(&json!({
            "checked": checked,
            "inputs": inputs,
            "mismatches": mismatches,
            "unaccounted": unaccounted,
        }));
    }
    Ok(if mismatches == 0 && unaccounted == 0 {
        Exit::Passed
    } else {
        Exit::Violation
    })
}

fn replayed(schedule: &Schedule) -> Result<Result<Conformance, Mismatch>, HarnessFault> {
    let (_, recording) = Madsim.record(schedule, &mut Deaf)?;
    Ok(recording.check())
}

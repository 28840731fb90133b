//! `doyen-sim replay`: one schedule again.

use super::{EngineName, Exit, Outcome, engine_of, note, plant, say_json, schedule_of};
use crate::judge::Verdict;
use crate::report::{Standing, counted, standing};
use crate::schedule::format;
use crate::trial::{alone, trial};
use clap::Args;
use serde_json::json;

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// A schedule's file, or the seed of a generated one.
    #[arg(value_name = "FILE|SEED")]
    what: String,
    /// Which engine.
    #[arg(long, value_enum, default_value_t = EngineName::Direct)]
    engine: EngineName,
    /// The suite whose profile the seed is generated from.
    #[arg(long, value_name = "FILE")]
    suite: Option<std::path::PathBuf>,
    /// Plant this bug of `selfcheck --planted` first; needs a build with `--features planted`.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Print the schedule, and run nothing.
    #[arg(long)]
    print: bool,
    /// End with one JSON object on one line of standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Outcome {
    let schedule = schedule_of(&options.what, options.suite.as_deref())?;
    if options.print {
        super::say(&format::write(&schedule).map_err(|error| error.to_string())?);
        return Ok(Exit::Passed);
    }
    if let Some(warning) = format::rules_mismatch(&schedule) {
        note(&format!("{}: {warning}", schedule.name));
    }
    let engine = engine_of(options.engine)?;
    plant(options.bug.as_deref())?;
    let result = alone(|| trial(&*engine, &schedule)).map_err(|fault| fault.0);
    let standing = standing(&schedule, &result);
    if let Ok(trial) = &result {
        let verdict = match &trial.verdict {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Violation(violation) => format!(
                "violation of {} at {}: {}",
                violation.oracle, violation.at, violation.what
            ),
            Verdict::Undecided(why) => format!("undecided: {why}"),
        };
        note(&format!(
            "{}: {verdict}\n{} events, {:.1} simulated seconds, trace {:016x} of {} observations",
            schedule.name,
            trial.events,
            trial.simulated.as_secs_f64(),
            trial.trail.hash(),
            trial.trail.length()
        ));
        if options.json {
            say_json(&json!({
                "name": schedule.name,
                "verdict": verdict,
                "events": trial.events,
                "trace": format!("{:016x}", trial.trail.hash()),
                "observations": trial.trail.length(),
                "sometimes": counted(&trial.sometimes),
            }));
        }
    }
    Ok(match standing {
        Standing::AsExpected => Exit::Passed,
        Standing::Failed(why) => {
            note(&why);
            Exit::Violation
        }
        Standing::Undecided(_) => Exit::Undecided,
        Standing::Fault(why) => return Err(why),
    })
}

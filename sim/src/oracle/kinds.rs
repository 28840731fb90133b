//! Kinds of observations, as bits: what an oracle listens to.

use crate::trace::seen::Seen;
use doyen_core::input::Input;
use doyen_core::output::Output;

/// A phase began.
pub const PHASE: u32 = 1;
/// A life began or ended, or a process was stopped or goes on.
pub const LIFE: u32 = 1 << 1;
/// A process got a heartbeat.
pub const BEAT: u32 = 1 << 2;
/// A process got a message.
pub const MESSAGE: u32 = 1 << 3;
/// A process learned of a link.
pub const LINK: u32 = 1 << 4;
/// A process's time came.
pub const TIMEOUT: u32 = 1 << 5;
/// A process's host asked something.
pub const COMMAND: u32 = 1 << 6;
/// A process was told what became of a commit.
pub const COMMITTED: u32 = 1 << 7;
/// A process was told what a read found.
pub const SNAPSHOT: u32 = 1 << 8;
/// A process was told that something changed in the store.
pub const CHANGED: u32 = 1 << 9;
/// A process was told of an effect.
pub const REPORT: u32 = 1 << 10;
/// A process sent a message.
pub const SEND: u32 = 1 << 11;
/// A process commits.
pub const COMMIT: u32 = 1 << 12;
/// A process reads.
pub const READ: u32 = 1 << 13;
/// A process wants an effect.
pub const EFFECT: u32 = 1 << 14;
/// A process answers a request.
pub const ANSWER: u32 = 1 << 15;
/// A process says something.
pub const EVENT: u32 = 1 << 16;
/// A process stops.
pub const STOP: u32 = 1 << 17;
/// Any other output: dials, beats, credentials.
pub const PLAN: u32 = 1 << 18;
/// Something was never carried out.
pub const LOST: u32 = 1 << 19;
/// The store worked.
pub const STORE: u32 = 1 << 20;
/// Something was done outside.
pub const DEED: u32 = 1 << 21;
/// A client asked, was answered, or read.
pub const CLIENT: u32 = 1 << 22;
/// A fault began or ended.
pub const FAULT: u32 = 1 << 23;
/// Every process was looked at.
pub const VIEWS: u32 = 1 << 24;
/// A process spins or panicked.
pub const BROKEN: u32 = 1 << 25;
/// How many kinds there are.
pub const COUNT: usize = 26;
/// Everything that a process is told.
pub const INPUTS: u32 =
    BEAT | MESSAGE | LINK | TIMEOUT | COMMAND | COMMITTED | SNAPSHOT | CHANGED | REPORT;
/// Everything that a process wants.
pub const OUTPUTS: u32 = SEND | COMMIT | READ | EFFECT | ANSWER | EVENT | STOP | PLAN;

/// The kind of an observation.
#[must_use]
pub const fn of(seen: &Seen<'_>) -> u32 {
    match seen {
        Seen::Phase(_) => PHASE,
        Seen::Began { .. } | Seen::Ended { .. } | Seen::Paused { .. } => LIFE,
        Seen::Input { input, .. } => match input {
            Input::Beat(_) => BEAT,
            Input::Message { .. } => MESSAGE,
            Input::Link(_) => LINK,
            Input::Timeout => TIMEOUT,
            Input::Command(_) => COMMAND,
            Input::Committed { .. } => COMMITTED,
            Input::Read { .. } => SNAPSHOT,
            Input::StoreChanged(_) => CHANGED,
            Input::EffectReport(_) => REPORT,
        },
        Seen::Output { output, .. } => match output {
            Output::Send { .. } => SEND,
            Output::Commit { .. } => COMMIT,
            Output::Read { .. } => READ,
            Output::Effect(_) => EFFECT,
            Output::Answer { .. } => ANSWER,
            Output::Event(_) => EVENT,
            Output::Stop(_) => STOP,
            Output::Dial { .. } | Output::Credentials(_) | Output::Beat(_) => PLAN,
        },
        Seen::Lost { .. } => LOST,
        Seen::Store(_) => STORE,
        Seen::Deed { .. } => DEED,
        Seen::Asked { .. } | Seen::Answered { .. } | Seen::Read { .. } => CLIENT,
        Seen::Fault { .. } => FAULT,
        Seen::Views { .. } => VIEWS,
        Seen::Spins { .. } | Seen::Panicked { .. } => BROKEN,
    }
}

//! Interesting things, and how often they happened: a suite in which one of them stays at zero does
//! not test it.

mod watch;

pub use watch::Watch;

use serde::{Deserialize, Serialize};

macro_rules! things {
    ($($thing:ident $word:literal $sentence:literal,)*) => {
        /// Something interesting that can happen in a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Thing {
            $(#[doc = $sentence] $thing,)*
        }

        impl Thing {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$thing,)*];

            /// Its word in reports.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$thing => $word,)* }
            }

            /// What happened, in a sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$thing => $sentence,)* }
            }
        }
    };
}

things! {
    Founded "founded" "A cluster was founded.",
    Refounded "refounded" "A cluster was founded again from its record.",
    Joined "joined" "A server was listed beside others.",
    Replaced "replaced" "A new life of a server replaced the listed one.",
    Reincarnated "reincarnated" "A joiner came again as a fresh incarnation.",
    Left "left" "A server left in order.",
    LeftOut "left-out" "A server read that it was left out, and exited.",
    SplitDecided "split-decided" "A side left others out of the roster.",
    WitnessAnnounced "witness-announced" "A side that is not preferred announced a split.",
    WitnessVoided "witness-voided"
        "An announcement led to nothing: others were quicker, or it was void.",
    WitnessActed "witness-acted" "A side that had announced itself replaced the roster.",
    RosterLost "roster-lost" "A side tried to replace the roster and was too late.",
    Unreachable "unreachable" "A member was not heard any more.",
    ReachableAgain "reachable-again" "A member that was not heard was heard again.",
    MovedByProof "moved-by-proof" "The office was taken on proof of the holder's death.",
    MovedByChallenge "moved-by-challenge"
        "The office was taken after a challenge without an answer.",
    MovedByGrant "moved-by-grant" "The office was given to another server.",
    MovedByVacancy "moved-by-vacancy" "The office was taken from a holder without store.",
    MovedBySplit "moved-by-split" "The office was taken with the roster.",
    ChallengeAnswered "challenge-answered" "A holder answered a challenge.",
    SteppedDown "stepped-down" "A holder lost the office and served on.",
    ClaimLost "claim-lost" "A claim of the office was refused.",
    StaleWriteRefused "stale-write-refused"
        "A write of somebody who had lost its fence was refused.",
    VersionRefused "version-refused" "A write was refused since a record had changed.",
    UnknownCommitted "unknown-committed" "A commit whose answer was lost had been carried out.",
    UnknownRefused "unknown-refused" "A commit whose answer was lost had been refused.",
    CommittedAfterDeath "committed-after-death"
        "A commit was carried out after its sender had died.",
    StoreLost "store-lost" "A process found the store out of reach.",
    StoreBack "store-back" "A process found the store in reach again.",
    SessionLost "session-lost" "A process was told that it may have missed changes.",
    DialRefused "dial-refused" "A dial was refused by the peer itself.",
    DialSilent "dial-silent" "A dial was not answered.",
    ContextCreated "context-created" "A context was created.",
    ContextStopped "context-stopped" "A context was stopped as asked.",
    ContextFailed "context-failed" "A context ended with an error, or was killed.",
    CallRefused "call-refused" "A call was refused.",
    CallExpired "call-expired" "A call expired before it was decided.",
    CallOutlivedHolder "call-outlived-holder"
        "A call was settled under a later epoch than it was made in.",
    CallOutlivedTwo "call-outlived-two-holders"
        "A call was settled two epochs or more after it was made.",
    KeyRepeated "key-repeated" "A key of idempotency was found in use by a second request.",
    NotReady "not-ready" "A request was refused by a server that takes none.",
    AnswerUnknown "answer-unknown" "A client was told that the outcome is not known.",
    AnswerInProgress "answer-in-progress" "A client was told that its call is in progress.",
    JobFinished "job-finished" "A job finished.",
    JobFailed "job-failed" "A job ended with an error.",
    JobKilled "job-killed" "A job was killed.",
    JobRefused "job-refused" "A job was refused before it ran.",
    JobOutlivedServer "job-outlived-server" "A job ended after the server that took it had gone.",
    JobOutlivedSplit "job-outlived-split"
        "A job ran on over a change of the roster that left somebody out.",
    ReadAtRestarted "read-at-restarted"
        "A record was read at a server that had been started again.",
    ReadStale "read-stale" "A read was answered as stale, or not at all.",
    LaunchDoubled "launch-doubled" "Two drivers were started for one intent.",
    LateDriver "late-driver" "A driver came too late for its context, and exited.",
    ZombieStopped "zombie-stopped" "A driver that had owned its context was stopped by its fence.",
    LaunchSuperseded "launch-superseded" "An intent that no driver took was superseded.",
    AttemptProvedDead "attempt-proved-dead"
        "An attempt was found to be over by looking at its processes.",
    OrphanFound "orphan-found" "An engine outlived its driver for a while.",
    Killed "killed" "A process of an attempt was killed for an intent.",
    MovedWhilePaused "moved-while-paused" "The office was taken from a holder that stood still.",
}

/// How often each thing happened, in one run or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    counts: Vec<u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            counts: vec![0; Thing::ALL.len()],
        }
    }
}

impl Counters {
    /// How often.
    #[must_use]
    pub fn of(&self, thing: Thing) -> u64 {
        self.counts.get(thing as usize).copied().unwrap_or_default()
    }

    /// It happened once more.
    pub fn note(&mut self, thing: Thing) {
        if let Some(count) = self.counts.get_mut(thing as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// What never happened.
    pub fn never(&self) -> impl Iterator<Item = Thing> + '_ {
        Thing::ALL.iter().copied().filter(|one| self.of(*one) == 0)
    }

    /// All of them, by their words.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Thing::ALL.iter().map(|one| (one.word(), self.of(*one)))
    }
}

#[cfg(test)]
mod tests;

//! Bugs that can be planted on purpose, to see whether the simulator finds them.
//!
//! They exist only with the feature `planted`, which no release has; without it `planted!` is
//! `false` and the compiler removes each place. At most one is planted at a time, for the thread
//! that runs the trial.

use crate::records::key::Key;
use crate::records::transaction::{Operation, Transaction};

/// Whether this bug is planted: `if planted!(ClaimSkipsCluster) { … }`.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}

/// Whether this bug is planted: never, in this build.
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

pub(crate) use planted;

#[cfg(feature = "planted")]
pub(crate) use catalogue::is_planted;
#[cfg(feature = "planted")]
pub use catalogue::{Bug, plant};

/// The transaction without what guards this record: what a bug would send.
pub(crate) fn unguarded(mut transaction: Transaction, key: &Key) -> Transaction {
    let is_check = |one: &Operation| matches!(one, Operation::Check { .. });
    transaction
        .operations
        .retain(|one| one.key() != key || !is_check(one));
    for operation in &mut transaction.operations {
        match operation {
            Operation::Put {
                key: of, version, ..
            }
            | Operation::Delete { key: of, version }
                if of == key =>
            {
                *version = None;
            }
            Operation::Check { .. }
            | Operation::CheckAbsent { .. }
            | Operation::Create { .. }
            | Operation::Put { .. }
            | Operation::Delete { .. } => {}
        }
    }
    transaction
}

#[cfg(feature = "planted")]
mod catalogue {
    use std::cell::Cell;

    macro_rules! bugs {
        ($($(#[doc = $doc:literal])+ $bug:ident $name:literal $oracles:tt,)+) => {
            /// A bug that can be planted: the kind that a tired engineer makes.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub enum Bug {
                $($(#[doc = $doc])+ $bug,)+
            }

            impl Bug {
                /// All of them, the canary first.
                pub const ALL: &[Self] = &[$(Self::$bug,)+];

                /// Its name in commands and reports.
                #[must_use]
                pub const fn name(self) -> &'static str {
                    match self {
                        $(Self::$bug => $name,)+
                    }
                }

                /// The oracles that should see it.
                #[must_use]
                pub const fn oracles(self) -> &'static [&'static str] {
                    match self {
                        $(Self::$bug => &$oracles,)+
                    }
                }

                /// What is wrong, in words.
                #[must_use]
                pub const fn about(self) -> &'static str {
                    match self {
                        $(Self::$bug => concat!($($doc),+),)+
                    }
                }
            }
        };
    }

    bugs! {
        /// Every run fails: the check of the check.
        Canary "canary" ["no_panic"],

        // Join and formation
        /// A joiner whose generation moved joins again as the same incarnation (F2).
        JoinKeepsIncarnation "join-keeps-incarnation" ["no_resurrection"],
        /// The leader lists a joiner that only itself is connected with (F2).
        ListsUnconnected "lists-unconnected" ["someone_survives"],
        /// Founding again counts from its own start, though `pulse` moved since (F4).
        RefoundIgnoresPulse "refound-ignores-pulse" ["someone_survives"],
        /// Founding again is not guarded by `pulse` (F4).
        RefoundUnguarded "refound-unguarded" ["sane_records"],
        /// A later seed founds again without waiting for its turn, after half the time (F4).
        RefoundTooSoon "refound-too-soon" ["sane_records"],

        // Roster and splits
        /// A side acts on those that it was connected with when it announced itself (R4).
        SplitNotRecomputed "split-not-recomputed" ["one_survivor"],
        /// An announcement is not void when all are connected again (R4).
        AnnouncementNotVoided "announcement-not-voided" ["someone_survives"],
        /// A side that is not preferred acts without announcing itself (R4).
        SplitUnannounced "split-unannounced" ["someone_survives"],
        /// Leaving someone out is not guarded by `singleton` (R5).
        LeavesOutUnguarded "leaves-out-unguarded" ["sane_records"],
        /// Who leaves the holder out does not take the office (R5).
        LeftOutKeepsOffice "left-out-keeps-office" ["single_effective_singleton"],
        /// A lone oldest already yields to a single other one.
        AloneOffByOne "alone-off-by-one" ["one_survivor"],
        /// The quiet time goes on although the set of the unconnected changed.
        QuietNotRestarted "quiet-not-restarted" ["someone_survives"],
        /// A server that stood still takes its own silence for that of the others (S5).
        WakesDeciding "wakes-deciding" ["someone_survives"],
        /// Two are connected when one of them hears the other (R3).
        OneEarSuffices "one-ear-suffices" ["converges"],

        // Singleton
        /// A claim after a challenge is not guarded by `pulse` (S5).
        ClaimIgnoresAnswer "claim-ignores-answer" ["sane_records"],
        /// A claim is not guarded by the roster that lists the claimant (S2).
        ClaimSkipsCluster "claim-skips-cluster" ["sane_records"],
        /// The holder answers only the first challenge of its tenure.
        AnswersOnce "answers-once" ["single_effective_singleton"],
        /// Taking the office does not raise `pulse` (S9).
        ClaimKeepsPulse "claim-keeps-pulse" ["sane_records"],
        /// A holder that left in order keeps the office: no grant (S3).
        LeavesWithoutGrant "leaves-without-grant" ["converges"],
        /// After a claim the epoch stays.
        EpochNotRaised "epoch-not-raised" ["single_effective_singleton"],

        // Fencing
        /// Writes of the supervisor carry no fence (W2).
        SupervisorUnfenced "supervisor-unfenced" ["sane_records"],
        /// A driver's writes of its jobs carry no fence (W2).
        JobsUnfenced "jobs-unfenced" ["sane_records"],
        /// A driver whose owner record was cleared goes on (W1).
        DriverIgnoresFence "driver-ignores-fence" ["no_double_run"],

        // Calls and supervisor
        /// A call is settled whatever its version.
        SettlesBlindly "settles-blindly" ["sane_records"],
        /// The key of a refused call is kept (C5).
        KeyOutlivesRefusal "key-outlives-refusal" ["no_lost_call"],
        /// "No such context" is decided from the view alone (W3).
        AbsenceUnguarded "absence-unguarded" ["sane_records"],
        /// The name of an ended context is not released.
        NameNotReleased "name-not-released" ["sane_records"],
        /// A context ends although jobs of it are still open (J5).
        JobsLeftBehind "jobs-left-behind" ["no_lost_job"],
        /// The end of an attempt does not raise the intent number (E2).
        IntentNotRaised "intent-not-raised" ["sane_records"],
        /// What cannot be told of an attempt is taken for its death (E6).
        UnknownIsDead "unknown-is-dead" ["no_stale_effect"],
        /// The end of an attempt is not guarded by its sign of life (E8).
        EndsLivingAttempt "ends-living-attempt" ["sane_records"],
        /// A launch goes to the context's first intent, whichever is current.
        LaunchesOldIntent "launches-old-intent" ["converges"],

        // Drivers
        /// A driver takes its context whoever owns it (E2).
        TakesOwned "takes-owned" ["no_double_run"],
        /// A driver takes its context for an intent that is not its own (E2).
        TakesAnyIntent "takes-any-intent" ["no_stale_effect"],
        /// A driver takes an unknown outcome of its take for a failure (W4).
        TakeUnknownFails "take-unknown-fails" ["converges"],
        /// A job that waits in doubt is started again.
        StartsTwice "starts-twice" ["no_double_run"],
        /// A kill that came before the job's start is forgotten.
        KillForgotten "kill-forgotten" ["no_lost_call"],
        /// A job that ended while its write was under way is not written again.
        EndForgotten "end-forgotten" ["no_lost_job"],

        // Store use
        /// After a lost session nothing is read again (B1).
        SessionLossIgnored "session-loss-ignored" ["converges"],
        /// An older read may take the followed records back.
        OldReadWins "old-read-wins" ["single_effective_singleton"],

        // Membership and detector
        /// Who has seen a view is kept although the view changed.
        SeenNotCleared "seen-not-cleared" ["agreement"],
        /// Removed members are forgotten at once, so that old gossip brings them back.
        NoTombstones "no-tombstones" ["no_resurrection"],
    }

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug for this thread, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

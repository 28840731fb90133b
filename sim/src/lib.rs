//! Deterministic simulation of Doyen clusters.
//!
//! What stands here is the direct engine's first part: a discrete-event world in which servers and
//! drivers (`doyen-core`, the code that production runs) meet over a simulated network and a
//! simulated store. Schedules, generator, oracles, shrinker and the `doyen-sim` program come with
//! the simulator's own issue; the tests of this crate are its first stories.
//!
//! Same seed, same run: the order of events is total (time, then sequence), and every random number
//! comes from one value-stable stream.
#![forbid(unsafe_code)]

pub mod world;

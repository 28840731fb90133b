//! Deterministic simulation of Doyen clusters.
#![forbid(unsafe_code)]

//! The rules of protocol.md, one by one, against a single server: its store, its peers, its links
//! and its clock are in the hand of the test. One file a letter of the protocol.

mod adhoc;
mod calls;
mod cleanup;
mod crowd;
mod deadlines;
mod drivers;
mod effects;
mod estate;
mod formation;
mod hands;
mod jobs;
mod lawful;
mod laws;
mod leave;
mod newer;
mod office;
mod races;
mod refounding;
mod roster;
mod singleton;
mod splits;
mod world;
mod writing;

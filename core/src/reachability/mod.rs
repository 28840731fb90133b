//! Who hears whom: own beats in the [`detector`], everybody's observations in the [`table`], who
//! beats to whom in the [`ring`] and `lanes`, and what a server sees of all that in `sight`
//! (membership.md E, L; protocol.md R3, Beats).

pub mod detector;
pub(crate) mod lanes;
pub mod ring;
pub(crate) mod sight;
pub mod table;

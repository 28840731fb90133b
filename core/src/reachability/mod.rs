//! Who hears whom: own beats in the [`detector`], everybody's observations in the [`table`], and
//! who beats to whom in the [`ring`] (membership.md E, L; protocol.md R3, Beats).

pub mod detector;
pub mod ring;
pub mod table;

//! What a run shows: every input, output, store transaction, effect, call and fault, in order.
//! Both engines say it in these words, and oracles, trace hash, counters and `explain` listen.

pub mod differ;
pub mod digest;
pub mod hash;
pub mod seen;
pub mod trail;

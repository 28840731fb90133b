//! Whole-program tests on real parts, and what they share.

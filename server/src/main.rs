//! The `doyen` program.

fn main() {}

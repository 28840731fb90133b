//! How the repository is worked.

fn main() {}

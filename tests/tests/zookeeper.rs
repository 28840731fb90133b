//! The store in ZooKeeper, on real servers: what it promises, and what it does when they fail.
//! Without Java these tests say so and pass.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

#[path = "zookeeper/faults.rs"]
mod faults;
#[path = "zookeeper/promises.rs"]
mod promises;
#[path = "zookeeper/support.rs"]
mod support;

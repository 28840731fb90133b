//! The embedded store as a whole: real `doyen store` processes, killed, stopped and starved.

#[cfg(test)]
#[path = "store/conform.rs"]
mod conform;
#[cfg(test)]
#[path = "store/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "store/figures.rs"]
mod figures;
#[cfg(test)]
#[path = "store/life.rs"]
mod life;
#[cfg(test)]
#[path = "store/support.rs"]
mod support;

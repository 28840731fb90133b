//! Stories of one driver, and laws that hold whatever it is told.

mod contact;
mod ending;
mod jobs;
mod laws;
mod store;
mod take;
mod world;

//! A run as a picture: one offline HTML file with a lane for each process.
//!
//! [`picture`] is what is drawn, as data; [`record`] makes it from what a run shows; [`mod@slice`] finds
//! what led to a violation; [`page`] writes the file.

pub mod page;
pub mod picture;
pub mod record;
pub mod slice;
mod thin;
mod words;

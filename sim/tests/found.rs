//! Schedules of the corpus as tests of their own, as `doyen-sim shrink` prints them for pasting.

mod common;

#[test]
fn schedule_lifecycle_03_two_servers_die() {
    // The schedule lies in tests/corpus/lifecycle-03-two-servers-die.toml with its story.
    common::check_schedule("lifecycle-03-two-servers-die");
}

#[test]
fn schedule_singleton_h02_loser_stops_late() {
    // The schedule lies in tests/corpus/singleton-h02-loser-stops-late.toml with its story.
    common::check_schedule("singleton-h02-loser-stops-late");
}

#[test]
#[should_panic(expected = "tests/corpus/never-found.toml")]
fn a_schedule_that_is_not_there_is_named_with_the_remedy() {
    common::check_schedule("never-found");
}

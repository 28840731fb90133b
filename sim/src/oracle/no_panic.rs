//! `no_panic`: no process panics, and none wants to be woken for nothing, again and again.
//!
//! Envelope: always. Source: style.md 3 (core's contract: errors are values, `poll_timeout` lies
//! ahead once it was served).

use super::facts::Facts;
use super::report::violation;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{NodeId, Seen};
use doyen_core::time::Time;

const NAME: &str = "no_panic";

/// See the module.
#[derive(Debug)]
pub(super) struct NoPanic;

impl Oracle for NoPanic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::BROKEN
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        let name = |node: &NodeId| {
            let life = facts.last_at_node(*node);
            life.map_or_else(|| format!("node {}", node.0), |life| life.name.clone())
        };
        match seen {
            Seen::Spins { node } => {
                let what = format!(
                    "{} wants to be woken for nothing, again and again",
                    name(node)
                );
                Err(violation(NAME, at, "spins", what))
            }
            Seen::Panicked { node, message } => {
                let what = format!("{} panicked: {message}", name(node));
                // The place in the code tells one panic from another, its numbers do not.
                let place = message.rsplit_once(" at ").map_or("", |(_, place)| place);
                Err(violation(NAME, at, &format!("panic {place}"), what))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::History;

    #[test]
    fn a_spinning_or_panicking_process_is_named() {
        let mut history = History::cluster(NoPanic, vec![]);
        history.sees(&Seen::Spins { node: NodeId(2) });
        assert_eq!(
            history.verdict().unwrap_err().what.split(' ').next(),
            Some("s2")
        );
        let mut history = History::cluster(NoPanic, vec![]);
        history.sees(&Seen::Panicked {
            node: NodeId(2),
            message: "R1: forward at core/src/gossip/mod.rs:10",
        });
        assert_eq!(history.fails(), "no_panic/panic core/src/gossip/mod.rs:10");
        assert!(History::cluster(NoPanic, vec![]).verdict().is_ok());
    }
}

//! `bounded` (of `no_panic`): nothing grows without bound: what a process sends, writes, reads and
//! wants done within a second, the size of a state of membership, the history of removed members.
//!
//! Envelope: always; the bounds of a quiet process where nothing has gone wrong for a while. The
//! numbers are several times what is seen of sound processes. Source: design.md 7 (everything is
//! bounded); style.md 2.

use super::facts::Facts;
use super::report::claim;
use super::{Oracle, Violation, kinds, legitimacy};
use crate::trace::seen::{NodeId, Seen};
use doyen_core::gossip::{Gossip, MEMBERS_MAX, TOMBSTONES_MAX};
use doyen_core::output::Output;
use doyen_core::time::Time;
use doyen_core::wire::Message;
use std::collections::BTreeMap;

const NAME: &str = "bounded";
/// What a process may do within a second, whatever goes on.
const BUSY: Counts = Counts {
    sends: 2_000,
    commits: 300,
    reads: 600,
    effects: 200,
};
/// What it may do within a second in calm.
const CALM: Counts = Counts {
    sends: 200,
    commits: 60,
    reads: 120,
    effects: 40,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    since: Time,
    nodes: BTreeMap<NodeId, Counts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    sends: u32,
    commits: u32,
    reads: u32,
    effects: u32,
}

impl Counts {
    const fn within(self, other: Self) -> bool {
        self.sends <= other.sends
            && self.commits <= other.commits
            && self.reads <= other.reads
            && self.effects <= other.effects
    }
}

impl Oracle for Bounded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::SEND | kinds::COMMIT | kinds::READ | kinds::EFFECT | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Output { node, output } => {
                let counts = self.nodes.entry(*node).or_default();
                match output {
                    Output::Send { message, .. } => {
                        counts.sends += 1;
                        if let Message::Gossip { gossip, .. } = message {
                            return sized(at, gossip);
                        }
                    }
                    Output::Commit { .. } => counts.commits += 1,
                    Output::Read { .. } => counts.reads += 1,
                    Output::Effect(_) => counts.effects += 1,
                    _ => {}
                }
                Ok(())
            }
            Seen::Views { .. } => self.second(at, facts),
            _ => Ok(()),
        }
    }
}

impl Bounded {
    fn second(&mut self, at: Time, facts: &Facts) -> Result<(), Violation> {
        let seconds = u32::try_from(at.since(self.since).as_secs())
            .unwrap_or(1)
            .max(1);
        self.since = at;
        let quiet = facts.calm_for(legitimacy::membership_bound(facts));
        let bound = if quiet { CALM } else { BUSY };
        for (node, counts) in std::mem::take(&mut self.nodes) {
            let each = Counts {
                sends: counts.sends / seconds,
                commits: counts.commits / seconds,
                reads: counts.reads / seconds,
                effects: counts.effects / seconds,
            };
            claim!(
                NAME,
                at,
                each.within(bound),
                "too much",
                "{} did {each:?} in a second, the bound is {bound:?}",
                facts
                    .last_at_node(node)
                    .map_or("", |life| life.name.as_str())
            );
        }
        Ok(())
    }
}

fn sized(at: Time, gossip: &Gossip) -> Result<(), Violation> {
    let (members, removed) = (gossip.members.len(), gossip.tombstones.entries().len());
    let observed = gossip.version.entries().len();
    claim!(
        NAME,
        at,
        members <= MEMBERS_MAX && removed <= TOMBSTONES_MAX && observed <= MEMBERS_MAX,
        "too large",
        "a state of {members} members, {removed} removed ones and {observed} counters is told"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};
    use doyen_core::records::transaction::Query;

    #[test]
    fn a_process_that_does_too_much_is_named() {
        for (reads, good) in [(500, true), (5_000, false)] {
            let mut history = History::cluster(Bounded::default(), vec![]);
            history.looks().wait(1_000);
            for ticket in 0..reads {
                let ticket = doyen_core::input::Ticket(ticket);
                let query = Query::default();
                history.output(2, &Output::Read { ticket, query });
            }
            history.looks();
            assert_eq!(history.verdict().is_ok(), good, "{reads} reads");
        }
    }

    #[test]
    fn a_state_that_is_too_large_is_seen() {
        let mut gossip = Gossip::default();
        for number in 0..80 {
            gossip.version.increment(&server(number, 1));
        }
        let gossip = std::sync::Arc::new(gossip);
        let to = server(2, 1);
        let message = Message::Gossip {
            to: to.clone(),
            gossip,
        };
        let mut history = History::cluster(Bounded::default(), vec![]);
        history.output(1, &Output::Send { to, message });
        assert_eq!(history.fails(), "bounded/too large");
    }
}

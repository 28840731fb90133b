//! Contact with the servers: whom to dial, beats, and who confirmed them (protocol.md E8, E9).

use super::desk::Desk;
use crate::identity::{Address, Identity};
use crate::input::LinkEvent;
use crate::output::Output;
use crate::planted::planted;
use crate::records::cluster::Roster;
use crate::time::Time;
use crate::wire::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message's texts are bounded to 256 bytes, a character takes up to four.
const NAME_CHARS_MAX: usize = 64;

/// How many beats are remembered, to know when a confirmed one was sent: `driver-lost-after` at the
/// default pace three times over. A beat that is older than that confirms nothing.
const BEATS_MAX: usize = 1_024;

/// What a driver knows of the servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Contact {
    links: BTreeSet<Identity>,
    /// The last roster that names anybody.
    roster: Roster,
    /// Whom each server named in its last confirmation.
    named: BTreeMap<Address, Vec<Identity>>,
    /// Whom to dial was worked out from the present roster and names.
    settled: bool,
    dialled: Option<BTreeSet<Address>>,
    rejected: BTreeMap<Address, String>,
    sequence: u64,
    beats: VecDeque<(u64, Time)>,
    confirmed: Option<Time>,
    beat_at: Time,
    owned: bool,
}

impl Contact {
    /// Takes what the transport learned.
    pub(super) fn link(&mut self, event: LinkEvent, owns: bool, desk: &mut Desk) {
        match event {
            LinkEvent::Up { peer } => {
                self.rejected.remove(&peer.address);
                if self.links.is_empty() {
                    self.beat_at = desk.now;
                    self.links.insert(peer);
                } else if self.links.insert(peer.clone()) {
                    self.beat(&BTreeSet::from([peer]), owns, desk);
                }
            }
            LinkEvent::Down { peer } => {
                self.links.remove(&peer);
            }
            // The transport dials again; a server that is gone leaves the roster.
            LinkEvent::Refused { .. } | LinkEvent::Silent { .. } => {}
            LinkEvent::Rejected { address, reason } => {
                let dialled = self
                    .dialled
                    .as_ref()
                    .is_some_and(|all| all.contains(&address));
                if dialled && self.rejected.get(&address) != Some(&reason) {
                    desk.warn(format!("{address} refused this driver: {reason}"));
                    self.rejected.insert(address, reason);
                }
            }
        }
    }

    /// Takes a roster that was read.
    pub(super) fn observe(&mut self, roster: Roster) {
        if roster.listed.is_empty() || roster.generation < self.roster.generation {
            return;
        }
        let listed = |address: &Address| roster.listed.iter().any(|one| one.address == *address);
        let before = self.named.len();
        self.named.retain(|address, _| listed(address));
        self.settled &= self.named.len() == before && self.roster == roster;
        self.roster = roster;
    }

    /// A server confirms a beat.
    pub(super) fn heard(
        &mut self,
        from: &Identity,
        sequence: u64,
        servers: &[Identity],
        desk: &Desk,
    ) {
        if let Some((_, sent)) = self.beats.iter().find(|(one, _)| *one == sequence) {
            let sent = if planted!(ConfirmedNow) {
                desk.now
            } else {
                *sent
            };
            self.confirmed = self.confirmed.max(Some(sent));
            self.beats.retain(|(one, _)| *one > sequence);
        }
        let bound = desk.config.limits().members_max;
        let servers = servers.get(..bound).unwrap_or(servers);
        let known = self.named.get(&from.address).map(Vec::as_slice);
        if known != Some(servers) && (known.is_some() || self.named.len() < bound) {
            self.named.insert(from.address.clone(), servers.to_vec());
            self.settled = false;
        }
    }

    /// When the last beat that was confirmed was sent (E8).
    pub(super) const fn confirmed(&self) -> Option<Time> {
        self.confirmed
    }

    /// The servers that this driver is connected with.
    pub(super) const fn links(&self) -> &BTreeSet<Identity> {
        &self.links
    }

    /// The last roster that names anybody.
    pub(super) const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// When the next beat is due; `None` when nobody would get it.
    pub(super) fn due(&self) -> Option<Time> {
        (!self.links.is_empty()).then_some(self.beat_at)
    }

    /// Dials when the set changed, beats when it is time, or when ownership changed.
    pub(super) fn pump(&mut self, owns: bool, desk: &mut Desk) {
        if !std::mem::replace(&mut self.settled, true) {
            self.dial(desk);
        }
        let news = std::mem::replace(&mut self.owned, owns) != owns;
        if news || desk.now >= self.beat_at {
            self.beat_at = desk.now.after(desk.config.times().driver_beat);
            let links = self.links.clone();
            self.beat(&links, owns, desk);
        }
    }

    fn dial(&mut self, desk: &mut Desk) {
        let named = self.named.values().flat_map(|servers| addresses(servers));
        let mut wanted: BTreeSet<Address> = named.collect();
        if self.roster.listed.is_empty() {
            wanted.extend(desk.launch.servers.iter().cloned());
        } else {
            wanted.extend(addresses(&self.roster.listed));
        }
        if self.dialled.as_ref() != Some(&wanted) {
            self.rejected.retain(|address, _| wanted.contains(address));
            self.dialled = Some(wanted.clone());
            desk.outbox.push(Output::Dial { addresses: wanted });
        }
    }

    fn beat(&mut self, to: &BTreeSet<Identity>, owns: bool, desk: &mut Desk) {
        if to.is_empty() {
            return;
        }
        self.sequence = self.sequence.saturating_add(1);
        if self.beats.len() >= BEATS_MAX {
            self.beats.pop_front();
        }
        self.beats.push_back((self.sequence, desk.now));
        let message = Message::DriverBeat {
            sequence: self.sequence,
            context: desk.launch.context.clone(),
            // For people only, so a long one may be cut to what a message carries.
            context_name: desk.context_name().chars().take(NAME_CHARS_MAX).collect(),
            intent: desk.launch.intent,
            owns,
        };
        for server in to {
            desk.outbox.send(server, message.clone());
        }
    }
}

fn addresses(of: &[Identity]) -> impl Iterator<Item = Address> + '_ {
    of.iter().map(|one| one.address.clone())
}

//! The table of links: who can be reached over what, and who is dialled.

use bytes::Bytes;
use doyen_core::identity::{Address, Identity};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// This process.
    Dialled,
    /// The peer.
    Accepted,
}

/// One connection of the main lane.
pub(crate) struct Link {
    /// Who made it.
    pub(crate) direction: Direction,
    /// Whether membership was proved on it.
    pub(crate) proved: bool,
    /// Frames to send.
    pub(crate) queue: mpsc::Sender<Bytes>,
    /// Ends it.
    pub(crate) token: CancellationToken,
}

struct Dialler {
    token: CancellationToken,
    wake: Arc<Notify>,
}

/// What became of a link that was entered.
pub(crate) struct Taken {
    /// Its number.
    pub(crate) id: u64,
    /// Whether it is the only living one to that incarnation.
    pub(crate) first: bool,
}

/// Links by incarnation, diallers by address. At most one link a direction for each incarnation.
#[derive(Default)]
pub(crate) struct Table {
    links: BTreeMap<Identity, BTreeMap<u64, Link>>,
    diallers: BTreeMap<Address, Dialler>,
    last_id: u64,
}

impl Table {
    /// Enters a link. An older one of the same direction is dead in the eyes of whoever made the
    /// new one: it is ended and replaced without an event.
    pub(crate) fn enter(&mut self, peer: &Identity, link: Link) -> Taken {
        self.last_id = self.last_id.saturating_add(1);
        let id = self.last_id;
        let links = self.links.entry(peer.clone()).or_default();
        // A link that is about to end may have been one without proof, over which little passed;
        // so whoever comes after it is told as a new one.
        let first = links.values().all(|old| old.token.is_cancelled());
        links.retain(|_, old| {
            let stays = old.direction != link.direction;
            if !stays {
                old.token.cancel();
            }
            stays
        });
        links.insert(id, link);
        Taken { id, first }
    }

    /// Takes a link out; whether it was the last one to that incarnation.
    pub(crate) fn leave(&mut self, peer: &Identity, id: u64) -> bool {
        let Some(links) = self.links.get_mut(peer) else {
            return false;
        };
        let was_there = links.remove(&id).is_some();
        let last = was_there && links.is_empty();
        if links.is_empty() {
            self.links.remove(peer);
        }
        last
    }

    /// The link to use: a living one, proved unless the message is free, own dialled preferred.
    pub(crate) fn best(
        &self,
        to: &Identity,
        free: bool,
    ) -> Option<(mpsc::Sender<Bytes>, CancellationToken)> {
        self.links
            .get(to)?
            .values()
            .filter(|link| (link.proved || free) && !link.token.is_cancelled())
            .max_by_key(|link| (link.proved, link.direction == Direction::Dialled))
            .map(|link| (link.queue.clone(), link.token.clone()))
    }

    /// Whether any life of this address is linked.
    pub(crate) fn has_link_to(&self, address: &Address) -> bool {
        self.links.keys().any(|peer| peer.address == *address)
    }

    /// Ends all links. Of the same life they stay in the table until their tasks report their
    /// end; a new life never hears of the links of the old one.
    pub(crate) fn close_links(&mut self, same_life: bool) {
        for link in self.links.values().flat_map(BTreeMap::values) {
            link.token.cancel();
        }
        if !same_life {
            self.links.clear();
        }
    }

    /// Lets every queue run empty, then its link end.
    pub(crate) fn drain(&mut self) {
        self.links.clear();
    }

    /// Dials this address without further pause.
    pub(crate) fn wake(&self, address: &Address) {
        if let Some(dialler) = self.diallers.get(address) {
            dialler.wake.notify_one();
        }
    }

    /// Dials all addresses without further pause.
    pub(crate) fn wake_all(&self) {
        for dialler in self.diallers.values() {
            dialler.wake.notify_one();
        }
    }

    /// Makes the set of dialled addresses this one: ends the others, gives the new.
    pub(crate) fn dialled(
        &mut self,
        addresses: &BTreeSet<Address>,
        root: &CancellationToken,
    ) -> Vec<(Address, CancellationToken, Arc<Notify>)> {
        self.diallers.retain(|address, dialler| {
            let stays = addresses.contains(address);
            if !stays {
                dialler.token.cancel();
            }
            stays
        });
        let mut new = Vec::new();
        for address in addresses {
            if self.diallers.contains_key(address) {
                continue;
            }
            let (token, wake) = (root.child_token(), Arc::new(Notify::new()));
            new.push((address.clone(), token.clone(), wake.clone()));
            self.diallers
                .insert(address.clone(), Dialler { token, wake });
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doyen_core::identity::Incarnation;

    fn link(direction: Direction, proved: bool) -> (Link, mpsc::Receiver<Bytes>) {
        let (queue, receiver) = mpsc::channel(4);
        let link = Link {
            direction,
            proved,
            queue,
            token: CancellationToken::new(),
        };
        (link, receiver)
    }

    fn peer(life: u64) -> Identity {
        Identity::new(Address::new("h", 1), Incarnation(life))
    }

    #[test]
    fn own_dialled_links_are_preferred_and_unproved_ones_carry_free_messages_only() {
        let mut table = Table::default();
        let (accepted, mut by_accepted) = link(Direction::Accepted, true);
        let (dialled, mut by_dialled) = link(Direction::Dialled, true);
        table.enter(&peer(1), accepted);
        table.enter(&peer(1), dialled);
        let (queue, _) = table.best(&peer(1), false).unwrap();
        queue.try_send(Bytes::from_static(b"x")).unwrap();
        assert!(by_dialled.try_recv().is_ok() && by_accepted.try_recv().is_err());

        let (unproved, _receiver) = link(Direction::Dialled, false);
        table.enter(&peer(2), unproved);
        assert!(table.best(&peer(2), false).is_none());
        assert!(table.best(&peer(2), true).is_some());
    }

    #[test]
    fn only_the_first_link_is_up_and_only_the_last_one_down() {
        let mut table = Table::default();
        let first = table.enter(&peer(1), link(Direction::Accepted, true).0);
        let second = table.enter(&peer(1), link(Direction::Dialled, true).0);
        assert!(first.first && !second.first);
        assert!(!table.leave(&peer(1), first.id));
        assert!(!table.leave(&peer(1), first.id), "twice is no event");
        assert!(table.leave(&peer(1), second.id));
    }

    #[test]
    fn a_second_link_of_one_direction_replaces_the_older_one_without_event() {
        let mut table = Table::default();
        let (old, _receiver) = link(Direction::Accepted, true);
        let token = old.token.clone();
        let old = table.enter(&peer(1), old);
        let new = table.enter(&peer(1), link(Direction::Accepted, true).0);
        assert!(token.is_cancelled() && !new.first);
        assert!(!table.leave(&peer(1), old.id));
        assert!(table.leave(&peer(1), new.id));
    }

    #[test]
    fn the_links_of_an_older_life_end_without_event() {
        let mut table = Table::default();
        let (one, _receiver) = link(Direction::Accepted, true);
        let token = one.token.clone();
        let one = table.enter(&peer(1), one);
        table.close_links(false);
        assert!(token.is_cancelled() && !table.leave(&peer(1), one.id));
    }

    #[test]
    fn dialling_keeps_what_it_has_ends_what_is_gone_and_names_what_is_new() {
        let root = CancellationToken::new();
        let address = |port| Address::new("h", port);
        let mut table = Table::default();
        let first = table.dialled(&BTreeSet::from([address(1), address(2)]), &root);
        let second = table.dialled(&BTreeSet::from([address(2), address(3)]), &root);
        assert_eq!(first.len(), 2);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].0, address(3));
        assert!(first[0].1.is_cancelled() && !first[1].1.is_cancelled());
    }
}

//! Watches of the store: events without data, sessions that are lost, and what is told after them
//! (protocol.md B1).

use super::World;
use super::events::{Event, Life};
use super::paths::{Path, Side};
use super::storage::Watch;
use crate::schedule::model::StoreProfile;
use crate::trace::seen::{NodeId, Sink};
use doyen_core::input::Input;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::Change;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// A cut that lasts longer ends the session: events are lost.
const SESSION: Duration = Duration::from_secs(4);
const SOCKET: Duration = Duration::from_secs(2);
/// Events that a watcher may be behind.
const HELD_MAX: usize = 256;

impl<S: Sink> World<S> {
    /// Watches: an event without data to everybody, in the order of commits.
    pub(super) fn announce(&mut self, changed: BTreeSet<Key>) {
        let changed = Rc::new(changed);
        for number in 0..self.nodes.len() {
            let id = NodeId(number);
            let node = &mut self.nodes[id];
            if !node.lives() || !node.watch.is_set {
                continue;
            }
            let open = self.store.away(id).is_none()
                && self.paths.path(Side::STORE, Side::of(id)) == Path::Open;
            if !open || node.watch.cut_since.is_some() {
                node.watch.cut_since.get_or_insert(self.now);
                if node.watch.held.len() < HELD_MAX {
                    node.watch.held.push(changed.clone());
                }
                continue;
            }
            let takes = self.store.event_takes(&mut node.random.store);
            if self.store.merges_event(id, &mut node.random.store) {
                let later = node.random.store.micros(1_000, 300_000);
                let fresh = changed
                    .iter()
                    .filter(|key| !node.watch.merging.contains(key));
                let fresh: BTreeSet<Key> = fresh.cloned().collect();
                if fresh.is_empty() {
                    continue;
                }
                node.watch.merging.extend(fresh.iter().cloned());
                let event = Event::Changes(node.life, Rc::new(fresh));
                self.queue.push(self.now.after(takes).after(later), event);
                continue;
            }
            let at = self.now.after(takes).max(node.watch.arrives);
            node.watch.arrives = at;
            let event = Event::Changes(node.life, changed.clone());
            self.queue.push(at, event);
        }
    }

    /// Events reach a watcher.
    pub(super) fn changes(&mut self, life: Life, keys: Rc<BTreeSet<Key>>) {
        if !self.is_living(life) {
            return;
        }
        let node = &mut self.nodes[life.node];
        if node.is_stopped() {
            let event = Event::Changes(life, keys);
            return node.backlog.push(event);
        }
        if !node.watch.is_set {
            return;
        }
        if !node.watch.merging.is_empty() {
            node.watch.merging.retain(|key| !keys.contains(key));
        }
        for key in keys.iter() {
            if !self.is_living(life) {
                return;
            }
            let change = Change::Record(key.clone());
            self.handle(life.node, Input::StoreChanged(change));
        }
    }

    /// The watch is set, for the first time or anew: anything may have changed.
    pub(super) fn set_watch(&mut self, life: Life) {
        if !self.is_living(life) {
            return;
        }
        let open = self.store_is_open(life.node);
        let node = &mut self.nodes[life.node];
        if node.is_stopped() {
            return node.backlog.push(Event::Watch(life));
        }
        if !open {
            let pause = node.random.store.micros(100_000, 600_000);
            return self.queue.push(self.now.after(pause), Event::Watch(life));
        }
        node.watch = Watch::new(self.now);
        node.watch.is_set = true;
        self.handle(life.node, Input::StoreChanged(Change::Everything));
    }

    /// The session of a process is lost: what happens until it has a new one is not told.
    pub(super) fn lose_session(&mut self, id: NodeId) {
        let node = &mut self.nodes[id];
        if !node.lives() {
            return;
        }
        node.watch.is_set = false;
        node.watch.held.clear();
        node.watch.cut_since = None;
        let pause = node.random.store.micros(50_000, 1_500_000);
        let life = node.life;
        self.queue.push(self.now.after(pause), Event::Watch(life));
    }

    /// A process reaches the store again: its session goes on, or is lost.
    pub(super) fn watch_again(&mut self, id: NodeId) {
        let session = match self.store.profile {
            StoreProfile::Local => SOCKET,
            StoreProfile::Zookeeper => SESSION,
        };
        let now = self.now;
        let node = &mut self.nodes[id];
        let Some(since) = node.watch.cut_since.take() else {
            return;
        };
        if !node.lives() || !node.watch.is_set {
            return;
        }
        let life = node.life;
        let held = std::mem::take(&mut node.watch.held);
        if now.since(since) > session || held.len() >= HELD_MAX {
            return self.lose_session(id);
        }
        let mut at = now.after(node.random.store.micros(100, 400_000));
        at = at.max(node.watch.arrives);
        node.watch.arrives = at;
        for keys in held {
            self.queue.push(at, Event::Changes(life, keys));
        }
    }
}

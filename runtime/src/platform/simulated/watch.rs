//! A watched value. Tokio's own wakes its watchers in an order that it draws at random for each
//! process; here they are woken in the order in which they began to wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

struct Shared<T> {
    value: RwLock<T>,
    version: AtomicU64,
    closed: AtomicBool,
    changed: Notify,
}

impl<T> Shared<T> {
    fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes the value.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Nobody can change the value any more.
#[derive(Debug)]
pub(crate) struct Closed;

impl<T> Sender<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            value: RwLock::new(value),
            version: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            changed: Notify::new(),
        }))
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver {
            seen: self.0.version.load(Ordering::SeqCst),
            shared: self.0.clone(),
        }
    }

    pub(crate) fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.0.borrow()
    }

    pub(crate) fn send_replace(&self, value: T) -> T {
        let mut value = value;
        self.send_if_modified(|old| {
            std::mem::swap(old, &mut value);
            true
        });
        value
    }

    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        let modified = modify(&mut value);
        drop(value);
        if modified {
            self.0.version.fetch_add(1, Ordering::SeqCst);
            self.0.changed.notify_waiters();
        }
        modified
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

/// Looks at the value and waits for changes.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            seen: self.seen,
        }
    }
}

impl<T> Receiver<T> {
    pub(crate) fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        self.seen = self.shared.version.load(Ordering::SeqCst);
        self.shared.borrow()
    }

    pub(crate) fn has_changed(&self) -> Result<bool, Closed> {
        if self.shared.closed.load(Ordering::SeqCst) {
            return Err(Closed);
        }
        Ok(self.shared.version.load(Ordering::SeqCst) != self.seen)
    }

    pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            let notified = self.shared.changed.notified();
            let version = self.shared.version.load(Ordering::SeqCst);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.closed.load(Ordering::SeqCst) {
                return Err(Closed);
            }
            notified.await;
        }
    }
}

//! Timers that can be taken back.

use super::net::Net;
use super::paths::nanos;
use super::queue::Key;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits, as tokio does: until the next whole millisecond after the time.
pub fn sleep(duration: Duration) -> Sleep {
    let net = Net::current();
    let at = net.tick(net.now().saturating_add(nanos(duration)));
    Sleep { net, at, key: None }
}

/// Waits until exactly so many nanoseconds of the world have passed.
pub fn sleep_until(at: u64) -> Sleep {
    let net = Net::current();
    Sleep { net, at, key: None }
}

/// A wait; dropping it takes its timer back.
pub struct Sleep {
    net: Arc<Net>,
    at: u64,
    key: Option<Key>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.net.now() >= self.at {
            return Poll::Ready(());
        }
        let key = self.net.wake_at(self.at, self.key, cx.waker());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.net.forget_timer(key);
        }
    }
}

/// A wait was longer than its bound.
#[derive(Debug)]
pub struct Elapsed;

/// Bounds a wait.
///
/// # Errors
/// It did not come to its end in time.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let late = sleep(duration);
    tokio::select! {
        biased;
        done = future => Ok(done),
        () = late => Err(Elapsed),
    }
}

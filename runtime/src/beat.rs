//! Beats: a thread of its own that repeats core's last beat, whatever the rest computes (S6).
//!
//! Both cores busy, a beat of the main loop was late by more than 700 ms 111 times in ten minutes,
//! one of a thread of its own twice (notes/feasibility.md 3). So this thread does nothing else: one
//! connection for each target, written to at the target's interval. Targets do not wait for each
//! other. When core has not renewed its beat for 500 ms, the thread falls silent, since then a beat
//! would only say that the thread lives.

use crate::clock::Clock;
use crate::platform::{Aside, OwnedReadHalf, OwnedWriteHalf, sleep, spawn, timeout, watch};
use crate::transport::{Hint, Lane, Me, Pause, Transport, attempt, codec};
use bytes::{Bytes, BytesMut};
use doyen_core::identity::Address;
use doyen_core::output::BeatPlan;
use doyen_core::time::Time;
use doyen_core::wire::FRAME_BYTES_MAX;
use doyen_core::wire::codec::encode_beat;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::Encoder;
use tokio_util::sync::CancellationToken;

/// A beat that core did not renew for so long is not repeated any more (S6).
pub const STALE_AFTER: Duration = Duration::from_millis(500);
/// A target that takes nothing for so long is dialled anew.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The thread that beats. Ends when it is dropped.
pub struct BeatThread {
    shared: Arc<Shared>,
    targets: watch::Sender<BTreeMap<Address, Duration>>,
    end: CancellationToken,
    /// Dropped after `end` was said.
    _thread: Aside,
}

struct Shared {
    clock: Clock,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    plan: BeatPlan,
    renewed: Option<Time>,
    sequence: u64,
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next beat as a frame; `None` when core has not renewed it in time.
    fn next(&self) -> Option<Bytes> {
        let mut plan = self.plan();
        if self.clock.now().since(plan.renewed?) > STALE_AFTER {
            return None;
        }
        let sequence = plan.sequence.saturating_add(1);
        plan.sequence = sequence;
        let mut beat = plan.plan.beat.clone()?;
        drop(plan);
        beat.sequence = sequence;
        Some(Bytes::from(encode_beat(&beat)))
    }
}

impl BeatThread {
    /// Starts the thread; it says in handshakes what the transport says.
    ///
    /// # Errors
    /// The thread or its event loop cannot be made.
    pub fn start(transport: &Transport) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            plan: Mutex::default(),
        });
        let targets = watch::Sender::new(BTreeMap::new());
        let end = CancellationToken::new();
        let work = keep_beating(
            shared.clone(),
            transport.me(),
            targets.subscribe(),
            end.clone(),
        );
        let thread = Aside::start("beat", work)?;
        Ok(Self {
            shared,
            targets,
            end,
            _thread: thread,
        })
    }

    /// Takes a plan, or renews the one there is. Wakes the thread only when its targets changed.
    pub fn plan(&self, plan: BeatPlan) {
        let targets = plan.targets.clone();
        {
            let mut shared = self.shared.plan();
            shared.plan = plan;
            shared.renewed = Some(self.shared.clock.now());
        }
        self.targets.send_if_modified(|old| {
            let changed = *old != targets;
            *old = targets;
            changed
        });
    }

    /// Forgets the plan: a new life says its own.
    pub fn forget(&self) {
        {
            let mut shared = self.shared.plan();
            shared.plan = BeatPlan::default();
            shared.renewed = None;
            shared.sequence = 0;
        }
        self.targets.send_replace(BTreeMap::new());
    }
}

impl Drop for BeatThread {
    fn drop(&mut self) {
        // The thread is in no long call: every wait of it ends with `end`, and with it the thread.
        self.end.cancel();
    }
}

/// Keeps one task for each target.
async fn keep_beating(
    shared: Arc<Shared>,
    me: watch::Receiver<Arc<Me>>,
    mut targets: watch::Receiver<BTreeMap<Address, Duration>>,
    end: CancellationToken,
) {
    let mut running: BTreeMap<Address, (Duration, CancellationToken)> = BTreeMap::new();
    loop {
        let wanted = targets.borrow_and_update().clone();
        running.retain(|address, (interval, token)| {
            let stays = wanted.get(address) == Some(interval);
            if !stays {
                token.cancel();
            }
            stays
        });
        for (address, interval) in wanted {
            running.entry(address.clone()).or_insert_with(|| {
                let token = end.child_token();
                let target = Target {
                    shared: shared.clone(),
                    address,
                    interval,
                };
                spawn(target.keep(me.clone(), token.clone()));
                (interval, token)
            });
        }
        tokio::select! {
            biased;
            () = end.cancelled() => return,
            changed = targets.changed() => if changed.is_err() { return },
        }
    }
}

struct Target {
    shared: Arc<Shared>,
    address: Address,
    interval: Duration,
}

impl Target {
    /// Keeps a connection to the target and beats on it.
    async fn keep(self, mut me: watch::Receiver<Arc<Me>>, token: CancellationToken) {
        let mut pause = Pause::new();
        let mut hint = Hint::default();
        while !token.is_cancelled() {
            let current = me.borrow_and_update().clone();
            let once = self.beat_once(&current, &mut pause, &mut hint);
            let again = tokio::select! {
                biased;
                () = token.cancelled() => return,
                // What is said in the handshake has changed: say the new.
                changed = me.changed() => if changed.is_err() { return } else { true },
                again = once => again,
            };
            if again {
                continue;
            }
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                _ = me.changed() => {}
                () = sleep(pause.next()) => {}
            }
        }
    }

    /// One connection and its life; whether to dial again at once.
    async fn beat_once(&self, me: &Me, pause: &mut Pause, hint: &mut Hint) -> bool {
        if me.store_id.is_none() || me.credentials.is_none() {
            // Nobody takes beats without proof; `me` will change before there is one.
            return std::future::pending().await;
        }
        let Ok(connection) = attempt(me, &self.address, Lane::Beat, hint).await else {
            // The main lane reports why; here it is silence either way.
            return false;
        };
        let made = Instant::now();
        let (mut reader, mut writer) = (connection.reader.into_inner(), connection.writer);
        tokio::select! {
            biased;
            () = closed(&mut reader) => {}
            _ = self.beat(&mut writer) => {}
        }
        pause.after_break(made, Instant::now())
    }

    async fn beat(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut codec = codec(FRAME_BYTES_MAX);
        let mut bytes = BytesMut::new();
        loop {
            if let Some(frame) = self.shared.next() {
                bytes.clear();
                codec.encode(frame, &mut bytes)?;
                let sent = timeout(WRITE_TIMEOUT, writer.write_all(&bytes)).await;
                sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            }
            sleep(self.until_next()).await;
        }
    }

    /// How long it is to the next multiple of the interval: targets of one interval share their
    /// wakes.
    fn until_next(&self) -> Duration {
        let interval = self.interval.max(Duration::from_millis(1)).as_nanos();
        let past = u128::from(self.shared.clock.now().as_nanos()) % interval;
        Duration::from_nanos(u64::try_from(interval - past).unwrap_or(u64::MAX))
    }
}

/// Comes back when the peer closed the connection; it has nothing to say on this lane.
async fn closed(reader: &mut OwnedReadHalf) {
    let mut scrap = [0; 64];
    while matches!(reader.read(&mut scrap).await, Ok(read) if read > 0) {}
}

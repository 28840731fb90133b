//! All machines of a world, their network, and the task that lets their events happen.

use super::clocks::Clock;
use super::kernel::{EPHEMERAL, Host, Listener, State, TICK_NANOS};
use super::paths::{HostId, Path, Paths, nanos};
use super::queue::{Event, Key};
use super::tcp::Side;
use madsim::plugin::Simulator;
use madsim::rand::{GlobalRng, RngCore};
use madsim::task::NodeId;
use madsim::time::TimeHandle;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The network of one madsim runtime: `runtime.add_simulator::<Net>()`, then
/// `spawn(Net::current().pump())` on the main node.
pub struct Net {
    time: TimeHandle,
    state: Mutex<State>,
}

impl Simulator for Net {
    fn new(rand: &GlobalRng, time: &TimeHandle, _config: &madsim::Config) -> Self {
        Self {
            time: time.clone(),
            state: Mutex::new(State::new(rand.clone().next_u64())),
        }
    }
}

impl Net {
    /// The network of the current runtime.
    ///
    /// # Panics
    /// Outside a madsim runtime, or in one without this network.
    #[must_use]
    pub fn current() -> Arc<Self> {
        madsim::plugin::simulator()
    }

    /// Nanoseconds since the world began.
    #[must_use]
    pub fn now(&self) -> u64 {
        nanos(self.time.elapsed())
    }

    /// Draws delays and losses from the streams of this seed. Before the first packet.
    pub fn seed(&self, seed: u64) {
        self.with(|state| state.paths = Paths::new(seed));
    }

    /// Makes a host for a node, by the name under which its process is dialled.
    pub fn add_host(&self, node: NodeId, name: &str) -> IpAddr {
        self.with(|state| {
            let id = HostId::try_from(state.hosts.len()).unwrap_or(HostId::MAX);
            let [_, high, mid, low] = (id + 1).to_be_bytes();
            let ip = IpAddr::V4(Ipv4Addr::new(10, high, mid, low));
            let phase = state.paths.phase(id);
            state.hosts.push(Host {
                node,
                ip,
                on: true,
                next_port: EPHEMERAL,
                clock: Clock::default(),
                phase,
            });
            state.names.insert(name.to_owned(), id);
            state.nodes.insert(node, id);
            ip
        })
    }

    /// Changes the way from one host to another; the way back stays. Names of no host are ignored.
    pub fn path(&self, from: &str, to: &str, change: impl FnOnce(&mut Path)) {
        self.with(|state| {
            let ids = (state.names.get(from), state.names.get(to));
            if let (Some(&from), Some(&to)) = ids {
                change(state.paths.get(from, to));
            }
        });
    }

    /// Makes every way as it was at the beginning.
    pub fn mend(&self) {
        self.with(|state| state.paths.mend());
    }

    /// The process of a node is dead: its kernel closes what it held, before anything else happens.
    pub fn process_ended(&self, node: NodeId) {
        self.with(|state| {
            let Some(host) = state.host_of(node) else {
                return;
            };
            state.stop_listening(host);
            for (id, side) in state.held_by(host) {
                state.close(id, side);
            }
        });
    }

    /// The machine of a node is without power: nobody is told anything, and nothing reaches it. Its
    /// process must be killed too.
    pub fn power_off(&self, node: NodeId) {
        self.with(|state| {
            let Some(host) = state.host_of(node) else {
                return;
            };
            if let Some(host) = usize::try_from(host)
                .ok()
                .and_then(|i| state.hosts.get_mut(i))
            {
                host.on = false;
            }
            state.stop_listening(host);
            let ids: Vec<_> = state.connections.keys().copied().collect();
            for id in ids {
                for side in [Side::Dialler, Side::Acceptor] {
                    let here = state.connections.get(&id).map(|c| c.end(side).host);
                    if here == Some(host) {
                        state.break_end(id, side, io::ErrorKind::ConnectionReset);
                    }
                }
            }
        });
    }

    /// The machine of a node sleeps: no packet leaves or reaches it. Its process must be paused too.
    pub fn sleep_machine(&self, node: NodeId) {
        self.with(|state| {
            for host in state.hosts.iter_mut().filter(|host| host.node == node) {
                host.on = false;
            }
        });
    }

    /// The machine of a node has power again, or is awake.
    pub fn power_on(&self, node: NodeId) {
        self.with(|state| {
            for host in state.hosts.iter_mut().filter(|host| host.node == node) {
                host.on = true;
            }
        });
    }

    /// Ends the pump: nothing happens any more.
    pub fn stop(&self) {
        self.with(|state| {
            state.stopped = true;
            state.woken.extend(state.pump.clone());
        });
    }

    /// Lets the events of the world happen, until it is stopped.
    #[must_use]
    pub fn pump(self: Arc<Self>) -> Pump {
        Pump { net: self }
    }

    /// Looks at or changes what the kernels know, then wakes whom it concerns.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let now = self.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = now;
        let done = work(&mut state);
        let next = state.queue.next();
        let sooner = next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed));
        let pump = if sooner {
            state.armed = next;
            state.pump.clone()
        } else {
            None
        };
        if state.woken.is_empty() && pump.is_none() {
            return done;
        }
        let woken = std::mem::take(&mut state.woken);
        drop(state);
        woken.into_iter().chain(pump).for_each(Waker::wake);
        done
    }

    pub(super) fn wake_at(&self, at: u64, old: Option<Key>, waker: &Waker) -> Key {
        self.with(|state| match old {
            Some(old) if state.queue.rewake(old, waker) => old,
            _ => state.queue.push(at, Event::Wake(waker.clone())),
        })
    }

    pub(super) fn forget_timer(&self, key: Key) {
        // Dropped after the lock is open.
        drop(self.with(|state| state.queue.remove(key)));
    }

    /// The first tick at this time or later of the current task's machine.
    pub(super) fn tick(&self, at: u64) -> u64 {
        let phase = self.with(|state| {
            let host = state.host_of(madsim::plugin::node())?;
            state
                .hosts
                .get(usize::try_from(host).ok()?)
                .map(|h| h.phase)
        });
        let phase = phase.unwrap_or(0);
        let ticks = at
            .saturating_sub(phase)
            .checked_next_multiple_of(TICK_NANOS);
        ticks.unwrap_or(u64::MAX).saturating_add(phase)
    }

    /// The host of the current task's node; none on the main node.
    pub(super) fn here(&self) -> Option<HostId> {
        self.with(|state| state.host_of(madsim::plugin::node()))
    }

    /// Begins to listen.
    pub(super) fn listen(&self, target: SocketAddr, backlog: usize) -> io::Result<u64> {
        let here = self.here();
        self.with(|state| {
            let host = state.owner(target.ip()).filter(|host| Some(*host) == here);
            let host = host.ok_or(io::ErrorKind::AddrNotAvailable)?;
            if state.listeners.contains_key(&target) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let number = state.next_connection();
            let listener = Listener {
                host,
                number,
                backlog,
                queue: VecDeque::new(),
                waker: None,
            };
            state.listeners.insert(target, listener);
            Ok(number)
        })
    }

    /// The address of a name, as its machines know it.
    pub(super) fn resolve(&self, name: &str) -> Option<IpAddr> {
        if let Ok(ip) = name.parse() {
            return Some(ip);
        }
        self.with(|state| {
            let id = usize::try_from(*state.names.get(name)?).ok()?;
            state.hosts.get(id).map(|host| host.ip)
        })
    }
}

/// Lets the events of a world happen.
pub struct Pump {
    net: Arc<Net>,
}

impl Future for Pump {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.net.now();
        let next = self.net.with(|state| {
            if state.stopped {
                return Err(());
            }
            while let Some(event) = state.queue.pop(now) {
                state.happen(event);
            }
            state.pump.get_or_insert_with(|| cx.waker().clone());
            state.armed = state.queue.next();
            Ok(state.armed)
        });
        let Ok(next) = next else {
            return Poll::Ready(());
        };
        if let Some(at) = next {
            // Sleeps of madsim last a millisecond at least, but for those that are set anew.
            let deadline =
                self.net.time.now_instant() + Duration::from_nanos(at.saturating_sub(now));
            let mut sleep = std::pin::pin!(madsim::time::sleep(Duration::ZERO));
            sleep.as_mut().reset(deadline);
            if sleep.poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

//! The simulated network behaves as Linux hosts do where an HA product can notice it.

use super::sockets::OwnedReadHalf;
use super::{Net, Passage, TcpListener, TcpStream, listen, lookup_host, sleep, timeout, tune};
use crate::platform::Tuning;
use madsim::runtime::{Handle, NodeHandle, Runtime};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

const TUNING: Tuning = Tuning {
    user_timeout: Duration::from_secs(5),
    keepalive_idle: Duration::from_secs(5),
    keepalive_interval: Duration::from_secs(2),
    keepalive_probes: 3,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A world of two machines.
struct World {
    net: Arc<Net>,
    a: NodeHandle,
    b: NodeHandle,
}

impl World {
    fn run<T>(story: impl AsyncFnOnce(Self) -> T) -> T {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        runtime.add_simulator::<Net>();
        runtime.block_on(async {
            let net = Net::current();
            madsim::task::spawn(net.clone().pump());
            let machine = |name: &str| {
                let node = Handle::current().create_node().name(name).build();
                net.add_host(node.id(), name);
                node
            };
            let (a, b) = (machine("a"), machine("b"));
            story(Self { net, a, b }).await
        })
    }

    fn set(&self, from: &str, to: &str, passage: Passage) {
        self.net.path(from, to, |path| path.passage = passage);
    }

    fn cut(&self) {
        self.set("a", "b", Passage::Cut);
        self.set("b", "a", Passage::Cut);
    }

    fn mend(&self) {
        self.net.mend();
    }

    fn kill(&self, node: &NodeHandle) {
        self.net.process_ended(node.id());
        Handle::current().kill(node.id());
    }

    fn at(&self) -> Duration {
        Duration::from_nanos(self.net.now())
    }

    /// Does something on a machine and gives what came of it.
    async fn on<T: Send + 'static>(
        &self,
        node: &NodeHandle,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (done, came) = oneshot::channel();
        node.spawn(async move {
            let _ = done.send(work.await);
        });
        came.await.expect("the machine lives")
    }

    /// A connection from `a` to `b`: both sides.
    async fn connected(&self) -> (TcpStream, TcpStream) {
        let listener = self.on(&self.b, bind()).await.expect("free");
        let taken = self.b.spawn(async move { listener.accept().await });
        let dialled = self.on(&self.a, dial()).await.expect("reachable");
        let (accepted, _) = taken.await.expect("lives").expect("comes");
        tune(&dialled, &TUNING).expect("never fails");
        tune(&accepted, &TUNING).expect("never fails");
        (dialled, accepted)
    }
}

async fn bind() -> io::Result<TcpListener> {
    let target = lookup_host(("b", 7)).await?.next().expect("one");
    listen(target, 16)
}

async fn dial() -> io::Result<TcpStream> {
    let target = lookup_host(("b", 7)).await?.next().expect("one");
    TcpStream::connect(target).await
}

async fn read(half: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 64];
    let read = half.read(&mut buffer).await?;
    buffer.truncate(read);
    Ok(buffer)
}

async fn read_within(half: &mut OwnedReadHalf, bound: Duration) -> Option<io::Result<Vec<u8>>> {
    timeout(bound, read(half)).await.ok()
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn bytes_arrive_in_order_and_the_end_after_them() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (_, mut writer) = dialled.into_split();
        let (mut reader, _keeps) = accepted.into_split();
        let sent: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
        let bytes = sent.clone();
        let writing = world.a.spawn(async move {
            for piece in bytes.chunks(777) {
                writer.write_all(piece).await.expect("taken");
            }
            writer.shutdown().await.expect("never fails");
            writer
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.expect("in order");
        assert!(received == sent);
        writing.await.expect("lives");
    });
}

#[test]
fn a_dial_is_refused_where_nobody_listens_and_hangs_in_a_cut() {
    World::run(async |world| {
        let refused = world.on(&world.a, dial()).await;
        assert_eq!(kind(refused), Some(ErrorKind::ConnectionRefused));
        assert!(world.at() < ms(2), "{:?}", world.at());
        // One way is enough, whichever it is: the question or its answer vanishes.
        for (from, to) in [("a", "b"), ("b", "a")] {
            world.set(from, to, Passage::Cut);
            let hung = world.on(&world.a, async { timeout(ms(900), dial()).await });
            assert!(hung.await.is_err(), "{from} {to}");
            world.mend();
        }
        world.set("a", "b", Passage::Reject);
        let rejected = world.on(&world.a, dial()).await;
        assert_eq!(kind(rejected), Some(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn a_dial_that_hung_comes_through_with_the_question_after_the_heal() {
    World::run(async |world| {
        let _listener = world.on(&world.b, bind()).await.expect("free");
        world.cut();
        let began = world.at();
        let dialling = world.a.spawn(dial());
        sleep(ms(1_500)).await;
        world.mend();
        dialling.await.expect("lives").expect("answered");
        // Asked again after 1 and 3 s.
        let took = world.at().saturating_sub(began);
        assert!(took > ms(2_990) && took < ms(3_010), "{took:?}");
    });
}

#[test]
fn a_killed_process_is_seen_at_once_but_not_through_a_cut() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (mut reader, _writer) = dialled.into_split();
        world.b.spawn(async move {
            let _held = accepted;
            std::future::pending::<()>().await;
        });
        sleep(ms(10)).await;
        world.cut();
        world.kill(&world.b);
        assert!(read_within(&mut reader, ms(2_000)).await.is_none());
        world.mend();
        // The dead process's machine says it again: the end, as of any closed socket.
        let end = read_within(&mut reader, ms(2_000)).await.expect("is told");
        assert_eq!(end.expect("an end in order"), b"");
    });
}

#[test]
fn whoever_writes_to_a_dead_process_is_reset_by_its_machine() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (mut reader, mut writer) = dialled.into_split();
        world.b.spawn(async move {
            let _held = accepted;
            std::future::pending::<()>().await;
        });
        sleep(ms(10)).await;
        world.kill(&world.b);
        let end = read_within(&mut reader, ms(5)).await.expect("soon");
        assert_eq!(end.expect("an end in order"), b"");
        writer
            .write_all(b"late")
            .await
            .expect("the kernel takes it");
        sleep(ms(5)).await;
        let error = writer.write_all(b"later").await;
        assert_eq!(kind(error), Some(ErrorKind::ConnectionReset));
        // And the port refuses.
        let refused = world.on(&world.a, dial()).await;
        assert_eq!(kind(refused), Some(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn a_process_that_leaves_bytes_unread_resets() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (mut reader, mut writer) = dialled.into_split();
        writer.write_all(b"unread").await.expect("taken");
        sleep(ms(5)).await;
        drop(accepted);
        let error = read_within(&mut reader, ms(5)).await.expect("soon");
        assert_eq!(kind(error), Some(ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_short_cut_delays_and_a_long_one_breaks_what_waits_for_an_acknowledgement() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (mut reader, _keeps) = accepted.into_split();
        let (mut back, mut writer) = dialled.into_split();
        world.cut();
        let began = world.at();
        writer.write_all(b"one").await.expect("taken");
        sleep(ms(1_000)).await;
        world.mend();
        assert_eq!(read(&mut reader).await.expect("comes"), b"one");
        // Sent again after 200, 600 and 1,400 ms.
        let took = world.at().saturating_sub(began);
        assert!(took > ms(1_390) && took < ms(1_410), "{took:?}");

        world.cut();
        let began = world.at();
        writer.write_all(b"two").await.expect("taken");
        let error = read_within(&mut back, ms(60_000)).await.expect("breaks");
        assert_eq!(kind(error), Some(ErrorKind::TimedOut));
        let took = world.at().saturating_sub(began);
        assert!(took >= ms(5_000) && took < ms(5_010), "{took:?}");
        // The other side has waited for nothing and still believes, until it asks.
        world.mend();
        let late = read_within(&mut reader, ms(8_000)).await.expect("asks");
        assert_eq!(kind(late), Some(ErrorKind::ConnectionReset));
    });
}

#[test]
fn bytes_pass_a_one_way_cut_once_but_their_acknowledgements_do_not() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (mut reader, _keeps) = accepted.into_split();
        let (mut back, mut writer) = dialled.into_split();
        world.set("b", "a", Passage::Cut);
        writer.write_all(b"once").await.expect("taken");
        assert_eq!(read(&mut reader).await.expect("comes"), b"once");
        assert!(read_within(&mut reader, ms(3_000)).await.is_none(), "twice");
        let error = read_within(&mut back, ms(60_000)).await.expect("breaks");
        assert_eq!(kind(error), Some(ErrorKind::TimedOut));
    });
}

#[test]
fn an_idle_peer_without_power_is_found_by_keepalive() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (mut reader, _writer) = dialled.into_split();
        sleep(ms(20_000)).await;
        assert!(read_within(&mut reader, ms(10)).await.is_none(), "idle");
        let began = world.at();
        world.net.power_off(world.b.id());
        Handle::current().kill(world.b.id());
        let error = read_within(&mut reader, ms(60_000)).await.expect("breaks");
        assert_eq!(kind(error), Some(ErrorKind::TimedOut));
        let took = world.at().saturating_sub(began);
        assert!(took > ms(5_000) && took <= ms(7_000), "{took:?}");
        drop(accepted);
    });
}

#[test]
fn a_reader_that_stands_still_makes_the_writer_wait() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        let (mut reader, _keeps) = accepted.into_split();
        let (_back, mut writer) = dialled.into_split();
        let writing = world.a.spawn(async move {
            let mut taken = 0_usize;
            while let Ok(Ok(())) = timeout(ms(500), writer.write_all(&[7; 4_096])).await {
                taken += 4_096;
            }
            (taken, writer)
        });
        let (taken, mut writer) = writing.await.expect("lives");
        // One buffer at either side.
        assert!(
            (512 * 1024 - 4_096..=512 * 1024).contains(&taken),
            "{taken}"
        );
        let mut buffer = vec![0; 300 * 1024];
        reader.read_exact(&mut buffer).await.expect("there");
        assert!(timeout(ms(50), writer.write_all(&[7; 4_096])).await.is_ok());
    });
}

#[test]
fn a_stopped_process_takes_connections_and_bytes_in_its_machine() {
    World::run(async |world| {
        let listener = world.on(&world.b, bind()).await.expect("free");
        let taking = world.b.spawn(async move {
            let (accepted, _) = listener.accept().await.expect("comes");
            let (mut reader, _keeps) = accepted.into_split();
            read(&mut reader).await
        });
        Handle::current().pause(world.b.id());
        let dialled = world
            .on(&world.a, dial())
            .await
            .expect("connected all the same");
        let (_back, mut writer) = dialled.into_split();
        writer.write_all(b"kept").await.expect("taken");
        sleep(ms(30_000)).await;
        assert!(!taking.is_finished());
        Handle::current().resume(world.b.id());
        assert_eq!(taking.await.expect("lives").expect("read"), b"kept");
    });
}

#[test]
fn a_lossy_path_delays_and_loses_nothing() {
    World::run(async |world| {
        let (dialled, accepted) = world.connected().await;
        world.net.path("a", "b", |path| path.lost_per_mille = 300);
        let (mut reader, _keeps) = accepted.into_split();
        let (_back, mut writer) = dialled.into_split();
        for n in 0_u8..50 {
            writer.write_all(&[n]).await.expect("taken");
            sleep(ms(20)).await;
        }
        drop(writer);
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.expect("in order");
        assert_eq!(received, (0..50).collect::<Vec<u8>>());
    });
}

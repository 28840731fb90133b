//! A TCP proxy that can hang, lose answers and cut: what a network does to a connection.

use crate::Outcome;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Hands everything on.
    Open,
    /// Hands requests on and swallows answers.
    LosesAnswers,
    /// Takes connections and bytes, and hands nothing on.
    Hangs,
    /// Closes connections, and new ones at once.
    Cut,
}

/// A proxy before one address, on a port of loopback; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the server of this address.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(server: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (way, ways) = watch::channel(Way::Open);
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, ways.clone(), Arc::clone(&count)));
            }
        });
        Ok(Self {
            address,
            way,
            sent,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for connections that are there as well.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Bytes that were handed on to the server so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.way.send_replace(Way::Cut);
    }
}

async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    mut ways: watch::Receiver<Way>,
    sent: Arc<AtomicU64>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let way = *ways.borrow_and_update();
        if way == Way::Cut {
            return;
        }
        tokio::select! {
            biased;
            changed = ways.changed() => if changed.is_err() {
                return;
            },
            read = client.read(&mut up), if way != Way::Hangs => {
                let Ok(bytes @ 1..) = read else { return };
                if server.write_all(&up[..bytes]).await.is_err() {
                    return;
                }
                sent.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::SeqCst);
            }
            read = server.read(&mut down), if way != Way::Hangs => {
                let Ok(bytes @ 1..) = read else { return };
                if way == Way::Open && client.write_all(&down[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    }
}

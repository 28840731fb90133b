//! What the two sides of a connection say of themselves, and what makes one refuse the other.

use super::handshake::HANDSHAKE_TIMEOUT;
use super::me::Me;
use doyen_core::identity::{Address, Identity, Incarnation, Role};
use std::io;

const NONCE_BYTES: usize = 32;

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Messages, both ways.
    Main,
    /// Beats, from the dialler.
    Beat,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// One side refused the other; the reason names both.
    #[error("{0}")]
    Rejected(String),
    /// One side has not read the `cluster` record yet; it will come again.
    #[error("{0}")]
    TooEarly(String),
    /// Nothing of ours is there.
    #[error("what is there speaks no Doyen protocol (it began with {0:?})")]
    Stranger(String),
    /// The connection ended before the peer said anything: it is dying, or about to.
    #[error("the connection ended before the peer said anything")]
    Unanswered,
    /// The connection broke.
    #[error("the connection broke before it was proved: {0}")]
    Broken(#[from] io::Error),
    /// It took too long.
    #[error("the handshake took longer than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TooLate,
}

impl Failure {
    /// Whether the peer's end was closed or reset, by the kernel after it took the connection or
    /// by the peer in the handshake: the peer may be dying.
    pub(crate) const fn is_too_early(&self) -> bool {
        matches!(self, Self::TooEarly(_))
    }

    pub(crate) fn is_a_break(&self) -> bool {
        match self {
            Self::Unanswered => true,
            Self::Broken(error) => matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    // What a socket says of itself that was reset before it was looked at.
                    | io::ErrorKind::NotConnected
            ),
            Self::Rejected(_) | Self::TooEarly(_) | Self::Stranger(_) | Self::TooLate => false,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Hello {
    #[prost(string, tag = "1")]
    pub(super) cluster_name: String,
    #[prost(string, tag = "2")]
    pub(super) store_id: String,
    #[prost(string, optional, tag = "3")]
    pub(super) cluster_id: Option<String>,
    #[prost(string, tag = "4")]
    pub(super) host: String,
    #[prost(uint32, tag = "5")]
    pub(super) port: u32,
    #[prost(fixed64, tag = "6")]
    pub(super) incarnation: u64,
    /// 1 server, 2 driver.
    #[prost(uint32, tag = "7")]
    pub(super) role: u32,
    /// The dialler's name for the acceptor, HOST:PORT.
    #[prost(string, optional, tag = "8")]
    pub(super) dialled_as: Option<String>,
    /// 1 main, 2 beat.
    #[prost(uint32, tag = "9")]
    pub(super) lane: u32,
    #[prost(bytes = "vec", tag = "10")]
    pub(super) nonce: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Frame {
    #[prost(message, optional, tag = "1")]
    pub(super) hello: Option<Hello>,
    /// Empty when neither side knows a cluster.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) proof: Option<Vec<u8>>,
    #[prost(string, optional, tag = "3")]
    pub(super) refusal: Option<String>,
}

impl Hello {
    pub(super) fn of(
        me: &Me,
        store_id: &str,
        lane: Lane,
        dialled_as: Option<&Address>,
    ) -> io::Result<Self> {
        let mut nonce = vec![0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        Ok(Self {
            cluster_name: me.cluster_name.clone(),
            store_id: store_id.to_owned(),
            cluster_id: me.credentials.as_ref().map(|c| c.cluster.to_string()),
            host: me.identity.address.host().to_owned(),
            port: me.identity.address.port().into(),
            incarnation: me.identity.incarnation.0,
            role: match me.role {
                Role::Server => 1,
                Role::Driver => 2,
            },
            dialled_as: dialled_as.map(ToString::to_string),
            lane: match lane {
                Lane::Main => 1,
                Lane::Beat => 2,
            },
            nonce,
        })
    }

    pub(super) fn identity(&self) -> Result<Identity, Failure> {
        let port = u16::try_from(self.port)
            .map_err(|_| Failure::Rejected(format!("{} is no port", self.port)))?;
        let address = Address::new(self.host.clone(), port);
        // A driver listens nowhere: its port is 0, and so is its text.
        if address.to_string().parse::<Address>().is_err() {
            return Err(Failure::Rejected(format!("`{address}` is no address")));
        }
        Ok(Identity::new(address, Incarnation(self.incarnation)))
    }
}

/// Checks a peer's hello against our own (F7, design.md 7). The refusal names both sides.
pub(super) fn check(ours: &Hello, theirs: &Hello) -> Result<(), Failure> {
    let refuse = |reason: String| Err(Failure::Rejected(reason));
    let (us, them) = (ours.identity()?, theirs.identity()?);
    for (what, our, their) in [
        ("cluster name", &ours.cluster_name, &theirs.cluster_name),
        ("store", &ours.store_id, &theirs.store_id),
    ] {
        if our != their {
            return refuse(format!(
                "{them} has the {what} `{their}`, but {us} has `{our}`"
            ));
        }
    }
    match (&ours.cluster_id, &theirs.cluster_id) {
        (Some(our), Some(their)) if our != their => {
            return refuse(format!(
                "{them} is of the cluster `{their}`, but {us} is of `{our}`"
            ));
        }
        (Some(our), None) => {
            return Err(Failure::TooEarly(format!(
                "{us} is of the cluster `{our}` and {them} knows none: \
                 read the cluster record first"
            )));
        }
        (None, Some(their)) => {
            return Err(Failure::TooEarly(format!(
                "{them} is of the cluster `{their}` and {us} knows none: \
                 {us} must read the cluster record first"
            )));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if them == us {
        return refuse(format!("{us} dialled itself"));
    }
    if them.address == us.address {
        return refuse(format!(
            "{them} claims the address of {us}: each server needs an \
             `akka.remote.netty.tcp.port` or `akka.remote.netty.tcp.hostname` of its own"
        ));
    }
    if theirs.nonce.len() != NONCE_BYTES || theirs.nonce == ours.nonce {
        return refuse(format!("the nonce of {them} is none"));
    }
    Ok(())
}

pub(super) fn check_dialled_as(dialled: &str, acceptor: &Identity) -> Result<(), Failure> {
    if dialled == acceptor.address.to_string() {
        return Ok(());
    }
    Err(Failure::Rejected(format!(
        "{acceptor} was dialled as `{dialled}`: `ha.masters` and \
         `akka.remote.netty.tcp.hostname` must name a server alike"
    )))
}

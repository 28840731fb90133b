//! Records in ZooKeeper 3.6 or later, through the crate `zookeeper-client`.
//!
//! ```text
//! <chroot of the connection string>/<dir>/
//!   doyen-store            the store's id and format
//!   doyen-clock            empty; written when a process wants the store's time
//!   =cluster               the record `cluster`
//!   c/<id>/=singleton      the record `c/<id>/singleton`
//!   c/<id>/context/=<id>   the record `c/<id>/context/<id>`
//! ```
//!
//! A node whose name begins with `=` is a record: its first line is a mark and the id of the
//! transaction that wrote it (W4), the rest its content. All other nodes are folders: containers,
//! which ZooKeeper itself removes when they are empty. ADR 0017 says why.
//!
//! | what ZooKeeper or the crate does | what is done here |
//! | --- | --- |
//! | persistent watches are lost at every reconnect, without a word | `session.rs`: armed again at each, then `Everything` |
//! | the session expires, or a reconnect takes long | a new client, then `Everything` |
//! | a hung server is noticed late, calls wait | every call ends within the time of a store call |
//! | calls wait in a queue without bound | a bounded number is let in, and counted until it is answered |
//! | a lost answer | `Unknown`; who asked reads again and finds its own id or not |
//! | a folder on the way is missing | made ahead of the transaction, on the same connection |

mod client;
mod clock;
mod multi;
mod node;
mod read;
mod session;

pub use client::ZooKeeperStore;

use std::fmt;
use std::time::Duration;

/// How the store is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperOptions {
    /// Its servers: `HOST:PORT`, with commas, and a chroot behind the last one if wanted.
    pub servers: String,
    /// The folder of everything of this cluster, below the chroot; made when it is not there.
    pub dir: String,
    /// Who we are; `None`: everything that is made here is open to everybody.
    pub digest: Option<Digest>,
    /// The session's time, negotiated with the server.
    pub session_timeout: Duration,
    /// The bound of one store call (protocol.md, Times).
    pub store_call: Duration,
}

impl ZooKeeperOptions {
    /// The store at these servers, in this folder, with the usual times.
    #[must_use]
    pub fn new(servers: &str, dir: &str) -> Self {
        Self {
            servers: servers.to_owned(),
            dir: dir.to_owned(),
            digest: None,
            session_timeout: Duration::from_secs(10),
            store_call: Duration::from_millis(800),
        }
    }

    /// As this user.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }
}

/// `user:password` of ZooKeeper's scheme `digest`; what is made with it only this user may touch.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(String);

impl Digest {
    /// Takes `user:password`, without white space around it.
    ///
    /// # Errors
    /// It has no colon, or an empty part.
    pub fn new(text: &str) -> Result<Self, ZooKeeperError> {
        let text = text.trim();
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(ZooKeeperError::Digest),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(user:…)")
    }
}

/// Why a store in ZooKeeper cannot be opened at all. Nothing was asked yet.
#[derive(Debug, thiserror::Error)]
pub enum ZooKeeperError {
    /// The servers cannot be understood.
    #[error(
        "`{servers}` is no list of ZooKeeper servers ({reason}): write HOST:PORT with commas \
         between, and a chroot behind the last one if you want one, e.g. \
         `z1:2181,z2:2181,z3:2181/site`"
    )]
    Servers {
        /// What was written.
        servers: String,
        /// What is wrong.
        reason: String,
    },
    /// The folder cannot be understood.
    #[error("`{dir}` is no folder of ZooKeeper ({reason}): write a path such as `jobserver/db`")]
    Dir {
        /// What was written.
        dir: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The credentials cannot be understood.
    #[error("the digest for ZooKeeper is not of the form user:password")]
    Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_a_user_and_a_password_and_never_shown() {
        let digest = Digest::new(" doyen:se:cret\n").unwrap();
        assert_eq!(digest.bytes(), b"doyen:se:cret");
        let options = ZooKeeperOptions::new("z:1", "d").with_digest(digest);
        assert!(!format!("{options:?}").contains("cret"), "{options:?}");
        for bad in ["", "doyen", ":x", "x:"] {
            assert!(Digest::new(bad).is_err(), "{bad}");
        }
    }
}

//! Who a process is: where it listens, which life of it, and the ids of what it works on.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Hosts of at most so many bytes (every IPv4 address) lie in the address itself.
const SHORT: usize = 15;

/// Where a member listens for its peers: host and port.
///
/// Ordered by host (as text), then by port (as number), as membership.md A has it. Tables of members
/// compare and clone addresses all the time, so a short host is neither allocated nor compared as
/// text.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// The first [`SHORT`] bytes of the host, padded with zeros, then its length, at most
    /// `SHORT + 1`. The order of these bytes is the order of hosts, but for two long ones that
    /// begin alike.
    head: [u8; SHORT + 1],
    /// The whole host, if it is longer than [`SHORT`].
    long: Option<Arc<str>>,
    port: u16,
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address: expected HOST:PORT, e.g. 10.0.0.11:2552")]
pub struct AddressError(pub String);

impl Address {
    /// An address of this host and port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self::of(&host.into(), port)
    }

    fn of(host: &str, port: u16) -> Self {
        let mut head = [0; SHORT + 1];
        for (to, byte) in head.iter_mut().take(SHORT).zip(host.bytes()) {
            *to = byte;
        }
        head[SHORT] = u8::try_from(host.len().min(SHORT + 1)).unwrap_or_default();
        let long = (host.len() > SHORT).then(|| Arc::from(host));
        Self { head, long, port }
    }

    /// The host: a name or an IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        let short = self.head.get(..usize::from(self.head[SHORT]));
        // A short host was text when it was taken in, whole.
        let short = || std::str::from_utf8(short.unwrap_or_default()).unwrap_or_default();
        self.long.as_deref().unwrap_or_else(short)
    }

    /// The host's first bytes and its length, up to 16, in one number: all of a host of at most 15
    /// bytes. For digests, which need not look at the text of most hosts.
    #[must_use]
    pub const fn head(&self) -> u128 {
        u128::from_be_bytes(self.head)
    }

    /// Whether the host is longer than [`Self::head`] holds.
    #[must_use]
    pub const fn host_is_long(&self) -> bool {
        self.long.is_some()
    }

    /// The port; 0 for a driver, which listens nowhere.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        let heads = self.head().cmp(&other.head());
        let hosts = heads.then_with(|| self.long.cmp(&other.long));
        hosts.then(self.port.cmp(&other.port))
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// People read these in the middle of a sentence or of a record: `{:?}` says no more than `{}`.
macro_rules! debug_as_displayed {
    ($($name:ident),+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        })+
    };
}

debug_as_displayed!(Address, Incarnation, Identity);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host();
        if host.contains(':') {
            write!(f, "[{host}]:{}", self.port)
        } else {
            write!(f, "{host}:{}", self.port)
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if bare.is_empty() || !bare.chars().all(plain) || (bare.contains(':') && bare == host) {
            return Err(error());
        }
        let port = port.parse().map_err(|_| error())?;
        Ok(Self::of(bare, port))
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Which life of an address: a random number that its host draws for each life (membership.md A).
///
/// Written as 16 hexadecimal digits, since JSON readers lose 64-bit integers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        incarnation.to_string()
    }
}

impl TryFrom<String> for Incarnation {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

/// One life of one address, unique for ever: the key of every table about members.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Where it listens.
    pub address: Address,
    /// Which life.
    pub incarnation: Incarnation,
}

impl Identity {
    /// The identity of this life of this address.
    #[must_use]
    pub const fn new(address: Address, incarnation: Incarnation) -> Self {
        Self {
            address,
            incarnation,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.address, self.incarnation)
    }
}

/// What a member does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A job server: listed in the roster, votes, may hold the singleton.
    Server,
    /// The driver of one context: dials every server, listens nowhere, has no vote (E9).
    Driver,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        debug_as_displayed!($name);

        impl $name {
            /// The id of this text.
            #[must_use]
            pub fn new(id: impl Into<Arc<str>>) -> Self {
                Self(id.into())
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The random id that the founder gave the cluster; every record but `cluster` lies under it.
    ClusterId
);
text_id!(
    /// The id of a context: the id of the call that created it, so that a retry names the same one.
    ContextId
);
text_id!(
    /// The id of a job: a UUID of version 7, so that ids sort by time.
    JobId
);
text_id!(
    /// The id of a call: a UUID of version 7, so that ids sort by time.
    CallId
);

/// The hour since the Unix epoch in which a UUID of version 7 was made; `None` for another text.
///
/// Finished records lie in folders by the hour of their id, so that they are found by id alone.
#[must_use]
pub fn hour_of(id: &str) -> Option<u64> {
    let head: String = id.chars().filter(|c| *c != '-').take(12).collect();
    let version_seven = id.len() == 36 && id.as_bytes().get(14) == Some(&b'7');
    let millis = u64::from_str_radix(&head, 16).ok()?;
    version_seven.then_some(millis / 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hosts that begin alike, of lengths around [`SHORT`], with bytes that may pass for padding.
    fn host() -> impl Strategy<Value = String> {
        let alike = "[ab]{0,2}".prop_map(|end| format!("jobserver-host{end}"));
        let padded = "[a\\x00]{0,18}";
        prop_oneof!["[a-c.]{0,20}", "[ü日a]{0,9}", alike, padded]
    }

    proptest! {
        #[test]
        fn the_order_of_addresses_is_the_order_of_their_texts_then_of_their_ports(
            a in host(), b in host(), ports in (0..3_u16, 0..3_u16)
        ) {
            let (one, other) = (Address::new(&*a, ports.0), Address::new(&*b, ports.1));
            prop_assert_eq!(one.cmp(&other), (&a, ports.0).cmp(&(&b, ports.1)));
            prop_assert_eq!(one == other, (&a, ports.0) == (&b, ports.1));
            prop_assert_eq!(one.host(), a);
        }
    }

    #[test]
    fn addresses_sort_by_host_then_by_port_as_a_number() {
        let a: Address = "a:9".parse().unwrap();
        let b: Address = "a:10".parse().unwrap();
        let c: Address = "b:1".parse().unwrap();
        assert!(a < b && b < c);
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in [
            "",
            "host",
            "host:",
            ":1",
            "host:70000",
            "<jobserver1-ip>:2552",
            "::1:80",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError(text.to_owned())));
        }
        assert_eq!(
            "[::1]:80".parse::<Address>().unwrap().to_string(),
            "[::1]:80"
        );
    }

    #[test]
    fn the_hour_comes_from_a_version_seven_id_only() {
        assert_eq!(
            hour_of("018e2b1c-5f00-7000-8000-000000000000"),
            Some(0x018e_2b1c_5f00 / 3_600_000)
        );
        assert_eq!(hour_of("018e2b1c-5f00-4000-8000-000000000000"), None);
        assert_eq!(hour_of("nonsense"), None);
    }
}

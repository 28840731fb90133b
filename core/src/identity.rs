//! Who a process is: where it listens, which life of it, and the ids of what it works on.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a member listens for its peers: host and port.
///
/// Ordered by host (as text), then by port (as number), as membership.md A has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
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
        Self {
            host: host.into(),
            port,
        }
    }

    /// The host: a name or an IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 for a driver, which listens nowhere.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
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
        Ok(Self {
            host: bare.to_owned(),
            port: port.parse().map_err(|_| error())?,
        })
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id of this text.
            #[must_use]
            pub fn new(id: impl Into<String>) -> Self {
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

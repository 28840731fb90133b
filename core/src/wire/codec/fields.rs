//! Checks of single fields: what a peer sent is believed only within its bounds.

use super::{TEXT_BYTES_MAX, WireError, frames};
use crate::identity::{Address, Identity, Incarnation};
use std::collections::{BTreeMap, BTreeSet};

/// The bytes of one struct of numbered fields.
pub(super) fn parse<M: prost::Message + Default>(
    field: &'static str,
    bytes: &[u8],
    bytes_max: usize,
) -> Result<M, WireError> {
    if bytes.len() > bytes_max {
        return Err(WireError::TooLong {
            field,
            bytes: bytes.len(),
            max: bytes_max,
        });
    }
    M::decode(bytes).map_err(|error| WireError::Malformed {
        field,
        reason: error.to_string(),
    })
}

/// A text for people, which may be empty.
pub(super) fn text(field: &'static str, text: String) -> Result<String, WireError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(WireError::TooLong {
            field,
            bytes: text.len(),
            max: TEXT_BYTES_MAX,
        });
    }
    Ok(text)
}

/// An id, which may not be empty.
pub(super) fn id(field: &'static str, id: String) -> Result<String, WireError> {
    if id.is_empty() {
        return Err(WireError::Missing { field });
    }
    text(field, id)
}

/// A list of at most so many things.
pub(super) fn bounded<T>(
    field: &'static str,
    list: Vec<T>,
    max: usize,
) -> Result<Vec<T>, WireError> {
    if list.len() > max {
        return Err(WireError::TooMany {
            field,
            count: list.len(),
            max,
        });
    }
    Ok(list)
}

/// A list that names nothing twice.
pub(super) fn set<T: Ord>(
    field: &'static str,
    list: impl IntoIterator<Item = Result<T, WireError>>,
) -> Result<BTreeSet<T>, WireError> {
    let mut set = BTreeSet::new();
    for one in list {
        if !set.insert(one?) {
            return Err(WireError::Twice { field });
        }
    }
    Ok(set)
}

/// A list that says nothing twice about the same thing.
pub(super) fn map<K: Ord, V>(
    field: &'static str,
    list: impl IntoIterator<Item = Result<(K, V), WireError>>,
) -> Result<BTreeMap<K, V>, WireError> {
    let mut map = BTreeMap::new();
    for one in list {
        let (key, value) = one?;
        if map.insert(key, value).is_some() {
            return Err(WireError::Twice { field });
        }
    }
    Ok(map)
}

pub(super) fn encode_identity(identity: &Identity) -> frames::Identity {
    frames::Identity {
        host: identity.address.host().to_owned(),
        port: u32::from(identity.address.port()),
        incarnation: identity.incarnation.0,
    }
}

pub(super) fn identity(
    field: &'static str,
    frame: frames::Identity,
) -> Result<Identity, WireError> {
    let host = id(field, frame.host)?;
    let port = u16::try_from(frame.port).map_err(|_| WireError::Invalid {
        field,
        value: format!("port {}", frame.port),
    })?;
    let address = Address::new(host, port);
    // Only what an address may be written as: hosts go into logs, file names and dials.
    if address.to_string().parse().as_ref() != Ok(&address) {
        return Err(WireError::Invalid {
            field,
            value: format!("address {:?}", address.to_string()),
        });
    }
    Ok(Identity::new(address, Incarnation(frame.incarnation)))
}

pub(super) fn required(
    field: &'static str,
    frame: Option<frames::Identity>,
) -> Result<Identity, WireError> {
    identity(field, frame.ok_or(WireError::Missing { field })?)
}

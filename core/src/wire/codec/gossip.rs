//! The encoding of a state of membership. Whether the state is sound is for its receiver to check
//! ([`Gossip::check`]); here only its form and its bounds are.

use super::fields::{bounded, encode_identity, identity, map, set, text};
use super::{WireError, frames};
use crate::gossip::{Gossip, MEMBERS_MAX, TOMBSTONES_MAX, Tombstones, VectorClock};
use crate::identity::Identity;
use crate::membership::{Member, Status};
use crate::reachability::table::{ReachabilityTable, Row};
use crate::records::cluster::{Generation, Roster};
use std::collections::BTreeMap;

pub(super) fn encode(to: &Identity, gossip: &Gossip) -> frames::Gossip {
    let places = Places::of(gossip);
    let count = |(one, count): (&Identity, u64)| frames::Count {
        identity: places.place(one),
        count,
    };
    let version = gossip.version.entries().iter();
    let tombstones = gossip.tombstones.entries().iter();
    frames::Gossip {
        to: Some(encode_identity(to)),
        generation: gossip.roster.generation.0,
        identities: places.0.keys().map(|one| encode_identity(one)).collect(),
        listed: places.places(&gossip.roster.listed),
        members: gossip
            .members
            .values()
            .map(|member| encode_member(member, &places))
            .collect(),
        seen: places.places(&gossip.seen),
        version: version
            .map(|(one, changes)| count((one, *changes)))
            .collect(),
        rows: (gossip.reachability.rows().iter())
            .map(|(observer, row)| frames::Row {
                observer: places.place(observer),
                version: row.version,
                unreachable: places.places(&row.unreachable),
            })
            .collect(),
        tombstones: tombstones
            .map(|(one, generation)| count((one, generation.0)))
            .collect(),
    }
}

pub(super) fn decode(frame: frames::Gossip) -> Result<Gossip, WireError> {
    let identities = bounded("gossip.identities", frame.identities, IDENTITIES_MAX)?;
    let identities: Result<Vec<Identity>, WireError> = identities
        .into_iter()
        .map(|one| identity("gossip.identities", one))
        .collect();
    let named = Named(identities?);
    let listed = bounded("gossip.listed", frame.listed, MEMBERS_MAX)?;
    let listed: Result<Vec<Identity>, WireError> = (listed.into_iter())
        .map(|place| named.at("gossip.listed", place))
        .collect();
    let members = bounded("gossip.members", frame.members, MEMBERS_MAX)?;
    let members = members.into_iter().map(|member| named.member(member));
    let seen = bounded("gossip.seen", frame.seen, MEMBERS_MAX)?.into_iter();
    let version = bounded("gossip.version", frame.version, MEMBERS_MAX)?.into_iter();
    let version = version.map(|one| Ok((named.at("gossip.version", one.identity)?, one.count)));
    let rows = bounded("gossip.rows", frame.rows, MEMBERS_MAX)?.into_iter();
    let rows = rows.map(|row| named.row(row));
    let removed = bounded("gossip.tombstones", frame.tombstones, TOMBSTONES_MAX)?.into_iter();
    let removed = removed.map(|one| {
        let identity = named.at("gossip.tombstones", one.identity)?;
        Ok((identity, Generation(one.count)))
    });
    Ok(Gossip {
        roster: Roster {
            generation: Generation(frame.generation),
            listed: listed?,
        },
        members: map("gossip.members", members)?,
        seen: set(
            "gossip.seen",
            seen.map(|place| named.at("gossip.seen", place)),
        )?,
        version: VectorClock::new(map("gossip.version", version)?),
        reachability: ReachabilityTable::new(map("gossip.rows", rows)?),
        tombstones: Tombstones::new(map("gossip.tombstones", removed)?),
    })
}

/// A sound state names no more: everybody that it speaks of is a member or was removed.
const IDENTITIES_MAX: usize = MEMBERS_MAX + TOMBSTONES_MAX;

/// Where each identity of a state lies in the list of its identities.
struct Places<'a>(BTreeMap<&'a Identity, u32>);

impl<'a> Places<'a> {
    fn of(gossip: &'a Gossip) -> Self {
        let all = (gossip.roster.listed.iter())
            .chain(gossip.members.keys())
            .chain(&gossip.seen)
            .chain(gossip.version.entries().keys())
            .chain(gossip.reachability.named())
            .chain(gossip.tombstones.entries().keys());
        let mut places: BTreeMap<&Identity, u32> = all.map(|one| (one, 0)).collect();
        for (place, at) in (0..).zip(places.values_mut()) {
            *at = place;
        }
        Self(places)
    }

    fn place(&self, identity: &Identity) -> u32 {
        self.0[identity] // Everybody that the state names is in.
    }

    fn places<'b>(&self, identities: impl IntoIterator<Item = &'b Identity>) -> Vec<u32> {
        let identities = identities.into_iter();
        identities.map(|one| self.place(one)).collect()
    }
}

fn encode_member(member: &Member, places: &Places<'_>) -> frames::Member {
    frames::Member {
        identity: places.place(&member.identity),
        status: match member.status {
            Status::Joining => 1,
            Status::WeaklyUp => 2,
            Status::Up => 3,
            Status::Leaving => 4,
            Status::Exiting => 5,
            Status::Down => 6,
        },
        version: member.version.clone(),
    }
}

fn status(number: u32) -> Result<Status, WireError> {
    match number {
        1 => Ok(Status::Joining),
        2 => Ok(Status::WeaklyUp),
        3 => Ok(Status::Up),
        4 => Ok(Status::Leaving),
        5 => Ok(Status::Exiting),
        6 => Ok(Status::Down),
        other => Err(WireError::Invalid {
            field: "gossip.members.status",
            value: other.to_string(),
        }),
    }
}

/// The identities that a decoded state names.
struct Named(Vec<Identity>);

impl Named {
    fn at(&self, field: &'static str, place: u32) -> Result<Identity, WireError> {
        let found = usize::try_from(place).ok().and_then(|at| self.0.get(at));
        found.cloned().ok_or_else(|| WireError::Invalid {
            field,
            value: format!("identity {place} of {}", self.0.len()),
        })
    }

    fn member(&self, frame: frames::Member) -> Result<(Identity, Member), WireError> {
        let identity = self.at("gossip.members.identity", frame.identity)?;
        let member = Member {
            identity: identity.clone(),
            status: status(frame.status)?,
            version: text("gossip.members.version", frame.version)?,
        };
        Ok((identity, member))
    }

    fn row(&self, frame: frames::Row) -> Result<(Identity, Row), WireError> {
        let field = "gossip.rows.unreachable";
        let unreachable = bounded(field, frame.unreachable, MEMBERS_MAX)?.into_iter();
        let row = Row {
            version: frame.version,
            unreachable: set(field, unreachable.map(|place| self.at(field, place)))?,
        };
        Ok((self.at("gossip.rows.observer", frame.observer)?, row))
    }
}

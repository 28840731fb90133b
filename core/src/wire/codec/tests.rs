//! Round trips, bounds and garbage of the encoding.

mod mutations;

use super::*;
use crate::gossip::{Gossip, TOMBSTONES_MAX, Tombstones, VectorClock};
use crate::identity::Address;
use crate::membership::{Member, Status};
use crate::reachability::table::{ReachabilityTable, Row};
use crate::records::cluster::Roster;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;
use std::sync::Arc;

fn any_identity() -> impl Strategy<Value = Identity> {
    let hosts = vec![
        "10.0.0.11",
        "::1",
        "fe80::1%eth0",
        "host_a.example-1.org",
        "a",
    ];
    (select(hosts), any::<u16>(), any::<u64>())
        .prop_map(|(host, port, life)| Identity::new(Address::new(host, port), Incarnation(life)))
}

fn any_text() -> impl Strategy<Value = String> {
    "[ -~äβ]{0,40}"
}

fn any_id() -> impl Strategy<Value = String> {
    "[ -~äβ]{1,40}"
}

/// Any state of this form, sound or not: the codec does not judge.
fn any_gossip() -> impl Strategy<Value = Gossip> {
    use Status::{Down, Exiting, Joining, Leaving, Up, WeaklyUp};
    let status = select(vec![Joining, WeaklyUp, Up, Leaving, Exiting, Down]);
    let who = proptest::collection::vec(any_identity(), 1..12);
    let picks = proptest::collection::vec(any::<Index>(), 0..12);
    let numbers = proptest::collection::vec((any::<Index>(), any::<u64>(), picks.clone()), 0..12);
    let members = proptest::collection::vec((any::<Index>(), status, any_text()), 0..12);
    (
        who,
        any::<u64>(),
        (picks.clone(), picks),
        members,
        numbers.clone(),
        numbers,
    )
        .prop_map(
            |(who, generation, (listed, seen), members, numbers, removed)| {
                let at = |place: &Index| place.get(&who).clone();
                let row = |version: u64, subjects: &[Index]| Row {
                    version,
                    unreachable: subjects.iter().map(at).collect(),
                };
                let member = |(place, status, version): &(Index, Status, String)| Member {
                    identity: at(place),
                    status: *status,
                    version: version.clone(),
                };
                let members = members.iter().map(member);
                Gossip {
                    roster: Roster {
                        generation: Generation(generation),
                        listed: listed.iter().map(at).collect(),
                    },
                    members: members.map(|one| (one.identity.clone(), one)).collect(),
                    seen: seen.iter().map(at).collect(),
                    version: VectorClock::new(
                        numbers
                            .iter()
                            .map(|(who, count, _)| (at(who), *count))
                            .collect(),
                    ),
                    reachability: ReachabilityTable::new(
                        (numbers.iter())
                            .map(|(who, version, subjects)| (at(who), row(*version, subjects)))
                            .collect(),
                    ),
                    tombstones: Tombstones::new(
                        (removed.iter())
                            .map(|(who, generation, _)| (at(who), Generation(*generation)))
                            .collect(),
                    ),
                }
            },
        )
}

fn any_message() -> impl Strategy<Value = Message> {
    let generation = || any::<u64>().prop_map(Generation);
    let reasons = vec![
        NackReason::Uninitialised,
        NackReason::Joining,
        NackReason::Leaving,
    ];
    let context = || any_id().prop_map(ContextId::new);
    prop_oneof![
        any_text().prop_map(|seeds| Message::Contact { seeds }),
        (any_text(), generation())
            .prop_map(|(seeds, generation)| Message::ContactAck { seeds, generation }),
        (any_text(), select(reasons))
            .prop_map(|(seeds, reason)| Message::ContactNack { seeds, reason }),
        (generation(), any_text()).prop_map(|(generation, version)| Message::Join {
            generation,
            version
        }),
        generation().prop_map(|generation| Message::JoinRefused { generation }),
        (any_identity(), any_gossip().prop_map(Arc::new))
            .prop_map(|(to, gossip)| Message::Gossip { to, gossip }),
        any_id().prop_map(|call| Message::CallHint {
            call: CallId::new(call)
        }),
        (context(), any_id()).prop_map(|(context, job)| Message::JobHint {
            context,
            job: JobId::new(job)
        }),
        (
            any::<u64>(),
            context(),
            any_text(),
            any::<u64>(),
            any::<bool>()
        )
            .prop_map(|(sequence, context, context_name, intent, owns)| {
                Message::DriverBeat {
                    sequence,
                    context,
                    context_name,
                    intent: IntentNumber(intent),
                    owns,
                }
            }),
        (
            any::<u64>(),
            proptest::collection::vec(any_identity(), 0..MEMBERS_MAX)
        )
            .prop_map(|(sequence, servers)| Message::DriverHeard { sequence, servers }),
        any::<u64>().prop_map(|driver| Message::DriverSeen {
            driver: Incarnation(driver)
        }),
    ]
}

fn any_beat() -> impl Strategy<Value = Beat> {
    let hears = proptest::collection::btree_set(any_identity(), 0..20);
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (
        any_identity(),
        numbers,
        any::<Option<u64>>(),
        hears,
        any::<bool>(),
    )
        .prop_map(
            |(from, (sequence, generation, epoch, store_age_ms), holder, hears, vacant)| Beat {
                from,
                sequence,
                generation: Generation(generation),
                epoch: Epoch(epoch),
                holder: holder.map(Incarnation),
                hears: Arc::new(hears),
                store_age_ms,
                vacant,
            },
        )
}

proptest! {
    #[test]
    fn a_message_comes_back_as_it_was(message in any_message()) {
        prop_assert_eq!(decode_message(&encode_message(&message)), Ok(message));
    }

    #[test]
    fn a_beat_comes_back_as_it_was(beat in any_beat()) {
        prop_assert_eq!(decode_beat(&encode_beat(&beat)), Ok(beat));
    }

    #[test]
    fn garbage_gives_an_error_or_a_message_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_u32..12
    ) {
        let _ = decode_message(&bytes);
        let _ = decode_beat(&bytes);
        let enveloped = frames::Envelope { kind, body: bytes };
        let _ = decode_message(&enveloped.encode_to_vec());
    }

    #[test]
    fn a_message_with_one_byte_changed_never_panics(
        message in any_message(), at in any::<Index>(), to in any::<u8>(), cut in any::<Index>()
    ) {
        let mut bytes = encode_message(&message);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = decode_message(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode_message(&bytes);
    }
}

fn enveloped(kind: u32, body: &impl prost::Message) -> Vec<u8> {
    let body = body.encode_to_vec();
    frames::Envelope { kind, body }.encode_to_vec()
}

fn gossip_frame() -> frames::Gossip {
    let identity = |port| frames::Identity {
        host: "h".to_owned(),
        port,
        incarnation: 1,
    };
    frames::Gossip {
        to: Some(identity(1)),
        identities: vec![identity(1), identity(2)],
        ..frames::Gossip::default()
    }
}

#[test]
fn a_newer_releases_kinds_and_fields_are_skipped() {
    let newer = enveloped(4711, &frames::Contact::default());
    assert_eq!(decode_message(&newer), Err(WireError::UnknownKind(4711)));
    // Join's frame has a field 2 that JoinRefused's lacks.
    let join = frames::Join {
        generation: 7,
        version: "2".to_owned(),
    };
    let generation = Generation(7);
    let decoded = decode_message(&enveloped(JOIN_REFUSED, &join));
    assert_eq!(decoded, Ok(Message::JoinRefused { generation }));
}

#[test]
fn each_error_names_its_field() {
    let broken = |breaks: fn(&mut frames::Gossip)| {
        let mut frame = gossip_frame();
        breaks(&mut frame);
        decode_message(&enveloped(GOSSIP, &frame))
            .unwrap_err()
            .to_string()
    };
    let member = || frames::Member {
        identity: 0,
        status: 3,
        version: String::new(),
    };
    assert!(decode_message(&enveloped(GOSSIP, &gossip_frame())).is_ok());
    for (found, want) in [
        (broken(|g| g.to = None), "gossip.to is missing"),
        (
            broken(|g| g.listed = vec![2]),
            "gossip.listed is invalid: identity 2 of 2",
        ),
        (
            broken(|g| g.seen = vec![1, 1]),
            "gossip.seen names one identity twice",
        ),
        (
            broken(|g| g.seen = vec![0; 65]),
            "gossip.seen has 65 entries, at most 64 are taken",
        ),
        (
            broken(|g| g.identities[0].port = 65_536),
            "gossip.identities is invalid: port 65536",
        ),
        (
            broken(|g| g.identities[0].host = "a/../b".to_owned()),
            "gossip.identities is invalid: address \"a/../b:1\"",
        ),
        (
            broken(|g| g.identities[1].host = "h".repeat(257)),
            "gossip.identities has 257 bytes, at most 256 are taken",
        ),
    ] {
        assert_eq!(found, want);
    }
    let mut frame = gossip_frame();
    frame.members = vec![frames::Member {
        status: 9,
        ..member()
    }];
    let error = decode_message(&enveloped(GOSSIP, &frame)).unwrap_err();
    assert_eq!(error.to_string(), "gossip.members.status is invalid: 9");
    frame.members = vec![member(), member()];
    let error = decode_message(&enveloped(GOSSIP, &frame)).unwrap_err();
    assert_eq!(error.to_string(), "gossip.members names one identity twice");

    let error = decode_message(&enveloped(CALL_HINT, &frames::CallHint::default()));
    assert_eq!(error.unwrap_err().to_string(), "call-hint.call is missing");
    assert_eq!(
        decode_message(&[]).unwrap_err().to_string(),
        "message.kind is missing"
    );
    assert_eq!(
        decode_beat(&[]).unwrap_err().to_string(),
        "beat.from is missing"
    );
    let error = decode_message(&[8, 1, 18, 9]).unwrap_err().to_string();
    assert!(error.starts_with("message is malformed: "), "{error}");
    let body = vec![0xff; 3];
    let cut = frames::Envelope { kind: GOSSIP, body }.encode_to_vec();
    let error = decode_message(&cut).unwrap_err().to_string();
    assert!(error.starts_with("gossip is malformed: "), "{error}");
}

#[test]
fn more_bytes_than_the_bounds_are_refused_before_they_are_read() {
    let huge = vec![0; FRAME_BYTES_MAX + 1];
    let error = decode_message(&huge).unwrap_err();
    assert!(matches!(
        error,
        WireError::TooLong {
            field: "message",
            ..
        }
    ));
    let body = [0x1a, 0].repeat(MESSAGE_BYTES_MAX); // Empty identities, two bytes each.
    let many = frames::Envelope { kind: GOSSIP, body }.encode_to_vec();
    let error = decode_message(&many).unwrap_err();
    assert!(matches!(
        error,
        WireError::TooLong {
            field: "gossip",
            ..
        }
    ));
    let error = decode_beat(&vec![0; BEAT_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, WireError::TooLong { field: "beat", .. }));
}

#[test]
fn a_state_at_all_of_its_bounds_is_taken() {
    let id = |life: usize| {
        let host = "h".repeat(TEXT_BYTES_MAX);
        Identity::new(
            Address::new(host, u16::MAX),
            Incarnation(u64::MAX - life as u64),
        )
    };
    let all: BTreeSet<Identity> = (0..MEMBERS_MAX).map(id).collect();
    let removed = (MEMBERS_MAX..MEMBERS_MAX + TOMBSTONES_MAX).map(id);
    let member = |identity: &Identity| Member {
        identity: identity.clone(),
        status: Status::Up,
        version: "v".repeat(TEXT_BYTES_MAX),
    };
    let row = || Row {
        version: u64::MAX,
        unreachable: all.clone(),
    };
    let by_member = || all.iter().cloned();
    let gossip = Gossip {
        roster: Roster {
            generation: Generation(u64::MAX),
            listed: by_member().collect(),
        },
        members: by_member().map(|one| (one.clone(), member(&one))).collect(),
        seen: all.clone(),
        version: VectorClock::new(by_member().map(|one| (one, u64::MAX)).collect()),
        reachability: ReachabilityTable::new(by_member().map(|one| (one, row())).collect()),
        tombstones: Tombstones::new(removed.map(|one| (one, Generation(u64::MAX))).collect()),
    };
    assert_eq!(gossip.check(), Ok(()));
    let to = id(0);
    let beat = Beat {
        from: to.clone(),
        sequence: u64::MAX,
        generation: Generation(u64::MAX),
        epoch: Epoch(u64::MAX),
        holder: Some(Incarnation(0)),
        hears: Arc::new(all.clone()),
        store_age_ms: u64::MAX,
        vacant: true,
    };
    assert_eq!(decode_beat(&encode_beat(&beat)), Ok(beat));
    let message = Message::Gossip {
        to,
        gossip: Arc::new(gossip),
    };
    assert_eq!(decode_message(&encode_message(&message)), Ok(message));
}

#[test]
fn the_bounds_of_texts_hold_for_every_kind() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let context = ContextId::new(long.clone());
    let job = JobId::new("1");
    let servers = (0..=64).map(|port| Identity::new(Address::new("h", port), Incarnation(1)));
    for (message, want) in [
        (
            Message::Contact {
                seeds: long.clone(),
            },
            "contact.seeds has 257 bytes",
        ),
        (
            Message::JobHint { context, job },
            "job-hint.context has 257 bytes",
        ),
        (
            Message::Join {
                generation: Generation(1),
                version: long,
            },
            "join.version has 257 bytes",
        ),
        (
            Message::DriverHeard {
                sequence: 1,
                servers: servers.collect(),
            },
            "driver-heard.servers has 65 entries",
        ),
    ] {
        let error = decode_message(&encode_message(&message))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(want), "{error} is not {want}");
    }
}

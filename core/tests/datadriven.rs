//! Runs the tables of `testdata/*.txt`: a command, `----`, the answer, an empty line.
//!
//! Lines that begin with `#` are for readers. `UPDATE_TESTDATA=1 cargo test -p doyen-core --test
//! datadriven` writes the answers that the code gives into the tables; review the difference.

use doyen_core::downing::keep_oldest::is_preferred;
use doyen_core::gossip::{Gossip, Tombstones, VectorClock};
use doyen_core::identity::{Address, CallId, ContextId, Identity, Incarnation, JobId};
use doyen_core::membership::{Member, Status};
use doyen_core::reachability::table::ReachabilityTable;
use doyen_core::records::cluster::{Generation, Roster};
use doyen_core::records::context::IntentNumber;
use doyen_core::records::singleton::Epoch;
use doyen_core::wire::codec::{decode_beat, decode_message, encode_beat, encode_message};
use doyen_core::wire::{Beat, Message, NackReason};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

#[test]
fn keep_oldest_prefers_the_side_that_its_table_says() {
    assert_eq!(run("keep_oldest.txt", keep_oldest), 21);
}

#[test]
fn bytes_of_every_kind_of_message_stay_readable() {
    assert_eq!(run("wire.txt", wire), 13);
}

/// Runs a table and returns how many commands it has.
fn run(file: &str, answer: fn(&Command<'_>) -> String) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/testdata")
        .join(file);
    let table = std::fs::read_to_string(&path).expect("the table is there");
    let (mut written, mut count) = (String::new(), 0);
    for block in table.trim_end().split("\n\n") {
        let (head, wanted) = block.split_once("\n----").unwrap_or((block, ""));
        let command = head.lines().rfind(|line| !line.starts_with('#'));
        let separator = if written.is_empty() { "" } else { "\n\n" };
        let _ = write!(written, "{separator}{head}");
        if let Some(command) = command {
            let found = answer(&Command::parse(command));
            let _ = write!(written, "\n----\n{found}");
            count += 1;
            if std::env::var_os("UPDATE_TESTDATA").is_none() {
                assert_eq!(found, wanted.trim_start(), "{file}: {command}");
            }
        }
    }
    if std::env::var_os("UPDATE_TESTDATA").is_some() {
        std::fs::write(&path, written + "\n").expect("the table can be written");
    }
    count
}

/// `verb word word key=value …`
struct Command<'a> {
    line: &'a str,
    words: Vec<&'a str>,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Self {
        let parts = line.split_whitespace();
        Self {
            line,
            words: parts.clone().filter(|part| !part.contains('=')).collect(),
            values: parts.filter_map(|part| part.split_once('=')).collect(),
        }
    }

    fn value(&self, key: &str) -> &'a str {
        let value = self.values.get(key);
        value.unwrap_or_else(|| panic!("`{}` lacks {key}=…", self.line))
    }
}

fn server(age: u16) -> Identity {
    Identity::new(
        Address::new("10.0.0.11", 2550 + age),
        Incarnation(u64::from(age)),
    )
}

fn servers(list: &str) -> Vec<Identity> {
    let ages = list.split(',').map(|age| age.parse().expect("an age"));
    ages.map(server).collect()
}

fn keep_oldest(command: &Command<'_>) -> String {
    assert_eq!(command.words, ["keep-oldest"]);
    let down_if_alone = match command.value("down-if-alone") {
        "on" => true,
        "off" => false,
        other => panic!(
            "`{}`: down-if-alone is on or off, not {other}",
            command.line
        ),
    };
    let roster = Roster {
        generation: Generation(1),
        listed: servers(command.value("listed")),
    };
    let sides = command.value("sides").split('/').map(|side| {
        let side: BTreeSet<Identity> = servers(side).into_iter().collect();
        let ages = side.iter().map(|one| one.incarnation.0.to_string());
        let ages: Vec<String> = ages.collect();
        let preferred = is_preferred(&roster, &side, down_if_alone);
        let word = if preferred { "preferred" } else { "waits" };
        format!("{}: {word}", ages.join(","))
    });
    sides.collect::<Vec<_>>().join("\n")
}

fn wire(command: &Command<'_>) -> String {
    let bytes = match *command.words.as_slice() {
        ["message", kind] => {
            let message = message(kind);
            let bytes = encode_message(&message);
            assert_eq!(decode_message(&bytes), Ok(message));
            bytes
        }
        ["beat", kind] => {
            let beat = beat(kind);
            let bytes = encode_beat(&beat);
            assert_eq!(decode_beat(&bytes), Ok(beat));
            bytes
        }
        _ => panic!("`{}` is no command of this table", command.line),
    };
    let lines = bytes.chunks(32).map(|line| {
        line.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn message(kind: &str) -> Message {
    let seeds = "sha256:5eed".to_owned();
    let generation = Generation(7);
    let context = ContextId::new("0199aaaa-0000-7000-8000-000000000001");
    match kind {
        "contact" => Message::Contact { seeds },
        "contact-ack" => Message::ContactAck { seeds, generation },
        "contact-nack" => Message::ContactNack {
            seeds,
            reason: NackReason::Joining,
        },
        "join" => Message::Join {
            generation,
            version: "0.1.0".to_owned(),
        },
        "join-refused" => Message::JoinRefused { generation },
        "gossip" => Message::Gossip {
            to: server(2),
            gossip: std::sync::Arc::new(gossip()),
        },
        "call-hint" => Message::CallHint {
            call: CallId::new("0199aaaa-0000-7000-8000-000000000002"),
        },
        "job-hint" => Message::JobHint {
            context,
            job: JobId::new("0199aaaa-0000-7000-8000-000000000003"),
        },
        "driver-beat" => Message::DriverBeat {
            sequence: 300,
            context,
            context_name: "wordcount".to_owned(),
            intent: IntentNumber(2),
            owns: true,
        },
        "driver-heard" => Message::DriverHeard {
            sequence: 300,
            servers: vec![server(1), server(2)],
        },
        "driver-seen" => Message::DriverSeen {
            driver: server(3).incarnation,
        },
        other => panic!("no message `{other}`"),
    }
}

fn gossip() -> Gossip {
    let member = |age, status| Member {
        identity: server(age),
        status,
        version: "0.1.0".to_owned(),
    };
    let members = [
        member(1, Status::Up),
        member(2, Status::Leaving),
        member(3, Status::Joining),
    ];
    let mut reachability = ReachabilityTable::default();
    reachability.observe(&server(1), &server(3), false);
    let gossip = Gossip {
        roster: Roster {
            generation: Generation(7),
            listed: vec![server(2), server(1)],
        },
        members: members.map(|one| (one.identity.clone(), one)).into(),
        seen: BTreeSet::from([server(1)]),
        version: VectorClock::new(BTreeMap::from([(server(1), 3), (server(2), 300)])),
        reachability,
        tombstones: Tombstones::new(BTreeMap::from([(server(9), Generation(6))])),
    };
    assert_eq!(gossip.check(), Ok(()));
    gossip
}

fn beat(kind: &str) -> Beat {
    let of_holder = match kind {
        "of-a-holder" => true,
        "of-a-server" => false,
        other => panic!("no beat `{other}`"),
    };
    Beat {
        from: server(1),
        sequence: 4711,
        generation: Generation(7),
        epoch: Epoch(12),
        holder: of_holder.then_some(Incarnation(1)),
        hears: Arc::new(BTreeSet::from([server(2), server(3)])),
        store_age_ms: 42,
        vacant: of_holder,
    }
}

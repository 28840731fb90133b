//! Taking the context: whether this driver comes in time, and the transaction (protocol.md E2).
//!
//! | found | then |
//! | --- | --- |
//! | context absent or final, another intent, another owner | too late: exit |
//! | the owner is this driver | taken already, the answer was lost (W4) |
//! | a record missing or unreadable | read again until `driver_take` |
//! | nobody owns it, the intent is ours | take |

use super::DriverLaunch;
use super::desk::{Desk, Keys, look};
use super::life::Life;
use crate::input::Ticket;
use crate::planted::planted;
use crate::records::context::{
    ContextRecord, ContextState, DriverPhase, IntentKind, LifeRecord, Owner, OwnerRecord,
};
use crate::records::key::Key;
use crate::records::transaction::{CommitOutcome, Snapshot, Version};
use crate::records::{RecordError, Versioned, encode};
use crate::time::Time;

/// What a read says of this driver and its context.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// This driver owns it; the version is its fence.
    Mine(Version),
    /// Nobody owns it, and the intent is the one that launched this driver.
    Free(Box<Versioned<OwnerRecord>>),
    /// It is or was another's, or it is over.
    Lost(String),
}

/// What the owner record says.
///
/// # Errors
/// The record cannot be read: it neither gives nor takes the fence.
pub(super) fn standing(
    launch: &DriverLaunch,
    key: &Key,
    found: &Snapshot,
) -> Result<Standing, RecordError> {
    let Some(owner) = look::<OwnerRecord>(found, key, "an owner")? else {
        return Ok(Standing::Lost(format!("`{key}` is gone")));
    };
    let lost = |why: String| Ok(Standing::Lost(format!("context {}: {why}", launch.context)));
    if owner.value.intent != launch.intent && !planted!(TakesAnyIntent) {
        return lost(format!(
            "its intent is {}, this driver was launched by {}",
            owner.value.intent.0, launch.intent.0
        ));
    }
    match &owner.value.owner {
        None => Ok(Standing::Free(Box::new(owner))),
        Some(one) if one.driver == launch.identity.incarnation => Ok(Standing::Mine(owner.version)),
        Some(_) if planted!(TakesOwned) => Ok(Standing::Free(Box::new(owner))),
        Some(one) => lost(format!("driver {} owns it", one.driver)),
    }
}

/// Whether a context is to stop.
pub(super) fn is_stopping(context: &ContextRecord) -> bool {
    let told = context.intent.as_ref().map(|intent| &intent.kind);
    context.state == ContextState::Stopping || matches!(told, Some(IntentKind::Stop))
}

/// What a read makes a driver do that does not own its context yet.
#[derive(Clone, Debug, PartialEq)]
enum Decision {
    /// Take it, guarded by these.
    Take {
        context: Version,
        owner: Box<Versioned<OwnerRecord>>,
        life: Box<Versioned<LifeRecord>>,
    },
    /// It is taken already.
    Mine(Version, Box<Versioned<LifeRecord>>),
    /// Too late.
    Lost(String),
}

/// Decides from what was read.
///
/// # Errors
/// A record that the decision rests on cannot be read.
fn decide(launch: &DriverLaunch, keys: &Keys, found: &Snapshot) -> Result<Decision, RecordError> {
    let key = &keys.context;
    let Some(context) = look::<ContextRecord>(found, key, "a context")? else {
        return Ok(Decision::Lost(format!("`{key}` is not there")));
    };
    if context.value.state.is_final() {
        let state = context.value.state.name();
        return Ok(Decision::Lost(format!("`{key}` is {state} already")));
    }
    let standing = match standing(launch, &keys.owner, found)? {
        Standing::Lost(why) => return Ok(Decision::Lost(why)),
        other @ (Standing::Mine(_) | Standing::Free(_)) => other,
    };
    let key = &keys.life;
    let Some(life) = look::<LifeRecord>(found, key, "a sign of life")? else {
        return Ok(Decision::Lost(format!("`{key}` is not there")));
    };
    Ok(match standing {
        Standing::Lost(why) => Decision::Lost(why),
        Standing::Mine(fence) => Decision::Mine(fence, Box::new(life)),
        Standing::Free(owner) => Decision::Take {
            context: context.version,
            owner,
            life: Box::new(life),
        },
    })
}

/// A driver that does not own its context yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Taking {
    write: Option<Write>,
    refusals: u32,
    sent: Time,
}

/// The taking transaction under way.
#[derive(Clone, Debug)]
struct Write {
    ticket: Ticket,
    owner: Version,
    life: Version,
    record: LifeRecord,
}

/// What taking led to.
#[derive(Clone, Debug)]
pub(super) enum Taken {
    /// Not yet.
    NotYet,
    /// The context is this driver's under this fence.
    Mine(Version, Box<Life>),
    /// Too late.
    Lost(String),
}

impl Taking {
    /// Decides from a read.
    pub(super) fn observe(&mut self, found: &Snapshot, desk: &mut Desk) -> Taken {
        if self.write.is_some() {
            return Taken::NotYet;
        }
        match decide(&desk.launch, &desk.keys, found) {
            Ok(Decision::Lost(why)) => Taken::Lost(why),
            Ok(Decision::Mine(fence, life)) => {
                let life = Life::taken(life.value, life.version, self.sent, desk);
                Taken::Mine(fence, Box::new(life))
            }
            Ok(Decision::Take {
                context,
                owner,
                life,
            }) => {
                self.take(context, *owner, *life, desk);
                Taken::NotYet
            }
            Err(error) => {
                let key = Key::new(error.key.clone());
                desk.warn_of(&key, error.to_string());
                desk.records.mark();
                desk.store.delay(desk.now);
                Taken::NotYet
            }
        }
    }

    fn take(
        &mut self,
        context: Version,
        owner: Versioned<OwnerRecord>,
        life: Versioned<LifeRecord>,
        desk: &mut Desk,
    ) {
        let (launch, keys) = (&desk.launch, &desk.keys);
        let driver = launch.identity.incarnation;
        let owned = OwnerRecord {
            owner: Some(Owner {
                driver,
                process: launch.process.clone(),
            }),
            ..owner.value
        };
        let record = LifeRecord {
            driver: Some(driver),
            phase: DriverPhase::Starting,
            count: life.value.count.saturating_add(1),
            rest: life.value.rest,
        };
        let transaction = desk
            .outbox
            .transaction()
            .check(keys.context.clone(), context)
            .put(keys.owner.clone(), encode(&owned), owner.version)
            .put(keys.life.clone(), encode(&record), life.version);
        let ticket = desk.outbox.commit(transaction);
        self.sent = desk.now;
        self.write = Some(Write {
            ticket,
            owner: owner.version.next(),
            life: life.version.next(),
            record,
        });
    }

    /// Takes the answer to the taking transaction. Refused and unknown: read, decide again (W4).
    pub(super) fn committed(
        &mut self,
        ticket: Ticket,
        outcome: &CommitOutcome,
        desk: &mut Desk,
    ) -> Taken {
        let Some(write) = self.write.take_if(|write| write.ticket == ticket) else {
            return Taken::NotYet;
        };
        match outcome {
            CommitOutcome::Committed { .. } => {
                let life = Life::taken(write.record, write.life, self.sent, desk);
                return Taken::Mine(write.owner, Box::new(life));
            }
            CommitOutcome::Refused { .. } => {
                self.refusals = self.refusals.saturating_add(1);
                if self.refusals >= 2 {
                    desk.store.delay(desk.now);
                }
            }
            CommitOutcome::Unknown if planted!(TakeUnknownFails) => {
                return Taken::Lost("the context could not be taken".to_owned());
            }
            CommitOutcome::Unknown | CommitOutcome::NotSent { .. } => {}
        }
        desk.records.mark();
        Taken::NotYet
    }
}

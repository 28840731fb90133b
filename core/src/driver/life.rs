//! The driver's signs of life: `life/<context>`, written under its fence (protocol.md E8).

use super::desk::Desk;
use crate::input::Ticket;
use crate::planted::planted;
use crate::records::context::{DriverPhase, LifeRecord};
use crate::records::transaction::{CommitOutcome, TransactionId, Version};
use crate::records::{Versioned, encode};
use crate::time::Time;

/// A write of the record whose outcome is awaited or in doubt.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) ticket: Ticket,
    pub(super) id: TransactionId,
    pub(super) sent: Time,
    pub(super) record: LifeRecord,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It was committed, and says that the driver is about to exit.
    Ended,
    /// Anything else.
    Other,
}

/// The record, what it should say, and when it was last written.
#[derive(Clone, Debug)]
pub(super) struct Life {
    record: LifeRecord,
    version: Version,
    wanted: DriverPhase,
    write: Option<Write>,
    doubt: Option<Write>,
    await_read: Option<u64>,
    refusals: u32,
    stamped: Time,
    stamp_at: Time,
}

impl Life {
    /// The record as the taking transaction wrote it.
    pub(super) fn taken(record: LifeRecord, version: Version, sent: Time, desk: &Desk) -> Self {
        Self {
            wanted: record.phase.clone(),
            record,
            version,
            write: None,
            doubt: None,
            await_read: None,
            refusals: 0,
            stamped: sent,
            stamp_at: sent.after(desk.config.times().driver_stamp),
        }
    }

    /// Says from now on that the driver is so far.
    pub(super) fn say(&mut self, phase: DriverPhase) {
        self.wanted = phase;
    }

    /// Whether it was told to say that the driver is about to exit.
    pub(super) const fn says_ended(&self) -> bool {
        matches!(self.wanted, DriverPhase::Ended { .. })
    }

    /// When the last write that was committed was sent.
    pub(super) const fn stamped(&self) -> Time {
        self.stamped
    }

    /// When the next stamp is due; `None` while an answer is awaited.
    pub(super) fn due(&self) -> Option<Time> {
        (self.write.is_none() && self.await_read.is_none()).then_some(self.stamp_at)
    }

    /// Writes when there is something to say or a stamp is due.
    pub(super) fn pump(&mut self, fence: Version, desk: &mut Desk) {
        let news = self.record.phase != self.wanted || desk.now >= self.stamp_at;
        if !news || self.due().is_none() || !desk.store.is_open() {
            return;
        }
        let mut record = self.record.clone();
        record.driver = Some(desk.launch.identity.incarnation);
        record.phase = self.wanted.clone();
        record.count = record.count.saturating_add(1);
        let transaction = desk
            .outbox
            .transaction()
            .check(desk.keys.owner.clone(), fence)
            .put(desk.keys.life.clone(), encode(&record), self.version);
        let id = transaction.id.clone();
        let ticket = desk.outbox.commit(transaction);
        self.write = Some(Write {
            ticket,
            id,
            sent: desk.now,
            record,
        });
    }

    /// Takes the answer to a write; `None` when it is not one of this record.
    pub(super) fn committed(
        &mut self,
        ticket: Ticket,
        outcome: &CommitOutcome,
        desk: &mut Desk,
    ) -> Option<Written> {
        let write = self.write.take_if(|write| write.ticket == ticket)?;
        match outcome {
            CommitOutcome::Committed { .. } => {
                let version = self.version.next();
                return Some(self.adopt(write, version, desk));
            }
            CommitOutcome::Refused { .. } => {
                self.refusals = self.refusals.saturating_add(1);
                self.await_read = Some(desk.records.mark());
                if self.refusals >= 2 {
                    desk.store.delay(desk.now);
                }
            }
            CommitOutcome::Unknown => {
                self.doubt = Some(write);
                self.await_read = Some(desk.records.mark());
            }
            CommitOutcome::NotSent { .. } => {}
        }
        Some(Written::Other)
    }

    /// Takes a read of the record. An unknown outcome is settled by its id (W4).
    pub(super) fn observe(
        &mut self,
        found: Versioned<LifeRecord>,
        read: u64,
        desk: &Desk,
    ) -> Written {
        if self.write.is_some() || self.await_read.is_none_or(|awaited| awaited > read) {
            return Written::Other;
        }
        self.await_read = None;
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.id == found.written_by) {
            return self.adopt(doubt, found.version, desk);
        }
        self.version = found.version;
        self.record.count = self.record.count.max(found.value.count);
        self.record.phase = found.value.phase;
        self.record.rest = found.value.rest;
        let mine = found.value.driver == Some(desk.launch.identity.incarnation);
        if mine && self.says_ended() && self.record.phase == self.wanted {
            Written::Ended
        } else {
            Written::Other
        }
    }

    fn adopt(&mut self, write: Write, version: Version, desk: &Desk) -> Written {
        self.stamped = self.stamped.max(write.sent);
        if !planted!(StampNotRearmed) {
            self.stamp_at = write.sent.after(desk.config.times().driver_stamp);
        }
        self.record = write.record;
        self.version = version;
        self.doubt = None;
        self.refusals = 0;
        if matches!(self.record.phase, DriverPhase::Ended { .. }) {
            Written::Ended
        } else {
            Written::Other
        }
    }
}

//! One kind of read: at most one outstanding, and a flag for what changed meanwhile (B1).

use crate::input::Ticket;
use crate::time::Time;

/// A read that is outstanding.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    ticket: Ticket,
    number: u64,
    sent: Time,
}

/// The last read that was answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answered {
    /// Its number, counted from 1.
    pub(super) number: u64,
    /// When it was sent.
    pub(super) sent: Time,
}

/// Reads of one kind. However many events arrive while one is outstanding, one more follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    outstanding: Option<Outstanding>,
    dirty: bool,
    sent: u64,
    answered: Option<Answered>,
}

impl Reader {
    /// Something changed: read (again). Gives the number of the read that will see the change.
    pub(super) const fn mark(&mut self) -> u64 {
        self.dirty = true;
        self.sent.saturating_add(1)
    }

    /// Whether a read is to be sent now.
    pub(super) const fn is_wanted(&self) -> bool {
        self.dirty && self.outstanding.is_none()
    }

    /// A read was sent.
    pub(super) const fn begin(&mut self, ticket: Ticket, now: Time) {
        self.sent = self.sent.saturating_add(1);
        self.dirty = false;
        self.outstanding = Some(Outstanding {
            ticket,
            number: self.sent,
            sent: now,
        });
    }

    /// Takes an answer; `None` when this reader does not wait for it.
    pub(super) fn answer(&mut self, ticket: Ticket, success: bool) -> Option<u64> {
        let outstanding = self.outstanding.filter(|one| one.ticket == ticket)?;
        self.outstanding = None;
        if success {
            self.answered = Some(Answered {
                number: outstanding.number,
                sent: outstanding.sent,
            });
        } else {
            self.dirty = true;
        }
        Some(outstanding.number)
    }

    /// The last read that was answered.
    pub(super) const fn answered(&self) -> Option<Answered> {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_events_makes_one_more_read() {
        let mut reader = Reader::default();
        reader.mark();
        assert!(reader.is_wanted());
        reader.begin(Ticket(1), Time::ZERO);
        let sees = reader.mark();
        assert_eq!(reader.mark(), sees);
        assert!(!reader.is_wanted(), "one is outstanding");
        assert_eq!(reader.answer(Ticket(9), true), None);
        assert_eq!(reader.answer(Ticket(1), true), Some(1));
        assert!(reader.is_wanted());
        reader.begin(Ticket(2), Time::ZERO);
        assert_eq!(reader.answer(Ticket(2), true), Some(sees));
        assert!(!reader.is_wanted());
    }

    #[test]
    fn a_read_that_failed_is_wanted_again() {
        let mut reader = Reader::default();
        reader.mark();
        reader.begin(Ticket(1), Time::ZERO);
        reader.answer(Ticket(1), false);
        assert!(reader.is_wanted() && reader.answered().is_none());
    }
}

//! What a transaction is made of, by the kinds of its records: asked by the oracles that judge
//! transactions.

use super::records::{Kind, kind};
use doyen_core::records::transaction::{Operation, Transaction};
use serde::de::DeserializeOwned;

/// The rule that is broken, and how, in words; if one is.
pub(super) type Broken = Option<(&'static str, &'static str)>;

/// A transaction, by the records that it is about.
pub(super) struct Shape<'a> {
    pub(super) operations: Vec<(Kind, &'a Operation)>,
}

impl<'a> Shape<'a> {
    pub(super) fn new(transaction: &'a Transaction) -> Self {
        let of = |operation: &'a Operation| (kind(operation.key()), operation);
        Self {
            operations: transaction.operations.iter().map(of).collect(),
        }
    }

    pub(super) fn any(&self, kind: Kind, test: impl Fn(&Operation) -> bool) -> bool {
        self.operations
            .iter()
            .any(|(of, one)| *of == kind && test(one))
    }

    /// A guard on the version of a record: checked, put or deleted under it.
    pub(super) fn guards(&self, kind: Kind) -> bool {
        self.any(kind, |one| {
            matches!(
                one,
                Operation::Check { .. }
                    | Operation::Put {
                        version: Some(_),
                        ..
                    }
                    | Operation::Delete {
                        version: Some(_),
                        ..
                    }
            )
        })
    }

    pub(super) fn puts(&self, kind: Kind) -> bool {
        self.any(kind, |one| matches!(one, Operation::Put { .. }))
    }

    pub(super) fn creates(&self, kind: Kind) -> bool {
        self.any(kind, |one| matches!(one, Operation::Create { .. }))
    }

    pub(super) fn deletes(&self, kind: Kind) -> bool {
        self.any(kind, |one| matches!(one, Operation::Delete { .. }))
    }

    pub(super) fn checks_absent(&self, kind: Kind) -> bool {
        self.any(kind, |one| matches!(one, Operation::CheckAbsent { .. }))
    }

    pub(super) fn writes(&self, kind: Kind) -> bool {
        self.puts(kind) || self.creates(kind) || self.deletes(kind)
    }

    /// The first write of a record under no version.
    pub(super) fn unguarded(&self) -> Option<(Kind, &'a Operation)> {
        let bare = |(_, one): &&(Kind, &Operation)| {
            matches!(
                one,
                Operation::Put { version: None, .. } | Operation::Delete { version: None, .. }
            )
        };
        let exempt = |of: Kind| match of {
            // Raised by whoever has the fence, whatever was there (S5).
            Kind::Pulse => self.guards(Kind::Singleton),
            // Goes with its job, which is guarded.
            Kind::Place => self.guards(Kind::Job),
            _ => false,
        };
        self.operations
            .iter()
            .filter(bare)
            .find(|(of, _)| !exempt(*of))
            .map(|(of, one)| (*of, *one))
    }

    /// The content that is given to a record of this kind, if it can be read.
    pub(super) fn content<T: DeserializeOwned>(&self, kind: Kind) -> Option<T> {
        self.operations.iter().find_map(|(of, one)| match one {
            Operation::Create { value, .. } | Operation::Put { value, .. } if *of == kind => {
                serde_json::from_str(value).ok()
            }
            _ => None,
        })
    }
}

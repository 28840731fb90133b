//! Transactions of the store, deeds, calls and answers, as items of a picture.

use super::super::picture::{Item, ItemKind, Tenure};
use super::super::words;
use super::{READ_CAUSES_MAX, Recorder};
use crate::schedule::model::Request;
use crate::story;
use crate::trace::seen::{Deed, NodeId, Written};
use doyen_core::input::RequestId;
use doyen_core::output::Answer;
use doyen_core::records::singleton::SingletonRecord;
use doyen_core::records::transaction::CommitOutcome;

impl Recorder {
    pub(super) fn stored(&mut self, written: &Written<'_>) {
        let Some(lane) = self.place(written.by) else {
            return;
        };
        let accepted = matches!(written.outcome, CommitOutcome::Committed { .. });
        let kind = if accepted {
            ItemKind::Accepted
        } else {
            ItemKind::Refused
        };
        let sent = self.transactions.get(&written.transaction.id);
        let (at, mut causes) = sent.map_or((self.now, Vec::new()), |sent| {
            (sent.at, sent.causes.clone())
        });
        let operations = written.transaction.operations.iter();
        let earlier = operations.filter_map(|one| self.writers.get(one.key()).copied());
        causes.extend(earlier.take(READ_CAUSES_MAX));
        causes.sort_unstable();
        causes.dedup();
        let id = self.add(Item {
            at: self.now,
            lane,
            kind,
            text: words::transaction(written),
            detail: words::operations(written),
            to: None,
            until: Some(at),
            causes,
            in_slice: false,
        });
        if let Some(sent) = self.transactions.get_mut(&written.transaction.id) {
            sent.item = id;
        }
        self.hands[lane].decisive = id.or(self.hands[lane].decisive);
        if let (true, Some(id)) = (accepted, id) {
            for key in written.changed {
                self.writers.insert(key.clone(), id);
            }
        }
        self.tenure(written);
    }

    /// Notices a new epoch.
    pub(super) fn tenure(&mut self, written: &Written<'_>) {
        let Some(key) = written.changed.iter().find(|key| key.name() == "singleton") else {
            return;
        };
        let found = written.store.records().find(|(one, _)| *one == key);
        let Some(record) = found
            .and_then(|(_, stored)| serde_json::from_str::<SingletonRecord>(&stored.value).ok())
        else {
            return;
        };
        let (now, lane) = (self.now, self.place(&record.holder));
        if let Some(last) = self.picture.tenures.last_mut() {
            last.to = now;
        }
        self.picture.tenures.push(Tenure {
            epoch: record.epoch.0,
            lane,
            from: now,
            to: now,
        });
    }

    pub(super) fn deed(&mut self, node: NodeId, deed: &Deed) {
        if let Some(lane) = self.lane(node) {
            let id = self.act(lane, ItemKind::Deed, words::deed(deed), words::cut(deed));
            self.hands[lane].deed = id;
        }
    }

    pub(super) fn asks(
        &mut self,
        node: NodeId,
        request: RequestId,
        what: &Request,
        key: Option<&str>,
    ) {
        if let Some(lane) = self.lane(node) {
            self.hands[lane].causes.clear();
            let key = key
                .map(|key| format!(" with key {key}"))
                .unwrap_or_default();
            let text = format!("{}{key}", story::request_told(what));
            if let Some(id) = self.act(lane, ItemKind::Call, text, String::new()) {
                self.asked.insert(request, id);
            }
        }
    }

    pub(super) fn answers(&mut self, node: NodeId, request: RequestId, answer: Option<&Answer>) {
        let Some(lane) = self.lane(node) else {
            return;
        };
        let text = answer.map_or_else(|| "no answer: the server is gone".to_owned(), words::answer);
        let detail = answer.map(words::cut).unwrap_or_default();
        let id = self.act(lane, ItemKind::Answer, text, detail);
        if let (Some(id), Some(call)) = (id, self.asked.get(&request)) {
            self.picture.items[id].causes.push(*call);
        }
    }

    pub(super) fn reads(&mut self, node: NodeId, request: RequestId, fresh: bool) {
        let Some(lane) = self.lane(node) else {
            return;
        };
        let text = if fresh {
            "read"
        } else {
            "read, stale or failed"
        };
        let id = self.act(lane, ItemKind::Answer, text.to_owned(), String::new());
        if let (Some(id), Some(call)) = (id, self.asked.get(&request)) {
            self.picture.items[id].causes.push(*call);
        }
    }
}

//! The last answers to reads, for while the store is away (protocol.md B3).

use axum::body::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The most answers that are remembered.
const ANSWERS_MAX: usize = 256;
/// The most bytes of one remembered answer; larger ones are not worth the memory.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// The most bytes of all remembered answers: a server at rest is below 20 MiB (design.md 10).
const ALL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers by resource; the one that was written longest ago goes first.
#[derive(Default)]
pub(crate) struct AnswerCache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    answers: BTreeMap<String, (Bytes, Instant)>,
    /// Resources in the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
}

impl AnswerCache {
    /// Remembers the last answer of a resource.
    pub(crate) fn remember(&self, resource: &str, answer: Bytes) {
        if resource.len() + answer.len() > ANSWER_BYTES_MAX {
            return;
        }
        let mut inner = self.lock();
        inner.remove(resource);
        inner.order.retain(|one| one != resource);
        inner.bytes += resource.len() + answer.len();
        inner
            .answers
            .insert(resource.to_owned(), (answer, Instant::now()));
        inner.order.push_back(resource.to_owned());
        while inner.answers.len() > ANSWERS_MAX || inner.bytes > ALL_BYTES_MAX {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            inner.remove(&oldest);
        }
    }

    /// The last answer of a resource, and when it was read.
    pub(crate) fn last(&self, resource: &str) -> Option<(Bytes, Instant)> {
        self.lock().answers.get(resource).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, resource: &str) {
        if let Some((answer, _)) = self.answers.remove(resource) {
            self.bytes -= resource.len() + answer.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_latest_answers_within_its_bounds() {
        let cache = AnswerCache::default();
        for number in 0..=ANSWERS_MAX {
            cache.remember(&format!("/jobs/{number}"), Bytes::from_static(b"{}"));
        }
        assert!(cache.last("/jobs/0").is_none());
        assert!(cache.last("/jobs/1").is_some());
        for number in 0..20 {
            let large = Bytes::from(vec![b' '; ANSWER_BYTES_MAX - 100]);
            cache.remember(&format!("/large/{number}"), large);
        }
        assert!(cache.lock().bytes <= ALL_BYTES_MAX);
        assert!(cache.last("/large/0").is_none() && cache.last("/large/19").is_some());
        cache.remember("/huge", Bytes::from(vec![b' '; ANSWER_BYTES_MAX + 1]));
        assert!(cache.last("/huge").is_none());
        let inner = cache.lock();
        assert_eq!(inner.order.len(), inner.answers.len());
    }
}

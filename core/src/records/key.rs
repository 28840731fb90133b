//! Where each record lies: the layout of the store (protocol.md, Records and W3).

use crate::identity::{CallId, ClusterId, ContextId, JobId, hour_of};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The path of a record, or of a folder of records; parts are joined by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// A key of this path. Parts that come from people must be escaped: see [`escape`].
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>) -> Self {
        Self(path.into())
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of a child.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        // Keys are made all the time: this takes a third of the time of `format!`.
        Self([&*self.0, "/", name].concat().into())
    }

    /// The folder that holds this key, `None` at the root.
    #[must_use]
    pub fn folder(&self) -> Option<Self> {
        self.0
            .rsplit_once('/')
            .map(|(folder, _)| Self(folder.into()))
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// Whether this key is a direct child of `folder`.
    #[must_use]
    pub fn is_in(&self, folder: &Self) -> bool {
        self.0
            .strip_prefix(folder.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|name| !name.contains('/'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `cluster` record, the one record outside the cluster id's path.
#[must_use]
pub fn cluster() -> Key {
    static CLUSTER: LazyLock<Key> = LazyLock::new(|| Key::new("cluster"));
    CLUSTER.clone()
}

/// The keys of one cluster's records. Those that are asked for all the time are made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(Arc<Paths>);

#[derive(Debug, PartialEq, Eq)]
struct Paths {
    root: Key,
    singleton: Key,
    pulse: Key,
    challenge: Key,
    split: Key,
    calls: Key,
    contexts: Key,
    owners: Key,
    lives: Key,
}

impl Layout {
    /// The layout under this cluster's id.
    #[must_use]
    pub fn new(cluster: &ClusterId) -> Self {
        let root = Key::new("c").child(cluster.as_str());
        Self(Arc::new(Paths {
            singleton: root.child("singleton"),
            pulse: root.child("pulse"),
            challenge: root.child("challenge"),
            split: root.child("split"),
            calls: root.child("call"),
            contexts: root.child("context"),
            owners: root.child("owner"),
            lives: root.child("life"),
            root,
        }))
    }

    /// The folder of everything of this cluster.
    #[must_use]
    pub fn root(&self) -> &Key {
        &self.0.root
    }

    /// Epoch and holder.
    #[must_use]
    pub fn singleton(&self) -> Key {
        self.0.singleton.clone()
    }

    /// The holder's sign of life.
    #[must_use]
    pub fn pulse(&self) -> Key {
        self.0.pulse.clone()
    }

    /// The last challenge of a holder.
    #[must_use]
    pub fn challenge(&self) -> Key {
        self.0.challenge.clone()
    }

    /// The last announcement of a side that is not preferred.
    #[must_use]
    pub fn split(&self) -> Key {
        self.0.split.clone()
    }

    /// The folder of open and accepted calls.
    #[must_use]
    pub fn calls(&self) -> Key {
        self.0.calls.clone()
    }

    /// An open or accepted call.
    #[must_use]
    pub fn call(&self, id: &CallId) -> Key {
        self.calls().child(id.as_str())
    }

    /// A settled or expired call, in the folder of the hour of its id.
    #[must_use]
    pub fn settled(&self, id: &CallId) -> Key {
        self.history("settled", id.as_str())
    }

    /// The key of idempotency with this digest of user, route and key: in one of 256 folders.
    #[must_use]
    pub fn idempotency(&self, digest: &str) -> Key {
        let shard: String = digest.chars().take(2).collect();
        self.root().child("key").child(&shard).child(digest)
    }

    /// The folder of contexts that are not final.
    #[must_use]
    pub fn contexts(&self) -> Key {
        self.0.contexts.clone()
    }

    /// A context that is not final.
    #[must_use]
    pub fn context(&self, id: &ContextId) -> Key {
        self.contexts().child(id.as_str())
    }

    /// A final context, in the folder of the hour of its id.
    #[must_use]
    pub fn ended(&self, id: &ContextId) -> Key {
        self.history("ended", id.as_str())
    }

    /// The name of a context that is not final.
    #[must_use]
    pub fn context_name(&self, name: &str) -> Key {
        self.root().child("context-name").child(&escape(name))
    }

    /// The last final context of a name.
    #[must_use]
    pub fn last_context(&self, name: &str) -> Key {
        self.root().child("context-last").child(&escape(name))
    }

    /// The folder of owner records.
    #[must_use]
    pub fn owners(&self) -> Key {
        self.0.owners.clone()
    }

    /// Who owns a context: intent number and driver incarnation.
    #[must_use]
    pub fn owner(&self, id: &ContextId) -> Key {
        self.owners().child(id.as_str())
    }

    /// The folder of the drivers' signs of life.
    #[must_use]
    pub fn lives(&self) -> Key {
        self.0.lives.clone()
    }

    /// What a driver says of itself.
    #[must_use]
    pub fn life(&self, id: &ContextId) -> Key {
        self.lives().child(id.as_str())
    }

    /// The folder of a context's jobs that are not final.
    #[must_use]
    pub fn jobs(&self, context: &ContextId) -> Key {
        self.root().child("job").child(context.as_str())
    }

    /// A job that is not final.
    #[must_use]
    pub fn job(&self, context: &ContextId, id: &JobId) -> Key {
        self.jobs(context).child(id.as_str())
    }

    /// A final job, in the folder of the hour of its id.
    #[must_use]
    pub fn done(&self, id: &JobId) -> Key {
        self.history("done", id.as_str())
    }

    /// In which context a job lies, for look-up by its id alone while it is not final.
    #[must_use]
    pub fn job_context(&self, id: &JobId) -> Key {
        self.history("job-context", id.as_str())
    }

    /// The folder of binaries' records.
    #[must_use]
    pub fn binaries(&self) -> Key {
        self.root().child("binary")
    }

    /// The versions of a binary.
    #[must_use]
    pub fn binary(&self, name: &str) -> Key {
        self.binaries().child(&escape(name))
    }

    /// A folder of history: `what` and the hour since the Unix epoch.
    #[must_use]
    pub fn hour(&self, what: &str, hour: u64) -> Key {
        self.root().child(what).child(&format!("{hour:08}"))
    }

    fn history(&self, what: &str, id: &str) -> Key {
        let hour = format!("{:08}", hour_of(id).unwrap_or(0));
        let (root, name) = (self.root().as_str(), escape(id));
        Key([root, "/", what, "/", &hour, "/", &name].concat().into())
    }
}

/// A name from people as one part of a path: bytes outside `[A-Za-z0-9_-]` become `%XX`.
///
/// ZooKeeper refuses some characters and the parts `.` and `..`; so no dot is left either.
#[must_use]
pub fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The name that [`escape`] was given; `None` when the text is no escaped name.
#[must_use]
pub fn unescape(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_survive_as_one_part_of_a_path() {
        for name in ["etl", "a/b", "..", "ü1", "50%", "a b"] {
            let part = escape(name);
            assert!(!part.contains('/') && !part.contains('.'), "{part}");
            assert_eq!(unescape(&part).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_child_of_a_child_is_not_in_the_folder() {
        let folder = Key::new("c/1/job");
        assert!(Key::new("c/1/job/x").is_in(&folder));
        assert!(!Key::new("c/1/job/x/y").is_in(&folder));
        assert!(!Key::new("c/1/job").is_in(&folder));
        assert!(!Key::new("c/1/jobs/x").is_in(&folder));
    }
}

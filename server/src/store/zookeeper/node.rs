//! Which node a record lies in, and what the node's data says.

use super::ZooKeeperError;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::TransactionId;

/// What the name of a record's node begins with: so records and folders of one name never meet,
/// and a record never has children.
const RECORD: char = '=';
/// What a record's data begins with; the digit is the form of the data.
const MARK: &str = "doyen1 ";

/// The node of the store's id.
pub(super) const STORE: &str = "doyen-store";
/// The node that is written for the store's time.
pub(super) const CLOCK: &str = "doyen-clock";

/// The folder of everything: empty, or a path that begins with `/` and does not end with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root(String);

impl Root {
    /// The folder of `zookeeperdao.dir`, with or without a leading slash.
    pub(super) fn new(dir: &str) -> Result<Self, ZooKeeperError> {
        let bad = |reason| ZooKeeperError::Dir {
            dir: dir.to_owned(),
            reason,
        };
        let inner = dir.trim_matches('/');
        if inner.is_empty() {
            return Ok(Self(String::new()));
        }
        for part in inner.split('/') {
            if part.is_empty() || part == "." || part == ".." {
                return Err(bad("a part of it is empty, `.` or `..`"));
            }
            if part.starts_with(RECORD) || part.chars().any(char::is_control) {
                return Err(bad("a part begins with `=` or has control characters"));
            }
        }
        if inner == "zookeeper" || inner.starts_with("zookeeper/") {
            return Err(bad("`zookeeper` is ZooKeeper's own"));
        }
        Ok(Self(format!("/{inner}")))
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// A node of our own in it.
    pub(super) fn own(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// The node of a record.
    pub(super) fn record(&self, key: &Key) -> String {
        match key.as_str().rsplit_once('/') {
            Some((folder, name)) => format!("{}/{folder}/{RECORD}{name}", self.0),
            None => format!("{}/{RECORD}{key}", self.0),
        }
    }

    /// The node of a folder of records.
    pub(super) fn folder(&self, key: &Key) -> String {
        format!("{}/{key}", self.0)
    }

    /// The folders on the way to a record, the topmost first.
    pub(super) fn parents(&self, key: &Key) -> Vec<String> {
        let text = key.as_str();
        let ends = text.match_indices('/').map(|(at, _)| at);
        ends.map(|at| format!("{}/{}", self.0, &text[..at]))
            .collect()
    }

    /// The key of the record in a node; `None` for folders and for what lies elsewhere.
    pub(super) fn key(&self, path: &str) -> Option<Key> {
        let inner = path.strip_prefix(self.0.as_str())?.strip_prefix('/')?;
        match inner.rsplit_once('/') {
            Some((folder, name)) => {
                let name = record_name(name)?;
                Some(Key::new(format!("{folder}/{name}")))
            }
            None => record_name(inner).map(Key::new),
        }
    }
}

/// The name of the record in the node of this name; `None` for folders.
pub(super) fn record_name(name: &str) -> Option<&str> {
    name.strip_prefix(RECORD)
}

/// The data of a record's node; `None` when the id cannot stand in one line.
pub(super) fn encode(id: &TransactionId, value: &str) -> Option<Vec<u8>> {
    if id.0.contains('\n') {
        return None;
    }
    Some(format!("{MARK}{}\n{value}", id.0).into_bytes())
}

/// The transaction that wrote a record, and its content. What another program wrote comes as it is,
/// written by nobody: whoever decodes it names the record.
pub(super) fn decode(data: Vec<u8>) -> (TransactionId, String) {
    let text = String::from_utf8(data)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let parts = text
        .strip_prefix(MARK)
        .and_then(|rest| rest.split_once('\n'));
    match parts {
        Some((id, value)) => (TransactionId(id.to_owned()), value.to_owned()),
        None => (TransactionId(String::new()), text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_node_and_every_record_node_its_key() {
        for (dir, root) in [("jobserver/db", "/jobserver/db"), ("/", ""), ("/a/", "/a")] {
            let at = Root::new(dir).unwrap();
            for (key, node) in [
                ("cluster", "/=cluster"),
                ("c/1/job/x", "/c/1/job/=x"),
                ("c/1/context-name/%C3%BC", "/c/1/context-name/=%C3%BC"),
                ("a/=b", "/a/==b"),
            ] {
                let key = Key::new(key);
                assert_eq!(at.record(&key), format!("{root}{node}"));
                assert_eq!(at.key(&at.record(&key)), Some(key));
            }
            for folder in ["", "/c", "/c/1/job", "/doyen-store", "/doyen-clock"] {
                assert_eq!(at.key(&format!("{root}{folder}")), None, "{folder}");
            }
        }
        let at = Root::new("d").unwrap();
        assert_eq!(at.key("/elsewhere/=a"), None);
        assert_eq!(at.parents(&Key::new("a/b/c")), ["/d/a", "/d/a/b"]);
        assert!(at.parents(&Key::new("cluster")).is_empty());
        assert_eq!(Root::new("").unwrap().path(), "/");
    }

    #[test]
    fn a_folder_that_zookeeper_would_refuse_is_refused_at_once() {
        for bad in ["a//b", "a/../b", "a/.", "zookeeper/x", "a\nb", "=a"] {
            let error = Root::new(bad).unwrap_err().to_string();
            assert!(error.contains("jobserver/db"), "{error}");
        }
    }

    #[test]
    fn data_tells_its_writer_and_keeps_every_character() {
        let id = TransactionId("s1#7".to_owned());
        for value in ["{}", "", "{\"ü\":\"日本\n🦀\"}", "doyen1 x\ny"] {
            let data = encode(&id, value).unwrap();
            assert_eq!(decode(data), (id.clone(), value.to_owned()));
        }
        assert_eq!(encode(&TransactionId("a\nb".to_owned()), ""), None);
    }

    #[test]
    fn what_another_program_wrote_is_written_by_nobody() {
        for (data, text) in [
            (&b"{\"x\":1}"[..], "{\"x\":1}"),
            (b"doyen1 no line", "doyen1 no line"),
            (b"\xFFx", "\u{FFFD}x"),
            (b"", ""),
        ] {
            let (id, value) = decode(data.to_vec());
            assert_eq!((id.0.as_str(), value.as_str()), ("", text));
        }
    }
}

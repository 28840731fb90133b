//! Places in a schedule, as errors name them.

use std::fmt;

/// A step from a schedule to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The field of this name.
    Key(String),
    /// The element at this index.
    Index(usize),
}

/// The way from a schedule to a value in it: `faults[3].until`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    pub(super) fn key(key: &str) -> Self {
        Self(vec![Step::Key(key.to_owned())])
    }

    pub(super) fn element(list: &str, index: usize, key: &str) -> Self {
        let mut path = Self::key(list);
        path.0.push(Step::Index(index));
        if !key.is_empty() {
            path.0.push(Step::Key(key.to_owned()));
        }
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if place == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

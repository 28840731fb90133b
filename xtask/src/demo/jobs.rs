//! The demo's text and jobs, for both engines.

use super::Engine;
use doyen_tests::api::Api;
use doyen_tests::{Outcome, program, trouble, wheel};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// The name of the binary of jobs that are over at once.
pub(super) const QUICK_BINARY: &str = "quick";
/// How many words are shown, and how long a word must be to say something about the text.
const TOP: usize = 10;
const LETTERS_MIN: usize = 5;
/// What is counted.
const TEXT: &str = "demo/text/declaration-of-independence.txt";
const SOURCE: &str = "The most frequent words of five letters and more in the Declaration of \
                      Independence (Thomas Jefferson and the Second Continental Congress, 1776; \
                      in the public domain)";

/// Binaries and classes of an engine.
pub(super) struct Work {
    engine: Engine,
    text: Vec<String>,
}

impl Work {
    /// The work for this engine.
    ///
    /// # Errors
    /// A file of the repository cannot be read.
    pub(super) fn of(engine: Engine) -> Outcome<Self> {
        let text = fs::read_to_string(program::root().join(TEXT))?;
        Ok(Self {
            engine,
            text: text.lines().map(str::to_owned).collect(),
        })
    }

    /// What is counted, and whose it is.
    pub(super) const fn source(&self) -> &'static str {
        SOURCE
    }

    /// Uploads everything.
    ///
    /// # Errors
    /// A binary is refused.
    pub(super) async fn upload(&self, api: &Api) -> Outcome<()> {
        api.upload_executable(QUICK_BINARY, executable("quick_job")?)
            .await?;
        match self.engine {
            Engine::Spark => {
                let folder = program::root().join("server/drivers/examples/wordcount");
                api.upload_wheel("examples", wheel::build(&folder, "example_jobs", "1.0")?)
                    .await
            }
            Engine::Process => {
                api.upload_executable("word-count", executable("word_count")?)
                    .await?;
                api.upload_executable("long-job", executable("long_job")?)
                    .await
            }
        }
    }

    /// Creates the context of the main jobs.
    ///
    /// # Errors
    /// It is refused, or does not start.
    pub(super) async fn create_context(&self, api: &Api, name: &str) -> Outcome<()> {
        match self.engine {
            Engine::Process => api.create_process_context(name).await,
            Engine::Spark => {
                let factory = "spark.jobserver.python.PythonSessionContextFactory";
                let settings = [("context-factory", factory)];
                api.create_context(name, &settings)
                    .await?
                    .expect(&[200])
                    .map(drop)
            }
        }
    }

    /// Counts the words of the text; the most frequent ones.
    ///
    /// # Errors
    /// The job fails, or its result is no table of counts.
    pub(super) async fn count_words(
        &self,
        api: &Api,
        context: &str,
    ) -> Outcome<Vec<(String, u64)>> {
        let (binary, class) = match self.engine {
            Engine::Spark => (
                "examples",
                "example_jobs.word_count.WordCountSparkSessionJob",
            ),
            Engine::Process => ("word-count", "word_count"),
        };
        let config = json!({"input": {"strings": self.text}});
        let result = api.run_job(context, binary, class, &config).await?;
        top(&result).ok_or_else(|| trouble(format!("no table of counts: {result}")))
    }

    /// Starts the job that lasts; its id.
    ///
    /// # Errors
    /// It is refused.
    pub(super) async fn start_long_job(
        &self,
        api: &Api,
        context: &str,
        seconds: u64,
    ) -> Outcome<String> {
        let (binary, class) = match self.engine {
            Engine::Spark => ("examples", "example_jobs.long_job.LongJob"),
            Engine::Process => ("long-job", "long_job"),
        };
        api.start_job(context, binary, class, &json!({"seconds": seconds}))
            .await
    }
}

fn executable(name: &str) -> Outcome<Vec<u8>> {
    let path: PathBuf = program::root().join("demo/jobs").join(name);
    fs::read(&path).map_err(|e| trouble(format!("cannot read {}: {e}", path.display())))
}

/// The most frequent words of an object of counts. Words are told apart as the job does it; here
/// they lose the signs around them and their capitals, so that `Laws,` and `laws` are one.
fn top(result: &Value) -> Option<Vec<(String, u64)>> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for (word, count) in result.as_object()? {
        let word = word
            .trim_matches(|c: char| !c.is_alphabetic())
            .to_lowercase();
        if word.chars().count() >= LETTERS_MIN {
            *counts.entry(word).or_default() += count.as_u64()?;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(TOP);
    if counts.is_empty() {
        None
    } else {
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_words_are_merged_sorted_and_long_enough() {
        let counts =
            json!({"Laws,": 3, "laws": 4, "people": 2, "the": 78, "World.": 1, "world": 6});
        // `laws` has four letters.
        let expected = vec![("world".to_owned(), 7), ("people".to_owned(), 2)];
        assert_eq!(top(&counts), Some(expected));
        assert_eq!(top(&json!([1, 2])), None);
        assert_eq!(top(&json!({"people": "many"})), None);
        assert_eq!(top(&json!({})), None);
    }

    #[test]
    fn the_text_and_the_executables_are_there() {
        let work = Work::of(Engine::Process).unwrap();
        assert!(work.text.len() > 50);
        for name in ["word_count", "long_job", "quick_job"] {
            assert!(executable(name).unwrap().starts_with(b"#!"), "{name}");
        }
        assert!(
            executable("no_job")
                .unwrap_err()
                .to_string()
                .contains("no_job")
        );
    }
}

//! Waiting for a condition with a deadline, by asking again; never by sleeping and hoping.

use crate::{Outcome, trouble};
use std::time::{Duration, Instant};

/// How often a condition is asked.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the condition gives a value.
///
/// # Errors
/// It gave none within `limit`; the failure names `what` and the last answer.
pub async fn until<T, F>(what: &str, limit: Duration, mut ask: F) -> Outcome<T>
where
    F: AsyncFnMut() -> Result<T, String>,
{
    let start = Instant::now();
    let mut last = String::from("never asked");
    while start.elapsed() < limit {
        let left = limit.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, ask()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason,
            Err(_) => last = format!("no answer; before: {last}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(trouble(format!(
        "not within {} ms: {what}; last: {last}",
        limit.as_millis()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_value_ends_the_wait() {
        let mut asked = 0;
        let value = until("three", Duration::from_secs(5), async || {
            asked += 1;
            if asked == 3 {
                Ok(asked)
            } else {
                Err(format!("{asked}"))
            }
        })
        .await;
        assert_eq!(value.unwrap(), 3);
    }

    #[tokio::test]
    async fn the_deadline_names_what_and_the_last_answer() {
        let error = until::<(), _>("rain", Duration::from_millis(30), async || {
            Err("sun".to_owned())
        })
        .await
        .unwrap_err();
        assert_eq!(error.to_string(), "not within 30 ms: rain; last: sun");
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_ends_at_the_deadline_too() {
        let limit = Duration::from_millis(30);
        let error = until::<(), _>("it", limit, async || std::future::pending().await).await;
        assert!(error.unwrap_err().to_string().contains("no answer"));
    }
}

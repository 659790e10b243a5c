//! Waiting for a condition of the running system, with a deadline and with what was seen instead.

use std::time::{Duration, Instant};

use super::DemoError;

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// One look at a condition.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds.
    Done(T),
    /// It does not hold yet; what is there so far.
    NotYet(String),
}

/// Looks until the condition holds, at most `limit`; `show` gets what is there so far.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut show: impl FnMut(&str),
    mut look: impl AsyncFnMut() -> Result<Look<T>, DemoError>,
) -> Result<T, DemoError> {
    let deadline = Instant::now() + limit;
    loop {
        match look().await? {
            Look::Done(value) => return Ok(value),
            Look::NotYet(seen) if Instant::now() >= deadline => {
                return Err(DemoError::Deadline { what: what.to_owned(), limit_s: limit.as_secs(), seen });
            }
            Look::NotYet(seen) => show(&seen),
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_is_returned_and_progress_is_shown() {
        let mut looks = 0;
        let mut shown = Vec::new();
        let value = until(
            "three",
            Duration::from_secs(5),
            |seen| shown.push(seen.to_owned()),
            async || {
                looks += 1;
                Ok(if looks == 3 { Look::Done("here") } else { Look::NotYet(format!("{looks} of 3")) })
            },
        );
        assert_eq!(value.await.unwrap(), "here");
        assert_eq!(shown, ["1 of 3", "2 of 3"]);
    }

    #[tokio::test]
    async fn a_condition_that_never_comes_names_what_was_there() {
        let never = until("all robots", Duration::ZERO, |_| {}, async || Ok(Look::<()>::NotYet("2 of 3 are online".into())));
        let error = never.await.unwrap_err().to_string();
        assert!(error.contains("all robots") && error.contains("2 of 3 are online"), "{error}");
    }
}

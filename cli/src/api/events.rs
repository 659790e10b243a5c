//! `edgeflow events`.

use clap::Args;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{client::Client, items, json};
use crate::{error::CliError, output};

/// Arguments of `edgeflow events`.
#[derive(Args)]
pub(crate) struct EventsArguments {
    /// Only of this robot.
    #[arg(long, value_name = "ROBOT")]
    target: Option<String>,
    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// As the API gives it, newest first.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Event {
    target: String,
    t_us: i64,
    severity: String,
    title: String,
}

pub(crate) async fn events(arguments: EventsArguments) -> Result<(), CliError> {
    let mut query = vec![("limit", arguments.limit.to_string())];
    query.extend(arguments.target.map(|target| ("target", target)));
    let list = Client::from_environment()?.get("/events", &query).await?;
    if arguments.json {
        return json(&list);
    }
    let mut rows = items::<Event>(&list, "/events")?
        .into_iter()
        .map(|event| [when(event.t_us), event.target, event.severity, event.title])
        .collect::<Vec<_>>();
    rows.reverse();
    output::table(["TIME", "ROBOT", "SEVERITY", "EVENT"], &rows)
}

/// RFC 3339, as wide for every time.
const MILLISECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Microseconds since the Unix epoch as people write a time, to the millisecond.
fn when(t_us: i64) -> String {
    let rounded_ns = i128::from(t_us.div_euclid(1000)) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(rounded_ns)
        .ok()
        .and_then(|time| time.format(MILLISECONDS).ok())
        .unwrap_or_else(|| format!("{t_us} us"))
}

#[cfg(test)]
mod tests {
    use super::when;

    #[test]
    fn times_are_readable_and_absurd_ones_still_shown() {
        assert_eq!(when(1_700_000_000_123_456), "2023-11-14T22:13:20.123Z");
        assert_eq!(when(1_700_000_000_800_000), "2023-11-14T22:13:20.800Z");
        assert_eq!(when(i64::MAX), format!("{} us", i64::MAX));
    }
}

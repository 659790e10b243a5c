//! `edgeflow events`.

use clap::Args;
use serde::Deserialize;

use super::{client::Client, items, json};
use crate::{error::CliError, output, when::when};

/// Arguments of `edgeflow events`.
#[derive(Args)]
#[command(after_help = "Examples:\n  edgeflow events\n  edgeflow events --target robot-1 --limit 100 --output json")]
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
    if arguments.json || output::as_json() {
        return json(&list);
    }
    let mut rows = items::<Event>(&list, "/events")?
        .into_iter()
        .map(|event| [when(event.t_us), event.target, event.severity, event.title])
        .collect::<Vec<_>>();
    rows.reverse();
    output::table(["TIME", "ROBOT", "SEVERITY", "EVENT"], &rows)
}

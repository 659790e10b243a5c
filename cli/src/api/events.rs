//! `edgeflow events`.

use clap::Args;
use serde::Deserialize;

use super::{client::Client, items, json};
use crate::{error::CliError, output, when::when};

/// Arguments of `edgeflow events`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  edgeflow events\n  edgeflow events --notable\n  edgeflow events --kind rollout,fault\n  edgeflow events --target robot-1 --limit 100 --output json"
)]
pub(crate) struct EventsArguments {
    /// Only of this robot.
    #[arg(long, value_name = "ROBOT")]
    target: Option<String>,
    /// Only of these kinds, separated by commas: `rollout`, `fault`, `link`, `deployment_status`, `mission`, ...
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// Without what comes all the time: steps of missions that go well, reports of state.
    #[arg(long)]
    notable: bool,
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
    query.extend((!arguments.kind.is_empty()).then(|| ("kind", arguments.kind.join(","))));
    query.extend(arguments.notable.then(|| ("notable", "true".to_owned())));
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

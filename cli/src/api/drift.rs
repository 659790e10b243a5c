//! `edgeflow drift`: what the fleet's models see, against what they were trained on.

use clap::Args;
use edgeflow_wire::DriftReportBody;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::{
    client::{Client, encode},
    document, items, json, short,
};
use crate::{error::CliError, output, when::when};

/// Arguments of `edgeflow drift`.
#[derive(Args)]
#[command(after_help = "\
Without a robot: the newest window of every robot, with the feature that chance explains least, and what the pattern over the fleet
speaks for. With one: each feature of its newest window.

Examples:
  edgeflow drift
  edgeflow drift --model label-reader
  edgeflow drift robot-07
  edgeflow drift robot-07 --windows 20 --output json")]
pub(crate) struct DriftArguments {
    /// The robot.
    #[arg(value_name = "ROBOT")]
    target: Option<String>,
    /// Only robots that run this model.
    #[arg(long, value_name = "NAME", conflicts_with = "target")]
    model: Option<String>,
    /// With a robot: its newest so many windows, as JSON; the table shows the newest one.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "target")]
    windows: u32,
}

#[derive(Deserialize)]
struct View {
    target: String,
    flagged: bool,
    #[serde(with = "edgeflow_wire::float")]
    max_psi: f64,
    windows: u64,
    features: Vec<Feature>,
    model: String,
    version: String,
    baseline: String,
    at_us: i64,
}

#[derive(Deserialize)]
struct Feature {
    name: String,
    statistic: String,
    #[serde(with = "edgeflow_wire::float")]
    value: f64,
    #[serde(with = "edgeflow_wire::float")]
    threshold: f64,
    flagged: bool,
}

impl Feature {
    /// By how much it exceeds its threshold; what is no number counts as nothing.
    fn excess(&self) -> f64 {
        let excess = (self.value / self.threshold).abs();
        if excess.is_nan() { 0.0 } else { excess }
    }
}

pub(crate) async fn drift(arguments: DriftArguments) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    match arguments.target {
        Some(target) => of_target(&client, &target, arguments.windows).await,
        None => fleet(&client, arguments.model.as_deref()).await,
    }
}

async fn fleet(client: &Client, model: Option<&str>) -> Result<(), CliError> {
    let mut list = client.get("/drift", &[]).await?;
    if let (Some(model), Some(items)) = (model, list.get_mut("items").and_then(Value::as_array_mut)) {
        items.retain(|item| item.get("model").and_then(Value::as_str) == Some(model));
    }
    let views = items::<View>(&list, "/drift")?;
    let verdict = verdict(&views);
    if output::as_json() {
        return json(&json!({ "verdict": verdict, "items": list.get("items") }));
    }
    let row = |view: &View| {
        let strongest = view.features.iter().max_by(|one, other| one.excess().total_cmp(&other.excess()));
        let (feature, statistic) = strongest.map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |one| (one.name.clone(), format!("{} {:.3} (threshold {:.3})", one.statistic, one.value, one.threshold)),
        );
        [
            view.target.clone(),
            if view.flagged { "drifts" } else { "fits" }.to_owned(),
            feature,
            statistic,
            format!("{:.2}", view.max_psi),
            view.windows.to_string(),
            when(view.at_us),
            format!("{} {}", view.model, view.version),
            view.baseline.clone(),
        ]
    };
    let headings = ["ROBOT", "VERDICT", "STRONGEST", "STATISTIC", "PSI", "WINDOWS", "UNTIL", "MODEL", "BASELINE"];
    output::table(headings, &views.iter().map(row).collect::<Vec<_>>())?;
    output::line(verdict)
}

/// What the pattern over the fleet speaks for, in the dashboard's words: one robot is a sensor, all of them the world or the model.
fn verdict(views: &[View]) -> String {
    let flagged: Vec<&View> = views.iter().filter(|view| view.flagged).collect();
    let features: BTreeSet<&str> =
        flagged.iter().flat_map(|view| &view.features).filter(|feature| feature.flagged).map(|feature| feature.name.as_str()).collect();
    let what = if features.is_empty() { String::new() } else { format!(" in {}", features.into_iter().collect::<Vec<_>>().join(", ")) };
    match (views, flagged.as_slice()) {
        ([], _) => "No robot has closed a drift window yet.".to_owned(),
        ([_], []) => "Its inputs look as they did at training.".to_owned(),
        (all, []) => format!("Inputs of all {} robots look as they did at training.", all.len()),
        ([_], [one, ..]) => format!("{} drifts{what}. With one robot watched, sensor and world cannot be told apart.", one.target),
        (all, some) if all.len() == some.len() => {
            format!("All {} robots drift{what}: this speaks for the world, or the model, rather than a sensor.", all.len())
        }
        (_, [one]) => format!("Only {} drifts{what}: this speaks for its sensor rather than the world.", one.target),
        (all, some) => format!("{} of {} robots drift{what}: look at what they have in common.", some.len(), all.len()),
    }
}

#[derive(Deserialize)]
struct Reports {
    reports: Vec<DriftReportBody>,
}

async fn of_target(client: &Client, target: &str, windows: u32) -> Result<(), CliError> {
    let path = format!("/targets/{}/drift", encode(target));
    let answer = client.get(&path, &[("limit", windows.to_string())]).await?;
    if output::as_json() {
        return json(&answer);
    }
    let Reports { reports } = document(answer, &path)?;
    let Some(report) = reports.into_iter().next() else {
        return output::line(format!("{target} has closed no drift window yet"));
    };
    let row = |feature: &edgeflow_wire::DriftFeatureBody| {
        let (statistic, value, threshold) = feature.leading();
        [
            feature.name.clone(),
            feature.subject.clone(),
            if feature.flagged { "drifts" } else { "fits" }.to_owned(),
            format!("{statistic} {value:.3} (threshold {threshold:.3})"),
            format!("{:.2}", feature.psi),
            format!("{:.4} / {:.4}", feature.mean, feature.baseline_mean),
            format!("{} ({:.0})", feature.n, feature.n_effective),
        ]
    };
    let headings = ["FEATURE", "OF", "VERDICT", "STATISTIC", "PSI", "MEAN / BASELINE", "FRAMES (EFFECTIVE)"];
    output::table(headings, &report.features.iter().map(row).collect::<Vec<_>>())?;
    output::line(format!(
        "window {} of {} {} ({}), {} to {}, against the {} baseline; at most {} false alarms a day",
        report.window,
        report.model,
        report.model_version,
        short(&report.digest),
        when(report.start_us),
        when(report.end_us),
        report.baseline,
        report.false_alarms_per_day
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(target: &str, flagged: &[&str]) -> View {
        let features = ["brightness", "contrast"].map(|name| Feature {
            name: name.to_owned(),
            statistic: "psi".to_owned(),
            value: if flagged.contains(&name) { 2.0 } else { f64::NAN },
            threshold: 1.0,
            flagged: flagged.contains(&name),
        });
        let flagged = !flagged.is_empty();
        let (model, version, baseline) = ("m".to_owned(), "1".to_owned(), "bundle".to_owned());
        View { target: target.to_owned(), flagged, max_psi: 0.0, windows: 1, features: features.into(), model, version, baseline, at_us: 1 }
    }

    #[test]
    fn one_robot_is_a_sensor_and_all_are_the_world() {
        let (fits, drifts) = (|name| view(name, &[]), |name| view(name, &["brightness"]));
        for (views, words) in [
            (vec![], "No robot"),
            (vec![fits("a")], "Its inputs look"),
            (vec![fits("a"), fits("b")], "all 2 robots look"),
            (vec![drifts("a")], "cannot be told apart"),
            (vec![drifts("a"), fits("b")], "Only a drifts in brightness: this speaks for its sensor"),
            (vec![drifts("a"), drifts("b")], "All 2 robots drift in brightness: this speaks for the world"),
            (vec![drifts("a"), drifts("b"), fits("c")], "2 of 3 robots drift"),
        ] {
            assert!(verdict(&views).contains(words), "{words}: {}", verdict(&views));
        }
        assert_eq!(view("a", &[]).features[0].excess(), 0.0, "no number is no excess");
    }
}

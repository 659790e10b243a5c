//! The statistics of samples given as JSON, as JSON: what `tests/test_parity.py` holds against SciPy and Evidently.
//!
//! In: `{"baseline": [...], "window": [...], "categories": false, "chances": [["t", 2.5, 10.0], ...]}`.

#![allow(clippy::print_stdout, reason = "its answer")]

use std::error::Error;

use edgeflow_drift::{BaselineBuilder, Feature, FeatureWindow, null, stats};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Question {
    baseline: Vec<f64>,
    window: Vec<f64>,
    #[serde(default)]
    categories: bool,
    /// Name of a distribution and its arguments.
    #[serde(default)]
    chances: Vec<(String, Vec<f64>)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let question: Question = serde_json::from_reader(std::io::stdin())?;
    let feature = if question.categories { Feature::categorical("x", Vec::new()) } else { Feature::numeric("x", "") };
    let mut builder = BaselineBuilder::of(vec![feature]);
    question.baseline.iter().try_for_each(|&value| builder.push(&[value]))?;
    let baseline = builder.build()?;
    let was = &baseline.features[0];
    let mut window = FeatureWindow::new(was);
    question.window.iter().for_each(|&value| window.push(value));
    let (counts, seen) = (&was.counts[..], window.counts());
    let (low, high) = (was.min.min(window.min()), was.max.max(window.max()));
    let chances = question.chances.iter().map(|(name, arguments)| chance(name, arguments)).collect::<Result<Vec<_>, _>>()?;
    let n_effective = null::effective_size(window.n(), window.autocorrelation());
    let answer = json!({
        "edges": was.edges,
        "codes": was.categories.iter().map(|category| category.code).collect::<Vec<_>>(),
        "baseline_counts": counts,
        "counts": seen,
        "n_effective": n_effective,
        "psi": stats::psi(counts, seen),
        "kl": stats::kl(counts, seen),
        "js": stats::js(counts, seen),
        "ks": stats::ks(counts, seen),
        "chi_square": stats::chi_square(counts, seen),
        "location": stats::location(counts, seen),
        "spread": stats::spread(counts, seen),
        "wasserstein": stats::wasserstein(counts, seen, &was.edges, low, high),
        "mean": window.mean(),
        "std": window.std(),
        "outside": window.outside(),
        "baseline_mean": was.mean,
        "baseline_std": was.std,
        "chances": chances,
    });
    println!("{answer}");
    Ok(())
}

fn chance(name: &str, arguments: &[f64]) -> Result<f64, String> {
    match (name, arguments) {
        ("t", &[t, freedom]) => Ok(null::t_chance(t, freedom)),
        ("ks", &[distance, m, n]) => Ok(null::ks_chance(distance, m, n)),
        ("outside", &[k, n, m]) => Ok(null::outside_chance(k, n, m)),
        (_, arguments) => Err(format!("there is no chance {name} of {} arguments", arguments.len())),
    }
}

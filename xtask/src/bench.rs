//! `cargo xtask bench`: runs the crates' benchmarks in the `dist` profile and gathers their figures.
//!
//! A benchmark is a bench target that prints one JSON object per figure. Machines are noisy, so a figure that matters is
//! a ratio to an anchor measured in the same run.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf, process::Stdio};

use crate::{debian, python, repo, wheel};

/// Name, package and bench target.
const BENCHMARKS: &[(&str, &str, &str)] = &[
    ("bridge", "edgeflow_bridge", "bridge"),
    ("drift", "edgeflow_drift", "drift"),
    ("edge-log", "edgeflow_edge_log", "edge_log"),
    ("inference", "edgeflow_inference", "inference"),
    ("registry", "edgeflow_server", "registry"),
    ("registry", "edgeflow_server", "lineage"),
    ("rollout", "edgeflow_sim", "rollout"),
];

/// Packages whose programs a benchmark starts.
const PROGRAMS: &[(&str, &[&str])] =
    &[("bridge", &["edgeflow_bridge", "edgeflow_server"]), ("registry", &["edgeflow_server"]), ("rollout", &["edgeflow_server"])];

/// Debian packages whose programs a benchmark is held against, and those programs.
const OTHERS: &[(&str, &str, &str)] = &[("bridge", "mosquitto", "mosquitto")];

/// Benchmarks that are held against MLflow's own server, from PyPI.
const AGAINST_MLFLOW: &[&str] = &["registry"];

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One benchmark; all of them when absent
    name: Option<String>,
    /// Also write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One measured figure. `ratio` is this figure over its anchor, present whenever `ratio_to` names one. A goal is the ratio's,
/// where there is one.
#[derive(Debug, Serialize, Deserialize)]
struct Figure {
    id: String,
    value: f64,
    unit: String,
    ratio_to: Option<String>,
    ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
}

impl Figure {
    /// Its goal, and whether it was met; nothing where there is none.
    fn goal(&self) -> String {
        let stands = self.ratio.unwrap_or(self.value);
        let (goal, met) = match (self.at_least, self.at_most) {
            (Some(least), _) => (format!(">= {least:.4}"), stands >= least),
            (None, Some(most)) => (format!("<= {most:.4}"), stands <= most),
            (None, None) => return String::new(),
        };
        format!("goal {goal}: {}", if met { "met" } else { "MISSED" })
    }
}

/// Runs the benchmarks, prints a table and writes the file.
pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen: Vec<_> = BENCHMARKS.iter().filter(|(name, ..)| args.name.as_ref().is_none_or(|wanted| wanted.as_str() == *name)).collect();
    if chosen.is_empty() {
        let known: Vec<_> = BENCHMARKS.iter().map(|(name, ..)| *name).collect();
        bail!("no such benchmark: there are {}", known.join(", "));
    }
    let mut figures = Vec::new();
    for (name, package, target) in chosen {
        println!("== {name}");
        for (_, package, program) in OTHERS.iter().filter(|(benchmark, ..)| benchmark == name) {
            debian::ensure(&[program, &format!("/usr/sbin/{program}")], package)?;
        }
        for (_, packages) in PROGRAMS.iter().filter(|(benchmark, _)| benchmark == name) {
            let packages = packages.iter().flat_map(|package| ["--package", package]);
            repo::run(repo::cargo()?.args(["build", "--profile", "dist", "--bins"]).args(packages))?;
        }
        let python = AGAINST_MLFLOW.contains(name).then(|| python::environment(python::TESTS)).transpose()?;
        figures.extend(measure(package, target, python).with_context(|| format!("benchmark {name}"))?);
    }
    println!("\n{:<36} {:>14} {:<12} {:>9}", "id", "value", "unit", "ratio");
    for figure in &figures {
        let ratio = match (&figure.ratio, &figure.ratio_to) {
            (Some(ratio), Some(anchor)) => format!("{ratio:>9.3} x {anchor}"),
            _ => String::new(),
        };
        println!("{:<36} {:>14.3} {:<12} {ratio:<42} {}", figure.id, figure.value, figure.unit, figure.goal());
    }
    if let Some(file) = &args.json {
        fs::write(file, serde_json::to_vec_pretty(&figures)?).with_context(|| format!("could not write {}", file.display()))?;
    }
    Ok(())
}

fn measure(package: &str, target: &str, python: Option<PathBuf>) -> Result<Vec<Figure>> {
    let mut cargo = repo::cargo()?;
    cargo.args(["bench", "--profile", "dist", "--package", package, "--bench", target]);
    cargo.env("ORT_DYLIB_PATH", wheel::onnxruntime()?);
    // As launch/launch/standalone.launch.py starts the inference node.
    cargo.env("MALLOC_MMAP_THRESHOLD_", "4194304").env("MALLOC_TRIM_THRESHOLD_", "16777216");
    cargo.envs(python.map(|python| ("EDGEFLOW_PYTHON", python))).stderr(Stdio::inherit());
    let output = cargo.output()?;
    if !output.status.success() {
        bail!("`{}` ended with {}", repo::shown(&cargo), output.status);
    }
    let text = String::from_utf8(output.stdout).context("a benchmark printed something that is not text")?;
    let figures: Vec<Figure> = text.lines().filter(|line| line.starts_with('{')).map(serde_json::from_str).collect::<Result<_, _>>()?;
    if figures.is_empty() {
        bail!("it printed no figure");
    }
    if let Some(figure) = figures.iter().find(|figure| figure.ratio_to.is_some() != figure.ratio.is_some()) {
        bail!("figure {} has a ratio without an anchor, or an anchor without a ratio", figure.id);
    }
    Ok(figures)
}

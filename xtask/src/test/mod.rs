//! `cargo xtask test`: installs what is missing, runs every stage, counts every test and says what each stage took.

mod changed_message;
mod counts;
mod reports;
pub(crate) mod ros;
mod stages;

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

use crate::repo;
use counts::Counts;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The inner loop: formatting, arrows, lints, Rust and web unit tests; no demo, browser, Python or r2r
    #[arg(long)]
    quick: bool,
    /// Only the stages whose names contain this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

struct Outcome {
    name: String,
    counts: Counts,
    took: Duration,
    error: Option<anyhow::Error>,
}

impl Outcome {
    /// Runs a stage and says at once when it failed.
    fn of(name: impl Into<String>, run: impl FnOnce() -> Result<Counts>) -> Self {
        let (name, began) = (name.into(), Instant::now());
        let (counts, error) = match run() {
            Ok(counts) if counts.failed > 0 => (counts, Some(anyhow::anyhow!("{} failed", counts.failed))),
            Ok(counts) => (counts, None),
            Err(error) => (Counts { passed: 0, failed: 1, skipped: 0 }, Some(error)),
        };
        if let Some(error) = &error {
            eprintln!("{name} FAILED: {error:#}");
        }
        Self { name, counts, took: began.elapsed(), error }
    }
}

/// Runs the stages in order. A failed stage fails the whole, but the others still run, so that one run says all.
pub(crate) fn run(args: &Args) -> Result<()> {
    let stages = stages::ALL
        .iter()
        .filter(|stage| !args.quick || stage.quick)
        .filter(|stage| args.only.as_ref().is_none_or(|part| stage.name.contains(part.as_str())));
    let mut outcomes = Vec::new();
    for stage in stages {
        println!("\n== {}", stage.name);
        outcomes.push(Outcome::of(stage.name, stage.run));
    }
    summarise(&outcomes)
}

fn summarise(outcomes: &[Outcome]) -> Result<()> {
    let total = outcomes.iter().fold(Counts::default(), |sum, outcome| sum + outcome.counts);
    let took: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    print!("\n{}", reports::failures());
    println!("\n{:<32} {:>12} {:>8} {:>8} {:>8}", "stage", "time", "passed", "failed", "skipped");
    for Outcome { name, counts, took, error } in outcomes {
        let mark = if error.is_some() { "  <- failed" } else { "" };
        println!("{name:<32} {:>12} {:>8} {:>8} {:>8}{mark}", repo::human(*took), counts.passed, counts.failed, counts.skipped);
    }
    println!("{:<32} {:>12}", "all", repo::human(took));
    println!("\n{total}");
    if total.passed == 0 {
        bail!("no test ran");
    }
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.error.is_some()).map(|outcome| outcome.name.as_str()).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

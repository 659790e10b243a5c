//! The commands developers and CI use: `cargo xtask demo`, `test`, `test-ros`, `soak`, `bench`, `readme`, `layers`.
//!
//! It starts other programs and decides little itself, so that `cargo xtask` answers quickly on a fresh machine.

#![allow(clippy::print_stdout)] // stdout is this program's interface

mod bench;
mod debian;
mod demo;
mod fetch;
mod interfaces;
mod layers;
mod node;
mod python;
mod readme;
mod repo;
mod soak;
mod test;
mod wheel;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, demonstrates, tests and measures Edgeflow.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  cargo xtask demo                                                   three robots on http://localhost:5000 until Ctrl-C
  cargo xtask demo --headless --until-done --report target/demo.json the same story, unattended
  cargo xtask test --quick                                           the inner loop
  cargo xtask test                                                   everything, as CI does
  source /opt/ros/jazzy/setup.bash && cargo xtask test-ros           the same nodes on an installed ROS 2
  cargo xtask soak --seed 7 --robots 20 --minutes 30                 the fault engine for longer; a failed run can be had again
  cargo xtask readme                                                 after a parameter, topic or service was added or changed
  cargo xtask bench --json target/bench.json                         every benchmark";

#[derive(Subcommand)]
enum Command {
    /// Fetch and build what is needed, then run the control plane and three robots and tell their story.
    Demo(demo::Args),
    /// Install what the tests need where it is missing, then run every test.
    Test(test::Args),
    /// Build the colcon workspace against the ROS 2 that is sourced, and test its nodes under every RMW that is installed.
    TestRos(test::ros::Args),
    /// Put robots under seeded faults for as long as wanted, let all heal, and prove that nothing was lost or doubled.
    Soak(soak::Args),
    /// Run benchmarks; figures are ratios within one run.
    Bench(bench::Args),
    /// Fetch something a build needs from elsewhere.
    Fetch(fetch::Args),
    /// Write the tables of parameters in the READMEs from the nodes themselves, and check what else is said of them.
    Readme(readme::Args),
    /// Check that the arrows between the crates run as docs/ARCHITECTURE.md says.
    Layers,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::TestRos(args) => test::ros::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Readme(args) => readme::run(&args),
        Command::Layers => layers::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

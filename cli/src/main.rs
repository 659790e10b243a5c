//! `edgeflow`: the command line for desks and robots.
//!
//! `edgeflow ros ...` speaks to the ROS 2 graph through the embedded stack, so that someone without a ROS 2 installation
//! can look, listen and call; `edgeflow edge-log ...` looks at the log on a robot's disk,
//! `edgeflow baseline ...` at a model's training data. The other commands speak to the
//! control plane's HTTP API.
#![allow(clippy::print_stdout)] // standard output is this program's interface

mod api;
mod baseline;
mod config;
mod doctor;
mod edge_log;
mod enroll;
mod error;
mod fleet;
mod hold;
#[cfg(feature = "zenoh")]
mod live;
mod login;
mod output;
mod ros;
mod settings;
mod when;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

use error::CliError;

/// Model operations for ROS 2 fleets.
#[derive(Parser)]
#[command(
    name = "edgeflow",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  edgeflow ros topic list -t                    what is on the ROS graph
  edgeflow ros topic echo /robot_1/inference_node/result --once
  edgeflow targets list                         the fleet, as the control plane sees it
  edgeflow login https://fleet.example:5000 --ca ca.pem
  edgeflow model push model.onnx --name label-reader --baseline train.npy
  edgeflow deploy label-reader 2 --to robot-1,robot-2
  edgeflow plan -f fleet/ && edgeflow apply -f fleet/ -m \"reader 2 for Berlin\"
  edgeflow rollout watch 7                      a rollout, stage by stage
  edgeflow live robot-07 /camera/image/compressed --for 5m --max-hz 5
  edgeflow baseline build frames/ --out bundle/baseline.json
  edgeflow doctor                               what is wrong with this machine, and how to mend it

Environment:
  EDGEFLOW_ROS_ROUTER  address of the ROS router (default 127.0.0.1:7447)
  EDGEFLOW_URL         address of the control plane (default http://127.0.0.1:5000)
  EDGEFLOW_CA          file with the control plane's CA certificate, for an https:// address
  EDGEFLOW_TOKEN       token for the control plane; never an argument, where other users could read it
  EDGEFLOW_OUTPUT      table or json
A flag wins over the environment, that over `edgeflow config set`, and that over what `edgeflow login` stored.

Exit status: 0 it was done, 1 it was not (standard error says why, in one line), 2 the command line does not read."
)]
struct Arguments {
    /// How lists and documents are printed.
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    output: Option<output::Format>,
    /// Address of the control plane.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look into the ROS 2 graph, without a ROS 2 installation.
    Ros(ros::RosArguments),
    /// The robots that the control plane knows.
    #[command(subcommand)]
    Targets(api::TargetsCommand),
    /// People with tokens of their own, so that what is done is known by who did it.
    #[command(subcommand)]
    Operators(api::OperatorsCommand),
    /// On a robot: get its certificate, with a one-time token.
    #[command(visible_alias = "enrol")]
    Enroll(enroll::EnrollArguments),
    /// On a robot: hold it, so that nothing of what it has changes, with or without a link; let it go.
    Hold(hold::HoldArguments),
    /// An MQTT broker of your own, in the place of the one inside of the control plane.
    #[command(subcommand)]
    Broker(api::BrokerCommand),
    /// Take a robot's identity away: its connections end at once, its certificates and token are worth nothing.
    Revoke(api::RevokeArguments),
    /// Remember a control plane and the token for it, in a file that only you can read.
    Login(login::LoginArguments),
    /// Forget them.
    #[command(after_help = "Example:\n  edgeflow logout")]
    Logout,
    /// Print what completes this program's commands in a shell.
    #[command(after_help = "Example:\n  edgeflow completions bash > ~/.local/share/bash-completion/completions/edgeflow")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// The models that the control plane knows.
    #[command(subcommand, visible_alias = "models")]
    Model(api::ModelCommand),
    /// What applying a declaration of the fleet would change: which robots, in what, and how.
    Plan(fleet::PlanArguments),
    /// Make a declaration of the fleet stand: all of it or nothing.
    Apply(fleet::ApplyArguments),
    /// What differs between files and what is declared.
    Diff(fleet::DiffArguments),
    /// Write what is declared as a file.
    Export(fleet::ExportArguments),
    /// The fleet as code: revisions, review, going back.
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
    /// Bring a release to robots stage by stage, with gates between, and back by itself.
    #[command(subcommand, visible_alias = "rollouts")]
    Rollout(api::RolloutCommand),
    /// Bring a model version to robots.
    Deploy(api::DeployArguments),
    /// Ask a robot for a momentary act: call a service, publish a message, pause its reports.
    #[command(subcommand, name = "command")]
    Act(api::CommandCommand),
    /// A robot's topics on the graph of this desk for a while, and topics of this desk on the robot.
    #[cfg(feature = "zenoh")]
    Live(live::LiveArguments),
    /// Recordings that robots made of their topics.
    #[command(subcommand)]
    Captures(api::CapturesCommand),
    /// What robots report of their topics.
    #[command(subcommand)]
    Policy(api::PolicyCommand),
    /// What ran where, and when, by the robots' own word.
    Lineage(api::LineageArguments),
    /// What happened in the fleet, newest last.
    Events(api::EventsArguments),
    /// What robots' models see, against what they were trained on; and whether that is a sensor or the world.
    Drift(api::DriftArguments),
    /// Lines of a robot: its events, and what its policy forwards of /rosout.
    Logs(api::LogsArguments),
    /// What this program goes by, and where each value comes from.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// What is wrong with this machine, the control plane or a robot, and how to mend it.
    Doctor(doctor::DoctorArguments),
    /// The drift reference of a model: made of its training data, and looked at.
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// The log that a bridge keeps on this machine: what it holds, whether it is whole, all of it as a file.
    #[command(subcommand)]
    EdgeLog(edge_log::EdgeLogCommand),
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    settings::choose(arguments.url, arguments.output);
    let done = match settings::format() {
        Ok(format) => {
            output::choose(format.value);
            run(arguments.command).await
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has had enough, as in `edgeflow ... | head`.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edgeflow: {}", error::with_sources(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Login(arguments) => login::login(arguments).await,
        Command::Logout => login::logout(),
        Command::Completions { shell } => completions(shell),
        Command::Ros(arguments) => ros::run(arguments).await,
        Command::Targets(command) => api::targets(command).await,
        Command::Operators(command) => api::operators(command).await,
        Command::Hold(arguments) => hold::hold(arguments),
        Command::Enroll(arguments) => enroll::enroll(arguments).await,
        Command::Broker(command) => api::broker(command).await,
        Command::Revoke(arguments) => api::revoke(arguments).await,
        Command::Model(command) => api::model(command).await,
        Command::Plan(arguments) => fleet::plan(arguments).await,
        Command::Apply(arguments) => fleet::apply(arguments).await,
        Command::Diff(arguments) => fleet::diff(arguments).await,
        Command::Export(arguments) => fleet::export(arguments).await,
        Command::Fleet(command) => fleet::fleet(command).await,
        Command::Rollout(command) => api::rollout(command).await,
        Command::Deploy(arguments) => api::deploy(arguments).await,
        Command::Act(command) => api::command(command).await,
        #[cfg(feature = "zenoh")]
        Command::Live(arguments) => live::live(arguments).await,
        Command::Captures(command) => api::captures(command).await,
        Command::Policy(command) => api::policy(command).await,
        Command::Lineage(arguments) => api::lineage(arguments).await,
        Command::Events(arguments) => api::events(arguments).await,
        Command::Drift(arguments) => api::drift(arguments).await,
        Command::Logs(arguments) => api::logs(arguments).await,
        Command::Config(command) => config::config(command),
        Command::Doctor(arguments) => doctor::doctor(arguments).await,
        Command::Baseline(command) => baseline::run(command).await,
        Command::EdgeLog(command) => tokio::task::block_in_place(|| edge_log::run(command)),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "edgeflow", &mut script);
    output::text(&String::from_utf8_lossy(&script))
}

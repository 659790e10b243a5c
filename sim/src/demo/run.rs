//! One demo from its first process to its last.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use super::args::{Args, Paths};
use super::ground::Ground;
use super::open::{OPENING_STEPS, open};
use super::processes::Processes;
use super::tale::Tale;
use super::terminal::Terminal;
use super::{DemoError, outro, story};

/// Exit status of a story that did not hold.
const NOT_HELD: u8 = 1;

/// Exit status of a story that a signal cut short, as shells count SIGINT.
const INTERRUPTED: u8 = 130;

/// Starts everything, tells the story, writes the report, and stops everything. Call it from the main thread: the
/// programs it starts are bound to that thread's life (see [`super::processes`]).
pub async fn run(args: Args) -> ExitCode {
    let started_at = args.started_at_unix_ms.map_or_else(SystemTime::now, |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
    let mut tale = Tale::new(Terminal::new(args.headless, OPENING_STEPS + story::STEPS), started_at);
    let outcome = stand(&args, &mut tale).await;
    if let Err(error) = &outcome {
        let stopped_at_will = matches!(error, DemoError::Interrupted) && tale.report.held() && !tale.is_telling();
        if !stopped_at_will {
            tale.fail(error);
            tale.write_report(args.report.as_deref());
        }
    }
    tale.terminal.finish();
    match outcome {
        // Who stops an open-ended demo wanted it to stop; only a promised end can be missed.
        Err(DemoError::Interrupted) if !args.until_done => ExitCode::SUCCESS,
        Err(DemoError::Interrupted) => ExitCode::from(INTERRUPTED),
        Ok(()) if tale.report.held() => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::from(NOT_HELD),
    }
}

/// Claims folder and ports, plays, and stops every process whatever came of it.
async fn stand(args: &Args, tale: &mut Tale) -> Result<(), DemoError> {
    let paths = args.paths()?;
    let ports = [(args.port, "control plane", "--port"), (args.ros_port, "ROS router", "--ros-port")];
    let ground = Ground::claim(&paths.data_dir, &ports)?;
    let mut processes = Processes::new(ground.root().join("logs"))?;
    let outcome = tokio::select! {
        outcome = play(args, &paths, &ground, &mut processes, tale) => outcome,
        signal = edgeflow_ros::shutdown_signal() => Err(signal.map_or_else(DemoError::Signals, |()| DemoError::Interrupted)),
    };
    tale.terminal.say("stopping every process");
    processes.stop_all().await;
    outcome
}

/// Starts everything, tells the story, and stays unless told otherwise.
async fn play(args: &Args, paths: &Paths, ground: &Ground, processes: &mut Processes, tale: &mut Tale) -> Result<(), DemoError> {
    let mut set = open(args, paths, ground, processes, tale).await?;
    let outcome = tokio::select! {
        outcome = story::tell(&mut set.stage, &paths.models_dir) => outcome,
        ended = processes.first_to_end() => Err(ended),
    };
    if let Err(error) = &outcome {
        set.stage.tale.fail(error);
    }
    set.stage.note_robots().await;
    set.stage.tale.write_report(args.report.as_deref());
    outro::summary(&set.stage, processes.logs());
    outcome?;
    if args.until_done {
        return Ok(());
    }
    set.stage.stream().await?;
    outro::look_around(&set, args, &paths.bin_dir);
    Err(processes.first_to_end().await)
}

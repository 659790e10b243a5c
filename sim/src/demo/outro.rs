//! After the story: what was measured on one screen, and what to look at next.

use std::path::Path;

use super::args::Args;
use super::launch::ROUTER_VARIABLE;
use super::open::Set;
use super::report::{Model, Robot};
use super::stage::Stage;
use super::story::short;
use super::terminal::table;

/// The port every program of the embedded stack looks for a router on by itself.
const DEFAULT_ROS_PORT: u16 = 7447;

/// Prints what was measured.
pub(crate) fn summary(stage: &Stage<'_>, logs: &Path) {
    let terminal = &stage.tale.terminal;
    let report = &stage.tale.report;
    terminal.say("");
    terminal.heading("Models");
    let rows: Vec<Vec<String>> = report.models.iter().map(model_row).collect();
    table(&["model", "digest", "accuracy", "samples"], &rows).iter().for_each(|line| terminal.say(&format!("  {line}")));
    terminal.heading("Robots");
    let headings =
        ["robot", "online", "runs", "frames in", "results out", "swap gap", "drift", "PSI", "windows", "entries", "missing", "doubled"];
    let rows: Vec<Vec<String>> = report.robots.iter().map(robot_row).collect();
    table(&headings, &rows).iter().for_each(|line| terminal.say(&format!("  {line}")));
    terminal.say(&format!("Logs of every process: {}", logs.display()));
}

fn model_row(model: &Model) -> Vec<String> {
    let accuracy = model.accuracy.map_or_else(|| "-".to_owned(), |accuracy| format!("{:.1} %", 100.0 * accuracy));
    vec![format!("{} v{}", model.name, model.version), short(&model.digest), accuracy, model.samples.to_string()]
}

fn robot_row(robot: &Robot) -> Vec<String> {
    vec![
        robot.name.clone(),
        if robot.online { "yes" } else { "no" }.to_owned(),
        robot.running_digest.as_deref().map_or_else(|| "-".to_owned(), short),
        robot.frames_in.to_string(),
        robot.results_out.to_string(),
        robot.swap_gap_ms_max.map_or_else(|| "-".to_owned(), |gap| format!("{gap:.3} ms")),
        if robot.drift.flagged { "flagged" } else { "no" }.to_owned(),
        robot.drift.max_psi.map_or_else(|| "-".to_owned(), |psi| format!("{psi:.2}")),
        robot.drift.windows.to_string(),
        robot.entries.stored.to_string(),
        robot.entries.missing.to_string(),
        robot.entries.duplicated.to_string(),
    ]
}

/// Prints what to open and to run while everything stays up.
pub(crate) fn look_around(set: &Set<'_>, args: &Args) {
    let terminal = &set.stage.tale.terminal;
    let say = |text: &str, what: &str| terminal.say(&format!("  {}  {text}", terminal.link(what)));
    let base = format!("http://localhost:{}", args.port);
    terminal.say("");
    terminal.heading("Look around (everything runs on; robot-2's camera is still out of focus)");
    if !args.headless {
        say("the dashboard, signed in", &format!("{base}/#token={}", set.admin_token));
    }
    say(
        "its pages: fleet, robot-2 with its drift, models, deployments",
        &format!("{base}/#/fleet  #/robots/robot-2  #/models  #/deployments"),
    );
    let bin = args.bin_dir.as_ref().map_or_else(|| "edgeflow".to_owned(), |bin| bin.join("edgeflow").display().to_string());
    let ros = if set.router.addr().port() == DEFAULT_ROS_PORT {
        format!("{bin} ros")
    } else {
        format!("{ROUTER_VARIABLE}={} {bin} ros", set.router.addr())
    };
    terminal.heading("Without ROS 2 installed, on the robots' own topics and services");
    say("", &format!("{ros} node list"));
    say("what a model makes of each frame", &format!("{ros} topic echo /robot_1/inference_node/result"));
    say(
        "what serves frames now",
        &format!("{ros} service call /robot_1/inference_node/get_model_info edgeflow_msgs/srv/GetModelInfo '{{}}'"),
    );
    say(
        "give robot-2 its eyes back",
        &format!("{ros} service call /robot_2/sim_robot/set_camera edgeflow_msgs/srv/SetCamera '{{streaming: true, exposure: 1.0}}'"),
    );
    say(
        "cut an uplink, and watch it come back later",
        &format!("{ros} service call /robot_3/sim_robot/set_uplink edgeflow_msgs/srv/SetUplink '{{connected: false}}'"),
    );
    terminal.heading("With the HTTP API");
    let token = set.admin_token_file.display();
    say("", &format!("curl -H \"Authorization: Bearer $(cat {token})\" {base}/api/v1/targets/robot-2"));
    terminal.say("");
    terminal.say("Ctrl-C stops every process.");
}

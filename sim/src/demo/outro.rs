//! After the story: what was measured on one screen, and what to look at next.

use std::path::Path;

use super::args::Args;
use super::launch::ROUTER_VARIABLE;
use super::open::Set;
use super::report::{Model, Robot, Rollout};
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
    if !report.rollouts.is_empty() {
        terminal.heading("Rollouts");
        let rows: Vec<Vec<String>> = report.rollouts.iter().map(rollout_row).collect();
        table(&["model", "ended", "stages", "gates"], &rows).iter().for_each(|line| terminal.say(&format!("  {line}")));
    }
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

fn rollout_row(rollout: &Rollout) -> Vec<String> {
    let stages: Vec<String> = rollout.stages.iter().map(|stage| format!("{} {}", stage.name, stage.state)).collect();
    let gates: Vec<String> = rollout.evidence.iter().map(|seen| format!("{} {}", seen.evidence.gate, seen.evidence.verdict)).collect();
    vec![format!("{} v{}", rollout.model, rollout.version), rollout.state.replace('_', " "), stages.join(", "), gates.join(", ")]
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
pub(crate) fn look_around(set: &Set<'_>, args: &Args, bin_dir: &Path) {
    let terminal = &set.stage.tale.terminal;
    let show = |what: &str, command: &str| {
        terminal.say(&format!("  {what}"));
        terminal.say(&format!("    {}", terminal.link(command)));
    };
    let base = format!("http://localhost:{}", args.port);
    terminal.say("");
    terminal.heading("Look around: everything runs on, and robot-2's camera is still dark and out of focus");
    // A token on the screen is for the person before it, not for a log.
    if !args.headless {
        show("the dashboard, signed in", &format!("{base}/#token={}", set.admin_token));
    }
    show("robot-2 with its drift against the thresholds", &format!("{base}/#/robots/robot-2"));
    show("models, deployments", &format!("{base}/#/models  {base}/#/deployments"));
    show("v3's rollout, and what its gates saw", &format!("{base}/#/rollouts"));
    let token = set.admin_token_file.display();
    show("the same over HTTP", &format!("curl -H \"Authorization: Bearer $(cat {token})\" {base}/api/v1/targets/robot-2"));

    let program = bin_dir.join("edgeflow");
    let ask = format!("EDGEFLOW_TOKEN=$(cat {token}) {} --url {base}", program.display());
    show("which training, on which dataset, made what ran on robot-2, and when", &format!("{ask} lineage robot-2"));

    terminal.say("");
    terminal.heading("Without ROS 2 installed, on the robots' own topics and services");
    let ros = if set.router.addr().port() == DEFAULT_ROS_PORT {
        format!("{} ros", program.display())
    } else {
        format!("{ROUTER_VARIABLE}={} {} ros", set.router.addr(), program.display())
    };
    let call = |service: &str, kind: &str, request: &str| format!("{ros} service call {service} edgeflow_msgs/srv/{kind} {request}");
    show("who is there", &format!("{ros} node list"));
    show("what a model makes of each frame", &format!("{ros} topic echo /robot_1/inference_node/result"));
    let frame = "--from-topic /robot_1/camera/image:image";
    show("ask a model about the next frame", &call("/robot_1/inference_node/infer", "Infer", frame));
    let sound = "'{streaming: true, exposure: 1.0}'";
    show("give robot-2 its eyes back, and see its flag go", &call("/robot_2/sim_robot/set_camera", "SetCamera", sound));
    show("cut robot-3's uplink (true brings it back)", &call("/robot_3/sim_robot/set_uplink", "SetUplink", "'{connected: false}'"));
    terminal.say("");
    terminal.say("Ctrl-C stops every process.");
}

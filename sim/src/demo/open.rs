//! The opening: router, control plane, robots.

use edgeflow_ros::router::Router;
use edgeflow_ros::{Context, Node};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::DemoError;
use super::args::{Args, Paths};
use super::control_plane::ControlPlane;
use super::ground::Ground;
use super::launch::{Doors, Launch, SERVER_FIRST_LINE, Uplink};
use super::processes::Processes;
use super::report;
use super::robots::Robot;
use super::stage::Stage;
use super::tale::Tale;
use super::wait::{Look, until};

/// Steps told here.
pub(crate) const OPENING_STEPS: usize = 2;

/// Frames per second of each camera.
const RATE_HZ: f64 = 20.0;

/// Frames of one drift window: five seconds of stream.
const DRIFT_WINDOW_FRAMES: u32 = 100;

/// How long the robots may take to come online.
const ONLINE: Duration = Duration::from_secs(30);

/// Everything that runs, and what opens it to a person.
pub(crate) struct Set<'a> {
    /// What the story is told with.
    pub(crate) stage: Stage<'a>,
    /// The administrator's token.
    pub(crate) admin_token: String,
    /// File that holds it.
    pub(crate) admin_token_file: std::path::PathBuf,
    /// The ROS router.
    pub(crate) router: Router,
    _context: Context,
}

/// Starts everything and waits until every robot is online.
pub(crate) async fn open<'a>(
    args: &Args,
    paths: &Paths,
    ground: &Ground,
    processes: &mut Processes,
    tale: &'a mut Tale,
) -> Result<Set<'a>, DemoError> {
    tale.begin("the control plane and the robots' router start");
    let router = Router::start(SocketAddr::from((Ipv4Addr::LOCALHOST, args.ros_port)));
    let router = router.map_err(|source| DemoError::Ros { action: "start the ROS router".to_owned(), source })?;
    let (context, node) = join_graph(&router).map_err(|source| DemoError::Ros { action: "join the ROS graph".to_owned(), source })?;
    let launch = Launch { paths, router: router.addr(), rate_hz: RATE_HZ, drift_window_frames: DRIFT_WINDOW_FRAMES };

    // A token from outside lets a test or a script sign in while the story goes on.
    let given = std::env::var("EDGEFLOW_ADMIN_TOKEN").ok().filter(|token| !token.is_empty());
    let admin_token = given.unwrap_or_else(new_token);
    let admin_token_file = ground.write_secret("admin.token", &admin_token)?;
    let server = launch.secure_server(&ground.root().join("server"), args.port, &admin_token);
    let line = processes.start_and_read_first_line(server, SERVER_FIRST_LINE).await?;
    let doors = Doors::parse(&line).ok_or_else(|| DemoError::FirstLine {
        name: "edgeflow-server".to_owned(),
        line: line.clone(),
        expected: SERVER_FIRST_LINE,
        log: processes.logs().join("edgeflow-server.log"),
    })?;
    let control_plane = ControlPlane::new(&format!("http://{}", doors.local), &admin_token)?;
    let version = control_plane.server().await?.version;
    let detail = format!(
        "edgeflow-server {version} on http://localhost:{}; for robots over mTLS: MQTT on {}, HTTP on {}, zenoh on {}; ROS router on {}",
        args.port,
        doors.mqtt,
        doors.http,
        doors.zenoh,
        router.addr()
    );
    tale.close(Ok(((), detail)))?;

    tale.begin("robots come online");
    let names: Vec<String> = (1..=args.robots).map(|number| format!("robot-{number}")).collect();
    let mut robots = Vec::new();
    for ((seed, name), by) in (1..).zip(&names).zip(Uplink::NAMES.iter().cycle()) {
        control_plane.enrol(name).await?;
        let token_file = ground.write_secret(&format!("robots/{name}/bootstrap"), &control_plane.bootstrap(name).await?.token)?;
        let identity_dir = ground.root().join("robots").join(name).join("identity");
        processes.run(launch.enroll(name, &token_file, &doors, &identity_dir)).await?;
        robots.push(Robot::watch(&node, name, by)?);
        let simulation = launch.sim_robot(name, seed, &doors);
        let log = processes.logs().join(format!("{}.log", simulation.name));
        let line = processes.start_and_read_first_line(simulation, Uplink::FIRST_LINE).await?;
        let uplink = Uplink::parse(&line).ok_or_else(|| DemoError::FirstLine {
            name: format!("{name}.sim_robot"),
            line: line.clone(),
            expected: Uplink::FIRST_LINE,
            log,
        })?;
        processes.start(launch.inference_node(name))?;
        let data_dir = ground.root().join("robots").join(name).join("bridge");
        processes.start(launch.enrolled_bridge_node(name, &data_dir, &identity_dir, &uplink, by))?;
    }
    tale.report.robots = names.iter().map(|name| report::Robot { name: name.clone(), ..report::Robot::default() }).collect();
    let began = std::time::Instant::now();
    tokio::select! {
        online = online(&control_plane, &robots, &names, tale) => online?,
        ended = processes.first_to_end() => return Err(ended),
    }
    let each: Vec<String> = robots.iter().map(|robot| format!("{} by {}", robot.name, robot.by)).collect();
    let detail = format!("{} after {:.1} s, each with a certificate of its own", each.join(", "), began.elapsed().as_secs_f64());
    tale.close(Ok(((), detail)))?;
    let stage = Stage { node, control_plane, robots, tale };
    Ok(Set { stage, admin_token, admin_token_file, router, _context: context })
}

fn join_graph(router: &Router) -> Result<(Context, Node), edgeflow_ros::Error> {
    let context = Context::builder().router(router.addr()).build()?;
    let node = Node::create(&context, "edgeflow_demo", "")?;
    Ok((context, node))
}

async fn online(control_plane: &ControlPlane, robots: &[Robot], names: &[String], tale: &Tale) -> Result<(), DemoError> {
    until(
        "every robot to be online",
        ONLINE,
        |seen| tale.waiting(seen),
        async || {
            let targets = control_plane.targets(names).await?;
            let missing: Vec<&str> = targets.iter().filter(|target| !target.online).map(|target| target.name.as_str()).collect();
            Ok(if missing.is_empty() { Look::Done(()) } else { Look::NotYet(format!("{} not yet", missing.join(", "))) })
        },
    )
    .await?;
    for robot in robots {
        robot.wait_for_services().await?;
    }
    Ok(())
}

/// A token nobody can guess: 32 random bytes, in hex.
fn new_token() -> String {
    use rand::Rng;
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        assert_eq!(new_token().len(), 64);
        assert_ne!(new_token(), new_token());
    }
}

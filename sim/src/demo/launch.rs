//! The command lines of the programs, as `ros2 launch` and a service manager would write them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use super::args::Paths;
use super::processes::Program;

/// Environment variable that tells every program of the embedded stack where the router is.
pub const ROUTER_VARIABLE: &str = "EDGEFLOW_ROS_ROUTER";

/// What every robot's command line takes from the demo.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Where things are.
    pub paths: &'a Paths,
    /// The ROS router.
    pub router: SocketAddr,
    /// Frames per second of each camera.
    pub rate_hz: f64,
    /// Frames of one drift window.
    pub drift_window_frames: u32,
}

/// The ROS namespace of a robot: its name with underscores.
pub fn namespace(robot: &str) -> String {
    format!("/{}", robot.replace('-', "_"))
}

impl Launch<'_> {
    /// The control plane on loopback, with its MQTT door on a free port.
    pub fn server(&self, data_dir: &Path, port: u16, admin_token: &str) -> Program {
        let mut args: Vec<OsString> = vec!["--data-dir".into(), data_dir.into()];
        args.extend(["--listen".into(), format!("127.0.0.1:{port}").into(), "--mqtt-listen".into(), "127.0.0.1:0".into()]);
        Program {
            name: "edgeflow-server".into(),
            path: self.paths.bin_dir.join("edgeflow-server"),
            args,
            env: vec![("EDGEFLOW_ADMIN_TOKEN", admin_token.into())],
        }
    }

    /// Camera, missions and the uplink's switch. The camera waits until it is told to stream.
    pub fn sim_robot(&self, robot: &str, seed: u32, mqtt: &str, http: &str) -> Program {
        let mut rules = vec![
            parameter("rate_hz", format!("{:?}", self.rate_hz)),
            parameter("seed", seed.to_string()),
            parameter("streaming", "false"),
            parameter("uplink_mqtt", mqtt),
            parameter("uplink_http", http),
        ];
        if let Some(digits) = &self.paths.data_file {
            rules.push(parameter("data_file", digits));
        }
        self.node(robot, "sim_robot", rules)
    }

    /// The node that runs the model.
    pub fn inference_node(&self, robot: &str) -> Program {
        let mut rules = vec![
            remap("~/image", "camera/image"),
            parameter("queue_policy", "all"),
            // The story counts every frame.
            parameter(&format!("qos_overrides.{}/camera/image.subscription.reliability", namespace(robot)), "reliable"),
            parameter("drift_window_frames", self.drift_window_frames.to_string()),
        ];
        if let Some(library) = &self.paths.onnxruntime {
            rules.push(parameter("onnxruntime", library));
        }
        self.node(robot, "inference_node", rules)
    }

    /// The agent that carries facts up and models down, through the robot's uplink.
    pub fn bridge_node(&self, robot: &str, data_dir: &Path, token_file: &Path, uplink: &Uplink) -> Program {
        let rules = vec![
            parameter("robot", robot),
            parameter("data_dir", data_dir),
            parameter("token_file", token_file),
            parameter("mqtt", &uplink.mqtt),
            parameter("http", format!("http://{}", uplink.http)),
            // The story counts windows, and a minute is long in it.
            parameter("drift_period_s", "0.0"),
        ];
        self.node(robot, "bridge_node", rules)
    }

    fn node(&self, robot: &str, program: &str, rules: Vec<[OsString; 2]>) -> Program {
        let mut args: Vec<OsString> = vec!["--ros-args".into()];
        args.extend(remap("__ns", &namespace(robot)));
        args.extend(rules.into_iter().flatten());
        Program {
            name: format!("{robot}.{program}"),
            path: self.paths.bin_dir.join(program),
            args,
            env: vec![(ROUTER_VARIABLE, self.router.to_string().into())],
        }
    }
}

/// Where a robot finds its control plane: the two proxies of its `sim_robot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// `host:port` of MQTT.
    pub mqtt: String,
    /// `host:port` of HTTP.
    pub http: String,
}

impl Uplink {
    /// What `sim_robot` begins its first line with.
    pub const FIRST_LINE: &str = "sim_robot uplink ";

    /// Reads `sim_robot uplink mqtt=127.0.0.1:1 http=127.0.0.1:2`.
    pub fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(Self::FIRST_LINE)?;
        let value = |name: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        Some(Self { mqtt: value("mqtt=")?, http: value("http=")? })
    }
}

/// What `edgeflow-server` begins its first line with.
pub const SERVER_FIRST_LINE: &str = "edgeflow-server listening on ";

/// Reads the HTTP and MQTT addresses (`host:port`) from the server's first line.
pub fn parse_server(line: &str) -> Option<(String, String)> {
    let mut addresses = line.strip_prefix(SERVER_FIRST_LINE)?.split_whitespace();
    let http = addresses.find_map(|word| word.strip_prefix("http://"))?;
    let mqtt = addresses.find_map(|word| word.strip_prefix("mqtt://"))?;
    Some((http.trim_end_matches('/').to_owned(), mqtt.trim_end_matches('/').to_owned()))
}

fn parameter(name: &str, value: impl Into<OsString>) -> [OsString; 2] {
    rule("-p", name, value)
}

fn remap(from: &str, to: &str) -> [OsString; 2] {
    rule("-r", from, to)
}

fn rule(flag: &str, name: &str, value: impl Into<OsString>) -> [OsString; 2] {
    let mut rule = OsString::from(format!("{name}:="));
    rule.push(value.into());
    [flag.into(), rule]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::PathBuf;

    fn paths() -> Paths {
        Paths {
            bin_dir: "/bin".into(),
            data_dir: "/data".into(),
            models_dir: "/models".into(),
            data_file: None,
            onnxruntime: Some(PathBuf::from("/ort.so")),
        }
    }

    fn words(program: &Program) -> String {
        program.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn nodes_are_started_in_the_robots_namespace_and_secrets_stay_out_of_their_arguments() {
        let paths = paths();
        let launch = Launch { paths: &paths, router: ([127, 0, 0, 1], 7447).into(), rate_hz: 20.0, drift_window_frames: 100 };
        let uplink = Uplink { mqtt: "127.0.0.1:1".into(), http: "127.0.0.1:2".into() };
        let inference = words(&launch.inference_node("robot-1"));
        assert_eq!(
            inference,
            "--ros-args -r __ns:=/robot_1 -r ~/image:=camera/image -p queue_policy:=all -p qos_overrides./robot_1/camera/image.subscription.reliability:=reliable -p drift_window_frames:=100 -p onnxruntime:=/ort.so"
        );
        let bridge = launch.bridge_node("robot-1", Path::new("/data/b"), Path::new("/data/token"), &uplink);
        assert!(words(&bridge).contains("-p token_file:=/data/token -p mqtt:=127.0.0.1:1 -p http:=http://127.0.0.1:2"));
        assert!(words(&launch.sim_robot("robot-1", 1, "a:1", "b:2")).contains("-p rate_hz:=20.0 "));
        let server = launch.server(Path::new("/data/s"), 5000, "s3cret");
        assert!(!words(&server).contains("s3cret"));
        assert_eq!(server.env, [("EDGEFLOW_ADMIN_TOKEN", OsString::from("s3cret"))]);
    }

    #[test]
    fn first_lines_are_read_and_others_are_not() {
        let (http, mqtt) = parse_server("edgeflow-server listening on http://127.0.0.1:5000 mqtt://127.0.0.1:41883").unwrap();
        assert_eq!((http.as_str(), mqtt.as_str()), ("127.0.0.1:5000", "127.0.0.1:41883"));
        assert_eq!(parse_server("edgeflow-server listening on nothing"), None);
        let uplink = Uplink::parse("sim_robot uplink mqtt=127.0.0.1:1 http=127.0.0.1:2").unwrap();
        assert_eq!((uplink.mqtt.as_str(), uplink.http.as_str()), ("127.0.0.1:1", "127.0.0.1:2"));
        assert_eq!(Uplink::parse("sim_robot uplink mqtt=127.0.0.1:1"), None);
    }
}

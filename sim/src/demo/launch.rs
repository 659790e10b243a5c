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
    /// The control plane on loopback without TLS, with its MQTT door on a free port.
    pub fn server(&self, data_dir: &Path, port: u16, admin_token: &str) -> Program {
        self.control_plane(data_dir, admin_token, &[("--listen", port), ("--mqtt-listen", 0)])
    }

    /// The control plane on loopback: for robots on free ports and over TLS, for people without it.
    pub fn secure_server(&self, data_dir: &Path, port: u16, admin_token: &str) -> Program {
        let doors = [("--local-listen", port), ("--listen", 0), ("--mqtt-listen", 0), ("--zenoh-listen", 0)];
        let mut program = self.control_plane(data_dir, admin_token, &doors);
        program.args.push("--tls".into());
        program
    }

    fn control_plane(&self, data_dir: &Path, admin_token: &str, doors: &[(&str, u16)]) -> Program {
        let mut args: Vec<OsString> = vec!["--data-dir".into(), data_dir.into()];
        args.extend(doors.iter().flat_map(|(door, port)| [(*door).into(), format!("127.0.0.1:{port}").into()]));
        Program {
            name: "edgeflow-server".into(),
            path: self.paths.bin_dir.join("edgeflow-server"),
            args,
            env: vec![("EDGEFLOW_ADMIN_TOKEN", admin_token.into())],
        }
    }

    /// Camera, missions and the uplink's switch. The camera waits until it is told to stream.
    pub fn sim_robot(&self, robot: &str, seed: u32, doors: &Doors) -> Program {
        let mut rules = vec![
            parameter("rate_hz", format!("{:?}", self.rate_hz)),
            parameter("seed", seed.to_string()),
            parameter("streaming", "false"),
            parameter("uplink_mqtt", &doors.mqtt),
            parameter("uplink_http", &doors.http),
            parameter("uplink_zenoh", &doors.zenoh),
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

    /// What a person types on a robot that is to come in: a bootstrap token for a certificate. It ends by itself.
    pub fn enroll(&self, robot: &str, token_file: &Path, doors: &Doors, identity_dir: &Path) -> Program {
        let server = format!("https://{}", doors.http);
        Program {
            name: format!("{robot}.enroll"),
            path: self.paths.bin_dir.join("edgeflow"),
            args: vec![
                "enroll".into(),
                "--token".into(),
                token_file.into(),
                "--server".into(),
                server.into(),
                "--out".into(),
                identity_dir.into(),
            ],
            env: Vec::new(),
        }
    }

    /// The agent that carries facts up and models down, with a token and without TLS.
    pub fn bridge_node(&self, robot: &str, data_dir: &Path, token_file: &Path, uplink: &Uplink) -> Program {
        let (mqtt, http) = (parameter("mqtt", &uplink.mqtt), parameter("http", format!("http://{}", uplink.http)));
        self.bridge(robot, data_dir, [parameter("token_file", token_file), mqtt, http])
    }

    /// The same as the robot that it enrolled as, by the one uplink named `by`.
    pub fn enrolled_bridge_node(&self, robot: &str, data_dir: &Path, identity_dir: &Path, uplink: &Uplink, by: &str) -> Program {
        let rules = [
            parameter("identity_dir", identity_dir),
            parameter("uplinks", format!("[{by}]")),
            parameter("mqtt", &uplink.mqtt),
            parameter("http", format!("https://{}", uplink.http)),
            parameter("zenoh", &uplink.zenoh),
        ];
        self.bridge(robot, data_dir, rules)
    }

    fn bridge(&self, robot: &str, data_dir: &Path, more: impl IntoIterator<Item = [OsString; 2]>) -> Program {
        let mut rules = vec![parameter("robot", robot), parameter("data_dir", data_dir)];
        rules.extend(more);
        // What is told is counted window by window, and a minute is long in a story.
        rules.push(parameter("drift_period_s", "0.0"));
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

/// Where a robot finds its control plane: the three proxies of its `sim_robot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// `host:port` of MQTT.
    pub mqtt: String,
    /// `host:port` of HTTPS.
    pub http: String,
    /// `host:port` of zenoh.
    pub zenoh: String,
}

impl Uplink {
    /// What `sim_robot` begins its first line with.
    pub const FIRST_LINE: &str = "sim_robot uplink ";

    /// Names of the ways a robot may go; the robots take turns.
    pub const NAMES: [&str; 3] = ["mqtt", "http", "zenoh"];

    /// Reads `sim_robot uplink mqtt=127.0.0.1:1 http=127.0.0.1:2 zenoh=127.0.0.1:3`.
    pub fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(Self::FIRST_LINE)?;
        let value = |name: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        Some(Self { mqtt: value("mqtt=")?, http: value("http=")?, zenoh: value("zenoh=")? })
    }
}

/// What `edgeflow-server` begins its first line with.
pub const SERVER_FIRST_LINE: &str = "edgeflow-server listening on ";

/// Reads the HTTP and MQTT addresses (`host:port`) from the first line of a server without TLS.
pub fn parse_server(line: &str) -> Option<(String, String)> {
    let mut addresses = line.strip_prefix(SERVER_FIRST_LINE)?.split_whitespace();
    let http = addresses.find_map(|word| word.strip_prefix("http://"))?;
    let mqtt = addresses.find_map(|word| word.strip_prefix("mqtt://"))?;
    Some((http.trim_end_matches('/').to_owned(), mqtt.trim_end_matches('/').to_owned()))
}

/// Where the control plane listens, each as `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// For people and programs of this machine, plain HTTP.
    pub local: String,
    /// HTTPS.
    pub http: String,
    /// MQTT over TLS.
    pub mqtt: String,
    /// zenoh over TLS.
    pub zenoh: String,
}

impl Doors {
    /// Reads the server's first line.
    pub fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(SERVER_FIRST_LINE)?;
        let door = |scheme: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(scheme)).map(str::to_owned);
        Some(Self { local: door("http://")?, http: door("https://")?, mqtt: door("mqtts://")?, zenoh: door("zenoh://")? })
    }
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
        let uplink = Uplink { mqtt: "127.0.0.1:1".into(), http: "127.0.0.1:2".into(), zenoh: "127.0.0.1:3".into() };
        let doors = Doors { local: "127.0.0.1:4".into(), http: "127.0.0.1:5".into(), mqtt: "a:1".into(), zenoh: "b:2".into() };
        let inference = words(&launch.inference_node("robot-1"));
        assert_eq!(
            inference,
            "--ros-args -r __ns:=/robot_1 -r ~/image:=camera/image -p queue_policy:=all -p qos_overrides./robot_1/camera/image.subscription.reliability:=reliable -p drift_window_frames:=100 -p onnxruntime:=/ort.so"
        );
        let bridge = words(&launch.enrolled_bridge_node("robot-1", Path::new("/data/b"), Path::new("/data/identity"), &uplink, "zenoh"));
        assert!(bridge.contains("-p identity_dir:=/data/identity -p uplinks:=[zenoh] -p mqtt:=127.0.0.1:1 -p http:=https://127.0.0.1:2"));
        assert!(words(&launch.sim_robot("robot-1", 1, &doors)).contains("-p rate_hz:=20.0 "));
        let enroll = words(&launch.enroll("robot-1", Path::new("/data/token"), &doors, Path::new("/data/identity")));
        assert_eq!(enroll, "enroll --token /data/token --server https://127.0.0.1:5 --out /data/identity");
        for server in [launch.server(Path::new("/data/s"), 5000, "s3cret"), launch.secure_server(Path::new("/data/s"), 5000, "s3cret")] {
            assert!(!words(&server).contains("s3cret"));
            assert_eq!(server.env, [("EDGEFLOW_ADMIN_TOKEN", OsString::from("s3cret"))]);
        }
    }

    #[test]
    fn first_lines_are_read_and_others_are_not() {
        let line = "edgeflow-server listening on https://127.0.0.1:1 mqtts://127.0.0.1:2 zenoh://127.0.0.1:3 http://127.0.0.1:5000";
        let doors = Doors::parse(line).unwrap();
        let addresses = [doors.local, doors.http, doors.mqtt, doors.zenoh];
        assert_eq!(addresses, ["127.0.0.1:5000", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        let plain = "edgeflow-server listening on http://127.0.0.1:5000 mqtt://127.0.0.1:41883";
        assert_eq!(Doors::parse(plain), None);
        assert_eq!(parse_server(plain), Some(("127.0.0.1:5000".to_owned(), "127.0.0.1:41883".to_owned())));
        assert_eq!(parse_server(line), None, "no door for robots without TLS");
        let uplink = Uplink::parse("sim_robot uplink mqtt=127.0.0.1:1 http=127.0.0.1:2 zenoh=127.0.0.1:3").unwrap();
        assert_eq!([uplink.mqtt, uplink.http, uplink.zenoh], ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        assert_eq!(Uplink::parse("sim_robot uplink mqtt=127.0.0.1:1 http=127.0.0.1:2"), None);
    }
}

//! The node's parameters, read once and checked whole before anything starts.

use edgeflow_policy::Thresholds;
use edgeflow_ros::Node;
use edgeflow_wire::Topics;
use std::{
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Allowed, BridgeError, LiveRules, Result, Secure, uplinks::UPLINKS};

/// A secret that does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Reads it from a file, without surrounding white space.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(BridgeError::file("read the token file", path))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(parameter("token_file", format!("{} is empty: put this robot's token there", path.display())));
        }
        Ok(Self::new(text))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How one bridge is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name in the control plane.
    pub robot: String,
    /// Folder of the edge log, the desired state and the bundles.
    pub data_dir: PathBuf,
    /// Names of the uplinks, the most preferred one first.
    pub uplinks: Vec<String>,
    /// `host:port` of the MQTT broker.
    pub mqtt: String,
    /// Where artifacts are fetched and the HTTP uplink leads, for instance `http://127.0.0.1:5000`, without a slash at the end.
    pub http: String,
    /// `host:port` of the control plane's zenoh router.
    pub zenoh: String,
    /// Most kilobits per second that are sent upwards; 0: no cap.
    pub bandwidth_kbps: u32,
    /// The robot's token; empty when it has a certificate.
    pub token: Secret,
    /// Who the robot is and its ways through TLS, when it enrolled.
    pub secure: Option<Secure>,
    /// Name of the inference node whose topics and services are used, relative to the namespace or absolute.
    pub inference_node: String,
    /// File that declares the slots beside the inference node's; none when empty.
    pub slots_file: PathBuf,
    /// Topic of the battery's state; none when empty.
    pub battery_topic: String,
    /// Period of inference summaries.
    pub summary_period: Duration,
    /// For how long drift windows are summed up while nothing changes.
    pub drift_period: Duration,
    /// What the edge log keeps.
    pub log: edgeflow_edge_log::Options,
    /// What commands of the control plane may reach.
    pub allowed: Allowed,
    /// Topics that may be captured.
    pub capture_topics: Vec<String>,
    /// Most megabytes of messages that captures keep in memory.
    pub capture_memory_mb: u32,
    /// Most megabytes of captures that wait to be uploaded.
    pub capture_budget_mb: u64,
    /// What may be forwarded live.
    pub live: LiveRules,
    /// When the host is short of something.
    pub survival: Thresholds,
    /// Unix socket of the local API; `bridge.sock` in the data folder when empty.
    pub local_socket: PathBuf,
    /// Port of the local API on 127.0.0.1, if any.
    pub local_http_port: Option<u16>,
}

impl Config {
    /// Declares the node's parameters and checks their values.
    ///
    /// # Errors
    /// Names the parameter and what to do about it.
    pub fn declare(node: &Node) -> Result<Self> {
        let text = |name: &'static str, default: &str, description: &str| {
            node.declare_parameter(name, default.to_owned(), description).map_err(BridgeError::ros("declare a parameter"))
        };
        let robot = text("robot", "", "Name of this robot in the control plane: lower-case letters, digits, dashes.")?;
        let data_dir = text(
            "data_dir",
            "",
            "Folder for the edge log, the desired state and the bundles. It must survive a restart, and one bridge owns it.",
        )?;
        let uplinks = node
            .parameter("uplinks", vec!["mqtt".to_owned(), "http".to_owned()])
            .description("Ways to the control plane, the most preferred one first. The next is used while one does not answer.")
            .constraints("mqtt, zenoh, http; each at most once; zenoh wants identity_dir")
            .validate(|names| check_uplinks(names))
            .read_only()
            .map_err(BridgeError::ros("declare a parameter"))?;
        let bandwidth_kbps = node
            .parameter("bandwidth_kbps", 0_i64)
            .description(
                "Most kilobits per second that are sent to the control plane, critical entries first; downloads do not count. 0: no cap.",
            )
            .range(0..=i64::from(u32::MAX))
            .read_only()
            .map_err(BridgeError::ros("declare a parameter"))?;
        let mqtt = text("mqtt", "127.0.0.1:1883", "host:port of the control plane's MQTT broker; without identity_dir on loopback only.")?;
        let http = text(
            "http",
            "http://127.0.0.1:5000",
            "Address of the control plane, for artifacts and the HTTP uplink: https:// with identity_dir, else http:// on loopback.",
        )?;
        let zenoh = text("zenoh", "127.0.0.1:7448", "host:port of the control plane's zenoh router.")?;
        let identity_dir = text("identity_dir", "", "Folder that `edgeflow enroll` made: everything goes over TLS with its certificate.")?;
        let token_file =
            text("token_file", "", "File with the robot's token, on a machine of its own without identity_dir; never an argument itself.")?;
        let inference_node =
            text("inference_node", "inference_node", "Inference node whose topics and services are used, relative or absolute.")?;
        let slots_file =
            text("slots_file", "", "File that declares slots for maps, packages and configuration, and what applies them. Empty: none.")?;
        let battery_topic = text(
            "battery_topic",
            "battery_state",
            "Topic of sensor_msgs/BatteryState that says whether the robot is charging. Empty: that is not told.",
        )?;
        let period_s = node
            .parameter("summary_period_s", 5.0)
            .description("Seconds between two inference summaries.")
            .range(0.1..=86_400.0)
            .read_only()
            .map_err(BridgeError::ros("declare a parameter"))?;
        let drift_period_s = node
            .parameter("drift_period_s", 60.0)
            .description("Seconds for which drift windows are summed up while no verdict changes. 0: each is an entry.")
            .range(0.0..=86_400.0)
            .read_only()
            .map_err(BridgeError::ros("declare a parameter"))?;
        let budget_mb = node
            .parameter("log_budget_mb", 256_i64)
            .description("Most megabytes of entries the edge log keeps.")
            .range(1..=1_048_576)
            .read_only()
            .map_err(BridgeError::ros("declare a parameter"))?;
        let max_age_h = node
            .parameter("log_max_age_h", 72.0)
            .description("Hours after which summaries and details that the control plane has not taken are given up. 0: never.")
            .range(0.0..=8_784.0)
            .read_only()
            .map_err(BridgeError::ros("declare a parameter"))?;
        let names = |name: &'static str, description: &str| {
            let parameter = node.parameter(name, vec![String::new()]).description(description);
            let listed = parameter.read_only().map_err(BridgeError::ros("declare a parameter"))?;
            Ok::<_, BridgeError>(listed.into_iter().filter(|pattern| !pattern.is_empty()).collect())
        };
        let allowed = Allowed {
            services: names(
                "command_services",
                "Services that the control plane may have called; * within a part of a name, ** over parts.",
            )?,
            topics: names("command_topics", "Topics that the control plane may have published on, written in the same way.")?,
        };
        let capture_topics = names("capture_topics", "Topics that a telemetry policy may have captured, written in the same way.")?;
        let capture_mb = |name: &'static str, default: i64, description: &str| {
            let parameter = node.parameter(name, default).description(description).range(1..=1_048_576);
            parameter.read_only().map(i64::unsigned_abs).map_err(BridgeError::ros("declare a parameter"))
        };
        let capture_memory_mb =
            capture_mb("capture_memory_mb", 64, "Most megabytes of messages that a policy may have kept in memory for captures.")?;
        let capture_budget_mb =
            capture_mb("capture_budget_mb", 256, "Most megabytes of captures that wait in data_dir to be uploaded; the oldest make room.")?;
        let live = LiveRules {
            from_robot: names("live_from_robot", "Topics whose messages operators may have forwarded to them, written in the same way.")?,
            to_robot: names("live_to_robot", "Topics on which operators may publish live, written in the same way.")?,
            max_kbps: node
                .parameter("live_max_kbps", 4_000_i64)
                .description("Most kilobits per second that live sessions have together, in each direction.")
                .range(1..=1_000_000)
                .read_only()
                .map(|kbps| u32::try_from(kbps).unwrap_or(u32::MAX))
                .map_err(BridgeError::ros("declare a parameter"))?,
        };
        let survival = survival(node)?;
        let local_socket = text("local_socket", "", "Unix socket of the local API. Empty: bridge.sock in data_dir.")?;
        let local_http_port = node
            .parameter("local_http_port", 0_i64)
            .description("Port of the local API on 127.0.0.1, for whoever cannot use the socket. 0: none.")
            .range(0..=65_535)
            .read_only()
            .map_err(BridgeError::ros("declare a parameter"))?;
        node.check_unknown_parameters().map_err(BridgeError::ros("read the parameters"))?;

        let http = http.trim_end_matches('/').to_owned();
        let (token, secure) = match (identity_dir.is_empty(), token_file.is_empty()) {
            (false, true) => (Secret::new(""), Some(Secure::open(Path::new(&identity_dir), &mqtt, &http)?)),
            (true, false) => (Secret::read(Path::new(&token_file))?, None),
            (false, false) => return Err(parameter("token_file", "is set beside identity_dir: a robot with a certificate needs no token")),
            (true, true) => {
                return Err(parameter("identity_dir", "is not set, and token_file neither: enrol the robot with `edgeflow enroll`"));
            }
        };
        let enrolled = secure.as_ref().map(|secure| secure.identity.robot().to_owned());
        let robot = if robot.is_empty() { enrolled.unwrap_or_default() } else { robot };
        let config = Self {
            robot,
            data_dir: data_dir.into(),
            uplinks,
            mqtt,
            http,
            zenoh,
            token,
            secure,
            inference_node,
            slots_file: slots_file.into(),
            battery_topic,
            summary_period: Duration::from_secs_f64(period_s),
            drift_period: Duration::from_secs_f64(drift_period_s),
            bandwidth_kbps: u32::try_from(bandwidth_kbps).unwrap_or_default(),
            log: log_options(budget_mb.unsigned_abs(), max_age_h),
            allowed,
            capture_topics,
            capture_memory_mb: u32::try_from(capture_memory_mb).unwrap_or(u32::MAX),
            capture_budget_mb,
            live,
            survival,
            local_socket: local_socket.into(),
            local_http_port: u16::try_from(local_http_port).ok().filter(|port| *port != 0),
        };
        config.check()?;
        Ok(config)
    }

    /// Where the local API's socket is.
    pub fn local_socket(&self) -> PathBuf {
        if self.local_socket.as_os_str().is_empty() { self.data_dir.join("bridge.sock") } else { self.local_socket.clone() }
    }

    /// Checks the values that have a form of their own.
    ///
    /// # Errors
    /// Names the parameter and what to do about it.
    pub fn check(&self) -> Result<()> {
        Topics::new(&self.robot).map_err(|error| parameter("robot", error.to_string()))?;
        if self.data_dir.as_os_str().is_empty() {
            return Err(parameter("data_dir", "is not set: name a folder that survives a restart"));
        }
        if self.inference_node.is_empty() {
            return Err(parameter("inference_node", "is empty: name the inference node"));
        }
        check_uplinks(&self.uplinks).map_err(|reason| parameter("uplinks", reason))?;
        if self.secure.is_none() && self.uplinks.iter().any(|name| name == "zenoh") {
            return Err(parameter("uplinks", "names zenoh, which takes certificates only: enrol the robot and set identity_dir"));
        }
        match &self.secure {
            Some(secure) if secure.identity.robot() != self.robot => {
                Err(parameter("robot", format!("is {:?}, but the certificate is that of {:?}", self.robot, secure.identity.robot())))
            }
            Some(_) => Ok(()),
            None => check_http(&self.http),
        }
    }
}

fn check_uplinks(names: &[String]) -> std::result::Result<(), String> {
    if names.is_empty() {
        return Err("is empty: name at least one of mqtt, zenoh, http".to_owned());
    }
    for (at, name) in names.iter().enumerate() {
        if !UPLINKS.contains(&name.as_str()) {
            return Err(format!("{name:?} is no uplink: there are mqtt, zenoh and http"));
        }
        if names.get(..at).is_some_and(|before| before.contains(name)) {
            return Err(format!("{name} is named twice"));
        }
    }
    Ok(())
}

fn survival(node: &Node) -> Result<Thresholds> {
    let declare = BridgeError::ros;
    let cpu_percent = node
        .parameter("survival_cpu_percent", 0.0)
        .description("The processors are busier than this for ten seconds: entries of class detail are given up, then summary. 0: never.")
        .range(0.0..=100.0)
        .read_only()
        .map_err(declare("declare a parameter"))?;
    let megabytes = |name: &'static str, default: i64, description: &str| {
        let parameter = node.parameter(name, default).description(description).range(0..=1_048_576);
        parameter.read_only().map(i64::unsigned_abs).map_err(declare("declare a parameter"))
    };
    let memory_mb = megabytes("survival_memory_mb", 32, "The same when less memory than this is left, megabytes. 0: never.")?;
    let disk_mb = megabytes("survival_disk_mb", 64, "The same when data_dir has less room than this, megabytes. 0: never.")?;
    Ok(Thresholds { cpu_percent, memory_mb, disk_mb })
}

fn log_options(budget_mib: u64, max_age_h: f64) -> edgeflow_edge_log::Options {
    let max_age = (max_age_h > 0.0).then(|| Duration::from_secs_f64(max_age_h * 3_600.0));
    edgeflow_edge_log::Options { budget_bytes: budget_mib * 1024 * 1024, max_age: [None, None, max_age, max_age] }
}

/// Only this machine: without an identity the token crosses the connection in the clear.
fn check_http(http: &str) -> Result<()> {
    let malformed = || parameter("http", format!("{http:?} is not an address: use http://host:port, for instance http://127.0.0.1:5000"));
    let authority = http.strip_prefix("http://").ok_or_else(malformed)?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some((_, port)) if !port.ends_with(']') => return Err(malformed()),
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        Ok(())
    } else {
        Err(parameter("http", format!("{http} is not on this machine: without identity_dir only loopback is allowed")))
    }
}

fn parameter(name: &'static str, reason: impl Into<String>) -> BridgeError {
    BridgeError::Parameter { name, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            robot: "robot-1".into(),
            data_dir: "/data".into(),
            uplinks: vec!["mqtt".into(), "http".into()],
            mqtt: "127.0.0.1:1883".into(),
            http: "http://127.0.0.1:5000".into(),
            zenoh: "127.0.0.1:7448".into(),
            token: Secret::new("hunter2"),
            secure: None,
            inference_node: "inference_node".into(),
            slots_file: PathBuf::new(),
            battery_topic: String::new(),
            summary_period: Duration::from_secs(5),
            drift_period: Duration::from_secs(60),
            bandwidth_kbps: 0,
            log: edgeflow_edge_log::Options::default(),
            allowed: Allowed::default(),
            capture_topics: Vec::new(),
            capture_memory_mb: 64,
            capture_budget_mb: 256,
            live: LiveRules::default(),
            survival: Thresholds::default(),
            local_socket: PathBuf::new(),
            local_http_port: None,
        }
    }

    #[test]
    fn each_bad_value_is_refused_with_its_parameter() {
        config().check().unwrap();
        let bad = [
            ("robot", Config { robot: "Robot/1".into(), ..config() }),
            ("data_dir", Config { data_dir: "".into(), ..config() }),
            ("inference_node", Config { inference_node: String::new(), ..config() }),
            ("uplinks", Config { uplinks: Vec::new(), ..config() }),
            ("uplinks", Config { uplinks: vec!["pigeon".into()], ..config() }),
            ("uplinks", Config { uplinks: vec!["mqtt".into(), "zenoh".into()], ..config() }),
            ("uplinks", Config { uplinks: vec!["http".into(), "http".into()], ..config() }),
            ("http", Config { http: "http://10.1.2.3:5000".into(), ..config() }),
            ("http", Config { http: "https://127.0.0.1:5000".into(), ..config() }),
            ("http", Config { http: "http://127.0.0.1:port".into(), ..config() }),
            ("http", Config { http: "http://127.0.0.1.example:80".into(), ..config() }),
        ];
        for (name, config) in bad {
            let message = config.check().unwrap_err().to_string();
            assert!(message.starts_with(&format!("parameter {name}:")), "{message}");
        }
        for http in ["http://localhost:1", "http://[::1]:5000", "http://127.0.0.1"] {
            Config { http: http.into(), ..config() }.check().unwrap();
        }
    }

    #[test]
    fn the_token_is_read_without_white_space_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, " hunter2\n").unwrap();
        let token = Secret::read(&path).unwrap();
        assert_eq!(token.expose(), "hunter2");
        assert!(!format!("{:?}", config()).contains("hunter2"));
        fs::write(&path, "\n").unwrap();
        assert!(Secret::read(&path).unwrap_err().to_string().contains("token_file"));
        assert!(Secret::read(&dir.path().join("missing")).unwrap_err().to_string().contains("missing"));
    }
}

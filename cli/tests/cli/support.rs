//! A router and a robot in this process, and the program beside it.

use edgeflow_ros::{Context, Node, QosProfile, builtin_interfaces, edgeflow_msgs, router::Router, sensor_msgs, std_msgs};
use futures::StreamExt;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// Nothing in these tests takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Standard output of a run that succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Standard error of a run that failed with status 1 and printed nothing else.
    pub(crate) fn failed(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{self:?}");
        assert!(self.err.starts_with("edgeflow: ") && self.err.trim_end().lines().count() == 1, "{self:?}");
        self.err
    }
}

/// The program with a clean environment.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgeflow"));
    for name in [
        "AMENT_PREFIX_PATH",
        "EDGEFLOW_ROS_ROUTER",
        "EDGEFLOW_URL",
        "EDGEFLOW_TOKEN",
        "EDGEFLOW_CA",
        "EDGEFLOW_OUTPUT",
        "ORT_DYLIB_PATH",
        "ROS_DISTRO",
        "RMW_IMPLEMENTATION",
        "RUST_LOG",
        "ROS_DOMAIN_ID",
        "ZENOH_CONFIG_OVERRIDE",
        "ZENOH_SESSION_CONFIG_URI",
    ] {
        command.env_remove(name);
    }
    // Nobody is logged in.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Ran {
    let output = timeout(PATIENCE, command.output()).await.expect("the program did not end").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A program that runs until it is told to stop.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.next_line()).await.expect("no further line").unwrap().expect("the program ended")
    }

    /// Presses Ctrl-C and gives the exit status.
    pub(crate) async fn interrupt(mut self) -> Option<i32> {
        self.press_ctrl_c().await;
        self.ended().await
    }

    pub(crate) async fn press_ctrl_c(&mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    }

    /// Waits for the exit status.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("the program did not stop").unwrap().code()
    }
}

/// A graph with a robot: a camera, a latched status, an inference service that answers with what it was asked.
pub(crate) struct Graph {
    router: Router,
    pub(crate) node: Node,
}

impl Graph {
    pub(crate) fn start() -> Self {
        let router = Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let context = Context::builder().router(router.addr()).build().unwrap();
        let node = Node::create(&context, "inference_node", "/robot_1").unwrap();
        Self { router, node }
    }

    /// The program, told where the router is.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("EDGEFLOW_ROS_ROUTER", self.router.addr().to_string());
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        run(self.program(arguments)).await
    }

    /// Publishes frames of 4 x 3 until the test ends.
    pub(crate) fn stream_camera(&self) {
        let publisher = self.node.create_publisher::<sensor_msgs::msg::Image>("camera/image", QosProfile::default()).unwrap();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                publisher.publish(&frame()).unwrap();
            }
        });
    }

    /// Answers with the encoding as label and the number of bytes as class.
    pub(crate) fn serve_infer(&self) {
        let mut requests = self.node.create_service::<edgeflow_msgs::srv::Infer::Service>("~/infer").unwrap();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let image = &request.message.image;
                let result = edgeflow_msgs::msg::InferenceResult {
                    header: image.header.clone(),
                    label: image.encoding.clone(),
                    class_id: i32::try_from(image.data.len()).unwrap(),
                    score: f32::NAN,
                    scores: vec![0.1, 0.9],
                    ..Default::default()
                };
                let message = format!("inputs {}", request.message.inputs.len());
                let response = edgeflow_msgs::srv::Infer::Response { success: true, message, result, ..Default::default() };
                request.respond(response).unwrap();
            }
        });
    }
}

pub(crate) fn frame() -> sensor_msgs::msg::Image {
    sensor_msgs::msg::Image {
        header: std_msgs::msg::Header { stamp: builtin_interfaces::msg::Time { sec: 7, nanosec: 8 }, frame_id: "camera".to_owned() },
        height: 3,
        width: 4,
        encoding: "mono8".to_owned(),
        step: 4,
        data: (0..12).collect(),
        ..Default::default()
    }
}

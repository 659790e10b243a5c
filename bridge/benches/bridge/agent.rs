//! What `bridge_node` takes of its robot: memory, processor time, and room for three days without a link.

use edgeflow_bridge::DriftRecorder;
use edgeflow_edge_log::{EdgeLog, NewEntry, Options};
use edgeflow_policy::Numbers;
use edgeflow_ros::{
    Context, Node, Publisher, QosProfile, Queue, Subscription,
    edgeflow_msgs::msg::{DriftFeature, DriftReport, UplinkStatus},
    nav_msgs::msg::Odometry,
    router,
};
use edgeflow_wire::{Class, EntryBody, FieldWindow, InferenceSummaryBody, TopicWindowBody};
use futures::StreamExt;
use serde_json::json;
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::control_plane::{ControlPlane, beside, resident_mib};

pub(crate) const TOPICS: usize = 50;
const RATE_HZ: u64 = 10;
/// What is measured: a whole window of the policy lies in it.
const MEASURED: Duration = Duration::from_secs(65);
const FIELDS: [&str; 4] = ["pose.pose.position.x", "pose.pose.position.y", "twist.twist.linear.x", "twist.twist.angular.z"];
const HOURS: u64 = 72;

/// Resident memory (MiB) and processor time (percent of one core) of a bridge that sums up 50 topics at 10 Hz each minute, its
/// link up.
pub(crate) async fn memory_and_processor() -> (f64, f64) {
    let plane = ControlPlane::start().await;
    let token = plane.enrol("robot-1").await;
    plane
        .put(
            "/targets/robot-1/policy",
            &json!({ "routes": [
        { "name": "motion", "allow": ["bench/**"], "fields": FIELDS, "window": { "period_s": 60 } }
    ] }),
        )
        .await;
    let ros = router::Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
    let context = Context::builder().arguments(Vec::new()).router(ros.addr()).build().unwrap();
    let node = Node::create(&context, "robot", "/robot_1").unwrap();
    let topics: Vec<Publisher<Odometry>> = (0..TOPICS)
        .map(|n| node.create_publisher(&format!("bench/odom_{n}"), QosProfile::default().keep_last(10).reliable()).unwrap())
        .collect();

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), token).unwrap();
    let bridge = Bridge::start(&plane, dir.path().to_owned(), &ros);
    let latched = QosProfile::default().keep_last(1).reliable().transient_local();
    let mut statuses = node.subscribe::<UplinkStatus>("bridge_node/status", latched, Queue::latest()).unwrap();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / RATE_HZ));
        let mut message = Odometry::default();
        loop {
            ticks.tick().await;
            message.pose.pose.position.x += 0.1;
            for topic in &topics {
                topic.publish(&message).unwrap();
            }
        }
    });
    until(&mut statuses, |status| {
        let received = status.routes.iter().filter(|route| route.received > RATE_HZ).count();
        status.connected && received == TOPICS
    })
    .await;
    let (began, before) = (Instant::now(), bridge.processor_s());
    tokio::time::sleep(MEASURED).await;
    let percent = (bridge.processor_s() - before) / began.elapsed().as_secs_f64() * 100.0;
    // Nothing was lost on the way, or the figures would be of less than was asked.
    until(&mut statuses, |status| status.routes.iter().all(|route| route.forwarded > 0 && route.dropped == 0)).await;
    (resident_mib(bridge.0.id()), percent)
}

async fn until(statuses: &mut Subscription<UplinkStatus>, wanted: impl Fn(&UplinkStatus) -> bool) {
    let found = async {
        while let Some(status) = statuses.next().await {
            if wanted(&status) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(90), found).await.expect("the bridge does not report every topic");
}

struct Bridge(Child);

impl Bridge {
    fn start(plane: &ControlPlane, dir: PathBuf, ros: &router::Router) -> Self {
        let mut command = Command::new(beside("bridge_node"));
        command.args(["--ros-args", "-r", "__ns:=/robot_1", "-p", "robot:=robot-1"]);
        for (name, value) in [
            ("data_dir", dir.join("data").display().to_string()),
            ("token_file", dir.join("token").display().to_string()),
            ("mqtt", plane.mqtt.clone()),
            ("http", plane.http.clone()),
        ] {
            command.args(["-p", &format!("{name}:={value}")]);
        }
        std::fs::create_dir_all(dir.join("data")).unwrap();
        command.env(router::ENVIRONMENT, ros.addr().to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Processor time so far, of user and system, seconds.
    fn processor_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        let ticks: f64 = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        ticks / 100.0 // USER_HZ, on every Linux
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Room on the disk for three days without a link, MB: inference each 5 s, drift (a window each 10 s) as it is summed up by
/// default, and besides what a policy wants of so many topics each minute; the default policy wants of none. Time is compressed:
/// entries are stamped, not waited for.
pub(crate) fn log_72h_mb(topics: usize) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { budget_bytes: 1 << 30, ..Options::default() };
    let (mut log, _) = EdgeLog::open(dir.path(), options).unwrap();
    let clock = Instant::now();
    let mut drift = DriftRecorder::new(Duration::from_secs(60));
    let mut noise = Noise(1);
    for minute in 0..HOURS * 60 {
        let mut entries = Vec::new();
        let mut add = |second: u64, body: EntryBody| {
            let t_us = 1_700_000_000_000_000 + ((minute * 60 + second) * 1_000_000) as i64;
            entries.push(NewEntry { class: Class::Summary, t_us, boot_us: t_us - 1_699_999_000_000_000, content: body.into() });
        };
        for second in (0..60).step_by(5) {
            add(second, inference(&mut noise));
        }
        for second in (0..60).step_by(10) {
            let report = window(minute * 6 + second / 10, &mut noise);
            for (_, body) in drift.add(&report, clock + Duration::from_secs(minute * 60 + second)) {
                add(second, EntryBody::DriftReport(body));
            }
        }
        for topic in 0..topics {
            add(59, topic_window(topic, minute, &mut noise));
        }
        log.append_all(&entries).unwrap();
    }
    drop(log);
    let files = std::fs::read_dir(dir.path()).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>() as f64 / 1e6
}

/// Numbers with all their digits, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn inference(noise: &mut Noise) -> EntryBody {
    EntryBody::InferenceSummary(InferenceSummaryBody {
        period_us: 5_000_123,
        results: 150,
        rate_hz: 30.0 - noise.next(),
        latency_p50_us: 5_000 + (noise.next() * 100.0) as u32,
        latency_p95_us: 6_000 + (noise.next() * 100.0) as u32,
        mean_score: noise.next(),
        digest: format!("sha256:{:064x}", 0xabcd),
        failed: None,
    })
}

/// What the inference node reports of an image classifier: light, contrast, sharpness, three colours, class and confidence.
fn window(number: u64, noise: &mut Noise) -> DriftReport {
    let names = ["brightness", "contrast", "sharpness", "red", "green", "blue", "output.class", "output.confidence"];
    let features = names.map(|name| {
        let mut of = || noise.next();
        DriftFeature {
            name: name.into(),
            subject: "input".into(),
            baseline: "bundle".into(),
            n: 300,
            n_effective: 60.0 + of(),
            mean: of(),
            baseline_mean: 0.512_345_678,
            std: of(),
            baseline_std: 0.212_345_678,
            mean_shift: of(),
            std_ratio: of(),
            location: of(),
            location_threshold: of(),
            spread: of(),
            spread_threshold: of(),
            outside: of(),
            outside_threshold: of(),
            psi: of(),
            psi_threshold: of(),
            ks: of(),
            ks_threshold: of(),
            chi_square: of(),
            chi_square_threshold: of(),
            kl: of(),
            js: of(),
            wasserstein: of(),
            p_value: of(),
            p_threshold: of(),
            strongest: "location".into(),
            edges: (1..20).map(|edge| f64::from(edge) / 20.3).collect(),
            counts: (0..20).map(|_| 15).collect(),
            ..DriftFeature::default()
        }
    });
    DriftReport {
        model_name: "label-reader".into(),
        model_version: "3".into(),
        model_digest: format!("sha256:{:064x}", 0xabcd),
        baseline: "bundle".into(),
        window: number + 1,
        duration_s: 10.0,
        features: features.into(),
        ..DriftReport::default()
    }
}

fn topic_window(topic: usize, minute: u64, noise: &mut Noise) -> EntryBody {
    let field = |noise: &mut Noise| {
        let mut numbers = Numbers::default();
        (0..20).for_each(|_| numbers.add(noise.next() * 100.0));
        FieldWindow::Number(numbers.window())
    };
    EntryBody::TopicWindow(TopicWindowBody {
        route: "motion".into(),
        topic: format!("/robot_1/bench/odom_{topic}"),
        policy: 3,
        start_us: 1_700_000_000_000_000 + (minute * 60_000_000) as i64,
        end_us: 1_700_000_000_000_000 + ((minute + 1) * 60_000_000) as i64,
        messages: 600,
        fields: FIELDS.iter().map(|path| ((*path).to_owned(), field(noise))).collect(),
    })
}

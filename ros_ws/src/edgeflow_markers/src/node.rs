//! The node: reports and positions in, markers and diagnostics out.

use std::time::Duration;

use edgeflow_ros::diagnostic_msgs::msg::DiagnosticArray;
use edgeflow_ros::edgeflow_msgs::msg::DriftReport;
use edgeflow_ros::geometry_msgs::msg::PoseStamped;
use edgeflow_ros::nav_msgs::msg::Odometry;
use edgeflow_ros::std_msgs::msg::Header;
use edgeflow_ros::visualization_msgs::msg::MarkerArray;
use edgeflow_ros::{Context, Node, Publisher, QosProfile, Queue, Result, Subscription};
use futures::StreamExt;
use tokio::time::{MissedTickBehavior, interval};

use crate::diagnostics::Diagnostics;
use crate::scene::Scene;
pub use crate::settings::USAGE;
use crate::track::{Source, Track};
use crate::{Settings, nanoseconds};

/// Name of the node before remaps.
pub const NODE_NAME: &str = "drift_markers_node";

/// As `diagnostic_updater` does it.
const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);

/// A drift markers node, ready to run.
pub struct DriftMarkers {
    node: Node,
    settings: Settings,
    scene: Scene,
    track: Track,
    diagnostics: Diagnostics,
    reports: Subscription<DriftReport>,
    odometry: Subscription<Odometry>,
    poses: Subscription<PoseStamped>,
    markers: Publisher<MarkerArray>,
    diagnosed: Publisher<DiagnosticArray>,
    windows_seen: u64,
    poses_seen: u64,
    told_nowhere: bool,
}

impl DriftMarkers {
    /// Joins the graph.
    ///
    /// # Errors
    /// A parameter that does not exist or makes no sense, or a stack that refuses.
    pub fn start(context: &Context) -> Result<Self> {
        let node = Node::create(context, NODE_NAME, "")?;
        let settings = Settings::declare(&node)?;
        // Best effort meets every publisher of poses, and of those the newest are enough.
        let poses = || (QosProfile::sensor_data().keep_last(50), Queue::Latest { depth: 1000 });
        let latched = QosProfile::default().keep_last(1).transient_local();
        Ok(Self {
            scene: Scene::new(settings.style()),
            track: settings.track(),
            diagnostics: Diagnostics::new(node.fully_qualified_name()),
            reports: node.subscribe("drift", QosProfile::default().keep_last(100), Queue::all())?,
            odometry: node.subscribe("odom", poses().0, poses().1)?,
            poses: node.subscribe("pose", poses().0, poses().1)?,
            markers: node.create_publisher("~/markers", latched)?,
            diagnosed: node.create_publisher("/diagnostics", QosProfile::default())?,
            windows_seen: 0,
            poses_seen: 0,
            told_nowhere: false,
            settings,
            node,
        })
    }

    /// The node in the graph.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Runs until the ROS context is shut down.
    pub async fn run(mut self) {
        let mut tick = interval(DIAGNOSTICS_PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A report that has come waits for the poses that came before it.
                biased;
                odometry = self.odometry.next() => match odometry {
                    Some(Odometry { header, pose, .. }) => self.place(Source::Odometry, &header, &pose.pose),
                    None => return,
                },
                pose = self.poses.next() => match pose {
                    Some(PoseStamped { header, pose }) => self.place(Source::Pose, &header, &pose),
                    None => return,
                },
                report = self.reports.next() => match report {
                    Some(report) => self.show(&report),
                    None => return,
                },
                _ = tick.tick() => self.tick(),
            }
        }
    }

    fn place(&mut self, source: Source, header: &Header, pose: &edgeflow_ros::geometry_msgs::msg::Pose) {
        let at = &pose.position;
        if self.track.push(source, header, [at.x, at.y, at.z]) {
            self.poses_seen += 1;
        }
    }

    fn show(&mut self, report: &DriftReport) {
        self.windows_seen += 1;
        let now_ns = nanoseconds(&self.node.now());
        match self.scene.add(report, &self.track, now_ns) {
            Ok(severity) => {
                self.diagnostics.note(report, &severity, self.windows_seen);
                self.scene.expire(now_ns);
                self.publish(now_ns);
            }
            // Said once: the next report will most likely have the same to say.
            Err(nowhere) if !self.told_nowhere => {
                self.told_nowhere = true;
                tracing::warn!(topic = self.reports.topic(), "{nowhere}");
            }
            Err(_) => {}
        }
    }

    fn tick(&mut self) {
        let now = self.node.now();
        let restyled = self.scene.restyle(self.settings.style());
        if self.scene.expire(nanoseconds(&now)) || restyled {
            self.publish(nanoseconds(&now));
        }
        let message = self.diagnostics.message(Header { stamp: now, frame_id: String::new() }, self.poses_seen);
        if let Err(error) = self.diagnosed.publish(&message) {
            tracing::warn!(%error, "diagnostics not published");
        }
    }

    fn publish(&self, now_ns: i64) {
        if let Err(error) = self.markers.publish(&self.scene.markers(now_ns)) {
            tracing::warn!(%error, "markers not published");
        }
    }
}

//! The simulated part of a robot: a camera, missions, ground truth, and the uplink's switch.
//!
//! One task owns the camera, its counters and the scoreboard. Requests to the camera are served between two frames, so
//! an answer to a pause comes after the last frame was published, and a count in an answer is exact.

mod settings;
mod uplink;

pub use settings::Settings;
pub use uplink::Uplink;

use edgeflow_ros::builtin_interfaces::msg::Time;
use edgeflow_ros::edgeflow_msgs::msg::{Evaluation, GroundTruth, InferenceResult, MissionEvent};
use edgeflow_ros::edgeflow_msgs::srv::SetCamera;
use edgeflow_ros::geometry_msgs::msg::{Point, Pose, PoseWithCovariance, Quaternion, Twist, TwistWithCovariance, Vector3};
use edgeflow_ros::nav_msgs::msg::Odometry;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::std_msgs::msg::Header;
use edgeflow_ros::{Message, Node, Publisher, QosProfile, Queue, ServiceRequest, ServiceStream, Subscription};
use futures::StreamExt;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::SimError;
use crate::camera::Camera;
use crate::evaluation::{Judged, Scoreboard, Stamp};
use crate::mission::{self, Missions, Step};
use crate::render::{Effects, FRAME_SIZE};
use crate::route::{self, Place};

/// Images that may wait for a slow reader on the wire.
const IMAGE_DEPTH: usize = 50;

/// How often accuracy is published while results come.
const EVALUATION_PERIOD: Duration = Duration::from_secs(1);

/// Greatest blur that makes sense on a frame of this size, pixels.
const MAX_BLUR_PX: f32 = 16.0;

/// Greatest gain that leaves anything of a frame.
const MAX_EXPOSURE: f32 = 16.0;

const NANOSECONDS: i64 = 1_000_000_000;

/// A simulated robot, ready to run.
pub struct SimRobot {
    camera: Camera,
    streaming: bool,
    tick: Interval,
    last_stamp: Stamp,
    missions: Missions,
    /// Frames since the start, which is how far the robot has driven.
    driven: u64,
    frames_per_mission_step: u64,
    rate_hz: f64,
    board: Scoreboard,
    newest_joined: Stamp,
    /// Digests with samples that no evaluation has told yet.
    untold: BTreeSet<String>,
    images: Publisher<Image>,
    truths: Publisher<GroundTruth>,
    events: Publisher<MissionEvent>,
    odometry: Publisher<Odometry>,
    evaluations: Publisher<Evaluation>,
    results: Subscription<InferenceResult>,
    set_camera: ServiceStream<SetCamera::Service>,
}

impl SimRobot {
    /// A robot on this node that sees through this camera.
    pub fn new(node: &Node, settings: &Settings, camera: Camera) -> Result<Self, SimError> {
        let results =
            node.subscribe("inference_node/result", QosProfile::default().keep_last(1000).reliable(), Queue::All { depth: 1 << 16 });
        let mut tick = interval(settings.frame_period());
        // A late frame makes the next one late: a camera has no backlog.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            camera,
            streaming: settings.streaming,
            tick,
            last_stamp: 0,
            missions: Missions::new(settings.frames_per_mission_step),
            driven: 0,
            frames_per_mission_step: settings.frames_per_mission_step,
            rate_hz: settings.rate_hz,
            board: Scoreboard::default(),
            newest_joined: 0,
            untold: BTreeSet::new(),
            images: publisher(node, "camera/image", IMAGE_DEPTH)?,
            truths: publisher(node, "ground_truth", IMAGE_DEPTH)?,
            events: publisher(node, "mission", 100)?,
            odometry: publisher(node, "odom", IMAGE_DEPTH)?,
            evaluations: publisher(node, "evaluation", 10)?,
            results: results.map_err(|source| ros("subscribe to inference_node/result", source))?,
            set_camera: node.create_service("~/set_camera").map_err(|source| ros("serve set_camera", source))?,
        })
    }

    /// Runs until the ROS context is shut down or a frame cannot be published.
    pub async fn run(mut self) -> Result<(), SimError> {
        let mut evaluate = interval(EVALUATION_PERIOD);
        evaluate.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.tick.tick(), if self.streaming => self.frame()?,
                result = self.results.next() => match result {
                    Some(result) => self.join(&result),
                    None => return Ok(()),
                },
                request = self.set_camera.next() => match request {
                    Some(request) => self.answer(request)?,
                    None => return Ok(()),
                },
                _ = evaluate.tick() => self.evaluate()?,
            }
        }
    }

    /// Publishes what the camera sees, after the truth about it: whoever joins the two has the truth first.
    fn frame(&mut self) -> Result<(), SimError> {
        let stamp = self.next_stamp();
        let header = Header { stamp: time(stamp), frame_id: "camera".to_owned() };
        let here = route::place(self.driven, self.frames_per_mission_step);
        self.driven += 1;
        self.odometry.publish(&odometry(stamp, &here, self.rate_hz)).map_err(|source| ros("publish odometry", source))?;
        let frame = self.camera.look()?;
        let class_id = i32::from(frame.label);
        self.board.frame(stamp, class_id);
        let truth = GroundTruth { header: header.clone(), class_id, label: frame.label.to_string() };
        self.truths.publish(&truth).map_err(|source| ros("publish ground truth", source))?;
        let image = Image {
            header: header.clone(),
            height: FRAME_SIZE as u32,
            width: FRAME_SIZE as u32,
            encoding: "mono8".to_owned(),
            is_bigendian: 0,
            step: FRAME_SIZE as u32,
            data: frame.pixels,
        };
        self.images.publish(&image).map_err(|source| ros("publish an image", source))?;
        match self.missions.on_frame() {
            Some(event) => self.events.publish(&mission_event(header, &event)).map_err(|source| ros("publish a mission event", source)),
            None => Ok(()),
        }
    }

    /// Now, but later than every stamp before: stamps identify frames, whatever the clock does.
    fn next_stamp(&mut self) -> Stamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        // Whole microseconds, so that a stamp survives every format it crosses.
        self.last_stamp = (now / 1000 * 1000).max(self.last_stamp + 1000);
        self.last_stamp
    }

    fn join(&mut self, result: &InferenceResult) {
        let stamp = stamp(&result.header.stamp);
        let judged = Judged {
            stamp,
            model_name: &result.model_name,
            model_version: &result.model_version,
            model_digest: &result.model_digest,
            class_id: result.class_id,
        };
        if self.board.result(judged).is_some() {
            self.newest_joined = self.newest_joined.max(stamp);
            if !self.untold.contains(&result.model_digest) {
                self.untold.insert(result.model_digest.clone());
            }
        } else {
            tracing::warn!(stamp, digest = result.model_digest, "a result fits no frame that waits for one");
        }
    }

    fn evaluate(&mut self) -> Result<(), SimError> {
        for digest in std::mem::take(&mut self.untold) {
            let (Some(score), counters) = (self.board.score(&digest), self.board.counters()) else { continue };
            let evaluation = Evaluation {
                header: Header { stamp: time(self.newest_joined), frame_id: "camera".to_owned() },
                model_name: score.model_name.clone(),
                model_version: score.model_version.clone(),
                samples: score.samples,
                correct: score.correct,
                accuracy: score.accuracy(),
                frames_in: counters.frames_in,
                results_joined: counters.results_joined,
                unmatched: counters.unmatched,
                model_digest: digest,
            };
            self.evaluations.publish(&evaluation).map_err(|source| ros("publish an evaluation", source))?;
        }
        Ok(())
    }

    fn answer(&mut self, request: ServiceRequest<SetCamera::Service>) -> Result<(), SimError> {
        let asked = &request.message;
        let frames_in = self.board.counters().frames_in;
        let wrong = wrong_view(asked.exposure, asked.blur_px);
        if wrong.is_none() {
            self.camera.set_effects(Effects { exposure: asked.exposure, blur_px: asked.blur_px });
            if asked.streaming && !self.streaming {
                self.tick.reset_immediately();
            }
            self.streaming = asked.streaming;
            if asked.reset_counters {
                self.board.reset_counters();
            }
            let (exposure, blur_px, reset) = (asked.exposure, asked.blur_px, asked.reset_counters);
            tracing::info!(streaming = self.streaming, exposure, blur_px, reset, frames_in, "the camera was set");
        }
        let response = SetCamera::Response { success: wrong.is_none(), message: wrong.unwrap_or_default(), frames_in };
        request.respond(response).map_err(|source| ros("answer set_camera", source))
    }
}

/// What is wrong with a view, and what to ask for instead.
fn wrong_view(exposure: f32, blur_px: f32) -> Option<String> {
    if !(exposure > 0.0 && exposure <= MAX_EXPOSURE) {
        return Some(format!("exposure {exposure} is not above 0 and at most {MAX_EXPOSURE}: 1.0 is the true camera"));
    }
    if !(0.0..=MAX_BLUR_PX).contains(&blur_px) {
        return Some(format!("blur_px {blur_px} is not from 0 to {MAX_BLUR_PX}: 0.0 is the true camera"));
    }
    None
}

fn publisher<T: Message>(node: &Node, topic: &str, depth: usize) -> Result<Publisher<T>, SimError> {
    let qos = QosProfile::default().keep_last(depth).reliable();
    node.create_publisher(topic, qos).map_err(|source| ros(&format!("publish on {topic}"), source))
}

fn mission_event(header: Header, event: &mission::Event) -> MissionEvent {
    // Constants of MissionEvent.msg.
    let kind = match event.step {
        Step::Started => 0,
        Step::Waypoint(_) => 1,
        Step::Succeeded => 2,
    };
    MissionEvent {
        header,
        sequence: event.sequence,
        mission_id: event.mission_id.clone(),
        kind,
        progress: event.progress(),
        detail: event.detail(),
    }
}

fn odometry(stamp: Stamp, here: &Place, rate_hz: f64) -> Odometry {
    let (sin, cos) = (here.heading_rad / 2.0).sin_cos();
    let position = Point { x: here.at[0], y: here.at[1], z: 0.0 };
    let pose = Pose { position, orientation: Quaternion { x: 0.0, y: 0.0, z: sin, w: cos } };
    let twist = Twist { linear: Vector3 { x: here.per_frame_m * rate_hz, y: 0.0, z: 0.0 }, ..Twist::default() };
    Odometry {
        header: Header { stamp: time(stamp), frame_id: "odom".to_owned() },
        child_frame_id: "base_link".to_owned(),
        pose: PoseWithCovariance { pose, ..PoseWithCovariance::default() },
        twist: TwistWithCovariance { twist, ..TwistWithCovariance::default() },
    }
}

fn time(stamp: Stamp) -> Time {
    Time { sec: (stamp / NANOSECONDS) as i32, nanosec: (stamp % NANOSECONDS) as u32 }
}

fn stamp(time: &Time) -> Stamp {
    i64::from(time.sec) * NANOSECONDS + i64::from(time.nanosec)
}

fn ros(action: &str, source: edgeflow_ros::Error) -> SimError {
    SimError::Ros { action: action.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_message() {
        for instant in [0, 1_000, 999_999_000, 1_700_000_000_123_456_000] {
            assert_eq!(stamp(&time(instant)), instant);
        }
    }

    #[test]
    fn views_that_show_nothing_are_refused_with_the_remedy() {
        assert_eq!(wrong_view(1.0, 0.0), None);
        assert_eq!(wrong_view(0.4, 2.5), None);
        for (exposure, blur_px) in [(0.0, 0.0), (-1.0, 0.0), (f32::NAN, 0.0), (1.0, -0.1), (1.0, f32::INFINITY), (1.0, f32::NAN)] {
            assert!(wrong_view(exposure, blur_px).is_some_and(|message| message.contains("true camera")), "{exposure} {blur_px}");
        }
    }
}

//! The demo's own eyes and hands on each robot: subscriptions that count, and the simulation's services.

use edgeflow_ros::builtin_interfaces::msg::Time;
use edgeflow_ros::edgeflow_msgs::msg::{DeploymentStatus, InferenceResult, MissionEvent, UplinkStatus};
use edgeflow_ros::edgeflow_msgs::srv::{SetCamera, SetUplink};
use edgeflow_ros::{Client, Message, Node, QosProfile, Queue};
use futures::StreamExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

use super::DemoError;
use super::launch::namespace;
use super::observed::{Class, Observed, Uplink};

/// How long a robot's service may take to appear, and to answer.
const SERVICE: Duration = Duration::from_secs(20);

/// `DeploymentStatus.status` of a model that serves every frame.
const ACTIVE: u8 = 4;

/// What the camera sees the world like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct View {
    /// Gain on intensity.
    pub(crate) exposure: f32,
    /// Blur, pixels.
    pub(crate) blur_px: f32,
}

impl View {
    /// The camera that the models were trained on.
    pub(crate) const TRUE: View = View { exposure: 1.0, blur_px: 0.0 };
}

/// One robot as the demo knows it.
pub(crate) struct Robot {
    /// Name in the control plane.
    pub(crate) name: String,
    /// ROS namespace.
    pub(crate) namespace: String,
    /// Its uplink: `mqtt`, `http` or `zenoh`.
    pub(crate) by: &'static str,
    /// What its camera sees the world like.
    pub(crate) view: View,
    observed: Arc<Mutex<Observed>>,
    camera: Client<SetCamera::Service>,
    uplink: Client<SetUplink::Service>,
    listening: Vec<JoinHandle<()>>,
}

impl Robot {
    /// Subscribes to a robot's topics, before its processes start, so that nothing is missed.
    pub(crate) fn watch(node: &Node, name: &str, by: &'static str) -> Result<Self, DemoError> {
        let namespace = namespace(name);
        let observed = Arc::new(Mutex::new(Observed::default()));
        let mut robot = Self {
            camera: client(node, &format!("{namespace}/sim_robot/set_camera"))?,
            uplink: client(node, &format!("{namespace}/sim_robot/set_uplink"))?,
            name: name.to_owned(),
            by,
            view: View::TRUE,
            observed,
            listening: Vec::new(),
            namespace,
        };
        let reliable = || QosProfile::default().keep_last(1000).reliable();
        robot.listen(node, "inference_node/result", reliable(), |seen, result: InferenceResult| {
            seen.result(nanoseconds(&result.header.stamp), &result.model_digest, SystemTime::now());
        })?;
        robot.listen(node, "mission", reliable(), |seen, event: MissionEvent| seen.mission(event.sequence))?;
        robot.listen(node, "inference_node/status", reliable().transient_local(), |seen, status: DeploymentStatus| {
            if status.status == ACTIVE {
                seen.active(nanoseconds(&status.stamp), &status.running_digest, status.swap_gap_us);
            }
        })?;
        robot.listen(node, "bridge_node/status", reliable().transient_local(), |seen, status: UplinkStatus| {
            seen.uplink = Some(uplink(status));
        })?;
        Ok(robot)
    }

    /// What was seen so far.
    pub(crate) fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the simulation's services are there.
    pub(crate) async fn wait_for_services(&self) -> Result<(), DemoError> {
        self.camera.wait_for_service(SERVICE).await.map_err(|source| self.failed("reach the camera", source))?;
        self.uplink.wait_for_service(SERVICE).await.map_err(|source| self.failed("reach the uplink's switch", source))
    }

    /// Starts or pauses the camera and returns the frames it has published since its counters were last reset. Once
    /// it has answered to a pause, no further frame comes.
    pub(crate) async fn stream(&self, streaming: bool, reset_counters: bool) -> Result<u64, DemoError> {
        let View { exposure, blur_px } = self.view;
        let request = SetCamera::Request { streaming, exposure, blur_px, reset_counters };
        let response = self.camera.call(&request, SERVICE).await.map_err(|source| self.failed("set the camera", source))?;
        self.accepted(response.success, "set its camera", response.message)?;
        Ok(response.frames_in)
    }

    /// Cuts or restores the robot's network. Once it has answered to a cut, no connection is left.
    pub(crate) async fn connect(&self, connected: bool) -> Result<(), DemoError> {
        let request = SetUplink::Request { connected };
        let response = self.uplink.call(&request, SERVICE).await.map_err(|source| self.failed("switch the uplink", source))?;
        self.accepted(response.success, "switch its uplink", response.message)
    }

    fn accepted(&self, success: bool, action: &str, message: String) -> Result<(), DemoError> {
        if success { Ok(()) } else { Err(DemoError::Robot { robot: self.name.clone(), action: action.to_owned(), message }) }
    }

    fn failed(&self, action: &str, source: edgeflow_ros::Error) -> DemoError {
        DemoError::Ros { action: format!("{action} of {}", self.name), source }
    }

    fn listen<T: Message>(
        &mut self,
        node: &Node,
        topic: &str,
        qos: QosProfile,
        note: impl Fn(&mut Observed, T) + Send + 'static,
    ) -> Result<(), DemoError> {
        let topic = format!("{}/{topic}", self.namespace);
        let subscription = node.subscribe::<T>(&topic, qos, Queue::All { depth: 1 << 16 });
        let mut messages = subscription.map_err(|source| DemoError::Ros { action: format!("subscribe to {topic}"), source })?;
        let observed = Arc::clone(&self.observed);
        self.listening.push(tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                note(&mut observed.lock().unwrap_or_else(PoisonError::into_inner), message);
            }
        }));
        Ok(())
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        self.listening.iter().for_each(JoinHandle::abort);
    }
}

fn client<S: edgeflow_ros::Service>(node: &Node, name: &str) -> Result<Client<S>, DemoError> {
    node.create_client::<S>(name).map_err(|source| DemoError::Ros { action: format!("make a client of {name}"), source })
}

fn nanoseconds(time: &Time) -> i64 {
    i64::from(time.sec) * 1_000_000_000 + i64::from(time.nanosec)
}

fn uplink(status: UplinkStatus) -> Uplink {
    let class = |class: edgeflow_ros::edgeflow_msgs::msg::EdgeLogClass| Class {
        name: class.name,
        appended: class.appended,
        acknowledged: class.acknowledged,
    };
    Uplink {
        stamp: nanoseconds(&status.stamp),
        connected: status.connected,
        by: status.uplink,
        epoch: status.epoch,
        classes: status.classes.into_iter().map(class).collect(),
    }
}

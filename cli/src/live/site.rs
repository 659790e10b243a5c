//! The graph of this desk: what comes from the robot is published here, what is published here goes to it.

use edgeflow_ros::{Node, QosProfile, Queue, RawPublisher, RawType};
use edgeflow_uplink::live::Throttle;
use edgeflow_wire::{LiveAbout, LiveDirection, LiveMark, LiveTopicAbout};
use futures::StreamExt;
use std::{fmt::Write, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use crate::{error::CliError, output};

/// Messages that may wait here for the throttle.
const DEPTH: usize = 8;

/// What a topic's names begin with here, when nothing is said.
pub(super) fn prefix(robot: &str) -> String {
    let name = robot.replace('-', "_");
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("/robot_{name}") } else { format!("/{name}") }
}

/// A topic's name here. What has the prefix already does not get it twice.
fn local(prefix: &str, topic: &str) -> String {
    let has_it = topic.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    if has_it { topic.to_owned() } else { format!("{prefix}{topic}") }
}

/// A topic from the robot.
struct Up {
    about: LiveTopicAbout,
    publisher: Option<RawPublisher>,
    last_seq: u64,
    republished: u64,
    lost: u64,
    problem: String,
}

/// A topic to the robot.
struct Down {
    about: LiveTopicAbout,
    task: Option<JoinHandle<()>>,
    seq: u64,
    problem: String,
}

/// A message that was published here, and how many were dropped before it.
struct Came {
    lane: usize,
    epoch: u32,
    body: Vec<u8>,
    dropped: u64,
}

/// This desk.
pub(super) struct Site {
    node: Node,
    prefix: String,
    ups: Vec<Up>,
    downs: Vec<Down>,
    max: (f64, u32),
    began: Instant,
    out: Throttle<(u32, Vec<u8>)>,
    sender: mpsc::Sender<Came>,
    incoming: mpsc::Receiver<Came>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.downs.iter().filter_map(|down| down.task.as_ref()).for_each(JoinHandle::abort);
    }
}

impl Site {
    pub(super) fn new(node: &Node, prefix: String, max_hz: f64, max_kbps: u32) -> Self {
        let (sender, incoming) = mpsc::channel(DEPTH);
        Self {
            node: node.clone(),
            prefix,
            ups: Vec::new(),
            downs: Vec::new(),
            max: (max_hz, max_kbps),
            began: Instant::now(),
            out: Throttle::new(0, max_hz, max_kbps, 0),
            sender,
            incoming,
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What the robot tells of its topics: publishers and subscriptions here follow their types.
    pub(super) fn learn(&mut self, about: LiveAbout) -> Result<(), CliError> {
        let (from, to): (Vec<_>, Vec<_>) = about.topics.into_iter().partition(|topic| topic.direction == LiveDirection::FromRobot);
        for (lane, topic) in from.into_iter().enumerate() {
            match self.ups.get_mut(lane) {
                Some(up) if up.about.epoch == topic.epoch => up.about = topic,
                Some(up) => {
                    (up.about, up.publisher) = (topic, None);
                    self.open_up(lane)?;
                }
                None => {
                    self.ups.push(Up { about: topic, publisher: None, last_seq: 0, republished: 0, lost: 0, problem: String::new() });
                    self.open_up(lane)?;
                }
            }
        }
        if self.downs.is_empty() && !to.is_empty() {
            self.out = Throttle::new(to.len(), self.max.0, self.max.1, self.now_us());
        }
        for (lane, topic) in to.into_iter().enumerate() {
            match self.downs.get_mut(lane) {
                Some(down) if down.about.epoch == topic.epoch => down.about = topic,
                Some(down) => {
                    down.about = topic;
                    if let Some(task) = down.task.take() {
                        task.abort();
                    }
                    self.open_down(lane)?;
                }
                None => {
                    self.downs.push(Down { about: topic, task: None, seq: 0, problem: String::new() });
                    self.open_down(lane)?;
                }
            }
        }
        self.tell_problems();
        Ok(())
    }

    fn open_up(&mut self, lane: usize) -> Result<(), CliError> {
        let Some(up) = self.ups.get_mut(lane).filter(|up| up.about.epoch > 0) else { return Ok(()) };
        let (name, ty) = (local(&self.prefix, &up.about.topic), RawType { name: up.about.type_name.clone(), hash: up.about.hash.clone() });
        let qos = QosProfile::default().keep_last(10);
        let qos = if up.about.reliable { qos.reliable() } else { qos.best_effort() };
        let qos = if up.about.latched { qos.transient_local() } else { qos };
        match self.node.create_raw_publisher(&name, &ty, qos) {
            Ok(publisher) => {
                up.publisher = Some(publisher);
                output::line(format!("{} [{}] -> {name}", up.about.topic, ty.name))
            }
            Err(error) => {
                eprintln!("edgeflow: {name}: {error}");
                Ok(())
            }
        }
    }

    fn open_down(&mut self, lane: usize) -> Result<(), CliError> {
        let Some(down) = self.downs.get_mut(lane).filter(|down| down.about.epoch > 0) else { return Ok(()) };
        let (name, epoch) = (local(&self.prefix, &down.about.topic), down.about.epoch);
        let ty = RawType { name: down.about.type_name.clone(), hash: down.about.hash.clone() };
        match self.node.subscribe_opaque(&name, &ty, QosProfile::default().keep_last(DEPTH), Queue::Latest { depth: DEPTH }) {
            Ok(mut bodies) => {
                let (sender, counter) = (self.sender.clone(), bodies.drop_counter());
                down.task = Some(tokio::spawn(async move {
                    let mut told = 0;
                    while let Some(body) = bodies.next().await {
                        let dropped = counter.get();
                        let came = Came { lane, epoch, body, dropped: dropped - std::mem::replace(&mut told, dropped) };
                        if sender.send(came).await.is_err() {
                            return;
                        }
                    }
                }));
                output::line(format!("{name} [{}] -> {} on the robot", ty.name, down.about.topic))
            }
            Err(error) => {
                eprintln!("edgeflow: {name}: {error}");
                Ok(())
            }
        }
    }

    /// Each problem once.
    fn tell_problems(&mut self) {
        let ups = self.ups.iter_mut().map(|up| (&up.about, &mut up.problem));
        let downs = self.downs.iter_mut().map(|down| (&down.about, &mut down.problem));
        for (about, told) in ups.chain(downs) {
            if about.problem != *told {
                told.clone_from(&about.problem);
                if !told.is_empty() {
                    eprintln!("edgeflow: {}: {told}", about.topic);
                }
            }
        }
    }

    /// A message of the robot's.
    pub(super) fn republish(&mut self, lane: usize, mark: LiveMark, body: &[u8]) {
        let Some(up) = self.ups.get_mut(lane) else { return };
        if mark.seq <= up.last_seq {
            return;
        }
        up.lost += mark.seq - up.last_seq - 1;
        up.last_seq = mark.seq;
        // Under a type that is not known here yet it would be taken for another.
        match up.publisher.as_ref().filter(|_| up.about.epoch == mark.epoch).map(|publisher| publisher.publish(body)) {
            Some(Ok(())) => up.republished += 1,
            Some(Err(error)) => {
                up.lost += 1;
                tracing::warn!(topic = up.about.topic, %error, "a live message was not published");
            }
            None => up.lost += 1,
        }
    }

    /// Returns when a message for the robot has come.
    pub(super) async fn came(&mut self) {
        if let Some(Came { lane, epoch, body, dropped }) = self.incoming.recv().await {
            self.out.dropped(lane, dropped);
            self.out.offer(lane, body.len(), (epoch, body));
        }
    }

    /// The next message that may go to the robot now.
    pub(super) fn next(&mut self) -> Option<(usize, LiveMark, Vec<u8>)> {
        let (lane, (epoch, body)) = self.out.next(self.now_us())?;
        let down = self.downs.get_mut(lane)?;
        down.seq += 1;
        Some((lane, LiveMark { epoch, seq: down.seq }, body))
    }

    /// When the next one that waits may go.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        Some(self.began + Duration::from_micros(self.out.ready_us()?))
    }

    /// What came and what did not, a line for each topic.
    pub(super) fn shown(&self) -> String {
        let mut text = String::new();
        for up in &self.ups {
            let counts = up.about.counts;
            let too_large = if counts.too_large > 0 { format!(", {} too large", counts.too_large) } else { String::new() };
            let _ = writeln!(
                text,
                "  {}: {} came here, {} left out on the robot{too_large}, {} lost on the way, {:.1} kB",
                up.about.topic,
                up.republished,
                counts.left_out,
                up.lost,
                counts.bytes as f64 / 1e3
            );
        }
        for (lane, down) in self.downs.iter().enumerate() {
            let (here, there) = (self.out.counts(lane), down.about.counts);
            let _ = writeln!(
                text,
                "  {} to the robot: {} sent, {} left out here, {} published there, {} left out there",
                down.about.topic, here.forwarded, here.left_out, there.forwarded, there.left_out
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{local, prefix};

    #[test]
    fn names_here_have_the_robots_name_once() {
        assert_eq!((prefix("robot-07").as_str(), prefix("7-up").as_str()), ("/robot_07", "/robot_7_up"));
        assert_eq!(local("/robot_07", "/camera/image"), "/robot_07/camera/image");
        assert_eq!(local("/robot_07", "/robot_07/camera/image"), "/robot_07/camera/image");
        assert_eq!(local("/robot_07", "/robot_071/x"), "/robot_07/robot_071/x");
    }
}

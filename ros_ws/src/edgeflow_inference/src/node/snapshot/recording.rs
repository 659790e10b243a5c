//! Frames as an MCAP file with ROS 2's profile: every type's definition is in it, so that it can be read where these
//! interfaces are not installed.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;

use edgeflow_ros::{Message, cdr};
use mcap::records::MessageHeader;
use mcap::{WriteOptions, Writer};

use super::{Frame, Topics};
use crate::node::frames::Input;
use crate::{Error, Result};

/// Writes what came and what became of it, in the order of time.
pub(super) fn write(file: impl Write + Seek, path: &Path, topics: &Topics, frames: &[Arc<Frame>]) -> Result<()> {
    let options = WriteOptions::new().profile("ros2").library(concat!("edgeflow ", env!("CARGO_PKG_VERSION")));
    let mut recording = Recording { writer: options.create(file).map_err(failed(path))?, path, channels: BTreeMap::new() };
    let mut events: Vec<(u64, Event<'_>)> = Vec::with_capacity(2 * frames.len());
    for frame in frames {
        events.push((frame.arrived_ns, Event::Input(&frame.input)));
        events.extend(frame.result.iter().map(|(at, result)| (*at, Event::Result(result))));
        events.extend(frame.drift.iter().map(|(at, report)| (*at, Event::Drift(report))));
    }
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in events {
        match event {
            Event::Result(result) => recording.add(&topics.result, at, result)?,
            Event::Drift(report) => recording.add(&topics.drift, at, report)?,
            Event::Input(Input::Image(image)) => recording.add(&topics.image, at, image)?,
            Event::Input(Input::Compressed(image)) => recording.add(&topics.compressed, at, image)?,
            Event::Input(Input::Tensors(tensors)) => recording.add(&topics.tensors, at, tensors)?,
            Event::Input(Input::Points(points)) => recording.add(&topics.points, at, points)?,
            Event::Input(Input::Imu(imu)) => recording.add(&topics.imu, at, imu)?,
            Event::Input(Input::Joints(joints)) => recording.add(&topics.joint_states, at, joints)?,
            Event::Input(Input::Array(_, array)) => recording.add(&topics.array, at, array)?,
        }
    }
    recording.writer.finish().map_err(failed(path))?;
    Ok(())
}

enum Event<'a> {
    Input(&'a Input),
    Result(&'a edgeflow_ros::edgeflow_msgs::msg::InferenceResult),
    Drift(&'a edgeflow_ros::edgeflow_msgs::msg::DriftReport),
}

struct Recording<'a, W: Write + Seek> {
    writer: Writer<W>,
    path: &'a Path,
    /// By topic: the channel and how many messages it has.
    channels: BTreeMap<String, (u16, u32)>,
}

impl<W: Write + Seek> Recording<'_, W> {
    fn add<T: Message>(&mut self, topic: &str, at_ns: u64, message: &T) -> Result<()> {
        let failed = failed(self.path);
        let (channel_id, sequence) = match self.channels.get_mut(topic) {
            Some((channel, count)) => {
                *count += 1;
                (*channel, *count)
            }
            None => {
                let ty = cdr::description::<T>()?;
                let schema = self.writer.add_schema(ty.name, "ros2msg", ty.definition().as_bytes()).map_err(&failed)?;
                let metadata = BTreeMap::from([("topic_type_hash".to_owned(), ty.hash.to_owned())]);
                let channel = self.writer.add_channel(schema, topic, "cdr", &metadata).map_err(&failed)?;
                self.channels.insert(topic.to_owned(), (channel, 1));
                (channel, 1)
            }
        };
        let header = MessageHeader { channel_id, sequence, log_time: at_ns, publish_time: at_ns };
        self.writer.write_to_known_channel(&header, &cdr::encode(message)?).map_err(failed)
    }
}

fn failed(path: &Path) -> impl Fn(mcap::McapError) -> Error + '_ {
    move |error| Error::Snapshot { path: path.to_owned(), reason: error.to_string() }
}

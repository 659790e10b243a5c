//! Recorded frames through two of the committed digit models: the file is an MCAP as robots record it, the program the one a rollout
//! asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use edgeflow_inference::image::Frame;
use edgeflow_ros::cdr;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::std_msgs::msg::Header;
use support::{engine, request};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn model(version: &str) -> PathBuf {
    here().join("../../../sim/models").join(version)
}

/// As `frame` of make_reference.py.
fn render(index: u64, pixels: &str) -> Vec<u8> {
    let digits: Vec<u32> = pixels.chars().map(|c| c.to_digit(17).unwrap()).collect();
    let pixel = |i: usize| {
        let (x, y) = (i % 96, i / 96);
        let noise = (i as u64 * 7919 + index * 104_729) % 16;
        (digits[y / 12 * 8 + x / 12] * 15) as u8 + noise as u8
    };
    (0..96 * 96).map(pixel).collect()
}

fn frames() -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(here().join("tests/label_reader_reference.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    let frames = reference["frames"].as_array().unwrap().iter().enumerate();
    frames.map(|(i, entry)| render(i as u64, entry["pixels"].as_str().unwrap())).collect()
}

/// Writes frames to each of the topics, and one message that is no image.
fn record(path: &Path, topics: &[&str], frames: &[Vec<u8>]) {
    let mut writer = mcap::Writer::new(std::io::BufWriter::new(std::fs::File::create(path).unwrap())).unwrap();
    let mut write = |topic: &str, schema: &str, t_ns: u64, data: &[u8]| {
        let schema = writer.add_schema(schema, "ros2msg", b"").unwrap();
        let channel_id = writer.add_channel(schema, topic, "cdr", &BTreeMap::new()).unwrap();
        let header = mcap::records::MessageHeader { channel_id, sequence: 0, log_time: t_ns, publish_time: t_ns };
        writer.write_to_known_channel(&header, data).unwrap();
    };
    write("/odom", "nav_msgs/msg/Odometry", 1, &[0, 1, 0, 0]);
    for (i, data) in frames.iter().enumerate() {
        let image = Image {
            header: Header::default(),
            height: 96,
            width: 96,
            encoding: "mono8".into(),
            is_bigendian: 0,
            step: 96,
            data: data.clone(),
        };
        for topic in topics {
            write(topic, "sensor_msgs/msg/Image", 1000 + i as u64, &cdr::encode(&image).unwrap());
        }
    }
    writer.finish().unwrap();
}

fn replay(candidate: &Path, current: &Path, recording: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay_model")).args([candidate, current, recording]).args(more).output().unwrap()
}

fn answer(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn two_models_are_held_against_each_other_on_recorded_frames() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("walk.mcap");
    let frames = frames();
    record(&recording, &["/image"], &frames);

    let same = answer(&replay(&model("v2"), &model("v2"), &recording, &[]));
    assert_eq!((&same["topic"], &same["frames"], &same["agreement"]), (&"/image".into(), &frames.len().into(), &1.0.into()));
    assert_eq!((&same["max_difference"], same["differences"].as_array().unwrap().len()), (&0.0.into(), 0));
    assert!(same["candidate_p50_us"].as_u64().unwrap() > 0 && same["current_p50_us"].as_u64().unwrap() > 0);

    // What the engine says by itself, frame by frame.
    let engine = engine();
    let labels = |version: &str| -> Vec<String> {
        engine.load(&request(&model(version)), &mut |_| Ok(())).unwrap();
        let model = engine.current().unwrap();
        let label = |data: &Vec<u8>| {
            let frame = Frame { width: 96, height: 96, step: 96, encoding: "mono8", is_bigendian: false, data };
            model.infer_frame(&frame.check().unwrap()).unwrap().classification().unwrap().label.clone()
        };
        frames.iter().map(label).collect()
    };
    let (current, candidate) = (labels("v2"), labels("v3"));
    let agreed = current.iter().zip(&candidate).filter(|(a, b)| a == b).count();
    assert!(agreed < frames.len(), "v3 is another model");
    let other = answer(&replay(&model("v3"), &model("v2"), &recording, &["/image", "0.01"]));
    assert_eq!(other["agreed"], agreed);
    assert_eq!(other["agreement"].as_f64().unwrap(), agreed as f64 / frames.len() as f64);
    let first = current.iter().zip(&candidate).position(|(a, b)| a != b).unwrap();
    let told = &other["differences"][0];
    assert_eq!(
        (&told["t_ns"], &told["current"], &told["candidate"]),
        (&(1000 + first).into(), &(*current[first]).into(), &(*candidate[first]).into())
    );
    let relabelled: u64 = other["relabelled"].as_object().unwrap().values().map(|times| times.as_u64().unwrap()).sum();
    assert_eq!(relabelled as usize, frames.len() - agreed);

    let few = answer(&replay(&model("v3"), &model("v2"), &recording, &["", "0.01", "5"]));
    assert_eq!(few["frames"], 5);
}

/// One field of a protobuf message: its number and its bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut left = content.len();
    while left > 0x7f {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend_from_slice(content);
    bytes
}

/// A number of protobuf, and what comes after it.
fn varint(bytes: &[u8]) -> (usize, &[u8]) {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    (bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f)), &bytes[length..])
}

/// A model with more in its graph: a message that is appended to another is merged with it.
fn with_more(mut model: &[u8], more: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !model.is_empty() {
        let (tag, after) = varint(model);
        let (number, after) = varint(after);
        // The other fields of a model are numbers, or have a length as the graph has.
        let end = if tag & 7 == 2 { number } else { 0 };
        if tag == 7 << 3 | 2 {
            bytes.extend(field(7, &[&after[..end], more].concat()));
        } else {
            bytes.extend_from_slice(&model[..model.len() - after.len() + end]);
        }
        model = &after[end..];
    }
    bytes
}

/// A committed model that also fills a tensor of so many floats.
fn greedy(version: &str, folder: &Path, floats: i64) -> PathBuf {
    let node = |input: &str, output: &str, operator: &str| {
        let parts = [field(1, input.as_bytes()), field(2, output.as_bytes()), field(3, output.as_bytes()), field(4, operator.as_bytes())];
        field(1, &parts.concat())
    };
    // TensorProto: one dimension of one, int64, its bytes.
    let shape = [vec![0x08, 1, 0x10, 7], field(8, b"greedy_shape"), field(9, &floats.to_le_bytes())].concat();
    // ValueInfoProto: a tensor of floats with one dimension of one.
    let dimension = field(2, &field(1, &[0x08, 1]));
    let most = [field(1, b"greedy_most"), field(2, &field(1, &[vec![0x08, 1], dimension].concat()))].concat();
    let graph = [
        node("greedy_shape", "greedy_values", "ConstantOfShape"),
        node("greedy_values", "greedy_most", "ReduceMax"),
        field(5, &shape),
        field(12, &most),
    ];
    let target = folder.join("greedy");
    std::fs::create_dir(&target).unwrap();
    std::fs::copy(model(version).join("edgeflow.yaml"), target.join("edgeflow.yaml")).unwrap();
    let bytes = std::fs::read(model(version).join("model.onnx")).unwrap();
    std::fs::write(target.join("model.onnx"), with_more(&bytes, &graph.concat())).unwrap();
    target
}

#[test]
fn a_candidate_that_asks_for_more_memory_than_it_may_have_is_an_error_and_not_the_end_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("walk.mcap");
    record(&recording, &["/image"], &frames()[..5]);
    // 64 GiB, which nothing here has; without a bound the system would give them until they are written to.
    let greedy = greedy("v2", folder.path(), 16 << 30);
    let run = |candidate: &Path, bytes: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_replay_model"));
        program.args([candidate, &model("v2"), &recording]).env("EDGEFLOW_MODEL_MEMORY_BYTES", bytes).output().unwrap()
    };
    assert_eq!(answer(&run(&model("v1"), "1073741824"))["frames"], 5, "what is enough for others");
    let refused = run(&greedy, "1073741824");
    let told = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(!refused.status.success() && ["memory", "alloc"].iter().any(|word| told.contains(word)), "{refused:?}");
    let wrong = run(&model("v1"), "much");
    assert!(wrong.status.code() == Some(2) && String::from_utf8_lossy(&wrong.stderr).contains("give a number of bytes"), "{wrong:?}");
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |output: Output, status: i32, words: &str| {
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(status) && told.contains(words), "{:?}: {told}", output.status);
    };
    let (v1, v2) = (model("v1"), model("v2"));
    record(&at("two.mcap"), &["/left", "/right"], &frames()[..3]);
    refused(replay(&v1, &v2, &at("two.mcap"), &[]), 1, "it has images of /left, /right: name a topic");
    assert_eq!(answer(&replay(&v1, &v2, &at("two.mcap"), &["/right"]))["frames"], 3);
    record(&at("none.mcap"), &[], &[]);
    refused(replay(&v1, &v2, &at("none.mcap"), &[]), 1, "it has no images");
    std::fs::write(at("torn.mcap"), b"no recording").unwrap();
    refused(replay(&v1, &v2, &at("torn.mcap"), &[]), 1, "torn.mcap");
    refused(replay(&at("missing"), &v2, &at("two.mcap"), &["/left"]), 1, "missing");
    refused(replay(&v1, &v2, &at("two.mcap"), &["/left", "much"]), 2, "usage");
    // A frame whose size is not that of its data is none.
    record(&at("short.mcap"), &["/image"], &[vec![0; 7], frames()[0].clone()]);
    let answer = answer(&replay(&v1, &v2, &at("short.mcap"), &[]));
    assert_eq!((&answer["frames"], &answer["skipped"]), (&1.into(), &1.into()));
}

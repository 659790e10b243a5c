//! Snapshots: asked for, and taken when drift is flagged; read back as any MCAP reader does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgeflow_drift::{BaselineBuilder, IMAGE_FEATURES, image_features};
use edgeflow_ros::edgeflow_msgs::msg::{DriftReport, InferenceResult};
use edgeflow_ros::edgeflow_msgs::srv::SaveSnapshot;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::{Client, Message, cdr};

use super::support::*;
use super::{PATIENCE, Scene, gray, next};

/// What a recording has on one topic: type, definition and messages.
struct Channel {
    type_name: String,
    definition: String,
    messages: Vec<Vec<u8>>,
}

impl Channel {
    fn decoded<T: Message>(&self) -> Vec<T> {
        self.messages.iter().map(|bytes| cdr::decode(bytes).unwrap()).collect()
    }
}

/// A recording by topic; its messages are in the order of their times.
fn recording(path: &Path) -> BTreeMap<String, Channel> {
    let bytes = std::fs::read(path).unwrap();
    let summary = mcap::Summary::read(&bytes).unwrap().unwrap();
    assert!(
        summary
            .channels
            .values()
            .all(|channel| channel.message_encoding == "cdr" && channel.metadata["topic_type_hash"].starts_with("RIHS01_"))
    );
    let mut channels = BTreeMap::new();
    let mut before = 0;
    for message in mcap::MessageStream::new(&bytes).unwrap() {
        let message = message.unwrap();
        assert!(message.log_time >= before && message.log_time > 1_600_000_000_000_000_000);
        before = message.log_time;
        let schema = message.channel.schema.as_ref().unwrap();
        assert_eq!(schema.encoding, "ros2msg");
        let channel = channels.entry(message.channel.topic.clone()).or_insert_with(|| Channel {
            type_name: schema.name.clone(),
            definition: String::from_utf8(schema.data.to_vec()).unwrap(),
            messages: Vec::new(),
        });
        channel.messages.push(message.data.to_vec());
        assert_eq!(message.sequence as usize, channel.messages.len());
    }
    channels
}

impl Scene {
    async fn snapshots(&self) -> Arc<Client<SaveSnapshot::Service>> {
        let client = self.neighbour.create_client::<SaveSnapshot::Service>("inference_node/save_snapshot").unwrap();
        client.wait_for_service(PATIENCE).await.unwrap();
        Arc::new(client)
    }
}

fn ask(path: &str, after_frames: u32) -> SaveSnapshot::Request {
    SaveSnapshot::Request { path: path.into(), after_frames, ..Default::default() }
}

/// A frame that is like no other.
fn frame(stamp: i32) -> Image {
    Image { data: (0..16).map(|i| (stamp as u8).wrapping_mul(7).wrapping_add(i)).collect(), ..gray(0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_has_the_frames_before_and_after_to_the_byte_and_what_became_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = dir.path().join("snapshots");
    let parameters = [("snapshot_frames", "5"), ("snapshot_dir", snapshots.to_str().unwrap())];
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &parameters).await;
    let save = scene.snapshots().await;
    let nothing = save.call(&ask("", 0), PATIENCE).await.unwrap();
    assert!(!nothing.success && nothing.message.contains("there are no frames"), "{nothing:?}");
    let unknown = save.call(&SaveSnapshot::Request { slot: "faces".into(), ..Default::default() }, PATIENCE).await.unwrap();
    assert_eq!(unknown.message, "unknown slot `faces`; this node has default");

    let mut stamp = 0;
    let mut shoot = async |scene: &mut Scene| {
        stamp += 1;
        scene.shoot(stamp, frame(stamp));
        while next(&mut scene.results).await.header.stamp.sec < stamp {}
    };
    for _ in 0..8 {
        shoot(&mut scene).await;
    }
    let mut asked = tokio::spawn({
        let save = Arc::clone(&save);
        async move { save.call(&ask("walk.mcap", 2), PATIENCE).await.unwrap() }
    });
    // The camera goes on, whenever the request comes to the node.
    let saved = loop {
        tokio::select! {
            saved = &mut asked => break saved.unwrap(),
            () = shoot(&mut scene) => {}
        }
    };
    assert!(saved.success && saved.message.is_empty(), "{saved:?}");
    assert_eq!((Path::new(&saved.path), saved.frames), (snapshots.join("walk.mcap").as_path(), 7));
    let recorded = recording(Path::new(&saved.path));
    assert_eq!(recorded.keys().collect::<Vec<_>>(), ["/inference_node/image", "/inference_node/result"]);
    let images = &recorded["/inference_node/image"];
    assert_eq!(images.type_name, "sensor_msgs/msg/Image");
    assert!(images.definition.contains("uint8[] data\n") && images.definition.contains("MSG: std_msgs/Header\n"), "{}", images.definition);
    let images: Vec<Image> = images.decoded();
    let first = images[0].header.stamp.sec;
    let expected = (first..first + 7).map(|stamp| {
        let mut image = frame(stamp);
        image.header.stamp.sec = stamp;
        image.header.frame_id = "camera".into();
        image
    });
    assert!(images.iter().cloned().eq(expected), "{images:?}");
    let results: Vec<InferenceResult> = recorded["/inference_node/result"].decoded();
    assert_eq!(results.iter().map(|r| r.header.stamp.sec).collect::<Vec<_>>(), (first..first + 7).collect::<Vec<_>>());
    assert!(results.iter().all(|r| r.label == "a" && r.scores.len() == 4));

    let again = save.call(&ask("walk.mcap", 0), PATIENCE).await.unwrap();
    assert!(!again.success && again.message.contains("walk.mcap: there is such a file already"), "{again:?}");
    // A camera that stands still holds up no snapshot.
    let short = save.call(&ask("", 3), PATIENCE).await.unwrap();
    assert!(short.success && short.frames == 5 && short.message.contains("without 3 of the 3 frames"), "{short:?}");
    assert!(Path::new(&short.path).starts_with(&snapshots) && recording(Path::new(&short.path)).len() == 2);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_for_frames_is_bounded_and_refused_frames_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    // A few frames of 16 bytes with their results fit, nine do not.
    let parameters = [("snapshot_max_bytes", "1200"), ("snapshot_dir", dir.path().to_str().unwrap())];
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &parameters).await;
    let save = scene.snapshots().await;
    for stamp in 1..=9 {
        scene.shoot(stamp, if stamp == 8 { Image { encoding: "yuv411".into(), ..frame(stamp) } } else { frame(stamp) });
    }
    while next(&mut scene.results).await.header.stamp.sec < 9 {}
    let saved = save.call(&ask("small.mcap", 0), PATIENCE).await.unwrap();
    assert!(saved.success, "{saved:?}");
    let recorded = recording(Path::new(&saved.path));
    let stamps: Vec<i32> = recorded["/inference_node/image"].decoded::<Image>().iter().map(|image| image.header.stamp.sec).collect();
    assert!(stamps.len() < 9 && stamps.ends_with(&[8, 9]), "{stamps:?}");
    let results: Vec<InferenceResult> = recorded["/inference_node/result"].decoded();
    assert_eq!(results.len(), stamps.len() - 1, "the model saw the frame before the last and took it not");
    scene.stop().await;
}

/// The files in a folder, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).map(|all| all.map(|file| file.unwrap().path()).collect()).unwrap_or_default();
    files.retain(|file: &PathBuf| file.extension().is_some_and(|extension| extension == "mcap"));
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn flagged_drift_is_saved_with_the_frames_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = dir.path().join("snapshots");
    let bundle = pixel_bundle(dir.path(), 0);
    let usual = |i: i32| 100 + (i * 17 % 40) as u8;
    let mut baseline = BaselineBuilder::new(&IMAGE_FEATURES[..1]);
    for i in 0..400 {
        baseline.push(&image_features(&[usual(i); 16], 4, 4, 4).unwrap().values()[..1]).unwrap();
    }
    std::fs::write(bundle.join("baseline.json"), baseline.build().unwrap().to_json().unwrap()).unwrap();
    let parameters = [
        ("drift_window_frames", "40"),
        ("snapshot_frames", "40"),
        ("snapshot_dir", snapshots.to_str().unwrap()),
        ("snapshot_on_drift", "true"),
        ("snapshot_after_frames", "3"),
    ];
    let mut scene = Scene::loaded(&bundle, &parameters).await;
    let mut stamp = 0;
    let mut shoot = async |scene: &mut Scene, level: u8| {
        stamp += 1;
        scene.shoot(stamp, gray(level));
        while next(&mut scene.results).await.header.stamp.sec < stamp {}
    };
    for i in 0..40 {
        shoot(&mut scene, usual(i)).await;
    }
    let mut flagged = false;
    while !flagged {
        for i in 0..40 {
            shoot(&mut scene, 200 + (i * 17 % 40) as u8).await;
        }
        flagged = next_after(&mut scene).await.flagged;
    }
    // The camera goes on until the file is there.
    let file = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(file) = files(&snapshots).pop() {
                return file;
            }
            shoot(&mut scene, 220).await;
        }
    });
    let recorded = recording(&file.await.unwrap());
    let reports: Vec<DriftReport> = recorded["/inference_node/drift"].decoded();
    assert!(reports.last().unwrap().flagged, "{reports:?}");
    let images: Vec<Image> = recorded["/inference_node/image"].decoded();
    let flag = reports.last().unwrap().header.stamp.sec;
    let stamps: Vec<i32> = images.iter().map(|image| image.header.stamp.sec).collect();
    assert_eq!(stamps.len(), 43);
    // The flag's own frame is the last of those before; drift that goes on is not saved again and again.
    assert!((flag..=flag + 1).contains(&stamps[39]), "{flag} {stamps:?}");
    for i in 0..80 {
        shoot(&mut scene, 200 + (i * 17 % 40) as u8).await;
    }
    assert_eq!(files(&snapshots).len(), 1);
    scene.stop().await;
}

/// The newest drift report.
async fn next_after(scene: &mut Scene) -> DriftReport {
    let mut newest = next(&mut scene.drift).await;
    while scene.drift.waiting() > 0 {
        newest = next(&mut scene.drift).await;
    }
    newest
}

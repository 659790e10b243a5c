//! What a program logs, as its user finds it: a real process, its console, its log file and `/rosout`.

use super::{PATIENCE, Program, World, next};
use edgeflow_ros::{
    Durability, Node, QosProfile, Queue, Reliability, Subscription, constants::rcl_interfaces::msg::Log as Level, rcl_interfaces::msg::Log,
};
use std::path::Path;

fn listen(world: &World) -> Subscription<Log> {
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    tool.subscribe("/rosout", QosProfile::default().keep_last(1000).transient_local(), Queue::all()).unwrap()
}

/// The next message of this logger that contains the text.
async fn heard(rosout: &mut Subscription<Log>, logger: &str, text: &str) -> Log {
    let wanted = async {
        loop {
            let log = next(rosout).await;
            if log.name == logger && log.msg.contains(text) {
                return log;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("{logger} does not say {text:?}"))
}

/// The lines of the only log file in a folder.
fn file(folder: &Path) -> (String, Vec<String>) {
    let all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [path] = all.as_slice() else { panic!("{all:?}") };
    let lines = std::fs::read_to_string(path).unwrap().lines().map(str::to_string).collect();
    (path.file_name().unwrap().to_str().unwrap().to_string(), lines)
}

fn talker(world: &World, arguments: &str, folder: &Path) -> Program {
    world.example("talker", &format!("--ros-args -r __ns:=/robot_1 {arguments}"), &[("ROS_LOG_DIR", folder.to_str().unwrap())])
}

#[tokio::test(flavor = "multi_thread")]
async fn console_file_and_rosout_say_the_same() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let mut rosout = listen(&world);
    let mut talker = talker(&world, "-p rate_hz:=50.0", folder.path());
    let (pid, mut console) = (talker.child.id(), vec![talker.line().await]);
    let first = heard(&mut rosout, "robot_1.talker", "talking").await;
    assert_eq!((first.level, first.msg.as_str()), (Level::INFO, "talking on /robot_1/chatter rate_hz=50.0"));
    assert!(first.file.ends_with("talker.rs") && first.line > 0 && first.stamp.sec > 0, "{first:?}");
    let (status, rest) = talker.stop().await;
    assert!(status.success(), "{status}");
    let last = heard(&mut rosout, "robot_1.talker", "nobody").await;
    assert_eq!(last.level, Level::WARN);

    console.extend(rest);
    let (name, lines) = file(folder.path());
    assert_eq!(lines, console);
    assert!(name.starts_with(&format!("talker_{pid}_")) && name.ends_with(".log"), "{name}");
    let (head, text) = console[0].split_once("]: ").unwrap();
    assert_eq!(text, first.msg);
    let (severity, rest) = head.split_once("] [").unwrap();
    let (time, logger) = rest.split_once("] [").unwrap();
    assert_eq!((severity, logger), ("[INFO", "robot_1.talker"));
    let (seconds, nanoseconds) = time.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_600_000_000 && nanoseconds.len() == 9, "{time}");
    assert!(console.last().unwrap().starts_with("[WARN] "), "{console:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_and_outputs_are_those_of_the_command_line() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let mut talker = talker(&world, "--log-level warn --log-level robot_1.talker:=debug --disable-external-lib-logs", folder.path());
    while !talker.line().await.starts_with("[DEBUG]") {}
    talker.stop().await;
    assert!(std::fs::read_dir(folder.path()).map_or(0, Iterator::count) == 0);

    let mut rosout = listen(&world);
    let mute = self::talker(&world, "--disable-stdout-logs", folder.path());
    heard(&mut rosout, "robot_1.talker", "talking").await;
    let (_, console) = mute.stop().await;
    assert_eq!(console, Vec::<String>::new());
    let last = heard(&mut rosout, "robot_1.talker", "nobody").await;
    let (_, lines) = file(folder.path());
    assert!(lines.last().unwrap().starts_with("[WARN]") && lines.last().unwrap().ends_with(&last.msg), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_rosout_does_not_publish_it() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let mut loud = talker(&world, "", folder.path());
    let mut quiet =
        world.example("talker", "--ros-args -r __ns:=/robot_2 --disable-rosout-logs", &[("ROS_LOG_DIR", folder.path().to_str().unwrap())]);
    loud.line().await;
    quiet.line().await;
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let both = |tool: &Node| ["1", "2"].iter().all(|n| tool.count_publishers(&format!("/robot_{n}/chatter")).unwrap() == 1);
    let speakers = |tool: &Node| tool.get_publishers_info("/rosout").unwrap().into_iter().map(|p| p.node).collect::<Vec<_>>();
    let loud = "/robot_1/talker".to_string();
    assert!(tool.wait_for_graph(PATIENCE, |tool| both(tool) && speakers(tool).contains(&loud)).await);
    let offered = tool.get_publishers_info("/rosout").unwrap().into_iter().find(|p| p.node == loud).unwrap();
    assert_eq!((offered.reliability, offered.durability), (Reliability::Reliable, Durability::TransientLocal));
    let speakers = speakers(&tool);
    assert!(!speakers.contains(&"/robot_2/talker".to_string()), "{speakers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_repeats_without_end_does_not_flood_and_is_counted() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let mut rosout = listen(&world);
    let began = std::time::Instant::now();
    let talker = talker(&world, "-p rate_hz:=1000.0", folder.path());
    let counted = heard(&mut rosout, "robot_1.talker", "more").await;
    talker.stop().await;
    let left_out: u64 = counted.msg.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).max().unwrap();
    assert!(left_out > 100, "{}", counted.msg);
    let (_, lines) = file(folder.path());
    let said = lines.iter().filter(|line| line.contains("Publishing")).count();
    // A hundred times in each second that it ran, the one that had just begun included.
    let allowed = 100 * (began.elapsed().as_secs() as usize + 2);
    assert!((1..=allowed).contains(&said), "{said} of at most {allowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn console_lines_have_the_form_and_colours_the_environment_asks_for() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let environment = [
        ("ROS_LOG_DIR", folder.path().to_str().unwrap()),
        ("RCUTILS_CONSOLE_OUTPUT_FORMAT", "{severity}|{name}|{message}"),
        ("RCUTILS_COLORIZED_OUTPUT", "1"),
    ];
    let mut talker = world.example("talker", "", &environment);
    assert_eq!(talker.line().await, "\x1b[0mINFO|talker|talking on /chatter rate_hz=1.0\x1b[0m");
    let (_, rest) = talker.stop().await;
    assert_eq!(rest.last().unwrap(), "\x1b[33mWARN|talker|nobody greets any more\x1b[0m");
}

//! Types of an interface package that nobody here was built with: on the r2r stack rcl wants the package's own libraries for them.
//! So the test builds the package (`tests/foreign_msgs`) by colcon, and what is to be shown runs in a process that has sourced it.

use super::{PATIENCE, World, next};
use edgeflow_ros::{Node, QosProfile, Queue, RawType, registry};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

const GRIP: &str = "foreign_msgs/msg/Grip";
const NOTHING: &str = "foreign_msgs/msg/Nothing";

/// Builds the package below a folder; the file that sources it.
fn build(folder: &Path) -> std::path::PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_msgs");
    let mut colcon = Command::new("colcon");
    colcon.arg("--log-base").arg(folder.join("log")).args(["build", "--event-handlers", "console_cohesion+", "--base-paths"]).arg(sources);
    colcon.arg("--build-base").arg(folder.join("build")).arg("--install-base").arg(folder.join("install"));
    colcon.args(["--cmake-args", "-DBUILD_TESTING=OFF"]);
    // Where cmake looks for packages; what runs this test may have taken it away to keep r2r's code from being generated anew.
    colcon.env("CMAKE_PREFIX_PATH", std::env::var_os("AMENT_PREFIX_PATH").unwrap_or_default());
    let built = colcon.output().unwrap_or_else(|e| panic!("colcon, which builds an interface package for this test: {e}"));
    assert!(built.status.success(), "{}{}", String::from_utf8_lossy(&built.stdout), String::from_utf8_lossy(&built.stderr));
    folder.join("install/local_setup.bash")
}

#[test]
fn types_of_a_package_that_was_built_later_are_subscribed_and_published() {
    // Kept: under the next RMW there is nothing to build.
    let setup = build(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign"));
    // A library path is read when a process starts.
    let mut sourced = Command::new("bash");
    sourced.args(["-c", ". \"$0\" && exec \"$@\""]).arg(setup).arg(std::env::current_exe().unwrap());
    let ran = sourced.args(["foreign::sourced", "--ignored", "--test-threads", "1", "--nocapture"]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("3 passed"), "{said}");
}

fn grip(count: u64) -> Value {
    json!({
        "header": {"stamp": {"sec": -1, "nanosec": 5}, "frame_id": "gripper"},
        "state": 0, "held": true, "label": "mug", "force_n": [0.5, -0.25, 1e300], "torques_nm": [1.5, ".nan"], "skin": [0, 255, 7],
        "seen": ["", "höre"], "count": count,
        "fingers": [{"name": "index", "position": -3, "strain": 0.125}, {"name": "", "position": 32767, "strain": ".inf"}],
        "thumb": {"name": "thumb", "position": 1, "strain": 0.0},
    })
}

mod sourced {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "run by the test above, in a process that has sourced foreign_msgs"]
    async fn values_and_octets_go_both_ways() {
        let world = World::new();
        let node = Node::create(&world.program(""), "node", "").unwrap();
        let tool = Node::create(&world.program(""), "tool", "").unwrap();
        let ty = registry::resolve(GRIP, None).unwrap();
        assert_eq!((ty.constants.len(), ty.fields.len()), (2, 11), "{ty:?}");
        let qos = QosProfile::default().keep_all();
        let mut values = tool.subscribe_dynamic("grip", GRIP, qos, Queue::all()).unwrap();
        let mut bodies = tool.subscribe_opaque("grip", &RawType::from(ty), qos, Queue::all()).unwrap();
        let described = node.publish_described("grip", ty, qos).unwrap();
        let opaque = node.create_raw_publisher("grip", &RawType::from(ty), qos).unwrap();
        assert!(described.wait_for_subscribers(2, PATIENCE).await);
        assert!(opaque.wait_for_subscribers(2, PATIENCE).await);
        for count in [0, u64::MAX] {
            described.publish(&grip(count)).unwrap();
            assert_eq!(next(&mut values).await, grip(count));
            let body = next(&mut bodies).await;
            assert_eq!(ty.decode(&body).unwrap(), grip(count), "what comes as octets is the message");
            opaque.publish(&body).unwrap();
            assert_eq!(next(&mut values).await, grip(count), "and so is what is published as octets");
            assert_eq!(ty.decode(&next(&mut bodies).await).unwrap(), grip(count));
        }
        // Many at once, and a large one.
        for count in 0..300 {
            described.publish(&json!({"count": count})).unwrap();
        }
        for count in 0..300 {
            let value = next(&mut values).await;
            assert_eq!(value["count"], json!(count));
            // What is left out has the default of its definition.
            let defaults = (&value["label"], &value["force_n"], &value["thumb"]["position"]);
            assert_eq!(defaults, (&json!("it is \"held\""), &json!([1.5, 0.0, -1.5]), &json!(-7)));
        }
        let skin: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
        described.publish(&json!({"skin": skin})).unwrap();
        assert_eq!(next(&mut values).await["skin"], json!(skin));
        // Octets that are no message are refused, and the publisher goes on.
        let error = opaque.publish(&[1, 2, 3]).unwrap_err().to_string();
        assert!(error.starts_with("publish on /grip: "), "{error}");
        opaque.publish(&ty.encode(&grip(9)).unwrap()).unwrap();
        assert_eq!(next(&mut values).await, grip(9));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "run by the test above, in a process that has sourced foreign_msgs"]
    async fn the_graph_shows_them_and_what_is_dropped_leaves_it() {
        let world = World::new();
        let node = Node::create(&world.program(""), "node", "").unwrap();
        let tool = Node::create(&world.program(""), "tool", "").unwrap();
        let (grips, nothings) = (registry::resolve(GRIP, None).unwrap(), registry::resolve(NOTHING, None).unwrap());
        let latched = QosProfile::default().keep_last(1).transient_local();
        let publisher = node.publish_described("held", grips, latched).unwrap();
        publisher.publish(&grip(1)).unwrap();
        let mut late = tool.subscribe_dynamic("held", GRIP, latched, Queue::all()).unwrap();
        assert_eq!(next(&mut late).await, grip(1), "what is latched reaches whoever comes late");
        let found = tool.get_publishers_info("/held").unwrap();
        assert_eq!((found.len(), found[0].type_name.as_str()), (1, GRIP));
        drop(publisher);
        assert!(tool.wait_for_graph(PATIENCE, |tool| tool.count_publishers("/held").unwrap() == 0).await);
        // Another type beside it, of which each message is an octet that says nothing.
        let mut heard = tool.subscribe_dynamic("nothing", NOTHING, QosProfile::default(), Queue::all()).unwrap();
        let publisher = node.publish_described("nothing", nothings, QosProfile::default()).unwrap();
        assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
        publisher.publish(&json!({})).unwrap();
        assert_eq!(next(&mut heard).await, json!({}));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "run by the test above, in a process that has sourced foreign_msgs"]
    async fn what_is_not_installed_or_is_another_definition_is_refused_by_name() {
        let world = World::new();
        let node = Node::create(&world.program(""), "node", "").unwrap();
        let refused = |name: &str, hash: &str| {
            let ty = RawType { name: name.into(), hash: hash.into() };
            let published = node.create_raw_publisher("odd", &ty, QosProfile::default()).err().unwrap().to_string();
            let subscribed = node.subscribe_opaque("odd", &ty, QosProfile::default(), Queue::all()).err().unwrap().to_string();
            assert_eq!(published, subscribed);
            published
        };
        let other = format!("RIHS01_{}", "5a".repeat(32));
        let error = refused("unheard_msgs/msg/Of", &other);
        for part in ["unheard_msgs/msg/Of", "libunheard_msgs__rosidl_typesupport_c.so", "install unheard_msgs and source its workspace"] {
            assert!(error.contains(part), "{error}");
        }
        let error = refused("foreign_msgs/msg/Gripp", &other);
        assert!(error.contains("foreign_msgs/msg/Gripp") && error.contains("install/foreign_msgs/lib/libforeign_msgs"), "{error}");
        let error = refused(GRIP, &other);
        let installed = registry::resolve(GRIP, None).unwrap().hash;
        assert!(error.contains("another definition") && error.contains(&other) && error.contains(installed), "{error}");
        let error = refused("../msg/Of", &other);
        assert!(error.contains("\"../msg/Of\""), "{error}");
    }
}

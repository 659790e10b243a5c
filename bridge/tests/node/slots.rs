//! Slots that are no models: applied by a command or by a service of the robot's own.

use crate::{common::Held, world::*};
use edgeflow_ros::{Context, Node, edgeflow_msgs::srv::LoadModel};
use edgeflow_wire::{DesiredState, SlotKind, SlotSpec, SlotStatus};
use futures::StreamExt;
use std::{collections::BTreeMap, path::Path};
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_applied_by_the_robots_own_command_once_and_edits_of_its_files_stand() {
    let mut world = World::new().await;
    let etc = world.dir.path().join("etc");
    let script = world.dir.path().join("apply.sh");
    std::fs::create_dir(&etc).unwrap();
    // What says "bad" is refused half way; each run leaves a line.
    let runs = world.dir.path().join("runs");
    let text = format!(
        "echo \"$EDGEFLOW_VERSION\" >> {runs}\ncp \"$1\"/* {etc}/\ngrep -q bad \"$1\"/nav.yaml && {{ echo this is bad >&2; exit 1; }}\nexit 0\n",
        runs = runs.display(),
        etc = etc.display()
    );
    std::fs::write(&script, text).unwrap();
    let (script, etc_text) = (script.display().to_string(), etc.display().to_string());
    world.declare_slots(serde_json::json!({ "nav": {
        "kind": "config", "apply": ["/bin/sh", script], "remove": ["/bin/sh", "-c", format!("rm -f {etc_text}/*")],
        "software": ["/bin/sh", "-c", "echo 7.1"], "watch": etc_text } }));
    let config = |version: &str, content: &[u8]| bundle(SlotKind::Config, "nav", version, ("nav.yaml", content));
    let contents: [&[u8]; 3] = [b"speed: 1", b"bad: 2", b"speed: 3"];
    contents.iter().for_each(|content| world.register(content));
    let [one, bad, three] = [("1", contents[0]), ("2", contents[1]), ("3", contents[2])].map(|(version, content)| config(version, content));

    let robot = world.bridge();
    world.plane.declare(declared(1, &[("nav", &one, 0, 1)]));
    world.plane.until("it is applied", |held| has(held, 1, SlotStatus::Active)).await;
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), contents[0]);
    let told: Vec<SlotStatus> = steps(&world.plane.held.lock().unwrap(), 1).iter().map(|step| step.0).collect();
    use SlotStatus::{Active, Downloading, Failed, Verifying, Warming};
    assert_eq!(told, [Downloading, Verifying, Warming, Active]);
    world.plane.until("the state attests it", |held| slot_now(held, "nav").is_some_and(|slot| slot.digest == one.digest)).await;
    let state = last_state(&world.plane.held.lock().unwrap()).unwrap();
    assert_eq!((state.slots["nav"].software.as_str(), state.slots["nav"].kind), ("7.1", SlotKind::Config));
    assert_eq!(state.configuration["nav"].digest, one.digest, "the watched folder is the bundle");

    // After a restart it is not applied again.
    robot.stop().await;
    let robot = world.bridge();
    world.plane.until("it is attested again", |held| steps(held, 1).iter().filter(|step| step.0 == Active).count() == 2).await;
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "1\n");

    // One that fails half way is taken back.
    world.plane.declare(declared(2, &[("nav", &bad, 0, 2)]));
    world.plane.until("it failed", |held| has(held, 2, Failed)).await;
    let (_, running, reason) = steps(&world.plane.held.lock().unwrap(), 2).pop().unwrap();
    assert_eq!(running, one.digest);
    assert!(reason.contains("this is bad") && reason.contains("applied again"), "{reason}");
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "1\n2\n1\n");
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), contents[0]);

    // Somebody edits the files: that stands, also against what is declared next, until somebody decides.
    std::fs::write(etc.join("nav.yaml"), "speed: 9").unwrap();
    let edited = |held: &Held| slot_now(held, "nav").is_some_and(|slot| slot.local.is_some() && slot.vector.unwrap().robot == 1);
    world.plane.until("the edit is told", edited).await;
    world.plane.declare(declared(3, &[("nav", &three, 0, 3)]));
    world.plane.until("it is observed", |held| last_state(held).is_some_and(|state| state.observed.version.generation == 3)).await;
    let slot = slot_now(&world.plane.held.lock().unwrap(), "nav").unwrap();
    assert_eq!((slot.vector.unwrap().control.generation, slot.model.as_str()), (1, ""), "its digest is that of the edited files");
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), b"speed: 9");
    world.plane.declare(declared(4, &[("nav", &three, 1, 4)]));
    world.plane.until("what is declared is applied", |held| has(held, 4, Active)).await;
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), contents[2]);

    // Nothing is declared any more: it is taken away, and a slot that was never set up is refused.
    let gone = declared(5, &[("nav", &three, 1, 5)]);
    world.plane.declare(DesiredState { slots: BTreeMap::from([("mop".into(), three.clone())]), ..gone });
    world.plane.until("it is gone", |held| slot_now(held, "nav").is_some_and(|slot| slot.digest.is_empty())).await;
    assert!(!etc.join("nav.yaml").exists());
    world.plane.until("the unknown one failed", |held| steps(held, 5).iter().any(|step| step.2.contains("no slot \"mop\""))).await;
    robot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_applied_is_not_taken_for_applied_because_its_files_are_there() {
    let mut world = World::new().await;
    let etc = world.dir.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    let (runs, etc_text) = (world.dir.path().join("runs"), etc.display().to_string());
    // The files come, and then whoever shall read them does not take them.
    let script = format!("echo run >> {}; cp \"$1\"/* {etc_text}/; echo no such key >&2; exit 1", runs.display());
    world.declare_slots(serde_json::json!({ "nav": {
        "kind": "config", "apply": ["/bin/sh", "-c", script, "apply"], "remove": ["/bin/sh", "-c", format!("rm -f {etc_text}/*")],
        "watch": etc_text } }));
    world.register(b"speed: 1");
    let config = bundle(SlotKind::Config, "nav", "1", ("nav.yaml", b"speed: 1"));
    let robot = world.bridge();
    world.plane.declare(declared(1, &[("nav", &config, 0, 1)]));
    world.plane.until("it failed", |held| has(held, 1, SlotStatus::Failed)).await;
    // Whatever is looked at next finds the very files that are declared.
    let files_told = |held: &Held, generation: u64| {
        last_state(held)
            .is_some_and(|state| state.observed.version.generation == generation && state.configuration["nav"].digest == config.digest)
    };
    world.plane.declare(declared(2, &[("nav", &config, 0, 1)]));
    world.plane.until("the files were looked at", |held| files_told(held, 2)).await;
    let nothing_attested =
        |held: &Held| slot_now(held, "nav").is_some_and(|slot| slot.status == SlotStatus::Failed && slot.digest.is_empty());
    assert!(nothing_attested(&world.plane.held.lock().unwrap()));

    // A bridge that begins tries once more, and comes to the same end.
    robot.stop().await;
    let robot = world.bridge();
    let failures = |held: &Held| steps(held, 2).iter().filter(|step| step.0 == SlotStatus::Failed).count();
    world.plane.until("it failed again", |held| failures(held) == 1).await;
    world.plane.until("nothing is attested", nothing_attested).await;
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\nrun\n");
    assert!([1, 2].iter().all(|generation| !has(&world.plane.held.lock().unwrap(), *generation, SlotStatus::Active)));

    // What it left is taken away with the declaration.
    world.plane.declare(DesiredState { slots: BTreeMap::new(), ..declared(3, &[("nav", &config, 0, 3)]) });
    let gone = |held: &Held| slot_now(held, "nav").is_some_and(|slot| slot.vector.unwrap().control.generation == 3);
    world.plane.until("it is gone", gone).await;
    assert!(!etc.join("nav.yaml").exists());
    robot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_no_change_and_files_changed_while_the_bridge_was_away_are_one() {
    let mut world = World::new().await;
    let dir = world.dir.path().to_owned();
    let [etc, files, many] = ["etc", "files", "many"].map(|name| dir.join(name));
    // From one moment to the next the watched path is another folder.
    let become_folder = |folder: &Path| {
        let link = dir.join("link");
        std::os::unix::fs::symlink(folder, &link).unwrap();
        std::fs::rename(&link, &etc).unwrap();
    };
    [&files, &many].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    (0..4_001).for_each(|number| std::fs::write(many.join(number.to_string()), "").unwrap());
    become_folder(&files);
    let etc_text = etc.display().to_string();
    world.declare_slots(serde_json::json!({ "nav": {
        "kind": "config", "apply": ["/bin/sh", "-c", format!("cp \"$1\"/* {etc_text}/"), "apply"],
        "remove": ["/bin/sh", "-c", format!("rm -f {etc_text}/*")], "watch": etc_text } }));
    world.register(b"speed: 1");
    let config = bundle(SlotKind::Config, "nav", "1", ("nav.yaml", b"speed: 1"));
    std::fs::write(etc.join("nav.yaml"), "speed: 0").unwrap();
    let robot = world.bridge();
    let factory = bundle(SlotKind::Config, "nav", "0", ("nav.yaml", b"speed: 0")).digest;
    let told = |held: &Held, digest: &str| last_state(held).is_some_and(|state| state.configuration["nav"].digest == digest);
    world.plane.until("the files are told before anything is declared", |held| told(held, &factory)).await;
    world.plane.declare(declared(1, &[("nav", &config, 0, 1)]));
    world.plane.until("it is applied", |held| has(held, 1, SlotStatus::Active)).await;

    // More files than anybody looks at: nothing can be said of them.
    become_folder(&many);
    world.plane.declare(declared(2, &[("nav", &config, 0, 1)]));
    world.plane.until("that is told", |held| faults(held).contains("whether they are changed is not known")).await;
    become_folder(&files);
    world.plane.until("it follows", |held| last_state(held).is_some_and(|state| state.observed.version.generation == 2)).await;
    let slot = slot_now(&world.plane.held.lock().unwrap(), "nav").unwrap();
    assert_eq!((slot.local, slot.vector.unwrap().robot, slot.digest), (None, 0, config.digest.clone()));

    robot.stop().await;
    std::fs::write(etc.join("nav.yaml"), "speed: 9").unwrap();
    let nothing =
        |generation, robot| DesiredState { slots: BTreeMap::new(), ..declared(generation, &[("nav", &config, robot, generation)]) };
    world.taken_up(nothing(3, 0));
    let robot = world.bridge();
    world.plane.until("the change is told", |held| slot_now(held, "nav").is_some_and(|slot| slot.local.is_some())).await;
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), b"speed: 9");
    world.plane.declare(nothing(4, 1));
    world.plane.until("it is settled", |held| slot_now(held, "nav").is_some_and(|slot| slot.digest.is_empty())).await;
    assert!(!etc.join("nav.yaml").exists());
    robot.stop().await;
}

/// How what applies packages answers to a version.
#[derive(Clone, Copy)]
enum Answers {
    Done,
    /// That it applied another one.
    DoneOther,
    Refusal(&'static str),
    Never,
}

/// A node of the robot's own that applies packages. Leaves the graph when dropped.
struct PackageManager {
    context: Context,
}

impl PackageManager {
    /// Notes which version is asked for, of those that it knows an answer to.
    fn start(world: &World, asked: &watch::Sender<Vec<String>>, answers: &[(&'static str, Answers)]) -> Self {
        let context = Context::builder().arguments(Vec::new()).router(world.router).build().unwrap();
        let node = Node::create(&context, "package_manager", NAMESPACE).unwrap();
        let mut load = node.create_service::<LoadModel::Service>("~/load").unwrap();
        let (asked, answers) = (asked.clone(), BTreeMap::from_iter(answers.iter().copied()));
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(request) = load.next().await {
                let LoadModel::Request { slot, bundle_path, model_name, model_version, digest } = request.message.clone();
                assert_eq!((slot.as_str(), model_name.as_str()), ("nav-stack", "nav"));
                let content = std::fs::read_to_string(Path::new(&bundle_path).join("nav.deb")).unwrap();
                assert_eq!(content, format!("package {model_version}"));
                let answer = match answers[model_version.as_str()] {
                    Answers::Done => LoadModel::Response { success: true, digest, ..LoadModel::Response::default() },
                    Answers::DoneOther => {
                        LoadModel::Response { success: true, digest: "sha256:other".into(), ..LoadModel::Response::default() }
                    }
                    Answers::Refusal(reason) => LoadModel::Response { message: reason.into(), ..LoadModel::Response::default() },
                    Answers::Never => {
                        asked.send_modify(|asked| asked.push(model_version));
                        unanswered.push(request);
                        continue;
                    }
                };
                request.respond(answer).unwrap();
                asked.send_modify(|asked| asked.push(model_version));
            }
        });
        Self { context }
    }

    fn stop(self) {
        self.context.shutdown().unwrap();
    }
}

/// A robot whose packages are applied by a service, with so many versions of one.
async fn packaged(timeout_s: f64) -> (World, [SlotSpec; 5], watch::Sender<Vec<String>>) {
    let mut world = World::new().await;
    world.declare_slots(serde_json::json!({
        "nav-stack": { "kind": "package", "service": "package_manager/load", "timeout_s": timeout_s } }));
    let versions = ["1", "2", "3", "4", "5"].map(|version| {
        let content = format!("package {version}");
        world.register(content.as_bytes());
        bundle(SlotKind::Package, "nav", version, ("nav.deb", content.as_bytes()))
    });
    (world, versions, watch::Sender::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_applied_by_a_service_of_the_robots_own_and_fails_with_its_words_or_by_the_clock() {
    let (world, [one, two, three, four, _], asked) = packaged(4.0).await;
    let robot = world.bridge();
    // Nobody is there who applies it: that is no failure, it waits.
    world.plane.declare(declared(1, &[("nav-stack", &one, 0, 1)]));
    let waits = |held: &Held| {
        slot_now(held, "nav-stack").is_some_and(|slot| {
            slot.status == SlotStatus::Pending
                && slot.reason.contains("nobody serves /robot_1/package_manager/load")
                && slot.digest.is_empty()
        })
    };
    world.plane.until("it waits for the service", waits).await;
    let answers = [("1", Answers::Done), ("2", Answers::Refusal("needs glibc 2.41")), ("3", Answers::Never), ("4", Answers::DoneOther)];
    let manager = PackageManager::start(&world, &asked, &answers);
    world.plane.until("it is applied", |held| has(held, 1, SlotStatus::Active)).await;
    let is = |held: &Held, spec: &SlotSpec| {
        slot_now(held, "nav-stack")
            .is_some_and(|slot| slot.digest == spec.digest && slot.version == spec.version && slot.kind == SlotKind::Package)
    };
    world.plane.until("the state attests it", |held| is(held, &one)).await;
    assert!(!has(&world.plane.held.lock().unwrap(), 1, SlotStatus::Failed));

    // The bridge restarts: it is not applied again.
    robot.stop().await;
    let robot = world.bridge();
    let attested = |held: &Held| steps(held, 1).iter().filter(|step| step.0 == SlotStatus::Active).count() == 2;
    world.plane.until("it is attested again", attested).await;
    assert_eq!(*asked.borrow(), ["1"]);

    // Refused, not answered, and done otherwise: each fails with its reason, and what was there is applied again.
    for (generation, spec, says) in
        [(2, &two, "needs glibc 2.41"), (3, &three, "did not answer within 4s"), (4, &four, "says that it applied sha256:other instead")]
    {
        world.plane.declare(declared(generation, &[("nav-stack", spec, 0, generation)]));
        world.plane.until("it failed", |held| has(held, generation, SlotStatus::Failed)).await;
        let (_, running, reason) = steps(&world.plane.held.lock().unwrap(), generation).pop().unwrap();
        assert!(reason.contains(says) && reason.ends_with("what was there before was applied again"), "{reason}");
        assert_eq!(running, one.digest);
        world
            .plane
            .until("the state says so", |held| is(held, &one) && slot_now(held, "nav-stack").unwrap().status == SlotStatus::Failed)
            .await;
    }
    assert_eq!(*asked.borrow(), ["1", "2", "1", "3", "1", "4", "1"]);

    // It has no way to take a package away, and says so.
    let gone = declared(5, &[("nav-stack", &four, 0, 5)]);
    world.plane.declare(DesiredState { slots: BTreeMap::new(), ..gone });
    world.plane.until("it stays, and that is told", |held| faults(held).contains("is not declared in slots_file")).await;
    robot.stop().await;
    manager.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_applied_when_the_bridge_stopped_is_applied_again_whatever_is_declared_then() {
    let (world, [one, _, _, _, five], asked) = packaged(60.0).await;
    let manager = PackageManager::start(&world, &asked, &[("1", Answers::Done), ("5", Answers::Never)]);
    let robot = world.bridge();
    world.plane.declare(declared(1, &[("nav-stack", &one, 0, 1)]));
    world.plane.until("it is applied", |held| has(held, 1, SlotStatus::Active)).await;
    world.plane.declare(declared(2, &[("nav-stack", &five, 0, 2)]));
    let asked_for = async |count: usize| {
        let mut asked = asked.subscribe();
        tokio::time::timeout(PATIENCE, asked.wait_for(|asked| asked.len() >= count)).await.unwrap().unwrap();
    };
    asked_for(2).await;
    robot.stop().await;
    manager.stop();

    // Back, without anybody who applies packages: nobody knows how far version 5 came.
    let robot = world.bridge();
    let unknown =
        |held: &Held| slot_now(held, "nav-stack").is_some_and(|slot| slot.digest.is_empty() && slot.reason.contains("nobody serves"));
    world.plane.until("it attests nothing", unknown).await;
    // What was there before is wanted again: on record as applied, and yet not to be trusted.
    world.plane.declare(declared(3, &[("nav-stack", &one, 0, 3)]));
    world.plane.until("it is taken up", |held| last_state(held).is_some_and(|state| state.observed.version.generation == 3)).await;
    let manager = PackageManager::start(&world, &asked, &[("1", Answers::Done)]);
    world.plane.until("it is applied", |held| has(held, 3, SlotStatus::Active)).await;
    assert_eq!(*asked.borrow(), ["1", "5", "1"]);
    world.plane.until("it is attested", |held| slot_now(held, "nav-stack").is_some_and(|slot| slot.digest == one.digest)).await;
    robot.stop().await;
    manager.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_only_a_later_bridge_knows_fails_its_slot_alone() {
    let world = World::new().await;
    let node = world.inference_node();
    let robot = world.bridge();
    let first = spec("1", b"model one");
    world.register(b"model one");
    let gripper = SlotSpec { kind: SlotKind::Unknown, ..spec("7", b"firmware") };
    world.plane.declare(declared(1, &[("arm", &gripper, 0, 1), ("default", &first, 0, 1)]));
    world.plane.until("the model is active", |held| has(held, 1, SlotStatus::Active)).await;
    let told = |held: &Held| steps(held, 1).into_iter().find(|step| step.0 == SlotStatus::Failed);
    world.plane.until("the other slot failed", |held| told(held).is_some()).await;
    let (_, running, reason) = told(&world.plane.held.lock().unwrap()).unwrap();
    assert!(running.is_empty() && reason.contains("\"arm\"") && reason.contains("update the bridge"), "{reason}");
    world.plane.until("the state attests the model", |held| running_in_state(held) == Some((1, first.digest.clone()))).await;
    assert_eq!(faults(&world.plane.held.lock().unwrap()), "", "the document was not refused");
    robot.stop().await;
    node.stop();
}

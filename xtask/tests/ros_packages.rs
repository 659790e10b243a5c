//! The colcon workspace agrees with the folders and with cargo: what only shows on a machine with ROS 2 is checked on every one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Folder in ros_ws/src and the text of its package.xml.
fn packages() -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(root().join("ros_ws/src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|folder| (folder.clone(), read(&format!("ros_ws/src/{folder}/package.xml"))))
        .collect();
    found.sort();
    found
}

/// Contents of every `<tag>` whose name is one of these.
fn tags(xml: &str, names: &[&str]) -> BTreeSet<String> {
    let document =
        roxmltree::Document::parse_with_options(xml, roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() })
            .unwrap();
    let nodes = document.descendants().filter(|node| names.contains(&node.tag_name().name()));
    nodes.filter_map(|node| node.text().map(str::to_owned)).collect()
}

fn depends(xml: &str) -> BTreeSet<String> {
    tags(
        xml,
        &["depend", "build_depend", "exec_depend", "buildtool_depend", "build_export_depend", "buildtool_export_depend", "test_depend"],
    )
}

#[test]
fn every_interface_file_is_in_the_list_and_nothing_else() {
    let listed: BTreeSet<String> = read("msgs/CMakeLists.txt")
        .split_whitespace()
        .filter(|word| [".msg", ".srv", ".action"].iter().any(|extension| word.ends_with(extension)))
        .map(str::to_owned)
        .collect();
    let mut there = BTreeSet::new();
    for folder in ["msg", "srv", "action"] {
        let Ok(entries) = fs::read_dir(root().join("msgs").join(folder)) else { continue };
        there.extend(entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap())));
    }
    assert_eq!(listed, there, "msgs/CMakeLists.txt names the files of msgs/");
    let readme = read("msgs/README.md");
    let untold: Vec<_> = there.iter().filter(|file| !readme.contains(&format!("({file})"))).collect();
    assert_eq!(untold, Vec::<&String>::new(), "msgs/README.md tells of each");
    assert!(there.len() > 10);
}

#[test]
fn the_doors_package_depends_on_the_interfaces_its_generator_reads() {
    let listed = read("ros_ws/src/edgeflow_ros/codegen/packages.txt");
    let listed = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut wanted: BTreeSet<String> = listed.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    wanted.insert("edgeflow_msgs".into());
    let interfaces = |name: &String| name.ends_with("_msgs") || name.ends_with("_interfaces") || name.ends_with("_srvs");
    let depended: BTreeSet<String> = depends(&read("ros_ws/src/edgeflow_ros/package.xml")).into_iter().filter(interfaces).collect();
    assert_eq!(depended, wanted);
}

#[test]
fn the_workspace_links_to_the_rooms_and_every_package_is_described_alike() {
    for room in ["bridge", "launch", "msgs", "rviz", "sim"] {
        let link = fs::read_link(root().join("ros_ws/src").join(room)).unwrap();
        assert_eq!(link, Path::new("../..").join(room), "a relative link, which a clone keeps");
    }
    let workspace = read("Cargo.toml");
    let version = workspace.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"').to_owned();
    let all = packages();
    let ours: BTreeSet<String> = all.iter().flat_map(|(_, xml)| tags(xml, &["name"])).collect();
    assert_eq!(ours.len(), all.len(), "a name each");
    for (folder, xml) in &all {
        for (tag, wanted) in [("version", version.as_str()), ("license", "Apache-2.0"), ("build_type", "ament_cmake")] {
            assert_eq!(tags(xml, &[tag]), BTreeSet::from([wanted.to_owned()]), "<{tag}> of {folder}");
        }
        let unknown: Vec<_> = depends(xml).into_iter().filter(|name| name.starts_with("edgeflow_") && !ours.contains(name)).collect();
        assert_eq!(unknown, Vec::<String>::new(), "{folder} depends on packages of ours that are not there");
        let cmake = read(&format!("ros_ws/src/{folder}/CMakeLists.txt"));
        let name = tags(xml, &["name"]).pop_first().unwrap();
        assert!(cmake.contains(&format!("project({name}")), "project() of {folder} is called {name}");
        // What is looked for at configure time must be built before.
        for found in cmake.lines().filter_map(|line| line.trim().strip_prefix("find_package(")) {
            let found = found.split_whitespace().next().unwrap().trim_end_matches(')');
            assert!(depends(xml).contains(found), "{folder}/package.xml does not depend on {found}");
        }
    }
}

#[test]
fn the_build_installs_programs_that_cargo_knows() {
    let mut installed = BTreeSet::new();
    for (folder, _) in packages() {
        let cmake = read(&format!("ros_ws/src/{folder}/CMakeLists.txt"));
        let Some(call) = cmake.split("edgeflow_cargo_nodes(").nth(1) else { continue };
        for program in call.split(')').next().unwrap().split_whitespace() {
            let source = root().join("ros_ws/src").join(&folder).join("src/bin").join(format!("{program}.rs"));
            assert!(source.is_file(), "{} installs {program}, and {} is not there", folder, source.display());
            installed.insert(program.to_owned());
        }
    }
    assert_eq!(installed, ["bridge_node", "drift_markers_node", "inference_node", "sim_robot"].map(str::to_owned).into());
    // Features are the union over the packages that the build names, so a node that is missing there would build r2r again.
    let function = read("ros_ws/src/edgeflow_ros/cmake/edgeflow_cargo_nodes.cmake");
    for package in ["edgeflow_bridge", "edgeflow_inference", "edgeflow_markers", "edgeflow_ros", "edgeflow_sim"] {
        assert!(function.contains(package), "{package}");
    }
}

/// An installation as `with_interfaces.sh` looks at it: package.xml and interfaces.
fn install(prefix: &Path, package: &str, interface: &str) {
    let share = prefix.join("share").join(package);
    fs::create_dir_all(share.join("msg")).unwrap();
    fs::write(share.join("package.xml"), "<package/>").unwrap();
    fs::write(share.join("msg/Thing.idl"), interface).unwrap();
}

/// What a command run by the script sees, or what the script complains of.
fn environment(prefixes: &[&Path]) -> Result<BTreeSet<String>, String> {
    let path = std::env::join_paths(prefixes).unwrap();
    let output = std::process::Command::new(root().join("ros_ws/src/edgeflow_ros/cmake/with_interfaces.sh"))
        .arg("env")
        .env("AMENT_PREFIX_PATH", path)
        .env("CMAKE_PREFIX_PATH", "/of/the/moment")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    Ok(text(&output.stdout).lines().map(str::to_owned).collect())
}

fn variable(environment: &BTreeSet<String>, name: &str) -> Option<String> {
    environment.iter().find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

#[test]
fn a_changed_interface_changes_what_r2r_watches() {
    let folder = tempfile::tempdir().unwrap();
    let (ros, overlay, node) = (folder.path().join("ros"), folder.path().join("overlay"), folder.path().join("node"));
    let packages = read("ros_ws/src/edgeflow_ros/codegen/packages.txt");
    let packages = packages.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let packages: Vec<&str> = packages.map(|line| line.split_whitespace().next().unwrap()).collect();
    for package in &packages {
        install(&ros, package, "struct Thing { long a; };");
    }
    for package in ["rcl", "rcl_action", "rcutils", "rmw", "rosidl_generator_c", "rosidl_runtime_c", "rosidl_typesupport_introspection_c"] {
        install(&ros, package, "");
    }
    let missing = environment(&[&ros]).unwrap_err();
    assert!(missing.contains("edgeflow_msgs is not installed") && missing.contains("rosdep"), "{missing}");

    install(&overlay, "edgeflow_msgs", "struct Thing { long a; };");
    fs::create_dir_all(node.join("lib")).unwrap();
    for prefix in [&ros, &overlay] {
        fs::create_dir_all(prefix.join("include")).unwrap();
    }
    let before = environment(&[&node, &overlay, &ros]).unwrap();
    let filter = variable(&before, "IDL_PACKAGE_FILTER").unwrap();
    let (names, digest) = filter.rsplit_once(';').unwrap();
    assert_eq!(names.split(';').collect::<Vec<_>>(), [&["edgeflow_msgs"], &packages[..]].concat());
    assert!(digest.starts_with("sha256_") && digest.len() == 7 + 64, "{digest}");
    let prefixes = std::env::join_paths([&overlay, &ros]).unwrap().into_string().unwrap();
    assert_eq!(variable(&before, "AMENT_PREFIX_PATH").unwrap(), prefixes, "a prefix of programs alone changes nothing for r2r");
    assert_eq!(variable(&before, "CMAKE_PREFIX_PATH"), None);
    assert_eq!(variable(&environment(&[&overlay, &ros]).unwrap(), "IDL_PACKAGE_FILTER").unwrap(), filter, "the same again");

    install(&overlay, "edgeflow_msgs", "struct Thing { long a; long b; };");
    let after = variable(&environment(&[&overlay, &ros]).unwrap(), "IDL_PACKAGE_FILTER").unwrap();
    assert!(after != filter && after.starts_with(names), "{after}");
}

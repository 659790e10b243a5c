//! The generator on interface files that no package of ours has: hashes as rosidl has them for these very
//! files, names as r2r has them, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)] // a build script prints

#[path = "../codegen/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod codegen;

use codegen::{Flavour, Generated};
use std::{fs, path::Path};

/// A package `probe_msgs` of these files, with the standard packages that actions stand on.
fn generate(files: &[(&str, &str)], flavour: Flavour) -> anyhow::Result<Generated> {
    let workspace = tempfile::tempdir()?;
    let package = workspace.path().join("probe_msgs");
    for (path, text) in files {
        let path = package.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, text)?;
    }
    let standard = |name: &str| hiroz_codegen::bundled_assets_dir_for("jazzy").join(name);
    let mut folders = ["builtin_interfaces", "service_msgs", "unique_identifier_msgs"].map(standard).to_vec();
    folders.push(package);
    codegen::generate(&codegen::read(&folders)?, flavour)
}

const FILES: [(&str, &str); 3] = [
    ("msg/Place.msg", "float64 x\nbuiltin_interfaces/Time stamp\n"),
    ("srv/CancelGoalLater.srv", "Place here\n---\n"),
    ("action/Travel.action", "Place[] way\nuint8[4] key\nstring<=8 label \"x\"\n---\n---\nuint8 TYPE_ROAD=1\nPlace here\n"),
];

#[test]
fn hashes_are_rosidls_whatever_a_type_is_part_of() {
    let tables = generate(&FILES, Flavour::Embedded).unwrap().tables;
    // Written by rosidl_generator_type_description of Jazzy for these files.
    for (name, hash) in [
        ("msg/Place", "7ecd861155b30245447c9a6582b040fa78d9c7aaa1383662c99509ccf8e2a35b"),
        // Named as if it belonged to an action.
        ("srv/CancelGoalLater", "c3e390e2830edb567e0f8410ed0b8af6a78f6d55b78aadd116af2f32e2705a55"),
        ("srv/CancelGoalLater_Request", "649ce787e329c2f45136a60012f27a99a4eb09dcaa0d35b274c0f38b9af24e67"),
        ("srv/CancelGoalLater_Response", "ebef46f1b3bc066c8cc370c5111b86e68ad07baf05f01feefb2bb87ccd433db0"),
        ("action/Travel_Goal", "88a27cd11660d7927385286b0efcf8a2330860093aaa594017928d0725cd7777"),
        ("action/Travel_Result", "a555170d73106f17df89702f7a861b542a1b200f0a7056c0819a1c6119e5fb17"),
        ("action/Travel_Feedback", "e32e6408feaf6ce7926b1b43553678fd6afb40cc767a7b6585f44670f5118f42"),
        ("action/Travel_FeedbackMessage", "cb9bcf0a387c4b400086afb797add2ceed841689a248b29ef6f4ea20740bebbf"),
        ("action/Travel_SendGoal", "65a0473eff77cba5904f55e92b70c3bc290a2b9760941aa7d2e022658b3d08b7"),
        ("action/Travel_SendGoal_Request", "152ca5df784ebb4b16ac62695db1bb4c645e5af741e6106bbe504d5f1fc897ae"),
        ("action/Travel_SendGoal_Response", "c9b00c1f3002c72484209efada877484f59640490f9d6a6a58638548ed2cae90"),
        ("action/Travel_GetResult", "c802010fbfaf2b81718edb09be44c7c2a739df1e379f34664f72ce3e82b09af6"),
        ("action/Travel_GetResult_Request", "33a6d14e6e5c50023a613afaf9dda080d27b84c8ede4fbd41f7e03b4b46c6c95"),
        ("action/Travel_GetResult_Response", "d9cb27c74c4b798819a0bafa6971c161f7de570cd2c90cca3b4e7f57cfb5aea1"),
    ] {
        let entry = format!("{{ name: \"probe_msgs/{name}\", hash: \"RIHS01_{hash}\"");
        assert!(tables.contains(&entry), "{name} of {tables}");
    }
}

#[test]
fn an_action_has_r2rs_names_on_both_stacks() {
    for flavour in [Flavour::Embedded, Flavour::DocOnly] {
        let Generated { messages, constants, .. } = generate(&FILES, flavour).unwrap();
        let action = messages.split_once("pub mod Travel {").expect("a module").1;
        for item in [
            "pub struct Goal {",
            "pub way: Vec<crate::messages::probe_msgs::msg::Place>",
            "pub key: Vec<u8>",
            "label: \"x\".to_string()",
            "pub struct Result {",
            "pub struct Feedback {",
            "pub struct FeedbackMessage {",
            "pub feedback: crate::messages::probe_msgs::action::Travel::Feedback",
            "pub mod SendGoal {",
            "pub goal: crate::messages::probe_msgs::action::Travel::Goal",
            "pub mod GetResult {",
            "pub struct Action",
            "fn make_goal_request_msg(",
            "fn destructure_result_request_msg(",
        ] {
            assert!(action.contains(item), "{item} is missing: {action}");
        }
        let of_action = constants.split_once("pub mod action {").expect("constants").1;
        assert!(of_action.contains("pub mod Travel {") && of_action.contains("pub const TYPE_ROAD: u8 = 1;"), "{of_action}");
    }
    let native = generate(&FILES, Flavour::Native).unwrap().messages;
    assert!(native.contains("pub use r2r::probe_msgs;"), "{native}");
}

#[test]
fn what_cannot_be_generated_is_named() {
    for (files, part) in [
        (("action/Talk.action", "wstring word\n---\n---\n"), "field word is a wstring"),
        (("action/Talk.action", "---\n---\nAbsent where\n"), "no interface file defines probe_msgs/msg/Absent"),
        (("action/Talk.action", "string word\n---\n"), "Talk.action"),
        (("msg/Talk.msg", "other_msgs/Absent where\n"), "no interface file defines other_msgs/msg/Absent"),
    ] {
        let error = format!("{:#}", generate(&[files], Flavour::Embedded).err().expect("it was generated"));
        assert!(error.contains(part), "{error}");
    }
}

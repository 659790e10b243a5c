//! Generated types: hashes as rosidl has them, r2r's shape, and both codecs agreeing octet for octet.

#[cfg(not(feature = "r2r"))]
use edgeflow_ros::edgeflow_msgs;
use edgeflow_ros::{constants, registry};

#[test]
fn type_hashes_are_those_of_an_installed_ros() {
    // As `ros2 topic info --verbose` prints them, and as in `share/<package>/msg/<Type>.json`.
    for (name, hash) in [
        ("builtin_interfaces/msg/Duration", "RIHS01_e8d009f659816f758b75334ee1a9ca5b5c0b859843261f14c7f937349599d93b"),
        ("builtin_interfaces/msg/Time", "RIHS01_b106235e25a4c5ed35098aa0a61a3ee9c9b18d197f398b0e4206cea9acf9c197"),
        ("geometry_msgs/msg/Point", "RIHS01_6963084842a9b04494d6b2941d11444708d892da2f4b09843b9c43f42a7f6881"),
        ("geometry_msgs/msg/Pose", "RIHS01_d501954e9476cea2996984e812054b68026ae0bfae789d9a10b23daf35cc90fa"),
        ("geometry_msgs/msg/Transform", "RIHS01_beb83fbe698636351461f6f35d1abb20010c43d55374d81bd041f1ba2581fddc"),
        ("geometry_msgs/msg/Twist", "RIHS01_9c45bf16fe0983d80e3cfe750d6835843d265a9a6c46bd2e609fcddde6fb8d2a"),
        ("lifecycle_msgs/msg/TransitionEvent", "RIHS01_d5f8873a2f0146498f812d7885c7327ce27e463d36811d8792f35ee38c0d6c38"),
        ("rcl_interfaces/msg/Log", "RIHS01_e28ce254ca8abc06abf92773b74602cdbf116ed34fbaf294fb9f81da9f318eac"),
        ("sensor_msgs/msg/Image", "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47"),
        ("std_msgs/msg/Float64", "RIHS01_705ba9c3d1a09df43737eb67095534de36fd426c0587779bda2bc51fe790182a"),
        ("std_msgs/msg/Float64MultiArray", "RIHS01_1025ddc6b9552d191f89ef1a8d2f60f3d373e28b283d8891ddcc974e8c55397f"),
        ("std_msgs/msg/Header", "RIHS01_f49fb3ae2cf070f793645ff749683ac6b06203e41c891e17701b1cb597ce6a01"),
        ("std_msgs/msg/String", "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18"),
    ] {
        assert_eq!(registry::message(name).unwrap().hash, hash, "{name}");
    }
    for (name, hash) in [
        ("action_msgs/srv/CancelGoal", "RIHS01_573d8b0a534451d7bc2ac8c5ffde8ac14b8593b7001175d0cd6516dcbeb8689a"),
        ("lifecycle_msgs/srv/ChangeState", "RIHS01_356fe34f0475a43acf54542013af4167b0e729f77ea22ffb045c6ad8e20668e5"),
        ("rcl_interfaces/srv/GetParameters", "RIHS01_bf9803d5c74cf989a5de3e0c2e99444599a627c7ff75f97b8c05b01003675cbc"),
    ] {
        assert_eq!(registry::service(name).unwrap().hash, hash, "{name}");
    }
    let asked = registry::service("lifecycle_msgs/srv/ChangeState").unwrap().request();
    assert_eq!(asked.hash, "RIHS01_d74c6f524e14cade7b67e7297190360ed749264af300524fc1456f27cc2a553a");
}

#[test]
fn what_rosidl_derives_from_an_action_has_rosidls_hashes() {
    // As in `share/edgeflow_msgs/action/DeployModel.json` of a colcon build.
    for (part, hash) in [
        ("Feedback", "RIHS01_e0294b58ecebfb35bd378a0f6d0709ab991ae7c069e78fbc7dc1fbf89dc402b1"),
        ("FeedbackMessage", "RIHS01_301cec8841dc3d76dc5dba0ebfd3ef2c3ae4e654409270d072315234e11d2212"),
        ("GetResult_Request", "RIHS01_78b61a646a1e93919efae1e67ccf643aa69e2a12478ec8397cf20ffc96d04405"),
        ("GetResult_Response", "RIHS01_1218625301373720cb7ed8e9b2d0cc1e9120ee2fe2a45511f73b3d13383d6b3f"),
        ("Goal", "RIHS01_d127c44e5f33abd2444e8b7c3f7e9af648f80431737767e9575aff549004b569"),
        ("Result", "RIHS01_cfa2ef2098f23e7194826d9c61cc604d2f3ece483bf15d5941652b09514e49aa"),
        ("SendGoal_Request", "RIHS01_c141bfd849ee339989207b76e22b528a6f38f0f4ce34eb41c1358d40d5180384"),
        ("SendGoal_Response", "RIHS01_055138fd11d4061bc18b473ab585547cd977ed420bb1b3c2f66a534fe4ce7f16"),
    ] {
        let name = format!("edgeflow_msgs/action/DeployModel_{part}");
        assert_eq!(registry::message(&name).unwrap().hash, hash, "{name}");
    }
    let action = registry::action("edgeflow_msgs/DeployModel").unwrap();
    let [send_goal, get_result] = [action.send_goal(), action.get_result()].map(|name| registry::service(&name).unwrap());
    assert_eq!(send_goal.hash, "RIHS01_3264fb32bf5db662a2092e0965cd60449eac92238cdacb12de7f3d580b7690fc");
    assert_eq!(get_result.hash, "RIHS01_98b79441d5f0a692f439a4668163a7f72edfccf40e4ec61d1b0fc4e877354776");
    assert_eq!(registry::actions().collect::<Vec<_>>(), ["edgeflow_msgs/action/DeployModel"]);
    assert!(registry::services().all(|name| !name.contains("DeployModel")), "the derived services are no interfaces of their own");
}

#[cfg(not(feature = "r2r"))]
#[test]
fn types_know_their_names_and_hashes() {
    use edgeflow_ros::{Message, vision_msgs};
    assert_eq!(registry::message(edgeflow_msgs::msg::Tensor::TYPE_NAME).unwrap().hash, edgeflow_msgs::msg::Tensor::TYPE_HASH);
    assert_eq!(
        registry::message(vision_msgs::msg::Detection2DArray::TYPE_NAME).unwrap().hash,
        vision_msgs::msg::Detection2DArray::TYPE_HASH
    );
}

#[test]
fn values_of_every_type_come_back_from_the_wire() {
    // Sorted, or looking up would miss.
    assert!(registry::messages().is_sorted());
    for name in registry::messages() {
        let ty = registry::message(name).unwrap();
        let value = ty.default_value();
        assert_eq!(ty.decode(&ty.encode(&value).unwrap()).unwrap(), value, "{name}");
    }
    for name in registry::services() {
        let service = registry::service(name).unwrap();
        for ty in [service.request(), service.response()] {
            let value = ty.default_value();
            assert_eq!(ty.decode(&ty.encode(&value).unwrap()).unwrap(), value, "{}", ty.name);
        }
    }
}

#[test]
fn constants_defaults_escapes_and_fixed_arrays_have_r2rs_shape() {
    assert_eq!(constants::edgeflow_msgs::msg::Tensor::UINT64, 13u8);
    assert_eq!(constants::edgeflow_msgs::msg::DeploymentStatus::ACTIVE, 4u8);
    assert_eq!(edgeflow_ros::geometry_msgs::msg::Quaternion::default().w, 1.0);
    assert_eq!(edgeflow_ros::geometry_msgs::msg::PoseWithCovariance::default().covariance.len(), 36);
    let _: u8 = edgeflow_ros::rcl_interfaces::msg::ParameterValue::default().type_;
}

#[test]
fn cut_and_false_messages_are_errors() {
    let header = registry::message("std_msgs/msg/Header").unwrap();
    let body = header.encode(&header.complete(&serde_json::json!({"frame_id": "camera"})).unwrap()).unwrap();
    for cut in 0..body.len() {
        let error = header.decode(&body[..cut]).unwrap_err().to_string();
        assert!(error.contains("std_msgs/msg/Header"), "{error}");
    }
    // A string said to be longer than everything.
    let mut false_length = body.clone();
    false_length[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(header.decode(&false_length).unwrap_err().to_string().contains("frame_id"));
}

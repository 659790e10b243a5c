include("${edgeflow_ros_DIR}/edgeflow_cargo_nodes.cmake")

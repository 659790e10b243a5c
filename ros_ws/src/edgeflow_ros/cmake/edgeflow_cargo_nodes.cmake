# Builds executables of a cargo package against the installed ROS 2 and installs them to lib/${PROJECT_NAME}, where
# `ros2 run` finds them:
#
#   edgeflow_cargo_nodes(inference_node)
#
# All nodes share one cargo build folder beside the packages' own, and are built with the features of all of them, so that r2r
# and the door are compiled once. cargo's lock lets one of them build at a time.
#
# Settings (`--cmake-args -D...`): EDGEFLOW_CARGO the program, EDGEFLOW_CARGO_TARGET_DIR the build folder,
# EDGEFLOW_CARGO_PROFILE release or dist. CARGO_BUILD_JOBS in the environment limits its parallel jobs.
function(edgeflow_cargo_nodes)
  if(NOT ARGN)
    message(FATAL_ERROR "edgeflow_cargo_nodes: name the executables to build")
  endif()
  # Features are the union over these; see above.
  set(nodes edgeflow_bridge edgeflow_inference edgeflow_markers edgeflow_ros edgeflow_sim)

  find_program(EDGEFLOW_CARGO cargo HINTS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin" DOC "cargo, Rust's build tool")
  if(NOT EDGEFLOW_CARGO)
    message(FATAL_ERROR "cargo is not on the PATH: install Rust from https://rustup.rs")
  endif()
  execute_process(
    COMMAND "${EDGEFLOW_CARGO}" locate-project --workspace --message-format plain
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    OUTPUT_VARIABLE manifest OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_VARIABLE reason RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${PROJECT_NAME} is not part of a cargo workspace: keep the whole checkout together\n${reason}")
  endif()
  get_filename_component(workspace "${manifest}" DIRECTORY)
  edgeflow_check_cargo("${manifest}")

  # Here, where a missing package stops the build before it has begun.
  execute_process(COMMAND "${edgeflow_ros_DIR}/with_interfaces.sh" --check RESULT_VARIABLE failed ERROR_VARIABLE reason)
  if(failed)
    message(FATAL_ERROR "${reason}")
  endif()

  set(EDGEFLOW_CARGO_TARGET_DIR "${CMAKE_CURRENT_BINARY_DIR}/../cargo" CACHE PATH "cargo's build folder")
  set(EDGEFLOW_CARGO_PROFILE release CACHE STRING "cargo profile: release or dist")
  get_filename_component(target "${EDGEFLOW_CARGO_TARGET_DIR}" ABSOLUTE)
  list(JOIN nodes "," select)
  list(JOIN ARGN "," binaries)
  # cargo itself knows what is up to date.
  add_custom_target(${PROJECT_NAME}_cargo ALL
    COMMAND "${CMAKE_COMMAND}"
      "-DWORKSPACE=${workspace}" "-DTARGET_DIR=${target}" "-DCARGO=${EDGEFLOW_CARGO}" "-DPROFILE=${EDGEFLOW_CARGO_PROFILE}"
      "-DSELECT=${select}" "-DBINARIES=${binaries}" -P "${edgeflow_ros_DIR}/edgeflow_cargo_build.cmake"
    COMMENT "cargo build: ${binaries}"
    USES_TERMINAL VERBATIM)
  foreach(binary IN LISTS ARGN)
    install(PROGRAMS "${target}/${EDGEFLOW_CARGO_PROFILE}/${binary}" DESTINATION lib/${PROJECT_NAME})
  endforeach()
endfunction()

# A cargo that is too old says nothing that helps.
function(edgeflow_check_cargo manifest)
  file(STRINGS "${manifest}" line REGEX "^rust-version")
  string(REGEX MATCH "[0-9][0-9.]*" needed "${line}")
  execute_process(COMMAND "${EDGEFLOW_CARGO}" --version OUTPUT_VARIABLE said OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" found "${said}")
  if(found VERSION_LESS needed)
    message(FATAL_ERROR
      "${EDGEFLOW_CARGO} is ${found}, and Edgeflow needs ${needed} or newer: install Rust from https://rustup.rs and put "
      "~/.cargo/bin first on the PATH, or name it with -DEDGEFLOW_CARGO=...")
  endif()
endfunction()

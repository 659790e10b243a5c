# Runs cargo for one package's executables, at build time (`cmake -P`): only then are interfaces as they will be used.
#
# WORKSPACE   root of the cargo workspace
# TARGET_DIR  cargo's build folder, shared by all nodes
# CARGO       the program
# SELECT      cargo packages that decide the features, separated by commas
# BINARIES    executables to build, separated by commas
# PROFILE     cargo profile
#
# The stack is r2r; the bridge keeps its uplink zenoh, and with it live sessions, whatever the RMW is.
set(features edgeflow_ros/r2r,edgeflow_bridge/zenoh)
set(arguments build --locked --profile "${PROFILE}" --target-dir "${TARGET_DIR}" --no-default-features --features "${features}")
string(REPLACE "," ";" SELECT "${SELECT}")
foreach(package IN LISTS SELECT)
  list(APPEND arguments --package "${package}")
endforeach()
string(REPLACE "," ";" BINARIES "${BINARIES}")
foreach(binary IN LISTS BINARIES)
  list(APPEND arguments --bin "${binary}")
endforeach()

# cargo tells its progress on stderr, which colcon would show as a warning of each package. It goes to stdout as it comes;
# what it said last goes to stderr if it fails.
execute_process(
  COMMAND "${CMAKE_CURRENT_LIST_DIR}/with_interfaces.sh" "${CARGO}" ${arguments}
  WORKING_DIRECTORY "${WORKSPACE}"
  RESULT_VARIABLE failed
  OUTPUT_VARIABLE said
  ERROR_VARIABLE said
  ECHO_OUTPUT_VARIABLE)
if(failed)
  string(LENGTH "${said}" length)
  if(length GREATER 6000)
    math(EXPR from "${length} - 6000")
    string(SUBSTRING "${said}" ${from} -1 said)
  endif()
  list(JOIN BINARIES ", " names)
  message(FATAL_ERROR "cargo could not build ${names} in ${WORKSPACE}:\n${said}")
endif()

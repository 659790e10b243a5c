# Runs cargo for one package's executables, at build time (`cmake -P`): only then are interfaces as they will be used.
#
# WORKSPACE   root of the cargo workspace
# TARGET_DIR  cargo's build folder, shared by all nodes
# CARGO       the program
# SELECT      cargo packages that decide the features, separated by commas
# BINARIES    executables to build, separated by commas
# PROFILE     cargo profile
include("${CMAKE_CURRENT_LIST_DIR}/edgeflow_interfaces.cmake")

edgeflow_interface_packages(packages)
edgeflow_interfaces_digest(digest)
edgeflow_r2r_prefixes(prefixes)
# No package has this name, so it filters nothing; but r2r generates anew when the filter changes.
list(APPEND packages "sha256_${digest}")

set(arguments build --locked --profile "${PROFILE}" --target-dir "${TARGET_DIR}" --no-default-features --features edgeflow_ros/r2r)
string(REPLACE "," ";" SELECT "${SELECT}")
foreach(package IN LISTS SELECT)
  list(APPEND arguments --package "${package}")
endforeach()
string(REPLACE "," ";" BINARIES "${BINARIES}")
foreach(binary IN LISTS BINARIES)
  list(APPEND arguments --bin "${binary}")
endforeach()

# The list as one word: CMake would make arguments of it.
string(REPLACE ";" "\\;" filter "${packages}")
set(environment
  "AMENT_PREFIX_PATH=${prefixes}" "IDL_PACKAGE_FILTER=${filter}"
  # r2r adds these to the prefixes; colcon's are those of the moment.
  --unset=CMAKE_PREFIX_PATH --unset=CMAKE_IDL_PACKAGES --unset=CMAKE_INCLUDE_DIRS
  # make's job server is not passed on to cargo, which would warn about it.
  --unset=MAKEFLAGS --unset=MFLAGS --unset=MAKELEVEL)

# cargo tells its progress on stderr, which colcon would show as a warning of each package. It goes to stdout as it comes;
# what it said last goes to stderr if it fails.
execute_process(
  COMMAND "${CMAKE_COMMAND}" -E env ${environment} "${CARGO}" ${arguments}
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

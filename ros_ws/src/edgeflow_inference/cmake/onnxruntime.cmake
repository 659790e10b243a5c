# Puts ONNX Runtime into a folder, at build time. A machine without a network still builds: the node says what is missing
# when it starts, and this says so now.
#
# GIVEN       a library, or empty to fetch the pinned one
# INTO        the folder
# CARGO       the program
# TARGET_DIR  cargo's build folder
if(GIVEN)
  # The newest under a name that is a link to it (libonnxruntime.so -> .so.1.23.2).
  get_filename_component(library "${GIVEN}" REALPATH)
  if(NOT EXISTS "${library}" OR IS_DIRECTORY "${library}")
    message(FATAL_ERROR "EDGEFLOW_ONNXRUNTIME (or ORT_DYLIB_PATH) names ${GIVEN}, which is no file")
  endif()
  # Not executable: `ros2 pkg executables` would list it.
  file(COPY "${library}" DESTINATION "${INTO}" FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  return()
endif()

# Fetched once per build folder and version.
execute_process(
  COMMAND "${CMAKE_COMMAND}" -E env --unset=MAKEFLAGS --unset=MFLAGS --unset=MAKELEVEL "CARGO_TARGET_DIR=${TARGET_DIR}"
    "${CARGO}" run --release --locked --package xtask -- fetch onnxruntime --into "${INTO}"
  WORKING_DIRECTORY "${CMAKE_CURRENT_LIST_DIR}"
  RESULT_VARIABLE failed
  OUTPUT_VARIABLE said
  ERROR_VARIABLE said
  ECHO_OUTPUT_VARIABLE)
if(failed)
  string(LENGTH "${said}" length)
  if(length GREATER 1500)
    math(EXPR from "${length} - 1500")
    string(SUBSTRING "${said}" ${from} -1 said)
  endif()
  message(WARNING
    "ONNX Runtime was not fetched, so inference_node will not start until it has one. Build again with a network, or take "
    "libonnxruntime.so out of PyPI's onnxruntime wheel and name it with --cmake-args -DEDGEFLOW_ONNXRUNTIME=PATH.\n${said}")
endif()

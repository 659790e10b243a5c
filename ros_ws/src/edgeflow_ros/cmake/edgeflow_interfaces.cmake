# Which interface packages the nodes use, where they are installed, and a digest of what is in them.

# The door's interface packages: the list that its own code generator reads, and edgeflow_msgs.
function(edgeflow_interface_packages result)
  file(STRINGS "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/interface_packages.txt" lines REGEX "^[a-z]")
  set(packages edgeflow_msgs)
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^[a-z0-9_]+" package "${line}")
    list(APPEND packages "${package}")
  endforeach()
  set(${result} "${packages}" PARENT_SCOPE)
endfunction()

# The prefix of AMENT_PREFIX_PATH in which a package is found first, as ROS looks for it.
function(edgeflow_prefix_of package result)
  string(REPLACE ":" ";" prefixes "$ENV{AMENT_PREFIX_PATH}")
  foreach(prefix IN LISTS prefixes)
    if(EXISTS "${prefix}/share/${package}/package.xml")
      set(${result} "${prefix}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR
    "${package} is not installed: source the ROS 2 installation, then `rosdep install --from-paths src --ignore-src`")
endfunction()

# A digest that changes whenever generated code may have to: with any interface file, and with the packages that decide
# what C code becomes of one. r2r itself looks at paths and names only, and would run against memory laid out otherwise.
function(edgeflow_interfaces_digest result)
  edgeflow_interface_packages(packages)
  set(seen "")
  foreach(package IN LISTS packages)
    edgeflow_prefix_of(${package} prefix)
    file(GLOB files LIST_DIRECTORIES false
      "${prefix}/share/${package}/msg/*.idl" "${prefix}/share/${package}/srv/*.idl" "${prefix}/share/${package}/action/*.idl")
    list(SORT files)
    foreach(file IN LISTS files)
      file(SHA256 "${file}" digest)
      string(APPEND seen "${file} ${digest}\n")
    endforeach()
  endforeach()
  foreach(package rcl rcl_action rcutils rmw rosidl_generator_c rosidl_runtime_c rosidl_typesupport_introspection_c)
    edgeflow_prefix_of(${package} prefix)
    file(SHA256 "${prefix}/share/${package}/package.xml" digest)
    string(APPEND seen "${package} ${digest}\n")
  endforeach()
  string(SHA256 digest "${seen}")
  set(${result} "${digest}" PARENT_SCOPE)
endfunction()

# The prefixes that have something for r2r: headers, libraries, interfaces. The others (of nodes that colcon has just
# built) come and go with the order of the build, and each change would build r2r anew.
function(edgeflow_r2r_prefixes result)
  string(REPLACE ":" ";" prefixes "$ENV{AMENT_PREFIX_PATH}")
  set(kept "")
  foreach(prefix IN LISTS prefixes)
    if(IS_DIRECTORY "${prefix}/include")
      list(APPEND kept "${prefix}")
    endif()
  endforeach()
  string(REPLACE ";" ":" kept "${kept}")
  set(${result} "${kept}" PARENT_SCOPE)
endfunction()

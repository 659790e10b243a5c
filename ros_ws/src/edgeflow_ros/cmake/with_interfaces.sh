#!/usr/bin/env bash
# Runs a command in the environment in which r2r generates code for the interfaces of the ROS 2 that is sourced:
#
#   with_interfaces.sh cargo build --no-default-features --features edgeflow_ros/r2r ...
#
# r2r generates anew only when these variables change; it looks at the paths and names of interfaces, not into them, and would go
# on with structs that the libraries lay out otherwise. So a digest of everything that decides the generated code is part of them.
# `--check` does nothing but see that every interface package is there.
set -euo pipefail
shopt -s nullglob

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# Installed beside this script, or in the sources.
for list in "$here/interface_packages.txt" "$here/../codegen/packages.txt"; do [ -f "$list" ] && break; done
packages="edgeflow_msgs $(sed -e 's/#.*//' -e 's/^\([a-z0-9_]\+\) .*/\1/' "$list" | tr -s ' \n' ' ')"
IFS=: read -ra prefixes <<<"${AMENT_PREFIX_PATH:-}"

# The folder of a package: of the first prefix that has it, as ROS looks for it.
share() {
  local prefix
  for prefix in "${prefixes[@]}"; do
    if [ -f "$prefix/share/$1/package.xml" ]; then
      echo "$prefix/share/$1"
      return
    fi
  done
  echo "$1 is not installed: source ROS 2 (and the workspace that has it), or run" \
    "\`rosdep install --from-paths src --ignore-src\` in ros_ws" >&2
  return 1
}

# Every interface, and the version of every package that makes C code of one.
deciding=()
for package in $packages; do
  folder=$(share "$package")
  deciding+=("$folder"/{msg,srv,action}/*.idl)
done
[ "${1:-}" = --check ] && exit
for package in rcl rcl_action rcutils rmw rosidl_generator_c rosidl_runtime_c rosidl_typesupport_introspection_c; do
  folder=$(share "$package")
  deciding+=("$folder/package.xml")
done
digest=$(sha256sum -- "${deciding[@]}" | sha256sum | cut -d' ' -f1)

# Only prefixes that have something for r2r. The others (of nodes that colcon has just built) come and go with the order of the
# build, and each change would build r2r anew.
kept=()
for prefix in "${prefixes[@]}"; do
  if [ -d "$prefix/include" ]; then kept+=("$prefix"); fi
done
AMENT_PREFIX_PATH=$(IFS=: && echo "${kept[*]}")
# No package is called like the digest, so it filters nothing.
IDL_PACKAGE_FILTER=$(printf '%s;' $packages)sha256_$digest
export AMENT_PREFIX_PATH IDL_PACKAGE_FILTER
# r2r adds the first three to the prefixes, and colcon's are those of the moment; make's job server is not passed on to cargo.
unset CMAKE_PREFIX_PATH CMAKE_IDL_PACKAGES CMAKE_INCLUDE_DIRS MAKEFLAGS MFLAGS MAKELEVEL
exec "$@"

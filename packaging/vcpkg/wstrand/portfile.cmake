# An overlay port: it builds the checkout that it lies in.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

find_program(CARGO cargo)
if(NOT CARGO)
  message(FATAL_ERROR "${PORT} is built by cargo, which is not in PATH: https://rustup.rs")
endif()

# The triplet's debug build is the same library with its debugging information.
foreach(kind release debug)
  if(DEFINED VCPKG_BUILD_TYPE AND NOT VCPKG_BUILD_TYPE STREQUAL kind)
    continue()
  endif()
  if(kind STREQUAL "debug")
    set(prefix "${CURRENT_PACKAGES_DIR}/debug")
    set(profile dev)
  else()
    set(prefix "${CURRENT_PACKAGES_DIR}")
    set(profile release)
  endif()
  vcpkg_execute_required_process(
    COMMAND ${CMAKE_COMMAND} -E env --unset=DESTDIR --unset=LIBDIR
            "CARGO_TARGET_DIR=${CURRENT_BUILDTREES_DIR}/target"
            "${SOURCE_PATH}/ffi/install.sh" "${prefix}" "${profile}" --no-default-features --features tls
    WORKING_DIRECTORY "${SOURCE_PATH}"
    LOGNAME "install-${kind}")
endforeach()

# Both kinds come in one package; a triplet wants one.
file(GLOB unwanted "${CURRENT_PACKAGES_DIR}/lib/*.a" "${CURRENT_PACKAGES_DIR}/debug/lib/*.a")
file(REMOVE ${unwanted})
# The CMake file finds the library from where it lies itself, so it stays there, and serves both kinds.
set(VCPKG_POLICY_SKIP_MISPLACED_CMAKE_FILES_CHECK enabled)
set(VCPKG_POLICY_SKIP_LIB_CMAKE_MERGE_CHECK enabled)
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/lib/cmake")
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE-MIT" "${SOURCE_PATH}/LICENSE-APACHE")

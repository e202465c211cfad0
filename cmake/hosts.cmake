# libsimgraft for host codes: shared and static library, headers, Fortran module source, pkg-config file, CMake package.
#
#     cmake -S . -B build -DSG_PYTHON=OFF && cmake --build build && cmake --install build --prefix PREFIX
#
# Everything found in PREFIX finds the rest by relative paths, so that the tree may be moved (DESTDIR, module systems).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Number of the binary interface; docs/hosts.md tells when to raise it.
set(SG_SOVERSION 0)
set_target_properties(simgraft PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${SG_SOVERSION} EXPORT_NAME simgraft)

add_library(simgraft_static STATIC $<TARGET_OBJECTS:sg_version> $<TARGET_OBJECTS:sg_core> ${SG_HOT_OBJECTS})
set_target_properties(simgraft_static PROPERTIES OUTPUT_NAME simgraft EXPORT_NAME static LINKER_LANGUAGE C)
target_include_directories(simgraft_static INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/csrc/include>)

# What a program that takes the static library has to link: the very libraries this build was made with. A shared HDF5
# brings its own dependencies.
set(private ${HDF5_C_LIBRARIES})
if(private MATCHES "hdf5[^/;]*\\.so")
  list(FILTER private INCLUDE REGEX "hdf5[^/]*\\.so")
endif()
list(APPEND private ${OPENBLAS_LINK_LIBRARIES} m)
list(REMOVE_DUPLICATES private)
target_link_libraries(simgraft_static INTERFACE ${private})
target_link_options(simgraft_static INTERFACE ${OpenMP_C_FLAGS})
set(SG_LIBS_PRIVATE ${OpenMP_C_FLAGS})
foreach(library IN LISTS private)
  if(NOT library MATCHES "/")
    set(library -l${library})
  endif()
  string(APPEND SG_LIBS_PRIVATE " ${library}")
endforeach()

foreach(kind IN ITEMS INCLUDEDIR DATADIR)
  file(RELATIVE_PATH SG_${kind} ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_${kind}})
endforeach()
configure_file(cmake/simgraft.pc.in simgraft.pc @ONLY)
configure_file(cmake/simgraft-static.pc.in simgraft-static.pc @ONLY)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/simgraft)
set(SG_FORTRAN_DIR ${CMAKE_INSTALL_DATADIR}/simgraft/fortran)
configure_package_config_file(cmake/simgraftConfig.cmake.in simgraftConfig.cmake INSTALL_DESTINATION ${package}
                              PATH_VARS SG_FORTRAN_DIR)
# While the major number is 0, another minor number may have another interface.
write_basic_package_version_file(simgraftConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS simgraft simgraft_static EXPORT simgraftTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY csrc/include/simgraft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES csrc/fortran/simgraft.f90 DESTINATION ${SG_FORTRAN_DIR})
install(FILES ${PROJECT_BINARY_DIR}/simgraft.pc ${PROJECT_BINARY_DIR}/simgraft-static.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(EXPORT simgraftTargets NAMESPACE simgraft:: DESTINATION ${package})
install(FILES ${PROJECT_BINARY_DIR}/simgraftConfig.cmake ${PROJECT_BINARY_DIR}/simgraftConfigVersion.cmake
        DESTINATION ${package})

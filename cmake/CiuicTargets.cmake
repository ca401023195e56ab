# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# How our own targets are built: warnings are errors, the include root is the repository root
# (and its mirror in the build tree, for generated headers), sanitizers apply to our code only.

add_library(ciuic_options INTERFACE)
# libstdc++ 12 implements stable_sort by a function that it deprecates itself, hence -Wno-deprecated-declarations.
target_compile_options(ciuic_options INTERFACE
  -Wall -Wextra -Werror -Wno-deprecated-declarations -Wno-unused-parameter -fno-strict-aliasing -ffunction-sections -fdata-sections)
target_include_directories(ciuic_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_link_libraries(ciuic_options INTERFACE Threads::Threads)
if(CIUIC_SANITIZE)
  target_compile_options(ciuic_options INTERFACE
    -fsanitize=${CIUIC_SANITIZE} -fno-sanitize-recover=all -fno-sanitize=vptr -fno-omit-frame-pointer)
  target_link_options(ciuic_options INTERFACE -fsanitize=${CIUIC_SANITIZE})
endif()

# ciuic_library(NAME SOURCES… [DEPENDS generated-target…] [LINK library…]): a static library of ours without LLVM.
function(ciuic_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC ciuic_options ${A_LINK})
  if(A_DEPENDS)
    add_dependencies(${name} ${A_DEPENDS})
  endif()
endfunction()

# ciuic_test(NAME SOURCES… [LINK library…]): a gtest program, registered with ctest under its own name,
# labelled with the stage whose folder it stands in and built by tests-STAGE.
function(ciuic_test name)
  if(NOT CIUIC_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ciuic_options ${A_LINK} GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
  add_test(NAME ${name} COMMAND ${name})
  # The stage that the test belongs to: a ctest label, and a target that builds the stage's tests alone.
  file(RELATIVE_PATH stage ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "^test/" "" stage "${stage}")
  string(REGEX REPLACE "/.*$" "" stage "${stage}")
  set_tests_properties(${name} PROPERTIES LABELS "${stage}")
  if(NOT TARGET tests-${stage})
    add_custom_target(tests-${stage})
  endif()
  add_dependencies(tests-${stage} ${name})
endfunction()

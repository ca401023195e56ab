# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Finds MLIR/LLVM/LLD 22 and says how compiler targets link it: against the shared libraries (dev, asan)
# or, with CIUIC_STATIC, against the archives, so that the compiler needs libc and libm alone.

list(APPEND CMAKE_PREFIX_PATH /usr/lib/llvm-22)
find_package(MLIR 22.1 REQUIRED CONFIG)
find_package(LLD REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/lld)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

# Tablegen takes its include path from the directory property.
include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})

add_library(ciuic_llvm INTERFACE)
target_include_directories(ciuic_llvm SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
separate_arguments(defs NATIVE_COMMAND "${LLVM_DEFINITIONS}")
# ODS accessors of I64Attr are unsigned while extents are signed: sign comparisons are everywhere and harmless.
target_compile_options(ciuic_llvm INTERFACE ${defs} -Wno-sign-compare)

if(CIUIC_STATIC)
  # Debian's archives name libLLVM.so, libz.so and libzstd.so in their link interfaces; a static program wants none.
  foreach(t ${MLIR_EXPORTED_TARGETS} lldELF lldCommon)
    if(TARGET ${t})
      get_target_property(libs ${t} INTERFACE_LINK_LIBRARIES)
      if(libs)
        list(REMOVE_ITEM libs LLVM ZLIB::ZLIB zstd::libzstd_shared)
        set_target_properties(${t} PROPERTIES INTERFACE_LINK_LIBRARIES "${libs}")
      endif()
    endif()
  endforeach()
  set_target_properties(LLVMSupport PROPERTIES INTERFACE_LINK_LIBRARIES "rt;dl;m;LLVMDemangle")
  set_target_properties(LLVMWindowsManifest PROPERTIES INTERFACE_LINK_LIBRARIES "LLVMSupport")
  target_link_options(ciuic_llvm INTERFACE -s -static-libstdc++ -static-libgcc -Wl,--gc-sections -Wl,--icf=all -Wl,--as-needed)
endif()

# ciuic_link_mlir(TARGET COMPONENTS mlir-archive… LLVM llvm-component…): for executables and nothing else, so that
# the choice between shared and static is made once, at the end.
function(ciuic_link_mlir name)
  cmake_parse_arguments(A "" "" "COMPONENTS;LLVM" ${ARGN})
  if(CIUIC_STATIC)
    llvm_map_components_to_libnames(llvm_libs ${A_LLVM})
    target_link_libraries(${name} PRIVATE ${A_COMPONENTS} ${llvm_libs} -l:libz.a -l:libzstd.a)
  else()
    target_link_libraries(${name} PRIVATE MLIR LLVM)
  endif()
  if(CIUIC_SANITIZE MATCHES address)
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/asan_options.cpp)
  endif()
endfunction()

# One precompiled header for every compiler target: MLIR's headers cost 3–13 s a file otherwise.
function(ciuic_compiler_pch name)
  if(NOT TARGET ciuic_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/pch/empty.cpp "// The carrier of the compiler's precompiled header.\n")
    add_library(ciuic_pch OBJECT ${CMAKE_BINARY_DIR}/pch/empty.cpp)
    target_link_libraries(ciuic_pch PRIVATE ciuic_options ciuic_llvm)
    target_compile_options(ciuic_pch PRIVATE -Xclang -fno-pch-timestamp)
    target_precompile_headers(ciuic_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
  endif()
  target_compile_options(${name} PRIVATE -Xclang -fno-pch-timestamp)
  target_precompile_headers(${name} REUSE_FROM ciuic_pch)
endfunction()

# ciuic_compiler_library(NAME SOURCES… [DEPENDS…] [LINK…]): a static library that sees MLIR.
function(ciuic_compiler_library name)
  cmake_parse_arguments(A "NO_PCH" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  ciuic_library(${name} SOURCES ${A_SOURCES} DEPENDS ${A_DEPENDS} LINK ciuic_llvm ${A_LINK})
  if(NOT A_NO_PCH)
    ciuic_compiler_pch(${name})
  endif()
endfunction()

# ciuic_dialect(TARGET NAMESPACE STEM): tablegen of STEM.td (dialect, types, attributes, enums, operations).
function(ciuic_dialect target dialect stem)
  set(LLVM_TARGET_DEFINITIONS ${stem}.td)
  mlir_tablegen(${stem}Dialect.h.inc -gen-dialect-decls -dialect=${dialect})
  mlir_tablegen(${stem}Dialect.cpp.inc -gen-dialect-defs -dialect=${dialect})
  mlir_tablegen(${stem}Types.h.inc -gen-typedef-decls -typedefs-dialect=${dialect})
  mlir_tablegen(${stem}Types.cpp.inc -gen-typedef-defs -typedefs-dialect=${dialect})
  mlir_tablegen(${stem}Enums.h.inc -gen-enum-decls)
  mlir_tablegen(${stem}Enums.cpp.inc -gen-enum-defs)
  mlir_tablegen(${stem}Attrs.h.inc -gen-attrdef-decls -attrdefs-dialect=${dialect})
  mlir_tablegen(${stem}Attrs.cpp.inc -gen-attrdef-defs -attrdefs-dialect=${dialect})
  mlir_tablegen(${stem}Ops.h.inc -gen-op-decls -dialect=${dialect})
  mlir_tablegen(${stem}Ops.cpp.inc -gen-op-defs -dialect=${dialect})
  add_public_tablegen_target(${target})
endfunction()

# ciuic_passes(TARGET GROUP): tablegen of Passes.td, registration function register<GROUP>Passes().
function(ciuic_passes target group)
  set(LLVM_TARGET_DEFINITIONS Passes.td)
  mlir_tablegen(Passes.h.inc -gen-pass-decls -name=${group})
  add_public_tablegen_target(${target})
endfunction()

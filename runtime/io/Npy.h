// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Arrays in numpy's .npy format, versions 1 to 3: little-endian, C order. numpy has no bfloat16;
// such arrays are written as uint16, and uint16 is read where bfloat16 is wanted.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/program_generated.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ciuic {

struct NpyArray {
  format::DType dtype = format::DType::Unknown;
  std::vector<int64_t> dims;
  std::vector<char> data;
};

Expected<NpyArray> readNpy(const std::string &path);
Status writeNpy(const std::string &path, format::DType dtype, std::span<const int64_t> dims,
                const void *data);

} // namespace ciuic

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which entry runs: binds an entry's symbols from the shapes of the inputs and the lengths of the
// states, and says, when they do not fit, which bound they miss and which flag would raise it.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/program_generated.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ciuic {

struct BoundInput {
  bool bound = false;
  const void *data = nullptr;
  format::DType dtype = format::DType::Unknown;
  std::vector<int64_t> dims;
};

const char *dtypeName(format::DType dtype);
/// "3x128".
std::string shapeText(std::span<const int64_t> dims);

/// The value of each symbol. `inputs` are in the order of the entry's; `stateLengths` of the
/// program's states.
Status bindSymbols(const format::ProgramT &program, const format::EntryT &entry,
                   std::span<const BoundInput *const> inputs, std::span<const int64_t> stateLengths,
                   std::vector<int64_t> &symbols);

/// Product of the upper bounds of the symbols, saturated: the less, the better an entry fits.
int64_t boundsProduct(const format::EntryT &entry);

} // namespace ciuic

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads what weights stand for, whether the model stores numbers or integers in blocks with scales
// (#graph.blocks). A row of K values is ceil(K / size) blocks of size · bits / 8 bytes, low bits
// first; integers beyond K are padding. Zero points of integers are packed alike, each row from a
// byte on; others are floats.
#pragma once
#include "ir/Graph/Graph.h"
#include "ir/Graph/MergedWeight.h"

#include <functional>
#include <string>

namespace ciuic {

/// Reads bytes of a file by its number; false and a coded message.
using ReadFile = std::function<bool(int64_t file, int64_t offset, llvm::MutableArrayRef<char> out,
                                    std::string &error)>;

/// Where a weight lies: what graph.weight and its kin of later levels say.
struct StoredWeight {
  int64_t file = 0, offset = 0;
  mlir::RankedTensorType type;
  graph::BlocksAttr blocks;   ///< or null
  graph::MergedWeight merged; ///< or without parts: then it lies at one place
};

/// Bytes [offset, offset + out.size()) of the weight as a row-major tensor of its type.
bool readWeight(const StoredWeight &weight, int64_t offset, llvm::MutableArrayRef<char> out,
                const ReadFile &read, std::string &error);

/// The scales of rows [first, first + count) in groups of `group` values, which blocks are whole
/// multiples of or which divide them: [count][ceil(K / group)].
bool readScales(const StoredWeight &weight, int64_t group, int64_t first, int64_t count, float *out,
                const ReadFile &read, std::string &error);

/// The int4 format whose groups are these blocks or parts of them; empty where there is none.
llvm::StringRef int4FormatOf(int64_t bits, int64_t size);

/// Whether that format's scales, halves, are these exactly.
bool areHalves(llvm::ArrayRef<char> scales, mlir::Type element);

} // namespace ciuic

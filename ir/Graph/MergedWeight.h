// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reading a merged weight (graph.weight with parts): several stored tensors of equal depth, seen as
// one tensor with the columns of all. Interleaved, sixteen columns of each part take turns.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>

namespace ciuic::graph {

/// Columns of a part that stand together in an interleaved weight: a panel's.
inline constexpr int64_t kInterleave = 16;

struct MergedWeight {
  llvm::ArrayRef<int64_t> parts; ///< file, offset, bytes of each
  bool interleaved = false;
  bool byRows = false;     ///< stored as [depth, columns], else as [columns, depth]
  int64_t columns = 0;     ///< of all parts
  int64_t depth = 0;       ///< of each
  int64_t elementSize = 0; ///< bytes

  int64_t count() const { return static_cast<int64_t>(parts.size()) / 3; }
  int64_t columnsOf(int64_t part) const { return parts[part * 3 + 2] / (depth * elementSize); }

  /// Columns from one on that lie together in one part.
  struct Run {
    int64_t part, column, count;
  };
  Run runAt(int64_t column) const;
};

/// Bytes of a part into `out`; false is an error that the reader keeps to itself.
using ReadPart =
    llvm::function_ref<bool(int64_t part, int64_t offset, llvm::MutableArrayRef<char> out)>;

/// Bytes [offset, offset + out.size()) of the merged tensor, which they must lie in.
bool readMerged(const MergedWeight &weight, int64_t offset, llvm::MutableArrayRef<char> out,
                ReadPart read);

} // namespace ciuic::graph

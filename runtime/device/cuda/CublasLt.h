// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// cuBLASLt, opened at run time, for the vendor call "cublaslt.matmul" (runtime/format/
// VendorCalls.h). Row-major products become column-major ones by exchanging the operands. The
// algorithm is the library's first heuristic for types, extents and the workspace's size, or the
// one that the call chooses among them (the last, where there are fewer), with fp32 accumulation,
// no atomics and pointers taken to be aligned to 16 bytes only: it depends on nothing that changes
// between runs or budgets.
#pragma once

#include "runtime/device/cuda/VendorLibrary.h"
#include "runtime/format/VendorCalls.h"

#include <map>
#include <memory>
#include <vector>

namespace ciuic::device::cuda {

/// Thread-compatible.
class CublasLt {
public:
  /// Opens the library: in the folders of CIUIC_CUDA_LIBS (colons between them), where the loader
  /// finds it, in a CUDA toolkit, in Python environments. Needs a current context.
  static Status open(std::unique_ptr<CublasLt> *out);
  ~CublasLt();

  /// One of the library's ways to compute a product, as it describes it.
  struct Algorithm {
    uint64_t data[8];
    size_t workspaceBytes;
  };

  /// Enqueues the product; the stream may be capturing. Nothing is done where it has no elements.
  /// `chosen` is one of the product's candidates; null: the first.
  Status matmul(const format::MatmulCall &call, const format::MatmulShape &shape,
                std::span<const DeviceAddress> pointers, const VendorWorkspace &workspace,
                StreamHandle stream, const Algorithm *chosen = nullptr);

  /// What the library's heuristic offers for a product, best first, at most so many; may be none.
  Status candidates(const format::MatmulCall &call, const format::MatmulShape &shape,
                    int64_t workspaceBytes, int most, std::vector<Algorithm> *out);

private:
  struct Api;
  struct Product;
  CublasLt();
  std::unique_ptr<Api> api;
  void *handle = nullptr;
  std::map<std::vector<int64_t>, Algorithm> algorithms;
};

} // namespace ciuic::device::cuda

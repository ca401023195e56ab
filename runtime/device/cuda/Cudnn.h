// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// cuDNN 9, opened at run time, for the vendor call "cudnn.conv" (runtime/format/VendorCalls.h). A
// convolution with its bias and residual is one operation graph; the plan is the first of the
// library's heuristic that fits the workspace and neither loses precision nor sums in another order
// each time; it depends on types and extents alone.
#pragma once

#include "runtime/device/cuda/VendorLibrary.h"
#include "runtime/format/VendorCalls.h"

#include <map>
#include <memory>
#include <vector>

namespace ciuic::device::cuda {

/// Thread-compatible.
class Cudnn {
public:
  /// Needs a current context.
  static Status open(std::unique_ptr<Cudnn> *out);
  ~Cudnn();

  /// Enqueues the convolution; the stream may be capturing. `pointers` are those of the call
  /// without the workspace. Nothing is done where Y has no elements.
  Status conv(const format::ConvCall &call, const format::ConvShape &shape,
              std::span<const DeviceAddress> pointers, const VendorWorkspace &workspace,
              StreamHandle stream);

private:
  struct Api;
  class Builder;
  using Descriptor = void *;
  struct Plan {
    Descriptor plan = nullptr;
    std::vector<Descriptor> owned; // what it was made of, and itself
  };
  Cudnn();
  Status makePlan(const format::ConvCall &call, const format::ConvShape &shape,
                  int64_t workspaceBytes, Plan *out);
  bool isExact(Descriptor config, format::DType type, bool compiles);
  void destroyPlan(Plan &plan);

  std::unique_ptr<Api> api;
  void *handle = nullptr;
  std::map<std::vector<int64_t>, Plan> plans;
};

} // namespace ciuic::device::cuda

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// First pass over an ONNX file, on the protobuf wire format itself: takes the tensors' bytes out,
// so that protobuf sees a few megabytes of a model of any size, and bounds what protobuf and we
// will build from the rest. (Measured without it: 1 GB of weights parse in 0.9 s into 1 GB; 10 MB
// of empty nodes parse into 757 MB.)
#pragma once
#include "ir/Onnx/WeightFiles.h"
#include <cstdint>
#include <string>
#include <vector>

namespace ciuic::frontend {

/// What a model may have. Real models stay orders of magnitude below; the limits keep memory and
/// time in proportion.
struct ScanLimits {
  int64_t nodes = 1'000'000; ///< also the bound after functions are inlined
  int64_t tensors = 1'000'000;
  int64_t attributes = 8'000'000;
  int64_t messages = 16'000'000;
  int64_t functions = 10'000;
  int64_t depth = 96; ///< nested messages; protobuf itself stops at 100
  int64_t graphDepth = 32;
  int64_t rank = 32;
  int64_t nameBytes = 4096;
  int64_t skeletonBytes = int64_t{1} << 30;
  /// Estimated memory of the parsed skeleton: at most this or `memoryPerByte` times the file,
  /// whichever is more.
  int64_t memoryBytes = 512 << 20;
  int64_t memoryPerByte = 8;
};

/// The data field of one tensor, left in the file.
struct Payload {
  int field; ///< its number in TensorProto
  int64_t offset, bytes;
};

/// A model without its large tensor data.
struct Skeleton {
  /// A serialized ModelProto. A tensor whose data were taken out has a `segment`, whose `begin`
  /// counts into `payloads`.
  std::string bytes;
  std::vector<Payload> payloads;
  int64_t nodes = 0, tensors = 0, messages = 0;
};

/// Scans file 0 of `files`. False and a coded message if the file is damaged or beyond the limits.
bool scanModel(const onnx::WeightFiles &files, const ScanLimits &limits, Skeleton &skeleton,
               std::string &error);

} // namespace ciuic::frontend

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Bytes, error and loss of every candidate format of every weight. The error is the packers' own,
// over at most `sampledPanels` panels spread evenly over the weight; the peak is over all of it,
// since an outlier is one value.
#include "ir/Diagnostics.h"
#include "ir/Graph/Weights.h"
#include "kernels/pack/HalfFloat.h"
#include "passes/Compress/Formats.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

using namespace mlir;
using namespace ciuic::graph;
using ciuic::kernels::WeightFormat;

namespace ciuic::compress {
namespace {

constexpr int64_t sampledPanels = 24;
constexpr int64_t chunkBytes = 4 << 20;
// A weight up to this size is read once and measured in memory; each thread holds one.
constexpr int64_t wholeBytes = 128 << 20;
constexpr double largestHalf = 65504;

struct Magnitudes {
  double largest = 0, squares = 0;
  bool finite = true;

  void add(std::span<const std::byte> bytes, kernels::ElementType type) {
    auto each = [&](auto *stored, auto value) {
      const size_t count = bytes.size() / sizeof(*stored);
      // Partial maxima and sums in four lanes, so that the loop can use vectors.
      float most[4] = {};
      double sum[4] = {};
      for (size_t i = 0; i < count; ++i) {
        std::remove_const_t<std::remove_pointer_t<decltype(stored)>> raw;
        std::memcpy(&raw, bytes.data() + i * sizeof raw, sizeof raw);
        const float v = std::fabs(value(raw));
        most[i % 4] = v > most[i % 4] ? v : most[i % 4];
        sum[i % 4] += static_cast<double>(v) * v;
      }
      for (int lane = 0; lane < 4; ++lane) {
        largest = std::max(largest, static_cast<double>(most[lane]));
        squares += sum[lane];
      }
      finite = std::isfinite(squares) && finite; // a value that is not finite makes the sum so
    };
    if (type == kernels::ElementType::F32) {
      each(static_cast<const float *>(nullptr), [](float v) { return v; });
    } else if (type == kernels::ElementType::F16) {
      each(static_cast<const uint16_t *>(nullptr),
           [](uint16_t v) { return kernels::halfToFloat(v); });
    } else {
      each(static_cast<const uint16_t *>(nullptr),
           [](uint16_t v) { return kernels::bfloatToFloat(v); });
    }
  }
};

StoredWeight storedOf(WeightOp weight) {
  return {static_cast<int64_t>(weight.getFile()), static_cast<int64_t>(weight.getOffset()),
          cast<RankedTensorType>(weight.getType()), weight.getBlocksAttr(),
          mergedWeightOf(weight.getParts(), weight.getInterleaved(), weight.getPackingAttr(),
                         cast<RankedTensorType>(weight.getType()))};
}

/// Fills in one proposal; a coded message if the weight cannot be read.
std::string measure(WeightProposal &proposal, const FormatPolicy &policy,
                    const ReadFile &readFile) {
  WeightOp weight = proposal.site.ops.front();
  PackingAttr packing = weight.getPackingAttr();
  kernels::WeightSource source =
      weightSourceOf(packing, cast<RankedTensorType>(weight.getType()).getElementType());
  const int64_t bytes = weight.getBytes();
  std::string error;
  auto read = [&](int64_t offset, std::span<std::byte> out) {
    return readWeight(storedOf(weight), offset,
                      MutableArrayRef<char>(reinterpret_cast<char *>(out.data()), out.size()),
                      readFile, error);
  };

  // 1. Magnitudes over all values.
  Magnitudes magnitudes;
  std::vector<std::byte> whole(bytes <= wholeBytes ? bytes : 0), chunk;
  for (int64_t at = 0; at < bytes; at += chunkBytes) {
    const int64_t count = std::min(chunkBytes, bytes - at);
    std::span<std::byte> out;
    if (whole.empty()) {
      chunk.resize(count);
      out = chunk;
    } else {
      out = std::span(whole).subspan(at, count);
    }
    if (!read(at, out)) {
      return error;
    }
    magnitudes.add(out, source.type);
  }
  source.read = [&](int64_t offset, std::span<std::byte> out) {
    if (whole.empty()) {
      return read(offset, out);
    }
    if (offset < 0 || offset + static_cast<int64_t>(out.size()) > bytes) {
      return false;
    }
    std::memcpy(out.data(), whole.data() + offset, out.size());
    return true;
  };

  // 2. As it is stored now. balanced and small leave it so only where nothing else can hold the
  // values.
  const bool mayStay = policy.quality == Quality::Near || policy.quality == Quality::Exact;
  const kernels::PackSpec stored = packSpecOf(packing);
  if (mayStay) {
    proposal.candidates.push_back({stored.format, kernels::packedBytes(stored)});
  }

  // 3. The policy's formats.
  const double mean = std::sqrt(magnitudes.squares /
                                static_cast<double>(std::max<int64_t>(1, proposal.site.elements)));
  const double sensitivity = sensitivityOf(proposal.site, mean > 0 ? magnitudes.largest / mean : 0);
  const bool boundary = proposal.site.role == WeightRole::Boundary;
  const bool wide =
      llvm::any_of(policy.formats, [](WeightFormat f) { return kernels::groupSize(f) == 0; });
  // Integers in blocks that only the scales' rounding keeps from being that format: whatever the
  // policy, it costs next to nothing.
  graph::BlocksAttr blocks = weight.getBlocksAttr();
  std::optional<WeightFormat> native;
  if (blocks && !blocks.getZeros() && packing.getSource() == "columns") {
    native =
        kernels::formatOfName(std::string_view(int4FormatOf(blocks.getBits(), blocks.getSize())));
  }
  std::vector<WeightFormat> formats = policy.formats;
  if (native && !llvm::is_contained(formats, *native)) {
    formats.push_back(*native);
  }
  for (WeightFormat format : formats) {
    // balanced keeps the network's two faces at 8 bits or more where it may.
    if (policy.quality == Quality::Balanced && format != native &&
        (boundary ? wide && kernels::groupSize(format) > 0 : format <= WeightFormat::BF16)) {
      continue;
    }
    // On CUDA products of many rows take 16-bit weights of the activations' own type alone.
    if (isForCuda(weight) && format <= WeightFormat::BF16 && format != stored.format) {
      continue;
    }
    if (!magnitudes.finite || (format == WeightFormat::F16 && magnitudes.largest > largestHalf)) {
      continue;
    }
    kernels::PackSpec spec = stored;
    spec.format = format;
    kernels::PackError packError;
    source.scales = nullptr;
    if (format == native) {
      source.scales = [&](int64_t column, int64_t count, float *scales) {
        return readScales(storedOf(weight), kernels::groupSize(format), column, count, scales,
                          readFile, error);
      };
    }
    const int64_t stride = (kernels::panelCount(spec) + sampledPanels - 1) / sampledPanels;
    if (std::string problem = kernels::measurePanels(spec, source, stride, packError);
        !problem.empty()) {
      return error.empty() ? "[input.weight-values] " + problem : error;
    }
    const double relative = packError.relative();
    const double activations =
        policy.roundRows && proposal.site.oneRow ? activationErrorOf(format) : 0;
    proposal.candidates.push_back(
        {format, kernels::packedBytes(spec), relative, activations,
         sensitivity * (relative * relative + activations * activations)});
  }
  if (proposal.candidates.empty()) {
    proposal.candidates.push_back({stored.format, kernels::packedBytes(stored)});
  }
  return {};
}

} // namespace

FailureOr<std::vector<WeightProposal>> proposeFormats(ModuleOp module, const FormatPolicy &policy,
                                                      const ReadFile &read, unsigned threads) {
  std::vector<WeightProposal> proposals;
  for (WeightSite &site : findSites(module)) {
    proposals.push_back({std::move(site), {}});
  }
  std::vector<std::string> problems(proposals.size());
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i = next++; i < proposals.size(); i = next++) {
      problems[i] = measure(proposals[i], policy, read);
    }
  };
  std::vector<std::thread> pool;
  for (unsigned t = 1; t < std::min<size_t>(std::max(1u, threads), proposals.size()); ++t) {
    pool.emplace_back(work);
  }
  work();
  for (std::thread &thread : pool) {
    thread.join();
  }
  for (auto [proposal, problem] : llvm::zip_equal(proposals, problems)) {
    if (!problem.empty()) {
      auto [code, text] = splitErrorCode(problem);
      WeightOp weight = proposal.site.ops.front();
      weight.emitError() << "[" << (code.empty() ? "environment.read-failed" : std::string(code))
                         << "] weight '" << weight.getName() << "': " << std::string(text);
      return failure();
    }
  }
  return proposals;
}

} // namespace ciuic::compress

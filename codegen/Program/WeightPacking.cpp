// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See WeightPacking.h. Runs of panels are packed by several threads and appended in order, so the
// bytes do not depend on how many there are. Memory: two runs of panels a thread, or 4 MiB of a
// plain weight, whatever the model's size.
#include "codegen/Program/WeightPacking.h"

#include "ir/Graph/BlockWeights.h"
#include "ir/Graph/Weights.h"
#include "runtime/format/ProgramWriter.h"
#include "runtime/format/program_generated.h"

#include <deque>
#include <future>

using namespace mlir;
namespace plan = ciuic::plan;
namespace graph = ciuic::graph;

namespace ciuic::codegen {
namespace {

constexpr int64_t chunkBytes = 4 << 20;

class Packer {
public:
  Packer(format::ProgramWriter &writer, const ReadFile &read, const Progress &progress,
         unsigned threads, int64_t total)
      : writer(writer), read(read), progress(progress), threads(threads), total(total) {}

  LogicalResult pack(plan::WeightOp weight, kernels::PackError &error) {
    if (auto packing = dyn_cast_or_null<graph::PackingAttr>(weight.getPackingAttr())) {
      return packPanels(weight, packing, error);
    }
    return weight.getValue() ? appendValue(weight) : copyBytes(weight);
  }

private:
  static StoredWeight storedWeight(plan::WeightOp weight) {
    return {static_cast<int64_t>(*weight.getFile()), static_cast<int64_t>(*weight.getFileOffset()),
            cast<RankedTensorType>(weight.getType()), blocksOf(weight),
            mergedWeightOf(weight.getParts(), weight.getInterleaved(),
                           dyn_cast_or_null<graph::PackingAttr>(weight.getPackingAttr()),
                           cast<RankedTensorType>(weight.getType()))};
  }

  static graph::BlocksAttr blocksOf(plan::WeightOp weight) {
    return dyn_cast_or_null<graph::BlocksAttr>(weight.getBlocksAttr());
  }

  bool readBytes(plan::WeightOp weight, int64_t offset, std::span<std::byte> out) {
    std::string error;
    MutableArrayRef<char> bytes(reinterpret_cast<char *>(out.data()), out.size());
    if (!readWeight(storedWeight(weight), offset, bytes, read, error)) {
      weight.emitError() << error;
      return false;
    }
    return true;
  }

  LogicalResult append(plan::WeightOp weight, const void *data, int64_t bytes) {
    if (Status status = writer.appendWeight(data, bytes); !status.isOk()) {
      return weight.emitError("[environment.write-program] ") << status.message();
    }
    written += bytes;
    if (progress) {
      progress(written, total);
    }
    return success();
  }

  LogicalResult packPanels(plan::WeightOp weight, graph::PackingAttr packing,
                           kernels::PackError &error) {
    kernels::PackSpec spec = packSpecOf(packing);
    kernels::WeightSource source =
        weightSourceOf(packing, cast<RankedTensorType>(weight.getType()).getElementType());
    source.read = [&](int64_t offset, std::span<std::byte> out) {
      if (!weight.getValue()) {
        return readBytes(weight, offset, out);
      }
      // A small filter held by the IR; a splat is one element.
      auto value = cast<DenseElementsAttr>(*weight.getValue());
      ArrayRef<char> raw = value.getRawData();
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<std::byte>(raw[(offset + i) % raw.size()]);
      }
      return true;
    };
    // Blocks of integers that the format holds as they are keep their scales.
    graph::BlocksAttr blocks = blocksOf(weight);
    bool kept =
        blocks && kernels::groupSize(spec.format) != 0 &&
        StringRef(kernels::name(spec.format)) == int4FormatOf(blocks.getBits(), blocks.getSize()) &&
        (blocks.getPart() == "centred" || !blocks.getZeros());
    if (kept) {
      source.scales = [&](int64_t column, int64_t count, float *scales) {
        std::string problem;
        if (!readScales(storedWeight(weight), kernels::groupSize(spec.format), column, count,
                        scales, read, problem)) {
          weight.emitError() << problem;
          return false;
        }
        return true;
      };
    }
    int64_t panels = kernels::panelCount(spec), bytes = kernels::panelBytes(spec);
    int64_t step = std::max<int64_t>(1, chunkBytes / std::max<int64_t>(1, bytes));
    struct Run {
      std::vector<std::byte> bytes;
      kernels::PackError error;
      std::string problem;
    };
    // A weight in its own type loses nothing, and may be copied.
    bool exact =
        (kept && !blocks.getFormat().empty()) ||
        (spec.format == kernels::WeightFormat::F32 && source.type == kernels::ElementType::F32) ||
        (spec.format == kernels::WeightFormat::F16 && source.type == kernels::ElementType::F16) ||
        (spec.format == kernels::WeightFormat::BF16 && source.type == kernels::ElementType::BF16);
    auto packRun = [&](int64_t first) {
      Run run;
      int64_t end = std::min(panels, first + step);
      run.bytes.resize((end - first) * bytes);
      run.problem =
          kernels::packPanels(spec, source, first, end, run.bytes, exact ? nullptr : &run.error);
      return run;
    };
    std::deque<std::future<Run>> ahead;
    auto policy = threads > 1 ? std::launch::async : std::launch::deferred;
    for (int64_t first = 0; first < panels || !ahead.empty();) {
      for (; first < panels && ahead.size() < std::max(1u, threads); first += step) {
        ahead.push_back(std::async(policy, packRun, first));
      }
      Run run = ahead.front().get();
      ahead.pop_front();
      if (!run.problem.empty()) {
        return weight.emitError("[input.weight-values] weight '")
               << weight.getName() << "': " << run.problem;
      }
      error.error2 += run.error.error2;
      error.norm2 += run.error.norm2;
      if (failed(append(weight, run.bytes.data(), run.bytes.size()))) {
        return mlir::failure();
      }
    }
    return success();
  }

  /// A constant held by the IR; booleans are a byte each.
  LogicalResult appendValue(plan::WeightOp weight) {
    auto value = dyn_cast<DenseElementsAttr>(*weight.getValue());
    if (!value) {
      return weight.emitError("[internal.constant] a constant must be dense");
    }
    std::vector<char> bytes;
    if (value.getElementType().isInteger(1)) {
      for (bool b : value.getValues<bool>()) {
        bytes.push_back(b);
      }
    } else {
      ArrayRef<char> raw = value.getRawData();
      int64_t copies = value.isSplat() ? value.getNumElements() : 1;
      for (int64_t i = 0; i < copies; ++i) {
        bytes.insert(bytes.end(), raw.begin(), raw.end());
      }
    }
    return append(weight, bytes.data(), bytes.size());
  }

  LogicalResult copyBytes(plan::WeightOp weight) {
    std::vector<std::byte> buffer;
    int64_t bytes = weight.getBytes();
    for (int64_t at = 0; at < bytes; at += chunkBytes) {
      buffer.resize(std::min(chunkBytes, bytes - at));
      if (!readBytes(weight, at, buffer)) {
        return mlir::failure();
      }
      if (failed(append(weight, buffer.data(), buffer.size()))) {
        return mlir::failure();
      }
    }
    return success();
  }

  format::ProgramWriter &writer;
  const ReadFile &read;
  const Progress &progress;
  unsigned threads;
  int64_t total, written = 0;
};

} // namespace

LogicalResult packWeights(ModuleOp module, format::ProgramWriter &writer, format::ProgramT &program,
                          const ReadFile &read, const Progress &progress, unsigned threads) {
  int64_t total = 0;
  for (auto weight : module.getOps<plan::WeightOp>()) {
    total += weight.getBytes();
  }
  Packer packer(writer, read, progress, threads, total);
  size_t row = 0, index = 0;
  for (auto weight : module.getOps<plan::WeightOp>()) {
    auto offset = writer.beginWeight();
    if (!offset.isOk()) {
      return weight.emitError("[environment.write-program] ") << offset.takeStatus().message();
    }
    program.weights[index++]->file_offset = offset.value();
    kernels::PackError error;
    if (failed(packer.pack(weight, error))) {
      return mlir::failure();
    }
    if (weight.getPacking()) {
      program.formats[row++]->relative_error = error.relative();
    }
  }
  return success();
}

} // namespace ciuic::codegen

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The choice of threads, vectors and blocks: see GpuPlan.h.
//
// Memory sets the pace of all these kernels, so each choice serves wide accesses and enough of them
// in flight: sixteen bytes an access where the extents allow it, a warp for a row of up to about a
// thousand elements, then growing blocks, then clusters of blocks, so that a row stays in registers
// from its first reduction to its store.
#include "codegen/Kernel/GpuPlan.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

constexpr int64_t kMostBlocks = 1 << 20, kMultiprocessors = 132;
/// Elements that a thread keeps of its row; threads of the largest block; blocks of a cluster.
constexpr int64_t kKept = 32, kMostThreads = 512, kMostCluster = 8;

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t powerOf2Ceil(int64_t v) { return int64_t(llvm::PowerOf2Ceil(std::max<int64_t>(v, 1))); }

class Planner {
public:
  explicit Planner(graph::KernelOp kernel)
      : kernel(kernel), body(kernel.getBody().front()), context(kernel.getContext()) {
    for (auto symbol : kernel.getSymbols().getAsRange<graph::SymbolAttr>()) {
      bounds.lower.push_back(symbol.getLower());
      bounds.upper.push_back(symbol.getUpper());
    }
  }

  FailureOr<GpuPlan> run() {
    plan.narrow = fitsNarrow();
    switch (kernel.getTemplateKind()) {
    case graph::Template::flat:
    case graph::Template::copy:
    case graph::Template::gather:
      return flat();
    case graph::Template::row:
      return row();
    case graph::Template::column:
      return column();
    case graph::Template::transpose:
      return transpose();
    case graph::Template::heads:
      return heads();
    case graph::Template::cumsum:
      // A thread a line: sums run in order.
      plan.width = 1, plan.group = 1;
      return byUnits();
    case graph::Template::scatter:
      plan.width = widthAlong(results());
      return plan;
    default:
      return rows();
    }
  }

  GpuPlan epilogue() {
    plan.narrow = fitsNarrow();
    return plan;
  }

private:
  /// At the bounds; `most` where nothing is known.
  int64_t upper(AffineExpr expr, int64_t most) {
    std::optional<int64_t> value = graph::intervalOf(expr, bounds).upper;
    return value ? std::clamp<int64_t>(*value, 0, most) : most;
  }
  static constexpr int64_t kUnknown = int64_t(1) << 40;

  SmallVector<Type> results() {
    return llvm::map_to_vector(cast<graph::YieldOp>(body.getTerminator()).getValues(),
                               [](Value v) { return v.getType(); });
  }
  /// Sixteen bytes of the widest element, at most eight lanes.
  static int64_t widthAlong(ArrayRef<Type> tensors) {
    int64_t bytes = 2;
    for (Type type : tensors) {
      bytes = std::max(bytes, graph::elementBytes(cast<RankedTensorType>(type).getElementType()));
    }
    return 16 / bytes;
  }
  static int64_t dividing(int64_t width, AffineExpr extent) {
    while (width > 1 && extent.getLargestKnownDivisor() % width != 0) {
      width /= 2;
    }
    return width;
  }
  bool fitsNarrow() {
    auto fits = [&](Type type) {
      auto tensor = cast<RankedTensorType>(type);
      AffineExpr count = graph::productOf(graph::dimsOf(tensor), context);
      return upper(count, kUnknown) < (int64_t(1) << 30);
    };
    bool all = llvm::all_of(kernel.getFunctionType().getInputs(), fits) &&
               llvm::all_of(kernel.getFunctionType().getResults(), fits);
    for (BlockArgument argument : body.getArguments()) {
      all &= !graph::hasPhysicalExtents(body, argument.getArgNumber());
    }
    return all;
  }
  int64_t blocksFor(int64_t units, int64_t unitsOfBlock) {
    return std::clamp<int64_t>(ceilDiv(units, unitsOfBlock), 1, kMostBlocks);
  }

  FailureOr<GpuPlan> flat() {
    graph::FlatSpace space = graph::flatSpaceOf(body);
    plan.width = widthAlong(results());
    if (space.merged != 0) {
      plan.width = dividing(plan.width, space.inner(context));
    }
    int64_t vectors = upper(flatVectors(space, plan.width, context), kUnknown);
    bool heavy = false;
    body.walk([&](Operation *op) {
      heavy |=
          isa<math::ErfOp, math::TanhOp, math::PowFOp, math::SinOp, math::CosOp, graph::GatherOp>(
              op);
    });
    plan.slots = heavy || vectors < kMultiprocessors * 8 * plan.threads ? 1 : 2;
    plan.grid = blocksFor(vectors, plan.threads * plan.slots);
    return plan;
  }

  FailureOr<GpuPlan> row() {
    std::optional<graph::ReduceSpace> space = graph::reduceSpaceOf(body);
    if (!space || !space->isRow()) {
      return failure();
    }
    AffineExpr length = getAffineConstantExpr(1, context), units = length;
    for (auto [dim, reduced] : llvm::zip(space->dims, space->reduced)) {
      (reduced ? length : units) = (reduced ? length : units) * dim;
    }
    SmallVector<Type> rowTypes = results();
    rowTypes.clear();
    for (BlockArgument argument : body.getArguments()) {
      auto type = cast<RankedTensorType>(argument.getType());
      if (graph::sameDims(graph::dimsOf(type), space->dims)) {
        rowTypes.push_back(type);
      }
    }
    plan.width = dividing(widthAlong(rowTypes), space->dims.back());
    int64_t rows = upper(units, kUnknown), elements = upper(length, kUnknown);
    int64_t vectors = ceilDiv(elements, plan.width);
    // Few rows: spread each over as many threads as it takes, for time, not for throughput.
    bool few = rows <= kMultiprocessors;
    int64_t kept = std::max<int64_t>(1, (few ? plan.width : kKept) / plan.width);
    plan.group = powerOf2Ceil(ceilDiv(vectors, kept));
    if (plan.group <= 32) {
      plan.threads = 256;
    } else if (plan.group <= kMostThreads) {
      plan.threads = plan.group;
    } else {
      kept = kKept / plan.width;
      plan.threads = plan.group = kMostThreads;
      plan.cluster = std::min(kMostCluster, powerOf2Ceil(ceilDiv(vectors, kept * kMostThreads)));
    }
    int64_t slots = ceilDiv(vectors, plan.group * plan.cluster);
    plan.slots = slots * plan.width <= kKept ? slots : 0;
    if (plan.slots == 0) {
      plan.cluster = 1; // clusters did not pay for passes over memory
    }
    plan.grid = blocksFor(rows, plan.threads / plan.group);
    plan.grid = std::min(plan.grid, kMostBlocks / plan.cluster) * plan.cluster;
    return plan;
  }

  FailureOr<GpuPlan> column() {
    std::optional<graph::ReduceSpace> space = graph::reduceSpaceOf(body);
    if (!space || space->isRow()) {
      return failure();
    }
    AffineExpr last = space->dims.back(), outer = getAffineConstantExpr(1, context);
    for (auto [dim, reduced] : llvm::zip(ArrayRef(space->dims).drop_back(), space->reduced)) {
      outer = reduced ? outer : outer * dim;
    }
    plan.width = dividing(widthAlong(kernel.getFunctionType().getInputs()), last);
    // `group` threads side by side along the columns; the others of the block take other rows.
    int64_t vectors = ceilDiv(upper(last, kUnknown), plan.width);
    plan.group = std::min<int64_t>(32, powerOf2Ceil(vectors));
    int64_t units = 0;
    if (__builtin_mul_overflow(upper(outer, kUnknown), ceilDiv(vectors, plan.group), &units)) {
      units = kUnknown;
    }
    plan.grid = blocksFor(units, 1);
    return plan;
  }

  FailureOr<GpuPlan> transpose() {
    auto op = dyn_cast<graph::TransposeOp>(&body.front());
    if (!op) {
      return failure();
    }
    int64_t last = op.getPermutation().size() - 1;
    if (last < 0) {
      return failure();
    }
    if (op.getPermutation()[last] == last) {
      return rows();
    }
    SmallVector<AffineExpr> dims = graph::dimsOf(op.getResult());
    int64_t across = llvm::find(op.getPermutation(), last) - op.getPermutation().begin();
    // Four bytes a thread on both sides.
    plan.width = std::max<int64_t>(1, widthAlong(results()) / 4);
    plan.width = dividing(dividing(plan.width, dims[across]), dims[last]);
    int64_t tile = graph::transposeChunk * plan.width;
    dims[across] = dims[across].ceilDiv(tile);
    dims[last] = dims[last].ceilDiv(tile);
    plan.grid = blocksFor(upper(graph::productOf(dims, context), kUnknown), 1);
    return plan;
  }

  /// Units are rows along the last dim, and threads share one as far as its vectors go.
  FailureOr<GpuPlan> rows() {
    SmallVector<AffineExpr> dims =
        graph::dimsOf(cast<graph::YieldOp>(body.getTerminator()).getValues().front());
    if (dims.empty()) {
      return failure();
    }
    AffineExpr last = dims.back();
    plan.width = dividing(widthAlong(results()), last);
    if (auto rope = dyn_cast<graph::RopeOp>(&body.front())) {
      last = last.floorDiv(2);
      plan.width = rope.getInterleaved() ? 1 : dividing(widthAlong(results()), last);
    } else if (auto resize = dyn_cast<graph::ResizeOp>(&body.front())) {
      plan.width = resize.getLayout() == graph::ImageLayout::channels_first ? 1 : plan.width;
    }
    plan.group = std::min(plan.threads, powerOf2Ceil(ceilDiv(upper(last, kUnknown), plan.width)));
    return byUnits();
  }

  /// Rows of several results, which the widest of them gives its threads.
  FailureOr<GpuPlan> heads() {
    int64_t width = widthAlong(results()), group = 1;
    body.walk([&](graph::RopeOp rope) {
      AffineExpr half = graph::dimsOf(rope.getInput())[3].floorDiv(2);
      width = rope.getInterleaved() ? 1 : dividing(width, half);
    });
    for (Value value : cast<graph::YieldOp>(body.getTerminator()).getValues()) {
      width = dividing(width, graph::dimsOf(value).back());
    }
    for (Value value : cast<graph::YieldOp>(body.getTerminator()).getValues()) {
      int64_t vectors = ceilDiv(upper(graph::dimsOf(value).back(), kUnknown), width);
      group = std::max(group, powerOf2Ceil(vectors));
    }
    plan.width = width;
    plan.group = std::min(plan.threads, group);
    return byUnits();
  }

  FailureOr<GpuPlan> byUnits() {
    FailureOr<AffineExpr> units = graph::gridOf(kernel.getTemplateKind(), body);
    if (failed(units)) {
      return failure();
    }
    plan.grid = blocksFor(upper(*units, kUnknown), plan.threads / plan.group);
    return plan;
  }

  graph::KernelOp kernel;
  Block &body;
  MLIRContext *context;
  graph::Bounds bounds;
  GpuPlan plan;
};

} // namespace

AffineExpr flatVectors(const graph::FlatSpace &space, int64_t width, MLIRContext *context) {
  AffineExpr inner = space.inner(context);
  AffineExpr outer = graph::productOf(ArrayRef(space.dims).take_front(space.merged), context);
  return outer * inner.floorDiv(width);
}

FailureOr<GpuPlan> gpuPlanOf(graph::KernelOp kernel, int capability) {
  FailureOr<GpuPlan> plan = Planner(kernel).run();
  if (succeeded(plan) && capability < 90 && plan->cluster > 1) {
    // No clusters: a block takes a row alone, in passes over memory.
    plan->cluster = 1, plan->slots = 0;
  }
  return plan;
}

GpuPlan epiloguePlanOf(graph::KernelOp kernel) { return Planner(kernel).epilogue(); }

} // namespace ciuic::codegen

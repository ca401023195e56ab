// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The choice of threads, vectors and blocks: see GpuPlan.h.
//
// Memory sets the pace of all these kernels, so each choice serves wide
// accesses and enough of them in flight: sixteen bytes an access where the
// extents allow it, a warp for a row of up to about a thousand elements, then
// growing blocks, then clusters of blocks, so that a row stays in registers
// from its first reduction to its store.
#include "codegen/Kernel/GpuPlan.h"
#include "codegen/Kernel/RowTotals.h"

#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace mlir;

namespace ciuic::codegen {
namespace {

constexpr int64_t kMostBlocks = 1 << 20, kMultiprocessors = 132;
/// Elements that a thread keeps of its row; threads of the largest block;
/// blocks of a cluster.
constexpr int64_t kKept = 32, kMostThreads = 512, kMostCluster = 8;
/// Slabs. Shared memory of a block that every chip from 8.6 on has, and of a
/// multiprocessor of 9.0; slots of a block, so that enough blocks are at
/// different points (alternating rows; long ones, and those with elementary
/// functions); threads of a block of alternating rows (where a multiprocessor has
/// one or two) and of a multiprocessor, from which registers follow; partial sums
/// of a block; bytes of a run of alternating rows; units that have counters in
/// global memory; images that teams take rather than short runs.
constexpr int64_t kBlockShared = 99 << 10, kChipShared = 227 << 10;
constexpr int64_t kAlternateSlab = 46 << 10, kLongSlab = 32 << 10, kHeavySlab = 64 << 10;
constexpr int64_t kAlternateThreads = 256, kFewAlternateThreads = 384, kMostResident = 768;
constexpr int64_t kMostSums = 40 << 10;
constexpr int64_t kRun = 128, kMostTeamUnits = 4096, kFewImages = 8;

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

  /// Lanes of vectors inside a row.
  int64_t widthOfRows() {
    std::optional<graph::ReduceSpace> space = graph::reduceSpaceOf(body);
    SmallVector<Type> rowTypes;
    for (BlockArgument argument : body.getArguments()) {
      auto type = cast<RankedTensorType>(argument.getType());
      if (graph::sameDims(graph::dimsOf(type), space->dims)) {
        rowTypes.push_back(type);
      }
    }
    return dividing(widthAlong(rowTypes), space->dims.back());
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
  /// Threads of a row that is quantised: a warp, whose units may go different ways.
  static constexpr int64_t kQuantising = 32;

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

  /// Whether an element costs elementary functions.
  bool heavy() {
    bool found = false;
    body.walk([&](Operation *op) {
      found |= isa<math::ExpOp, math::ErfOp, math::TanhOp, math::PowFOp, math::SinOp, math::CosOp,
                   graph::SoftmaxOp>(op);
    });
    return found;
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
    plan.width = widthOfRows();
    int64_t rows = upper(units, kUnknown), elements = upper(length, kUnknown);
    int64_t vectors = ceilDiv(elements, plan.width);
    if (rowsAlternate(*space)
            ? slabOfAlternating(*space, rows)
            : elements > kMostThreads * kKept && slabOfLong(*space, rows, elements)) {
      return plan;
    }
    // Few rows: spread each over as many threads as it takes, for time, not for
    // throughput.
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

  static std::optional<int64_t> constantOf(AffineExpr expr) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    return constant ? std::optional(constant.getValue()) : std::nullopt;
  }

  /// What a slab asks of a body: all results of the rows' shape, one or two
  /// operands that copies of `width` elements can take in; their bytes at one
  /// vector, or none.
  std::optional<int64_t> slabBytes(const graph::ReduceSpace &space, int64_t width) {
    for (Value value : cast<graph::YieldOp>(body.getTerminator()).getValues()) {
      if (!graph::sameDims(graph::dimsOf(value), space.dims)) {
        return std::nullopt;
      }
    }
    int64_t bytes = 0;
    SmallVector<BlockArgument> operands = slabOperands(body, space);
    for (BlockArgument argument : operands) {
      int64_t one =
          width * graph::elementBytes(cast<RankedTensorType>(argument.getType()).getElementType());
      if (one != 4 && one != 8 && one != 16) {
        return std::nullopt;
      }
      bytes += one;
    }
    for (auto [dim, reduced] : llvm::zip(space.dims, space.reduced)) {
      if (reduced && graph::intervalOf(dim, bounds).lower.value_or(0) < 1) {
        return std::nullopt;
      }
    }
    return operands.empty() ? std::nullopt : std::optional(bytes);
  }

  /// Shared memory of a block beside its slots: partial sums of at most three values, and little
  /// else.
  static int64_t sumsOf(const GpuPlan &plan, int64_t inner) {
    const Line line = {inner, plan.width, plan.across};
    return (2 << 10) + (inner > 0 ? RowParts::bytes(line, 3) * plan.threads : 0);
  }

  /// Threads of a block whose partial sums fit.
  static int64_t mostThreads(const GpuPlan &plan, int64_t inner) {
    const Line line = {inner, plan.width, plan.across};
    return std::min(kMostThreads, kMostSums / RowParts::bytes(line, 3));
  }

  /// Spreads units of `places` lines' worth of vectors over blocks of `lines`
  /// lines, of alternating rows with `inner` elements at a place or 0; false where they do not fit.
  bool spreadSlab(int64_t units, int64_t places, int64_t lines, int64_t vectorBytes,
                  int64_t inner) {
    const bool alternate = inner > 0;
    plan.threads = plan.group = lines * plan.across;
    const int64_t sums = sumsOf(plan, inner), slot = plan.threads * vectorBytes;
    const int64_t preferred = alternate ? kAlternateSlab : heavy() ? kHeavySlab : kLongSlab;
    auto slotsOf = [&](int64_t cluster) { return ceilDiv(places, lines * cluster); };
    plan.cluster = 1;
    // Blocks of a size of which several fit, as far as clusters go; and more
    // for few units.
    while (plan.cluster < kMostCluster &&
           (slotsOf(plan.cluster) * slot > preferred ||
            (units * plan.cluster * 2 <= kMultiprocessors && slotsOf(plan.cluster) > 2))) {
      plan.cluster *= 2;
    }
    plan.slots = slotsOf(plan.cluster);
    plan.sharedBytes = plan.slots * slot;
    if (plan.sharedBytes + sums > kBlockShared) {
      return false;
    }
    plan.slab = true;
    plan.resident =
        std::clamp<int64_t>(std::min(kChipShared / (plan.sharedBytes + sums + 1024),
                                     std::max<int64_t>(2, kMostResident / plan.threads)),
                            1, 16);
    plan.teamUnits = units <= kMostTeamUnits ? units : 0;
    plan.grid = std::clamp<int64_t>(units, 1, kMostBlocks / plan.cluster) * plan.cluster;
    return true;
  }

  bool slabOfLong(const graph::ReduceSpace &space, int64_t rows, int64_t elements) {
    std::optional<int64_t> bytes = slabBytes(space, plan.width);
    if (!bytes) {
      return false;
    }
    GpuPlan before = plan;
    plan.across = 1; // a line is a vector
    bool fits = spreadSlab(rows, elements / plan.width, heavy() ? 256 : 128, *bytes, 0);
    if (!fits) {
      plan = before;
    }
    return fits;
  }

  bool slabOfAlternating(const graph::ReduceSpace &space, int64_t rows) {
    const size_t last = space.dims.size() - 1;
    std::optional<int64_t> groups = constantOf(space.dims[last - 1]);
    std::optional<int64_t> inner = constantOf(space.dims[last]);
    if (!groups || !inner || *inner < 1 || *groups < 1) {
      return false;
    }
    SmallVector<Type> types;
    int64_t widest = 1;
    for (BlockArgument argument : slabOperands(body, space)) {
      types.push_back(argument.getType());
      widest = std::max(
          widest, graph::elementBytes(cast<RankedTensorType>(argument.getType()).getElementType()));
    }
    int64_t places = 1;
    for (auto [dim, reduced] : llvm::zip(ArrayRef(space.dims).drop_back(), space.reduced)) {
      if (reduced && __builtin_mul_overflow(places, upper(dim, kUnknown), &places)) {
        return false;
      }
    }
    GpuPlan before = plan;
    auto attempt = [&](int64_t together) {
      plan = before;
      plan.rows = together;
      plan.width = widthAlong(types);
      while (plan.width > 1 && together * *inner % plan.width != 0) {
        plan.width /= 2;
      }
      plan.across = together * *inner / plan.width;
      std::optional<int64_t> bytes = slabBytes(space, plan.width);
      if (!bytes) {
        return false;
      }
      // Whole warps.
      int64_t unit = 32 / std::gcd<int64_t>(32, plan.across);
      const int64_t most = mostThreads(plan, *inner);
      if (unit * plan.across > most) {
        return false;
      }
      auto linesOf = [&](int64_t threads) {
        return int64_t(llvm::bit_floor(uint64_t(
                   std::max<int64_t>(1, std::min(threads, most) / (unit * plan.across))))) *
               unit;
      };
      const GpuPlan tried = plan;
      const int64_t units = ceilDiv(rows, together);
      if (!spreadSlab(units, places, linesOf(kAlternateThreads), *bytes, *inner)) {
        return false;
      }
      // Where a multiprocessor has a block or two, they are larger.
      const GpuPlan small = plan;
      const int64_t resident = std::min(plan.resident, ceilDiv(plan.grid, kMultiprocessors));
      plan = tried;
      if (resident > 2 ||
          !spreadSlab(units, places, linesOf(kFewAlternateThreads), *bytes, *inner) ||
          (plan.slots < 3 && plan.cluster > 1)) {
        plan = small;
      }
      return true;
    };
    // Runs of whole lines where there are enough units, then shorter ones.
    auto ofRun = [&](int64_t run) {
      int64_t together = 1;
      while (together < *groups && together * *inner * widest < run) {
        together *= 2;
      }
      return *groups % together == 0 && attempt(together);
    };
    for (int64_t run : {kRun, kRun / 2}) {
      if (ofRun(run) && plan.grid >= kMultiprocessors * 3 / 4) {
        return true;
      }
    }
    for (int64_t run : {kRun / 2, kRun}) {
      if (ofRun(run)) {
        return true;
      }
    }
    // Few large images: a team reads whole lines. Many: short runs keep all multiprocessors at it.
    plan = before;
    const int64_t images = rows / *groups;
    if (images > kFewImages && ofRun(kRun / 4)) {
      return true;
    }
    plan = before;
    return teamOfAlternating(*groups, *inner, images, places, widthAlong(types));
  }

  /// Images whose rows do not fit in a cluster: a team of blocks takes all rows
  /// of one, in runs of all channels.
  bool teamOfAlternating(int64_t groups, int64_t inner, int64_t images, int64_t places,
                         int64_t widest) {
    GpuPlan before = plan;
    plan.rows = groups;
    plan.width = widest;
    while (plan.width > 1 && groups * inner % plan.width != 0) {
      plan.width /= 2;
    }
    plan.across = groups * inner / plan.width;
    std::optional<int64_t> bytes = slabBytes(*graph::reduceSpaceOf(body), plan.width);
    int64_t unit = 32 / std::gcd<int64_t>(32, plan.across);
    const int64_t most = mostThreads(plan, inner);
    if (!bytes || images < 1 || images > kMostTeamUnits / 64 || unit * plan.across > most) {
      plan = before;
      return false;
    }
    int64_t lines = most / (unit * plan.across) * unit;
    plan.threads = plan.group = lines * plan.across;
    const int64_t sums = sumsOf(plan, inner) + (2 << 10);
    plan.slab = plan.again = true;
    plan.teamUnits = images;
    plan.resident = 1;
    int64_t together = std::min(images, kMultiprocessors / 2);
    plan.team = std::clamp<int64_t>(ceilDiv(places, lines), 2, kMultiprocessors / together);
    const int64_t batch = slotsTogether * plan.threads * *bytes;
    int64_t batches = ceilDiv(ceilDiv(places, lines * plan.team), slotsTogether);
    batches = std::clamp<int64_t>((kChipShared - sums) / batch, 1, batches);
    plan.slots = slotsTogether * batches;
    plan.sharedBytes = batches * batch;
    plan.leastShared = batch;
    plan.grid = plan.team * together;
    return true;
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
    // `group` threads side by side along the columns; the others of the block
    // take other rows.
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

  /// Units are rows along the last dim, and threads share one as far as its
  /// vectors go.
  FailureOr<GpuPlan> rows() {
    SmallVector<AffineExpr> dims =
        graph::dimsOf(cast<graph::YieldOp>(body.getTerminator()).getValues().front());
    if (dims.empty()) {
      return failure();
    }
    AffineExpr last = dims.back();
    plan.width = dividing(widthAlong(results()), last);
    if (auto rows = dyn_cast<graph::QuantiseRowsOp>(&body.front())) {
      plan.width = dividing(plan.width, graph::dimsOf(rows.getInput()).back());
      plan.group = kQuantising;
      return byUnits();
    }
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
    body.walk([&](graph::QuantiseRowsOp rows) {
      width = dividing(width, graph::dimsOf(rows.getInput()).back());
      plan.group = kQuantising;
    });
    plan.width = width;
    if (plan.group == kQuantising) {
      return byUnits();
    }
    for (Value value : cast<graph::YieldOp>(body.getTerminator()).getValues()) {
      int64_t vectors = ceilDiv(upper(graph::dimsOf(value).back(), kUnknown), width);
      group = std::max(group, powerOf2Ceil(vectors));
    }
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
  if (succeeded(plan) && capability < 90 && plan->cluster > 1 && plan->slab &&
      plan->teamUnits > 0) {
    plan->team = plan->cluster,
    plan->cluster = 1; // no clusters: through global memory
  } else if (succeeded(plan) && capability < 90 && plan->cluster > 1) {
    // A block (of alternating rows, a warp) takes a row alone, in passes over
    // memory.
    plan->cluster = 1, plan->slots = 0;
    if (plan->slab) {
      plan->slab = false;
      plan->group = llvm::isPowerOf2_64(plan->threads) ? plan->threads : 32;
      plan->width = Planner(kernel).widthOfRows();
    }
  }
  return plan;
}

bool rowsAlternate(const graph::ReduceSpace &space) {
  const size_t rank = space.dims.size();
  return rank >= 3 && !space.reduced[rank - 2] && space.reduced[rank - 3];
}

SmallVector<BlockArgument> slabOperands(Block &body, const graph::ReduceSpace &space) {
  SmallVector<BlockArgument> operands;
  for (BlockArgument argument : body.getArguments()) {
    if (!argument.use_empty() && graph::sameDims(graph::dimsOf(argument), space.dims) &&
        !graph::hasPhysicalExtents(body, argument.getArgNumber())) {
      operands.push_back(argument);
    }
  }
  return operands;
}

GpuPlan epiloguePlanOf(graph::KernelOp kernel) { return Planner(kernel).epilogue(); }

} // namespace ciuic::codegen

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row and column kernels: maps and reductions over one index space.
//
// Row: the last dim is reduced. A unit is one row (all reduced dims at one index of the others).
// Each reduction is one pass over the row; maps between are recomputed in every pass that needs
// them, except those worth a buffer, which the first pass leaves in scratch. One last pass stores
// every result that has the row's extent. Column: the last dim is kept. A unit is a chunk of it;
// lanes lie along it and reductions are loops around vectors. The GPU's forms are in ReduceGpu.cpp.
#include "codegen/Kernel/Reducer.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

// Loops over `extents` carrying values.
SmallVector<Value>
accumulateNest(Emitter &e, ArrayRef<Value> extents, SmallVector<Value> &index, ValueRange init,
               function_ref<SmallVector<Value>(ArrayRef<Value>, ValueRange)> body) {
  if (index.size() == extents.size()) {
    return body(index, init);
  }
  return e.loop(e.constant(0), extents[index.size()], 1, init, [&](Value i, ValueRange carried) {
    index.push_back(i);
    SmallVector<Value> result = accumulateNest(e, extents, index, carried, body);
    index.pop_back();
    return result;
  });
}

// Keeps rows that several passes read in scratch.
void placeRows(Reducer &r, KernelFrame &frame) {
  int64_t bytes = 0, elements = 1;
  graph::Bounds bounds;
  for (auto symbol : frame.kernel.getSymbols().getAsRange<graph::SymbolAttr>()) {
    bounds.lower.push_back(symbol.getLower());
    bounds.upper.push_back(symbol.getUpper());
  }
  MLIRContext *context = r.e.builder.getContext();
  SmallVector<AffineExpr> strides(r.space.dims.size(), getAffineConstantExpr(0, context));
  AffineExpr stride = getAffineConstantExpr(1, context);
  for (unsigned d : llvm::reverse(r.reduced)) {
    strides[d] = stride;
    stride = stride * r.space.dims[d];
    std::optional<int64_t> upper = graph::intervalOf(r.space.dims[d], bounds).upper;
    if (!upper || *upper > frame.kernel.getScratch()) {
      return; // no room was planned: recompute
    }
    elements *= std::max<int64_t>(*upper, 1);
  }
  int64_t rowBytes = (elements * 4 + 63) / 64 * 64;
  for (Operation &op : frame.body) {
    for (Value value : op.getResults()) {
      if (graph::isBuffered(value, r.space) && bytes + rowBytes <= frame.kernel.getScratch()) {
        Value offset = r.e.constant(bytes / 4);
        Type f32 = r.e.builder.getF32Type();
        SmallVector<AffineExpr> own = strides;
        r.rows[value] = {frame.scratch, f32, own};
        r.rows[value].pointer =
            LLVM::GEPOp::create(r.e.builder, r.e.loc, frame.scratch.getType(), f32, frame.scratch,
                                ArrayRef<LLVM::GEPArg>{offset});
        bytes += rowBytes;
      }
    }
  }
}

} // namespace

void emitRow(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  std::optional<graph::ReduceSpace> space = graph::reduceSpaceOf(frame.body);
  if (!space || !space->isRow()) {
    e.fail("a row kernel reduces along the last dim, the same dims in every reduction");
    return;
  }
  Reducer r(frame, *space);
  if (!r.checkShapes()) {
    return;
  }
  r.install();
  if (e.device == Device::gpu) {
    emitRowOnGpu(r);
    e.supply = nullptr, e.observe = nullptr;
    return;
  }
  placeRows(r, frame);
  SmallVector<unsigned> around(r.reduced);
  around.pop_back();
  SmallVector<Value> aroundExtents =
      llvm::map_to_vector(around, [&](unsigned d) { return r.extents[d]; });
  SmallVector<Value> keptExtents =
      llvm::map_to_vector(r.kept, [&](unsigned d) { return r.extents[d]; });
  unsigned last = r.space.dims.size() - 1;
  auto indexAt = [&](ArrayRef<Value> outer, Lane lane) {
    SmallVector<Lane> index = r.base;
    for (auto [d, value] : llvm::zip(around, outer)) {
      index[d] = e.uniform(value);
    }
    index[last] = lane;
    r.current = index;
    return index;
  };
  frame.forUnits([&](Value unit) {
    r.complete.clear();
    for (auto [d, value] : llvm::zip(r.kept, e.delinearise(unit, keptExtents))) {
      r.base[d] = e.uniform(value);
    }
    r.reduceAll([&](const ReductionState &state) {
      SmallVector<Value> index;
      SmallVector<Value> total = accumulateNest(
          e, aroundExtents, index, state.identity, [&](ArrayRef<Value> outer, ValueRange carried) {
            SmallVector<Value> part = e.accumulateLanes(
                e.constant(0), r.extents[last],
                {state.identity,
                 [&](Lane lane, ValueRange acc) { return state.step(indexAt(outer, lane), acc); },
                 [&](ValueRange a, ValueRange b) { return state.combine(a, b); }});
            return around.empty() ? part : state.combine(carried, part);
          });
      r.endPass();
      return total;
    });
    if (!r.storeReduced()) {
      return;
    }
    e.nest(aroundExtents, [&](ValueRange outer) {
      e.lanes(e.constant(0), r.extents[last], [&](Lane lane) {
        SmallVector<Lane> index = indexAt(llvm::to_vector(outer), lane);
        r.storeFull(index);
      });
    });
    r.endPass();
  });
  e.supply = nullptr, e.observe = nullptr;
}

void emitColumn(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  std::optional<graph::ReduceSpace> space = graph::reduceSpaceOf(frame.body);
  if (!space || space->isRow()) {
    e.fail("a column kernel keeps the last dim and reduces the same others in every reduction");
    return;
  }
  Reducer r(frame, *space);
  if (!r.checkShapes()) {
    return;
  }
  r.install();
  if (e.device == Device::gpu) {
    emitColumnOnGpu(r);
    e.supply = nullptr, e.observe = nullptr;
    return;
  }
  unsigned last = r.space.dims.size() - 1;
  SmallVector<unsigned> outer(r.kept);
  outer.pop_back();
  Value chunks = e.symbolic(r.space.dims[last].ceilDiv(graph::columnChunk));
  SmallVector<Value> splits = llvm::map_to_vector(outer, [&](unsigned d) { return r.extents[d]; });
  splits.push_back(chunks);
  SmallVector<Value> reducedExtents =
      llvm::map_to_vector(r.reduced, [&](unsigned d) { return r.extents[d]; });
  auto indexAt = [&](ArrayRef<Value> at) {
    SmallVector<Lane> index = r.base;
    for (auto [d, value] : llvm::zip(r.reduced, at)) {
      index[d] = e.uniform(value);
    }
    return index;
  };
  frame.forUnits([&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    for (auto [d, value] : llvm::zip(outer, where)) {
      r.base[d] = e.uniform(value);
    }
    Value lower = e.mul(where.back(), e.constant(graph::columnChunk));
    Value upper = e.min(e.add(lower, e.constant(graph::columnChunk)), r.extents[last]);
    e.lanes(lower, upper, [&](Lane lane) {
      r.base[last] = lane;
      r.reduceAll([&](const ReductionState &state) {
        SmallVector<Value> init =
            llvm::map_to_vector(state.identity, [&](Value v) { return e.splat(v); });
        SmallVector<Value> index;
        // Each inner loop sums from the identity: partial sums of a row, then of the rows, keep
        // rounding errors small.
        std::function<SmallVector<Value>(ValueRange)> sum =
            [&](ValueRange carried) -> SmallVector<Value> {
          if (index.size() == reducedExtents.size()) {
            return state.step(indexAt(index), carried);
          }
          SmallVector<Value> part = e.loop(e.constant(0), reducedExtents[index.size()], 1, init,
                                           [&](Value i, ValueRange acc) {
                                             index.push_back(i);
                                             SmallVector<Value> next = sum(acc);
                                             index.pop_back();
                                             return next;
                                           });
          return index.empty() ? part : state.combine(carried, part);
        };
        return sum(init);
      });
      if (!r.storeReduced()) {
        return;
      }
      e.nest(reducedExtents, [&](ValueRange at) {
        SmallVector<Lane> index = indexAt(llvm::to_vector(at));
        r.storeFull(index);
      });
    });
  });
  e.supply = nullptr, e.observe = nullptr;
}

} // namespace ciuic::codegen

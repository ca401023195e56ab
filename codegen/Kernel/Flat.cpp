// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Flat kernels: every result element is computed on its own from operands read through affine maps
// (or slices, transposes, gathers). A unit is a chunk of the innermost (merged) dim at one index of
// the outer dims.
#include "codegen/Kernel/Generator.h"

using namespace mlir;

namespace ciuic::codegen {

void emitFlat(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  MLIRContext *context = e.builder.getContext();
  graph::FlatSpace space = graph::flatSpaceOf(frame.body);
  for (Value value : frame.yield().getValues()) {
    if (!graph::sameDims(graph::dimsOf(value), space.dims)) {
      e.fail("a flat kernel's results share one shape");
      return;
    }
  }
  // Where the merged dims' common index goes: the last of them that is more than one element.
  unsigned rank = space.dims.size(), carrier = rank ? rank - 1 : 0;
  Value one = e.constant(1);
  SmallVector<Value> extents =
      llvm::map_to_vector(space.dims, [&](AffineExpr d) { return e.symbolic(d); });
  while (carrier > space.merged && extents[carrier] == one) {
    --carrier;
  }
  AffineExpr innerExpr = space.inner(context);
  Value inner = e.symbolic(innerExpr), chunks = e.symbolic(innerExpr.ceilDiv(graph::flatChunk));
  SmallVector<Value> splits(ArrayRef(extents).take_front(space.merged));
  splits.push_back(chunks);
  frame.forUnits([&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    Value lower = e.mul(where.back(), e.constant(graph::flatChunk));
    Value upper = chunks == one ? inner : e.min(e.add(lower, e.constant(graph::flatChunk)), inner);
    e.lanes(lower, upper, [&](Lane lane) {
      SmallVector<Lane> index(rank, e.uniform(int64_t(0)));
      for (unsigned d = 0; d < space.merged; ++d) {
        index[d] = e.uniform(where[d]);
      }
      if (rank) {
        index[carrier] = lane;
      }
      SmallVector<Value> values =
          llvm::map_to_vector(frame.yield().getValues(), [&](Value v) { return e.at(v, index); });
      for (auto [i, value] : llvm::enumerate(values)) {
        e.store(value, frame.result(i), index);
      }
    });
  });
}

} // namespace ciuic::codegen

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Flat kernels: every result element is computed on its own from operands read through affine maps
// (or slices, transposes, gathers). A unit is a chunk of the innermost (merged) dim at one index of
// the outer dims. On a GPU a unit is a tile of vectors, whatever their index of the outer dims:
// each thread computes `plan.slots` of them, all before it stores the first.
#include "codegen/Kernel/Generator.h"
#include "codegen/Kernel/Threads.h"

using namespace mlir;

namespace ciuic::codegen {

namespace {

class FlatTiles {
public:
  FlatTiles(KernelFrame &frame, const graph::FlatSpace &space, ArrayRef<Value> extents,
            unsigned carrier)
      : frame(frame), e(frame.emitter), plan(e.target.plan), space(space), extents(extents),
        carrier(carrier) {}

  void run() {
    MLIRContext *context = e.builder.getContext();
    AffineExpr inner = space.inner(context);
    Value vectors = e.symbolic(flatVectors(space, plan.width, context));
    const int64_t tile = plan.threads * plan.slots;
    Value tiles = e.symbolic(flatVectors(space, plan.width, context).ceilDiv(tile));
    splits.assign(extents.take_front(space.merged).begin(), extents.take_front(space.merged).end());
    splits.push_back(e.symbolic(inner.floorDiv(plan.width)));
    e.width = plan.width;
    forBlocks(e, tiles, [&](Value unit) {
      Value from = e.add(e.mul(unit, e.constant(tile)), threadIndex(e));
      auto vector = [&](int64_t s) { return e.add(from, e.constant(s * plan.threads)); };
      auto one = [&](int64_t s) {
        Value here = vector(s);
        e.when(e.compare(arith::CmpIPredicate::slt, here, vectors),
               [&] { compute({indexAt(here)}); });
      };
      if (plan.slots == 1) {
        one(0);
        return;
      }
      Value end = e.mul(e.add(unit, e.constant(1)), e.constant(tile));
      e.when(
          e.compare(arith::CmpIPredicate::sle, end, vectors),
          [&] {
            SmallVector<SmallVector<Lane>> all;
            for (int64_t s = 0; s < plan.slots; ++s) {
              all.push_back(indexAt(vector(s)));
            }
            compute(all);
          },
          [&] {
            Value stop = e.min(end, vectors);
            e.loop(from, stop, plan.threads, [&](Value here) { compute({indexAt(here)}); });
          });
    });
    e.width = 1;
    if (inner.getLargestKnownDivisor() % plan.width != 0) {
      tail(e.symbolic(inner), e.mul(vectors, e.constant(plan.width)));
    }
  }

private:
  SmallVector<Lane> indexAt(Value vector) {
    SmallVector<Value> where = e.delinearise(vector, splits);
    Value element = e.mul(where.back(), e.constant(plan.width));
    where.pop_back();
    return indexOf(where, {element, Lane::Unit, true});
  }
  SmallVector<Lane> indexOf(ArrayRef<Value> outer, Lane lane) {
    SmallVector<Lane> index(space.dims.size(), e.uniform(int64_t(0)));
    for (auto [d, value] : llvm::enumerate(outer)) {
      index[d] = e.uniform(value);
    }
    if (!index.empty()) {
      index[carrier] = lane;
    }
    return index;
  }
  void compute(ArrayRef<SmallVector<Lane>> all) {
    SmallVector<SmallVector<Value>> values;
    for (const SmallVector<Lane> &index : all) {
      values.push_back(
          llvm::map_to_vector(frame.yield().getValues(), [&](Value v) { return e.at(v, index); }));
    }
    for (auto [index, own] : llvm::zip(all, values)) {
      for (auto [i, value] : llvm::enumerate(own)) {
        e.store(value, frame.result(i), index);
      }
    }
  }
  // What is left of a single run: fewer elements than a vector has.
  void tail(Value elements, Value from) {
    Value here = e.add(from, threadIndex(e));
    Value isFirst = e.compare(arith::CmpIPredicate::eq, blockIndex(e), e.constant(0));
    Value inside = e.compare(arith::CmpIPredicate::slt, here, elements);
    e.when(arith::AndIOp::create(e.builder, e.loc, isFirst, inside),
           [&] { compute({indexOf({}, {here, Lane::Unit})}); });
  }

  KernelFrame &frame;
  Emitter &e;
  const GpuPlan &plan;
  const graph::FlatSpace &space;
  ArrayRef<Value> extents;
  unsigned carrier;
  SmallVector<Value> splits;
};

} // namespace

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
  if (e.device == Device::gpu) {
    FlatTiles(frame, space, extents, carrier).run();
    return;
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

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row and column kernels on a GPU.
//
// Row: a group of threads, a block or a cluster of blocks takes a row (all reduced dims at one
// index of the others), as one run of vectors. Where the plan has slots, each thread keeps its
// vectors in registers from the first reduction to the store: code for all slots is straight, so
// that every value is computed once and loads are under way together; a slot beyond the row's end
// reads the last vector and is masked. Otherwise each reduction is a pass over memory. Column:
// threads side by side along the kept last dim, the block's others at other rows; partial results
// meet in shared memory.
#include "codegen/Kernel/Exchange.h"
#include "codegen/Kernel/Reducer.h"
#include "codegen/Kernel/Threads.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

/// Vectors that one iteration of a pass over memory has under way.
constexpr int64_t kUnroll = 4;

Value both(Emitter &e, Value a, Value b) {
  return a && b ? arith::AndIOp::create(e.builder, e.loc, a, b).getResult() : (a ? a : b);
}

void guarded(Emitter &e, Value condition, function_ref<void()> body) {
  if (condition) {
    e.when(condition, body);
  } else {
    body();
  }
}

std::optional<int64_t> constantOf(Value value) {
  APInt bits;
  return matchPattern(value, m_ConstantInt(&bits)) ? std::optional(bits.getSExtValue())
                                                   : std::nullopt;
}

class RowEmitter {
public:
  explicit RowEmitter(Reducer &r)
      : r(r), e(r.e), plan(e.target.plan), last(r.space.dims.size() - 1) {
    AffineExpr product = getAffineConstantExpr(1, e.builder.getContext());
    for (unsigned d : r.reduced) {
      product = product * r.space.dims[d];
      reducedExtents.push_back(r.extents[d]);
    }
    for (unsigned d : r.kept) {
      keptExtents.push_back(r.extents[d]);
    }
    vectors = e.symbolic(product.floorDiv(plan.width));
  }

  void run() {
    forGroupsTogether(e, r.frame.units, [&](Value unit, Value valid) {
      for (auto [d, value] : llvm::zip(r.kept, e.delinearise(unit, keptExtents))) {
        r.base[d] = e.uniform(value);
      }
      Value lane = memberIndex(e);
      if (plan.cluster > 1) {
        lane = e.add(lane, e.mul(clusterRank(e), e.constant(plan.group)));
        // Before the first write into another block: it has started, and has read its last row's
        // sums.
        clusterArrive(e);
      }
      first = e.compare(arith::CmpIPredicate::eq, lane, e.constant(0));
      if (plan.slots == 0) {
        overMemory(lane, valid);
        return;
      }
      std::optional<int64_t> known = constantOf(vectors);
      if (known && *known > 0) {
        inRegisters(lane, valid);
        return;
      }
      Value any = e.compare(arith::CmpIPredicate::sgt, vectors, e.constant(0));
      e.when(any, [&] { inRegisters(lane, valid); }, [&] { overMemory(lane, valid); });
    });
  }

private:
  /// The index of the row's vector number `vector`.
  SmallVector<Lane> indexAt(Value vector) {
    SmallVector<Lane> index = r.base;
    Value element = e.mul(vector, e.constant(plan.width));
    SmallVector<Value> where = e.delinearise(element, reducedExtents);
    for (auto [d, value] : llvm::zip(r.reduced, where)) {
      index[d] = e.uniform(value);
    }
    index[last] = {where.back(), Lane::Unit, true};
    return index;
  }

  /// `pass(state)` for each reduction, in order, and what is computed between them.
  void reduceAll(function_ref<SmallVector<Value>(const ReductionState &)> pass) {
    r.reduceAll([&](const ReductionState &state) {
      auto combine = [&](ValueRange a, ValueRange b) { return state.combine(a, b); };
      Emitter::Accumulation accumulation{state.identity, {}, combine};
      e.width = plan.width;
      SmallVector<Value> total = pass(state);
      total = e.foldLanes(total, accumulation);
      e.width = 1;
      total = combineThreads(e, total, accumulation);
      if (plan.cluster > 1) {
        if (!joined) {
          clusterWait(e);
          joined = true;
        }
        total = combineCluster(e, total, accumulation);
      }
      return total;
    });
  }

  SmallVector<Value> identityOf(const ReductionState &state) {
    return llvm::map_to_vector(state.identity, [&](Value v) { return e.splat(v); });
  }

  void storeReduced(Value valid) {
    bool any = llvm::any_of(r.frame.yield().getValues(), [&](Value v) { return !r.isFull(v); });
    if (any) {
      guarded(e, both(e, first, valid), [&] { r.storeReduced(); });
    }
  }

  void inRegisters(Value lane, Value valid) {
    joined = false;
    struct Slot {
      SmallVector<Lane> index;
      Value inside;
    };
    SmallVector<Slot> slots;
    std::optional<int64_t> known = constantOf(vectors);
    const int64_t stride = plan.group * plan.cluster;
    Value lastVector = e.sub(vectors, e.constant(1));
    for (int64_t s = 0; s < plan.slots; ++s) {
      Value vector = e.add(lane, e.constant(s * stride)), inside;
      if (!known || (s + 1) * stride > *known) {
        inside = e.compare(arith::CmpIPredicate::slt, vector, vectors);
        vector = e.min(vector, lastVector);
      }
      slots.push_back({indexAt(vector), inside});
    }
    reduceAll([&](const ReductionState &state) {
      SmallVector<Value> carried = identityOf(state);
      for (const Slot &slot : slots) {
        carried = maskedStep(e, state, slot.index, carried, slot.inside);
      }
      return carried;
    });
    storeReduced(valid);
    if (r.hasFull()) {
      e.width = plan.width;
      SmallVector<SmallVector<std::pair<unsigned, Value>>> values;
      for (const Slot &slot : slots) {
        values.push_back(r.fullValues(slot.index));
      }
      for (auto [slot, value] : llvm::zip(slots, values)) {
        guarded(e, both(e, slot.inside, valid), [&] { r.storeValues(value, slot.index); });
      }
      e.width = 1;
    }
  }

  void overMemory(Value lane, Value valid) {
    joined = false;
    const int64_t stride = plan.group * plan.cluster;
    Value lastVector = e.sub(vectors, e.constant(1));
    reduceAll([&](const ReductionState &state) {
      return e.loop(lane, vectors, stride * kUnroll, identityOf(state),
                    [&](Value from, ValueRange acc) {
                      SmallVector<Value> carried(acc);
                      for (int64_t u = 0; u < kUnroll; ++u) {
                        Value vector = e.add(from, e.constant(u * stride)), inside;
                        if (u > 0) {
                          inside = e.compare(arith::CmpIPredicate::slt, vector, vectors);
                          vector = e.min(vector, lastVector);
                        }
                        carried = maskedStep(e, state, indexAt(vector), carried, inside);
                      }
                      return carried;
                    });
    });
    storeReduced(valid);
    if (r.hasFull()) {
      e.width = plan.width;
      guarded(e, valid, [&] {
        e.loop(lane, vectors, stride, [&](Value vector) { r.storeFull(indexAt(vector)); });
      });
      e.width = 1;
    }
  }

  Reducer &r;
  Emitter &e;
  const GpuPlan &plan;
  unsigned last;
  SmallVector<Value> reducedExtents, keptExtents;
  Value vectors, first;
  bool joined = false; // whether the code so far has waited for the cluster
};

} // namespace

SmallVector<Value> maskedStep(Emitter &e, const ReductionState &state, ArrayRef<Lane> index,
                              ValueRange carried, Value valid) {
  SmallVector<Value> next = state.step(index, carried);
  if (valid) {
    for (auto [n, c] : llvm::zip(next, carried)) {
      n = e.select(valid, n, c);
    }
  }
  return next;
}

void emitRowOnGpu(Reducer &r) {
  if (r.e.target.plan.slab) {
    emitSlabOnGpu(r);
  } else {
    RowEmitter(r).run();
  }
}

void emitColumnOnGpu(Reducer &r) {
  Emitter &e = r.e;
  const GpuPlan &plan = e.target.plan;
  MLIRContext *context = e.builder.getContext();
  unsigned last = r.space.dims.size() - 1;
  const int64_t across = plan.group, lines = plan.threads / plan.group;
  SmallVector<unsigned> outer(r.kept);
  outer.pop_back();
  AffineExpr vectorsExpr = r.space.dims[last].floorDiv(plan.width),
             chunksExpr = vectorsExpr.ceilDiv(across), rowsExpr = getAffineConstantExpr(1, context),
             unitsExpr = chunksExpr;
  SmallVector<Value> splits, reducedExtents;
  for (unsigned d : outer) {
    unitsExpr = unitsExpr * r.space.dims[d];
    splits.push_back(r.extents[d]);
  }
  for (unsigned d : r.reduced) {
    rowsExpr = rowsExpr * r.space.dims[d];
    reducedExtents.push_back(r.extents[d]);
  }
  splits.push_back(e.symbolic(chunksExpr));
  Value vectors = e.symbolic(vectorsExpr), rows = e.symbolic(rowsExpr);
  Value lastRow = e.sub(rows, e.constant(1));
  auto indexAt = [&](Value row) {
    SmallVector<Lane> index = r.base;
    for (auto [d, value] : llvm::zip(r.reduced, e.delinearise(row, reducedExtents))) {
      index[d] = e.uniform(value);
    }
    return index;
  };
  forBlocks(e, e.symbolic(unitsExpr), [&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    for (auto [d, value] : llvm::zip(outer, where)) {
      r.base[d] = e.uniform(value);
    }
    Value thread = threadIndex(e);
    Value x = e.builder.createOrFold<arith::RemUIOp>(e.loc, thread, e.constant(across));
    Value y = e.builder.createOrFold<arith::DivUIOp>(e.loc, thread, e.constant(across));
    Value vector = e.add(e.mul(where.back(), e.constant(across)), x);
    Value inside = e.compare(arith::CmpIPredicate::slt, vector, vectors);
    vector = e.min(vector, e.sub(vectors, e.constant(1)));
    e.width = plan.width;
    r.base[last] = {e.mul(vector, e.constant(plan.width)), Lane::Unit, true};
    r.reduceAll([&](const ReductionState &state) {
      SmallVector<Value> total =
          e.loop(y, rows, lines * kUnroll,
                 llvm::map_to_vector(state.identity, [&](Value v) { return e.splat(v); }),
                 [&](Value from, ValueRange acc) {
                   SmallVector<Value> carried(acc);
                   for (int64_t u = 0; u < kUnroll; ++u) {
                     Value row = e.add(from, e.constant(u * lines)), valid;
                     if (u > 0) {
                       valid = e.compare(arith::CmpIPredicate::slt, row, rows);
                       row = e.min(row, lastRow);
                     }
                     carried = maskedStep(e, state, indexAt(row), carried, valid);
                   }
                   return carried;
                 });
      if (lines > 1) {
        total = combineLines(e, total, x, y, state.combine);
      }
      return total;
    });
    Value top = e.compare(arith::CmpIPredicate::eq, y, e.constant(0));
    if (llvm::any_of(r.frame.yield().getValues(), [&](Value v) { return !r.isFull(v); })) {
      e.when(both(e, inside, top), [&] { r.storeReduced(); });
    }
    if (r.hasFull()) {
      e.when(inside,
             [&] { e.loop(y, rows, lines, [&](Value row) { r.storeFull(indexAt(row)); }); });
    }
    e.width = 1;
  });
}

} // namespace ciuic::codegen

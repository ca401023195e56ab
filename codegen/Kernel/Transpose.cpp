// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Transposes. Where the operand's last dim stays last, rows are copied. Else 8×8 blocks go through
// registers, so that both sides are read and written in whole vectors: a unit is a strip of the
// result 32 high along the operand's last dim. On a GPU a block moves 32×32 tiles through shared
// memory (see Threads.h).
#include "codegen/Kernel/Generator.h"
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace ciuic::codegen {

// Transposes 8 vectors of 8 lanes: exchanges off-diagonal blocks of 4, 2, 1.
static void transposeBlock(Emitter &e, SmallVector<Value> &rows) {
  for (int64_t step : {4, 2, 1}) {
    SmallVector<int64_t> low, high;
    for (int64_t lane = 0; lane < 8; ++lane) {
      low.push_back(lane & step ? lane - step + 8 : lane);
      high.push_back(lane & step ? lane + 8 : lane + step);
    }
    for (int64_t i = 0; i < 8; ++i) {
      if (i & step) {
        continue;
      }
      Value a = rows[i], b = rows[i + step];
      rows[i] = vector::ShuffleOp::create(e.builder, e.loc, a, b, low);
      rows[i + step] = vector::ShuffleOp::create(e.builder, e.loc, a, b, high);
    }
  }
}

// A GPU block moves one tile at a time: both the operand's and the result's last dim are split.
static void transposeTiles(KernelFrame &frame, graph::TransposeOp op, unsigned across) {
  Emitter &e = frame.emitter;
  const int64_t side = graph::transposeChunk * e.target.plan.width;
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getResult()), splitDims = dims;
  unsigned last = dims.size() - 1;
  splitDims[across] = splitDims[across].ceilDiv(side);
  splitDims[last] = splitDims[last].ceilDiv(side);
  SmallVector<Value> splits =
      llvm::map_to_vector(splitDims, [&](AffineExpr d) { return e.symbolic(d); });
  Value units = e.symbolic(graph::productOf(splitDims, e.builder.getContext()));
  Value chunk = e.constant(side);
  Buffer out = frame.result(0);
  forBlocks(e, units, [&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    auto indexAt = [&](Lane i, Lane j) { // i along `across`, j along the last dim
      SmallVector<Lane> index = llvm::map_to_vector(where, [&](Value v) { return e.uniform(v); });
      index[across] = i, index[last] = j;
      return index;
    };
    transposeTile(
        e, e.mul(where[across], chunk), e.symbolic(dims[across]), e.mul(where[last], chunk),
        e.symbolic(dims[last]),
        [&](Value i, Value j) {
          return e.at(op.getResult(), indexAt({i, Lane::Unit, true}, e.uniform(j)));
        },
        [&](Value i, Value j, Value v) {
          e.store(v, out, indexAt(e.uniform(i), {j, Lane::Unit, true}));
        });
  });
}

void emitTranspose(KernelFrame &frame) {
  Emitter &e = frame.emitter;
  auto op = dyn_cast<graph::TransposeOp>(&frame.body.front());
  if (!op || op.getResult() != frame.yield().getValues()[0] || op.getPermutation().empty()) {
    e.fail("a transpose kernel holds one transpose");
    return;
  }
  ArrayRef<int64_t> permutation = op.getPermutation();
  unsigned rank = permutation.size(), last = rank - 1;
  unsigned across = llvm::find(permutation, int64_t(last)) - permutation.begin();
  SmallVector<AffineExpr> dims = graph::dimsOf(op.getResult());
  SmallVector<Value> extents =
      llvm::map_to_vector(dims, [&](AffineExpr d) { return e.symbolic(d); });
  Buffer out = frame.result(0);
  SmallVector<Value> splits(extents);
  splits.pop_back();
  if (across == last) {
    frame.forUnits([&](Value unit) {
      SmallVector<Lane> index =
          llvm::map_to_vector(e.delinearise(unit, splits), [&](Value v) { return e.uniform(v); });
      index.emplace_back();
      e.lanes(e.constant(0), extents[last], [&](Lane lane) {
        index[last] = lane;
        e.store(e.at(op.getResult(), index), out, index);
      });
    });
    return;
  }
  if (e.device == Device::gpu) {
    transposeTiles(frame, op, across);
    return;
  }
  splits[across] = e.symbolic(dims[across].ceilDiv(graph::transposeChunk));
  Value chunk = e.constant(graph::transposeChunk);
  frame.forUnits([&](Value unit) {
    SmallVector<Value> where = e.delinearise(unit, splits);
    Value from = e.mul(where[across], chunk), to = e.min(e.add(from, chunk), extents[across]);
    auto indexAt = [&](Lane i, Lane j) { // i along `across`, j along the last dim
      SmallVector<Lane> index = llvm::map_to_vector(where, [&](Value v) { return e.uniform(v); });
      index.push_back(j);
      index[across] = i;
      return index;
    };
    Value eight = e.constant(8), zero = e.constant(0);
    auto wholeBlocks = [&](Value lower, Value upper) {
      return e.add(
          lower,
          e.mul(e.builder.createOrFold<arith::DivUIOp>(e.loc, e.sub(upper, lower), eight), eight));
    };
    Value blockRows = wholeBlocks(from, to), blockColumns = wholeBlocks(zero, extents[last]);
    auto scalars = [&](Value i0, Value i1, Value j0, Value j1) {
      e.loop(i0, i1, 1, [&](Value i) {
        e.loop(j0, j1, 1, [&](Value j) {
          SmallVector<Lane> index = indexAt(e.uniform(i), {j, Lane::Unit});
          e.store(e.at(op.getResult(), index), out, index);
        });
      });
    };
    e.loop(from, blockRows, 8, [&](Value i) {
      e.loop(zero, blockColumns, 8, [&](Value j) {
        e.width = 8;
        SmallVector<Value> rows;
        for (int64_t k = 0; k < 8; ++k) {
          Value row =
              e.at(op.getResult(), indexAt({i, Lane::Unit}, e.uniform(e.add(j, e.constant(k)))));
          rows.push_back(e.splat(row));
        }
        transposeBlock(e, rows);
        for (int64_t k = 0; k < 8; ++k) {
          e.store(rows[k], out, indexAt(e.uniform(e.add(i, e.constant(k))), {j, Lane::Unit}));
        }
        e.width = 1;
      });
    });
    scalars(from, blockRows, blockColumns, extents[last]);
    scalars(blockRows, to, zero, extents[last]);
  });
}

} // namespace ciuic::codegen

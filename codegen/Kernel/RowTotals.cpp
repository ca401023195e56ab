// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Totals of rows whose elements alternate: see RowTotals.h.
//
// A thread first makes one value of its lanes in each row, so that shared memory holds a value for
// a vector rather than eight, and a warp that adds up a row has few of them to read.
#include "codegen/Kernel/RowTotals.h"
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <numeric>

using namespace mlir;

namespace ciuic::codegen {

int64_t Line::rowsOfVector() const {
  return (width - std::gcd(width, lanes) + lanes - 1) / width + 1;
}
int64_t Line::vectorsOfRow() const {
  return (lanes - std::gcd(width, lanes) + width - 1) / lanes + 1;
}

static Value f32(Emitter &e, double value) { return e.scalarFloat(value, e.builder.getF32Type()); }
static Value sum(Emitter &e, Value a, Value b) {
  return arith::AddFOp::create(e.builder, e.loc, a, b);
}
static Value product(Emitter &e, Value a, Value b) {
  return arith::MulFOp::create(e.builder, e.loc, a, b);
}
static Value difference(Emitter &e, Value a, Value b) {
  return arith::SubFOp::create(e.builder, e.loc, a, b);
}
static Value laneOf(Emitter &e, Value v, int64_t lane) {
  return e.isVector(v) ? vector::ExtractOp::create(e.builder, e.loc, v, lane).getResult() : v;
}

// Lanes [from, to) of a vector, which are known when the kernel runs: false before `from` and from
// `to` on; null: all.
namespace {
struct Stretch {
  Emitter &e;
  Value from, to; // i32; null: no bound

  Value inside(int64_t lane) const {
    OpBuilder &b = e.builder;
    Value at = arith::ConstantIntOp::create(b, e.loc, b.getI32Type(), lane);
    Value begun = from ? e.compare(arith::CmpIPredicate::sle, from, at) : Value();
    Value open = to ? e.compare(arith::CmpIPredicate::slt, at, to) : Value();
    return begun && open ? arith::AndIOp::create(b, e.loc, begun, open).getResult()
           : begun       ? begun
                         : open;
  }
  Value only(int64_t lane, Value v, Value otherwise) const {
    Value valid = inside(lane);
    return valid ? e.select(valid, v, otherwise) : v;
  }
};
} // namespace

// What a stretch of lanes has in common. All lanes have as many elements, so that the mean of
// moments is the mean of means.
static SmallVector<Value> mergeLanes(Emitter &e, const ReductionState &state, ArrayRef<Value> part,
                                     int64_t lanes, const Stretch &stretch) {
  if (state.isMoments) {
    Value zero = f32(e, 0), count = zero, means = zero, squares = zero;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      count = sum(e, count, stretch.only(lane, f32(e, 1), zero));
      means = sum(e, means, stretch.only(lane, laneOf(e, part[1], lane), zero));
    }
    Value some = arith::MaximumFOp::create(e.builder, e.loc, count, f32(e, 1));
    Value mean = product(e, means, reciprocalOnGpu(e, some));
    for (int64_t lane = 0; lane < lanes; ++lane) {
      Value d = difference(e, laneOf(e, part[1], lane), mean);
      Value around = LLVM::FMAOp::create(e.builder, e.loc, d.getType(), product(e, part[0], d), d,
                                         laneOf(e, part[2], lane));
      squares = sum(e, squares, stretch.only(lane, around, zero));
    }
    return {product(e, part[0], count), mean, squares};
  }
  SmallVector<Value> total = state.identity;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    SmallVector<Value> one = llvm::map_to_vector(part, [&](Value v) { return laneOf(e, v, lane); });
    for (auto [t, next] : llvm::zip(total, state.combine(total, one))) {
      t = stretch.only(lane, next, t);
    }
  }
  return total;
}

RowParts::RowParts(Emitter &emitter, const ReductionState &state, const Line &line, int64_t lines,
                   ArrayRef<Value> part, Value x, Value y)
    : e(emitter), state(state), line(line), lines(lines) {
  const int64_t rows = line.rowsOfVector();
  for (Value v : state.identity) {
    arrays.push_back(sharedArray(e, v.getType(), {rows, lines, line.across}));
  }
  // How far the vector's first element is into its row: where each row ends follows.
  Value into = remainderOf(e, e.mul(x, e.constant(line.lanes)), line.width);
  auto end = [&](int64_t row) -> Value {
    return arith::TruncIOp::create(e.builder, e.loc, e.builder.getI32Type(),
                                   e.sub(e.constant((row + 1) * line.width), into));
  };
  for (int64_t row = 0; row < rows; ++row) {
    Stretch stretch{e, row > 0 ? end(row - 1) : Value(), row + 1 < rows ? end(row) : Value()};
    for (auto [array, v] : llvm::zip(arrays, mergeLanes(e, state, part, line.lanes, stretch))) {
      storeShared(e, v, array, {e.constant(row), y, x});
    }
  }
}

SmallVector<Value> RowParts::total(Value row, Value lane) {
  const int64_t vectors = line.vectorsOfRow(), count = lines * vectors;
  Value begin = e.mul(row, e.constant(line.width));
  Value first = quotientOf(e, begin, line.lanes);
  Value last = quotientOf(e, e.add(begin, e.constant(line.width - 1)), line.lanes);
  return warpTotal(e, state, lane, e.constant(count), count, [&](Value at, Value &valid) {
    Value y = quotientOf(e, at, vectors);
    Value x = e.add(first, remainderOf(e, at, vectors));
    // Not every row has as many vectors.
    Value exists = e.compare(arith::CmpIPredicate::sle, x, last);
    valid = valid ? arith::AndIOp::create(e.builder, e.loc, valid, exists).getResult() : exists;
    x = e.min(x, last);
    Value of = e.sub(row, quotientOf(e, e.mul(x, e.constant(line.lanes)), line.width));
    return llvm::map_to_vector(llvm::zip(arrays, state.identity), [&](auto pair) {
      return loadShared(e, std::get<1>(pair).getType(), std::get<0>(pair), {of, y, x});
    });
  });
}

// Of two moments of a warp's threads, the means first, then the squared differences from theirs.
static SmallVector<Value> warpMoments(Emitter &e, ArrayRef<Value> mine) {
  auto sums = [&](ValueRange a, ValueRange b) {
    SmallVector<Value> both;
    for (auto [p, q] : llvm::zip(a, b)) {
      both.push_back(sum(e, p, q));
    }
    return both;
  };
  SmallVector<Value> first = combineWarp(e, {mine[0], product(e, mine[0], mine[1])}, 32, sums);
  Value some = arith::MaximumFOp::create(e.builder, e.loc, first[0], f32(e, 1));
  Value mean = product(e, first[1], reciprocalOnGpu(e, some));
  Value d = difference(e, mine[1], mean);
  Value around = product(e, mine[0], product(e, d, d));
  SmallVector<Value> squares = combineWarp(e, {sum(e, mine[2], around)}, 32, sums);
  return {first[0], mean, squares[0]};
}

SmallVector<Value> warpTotal(Emitter &e, const ReductionState &state, Value lane, Value count,
                             int64_t most, function_ref<SmallVector<Value>(Value, Value &)> read) {
  // Values that a thread reads before it adds the first.
  constexpr int64_t kMostTogether = 8;
  const int64_t together = std::min(kMostTogether, (most + 31) / 32);
  auto chunk = [&](Value from) {
    SmallVector<SmallVector<Value>> values;
    for (int64_t i = 0; i < together; ++i) {
      Value at = e.add(from, e.constant(32 * i));
      Value valid = e.compare(arith::CmpIPredicate::slt, at, count);
      SmallVector<Value> one = read(e.min(at, e.sub(count, e.constant(1))), valid);
      for (auto [v, none] : llvm::zip(one, state.identity)) {
        v = e.select(valid, v, none);
      }
      values.push_back(one);
    }
    return values;
  };
  auto merged = [&](SmallVector<SmallVector<Value>> values) {
    if (state.isMoments) {
      return mergeMoments(e, values);
    }
    SmallVector<Value> total = values.front();
    for (const SmallVector<Value> &value : ArrayRef(values).drop_front()) {
      total = state.combine(total, value);
    }
    return total;
  };
  SmallVector<Value> mine = merged(chunk(lane));
  if (most > 32 * together) {
    mine = e.loop(e.add(lane, e.constant(32 * together)), count, 32 * together, mine,
                  [&](Value from, ValueRange carried) {
                    SmallVector<SmallVector<Value>> values = chunk(from);
                    values.insert(values.begin(), SmallVector<Value>(carried));
                    return merged(values);
                  });
  }
  return state.isMoments ? warpMoments(e, mine) : combineWarp(e, mine, 32, state.combine);
}

} // namespace ciuic::codegen

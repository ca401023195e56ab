// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of floats to quantised ones and back (kernels/QuantisedRows.h).
#include "codegen/Kernel/Generator.h"
#include "kernels/QuantisedRows.h"

using namespace mlir;

namespace ciuic::codegen {

/// The scales of quantised rows: f32, `rowScaleAt` bytes into each.
static Buffer scalesOf(const Buffer &rows, Type f32) {
  Buffer scales{rows.pointer, f32, {}};
  for (AffineExpr stride : ArrayRef(rows.strides).drop_back()) {
    scales.strides.push_back(stride.floorDiv(4)); // rows are multiples of eight bytes
  }
  scales.strides.push_back(rows.strides.back());
  return scales;
}

void storeQuantised(Emitter &e, int64_t width, const RowValues &values, const Buffer &out,
                    ArrayRef<Lane> index) {
  OpBuilder &b = e.builder;
  Type f32 = b.getF32Type();
  auto number = [&](double value) { return e.scalarFloat(value, f32); };
  // 1. The largest magnitude of the row.
  Emitter::Accumulation most;
  auto larger = [&](Value x, Value y) -> Value {
    return arith::MaximumFOp::create(b, e.loc, x, y);
  };
  auto combine = [&](ValueRange x, ValueRange y) { return SmallVector<Value>{larger(x[0], y[0])}; };
  auto step = [&](Lane lane, ValueRange carried) {
    Value largest = carried[0];
    for (auto [value, at] : values.at(lane)) {
      Value v = e.splat(value);
      largest = larger(largest, larger(v, arith::NegFOp::create(b, e.loc, v)));
    }
    return SmallVector<Value>{largest};
  };
  most.identity = {number(0)};
  most.step = step;
  most.combine = combine;
  Value largest = e.accumulateLanes(e.constant(0), values.count, most)[0];
  // 2. Its scale, and the integers. A row of zeros has zeros for both.
  Value scale = arith::MulFOp::create(b, e.loc, largest, number(1.0 / 127));
  Value empty = arith::CmpFOp::create(b, e.loc, arith::CmpFPredicate::OEQ, largest, number(0));
  Value divisor = arith::SelectOp::create(b, e.loc, empty, number(1), largest);
  Value inverse = arith::DivFOp::create(b, e.loc, number(127), divisor);
  SmallVector<Lane> place(index);
  e.lanes(e.constant(0), values.count, [&](Lane lane) {
    for (auto [value, at] : values.at(lane)) {
      Value scaled = arith::MulFOp::create(b, e.loc, e.splat(value), e.splat(inverse));
      Value rounded = callIntrinsic(b, e.loc, "llvm.rint", {scaled});
      Type integer = b.getI8Type();
      if (auto vector = dyn_cast<VectorType>(rounded.getType())) {
        integer = VectorType::get(vector.getShape(), integer);
      }
      place.back() = at;
      e.store(saturate(b, e.loc, "llvm.fptosi.sat", integer, rounded), out, place);
    }
  });
  // 3. What fills the row up. On a GPU all of its threads write the same.
  const int64_t scaleAt = kernels::rowScaleAt(width);
  Value zero = arith::ConstantOp::create(b, e.loc, b.getI8IntegerAttr(0));
  for (int64_t i = width; i < scaleAt; ++i) {
    place.back() = e.uniform(i);
    e.store(zero, out, place);
  }
  Buffer scales = scalesOf(out, f32);
  place.back() = e.uniform(scaleAt / 4);
  e.store(scale, scales, place);
  place.back() = e.uniform(scaleAt / 4 + 1);
  e.store(number(0), scales, place);
}

Value dequantised(Emitter &e, graph::DequantiseRowsOp op, ArrayRef<Lane> index) {
  auto rows = e.buffers.find(op.getInput());
  if (rows == e.buffers.end()) {
    return e.fail("quantised rows are read where they are stored");
  }
  const int64_t width = cast<AffineConstantExpr>(graph::dimsOf(op.getResult()).back()).getValue();
  OpBuilder &b = e.builder;
  Value integer = e.load(rows->second, index);
  Type type = b.getF32Type();
  if (auto vector = dyn_cast<VectorType>(integer.getType())) {
    type = VectorType::get(vector.getShape(), type);
  }
  SmallVector<Lane> ofScale(index);
  ofScale.back() = e.uniform(kernels::rowScaleAt(width) / 4);
  Value scale = e.load(scalesOf(rows->second, b.getF32Type()), ofScale);
  Value value = arith::SIToFPOp::create(b, e.loc, type, integer);
  scale = e.isVector(value) ? e.splat(scale) : scale;
  return arith::MulFOp::create(b, e.loc, value, scale);
}

} // namespace ciuic::codegen

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GPU threads: see Threads.h. The host's forms are trivial.
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace ciuic::codegen {

static Value toI64(Emitter &e, Value index) {
  return arith::IndexCastOp::create(e.builder, e.loc, e.builder.getI64Type(), index);
}
static Value toIndex(Emitter &e, Value value) {
  return arith::IndexCastOp::create(e.builder, e.loc, e.builder.getIndexType(), value);
}
static Value threadId(Emitter &e) {
  return toI64(e, gpu::ThreadIdOp::create(e.builder, e.loc, gpu::Dimension::x));
}

Range threadRange(Emitter &e, Value lower, int64_t width) {
  if (e.device == Device::host) {
    return {lower, width};
  }
  return {e.add(lower, e.mul(threadId(e), e.constant(width))), gpuThreads * width};
}

// Warps combine by shuffles, warps' results through shared memory; every thread ends with the
// total.
static Value shuffle(Emitter &e, Value value, int64_t distance) {
  OpBuilder &b = e.builder;
  auto word = [&](int64_t v) { return arith::ConstantIntOp::create(b, e.loc, b.getI32Type(), v); };
  Type type = value.getType();
  auto one = [&](Value v) -> Value {
    return NVVM::ShflOp::create(b, e.loc, v.getType(), word(-1), v, word(distance), word(31),
                                NVVM::ShflKind::bfly, UnitAttr());
  };
  if (type.isF32() || type.isInteger(32)) {
    return one(value);
  }
  if (type.isInteger(64)) {
    Value low = one(arith::TruncIOp::create(b, e.loc, b.getI32Type(), value));
    Value high = one(arith::TruncIOp::create(
        b, e.loc, b.getI32Type(), arith::ShRUIOp::create(b, e.loc, value, e.constant(32))));
    Value wide = arith::ShLIOp::create(b, e.loc, arith::ExtUIOp::create(b, e.loc, type, high),
                                       e.constant(32));
    return arith::OrIOp::create(b, e.loc, wide, arith::ExtUIOp::create(b, e.loc, type, low));
  }
  if (isa<IntegerType>(type)) {
    Value wide = one(arith::ExtUIOp::create(b, e.loc, b.getI32Type(), value));
    return arith::TruncIOp::create(b, e.loc, type, wide);
  }
  return e.fail("a reduction of this type on a GPU");
}

SmallVector<Value> combineThreads(Emitter &e, ArrayRef<Value> values,
                                  const Emitter::Accumulation &accumulation) {
  SmallVector<Value> total(values);
  if (e.device == Device::host) {
    return total;
  }
  OpBuilder &b = e.builder;
  auto warp = [&](int64_t lanes) {
    for (int64_t distance = lanes / 2; distance >= 1; distance /= 2) {
      SmallVector<Value> other =
          llvm::map_to_vector(total, [&](Value v) { return shuffle(e, v, distance); });
      total = accumulation.combine(total, other);
    }
  };
  warp(32);
  auto function = b.getInsertionBlock()->getParentOp()->getParentOfType<gpu::GPUFuncOp>();
  if (!function) {
    function = cast<gpu::GPUFuncOp>(b.getInsertionBlock()->getParentOp());
  }
  Value thread = threadId(e);
  Value lane = arith::RemUIOp::create(b, e.loc, thread, e.constant(32));
  Value warpId = arith::DivUIOp::create(b, e.loc, thread, e.constant(32));
  const int64_t warps = gpuThreads / 32;
  SmallVector<Value> slots;
  for (Value v : total) {
    Type stored = v.getType().isInteger(1) ? Type(b.getI8Type()) : v.getType();
    auto type =
        MemRefType::get({warps}, stored, MemRefLayoutAttrInterface(),
                        gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup));
    slots.push_back(function.addWorkgroupAttribution(type, e.loc));
  }
  gpu::BarrierOp::create(b, e.loc);
  e.when(e.compare(arith::CmpIPredicate::eq, lane, e.constant(0)), [&] {
    for (auto [slot, v] : llvm::zip(slots, total)) {
      Value stored =
          v.getType().isInteger(1) ? Value(arith::ExtUIOp::create(b, e.loc, b.getI8Type(), v)) : v;
      memref::StoreOp::create(b, e.loc, stored, slot, toIndex(e, warpId));
    }
  });
  gpu::BarrierOp::create(b, e.loc);
  Value mine = toIndex(e, arith::RemUIOp::create(b, e.loc, lane, e.constant(warps)));
  for (auto [slot, v] : llvm::zip(slots, total)) {
    Value loaded = memref::LoadOp::create(b, e.loc, slot, mine);
    v = v.getType() == loaded.getType()
            ? loaded
            : Value(arith::TruncIOp::create(b, e.loc, v.getType(), loaded));
  }
  warp(warps);
  return total;
}

void forBlocks(Emitter &e, Value units, function_ref<void(Value)> unit) {
  Value first = toI64(e, gpu::BlockIdOp::create(e.builder, e.loc, gpu::Dimension::x));
  Value step = toI64(e, gpu::GridDimOp::create(e.builder, e.loc, gpu::Dimension::x));
  auto op = scf::ForOp::create(e.builder, e.loc, first, units, step);
  OpBuilder::InsertionGuard guard(e.builder);
  e.builder.setInsertionPointToStart(op.getBody());
  unit(op.getInductionVar());
}

Block *beginGpuKernel(OpBuilder &builder, Location loc, StringRef name, ArrayRef<Type> arguments,
                      Block *&main) {
  auto module = gpu::GPUModuleOp::create(builder, loc, (name + "_module").str());
  builder.setInsertionPointToStart(&module.getBodyRegion().front());
  auto function =
      gpu::GPUFuncOp::create(builder, loc, name, builder.getFunctionType(arguments, {}));
  function->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  function.setKnownBlockSizeAttr(builder.getDenseI32ArrayAttr({gpuThreads, 1, 1}));
  Block *entry = &function.getBody().front();
  main = builder.createBlock(&function.getBody(), function.getBody().end());
  builder.setInsertionPointToEnd(main);
  gpu::ReturnOp::create(builder, loc);
  return entry;
}

void transposeTile(Emitter &e, Value from, Value to, Value columns,
                   function_ref<Value(Value, Value)> read,
                   function_ref<void(Value, Value, Value)> write) {
  OpBuilder &b = e.builder;
  auto function = b.getInsertionBlock()->getParentOp()->getParentOfType<gpu::GPUFuncOp>();
  Value thread = threadId(e);
  Value x = arith::RemUIOp::create(b, e.loc, thread, e.constant(32));
  Value y = arith::DivUIOp::create(b, e.loc, thread, e.constant(32));
  const int64_t lines = gpuThreads / 32;
  e.loop(e.constant(0), columns, 32, [&](Value column) {
    Value tile;
    // Rows of 33 keep threads of one warp off each other's banks.
    auto at = [&](Value i, Value j) { return SmallVector<Value>{toIndex(e, i), toIndex(e, j)}; };
    for (int64_t k = 0; k < 32; k += lines) {
      Value line = e.add(y, e.constant(k)); // along the columns
      Value i = e.add(from, x), j = e.add(column, line);
      Value inside = arith::AndIOp::create(b, e.loc, e.compare(arith::CmpIPredicate::slt, i, to),
                                           e.compare(arith::CmpIPredicate::slt, j, columns));
      e.when(inside, [&] {
        Value v = read(i, j);
        if (!tile) {
          auto type = MemRefType::get(
              {32, 33}, v.getType().isInteger(1) ? Type(b.getI8Type()) : v.getType(),
              MemRefLayoutAttrInterface(),
              gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup));
          tile = function.addWorkgroupAttribution(type, e.loc);
        }
        if (v.getType().isInteger(1)) {
          v = arith::ExtUIOp::create(b, e.loc, b.getI8Type(), v);
        }
        memref::StoreOp::create(b, e.loc, v, tile, at(line, x));
      });
    }
    gpu::BarrierOp::create(b, e.loc);
    for (int64_t k = 0; k < 32; k += lines) {
      Value line = e.add(y, e.constant(k)); // along the rows
      Value i = e.add(from, line), j = e.add(column, x);
      Value inside = arith::AndIOp::create(b, e.loc, e.compare(arith::CmpIPredicate::slt, i, to),
                                           e.compare(arith::CmpIPredicate::slt, j, columns));
      e.when(inside, [&] {
        Value v = memref::LoadOp::create(b, e.loc, tile, at(x, line));
        write(i, j, v);
      });
    }
    gpu::BarrierOp::create(b, e.loc);
  });
}

} // namespace ciuic::codegen

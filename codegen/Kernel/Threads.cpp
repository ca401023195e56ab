// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GPU threads: see Threads.h. The host's forms are trivial.
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace ciuic::codegen {

static Value toI64(Emitter &e, Value index) {
  return arith::IndexCastOp::create(e.builder, e.loc, e.builder.getI64Type(), index);
}
static Value toIndex(Emitter &e, Value value) {
  return arith::IndexCastOp::create(e.builder, e.loc, e.builder.getIndexType(), value);
}
Value remainderOf(Emitter &e, Value value, int64_t divisor) {
  return e.builder.createOrFold<arith::RemUIOp>(e.loc, value, e.constant(divisor));
}
Value quotientOf(Emitter &e, Value value, int64_t divisor) {
  return e.builder.createOrFold<arith::DivUIOp>(e.loc, value, e.constant(divisor));
}

Value threadIndex(Emitter &e) {
  return toI64(e, gpu::ThreadIdOp::create(e.builder, e.loc, gpu::Dimension::x));
}
Value memberIndex(Emitter &e) {
  const GpuPlan &plan = e.target.plan;
  return plan.group == plan.threads ? threadIndex(e) : remainderOf(e, threadIndex(e), plan.group);
}
Value clusterRank(Emitter &e) {
  Value block = toI64(e, gpu::BlockIdOp::create(e.builder, e.loc, gpu::Dimension::x));
  return remainderOf(e, block, e.target.plan.cluster);
}
Value blockIndex(Emitter &e) {
  Value block = toI64(e, gpu::BlockIdOp::create(e.builder, e.loc, gpu::Dimension::x));
  return e.target.plan.cluster == 1 ? block : quotientOf(e, block, e.target.plan.cluster);
}
Value blockCount(Emitter &e) {
  Value count = toI64(e, gpu::GridDimOp::create(e.builder, e.loc, gpu::Dimension::x));
  return e.target.plan.cluster == 1 ? count : quotientOf(e, count, e.target.plan.cluster);
}

Range threadRange(Emitter &e, Value lower, int64_t width) {
  if (e.device == Device::host) {
    return {lower, width};
  }
  return {e.add(lower, e.mul(memberIndex(e), e.constant(width))), e.target.plan.group * width};
}

gpu::GPUFuncOp functionOf(Emitter &e) {
  Operation *parent = e.builder.getInsertionBlock()->getParentOp();
  auto function = dyn_cast<gpu::GPUFuncOp>(parent);
  return function ? function : parent->getParentOfType<gpu::GPUFuncOp>();
}

Type sharedType(Emitter &e, Type element) {
  return element.isInteger(1) ? Type(e.builder.getI8Type()) : element;
}

Value sharedArray(Emitter &e, Type element, ArrayRef<int64_t> extents) {
  auto space = gpu::AddressSpaceAttr::get(e.builder.getContext(), gpu::AddressSpace::Workgroup);
  auto type = MemRefType::get(extents, sharedType(e, element), MemRefLayoutAttrInterface(), space);
  return functionOf(e).addWorkgroupAttribution(type, e.loc);
}

static SmallVector<Value> asIndices(Emitter &e, ArrayRef<Value> index) {
  return llvm::map_to_vector(index, [&](Value v) { return toIndex(e, v); });
}

void storeShared(Emitter &e, Value value, Value array, ArrayRef<Value> index) {
  if (value.getType().isInteger(1)) {
    value = arith::ExtUIOp::create(e.builder, e.loc, e.builder.getI8Type(), value);
  }
  memref::StoreOp::create(e.builder, e.loc, value, array, asIndices(e, index));
}

Value loadShared(Emitter &e, Type element, Value array, ArrayRef<Value> index) {
  Value value = memref::LoadOp::create(e.builder, e.loc, array, asIndices(e, index));
  return element.isInteger(1)
             ? arith::TruncIOp::create(e.builder, e.loc, element, value).getResult()
             : value;
}

void blockBarrier(Emitter &e) { gpu::BarrierOp::create(e.builder, e.loc); }

void beginEarly(Emitter &e) {
  for (StringRef name :
       {"llvm.nvvm.griddepcontrol.launch.dependents", "llvm.nvvm.griddepcontrol.wait"}) {
    LLVM::CallIntrinsicOp::create(e.builder, e.loc, e.builder.getStringAttr(name), ValueRange());
  }
  e.early = true;
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
  if (type.isF64()) {
    Value bits = arith::BitcastOp::create(b, e.loc, b.getI64Type(), value);
    return arith::BitcastOp::create(b, e.loc, type, shuffle(e, bits, distance));
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

SmallVector<Value> combineWarp(Emitter &e, ArrayRef<Value> values, int64_t lanes,
                               function_ref<SmallVector<Value>(ValueRange, ValueRange)> combine) {
  SmallVector<Value> total(values);
  for (int64_t distance = lanes / 2; distance >= 1; distance /= 2) {
    SmallVector<Value> other =
        llvm::map_to_vector(total, [&](Value v) { return shuffle(e, v, distance); });
    total = combine(total, other);
  }
  return total;
}

SmallVector<Value> combineThreads(Emitter &e, ArrayRef<Value> values,
                                  const Emitter::Accumulation &accumulation) {
  SmallVector<Value> total(values);
  if (e.device == Device::host) {
    return total;
  }
  OpBuilder &b = e.builder;
  const int64_t group = e.target.plan.group;
  auto warp = [&](int64_t lanes) { total = combineWarp(e, total, lanes, accumulation.combine); };
  warp(std::min<int64_t>(group, 32));
  if (group <= 32) {
    return total;
  }
  const int64_t warps = group / 32;
  Value thread = threadIndex(e);
  Value lane = remainderOf(e, thread, 32), warpId = quotientOf(e, thread, 32);
  SmallVector<Value> slots;
  for (Value v : total) {
    slots.push_back(sharedArray(e, v.getType(), {warps}));
  }
  // What an earlier round left has been read by all.
  blockBarrier(e);
  e.when(e.compare(arith::CmpIPredicate::eq, lane, e.constant(0)), [&] {
    for (auto [slot, v] : llvm::zip(slots, total)) {
      storeShared(e, v, slot, warpId);
    }
  });
  blockBarrier(e);
  Value mine = arith::RemUIOp::create(b, e.loc, lane, e.constant(warps));
  for (auto [slot, v] : llvm::zip(slots, total)) {
    v = loadShared(e, v.getType(), slot, mine);
  }
  warp(warps);
  return total;
}

Value sharedPointer(Emitter &e, Value array) {
  auto local = LLVM::LLVMPointerType::get(e.builder.getContext(), 3);
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(e.builder, e.loc, array);
  return LLVM::IntToPtrOp::create(e.builder, e.loc, local, toI64(e, address));
}

Value dynamicShared(Emitter &e) {
  auto space = gpu::AddressSpaceAttr::get(e.builder.getContext(), gpu::AddressSpace::Workgroup);
  auto type = MemRefType::get({ShapedType::kDynamic}, e.builder.getI8Type(),
                              MemRefLayoutAttrInterface(), space);
  return sharedPointer(e, gpu::DynamicSharedMemoryOp::create(e.builder, e.loc, type));
}

SmallVector<Value> combineLines(Emitter &e, ArrayRef<Value> values, Value x, Value y,
                                function_ref<SmallVector<Value>(ValueRange, ValueRange)> combine) {
  OpBuilder &b = e.builder;
  const int64_t across = e.target.plan.group, lines = e.target.plan.threads / across;
  SmallVector<Value> slots;
  for (Value v : values) {
    slots.push_back(sharedArray(e, getElementTypeOrSelf(v.getType()), {lines, across * e.width}));
  }
  Value column = e.mul(x, e.constant(e.width));
  blockBarrier(e);
  for (auto [slot, v] : llvm::zip(slots, values)) {
    for (int64_t lane = 0; lane < e.width; ++lane) {
      Value one = e.isVector(v) ? vector::ExtractOp::create(b, e.loc, v, lane).getResult() : v;
      storeShared(e, one, slot, {y, e.add(column, e.constant(lane))});
    }
  }
  blockBarrier(e);
  auto line = [&](Value number) {
    SmallVector<Value> read;
    for (auto [slot, v] : llvm::zip(slots, values)) {
      Value whole = v;
      for (int64_t lane = 0; lane < e.width; ++lane) {
        Value one = loadShared(e, getElementTypeOrSelf(v.getType()), slot,
                               {number, e.add(column, e.constant(lane))});
        whole =
            e.isVector(v) ? vector::InsertOp::create(b, e.loc, one, whole, lane).getResult() : one;
      }
      read.push_back(whole);
    }
    return read;
  };
  SmallVector<Value> total = line(e.constant(0));
  return e.loop(e.constant(1), e.constant(lines), 1, total,
                [&](Value number, ValueRange carried) { return combine(carried, line(number)); });
}

void forBlocks(Emitter &e, Value units, function_ref<void(Value)> unit) {
  auto op = scf::ForOp::create(e.builder, e.loc, blockIndex(e), units, blockCount(e));
  OpBuilder::InsertionGuard guard(e.builder);
  e.builder.setInsertionPointToStart(op.getBody());
  unit(op.getInductionVar());
}

void forGroups(Emitter &e, Value units, function_ref<void(Value)> unit) {
  const GpuPlan &plan = e.target.plan;
  Value first = blockIndex(e), step = blockCount(e);
  if (int64_t together = plan.threads / plan.group; together > 1) {
    first = e.add(e.mul(first, e.constant(together)), quotientOf(e, threadIndex(e), plan.group));
    step = e.mul(step, e.constant(together));
  }
  auto op = scf::ForOp::create(e.builder, e.loc, first, units, step);
  OpBuilder::InsertionGuard guard(e.builder);
  e.builder.setInsertionPointToStart(op.getBody());
  unit(op.getInductionVar());
}

void forGroupsTogether(Emitter &e, Value units, function_ref<void(Value, Value)> unit) {
  const GpuPlan &plan = e.target.plan;
  Value together = e.constant(plan.threads / plan.group);
  Value first = e.mul(blockIndex(e), together), step = e.mul(blockCount(e), together);
  if (plan.threads == plan.group) {
    forBlocks(e, units, [&](Value number) { unit(number, Value()); });
    return;
  }
  auto op = scf::ForOp::create(e.builder, e.loc, first, units, step);
  OpBuilder::InsertionGuard guard(e.builder);
  e.builder.setInsertionPointToStart(op.getBody());
  Value mine = e.add(op.getInductionVar(), quotientOf(e, threadIndex(e), plan.group));
  Value valid = e.compare(arith::CmpIPredicate::slt, mine, units);
  unit(e.min(mine, e.sub(units, e.constant(1))), valid);
}

Block *beginGpuKernel(OpBuilder &builder, Location loc, StringRef name, ArrayRef<Type> arguments,
                      const GpuPlan &plan, Block *&main) {
  auto module = gpu::GPUModuleOp::create(builder, loc, (name + "_module").str());
  builder.setInsertionPointToStart(&module.getBodyRegion().front());
  auto function =
      gpu::GPUFuncOp::create(builder, loc, name, builder.getFunctionType(arguments, {}));
  function->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  function.setKnownBlockSizeAttr(
      builder.getDenseI32ArrayAttr({static_cast<int32_t>(plan.threads), 1, 1}));
  Block *entry = &function.getBody().front();
  main = builder.createBlock(&function.getBody(), function.getBody().end());
  builder.setInsertionPointToEnd(main);
  gpu::ReturnOp::create(builder, loc);
  return entry;
}

void transposeTile(Emitter &e, Value from, Value to, Value column, Value columns,
                   function_ref<Value(Value, Value)> read,
                   function_ref<void(Value, Value, Value)> write) {
  OpBuilder &b = e.builder;
  Value thread = threadIndex(e);
  Value x = e.mul(remainderOf(e, thread, 32), e.constant(e.target.plan.width));
  Value y = quotientOf(e, thread, 32);
  const int64_t width = e.target.plan.width, side = 32 * width, lines = e.target.plan.threads / 32;
  Value step = e.constant(width), one = e.constant(1);
  Value lastRow = e.sub(to, step), lastColumn = e.sub(columns, one);
  // Beyond the edges the last elements stand in: all loads are under way before the first is
  // stored.
  SmallVector<Value> values;
  e.width = width;
  for (int64_t k = 0; k < side; k += lines) {
    Value i = e.add(from, x), j = e.add(column, e.add(y, e.constant(k)));
    values.push_back(e.splat(read(e.min(i, lastRow), e.min(j, lastColumn))));
  }
  Type element = getElementTypeOrSelf(values.front().getType());
  auto lane = [&](Value v, int64_t number) {
    return e.isVector(v) ? vector::ExtractOp::create(b, e.loc, v, number).getResult() : v;
  };
  // A column more than the tile has keeps threads of one warp off each other's banks.
  Value tile = sharedArray(e, element, {side, side + 1});
  for (auto [k, v] : llvm::enumerate(values)) {
    Value line = e.add(y, e.constant(int64_t(k) * lines));
    for (int64_t l = 0; l < width; ++l) {
      storeShared(e, lane(v, l), tile, {line, e.add(x, e.constant(l))});
    }
  }
  blockBarrier(e);
  for (int64_t k = 0; k < side; k += lines) {
    Value line = e.add(y, e.constant(k));
    Value i = e.add(from, line), j = e.add(column, x);
    Value inside = arith::AndIOp::create(b, e.loc, e.compare(arith::CmpIPredicate::slt, i, to),
                                         e.compare(arith::CmpIPredicate::slt, j, columns));
    e.when(inside, [&] {
      Value v = e.splat(loadShared(e, element, tile, {x, line}));
      for (int64_t l = 1; l < width; ++l) {
        Value next = loadShared(e, element, tile, {e.add(x, e.constant(l)), line});
        v = vector::InsertOp::create(b, e.loc, next, v, l);
      }
      write(i, j, v);
    });
  }
  e.width = 1;
  blockBarrier(e);
}

} // namespace ciuic::codegen

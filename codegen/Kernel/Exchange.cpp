// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Barriers and messages between blocks: see Exchange.h.
#include "codegen/Kernel/Exchange.h"
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace ciuic::codegen {

static void intrinsic(Emitter &e, StringRef name) {
  LLVM::CallIntrinsicOp::create(e.builder, e.loc, e.builder.getStringAttr(name), ValueRange());
}

void clusterArrive(Emitter &e) { intrinsic(e, "llvm.nvvm.barrier.cluster.arrive.aligned"); }
void clusterWait(Emitter &e) { intrinsic(e, "llvm.nvvm.barrier.cluster.wait.aligned"); }

Value kernelArray(Emitter &e, Type element, int64_t count) {
  auto module = functionOf(e)->getParentOfType<gpu::GPUModuleOp>();
  OpBuilder outside = OpBuilder::atBlockBegin(module.getBody());
  unsigned number = llvm::range_size(module.getOps<LLVM::GlobalOp>());
  auto flat = RankedTensorType::get({count}, element);
  auto global = LLVM::GlobalOp::create(
      outside, e.loc, LLVM::LLVMArrayType::get(element, count), false, LLVM::Linkage::Internal,
      "shared." + std::to_string(number),
      DenseElementsAttr::get(flat, ArrayRef<Attribute>{outside.getZeroAttr(element)}), 16, 1);
  return LLVM::AddressOfOp::create(e.builder, e.loc, global);
}

// One thread stands for its block: it arrives, then waits until the counter passes the next
// multiple of the number of blocks. Acquire and release cover what the barriers of the block order.
void teamBarrier(Emitter &e, Value counter, Value blocks) {
  OpBuilder &b = e.builder;
  blockBarrier(e);
  e.when(e.compare(arith::CmpIPredicate::eq, threadIndex(e), e.constant(0)), [&] {
    // The back end drops the order of an addition: a fence in front of it releases what the block
    // wrote.
    LLVM::FenceOp::create(b, e.loc, LLVM::AtomicOrdering::acq_rel, "device");
    Value before =
        LLVM::AtomicRMWOp::create(b, e.loc, LLVM::AtomicBinOp::add, counter, e.constant(1),
                                  LLVM::AtomicOrdering::monotonic, "device");
    Value round = arith::DivUIOp::create(b, e.loc, before, blocks);
    Value target = e.mul(e.add(round, e.constant(1)), blocks);
    auto loop = scf::WhileOp::create(b, e.loc, TypeRange(), ValueRange());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&loop.getBefore());
    Value now = LLVM::LoadOp::create(b, e.loc, b.getI64Type(), counter, 8, false, false, false,
                                     false, LLVM::AtomicOrdering::acquire, "device");
    Value more = e.compare(arith::CmpIPredicate::ult, now, target);
    scf::ConditionOp::create(b, e.loc, more, ValueRange());
    b.createBlock(&loop.getAfter());
    scf::YieldOp::create(b, e.loc);
    b.setInsertionPointAfter(loop);
    LLVM::FenceOp::create(b, e.loc, LLVM::AtomicOrdering::acq_rel, "device");
  });
  blockBarrier(e);
}

static Value sharedElement(Emitter &e, Value array, Type element, Value at) {
  Value base = sharedPointer(e, array);
  return LLVM::GEPOp::create(e.builder, e.loc, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{at});
}

// Where the cluster's block number `target` has what this block has at `mine`.
static Value remotePointer(Emitter &e, Value mine, Value target) {
  OpBuilder &b = e.builder;
  auto remote = LLVM::LLVMPointerType::get(b.getContext(), 7);
  Value block = arith::TruncIOp::create(b, e.loc, b.getI32Type(), target);
  return LLVM::CallIntrinsicOp::create(b, e.loc, remote,
                                       b.getStringAttr("llvm.nvvm.mapa.shared.cluster"),
                                       ValueRange{mine, block})
      .getResult(0);
}

void storeRemote(Emitter &e, Value value, Value array, Value at, Value target) {
  OpBuilder &b = e.builder;
  Type stored = sharedType(e, value.getType());
  Value there = remotePointer(e, sharedElement(e, array, stored, at), target);
  if (stored != value.getType()) {
    value = arith::ExtUIOp::create(b, e.loc, stored, value);
  }
  // Volatile: other blocks read it, which no pass may argue away.
  LLVM::StoreOp::create(b, e.loc, value, there, 0, /*isVolatile=*/true);
}

// PTX that no intrinsic stands for; it may touch memory and is neither copied nor moved.
static Value assembly(Emitter &e, Type result, StringRef text, StringRef constraints,
                      ValueRange operands) {
  OpBuilder &b = e.builder;
  auto op = LLVM::InlineAsmOp::create(
      b, e.loc, result ? TypeRange(result) : TypeRange(), operands, text, constraints,
      /*has_side_effects=*/true, /*is_align_stack=*/false, LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr());
  return result ? op.getRes() : Value();
}

static Value barrierOf(Emitter &e, const ClusterMail &mail) {
  return sharedElement(e, mail.barriers, e.builder.getI64Type(), mail.parity);
}

ClusterMail openMail(Emitter &e) {
  ClusterMail mail;
  mail.barriers = sharedArray(e, e.builder.getI64Type(), {2});
  e.when(e.compare(arith::CmpIPredicate::eq, threadIndex(e), e.constant(0)), [&] {
    for (int64_t i = 0; i < 2; ++i) {
      assembly(e, {}, "mbarrier.init.shared::cta.b64 [$0], 1;", "l,~{memory}",
               sharedElement(e, mail.barriers, e.builder.getI64Type(), e.constant(i)));
    }
    assembly(e, {}, "fence.mbarrier_init.release.cluster;", "~{memory}", {});
  });
  return mail;
}

void beginRound(Emitter &e, ClusterMail &mail, Value round) {
  mail.parity = remainderOf(e, round, 2);
  mail.phase = remainderOf(e, quotientOf(e, round, 2), 2);
}

void sendTo(Emitter &e, const ClusterMail &mail, Value value, Value array, Value at, Value target) {
  OpBuilder &b = e.builder;
  const bool wide = value.getType().getIntOrFloatBitWidth() == 64;
  Type word = wide ? b.getI64Type() : b.getI32Type();
  Value there = remotePointer(e, sharedElement(e, array, value.getType(), at), target);
  Value bits =
      value.getType() == word ? value : arith::BitcastOp::create(b, e.loc, word, value).getResult();
  std::string text = std::string("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.") +
                     (wide ? "b64" : "b32") + " [$0], $1, [$2];";
  assembly(e, {}, text, wide ? "l,l,l,~{memory}" : "l,r,l,~{memory}",
           {there, bits, remotePointer(e, barrierOf(e, mail), target)});
}

void receive(Emitter &e, const ClusterMail &mail, int64_t bytes) {
  OpBuilder &b = e.builder;
  auto word = [&](Value v) { return arith::TruncIOp::create(b, e.loc, b.getI32Type(), v); };
  Value barrier = barrierOf(e, mail);
  e.when(e.compare(arith::CmpIPredicate::eq, threadIndex(e), e.constant(0)), [&] {
    assembly(e, {}, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "l,r,~{memory}",
             {barrier, word(e.constant(bytes))});
  });
  auto loop = scf::WhileOp::create(b, e.loc, TypeRange(), ValueRange());
  OpBuilder::InsertionGuard guard(b);
  b.createBlock(&loop.getBefore());
  Value done = assembly(e, b.getI32Type(),
                        "{\n.reg .pred done;\nmbarrier.try_wait.parity.acquire.cluster.shared::cta."
                        "b64 done, [$1], $2;\nselp.u32 $0, 1, 0, done;\n}",
                        "=r,l,r,~{memory}", {barrier, word(mail.phase)});
  Value zero = arith::ConstantIntOp::create(b, e.loc, b.getI32Type(), 0);
  scf::ConditionOp::create(b, e.loc, e.compare(arith::CmpIPredicate::eq, done, zero), ValueRange());
  b.createBlock(&loop.getAfter());
  scf::YieldOp::create(b, e.loc);
}

int64_t bytesOf(ArrayRef<Value> values) {
  int64_t bytes = 0;
  for (Value v : values) {
    bytes += v.getType().getIntOrFloatBitWidth() / 8;
  }
  return bytes;
}

// Each block writes its value into the shared memory of all; once all are there, a block reads its
// own memory alone, in the order of ranks.
SmallVector<Value> combineCluster(Emitter &e, ArrayRef<Value> values,
                                  const Emitter::Accumulation &accumulation,
                                  const ClusterMail *mail) {
  const int64_t cluster = e.target.plan.cluster;
  Value rank = clusterRank(e), thread = threadIndex(e);
  Value base = mail ? e.mul(mail->parity, e.constant(cluster)) : e.constant(0);
  SmallVector<Value> slots;
  for (Value v : values) {
    slots.push_back(sharedArray(e, v.getType(), {mail ? 2 * cluster : cluster}));
  }
  e.when(e.compare(arith::CmpIPredicate::slt, thread, e.constant(cluster)), [&] {
    for (auto [slot, v] : llvm::zip(slots, values)) {
      if (mail) {
        sendTo(e, *mail, v, slot, e.add(base, rank), thread);
      } else {
        storeRemote(e, v, slot, rank, thread);
      }
    }
  });
  if (mail) {
    receive(e, *mail, cluster * bytesOf(values));
  } else {
    clusterArrive(e);
    clusterWait(e);
  }
  SmallVector<Value> total;
  for (int64_t from = 0; from < cluster; ++from) {
    SmallVector<Value> part;
    for (auto [slot, v] : llvm::zip(slots, values)) {
      part.push_back(loadShared(e, v.getType(), slot, {e.add(base, e.constant(from))}));
    }
    total = from == 0 ? part : accumulation.combine(total, part);
  }
  return total;
}

} // namespace ciuic::codegen

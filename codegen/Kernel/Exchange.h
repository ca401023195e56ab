// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How blocks that share a unit tell each other their part of a reduction: blocks of a cluster
// through each other's shared memory, a team of any blocks through global memory. What arrives is
// combined in the order of ranks, whatever the order of arrival.
#pragma once

#include "codegen/Kernel/Emitter.h"

namespace ciuic::codegen {

/// The two halves of a barrier of the cluster.
void clusterArrive(Emitter &emitter);
void clusterWait(Emitter &emitter);

/// Writes `value` to shared memory of the cluster's block number `target`: to the element of
/// `array` at linear index `at`. A barrier of the cluster makes it visible.
void storeRemote(Emitter &emitter, mlir::Value value, mlir::Value array, mlir::Value at,
                 mlir::Value target);
/// Values that the blocks of a cluster send each other without a barrier of the cluster: each block
/// counts the bytes that have reached it. Two rounds, told apart by `parity`, may be under way: a
/// block sends in one after it has received all of the round before.
struct ClusterMail {
  mlir::Value barriers; ///< Two, in shared memory.
  mlir::Value parity, phase;
};
/// All threads call it, before a barrier of the cluster.
ClusterMail openMail(Emitter &emitter);
/// The parity and phase of round number `round`.
void beginRound(Emitter &emitter, ClusterMail &mail, mlir::Value round);
/// To element `at` of the target block's `array`; values of 4 or 8 bytes.
void sendTo(Emitter &emitter, const ClusterMail &mail, mlir::Value value, mlir::Value array,
            mlir::Value at, mlir::Value target);
/// Bytes that scalars send.
int64_t bytesOf(llvm::ArrayRef<mlir::Value> values);
/// All threads: waits until `bytes` of this round have come.
void receive(Emitter &emitter, const ClusterMail &mail, int64_t bytes);

/// `count` zeroed elements of global memory that belong to the kernel.
mlir::Value kernelArray(Emitter &emitter, mlir::Type element, int64_t count);
/// Waits for `blocks` blocks that run at the same time. `counter` is theirs alone: an i64 of
/// global memory, zero at first, that goes up by `blocks` with every barrier.
void teamBarrier(Emitter &emitter, mlir::Value counter, mlir::Value blocks);

/// One value for the threads of a cluster, from values that each block's threads agree on. All
/// blocks must have started, and without mail read what an earlier round of the same reduction
/// left.
llvm::SmallVector<mlir::Value> combineCluster(Emitter &emitter, llvm::ArrayRef<mlir::Value> values,
                                              const Emitter::Accumulation &accumulation,
                                              const ClusterMail *mail = nullptr);

} // namespace ciuic::codegen

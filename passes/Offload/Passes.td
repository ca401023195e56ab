// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Offload: what stays in the arena, what streams, and when each copy runs.
include "mlir/Pass/PassBase.td"

def ApplyOffload : Pass<"ciuic-apply-offload", "::mlir::ModuleOp"> {
  let summary = "Solve the offload problem and place every buffer: units, slots, copies, arena offsets";
  let description = [{
    Builds the solver's problem from the entries (costs by the device profile), solves it under the module's budget
    (`mem.budget`, bytes; absent: unbounded) and rewrites the module: `mem.unit`s, prefetches and awaits, launches
    over tiles, offsets on everything. An infeasible budget is an error that names the step, the bytes over, what is
    alive and the nearest budget that fits.
  }];
  let dependentDialects = ["::ciuic::mem::MemDialect"];
  let options = [Option<"profile", "profile", "std::string", "\"host-generic\"", "device profile: a name or a JSON file">];
}


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


def ChooseAlgorithms : Pass<"ciuic-choose-algorithms", "::mlir::ModuleOp"> {
  let summary = "Take the algorithm that the device profile says is fastest for a product of the vendor's library";
  let description = [{
    A profile may say of products by a weight, at some extents, which of the library's heuristics was the fastest when it
    was measured. The choice becomes a parameter of the launch, for the rows at the entry's bounds: a run of other rows
    takes the library's first. It depends on neither budget nor placement.
    ```mlir
    mem.launch @k(…) params [2, 2, 2, 0, 1, 0, 0, 0, 0, 256]   →   params [2, 2, 2, 0, 1, 0, 5, 2048, 0, 256]
    ```
    Runs before the offload problem is solved.
  }];
  let options = [Option<"profile", "profile", "std::string", "\"host-generic\"", "device profile: a name or a JSON file">];
}

def VerifyMemLevel : Pass<"ciuic-verify-mem-level", "::mlir::ModuleOp"> {
  let summary = "Check that a module is a complete mem level, placed within its budget";
  let description = [{
    (V1) nothing of the onnx level and no function is left; (V2) every launch names a kernel, with as many buffers as it
    has arguments and results; (V3) once placed (`mem.plan` is there), every device buffer has an offset and ends
    inside the arena, and the arena is within `mem.budget`; (V4) a buffer is not used after its `mem.free`.
  }];
}

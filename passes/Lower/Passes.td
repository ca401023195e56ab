// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Lower: from kernels over tensors to steps over arena offsets.
include "mlir/Pass/PassBase.td"

def LowerToMem : Pass<"ciuic-lower-to-mem", "::mlir::ModuleOp"> {
  let summary = "Turn launches over tensors into launches over buffers with lifetimes";
  let description = [{
    Each function becomes a `mem.entry`. A value gets a buffer of its size at the bounds, allocated where it is
    computed and freed after its last reader; a reshape shares its operand's buffer, an append to a state writes the
    state in place. Weights and constants become module symbols, equal ones shared by all entries; kernels stay as
    they are.
    ```mlir
    %1 = graph.launch @k(%0, %w) : …            →   %1 = mem.alloc "k" : !mem.buffer<device, 4096>
                                                    mem.launch @k (%0, %w) -> (%1) …
    ```
    Runs after kernels are outlined.
  }];
  let dependentDialects = ["::ciuic::mem::MemDialect"];
}

def LowerToPlan : Pass<"ciuic-lower-to-plan", "::mlir::ModuleOp"> {
  let summary = "Flatten placed entries into steps with streams and waits";
  let description = [{
    One step per launch and copy. Copies of weights run on the h2d stream, spills on d2h; a launch waits for the copies
    it awaits, a copy for the last launch before it that its place depends on.
  }];
  let dependentDialects = ["::ciuic::plan::PlanDialect"];
}

def VerifyPlanLevel : Pass<"ciuic-verify-plan-level", "::mlir::ModuleOp"> {
  let summary = "Check that a module is a complete plan level";
  let description = [{
    (V1) nothing but plan ops and kernels is left; (V2) every step waits for earlier steps only; (V3) every arena range
    of a step, port or buffer lies in the arena; (V4) every name of a kernel, weight or state is one of the module.
    Races and overlaps are the program format's rules (docs/program-format.md), checked again when the file is written.
  }];
}

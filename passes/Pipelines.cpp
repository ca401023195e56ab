// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The only file that orders passes. Each line says why it stands where it stands.
#include "passes/Pipelines.h"

#include "passes/Compress/Passes.h"
#include "passes/Fuse/Passes.h"
#include "passes/Legalize/Passes.h"
#include "passes/Lower/Passes.h"
#include "passes/Offload/Passes.h"
#include "passes/Raise/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace ciuic {

void buildGraphPipeline(OpPassManager &manager, const PipelineOptions &options) {
  // States first: whether an output continues an input shows best in the graph as imported.
  if (options.state) {
    RaiseAppendOptions append;
    append.states.assign(options.states.begin(), options.states.end());
    manager.addPass(createRaiseAppend(append));
  }
  OpPassManager &function = manager.nest<func::FuncOp>();
  // Equal subgraphs first, so that patterns see each once.
  function.addPass(createCanonicalizerPass());
  function.addPass(createCSEPass());
  if (options.raise) {
    // Layer norms first: what stands behind their centring is an RMS norm too.
    function.addPass(createRaiseLayerNorm());
    function.addPass(createRaiseRmsNorm());
    function.addPass(createRaiseGroupNorm());
    // Rotary embeddings before attention, which ends its search at them.
    function.addPass(createRaiseRope());
    function.addPass(createRaiseAttention());
    function.addPass(createCanonicalizerPass());
    function.addPass(createCSEPass());
  }
  // Transposes must have moved before views fold into maps, which would hide them.
  function.addPass(createChannelsLast());
  // Maps read what lies behind their transposes; then norms and the maps around them meet.
  function.addPass(createFoldViews());
  function.addPass(createRegroupMaps());
  // Spatial dims stand before the channels now, so that few reductions are left to split.
  function.addPass(createSplitReductions());
  function.addPass(createFoldViews());
  // What folding left without readers goes.
  function.addPass(createCanonicalizerPass());
  function.addPass(createCSEPass());
  // Norms and attention are raised, which absorbs the casts inside them. Views have folded, so that
  // weights stand at the products that read them; the maps it makes are fused next.
  function.addPass(createWidenHalves());
  if (options.fuse) {
    // Maps of maps before grouping: a group holds what could not become one map.
    function.addPass(createFuseMaps());
    // Merged maps read through the views of both.
    function.addPass(createFoldViews());
    function.addPass(createCanonicalizerPass());
    function.addPass(createCSEPass());
  }
  if (options.fuse) {
    // Over the whole module: entries share weights, so they must agree on what is merged.
    manager.addPass(createMergeProducts());
  }
  OpPassManager &grouping = manager.nest<func::FuncOp>();
  if (options.fuse) {
    // Merging left reshapes of reshapes.
    grouping.addPass(createCanonicalizerPass());
    grouping.addPass(createCSEPass());
    // The heads' slices are read where they lie by what rotates and appends them.
    grouping.addPass(createJoinHeads());
  }
  // Folding has merged the channels' dims where a norm wants them apart.
  grouping.addPass(createRegroupMaps());
  grouping.addPass(createFormFusions({/*single=*/!options.fuse}));
  // Over the whole module: entries share weights, so they must agree on layouts.
  manager.addPass(createSelectLayouts());
}

void buildFormatPipeline(OpPassManager &manager) {
  // After layouts, which say what is in panels, and before outlining, which shares kernels among
  // equal formats.
  manager.addPass(createApplyFormats());
}

void buildMemPipeline(OpPassManager &manager) {
  OpPassManager &function = manager.nest<func::FuncOp>();
  // Formats are known, so it is known which products are the vendor's.
  function.addPass(createSplitEpilogues());
  // Those that are not may take the norm in front of them.
  function.addPass(createFuseNorms());
  manager.addPass(createOutlineKernels());
  manager.addPass(createLowerToMem());
}

void buildOffloadPipeline(OpPassManager &manager, const PipelineOptions &options) {
  // Placement copies the launches' parameters, so they are complete before it.
  manager.addPass(createChooseAlgorithms({options.profile}));
  manager.addPass(createApplyOffload({options.profile}));
  // The level ends here; what was placed is checked from the IR alone.
  manager.addPass(createVerifyMemLevel());
}

void buildPlanPipeline(OpPassManager &manager) {
  manager.addPass(createLowerToPlan());
  // The last level ends here; the program writer checks races and overlaps once more.
  manager.addPass(createVerifyPlanLevel());
}

} // namespace ciuic

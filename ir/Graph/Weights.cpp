// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Weights.h.
#include "ir/Graph/Weights.h"

#include "kernels/host/Abi.h"

namespace ciuic {

kernels::PackSpec packSpecOf(graph::PackingAttr packing) {
  kernels::PackSpec spec;
  spec.format = kernels::formatOfName(packing.getFormat()).value_or(kernels::WeightFormat::F32);
  spec.layout = kernels::layoutOfName(packing.getLayout()).value_or(kernels::WeightLayout::Panel16);
  spec.columns = packing.getColumns();
  spec.channels = packing.getChannels();
  spec.taps = packing.getTaps();
  spec.groups = packing.getGroups();
  return spec;
}

kernels::WeightSource weightSourceOf(graph::PackingAttr packing, mlir::Type element) {
  kernels::PackSpec spec = packSpecOf(packing);
  llvm::StringRef source = packing.getSource();
  kernels::WeightSource result = source == "columns" ? kernels::sourceOfColumns(spec.depth())
                                 : source == "rows"  ? kernels::sourceOfRows(spec.columns)
                                 : source == "conv_transpose" ? kernels::sourceOfConvTranspose(spec)
                                 : source == "depthwise"      ? kernels::sourceOfDepthwise(spec)
                                                              : kernels::sourceOfConv(spec);
  result.type = element.isF16()    ? kernels::ElementType::F16
                : element.isBF16() ? kernels::ElementType::BF16
                                   : kernels::ElementType::F32;
  return result;
}

graph::MergedWeight mergedWeightOf(std::optional<llvm::ArrayRef<int64_t>> parts, bool interleaved,
                                   graph::PackingAttr packing, mlir::RankedTensorType type) {
  if (!parts) {
    return {};
  }
  const int64_t size = graph::elementBytes(type.getElementType());
  if (!packing) {
    return {*parts, false, false, type.getNumElements(), 1, size};
  }
  return {*parts,
          interleaved,
          packing.getSource() == "rows",
          packing.getColumns(),
          packing.getChannels(),
          size};
}

int64_t packedBytes(graph::PackingAttr packing) {
  return kernels::packedBytes(packSpecOf(packing));
}

int64_t tileBytesOf(graph::PackingAttr packing) {
  kernels::PackSpec spec = packSpecOf(packing);
  if (spec.groups != 1 || packing.getSource() == "depthwise") {
    return kernels::packedBytes(
        spec); // a grouped convolution's units run over groups, not over panels of one matrix
  }
  int64_t panels = kernels::panelCount(spec), panel = kernels::panelBytes(spec),
          block = kernels::kMatmulPanels;
  // Copies over a bus reach its rate from a few MiB on.
  int64_t least = spec.layout == kernels::WeightLayout::Rows16 ? 4 << 20 : 256 << 10;
  int64_t blocks = std::max<int64_t>(1, least / std::max<int64_t>(1, block * panel));
  return std::min(panels, blocks * block) * panel;
}

} // namespace ciuic

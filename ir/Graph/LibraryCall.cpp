// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See LibraryCall.h. One describe function per family of library functions; args stand in the order
// of its enum.
#include "ir/Graph/LibraryCall.h"

#include "ir/Graph/Weights.h"
#include "kernels/host/Abi.h"
#include "kernels/host/Catalog.h"

#include "llvm/ADT/bit.h"

using namespace mlir;

namespace ciuic::graph {

PackingAttr packingOf(KernelOp kernel, unsigned argument) {
  auto attrs = kernel.getArgAttrs();
  return attrs ? cast<DictionaryAttr>((*attrs)[argument]).getAs<PackingAttr>("graph.packing")
               : PackingAttr();
}

static Bounds boundsOf(KernelOp kernel) {
  Bounds bounds;
  for (auto symbol : kernel.getSymbols().getAsRange<SymbolAttr>()) {
    bounds.lower.push_back(symbol.getLower());
    bounds.upper.push_back(symbol.getUpper());
  }
  return bounds;
}

bool hasOneRow(MatmulOp matmul, const Bounds &bounds) {
  return llvm::all_of(ArrayRef(dimsOf(matmul.getA())).drop_back(), [&](AffineExpr dim) {
    return intervalOf(dim, bounds).upper == std::optional<int64_t>(1);
  });
}

bool roundsRow(KernelOp kernel) {
  auto matmul = dyn_cast<MatmulOp>(kernel.getBody().front().front());
  auto weight = matmul ? dyn_cast<BlockArgument>(matmul.getB()) : BlockArgument();
  if (!weight || kernel.getTemplateKind() != Template::matmul || !kernel.getArgAttrs()) {
    return false;
  }
  auto marks = cast<DictionaryAttr>((*kernel.getArgAttrs())[weight.getArgNumber()]);
  auto packing = marks.getAs<PackingAttr>("graph.packing");
  return marks.contains("graph.rounded") && packing &&
         kernels::groupSize(packSpecOf(packing).format) > 0 && hasOneRow(matmul, boundsOf(kernel));
}

namespace {

class Describer {
public:
  explicit Describer(KernelOp kernel) : kernel(kernel), context(kernel.getContext()) {
    call.root = &kernel.getBody().front().front();
    bounds = boundsOf(kernel);
  }

  FailureOr<std::optional<LibraryCall>> run() {
    return llvm::TypeSwitch<Operation *, FailureOr<std::optional<LibraryCall>>>(call.root)
        .Case<MatmulOp>([&](MatmulOp op) {
          return kernel.getTemplateKind() == Template::matmul ? matmul(op) : batchMatmul(op);
        })
        .Case<ConvOp, ConvTransposeOp>([&](auto op) { return conv(op); })
        .Case<PoolOp>([&](PoolOp op) { return pool(op); })
        .Case<AttentionOp>([&](AttentionOp op) { return attention(op); })
        .Case<GatherOp>([&](GatherOp op) { return gather(op); })
        .Default([](Operation *) { return std::optional<LibraryCall>(); });
  }

private:
  using Result = FailureOr<std::optional<LibraryCall>>;

  AffineExpr cst(int64_t value) { return getAffineConstantExpr(value, context); }
  static Type elementOf(Value value) {
    return cast<RankedTensorType>(value.getType()).getElementType();
  }
  int64_t upper(AffineExpr e) { return intervalOf(e, bounds).upper.value_or(int64_t(1) << 40); }

  std::optional<unsigned> argumentOf(Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    return argument ? std::optional(argument.getArgNumber()) : std::nullopt;
  }

  LogicalResult needF32(ValueRange values) {
    for (Value value : values) {
      if (!elementOf(value).isF32()) {
        return call.root->emitError("[unsupported.element-type] this operation is computed in f32 "
                                    "only, an operand is ")
               << elementOf(value);
      }
      if (!isa<BlockArgument>(value)) {
        return call.root->emitError(
            "[internal.kernel-operand] an operand is not an argument of the kernel");
      }
    }
    return success();
  }

  /// Row-major strides of an operand's buffer: those of its largest extents where it is a state.
  SmallVector<AffineExpr> stridesOf(Value value) {
    SmallVector<AffineExpr> extents = dimsOf(value);
    auto attrs = kernel.getArgAttrs();
    auto argument = argumentOf(value);
    if (attrs && argument) {
      if (auto physical =
              cast<DictionaryAttr>((*attrs)[*argument]).getAs<AffineMapAttr>("graph.physical")) {
        extents = llvm::to_vector(physical.getValue().getResults());
      }
    }
    SmallVector<AffineExpr> strides(extents.size(), cst(1));
    for (size_t i = extents.size(); i-- > 1;) {
      strides[i - 1] = strides[i] * extents[i];
    }
    return strides;
  }

  /// Appends the suffix of the weight's format to the function's name and notes the panels.
  LogicalResult usePacked(Value weight, StringRef function, bool tiles) {
    PackingAttr packing = packingOf(kernel, *argumentOf(weight));
    if (!packing) {
      return call.root->emitError(
          "[unsupported.computed-weight] the second operand must be a stored weight");
    }
    call.function = (function + packing.getFormat()).str();
    call.params = {0, kernels::panelCount(packSpecOf(packing))};
    call.tiles = tiles;
    if (tiles) {
      call.params.append({0, packSpecOf(packing).columns});
    }
    return success();
  }

  Result finish() { return std::optional(std::move(call)); }

  Result matmul(MatmulOp op) {
    if (failed(needF32(ValueRange(op.getA()))) ||
        failed(usePacked(op.getB(), "ciuic_matmul_", true))) {
      return failure();
    }
    call.function += roundsRow(kernel) ? "_rounded" : "";
    auto a = dimsOf(op.getA()), c = dimsOf(op.getResult());
    AffineExpr k = a.back(), n = c.back();
    call.args = {productOf(ArrayRef(a).drop_back(), context), n, k, k, n};
    call.pointers = {argumentOf(op.getA()), argumentOf(op.getB())};
    return finish();
  }

  Result gather(GatherOp op) {
    auto table = argumentOf(op.getInput());
    if (!table || !packingOf(kernel, *table)) {
      return std::optional<LibraryCall>();
    }
    if (failed(usePacked(op.getInput(), "ciuic_gather_", false))) {
      return failure();
    }
    auto dims = dimsOf(op.getInput());
    call.args = {productOf(dimsOf(op.getIndices()), context), dims[0], dims[1],
                 cst(elementOf(op.getIndices()).isInteger(64)), dims[1]};
    call.pointers = {table, argumentOf(op.getIndices())};
    return finish();
  }

  Result batchMatmul(MatmulOp op) {
    if (failed(needF32({op.getA(), op.getB()}))) {
      return failure();
    }
    call.function = "ciuic_batch_matmul";
    auto c = dimsOf(op.getResult());
    auto a = dimsOf(op.getA()), b = dimsOf(op.getB());
    auto sa = stridesOf(op.getA()), sb = stridesOf(op.getB());
    size_t batch = c.size() - 2;
    SmallVector<AffineExpr> extents, strideA, strideB;
    auto strideAt = [&](ArrayRef<AffineExpr> dims, ArrayRef<AffineExpr> strides, size_t i) {
      size_t own = dims.size() - 2, skip = batch - own;
      return i < skip || isOne(dims[i - skip]) ? cst(0) : strides[i - skip];
    };
    for (size_t i = 0; i < batch; ++i) {
      if (!isOne(c[i])) {
        extents.push_back(c[i]);
        strideA.push_back(strideAt(a, sa, i));
        strideB.push_back(strideAt(b, sb, i));
      }
    }
    if (extents.size() > 3) {
      return op.emitError("[unsupported.batch-dims] a matrix product over ")
             << extents.size() << " batch dims; at most three are supported";
    }
    while (extents.size() < 3) {
      extents.insert(extents.begin(), cst(1));
      strideA.insert(strideA.begin(), cst(0));
      strideB.insert(strideB.begin(), cst(0));
    }
    bool ta = op.getTransposeA(), tb = op.getTransposeB();
    AffineExpr m = c[batch], n = c[batch + 1], k = a[a.size() - (ta ? 2 : 1)];
    AffineExpr aRow = sa[a.size() - (ta ? 1 : 2)], aK = sa[a.size() - (ta ? 2 : 1)];
    AffineExpr bK = sb[b.size() - (tb ? 1 : 2)], bCol = sb[b.size() - (tb ? 2 : 1)];
    call.args = {extents[0], extents[1], extents[2], m,    n,  k,
                 strideA[0], strideA[1], strideA[2], aRow, aK, strideB[0],
                 strideB[1], strideB[2], bK,         bCol, n};
    call.pointers = {argumentOf(op.getA()), argumentOf(op.getB())};
    return finish();
  }

  Result attention(AttentionOp op) {
    SmallVector<Value> operands{op.getQuery(), op.getKey(), op.getValue()};
    if (op.getMask()) {
      operands.push_back(op.getMask());
    }
    if (failed(needF32(operands))) {
      return failure();
    }
    call.function = "ciuic_attention";
    // batch, head, sequence, width of each operand.
    auto ordered = [&](ArrayRef<AffineExpr> values, HeadLayout layout) {
      bool bhsd = layout == HeadLayout::bhsd;
      return SmallVector<AffineExpr>{values[0], values[bhsd ? 1 : 2], values[bhsd ? 2 : 1],
                                     values[3]};
    };
    auto q = ordered(dimsOf(op.getQuery()), op.getQueryLayout()),
         k = ordered(dimsOf(op.getKey()), op.getKeyLayout());
    auto v = ordered(dimsOf(op.getValue()), op.getValueLayout());
    auto sq = ordered(stridesOf(op.getQuery()), op.getQueryLayout()),
         sk = ordered(stridesOf(op.getKey()), op.getKeyLayout());
    auto sv = ordered(stridesOf(op.getValue()), op.getValueLayout()),
         so = ordered(stridesOf(op.getResult()), op.getLayout());
    SmallVector<AffineExpr> mask(4, cst(0));
    if (op.getMask()) {
      auto dims = dimsOf(op.getMask());
      auto strides = stridesOf(op.getMask());
      for (size_t i = 0; i < dims.size(); ++i) {
        if (!isOne(dims[i])) {
          mask[4 - dims.size() + i] = strides[i];
        }
      }
    }
    int64_t scale = llvm::bit_cast<uint32_t>(op.getScale().convertToFloat());
    call.args = {q[0],
                 q[1],
                 k[1],
                 q[2],
                 k[2],
                 q[3],
                 v[3],
                 cst(scale),
                 cst(op.getCausal()),
                 cst(op.getMask() != nullptr),
                 sq[0],
                 sq[1],
                 sq[2],
                 sk[0],
                 sk[1],
                 sk[2],
                 sv[0],
                 sv[1],
                 sv[2],
                 mask[0],
                 mask[1],
                 mask[2],
                 mask[3],
                 so[0],
                 so[1],
                 so[2]};
    call.pointers = {argumentOf(op.getQuery()), argumentOf(op.getKey()), argumentOf(op.getValue()),
                     op.getMask() ? argumentOf(op.getMask()) : std::nullopt};
    return finish();
  }

  /// batch, height, width, channels of an image with one or two spatial dims.
  FailureOr<SmallVector<AffineExpr>> image(Value value) {
    auto dims = dimsOf(value);
    if (dims.size() == 3) {
      return SmallVector<AffineExpr>{dims[0], cst(1), dims[1], dims[2]};
    }
    if (dims.size() != 4) {
      return call.root->emitError("[unsupported.spatial-dims] windows over ")
             << dims.size() - 2 << " spatial dims; one and two are supported";
    }
    return dims;
  }

  /// Height and width of a per-spatial-dim attribute; one dim is the width.
  static std::pair<int64_t, int64_t> pairOf(ArrayRef<int64_t> values, int64_t height) {
    return values.size() == 1 ? std::pair(height, values[0]) : std::pair(values[0], values[1]);
  }

  template <class Op>
  Result conv(Op op) {
    constexpr bool transposed = std::is_same_v<Op, ConvTransposeOp>;
    auto in = image(op.getInput()), out = image(op.getResult());
    if (failed(in) || failed(out) || failed(needF32(ValueRange(op.getInput())))) {
      return failure();
    }
    if (op.getLayout() != ImageLayout::channels_last) {
      return op.emitError("[internal.layout] the host computes windows with channels last");
    }
    auto shape = cast<RankedTensorType>(op.getFilter().getType()).getShape().drop_front(2);
    auto [kh, kw] = pairOf(shape, 1);
    auto [strideH, strideW] = pairOf(op.getStrides(), 1);
    auto [dilationH, dilationW] = pairOf(op.getDilations(), 1);
    ArrayRef<int64_t> pads = op.getPads();
    auto [top, left] = pairOf(pads.take_front(pads.size() / 2), 0);
    if (isOne((*in)[2]) && isOne((*out)[2]) && kw == 1 && left == 0) {
      // A column of pixels is a row of them in memory, and the kernels work along rows.
      std::swap((*in)[1], (*in)[2]);
      std::swap((*out)[1], (*out)[2]);
      std::swap(kh, kw);
      std::swap(strideH, strideW);
      std::swap(dilationH, dilationW);
      std::swap(top, left);
    }
    PackingAttr packing = packingOf(kernel, argumentOf(op.getFilter()).value_or(0));
    bool depthwise = packing && packing.getSource() == "depthwise";
    int64_t groups = depthwise ? 1 : op.getGroup();
    bool pointwise = !transposed && groups == 1 && !depthwise && kh * kw == 1 &&
                     strideH * strideW == 1 && llvm::all_of(pads, [](int64_t p) { return p == 0; });
    call.pointers = {argumentOf(op.getInput()), argumentOf(op.getFilter())};
    AffineExpr channels = (*out)[3];
    if (pointwise) {
      AffineExpr pixels = (*in)[0] * (*in)[1] * (*in)[2];
      if (failed(usePacked(op.getFilter(), "ciuic_matmul_", true))) {
        return failure();
      }
      call.args = {pixels, channels, (*in)[3], (*in)[3], channels};
      return finish();
    }
    StringRef name = transposed  ? "ciuic_conv_transpose"
                     : depthwise ? "ciuic_conv_depthwise"
                                 : "ciuic_conv";
    if (failed(usePacked(op.getFilter(), "", false))) {
      return failure();
    }
    if (call.function != "f32") {
      return op.emitError(
                 "[unsupported.filter-format] filters of this convolution are stored as f32, not ")
             << call.function;
    }
    call.function = name.str();
    int64_t unitRows = kernels::convUnitRows(upper((*out)[1]), upper((*out)[2]));
    call.args = {(*in)[0],  (*in)[1],       (*in)[2],       (*in)[3],     (*out)[1],     (*out)[2],
                 channels,  cst(kh),        cst(kw),        cst(strideH), cst(strideW),  cst(top),
                 cst(left), cst(dilationH), cst(dilationW), cst(groups),  cst(unitRows), channels};
    return finish();
  }

  Result pool(PoolOp op) {
    auto in = image(op.getInput()), out = image(op.getResult());
    if (failed(in) || failed(out) || failed(needF32(ValueRange(op.getInput())))) {
      return failure();
    }
    auto [kh, kw] = pairOf(op.getKernel(), 1);
    auto [strideH, strideW] = pairOf(op.getStrides(), 1);
    auto [dilationH, dilationW] = pairOf(op.getDilations(), 1);
    ArrayRef<int64_t> pads = op.getPads();
    auto [top, left] = pairOf(pads.take_front(pads.size() / 2), 0);
    auto [bottom, right] = pairOf(pads.drop_front(pads.size() / 2), 0);
    call.function = "ciuic_pool";
    call.args = {(*in)[0],
                 (*in)[1],
                 (*in)[2],
                 (*in)[3],
                 (*out)[1],
                 (*out)[2],
                 cst(kh),
                 cst(kw),
                 cst(strideH),
                 cst(strideW),
                 cst(top),
                 cst(left),
                 cst(bottom),
                 cst(right),
                 cst(dilationH),
                 cst(dilationW),
                 cst(op.getKind() == PoolKind::max),
                 cst(op.getCountPadding()),
                 (*in)[3]};
    call.pointers = {argumentOf(op.getInput())};
    return finish();
  }

  KernelOp kernel;
  MLIRContext *context;
  Bounds bounds;
  LibraryCall call;
};

} // namespace

FailureOr<std::optional<LibraryCall>> libraryCallOf(KernelOp kernel) {
  return Describer(kernel).run();
}

AffineExpr unitsOf(const LibraryCall &call, ArrayRef<int64_t> params) {
  ArrayRef<AffineExpr> a = call.args;
  StringRef f = call.function;
  if (f.starts_with("ciuic_matmul_")) {
    int64_t panels = params[1] - params[0];
    return a[kernels::kMatmulM].ceilDiv(kernels::kMatmulRows) *
           ((panels + kernels::kMatmulPanels - 1) / kernels::kMatmulPanels);
  }
  if (f.starts_with("ciuic_gather_")) {
    return a[kernels::kGatherCount];
  }
  if (f == "ciuic_batch_matmul") {
    return a[kernels::kBatchB0] * a[kernels::kBatchB1] * a[kernels::kBatchB2] *
           a[kernels::kBatchM].ceilDiv(kernels::kMatmulRows) *
           a[kernels::kBatchN].ceilDiv(kernels::kMatmulPanels * kernels::kPanel);
  }
  if (f == "ciuic_attention") {
    return a[kernels::kAttnBatch] * a[kernels::kAttnHeads] *
           a[kernels::kAttnQueries].ceilDiv(kernels::kAttentionRows);
  }
  if (f == "ciuic_pool") {
    return a[kernels::kPoolBatch] * a[kernels::kPoolOutH];
  }
  bool transposed = f == "ciuic_conv_transpose";
  int64_t groups = cast<AffineConstantExpr>(a[kernels::kConvGroups]).getValue();
  int64_t perUnit = groups == 1 ? kernels::kConvPanels : 1, panels = params[1] - params[0];
  int64_t unitRows =
      transposed ? 1 : cast<AffineConstantExpr>(a[kernels::kConvUnitRows]).getValue();
  return a[kernels::kConvBatch] * a[kernels::kConvOutH].ceilDiv(unitRows) *
         a[kernels::kConvOutW].ceilDiv(kernels::kConvPixels) * ((panels + perUnit - 1) / perUnit);
}

int64_t scratchOf(const LibraryCall &call, ArrayRef<int64_t> upper) {
  SmallVector<int64_t> args = llvm::map_to_vector(
      call.args, [&](AffineExpr e) { return evaluate(e, upper).value_or(int64_t(1) << 40); });
  StringRef f = call.function;
  return f.starts_with("ciuic_matmul_")   ? kernels::matmulScratch(args.data())
         : f.starts_with("ciuic_gather_") ? kernels::gatherScratch(args.data())
         : f == "ciuic_batch_matmul"      ? kernels::batchMatmulScratch(args.data())
         : f == "ciuic_attention"         ? kernels::attentionScratch(args.data())
         : f == "ciuic_pool"              ? kernels::poolScratch(args.data())
         : f == "ciuic_conv_transpose"    ? kernels::convTransposeScratch(args.data())
         : f == "ciuic_conv_depthwise"    ? kernels::depthwiseScratch(args.data())
                                          : kernels::convScratch(args.data());
}

} // namespace ciuic::graph

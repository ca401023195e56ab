// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See LibraryCall.h. One describe function per family of library functions; args stand in the order
// of its enum.
#include "ir/Graph/LibraryCall.h"

#include "ir/Graph/CudaLibrary.h"
#include "ir/Graph/Product.h"
#include "ir/Graph/Weights.h"
#include "kernels/VendorCalls.h"
#include "kernels/cuda/Catalog.h"
#include "kernels/host/Abi.h"
#include "kernels/host/Catalog.h"

#include "llvm/ADT/bit.h"

using namespace mlir;

namespace ciuic::graph {

static Marks marksOf(KernelOp kernel, unsigned argument) {
  auto attrs = kernel.getArgAttrs();
  return attrs ? cast<DictionaryAttr>((*attrs)[argument]) : Marks();
}

PackingAttr packingOf(KernelOp kernel, unsigned argument) {
  return packingOf(marksOf(kernel, argument));
}

static Bounds boundsOf(KernelOp kernel) {
  Bounds bounds;
  for (auto symbol : kernel.getSymbols().getAsRange<SymbolAttr>()) {
    bounds.lower.push_back(symbol.getLower());
    bounds.upper.push_back(symbol.getUpper());
  }
  return bounds;
}

bool decodes(MatmulOp matmul, const Bounds &bounds) {
  AffineExpr rows = productOf(ArrayRef(dimsOf(matmul.getA())).drop_back(), matmul->getContext());
  Interval interval = intervalOf(rows, bounds);
  return interval.lower.value_or(0) <= 1 && interval.upper && *interval.upper <= 4;
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
         kernels::groupSize(packSpecOf(packing).format) > 0 && decodes(matmul, boundsOf(kernel));
}

/// The op that a kernel's loops are for: behind the norm that a product may begin with.
static Operation *rootOf(KernelOp kernel) {
  Operation *root = &kernel.getBody().front().front();
  return kernel.getTemplateKind() == Template::matmul && isa<RmsNormOp>(root) ? root->getNextNode()
                                                                              : root;
}

namespace {

class Describer {
public:
  explicit Describer(KernelOp kernel) : kernel(kernel), context(kernel.getContext()) {
    call.root = rootOf(kernel);
    call.cuda = isForCuda(kernel);
    bounds = boundsOf(kernel);
  }

  FailureOr<std::optional<LibraryCall>> run() {
    if (call.cuda && call.root->getNumOperands() >= 2) {
      if (auto product = vendorProductOf(call.root, marksOf(call.root->getOperand(0)),
                                         marksOf(call.root->getOperand(1)), bounds)) {
        return vendor(std::move(*product));
      }
    }
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

  Marks marksOf(Value value) {
    auto argument = argumentOf(value);
    return argument ? graph::marksOf(kernel, *argument) : Marks();
  }
  SmallVector<AffineExpr> stridesOf(Value value) { return graph::stridesOf(value, marksOf(value)); }

  /// The operands' type must be one that the library computes with: f32 on the host; on CUDA also
  /// f16 and bf16, the same for all of them. Sets `suffix` to its name.
  LogicalResult needType(ValueRange values) {
    Type first = elementOf(values.front());
    suffix = first.isF16() ? "f16" : first.isBF16() ? "bf16" : "f32";
    for (Value value : values) {
      Type element = elementOf(value);
      bool known = element.isF32() || (call.cuda && (element.isF16() || element.isBF16()));
      if (!known || element != first) {
        auto error =
            call.root->emitError("[unsupported.element-type] this operation is computed in ");
        error << (call.cuda ? "one of f32, f16 and bf16, the operands are "
                            : "f32 only, an operand is ");
        if (call.cuda) {
          llvm::interleaveComma(values, error, [&](Value v) { error << elementOf(v); });
        } else {
          error << element;
        }
        return error;
      }
      if (!isa<BlockArgument>(value)) {
        return call.root->emitError(
            "[internal.kernel-operand] an operand is not an argument of the kernel");
      }
    }
    return success();
  }

  /// The function's name on this device: `host` or ciuic_cuda_NAME_TYPE.
  std::string functionName(StringRef host) {
    return call.cuda ? ("ciuic_cuda_" + host.drop_front(6) + "_" + suffix).str() : host.str();
  }

  /// Appends the suffix of the weight's format to the function's name and notes the panels.
  LogicalResult usePacked(Value weight, StringRef function, bool tiles) {
    PackingAttr packing = graph::packingOf(kernel, *argumentOf(weight));
    if (!packing) {
      return call.root->emitError(
          "[unsupported.computed-weight] the second operand must be a stored weight");
    }
    call.function = (function + packing.getFormat()).str();
    call.params = {0, kernels::panelCount(packSpecOf(packing))};
    call.tiles = tiles;
    if (tiles && !call.cuda) {
      call.params.append({0, packSpecOf(packing).columns});
    }
    return success();
  }

  Result finish() {
    if (call.cuda) {
      for (AffineExpr e : call.args) {
        call.atBounds.push_back(evaluate(e, bounds.upper).value_or(int64_t(1) << 40));
      }
    }
    return std::optional(std::move(call));
  }

  /// A product of `rows` rows by a weight in panels.
  LogicalResult usePackedProduct(Value a, Value weight, AffineExpr rows) {
    if (failed(needType(ValueRange(a)))) {
      return failure();
    }
    bool few = upper(rows) <= kernels::cuda::kGemvRows;
    std::string name = call.cuda
                           ? ("ciuic_cuda_" + Twine(few ? "gemv_" : "matmul_") + suffix + "_").str()
                           : "ciuic_matmul_";
    return usePacked(weight, name, true);
  }

  /// The vendor's product; what stands behind it in the body is an epilogue that it computes.
  Result vendor(VendorProduct product) {
    call.function = product.function;
    call.vendor = true;
    call.args = std::move(product.shape);
    call.params = std::move(product.params);
    call.pointers = {argumentOf(call.root->getOperand(0)), argumentOf(call.root->getOperand(1))};
    Block &body = kernel.getBody().front();
    Value computed = call.root->getResult(0);
    if (auto map = dyn_cast<MapOp>(call.root->getNextNode())) {
      VendorEpilogueMatch match = matchVendorEpilogue(map, computed);
      if (match.isWholeMap) {
        int64_t &bits = call.params[product.epilogue];
        for (auto [operand, bit] : {std::pair(match.bias, kernels::kVendorBias),
                                    std::pair(match.residual, kernels::kVendorResidual)}) {
          if (operand) {
            bits |= bit;
            call.pointers.push_back(argumentOf(map.getInputs()[*operand]));
          }
        }
        computed = map.getResult(0);
      }
    }
    auto yielded = body.getTerminator()->getOperands();
    bool ordered = yielded.size() == 1 && yielded[0] == computed &&
                   call.pointers.size() == body.getNumArguments();
    for (auto [i, pointer] : llvm::enumerate(call.pointers)) {
      ordered &= pointer == static_cast<unsigned>(i);
    }
    if (!ordered) {
      return call.root->emitError(
          "[internal.vendor-call] the vendor's product takes A, B, bias and residual, in this "
          "order, and stores one result: ciuic-split-epilogues must have run");
    }
    return finish();
  }

  Result matmul(MatmulOp op) {
    auto norm = op.getA().getDefiningOp<RmsNormOp>();
    Value rowsRead = norm ? norm.getInput() : op.getA();
    auto a = dimsOf(op.getA()), c = dimsOf(op.getResult());
    AffineExpr rows = productOf(ArrayRef(a).drop_back(), context), k = a.back(), n = c.back();
    if (failed(usePackedProduct(rowsRead, op.getB(), rows))) {
      return failure();
    }
    call.function += !call.cuda && roundsRow(kernel) ? "_rounded" : "";
    call.args = {rows, n, k, k, n};
    call.pointers = {argumentOf(rowsRead), argumentOf(op.getB())};
    bool gemv = StringRef(call.function).starts_with("ciuic_cuda_gemv_");
    auto view = op->hasOneUse() ? dyn_cast<ReshapeOp>(*op->user_begin()) : ReshapeOp();
    call.pairs = view && view->getParentOp() == kernel.getOperation();
    if (!gemv) {
      if (call.pairs || norm) {
        return op.emitError("[internal.library-call] only a product of few rows on CUDA takes a "
                            "norm or pairs of columns");
      }
      return finish();
    }
    if (norm) {
      call.pointers.push_back(argumentOf(norm.getScale()));
    }
    float epsilon = norm ? norm.getEpsilon().convertToFloat() : 0;
    call.args.append({cst(call.pairs), cst(norm != nullptr),
                      cst(static_cast<int32_t>(llvm::bit_cast<uint32_t>(epsilon)))});
    return finish();
  }

  Result gather(GatherOp op) {
    auto table = argumentOf(op.getInput());
    PackingAttr packing = table ? graph::packingOf(kernel, *table) : PackingAttr();
    if (!packing || isPlainTable(packing, elementOf(op.getInput()))) {
      return std::optional<LibraryCall>(); // rows of a tensor, which generated code gathers
    }
    if (failed(
            usePacked(op.getInput(), call.cuda ? "ciuic_cuda_gather_" : "ciuic_gather_", false))) {
      return failure();
    }
    auto dims = dimsOf(op.getInput());
    call.args = {productOf(dimsOf(op.getIndices()), context), dims[0], dims[1],
                 cst(elementOf(op.getIndices()).isInteger(64)), dims[1]};
    call.pointers = {table, argumentOf(op.getIndices())};
    return finish();
  }

  /// Panels whose rows are those of the model's own [N, K] tensor.
  static bool isPlainTable(PackingAttr packing, Type element) {
    StringRef own = element.isF16() ? "f16" : element.isBF16() ? "bf16" : "f32";
    return packing.getLayout() == "rows16" && packing.getFormat() == own;
  }

  Result batchMatmul(MatmulOp op) {
    if (failed(needType({op.getA(), op.getB()}))) {
      return failure();
    }
    call.function = functionName("ciuic_batch_matmul");
    StridedProduct p = stridedProductOf(op, marksOf(op.getA()), marksOf(op.getB()));
    if (p.extents.size() > 3) {
      return op.emitError("[unsupported.batch-dims] a matrix product over ")
             << p.extents.size() << " batch dims; at most three are supported";
    }
    while (p.extents.size() < 3) {
      p.extents.insert(p.extents.begin(), cst(1));
      p.strideA.insert(p.strideA.begin(), cst(0));
      p.strideB.insert(p.strideB.begin(), cst(0));
    }
    call.args = {p.extents[0], p.extents[1], p.extents[2], p.m,    p.n,  p.k,
                 p.strideA[0], p.strideA[1], p.strideA[2], p.aRow, p.aK, p.strideB[0],
                 p.strideB[1], p.strideB[2], p.bK,         p.bCol, p.n};
    call.pointers = {argumentOf(op.getA()), argumentOf(op.getB())};
    return finish();
  }

  Result attention(AttentionOp op) {
    const bool rows = elementOf(op.getKey()).isInteger(8); // quantised
    SmallVector<Value> operands{op.getQuery()};
    if (!rows) {
      operands.append({op.getKey(), op.getValue()});
    }
    if (op.getMask()) {
      operands.push_back(op.getMask());
    }
    if (failed(needType(operands))) {
      return failure();
    }
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
    AffineExpr valueWidth = dimsOf(op.getResult()).back();
    if (call.cuda && std::max(upper(q[3]), upper(valueWidth)) > kernels::cuda::kAttentionWidest) {
      return op.emitError("[unsupported.head-width] heads are wider than the ")
             << kernels::cuda::kAttentionWidest << " elements that attention on CUDA takes";
    }
    bool few = call.cuda && upper(q[2]) <= kernels::cuda::kDecodeQueries;
    call.function = functionName(few ? "ciuic_decode_attention" : "ciuic_attention");
    if (rows) {
      if (call.cuda && !few) {
        return op.emitError("[internal.quantised-rows] attention of many queries on CUDA reads "
                            "values, not quantised rows");
      }
      call.function += "_rows8";
    }
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
                 valueWidth,
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
    if (failed(in) || failed(out) || failed(needType(ValueRange(op.getInput())))) {
      return failure();
    }
    if (op.getLayout() != ImageLayout::channels_last) {
      return op.emitError("[internal.layout] windows are computed with channels last");
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
    PackingAttr packing = graph::packingOf(kernel, argumentOf(op.getFilter()).value_or(0));
    bool depthwise = packing && packing.getSource() == "depthwise";
    int64_t groups = depthwise ? 1 : op.getGroup();
    bool pointwise = false;
    if constexpr (!transposed) {
      pointwise = !depthwise && isPointwise(op);
    }
    call.pointers = {argumentOf(op.getInput()), argumentOf(op.getFilter())};
    AffineExpr channels = (*out)[3];
    if (pointwise) {
      AffineExpr pixels = (*in)[0] * (*in)[1] * (*in)[2];
      if (failed(usePackedProduct(op.getInput(), op.getFilter(), pixels))) {
        return failure();
      }
      call.args = {pixels, channels, (*in)[3], (*in)[3], channels};
      if (StringRef(call.function).starts_with("ciuic_cuda_gemv_")) {
        call.args.append(3, cst(0)); // neither pairs nor a norm
      }
      return finish();
    }
    StringRef name = transposed  ? "ciuic_conv_transpose"
                     : depthwise ? "ciuic_conv_depthwise"
                                 : "ciuic_conv";
    if (failed(usePacked(op.getFilter(), "", false))) {
      return failure();
    }
    if (call.function != suffix) {
      return op.emitError("[unsupported.filter-format] filters of this convolution are stored as ")
             << suffix << ", not " << call.function;
    }
    call.function = functionName(name);
    int64_t unitRows = kernels::convUnitRows(upper((*out)[1]), upper((*out)[2]));
    call.args = {(*in)[0],  (*in)[1],       (*in)[2],       (*in)[3],     (*out)[1],     (*out)[2],
                 channels,  cst(kh),        cst(kw),        cst(strideH), cst(strideW),  cst(top),
                 cst(left), cst(dilationH), cst(dilationW), cst(groups),  cst(unitRows), channels};
    return finish();
  }

  Result pool(PoolOp op) {
    auto in = image(op.getInput()), out = image(op.getResult());
    if (failed(in) || failed(out) || failed(needType(ValueRange(op.getInput())))) {
      return failure();
    }
    auto [kh, kw] = pairOf(op.getKernel(), 1);
    auto [strideH, strideW] = pairOf(op.getStrides(), 1);
    auto [dilationH, dilationW] = pairOf(op.getDilations(), 1);
    ArrayRef<int64_t> pads = op.getPads();
    auto [top, left] = pairOf(pads.take_front(pads.size() / 2), 0);
    auto [bottom, right] = pairOf(pads.drop_front(pads.size() / 2), 0);
    call.function = functionName("ciuic_pool");
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
  std::string suffix; ///< the operands' type
};

} // namespace

FailureOr<std::optional<LibraryCall>> libraryCallOf(KernelOp kernel) {
  return Describer(kernel).run();
}

AffineExpr unitsOf(const LibraryCall &call, ArrayRef<int64_t> params) {
  if (call.cuda) {
    return cudaUnitsOf(call, params);
  }
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
  if (f.starts_with("ciuic_attention")) {
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
  if (call.cuda) {
    return 0;
  }
  SmallVector<int64_t> args = llvm::map_to_vector(
      call.args, [&](AffineExpr e) { return evaluate(e, upper).value_or(int64_t(1) << 40); });
  StringRef f = call.function;
  return f.starts_with("ciuic_matmul_")   ? kernels::matmulScratch(args.data())
         : f.starts_with("ciuic_gather_") ? kernels::gatherScratch(args.data())
         : f == "ciuic_batch_matmul"      ? kernels::batchMatmulScratch(args.data())
         : f == "ciuic_attention"         ? kernels::attentionScratch(args.data())
         : f == "ciuic_attention_rows8"   ? kernels::attentionRowsScratch(args.data())
         : f == "ciuic_pool"              ? kernels::poolScratch(args.data())
         : f == "ciuic_conv_transpose"    ? kernels::convTransposeScratch(args.data())
         : f == "ciuic_conv_depthwise"    ? kernels::depthwiseScratch(args.data())
                                          : kernels::convScratch(args.data());
}

} // namespace ciuic::graph

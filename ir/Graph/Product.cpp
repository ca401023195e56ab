// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Product.h.
#include "ir/Graph/Product.h"

#include "ir/Graph/Weights.h"
#include "kernels/VendorCalls.h"
#include "kernels/cuda/Catalog.h"
#include "kernels/host/Abi.h"

using namespace mlir;

namespace ciuic::graph {
namespace {

Type elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }

std::optional<int64_t> vendorTypeOf(Type type) {
  if (type.isF32()) {
    return kernels::kVendorF32;
  }
  if (type.isF16()) {
    return kernels::kVendorF16;
  }
  if (type.isBF16()) {
    return kernels::kVendorBF16;
  }
  return std::nullopt;
}

/// Types of A, B and D, where the library multiplies them: one type, or sums kept in f32.
std::optional<SmallVector<int64_t>> vendorTypesOf(Value a, Type b, Value d) {
  auto typeA = vendorTypeOf(elementOf(a)), typeB = vendorTypeOf(b),
       typeD = vendorTypeOf(elementOf(d));
  if (!typeA || !typeB || !typeD || *typeA != *typeB ||
      (*typeD != *typeA && *typeD != kernels::kVendorF32)) {
    return std::nullopt;
  }
  return SmallVector<int64_t>{*typeA, *typeB, *typeD};
}

bool isMany(AffineExpr rows, const Bounds &bounds) {
  return intervalOf(rows, bounds).upper.value_or(INT64_MAX) > kernels::cuda::kGemvRows;
}

/// A[M, K] times a weight in panels that holds its own type.
std::optional<VendorProduct> packedProduct(Value a, Value d, PackingAttr packing, AffineExpr rows,
                                           const Bounds &bounds) {
  MLIRContext *context = packing.getContext();
  auto cst = [&](int64_t value) { return getAffineConstantExpr(value, context); };
  Type element = elementOf(a);
  StringRef own = element.isF16()    ? "f16"
                  : element.isBF16() ? "bf16"
                  : element.isF32()  ? "f32"
                                     : "";
  auto types = vendorTypesOf(a, element, d);
  if (packing.getFormat() != own || packing.getLayout() != "rows16" || packing.getGroups() != 1 ||
      !types || !isMany(rows, bounds)) {
    return std::nullopt;
  }
  AffineExpr n = cst(packing.getColumns()), k = cst(packing.getTaps() * packing.getChannels());
  VendorProduct product{kernels::kVendorMatmul, kernels::kVendorEpilogue, {}, {}};
  product.shape = {cst(1), rows, n, k, k, k, n, cst(0), cst(0), cst(0)};
  product.params = std::move(*types);
  product.params.append({0, 1, 0, 0, 0, 0, kernels::panelCount(packSpecOf(packing))});
  return product;
}

/// A convolution by a filter in panels that holds its own type.
std::optional<VendorProduct> convolution(ConvOp op, PackingAttr packing, const Bounds &bounds) {
  MLIRContext *context = op.getContext();
  auto in = dimsOf(op.getInput()), out = dimsOf(op.getResult());
  size_t rank = in.size() - 2;
  Type element = elementOf(op.getInput());
  StringRef own = element.isF16() ? "f16" : element.isBF16() ? "bf16" : "f32";
  auto type = vendorTypeOf(element);
  // The library's tensor core engines read and write eight halves at once, and few of the others
  // fuse sums; our own kernel takes any channels.
  auto eights = [](AffineExpr channels) {
    auto constant = dyn_cast<AffineConstantExpr>(channels);
    return constant && constant.getValue() % 8 == 0;
  };
  if (!element.isF32() && !(eights(in.back()) && eights(out.back()))) {
    return std::nullopt;
  }
  // Groups of columns start new panels, which must not leave gaps in the filter.
  bool dense = op.getGroup() == 1 || packing.getColumns() % kernels::kPanel == 0;
  if (!type || elementOf(op.getResult()) != element || packing.getFormat() != own ||
      packing.getLayout() != "rows16" || packing.getSource() != "conv" || !dense || rank > 3 ||
      !isMany(productOf(ArrayRef(out).drop_back(), context), bounds)) {
    return std::nullopt;
  }
  VendorProduct call{kernels::kVendorConv, kernels::kVendorConvEpilogue, {}, {}};
  call.shape = {in.front(), in.back(), out.back()};
  call.shape.append(in.begin() + 1, in.end() - 1);
  call.shape.append(out.begin() + 1, out.end() - 1);
  call.params = {*type, static_cast<int64_t>(rank), 0, static_cast<int64_t>(op.getGroup())};
  auto kernel = cast<RankedTensorType>(op.getFilter().getType()).getShape().drop_front(2);
  ArrayRef<int64_t> pads = op.getPads();
  for (ArrayRef<int64_t> list :
       {kernel, op.getStrides(), pads.take_front(rank), pads.drop_front(rank), op.getDilations()}) {
    if (list.size() != rank || llvm::any_of(list, [](int64_t v) { return v < 0; })) {
      return std::nullopt;
    }
    call.params.append(list.begin(), list.end());
  }
  return call;
}

/// One stride for all batch dims, if there is one.
std::optional<AffineExpr> commonStride(ArrayRef<AffineExpr> extents, ArrayRef<AffineExpr> strides) {
  for (size_t i = 0; i + 1 < extents.size(); ++i) {
    if (!sameDim(strides[i], strides[i + 1] * extents[i + 1])) {
      return std::nullopt;
    }
  }
  return strides.empty() ? std::nullopt : std::optional(strides.back());
}

std::optional<VendorProduct> batchedProduct(MatmulOp op, Marks a, Marks b, const Bounds &bounds) {
  MLIRContext *context = op.getContext();
  auto cst = [&](int64_t value) { return getAffineConstantExpr(value, context); };
  StridedProduct p = stridedProductOf(op, a, b);
  auto types = vendorTypesOf(op.getA(), elementOf(op.getB()), op.getResult());
  bool aRows = isOne(p.aK), bRows = isOne(p.bCol);
  if (!types || !isMany(p.m, bounds) || !(aRows || isOne(p.aRow)) || !(bRows || isOne(p.bK))) {
    return std::nullopt;
  }
  AffineExpr strideA = cst(0), strideB = cst(0);
  if (!p.extents.empty()) {
    auto commonA = commonStride(p.extents, p.strideA), commonB = commonStride(p.extents, p.strideB);
    if (!commonA || !commonB) {
      return std::nullopt;
    }
    strideA = *commonA, strideB = *commonB;
  }
  VendorProduct product{kernels::kVendorMatmul, kernels::kVendorEpilogue, {}, {}};
  product.shape = {productOf(p.extents, context), p.m, p.n,     p.k,     aRows ? p.aRow : p.aK,
                   bRows ? p.bK : p.bCol,         p.n, strideA, strideB, p.m * p.n};
  product.params = std::move(*types);
  product.params.append({!aRows, !bRows, 0, 0, 0});
  return product;
}

} // namespace

PackingAttr packingOf(Marks marks) {
  return marks ? marks.getAs<PackingAttr>("graph.packing") : PackingAttr();
}

SmallVector<AffineExpr> stridesOf(Value operand, Marks marks) {
  SmallVector<AffineExpr> extents = dimsOf(operand);
  if (auto physical = marks ? marks.getAs<AffineMapAttr>("graph.physical") : AffineMapAttr()) {
    extents = llvm::to_vector(physical.getValue().getResults());
  }
  SmallVector<AffineExpr> strides(extents.size(), getAffineConstantExpr(1, operand.getContext()));
  for (size_t i = extents.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * extents[i];
  }
  return strides;
}

StridedProduct stridedProductOf(MatmulOp op, Marks aMarks, Marks bMarks) {
  auto zero = getAffineConstantExpr(0, op.getContext());
  auto a = dimsOf(op.getA()), b = dimsOf(op.getB()), c = dimsOf(op.getResult());
  auto sa = stridesOf(op.getA(), aMarks), sb = stridesOf(op.getB(), bMarks);
  size_t batch = c.size() - 2;
  auto strideAt = [&](ArrayRef<AffineExpr> dims, ArrayRef<AffineExpr> strides, size_t i) {
    size_t own = dims.size() - 2, skip = batch - own;
    return i < skip || isOne(dims[i - skip]) ? zero : strides[i - skip];
  };
  StridedProduct p;
  for (size_t i = 0; i < batch; ++i) {
    if (!isOne(c[i])) {
      p.extents.push_back(c[i]);
      p.strideA.push_back(strideAt(a, sa, i));
      p.strideB.push_back(strideAt(b, sb, i));
    }
  }
  bool ta = op.getTransposeA(), tb = op.getTransposeB();
  p.m = c[batch], p.n = c[batch + 1], p.k = a[a.size() - (ta ? 2 : 1)];
  p.aRow = sa[a.size() - (ta ? 1 : 2)], p.aK = sa[a.size() - (ta ? 2 : 1)];
  p.bK = sb[b.size() - (tb ? 1 : 2)], p.bCol = sb[b.size() - (tb ? 2 : 1)];
  return p;
}

bool isPointwise(ConvOp op) {
  auto isAll = [](ArrayRef<int64_t> values, int64_t value) {
    return llvm::all_of(values, [&](int64_t v) { return v == value; });
  };
  auto shape = cast<RankedTensorType>(op.getFilter().getType()).getShape().drop_front(2);
  return op.getGroup() == 1 && isAll(shape, 1) && isAll(op.getStrides(), 1) &&
         isAll(op.getPads(), 0);
}

std::optional<VendorProduct> vendorProductOf(Operation *op, Marks a, Marks b,
                                             const Bounds &bounds) {
  PackingAttr packing = packingOf(b);
  if (auto conv = dyn_cast<ConvOp>(op)) {
    if (!packing || conv.getLayout() != ImageLayout::channels_last) {
      return std::nullopt;
    }
    return isPointwise(conv)
               ? packedProduct(
                     conv.getInput(), conv.getResult(), packing,
                     productOf(ArrayRef(dimsOf(conv.getInput())).drop_back(), op->getContext()),
                     bounds)
               : convolution(conv, packing, bounds);
  }
  auto matmul = dyn_cast<MatmulOp>(op);
  if (!matmul) {
    return std::nullopt;
  }
  return packing
             ? packedProduct(
                   matmul.getA(), matmul.getResult(), packing,
                   productOf(ArrayRef(dimsOf(matmul.getA())).drop_back(), op->getContext()), bounds)
             : batchedProduct(matmul, a, b, bounds);
}

VendorEpilogueMatch matchVendorEpilogue(MapOp map, Value product) {
  VendorEpilogueMatch match;
  std::optional<unsigned> own;
  for (auto [i, input] : llvm::enumerate(map.getInputs())) {
    if (input == product) {
      if (own || !map.getMap(i).isIdentity()) {
        return match;
      }
      own = i;
    }
  }
  if (!own) {
    return match;
  }
  Block &body = map.getBody().front();
  auto domain = dimsOf(product);
  match.sum = body.getArgument(*own);
  if (map->getNumResults() != 1 || !sameDims(dimsOf(map.getResult(0)), domain)) {
    return match;
  }
  Type element = elementOf(product);
  while (match.sum.hasOneUse() && !match.residual) {
    // Sums of halves are written in f32 and rounded, step by step.
    SmallVector<Operation *, 4> steps;
    Value sum = match.sum;
    if (auto wide = dyn_cast<arith::ExtFOp>(*sum.user_begin()); wide && wide->hasOneUse()) {
      steps.push_back(wide);
      sum = wide.getResult();
    }
    auto add = dyn_cast<arith::AddFOp>(*sum.user_begin());
    if (!add) {
      break;
    }
    Value term = add.getLhs() == sum ? add.getRhs() : add.getLhs();
    if (auto wide = term.getDefiningOp<arith::ExtFOp>(); wide && wide->hasOneUse()) {
      steps.push_back(wide);
      term = wide.getIn();
    }
    steps.push_back(add);
    Value result = add.getResult();
    if (sum != match.sum) {
      auto rounded =
          add->hasOneUse() ? dyn_cast<arith::TruncFOp>(*add->user_begin()) : arith::TruncFOp();
      if (!rounded || rounded.getType() != match.sum.getType()) {
        break;
      }
      steps.push_back(rounded);
      result = rounded.getResult();
    }
    auto other = dyn_cast<BlockArgument>(term);
    if (!other || other.getOwner() != &body || other == match.sum || !other.hasOneUse()) {
      break;
    }
    unsigned operand = other.getArgNumber();
    Value value = map.getInputs()[operand];
    AffineMap access = map.getMap(operand);
    auto dims = dimsOf(value);
    // A bias is read along the last dim alone, a residual at the product's own index.
    unsigned rank = domain.size();
    bool lastOnly = !dims.empty() && sameDim(dims.back(), domain.back()) &&
                    access.getResults().back() == getAffineDimExpr(rank - 1, map.getContext()) &&
                    llvm::all_of(ArrayRef(dims).drop_back(), isOne);
    bool whole = access.isIdentity() && sameDims(dims, domain);
    bool rows = !llvm::all_of(ArrayRef(domain).drop_back(), isOne);
    if (elementOf(value) != element || !isa<BlockArgument>(value)) {
      break;
    }
    if (lastOnly && !match.bias && (rows || !whole)) {
      match.bias = operand;
    } else if (whole) {
      match.residual = operand;
    } else {
      break;
    }
    match.sum = result;
    match.adds.append(steps);
  }
  match.isWholeMap =
      !match.adds.empty() && body.getTerminator()->getOperand(0) == match.sum &&
      match.adds.size() + 1 == static_cast<size_t>(std::distance(body.begin(), body.end()));
  return match;
}

} // namespace ciuic::graph

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Symbolic dims: see Shape.h. Arithmetic on extents is overflow-checked throughout.
#include "ir/Graph/Shape.h"
#include "ir/Graph/Graph.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace ciuic::graph {

bool isGraphTensor(RankedTensorType type) {
  auto encoding = dyn_cast_or_null<AffineMapAttr>(type.getEncoding());
  if (!encoding) {
    return !type.getEncoding() && type.hasStaticShape();
  }
  AffineMap map = encoding.getValue();
  if (map.getNumDims() != 0 || map.getNumResults() != static_cast<unsigned>(type.getRank())) {
    return false;
  }
  for (auto [extent, expr] : llvm::zip(type.getShape(), map.getResults())) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    if (ShapedType::isDynamic(extent) ? constant != nullptr
                                      : (!constant || constant.getValue() != extent)) {
      return false;
    }
  }
  return !type.hasStaticShape();
}

SmallVector<AffineExpr> dimsOf(RankedTensorType type) {
  if (auto encoding = dyn_cast_or_null<AffineMapAttr>(type.getEncoding())) {
    return llvm::to_vector(encoding.getValue().getResults());
  }
  return llvm::map_to_vector(type.getShape(), [&](int64_t extent) {
    return getAffineConstantExpr(extent, type.getContext());
  });
}

SmallVector<AffineExpr> dimsOf(Value tensor) {
  return dimsOf(cast<RankedTensorType>(tensor.getType()));
}

RankedTensorType tensorOf(ArrayRef<AffineExpr> dims, Type element) {
  SmallVector<int64_t> shape;
  SmallVector<AffineExpr> exprs;
  unsigned symbols = 0;
  bool isStatic = true;
  for (AffineExpr dim : dims) {
    auto constant = dyn_cast<AffineConstantExpr>(dim);
    shape.push_back(constant ? constant.getValue() : ShapedType::kDynamic);
    isStatic &= constant != nullptr;
    dim.walk([&](AffineExpr e) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(e)) {
        symbols = std::max(symbols, symbol.getPosition() + 1);
      }
    });
    exprs.push_back(dim);
  }
  if (isStatic) {
    return RankedTensorType::get(shape, element);
  }
  auto map = AffineMap::get(0, symbols, exprs, element.getContext());
  return RankedTensorType::get(shape, element, AffineMapAttr::get(map));
}

Bounds boundsOf(func::FuncOp function) {
  Bounds bounds;
  if (auto symbols = function ? function->getAttrOfType<ArrayAttr>("graph.symbols") : ArrayAttr()) {
    for (auto symbol : symbols.getAsRange<SymbolAttr>()) {
      bounds.lower.push_back(symbol.getLower());
      bounds.upper.push_back(symbol.getUpper());
    }
  }
  return bounds;
}

func::FuncOp functionOf(Operation *op) {
  auto function = dyn_cast<func::FuncOp>(op);
  return function ? function : op->getParentOfType<func::FuncOp>();
}

namespace {
std::optional<int64_t> add(std::optional<int64_t> a, std::optional<int64_t> b) {
  int64_t r;
  return a && b && !llvm::AddOverflow(*a, *b, r) ? std::optional(r) : std::nullopt;
}
std::optional<int64_t> mul(std::optional<int64_t> a, std::optional<int64_t> b) {
  int64_t r;
  return a && b && !llvm::MulOverflow(*a, *b, r) ? std::optional(r) : std::nullopt;
}

Interval productInterval(Interval a, Interval b) {
  // With a side unknown only the common case of non-negative factors keeps its lower bound.
  if (!a.lower || !a.upper || !b.lower || !b.upper) {
    if (a.lower && b.lower && *a.lower >= 0 && *b.lower >= 0) {
      return {mul(a.lower, b.lower), std::nullopt};
    }
    return {};
  }
  std::optional<int64_t> corners[] = {mul(a.lower, b.lower), mul(a.lower, b.upper),
                                      mul(a.upper, b.lower), mul(a.upper, b.upper)};
  Interval r{corners[0], corners[0]};
  for (auto c : corners) {
    if (!c) {
      return {};
    }
    r.lower = std::min(*r.lower, *c);
    r.upper = std::max(*r.upper, *c);
  }
  return r;
}
} // namespace

Interval intervalOf(AffineExpr expr, const Bounds &bounds) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    return {constant.getValue(), constant.getValue()};
  }
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    unsigned i = symbol.getPosition();
    return i < bounds.lower.size() ? Interval{bounds.lower[i], bounds.upper[i]} : Interval{};
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary) {
    return {};
  }
  Interval a = intervalOf(binary.getLHS(), bounds), b = intervalOf(binary.getRHS(), bounds);
  bool positiveDivisor = b.lower && *b.lower > 0;
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return {add(a.lower, b.lower), add(a.upper, b.upper)};
  case AffineExprKind::Mul:
    return productInterval(a, b);
  case AffineExprKind::Mod:
    return positiveDivisor ? Interval{0, add(b.upper, -1)} : Interval{};
  case AffineExprKind::FloorDiv:
  case AffineExprKind::CeilDiv: {
    if (!positiveDivisor || !b.upper) {
      return {};
    }
    auto divide = [&](int64_t x, int64_t y) {
      return expr.getKind() == AffineExprKind::FloorDiv ? llvm::divideFloorSigned(x, y)
                                                        : llvm::divideCeilSigned(x, y);
    };
    Interval r;
    if (a.lower) {
      r.lower = std::min(divide(*a.lower, *b.lower), divide(*a.lower, *b.upper));
    }
    if (a.upper) {
      r.upper = std::max(divide(*a.upper, *b.lower), divide(*a.upper, *b.upper));
    }
    return r;
  }
  default:
    return {};
  }
}

bool sameDim(AffineExpr a, AffineExpr b) {
  if (a == b) {
    return true;
  }
  unsigned symbols = 0;
  for (AffineExpr e : {a, b}) {
    e.walk([&](AffineExpr x) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(x)) {
        symbols = std::max(symbols, symbol.getPosition() + 1);
      }
    });
  }
  auto constant = dyn_cast<AffineConstantExpr>(simplifyAffineExpr(a - b, 0, symbols));
  return constant && constant.getValue() == 0;
}

bool sameDims(ArrayRef<AffineExpr> a, ArrayRef<AffineExpr> b) {
  return a.size() == b.size() && llvm::all_of(llvm::zip(a, b), [](auto pair) {
           return sameDim(std::get<0>(pair), std::get<1>(pair));
         });
}

bool isOne(AffineExpr dim) {
  auto constant = dyn_cast<AffineConstantExpr>(dim);
  return constant && constant.getValue() == 1;
}

bool differ(AffineExpr a, AffineExpr b) {
  auto x = dyn_cast<AffineConstantExpr>(a), y = dyn_cast<AffineConstantExpr>(b);
  return x && y && x.getValue() != y.getValue();
}

AffineExpr productOf(ArrayRef<AffineExpr> dims, MLIRContext *context) {
  AffineExpr product = getAffineConstantExpr(1, context);
  for (AffineExpr dim : dims) {
    product = product * dim;
  }
  return product;
}

std::optional<int64_t> evaluate(AffineExpr expr, ArrayRef<int64_t> symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    return constant.getValue();
  }
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    return symbol.getPosition() < symbols.size() ? std::optional(symbols[symbol.getPosition()])
                                                 : std::nullopt;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary) {
    return std::nullopt;
  }
  auto a = evaluate(binary.getLHS(), symbols), b = evaluate(binary.getRHS(), symbols);
  if (!a || !b) {
    return std::nullopt;
  }
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return add(a, b);
  case AffineExprKind::Mul:
    return mul(a, b);
  case AffineExprKind::Mod:
    return *b > 0 ? std::optional(llvm::mod(*a, *b)) : std::nullopt;
  case AffineExprKind::FloorDiv:
    return *b > 0 ? std::optional(llvm::divideFloorSigned(*a, *b)) : std::nullopt;
  case AffineExprKind::CeilDiv:
    return *b > 0 ? std::optional(llvm::divideCeilSigned(*a, *b)) : std::nullopt;
  default:
    return std::nullopt;
  }
}

int64_t elementBytes(Type element) {
  return element.isIndex() ? 8 : std::max<int64_t>(1, (element.getIntOrFloatBitWidth() + 7) / 8);
}

std::optional<int64_t> maxBytesOf(RankedTensorType type, const Bounds &bounds) {
  std::optional<int64_t> bytes = elementBytes(type.getElementType());
  for (AffineExpr dim : dimsOf(type)) {
    bytes = mul(bytes, intervalOf(dim, bounds).upper);
  }
  return bytes && *bytes <= (int64_t(1) << 62) ? bytes : std::nullopt;
}

} // namespace ciuic::graph

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Folding: see Fold.h. Comparisons of expressions are decided by intervals over the symbols' bounds
// and never guessed.
#include "passes/Legalize/Fold.h"
#include "passes/Legalize/DimExpr.h"

using namespace mlir;

namespace ciuic::legalize {

SmallVector<int64_t> broadcastPositions(ArrayRef<AffineExpr> from, ArrayRef<AffineExpr> dims) {
  SmallVector<int64_t> extents, strides(dims.size(), 0);
  int64_t total = 1;
  for (AffineExpr dim : dims) {
    extents.push_back(*constantOf(dim));
    total *= extents.back();
  }
  int64_t stride = 1;
  for (size_t i = from.size(); i-- > 0;) {
    int64_t extent = *constantOf(from[i]);
    strides[dims.size() - from.size() + i] = extent == 1 ? 0 : stride;
    stride *= extent;
  }
  SmallVector<int64_t> positions;
  positions.reserve(total);
  for (int64_t flat = 0; flat < total; ++flat) {
    int64_t rest = flat, position = 0;
    for (size_t i = dims.size(); i-- > 0;) {
      position += rest % extents[i] * strides[i];
      rest /= extents[i];
    }
    positions.push_back(position);
  }
  return positions;
}

std::optional<Contents> foldElementwise(ArrayRef<Tensor *> operands, ArrayRef<AffineExpr> dims,
                                        Type element, FoldInt onInt, FoldFloat onFloat) {
  bool allSingle = true, anyFloat = isa<FloatType>(element);
  for (Tensor *t : operands) {
    if (!t->contents) {
      return std::nullopt;
    }
    allSingle &= t->isSingle();
    anyFloat |= t->isFloat();
  }
  bool allFloat =
      isa<FloatType>(element) && llvm::all_of(operands, [](Tensor *t) { return t->isFloat(); });
  if (anyFloat && !allFloat) {
    return std::nullopt;
  }
  Tensor shape;
  shape.dims.assign(dims.begin(), dims.end());
  auto n = shape.count(kMaxFollowed);
  Contents result;
  result.isFloat = allFloat;
  result.uniform = allSingle && n != 1;
  if (!n && !allSingle) {
    return std::nullopt;
  }
  std::vector<SmallVector<int64_t>> positions;
  if (!allSingle) {
    for (Tensor *t : operands) {
      positions.push_back(t->isSingle() ? SmallVector<int64_t>(*n, 0)
                                        : broadcastPositions(t->dims, dims));
    }
  }
  for (int64_t k = 0; k < (allSingle ? 1 : *n); ++k) {
    SmallVector<AffineExpr> ints;
    SmallVector<double> floats;
    for (auto [i, t] : llvm::enumerate(operands)) {
      int64_t position = allSingle ? 0 : positions[i][k];
      if (allFloat) {
        floats.push_back(t->contents->real(position));
      } else {
        ints.push_back(t->contents->integer(position));
      }
    }
    if (allFloat) {
      auto v = onFloat ? onFloat(floats) : std::nullopt;
      if (!v) {
        return std::nullopt;
      }
      // Every step rounds to the element type, as the model's own arithmetic does.
      APFloat rounded(*v);
      bool lost;
      rounded.convert(cast<FloatType>(element).getFloatSemantics(), APFloat::rmNearestTiesToEven,
                      &lost);
      rounded.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      result.floats.push_back(rounded.convertToDouble());
    } else {
      AffineExpr e = onInt ? onInt(ints) : AffineExpr();
      if (!e) {
        return std::nullopt;
      }
      result.ints.push_back(canonical(e));
    }
  }
  return result;
}

AffineExpr foldDivision(Importer &importer, AffineExpr a, AffineExpr b) {
  auto x = constantOf(a), y = constantOf(b);
  if (x && y) {
    bool undefined = *y == 0 || (*x == INT64_MIN && *y == -1);
    return undefined ? AffineExpr() : getAffineConstantExpr(*x / *y, a.getContext());
  }
  graph::Interval n = importer.interval(a), d = importer.interval(b);
  // Floor and truncation agree where nothing is negative.
  if (!n.lower || *n.lower < 0 || !d.lower || *d.lower <= 0) {
    return {};
  }
  AffineExpr exact = divideExactly(a, b);
  return exact ? exact : canonical(a.floorDiv(b));
}

AffineExpr foldModulo(Importer &importer, AffineExpr a, AffineExpr b) {
  graph::Interval d = importer.interval(b);
  return d.lower && *d.lower > 0 ? canonical(a % b) : AffineExpr();
}

AffineExpr foldMinimum(Importer &importer, AffineExpr a, AffineExpr b) {
  auto less = importer.lessOrEqual(a, b);
  if (!less && importer.lessOrEqual(b, a) == true) {
    return b;
  }
  return less ? (*less ? a : b) : AffineExpr();
}

AffineExpr foldMaximum(Importer &importer, AffineExpr a, AffineExpr b) {
  AffineExpr smaller = foldMinimum(importer, a, b);
  return !smaller ? smaller : smaller == a ? b : a;
}

} // namespace ciuic::legalize

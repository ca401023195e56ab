// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the importer knows of an ONNX value: its type, and where possible its elements, long before
// there is an op.
#pragma once
#include "ir/Graph/Graph.h"
#include "ir/Onnx/Onnx.h"

#include <optional>
#include <string>

namespace ciuic::legalize {

/// Known elements, row-major. Integers and booleans are expressions of the symbols, floats are
/// numbers; with `uniform` one element stands for all.
struct Contents {
  bool isFloat = false;
  bool uniform = false;
  llvm::SmallVector<mlir::AffineExpr> ints;
  llvm::SmallVector<double> floats;

  size_t size() const { return isFloat ? floats.size() : ints.size(); }
  mlir::AffineExpr integer(size_t i) const { return ints[uniform ? 0 : i]; }
  double real(size_t i) const { return floats[uniform ? 0 : i]; }
  /// The elements at these positions.
  Contents pick(llvm::ArrayRef<int64_t> positions) const;
};

struct Tensor {
  mlir::Type element; ///< signless; i1 for BOOL
  bool isUnsigned = false;
  llvm::SmallVector<mlir::AffineExpr> dims;
  std::optional<Contents> contents;
  onnx::WeightAttr weight; ///< the stored tensor it is, if it is one
  std::string name;        ///< of the weight
  mlir::Value value;       ///< once an op has asked for it

  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  bool isFloat() const { return llvm::isa<mlir::FloatType>(element); }
  bool isBool() const { return element.isInteger(1); }
  mlir::RankedTensorType type() const { return graph::tensorOf(dims, element); }
  /// The number of elements if every dim is constant and it is at most `cap`.
  std::optional<int64_t> count(int64_t cap = int64_t(1) << 48) const;
  /// Known to have exactly one distinct element.
  bool isSingle() const { return contents && (contents->uniform || contents->size() == 1); }
};

/// No tensor has more elements, whatever its dims come to within their bounds.
inline constexpr int64_t kMaxElements = int64_t(1) << 48;

/// Contents up to this many elements are followed through operations.
inline constexpr int64_t kMaxFollowed = 4096;

inline std::optional<int64_t> constantOf(mlir::AffineExpr e) {
  auto constant = llvm::dyn_cast_or_null<mlir::AffineConstantExpr>(e);
  return constant ? std::optional<int64_t>(constant.getValue()) : std::nullopt;
}
using graph::isOne;

} // namespace ciuic::legalize

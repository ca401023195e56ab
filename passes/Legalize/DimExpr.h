// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Arithmetic on dim expressions beyond what MLIR simplifies: a normal form (a sum of products, so
// that equal extents are equal expressions), exact division (what Reshape's -1 needs), and the
// expressions that ONNX files write as dim_param.
#pragma once
#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"
#include <string>

namespace ciuic::legalize {

/// The normal form of an expression over symbols: terms and factors in a fixed order, divisions and
/// remainders by constants reduced. Returns the expression itself where a coefficient would exceed
/// 64 bits.
mlir::AffineExpr canonical(mlir::AffineExpr expr);

/// `numerator / denominator` where that leaves no remainder for any value of the symbols (the
/// denominator being nonzero); null otherwise.
mlir::AffineExpr divideExactly(mlir::AffineExpr numerator, mlir::AffineExpr denominator);

/// Reads `+ - * / // % ( )`, integers and names. Division is floor division. Null if `text` is no
/// such expression or `symbol` returns null for a name.
mlir::AffineExpr parseDim(llvm::StringRef text, mlir::MLIRContext *context,
                          llvm::function_ref<mlir::AffineExpr(llvm::StringRef)> symbol);

/// Whether `text` has one of the operators, so that it may be an expression rather than a name.
bool hasOperator(llvm::StringRef text);

/// Replaces symbol i by `replacements[i]` (null: stays) and normalises.
mlir::AffineExpr substitute(mlir::AffineExpr expr, llvm::ArrayRef<mlir::AffineExpr> replacements);

/// Prints an expression with the symbols' names.
void printDim(llvm::raw_ostream &os, mlir::AffineExpr expr, llvm::ArrayRef<std::string> names);

/// Whether symbol `position` occurs in `expr`.
bool mentions(mlir::AffineExpr expr, unsigned position);

} // namespace ciuic::legalize

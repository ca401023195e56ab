// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise arithmetic on known elements: on expressions of the symbols for integers, on numbers
// for floats.
#pragma once
#include "passes/Legalize/Importer.h"

namespace ciuic::legalize {

/// The result for one position; null if it cannot be expressed or is not decided by the symbols'
/// bounds.
using FoldInt = llvm::function_ref<mlir::AffineExpr(llvm::ArrayRef<mlir::AffineExpr>)>;
using FoldFloat = llvm::function_ref<std::optional<double>(llvm::ArrayRef<double>)>;

/// For each position of the broadcast shape `dims`, the position of the element of an operand
/// shaped `from`.
llvm::SmallVector<int64_t> broadcastPositions(llvm::ArrayRef<mlir::AffineExpr> from,
                                              llvm::ArrayRef<mlir::AffineExpr> dims);

/// Contents of an elementwise op over operands whose elements are all known; nothing if they are
/// not, or too many. With boolean results or integer operands `onInt` is asked, with float operands
/// and results `onFloat`.
std::optional<Contents> foldElementwise(llvm::ArrayRef<Tensor *> operands,
                                        llvm::ArrayRef<mlir::AffineExpr> dims, mlir::Type element,
                                        FoldInt onInt, FoldFloat onFloat);

/// Integer arithmetic of ONNX on expressions; null if the bounds do not decide it.
mlir::AffineExpr foldDivision(Importer &importer, mlir::AffineExpr a, mlir::AffineExpr b);
mlir::AffineExpr foldModulo(Importer &importer, mlir::AffineExpr a, mlir::AffineExpr b);
mlir::AffineExpr foldMinimum(Importer &importer, mlir::AffineExpr a, mlir::AffineExpr b);
mlir::AffineExpr foldMaximum(Importer &importer, mlir::AffineExpr a, mlir::AffineExpr b);

} // namespace ciuic::legalize

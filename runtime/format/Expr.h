// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Expressions of the metadata: postfix over an entry's symbols, in checked int64. Division and
// modulo are those of affine expressions: floor and ceiling, by a positive divisor.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/program_generated.h"

#include <optional>
#include <span>
#include <string>

namespace ciuic::format {

inline constexpr size_t kMaxExprOps = 256;
inline constexpr size_t kMaxExprDepth = 32;

struct Interval {
  int64_t lower, upper;
};

/// True when the expression leaves exactly one value and names only symbols below `symbolCount`.
bool isWellFormed(const ExprT &expr, size_t symbolCount);
/// The value; nothing on overflow or division by a number below 1. Needs a well-formed expression.
std::optional<int64_t> evaluate(const ExprT &expr, std::span<const int64_t> symbols);
/// An interval that holds every value for symbols within theirs; nothing when arithmetic at the
/// corners overflows or a divisor may be below 1. Needs a well-formed expression.
std::optional<Interval> bounds(const ExprT &expr, std::span<const Interval> symbols);
/// The symbol, when the expression is a symbol alone.
std::optional<uint32_t> asSymbol(const ExprT &expr);

std::unique_ptr<ExprT> constantExpr(int64_t value);
std::unique_ptr<ExprT> symbolExpr(uint32_t symbol);
std::unique_ptr<ExprT> binaryExpr(ExprCode code, const ExprT &left, const ExprT &right);
/// Infix text with the symbols' names, for messages.
std::string exprText(const ExprT &expr, const std::vector<std::unique_ptr<SymbolT>> &symbols);

} // namespace ciuic::format

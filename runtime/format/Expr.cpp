// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A stack machine of fixed depth: no allocation, so that a run can evaluate grids and extents.
#include "runtime/format/Expr.h"

#include "runtime/base/Checked.h"

#include <algorithm>
#include <vector>

namespace ciuic::format {

static bool isLeaf(ExprCode code) { return code == ExprCode::Const || code == ExprCode::Sym; }

bool isWellFormed(const ExprT &expr, size_t symbolCount) {
  if (expr.ops.empty() || expr.ops.size() > kMaxExprOps) {
    return false;
  }
  size_t depth = 0;
  for (const ExprOp &op : expr.ops) {
    if (op.code() > ExprCode::MAX) {
      return false;
    }
    if (op.code() == ExprCode::Sym &&
        (op.value() < 0 || static_cast<uint64_t>(op.value()) >= symbolCount)) {
      return false;
    }
    if (isLeaf(op.code())) {
      if (++depth > kMaxExprDepth) {
        return false;
      }
    } else if (depth < 2 || op.value() != 0) {
      return false;
    } else {
      --depth;
    }
  }
  return depth == 1;
}

static int64_t floorDiv(int64_t a, int64_t b) {
  int64_t q = a / b;
  return a % b < 0 ? q - 1 : q;
}

static std::optional<int64_t> apply(ExprCode code, int64_t a, int64_t b) {
  switch (code) {
  case ExprCode::Add:
    return checkedAdd(a, b);
  case ExprCode::Sub:
    return checkedSub(a, b);
  case ExprCode::Mul:
    return checkedMul(a, b);
  case ExprCode::FloorDiv:
    return b < 1 ? std::nullopt : std::optional(floorDiv(a, b));
  case ExprCode::CeilDiv:
    return b < 1 ? std::nullopt : std::optional(a % b > 0 ? a / b + 1 : a / b);
  case ExprCode::Mod:
    return b < 1 ? std::nullopt : std::optional(a % b < 0 ? a % b + b : a % b);
  case ExprCode::Max:
    return std::max(a, b);
  case ExprCode::Min:
    return std::min(a, b);
  case ExprCode::Const:
  case ExprCode::Sym:
    break;
  }
  return std::nullopt;
}

std::optional<int64_t> evaluate(const ExprT &expr, std::span<const int64_t> symbols) {
  int64_t stack[kMaxExprDepth];
  size_t depth = 0;
  for (const ExprOp &op : expr.ops) {
    if (op.code() == ExprCode::Const) {
      stack[depth++] = op.value();
    } else if (op.code() == ExprCode::Sym) {
      stack[depth++] = symbols[static_cast<size_t>(op.value())];
    } else {
      auto value = apply(op.code(), stack[depth - 2], stack[depth - 1]);
      if (!value) {
        return std::nullopt;
      }
      stack[--depth - 1] = *value;
    }
  }
  return stack[0];
}

// Every operation but Mod is monotone in each argument on the ranges allowed here (a divisor is
// positive), so its extremes lie at the corners; a product's too.
static std::optional<Interval> applyBounds(ExprCode code, Interval a, Interval b) {
  if (code == ExprCode::Mod) {
    if (b.lower < 1) {
      return std::nullopt;
    }
    if (a.lower >= 0 && a.upper < b.lower) {
      return a;
    }
    return Interval{0, b.upper - 1};
  }
  std::optional<Interval> hull;
  for (int64_t x : {a.lower, a.upper}) {
    for (int64_t y : {b.lower, b.upper}) {
      auto value = apply(code, x, y);
      if (!value) {
        return std::nullopt;
      }
      hull = hull ? Interval{std::min(hull->lower, *value), std::max(hull->upper, *value)}
                  : Interval{*value, *value};
    }
  }
  return hull;
}

std::optional<Interval> bounds(const ExprT &expr, std::span<const Interval> symbols) {
  Interval stack[kMaxExprDepth];
  size_t depth = 0;
  for (const ExprOp &op : expr.ops) {
    if (op.code() == ExprCode::Const) {
      stack[depth++] = {op.value(), op.value()};
    } else if (op.code() == ExprCode::Sym) {
      stack[depth++] = symbols[static_cast<size_t>(op.value())];
    } else {
      auto value = applyBounds(op.code(), stack[depth - 2], stack[depth - 1]);
      if (!value) {
        return std::nullopt;
      }
      stack[--depth - 1] = *value;
    }
  }
  return stack[0];
}

std::optional<uint32_t> asSymbol(const ExprT &expr) {
  if (expr.ops.size() == 1 && expr.ops[0].code() == ExprCode::Sym) {
    return static_cast<uint32_t>(expr.ops[0].value());
  }
  return std::nullopt;
}

std::unique_ptr<ExprT> constantExpr(int64_t value) {
  auto expr = std::make_unique<ExprT>();
  expr->ops.emplace_back(ExprCode::Const, value);
  return expr;
}

std::unique_ptr<ExprT> symbolExpr(uint32_t symbol) {
  auto expr = std::make_unique<ExprT>();
  expr->ops.emplace_back(ExprCode::Sym, symbol);
  return expr;
}

std::unique_ptr<ExprT> binaryExpr(ExprCode code, const ExprT &left, const ExprT &right) {
  auto expr = std::make_unique<ExprT>();
  expr->ops = left.ops;
  expr->ops.insert(expr->ops.end(), right.ops.begin(), right.ops.end());
  expr->ops.emplace_back(code, 0);
  return expr;
}

std::string exprText(const ExprT &expr, const std::vector<std::unique_ptr<SymbolT>> &symbols) {
  std::vector<std::string> stack;
  for (const ExprOp &op : expr.ops) {
    if (op.code() == ExprCode::Const) {
      stack.push_back(std::to_string(op.value()));
      continue;
    }
    if (op.code() == ExprCode::Sym) {
      size_t index = static_cast<size_t>(op.value());
      stack.push_back(index < symbols.size() ? symbols[index]->name : "?");
      continue;
    }
    if (stack.size() < 2) {
      return "?";
    }
    std::string right = std::move(stack.back());
    stack.pop_back();
    std::string left = std::move(stack.back());
    stack.pop_back();
    switch (op.code()) {
    case ExprCode::Add:
      stack.push_back("(" + left + " + " + right + ")");
      break;
    case ExprCode::Sub:
      stack.push_back("(" + left + " - " + right + ")");
      break;
    case ExprCode::Mul:
      stack.push_back(left + " * " + right);
      break;
    case ExprCode::FloorDiv:
      stack.push_back("floordiv(" + left + ", " + right + ")");
      break;
    case ExprCode::CeilDiv:
      stack.push_back("ceildiv(" + left + ", " + right + ")");
      break;
    case ExprCode::Mod:
      stack.push_back("mod(" + left + ", " + right + ")");
      break;
    case ExprCode::Max:
      stack.push_back("max(" + left + ", " + right + ")");
      break;
    default:
      stack.push_back("min(" + left + ", " + right + ")");
      break;
    }
  }
  return stack.size() == 1 ? stack.back() : "?";
}

} // namespace ciuic::format

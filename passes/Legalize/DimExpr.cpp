// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Dim expressions as polynomials over atoms. An atom is a symbol or a division or remainder that
// stays; monomials are sorted lists of atoms, ordered by their text, so that the normal form does
// not depend on how an expression came about.
#include "passes/Legalize/DimExpr.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

using namespace mlir;

namespace ciuic::legalize {
namespace {

struct Atom {
  std::string key;
  AffineExpr expr;
  bool operator<(const Atom &o) const { return key < o.key; }
  bool operator==(const Atom &o) const { return key == o.key; }
};
// Longer products first, so that the constant stands last.
struct LongerFirst {
  bool operator()(const std::vector<Atom> &a, const std::vector<Atom> &b) const {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  }
};
using Monomial = std::vector<Atom>;
using Poly = std::map<Monomial, int64_t, LongerFirst>;

bool addTerm(Poly &poly, const Monomial &monomial, int64_t coefficient) {
  int64_t &slot = poly[monomial];
  if (llvm::AddOverflow(slot, coefficient, slot)) {
    return false;
  }
  if (slot == 0) {
    poly.erase(monomial);
  }
  return true;
}

Monomial product(const Monomial &a, const Monomial &b) {
  Monomial m(a);
  m.insert(m.end(), b.begin(), b.end());
  llvm::sort(m);
  return m;
}

std::optional<Poly> multiply(const Poly &a, const Poly &b) {
  Poly r;
  for (auto &[ma, ca] : a) {
    for (auto &[mb, cb] : b) {
      int64_t c;
      if (llvm::MulOverflow(ca, cb, c) || !addTerm(r, product(ma, mb), c)) {
        return std::nullopt;
      }
    }
  }
  return r;
}

/// `a` without the atoms of `b`, if it has them all.
std::optional<Monomial> without(const Monomial &a, const Monomial &b) {
  Monomial rest;
  size_t j = 0;
  for (const Atom &atom : a) {
    if (j < b.size() && atom == b[j]) {
      ++j;
    } else {
      rest.push_back(atom);
    }
  }
  return j == b.size() ? std::optional(rest) : std::nullopt;
}

/// Long division; nothing if a remainder stays.
std::optional<Poly> divide(Poly a, const Poly &b) {
  Poly quotient;
  if (b.empty()) {
    return std::nullopt;
  }
  auto &[leading, coefficient] = *b.begin();
  for (int steps = 0; !a.empty(); ++steps) {
    auto [ma, ca] = *a.begin();
    auto rest = without(ma, leading);
    if (!rest || ca % coefficient != 0 || steps > 256) {
      return std::nullopt;
    }
    int64_t q = ca / coefficient;
    if (!addTerm(quotient, *rest, q)) {
      return std::nullopt;
    }
    for (auto &[mb, cb] : b) {
      int64_t c;
      if (llvm::MulOverflow(q, cb, c) || c == INT64_MIN || !addTerm(a, product(*rest, mb), -c)) {
        return std::nullopt;
      }
    }
  }
  return quotient;
}

AffineExpr build(const Poly &poly, MLIRContext *context) {
  AffineExpr sum;
  for (auto &[monomial, coefficient] : poly) {
    AffineExpr term;
    for (const Atom &atom : monomial) {
      term = term ? term * atom.expr : atom.expr;
    }
    term = term ? term * coefficient : getAffineConstantExpr(coefficient, context);
    sum = sum ? sum + term : term;
  }
  return sum ? sum : getAffineConstantExpr(0, context);
}

Poly constantPoly(int64_t value) { return value == 0 ? Poly{} : Poly{{Monomial{}, value}}; }

std::optional<int64_t> constantOf(const Poly &poly) {
  if (poly.empty()) {
    return 0;
  }
  return poly.size() == 1 && poly.begin()->first.empty() ? std::optional(poly.begin()->second)
                                                         : std::nullopt;
}

Poly atomPoly(AffineExpr expr) {
  std::string key;
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    char text[16];
    std::snprintf(text, sizeof text, "s%06u", symbol.getPosition());
    key = text;
  } else {
    llvm::raw_string_ostream(key) << "z" << expr;
  }
  return Poly{{Monomial{Atom{key, expr}}, 1}};
}

std::optional<Poly> toPoly(AffineExpr expr);

std::optional<Poly> divisionPoly(AffineExprKind kind, AffineExpr lhs, AffineExpr rhs) {
  auto a = toPoly(lhs), b = toPoly(rhs);
  if (!a || !b) {
    return std::nullopt;
  }
  if (auto exact = divide(*a, *b)) {
    return kind == AffineExprKind::Mod ? Poly{} : *exact;
  }
  MLIRContext *context = lhs.getContext();
  Poly whole;
  auto divisor = constantOf(*b);
  if (divisor && *divisor > 0) {
    // What the divisor divides comes out: (d·q + r) / d = q + r / d.
    Poly rest;
    for (auto &[monomial, coefficient] : *a) {
      int64_t q = llvm::divideFloorSigned(coefficient, *divisor),
              r = llvm::mod(coefficient, *divisor);
      if (q != 0) {
        whole[monomial] = q;
      }
      if (r != 0) {
        rest[monomial] = r;
      }
    }
    if (kind == AffineExprKind::Mod) {
      whole.clear();
    }
    if (auto value = constantOf(rest)) {
      int64_t tail = kind == AffineExprKind::Mod        ? llvm::mod(*value, *divisor)
                     : kind == AffineExprKind::FloorDiv ? llvm::divideFloorSigned(*value, *divisor)
                                                        : llvm::divideCeilSigned(*value, *divisor);
      return addTerm(whole, Monomial{}, tail) ? std::optional(whole) : std::nullopt;
    }
    a = rest;
  }
  if (divisor && *divisor <= 0) {
    return std::nullopt;
  }
  Poly atom = atomPoly(getAffineBinaryOpExpr(kind, build(*a, context), build(*b, context)));
  for (auto &[monomial, coefficient] : atom) {
    if (!addTerm(whole, monomial, coefficient)) {
      return std::nullopt;
    }
  }
  return whole;
}

std::optional<Poly> toPoly(AffineExpr expr) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    return constantPoly(constant.getValue());
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary) {
    return atomPoly(expr);
  }
  if (expr.getKind() != AffineExprKind::Add && expr.getKind() != AffineExprKind::Mul) {
    return divisionPoly(expr.getKind(), binary.getLHS(), binary.getRHS());
  }
  auto a = toPoly(binary.getLHS()), b = toPoly(binary.getRHS());
  if (!a || !b) {
    return std::nullopt;
  }
  if (expr.getKind() == AffineExprKind::Mul) {
    return multiply(*a, *b);
  }
  for (auto &[monomial, coefficient] : *b) {
    if (!addTerm(*a, monomial, coefficient)) {
      return std::nullopt;
    }
  }
  return a;
}

/// Recursive descent over a dim_param.
class DimParser {
public:
  DimParser(StringRef text, MLIRContext *context, llvm::function_ref<AffineExpr(StringRef)> symbol)
      : rest(text), context(context), symbol(symbol) {}

  AffineExpr parse() {
    AffineExpr e = sum(0);
    skip();
    return e && rest.empty() ? e : AffineExpr();
  }

private:
  StringRef rest;
  MLIRContext *context;
  llvm::function_ref<AffineExpr(StringRef)> symbol;

  void skip() { rest = rest.ltrim(); }
  bool take(StringRef token) {
    skip();
    return rest.consume_front(token);
  }
  AffineExpr sum(int depth) {
    AffineExpr e = term(depth);
    while (e) {
      if (take("+")) {
        AffineExpr r = term(depth);
        e = r ? e + r : r;
      } else if (take("-")) {
        AffineExpr r = term(depth);
        e = r ? e - r : r;
      } else {
        break;
      }
    }
    return e;
  }
  AffineExpr term(int depth) {
    AffineExpr e = factor(depth);
    while (e) {
      bool times = take("*"), over = !times && (take("//") || take("/")),
           rem = !times && !over && take("%");
      if (!times && !over && !rem) {
        break;
      }
      AffineExpr r = factor(depth);
      if (!r) {
        return r;
      }
      auto constant = dyn_cast<AffineConstantExpr>(r);
      if (!times && constant && constant.getValue() <= 0) {
        return {};
      }
      e = times ? e * r : over ? e.floorDiv(r) : e % r;
    }
    return e;
  }
  AffineExpr factor(int depth) {
    if (depth > 64) {
      return {};
    }
    if (take("(")) {
      AffineExpr e = sum(depth + 1);
      return take(")") ? e : AffineExpr();
    }
    if (take("-")) {
      AffineExpr e = factor(depth + 1);
      return e ? -e : e;
    }
    skip();
    StringRef word = rest.take_until(
        [](char c) { return llvm::isSpace(c) || StringRef("+-*/%()").contains(c); });
    rest = rest.drop_front(word.size());
    int64_t value;
    if (word.empty()) {
      return {};
    }
    if (llvm::isDigit(word.front())) {
      return word.getAsInteger(10, value) || value > (int64_t(1) << 48)
                 ? AffineExpr()
                 : getAffineConstantExpr(value, context);
    }
    return symbol(word);
  }
};

} // namespace

AffineExpr canonical(AffineExpr expr) {
  auto poly = toPoly(expr);
  return poly ? build(*poly, expr.getContext()) : expr;
}

AffineExpr divideExactly(AffineExpr numerator, AffineExpr denominator) {
  auto a = toPoly(numerator), b = toPoly(denominator);
  auto q = a && b ? divide(*a, *b) : std::nullopt;
  return q ? build(*q, numerator.getContext()) : AffineExpr();
}

bool hasOperator(StringRef text) { return text.find_first_of("+-*/%()") != StringRef::npos; }

AffineExpr parseDim(StringRef text, MLIRContext *context,
                    llvm::function_ref<AffineExpr(StringRef)> symbol) {
  AffineExpr e = DimParser(text, context, symbol).parse();
  return e ? canonical(e) : e;
}

AffineExpr substitute(AffineExpr expr, ArrayRef<AffineExpr> replacements) {
  AffineExpr replaced = expr;
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    unsigned i = symbol.getPosition();
    return i < replacements.size() && replacements[i] ? replacements[i] : expr;
  }
  if (auto binary = dyn_cast<AffineBinaryOpExpr>(expr)) {
    AffineExpr lhs = substitute(binary.getLHS(), replacements),
               rhs = substitute(binary.getRHS(), replacements);
    auto divisor = dyn_cast<AffineConstantExpr>(rhs);
    bool divides = expr.getKind() != AffineExprKind::Add && expr.getKind() != AffineExprKind::Mul;
    // A division by a symbol that has become zero stays as it was: its value is never asked for.
    replaced = divides && divisor && divisor.getValue() <= 0
                   ? expr
                   : getAffineBinaryOpExpr(expr.getKind(), lhs, rhs);
  }
  return canonical(replaced);
}

void printDim(llvm::raw_ostream &os, AffineExpr expr, ArrayRef<std::string> names) {
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    os << (symbol.getPosition() < names.size() ? names[symbol.getPosition()] : "?");
  } else if (auto binary = dyn_cast<AffineBinaryOpExpr>(expr)) {
    const char *sign = expr.getKind() == AffineExprKind::Add        ? " + "
                       : expr.getKind() == AffineExprKind::Mul      ? " * "
                       : expr.getKind() == AffineExprKind::FloorDiv ? " // "
                       : expr.getKind() == AffineExprKind::CeilDiv  ? " ceildiv "
                                                                    : " % ";
    bool sum = expr.getKind() == AffineExprKind::Add;
    auto side = [&](AffineExpr e) {
      bool wrap = !sum && isa<AffineBinaryOpExpr>(e);
      os << (wrap ? "(" : "");
      printDim(os, e, names);
      os << (wrap ? ")" : "");
    };
    side(binary.getLHS());
    os << sign;
    side(binary.getRHS());
  } else if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    os << constant.getValue();
  }
}

bool mentions(AffineExpr expr, unsigned position) {
  bool found = false;
  expr.walk([&](AffineExpr e) {
    auto symbol = dyn_cast<AffineSymbolExpr>(e);
    found |= symbol && symbol.getPosition() == position;
  });
  return found;
}

} // namespace ciuic::legalize

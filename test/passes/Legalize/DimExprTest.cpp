// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Dim expressions: the normal form against evaluation at random points, exact division, and the
// text that files hold.
#include "passes/Legalize/DimExpr.h"

#include "ir/Graph/Shape.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"
#include <random>

using namespace ciuic::legalize;
using mlir::AffineExpr;

namespace {

struct DimExpr : testing::Test {
  mlir::MLIRContext context;
  AffineExpr a = mlir::getAffineSymbolExpr(0, &context), b = mlir::getAffineSymbolExpr(1, &context);
  AffineExpr c(int64_t v) { return mlir::getAffineConstantExpr(v, &context); }
  AffineExpr parse(llvm::StringRef text) {
    return parseDim(text, &context, [&](llvm::StringRef name) {
      return name == "a" ? a : name == "b" ? b : AffineExpr();
    });
  }
};

TEST_F(DimExpr, EqualExtentsAreEqualExpressions) {
  EXPECT_EQ(canonical((a + b) * 2 * a), canonical(a * a * 2 + b * a * 2));
  EXPECT_EQ(canonical((a * 6 + 4).floorDiv(2)), canonical(a * 3 + 2));
  EXPECT_EQ(canonical((a * 4 + 7).floorDiv(4)), canonical(a + 1));
  EXPECT_EQ(canonical((a * 4 + 7) % 4), c(3));
  EXPECT_EQ(canonical((a * b).floorDiv(b)), a);
  EXPECT_EQ(canonical(a + b - a), b);
}

// Random expressions keep their value at random points, divisions and remainders included.
TEST_F(DimExpr, NormalFormKeepsTheValue) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::function<AffineExpr(int)> make = [&](int depth) -> AffineExpr {
      int kind = depth == 0 ? random() % 3 : random() % 8;
      switch (kind) {
      case 0:
        return a;
      case 1:
        return b;
      case 2:
        return c(static_cast<int>(random() % 9) - 3);
      case 3:
        return make(depth - 1).floorDiv(1 + random() % 4);
      case 4:
        return make(depth - 1) % (1 + random() % 4);
      case 5:
        return make(depth - 1) * make(depth - 1);
      case 6:
        return make(depth - 1).ceilDiv(1 + random() % 4);
      default:
        return make(depth - 1) + make(depth - 1);
      }
    };
    AffineExpr e = make(4), n = canonical(e);
    EXPECT_EQ(canonical(n), n);
    for (int point = 0; point < 8; ++point) {
      int64_t values[] = {static_cast<int64_t>(random() % 20), static_cast<int64_t>(random() % 20)};
      EXPECT_EQ(ciuic::graph::evaluate(e, values), ciuic::graph::evaluate(n, values));
    }
  }
}

TEST_F(DimExpr, DividesExactlyOrNotAtAll) {
  EXPECT_EQ(divideExactly((a + b) * 192, a + b), c(192));
  EXPECT_EQ(divideExactly(a * b * 12, b * 4), canonical(a * 3));
  EXPECT_EQ(divideExactly(a * 12, b), AffineExpr());
  EXPECT_EQ(divideExactly(a * 3, c(2)), AffineExpr());
  EXPECT_EQ(divideExactly(a, c(0)), AffineExpr());
  EXPECT_EQ(divideExactly(c(0), a), c(0));
}

TEST_F(DimExpr, ReadsWhatFilesHold) {
  EXPECT_EQ(parse("a + b"), canonical(a + b));
  EXPECT_EQ(parse(" 2*(a+1) - b "), canonical(a * 2 + 2 - b));
  EXPECT_EQ(parse("a // 2"), a.floorDiv(2));
  EXPECT_EQ(parse("a / 2 % 3"), a.floorDiv(2) % 3);
  EXPECT_EQ(parse("-a + 3"), canonical(c(3) - a));
  EXPECT_EQ(parse("17"), c(17));
}

TEST_F(DimExpr, RefusesWhatIsNoExpression) {
  for (llvm::StringRef text : {"", "a +", "a b", "(a", "a)", "a // 0", "a % 0", "c", "a ** b",
                               "99999999999999999999", "2a"}) {
    EXPECT_EQ(parse(text), AffineExpr()) << text.str();
  }
  std::string deep(1000, '(');
  EXPECT_EQ(parse(deep + "a" + std::string(1000, ')')), AffineExpr());
}

TEST_F(DimExpr, SubstitutesAndFinds) {
  EXPECT_EQ(substitute(a + b, {b, AffineExpr()}), canonical(b * 2));
  EXPECT_TRUE(mentions(a.floorDiv(2), 0));
  EXPECT_FALSE(mentions(a.floorDiv(2), 1));
}

} // namespace

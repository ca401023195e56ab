// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix products: MatMul, Gemm and their relatives, as graph.matmul with maps around it.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

using namespace mlir;

namespace ciuic::legalize {

FailureOr<Value> buildMatmul(Node &node, Value a, Value b, bool transposeA, bool transposeB) {
  auto da = graph::dimsOf(a), db = graph::dimsOf(b);
  size_t ra = da.size(), rb = db.size();
  AffineExpr ka = da[transposeA ? ra - 2 : ra - 1], kb = db[transposeB ? rb - 1 : rb - 2];
  if (!node.importer.unify(ka, kb)) {
    return node.invalid("the inner extents of the operands differ");
  }
  auto dims = node.broadcast(ArrayRef(da).drop_back(2), ArrayRef(db).drop_back(2));
  if (failed(dims)) {
    return failure();
  }
  dims->push_back(da[transposeA ? ra - 1 : ra - 2]);
  dims->push_back(db[transposeB ? rb - 2 : rb - 1]);
  auto type = graph::tensorOf(*dims, cast<RankedTensorType>(a.getType()).getElementType());
  return Value(graph::MatmulOp::create(node.b, node.loc, type, a, b, transposeA, transposeB));
}

LogicalResult importMatMul(Node &node) {
  if (!node.has(1) || node.in(0).element != node.in(1).element) {
    return node.invalid("needs two operands of one type");
  }
  if (!node.in(0).isFloat()) {
    return node.unsupported("integer operands");
  }
  Value a = node.value(0), b = node.value(1);
  auto da = graph::dimsOf(a), db = graph::dimsOf(b);
  if (da.empty() || db.empty()) {
    return node.invalid("a scalar operand");
  }
  // Vectors become matrices of one row or column, whose dim goes again at the end.
  bool vectorA = da.size() == 1, vectorB = db.size() == 1;
  if (vectorA) {
    a = node.reshape(a, {node.cst(1), da[0]});
  }
  if (vectorB) {
    b = node.reshape(b, {db[0], node.cst(1)});
  }
  auto product = buildMatmul(node, a, b, false, false);
  if (failed(product)) {
    return failure();
  }
  auto dims = graph::dimsOf(*product);
  if (vectorB) {
    dims.pop_back();
  }
  if (vectorA) {
    dims.erase(dims.end() - (vectorB ? 1 : 2));
  }
  return node.set(0, node.reshape(*product, dims));
}

LogicalResult importGemm(Node &node) {
  if (!node.has(1) || !node.in(0).isFloat() || node.in(0).rank() != 2 || node.in(1).rank() != 2 ||
      node.in(0).element != node.in(1).element) {
    return node.in(0).isFloat() ? node.invalid("needs two matrices of one type")
                                : node.unsupported("integer operands");
  }
  auto product = buildMatmul(node, node.value(0), node.value(1), node.attr("transA", 0) != 0,
                             node.attr("transB", 0) != 0);
  if (failed(product)) {
    return failure();
  }
  double alpha = node.attrFloat("alpha", 1), beta = node.attrFloat("beta", 1);
  Tensor ab = node.tensor(*product);
  bool addsC = node.has(2) && beta != 0;
  if (!addsC && alpha == 1) {
    return node.set(0, std::move(ab));
  }
  SmallVector<Tensor *> operands{&ab};
  if (addsC) {
    operands.push_back(&node.in(2));
    auto dims = node.broadcast(ab.dims, node.in(2).dims);
    if (failed(dims) || !graph::sameDims(*dims, ab.dims)) {
      return failed(dims) ? failure() : node.invalid("C does not broadcast to the product");
    }
  }
  return node.set(
      0, node.map(operands, ab.dims, ab.element, [&](Scalars &s, ArrayRef<Value> x) -> Value {
        auto scaled = [&](Value v, double by) -> Value {
          return by == 1 ? v : Value(arith::MulFOp::create(s.b, s.loc, v, s.f(by, v.getType())));
        };
        Value r = scaled(x[0], alpha);
        return addsC ? Value(arith::AddFOp::create(s.b, s.loc, r, scaled(x[1], beta))) : r;
      }));
}

} // namespace ciuic::legalize

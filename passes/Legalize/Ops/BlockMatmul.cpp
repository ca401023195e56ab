// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products with weights that are integers in blocks (com.microsoft's MatMulNBits). The weight stays
// where it is and is read as #graph.blocks says. Zero points that are not the middle of the range
// have no place in the packed formats; with x summed over each block,
//   Σ (q − z) s x  =  Σ (q − 8) s x  +  Σ_blocks (8 − z) s (Σ_block x),
// so that a product of K / size rows beside the packed one makes up for them.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

#include "ir/Graph/BlockWeights.h"

using namespace mlir;
using ciuic::graph::ReduceKind;

namespace ciuic::legalize {
namespace {

struct Form {
  int64_t bits = 0, size = 0, depth = 0, columns = 0, blocks = 0;
};

/// Where a parameter of the blocks is: in a file, or its elements where they are few.
Attribute placeOf(Node &node, Tensor &t, ArrayRef<int64_t> shape) {
  auto type = RankedTensorType::get(shape, t.element);
  if (t.weight) {
    bool raw = t.weight.getEncoding() == onnx::Encoding::Raw;
    return raw ? graph::StoredAttr::get(node.context, t.weight.getFile(), t.weight.getOffset(),
                                        type)
               : Attribute();
  }
  SmallVector<Attribute> values;
  for (int64_t i = 0; t.contents && i < type.getNumElements(); ++i) {
    if (t.isFloat()) {
      values.push_back(node.b.getFloatAttr(t.element, t.contents->real(i)));
    } else if (auto v = constantOf(t.contents->integer(i))) {
      values.push_back(node.b.getIntegerAttr(t.element, *v));
    }
  }
  return static_cast<int64_t>(values.size()) == type.getNumElements()
             ? Attribute(DenseElementsAttr::get(type, values))
             : Attribute();
}

/// Whether something holds for the bytes of a parameter, which are read once a compilation.
bool knownOf(Node &node, Tensor &t, llvm::function_ref<bool(ArrayRef<char>)> holds) {
  if (!t.weight) {
    auto few = dyn_cast_or_null<DenseElementsAttr>(placeOf(node, t, {*t.count()}));
    return few && holds(few.getRawData()); // of equal elements, one
  }
  auto key = std::pair(static_cast<int64_t>(t.weight.getFile()),
                       static_cast<int64_t>(t.weight.getOffset()));
  auto &known = node.importer.findings.weights;
  if (auto it = known.find(key); it != known.end()) {
    return it->second;
  }
  std::vector<char> bytes;
  const WeightReader &read = node.importer.options.readWeight;
  return known[key] = read && read(t.weight, node.loc, bytes) && holds(bytes);
}

/// A weight of few integers, decoded here.
FailureOr<Value> decoded(Node &node, const Form &form, Tensor *zeros) {
  auto integers = node.constantInts(1, "B");
  auto scales = node.constantFloats(2, "scales");
  if (failed(integers) || failed(scales)) {
    return failure();
  }
  SmallVector<double> zero;
  if (zeros && zeros->isFloat()) {
    auto given = node.constantFloats(3, "zero_points");
    if (failed(given)) {
      return failure();
    }
    zero.assign(given->begin(), given->end());
  } else if (zeros) {
    auto packed = node.constantInts(3, "zero_points");
    if (failed(packed)) {
      return failure();
    }
    int64_t row = (form.blocks * form.bits + 7) / 8;
    for (int64_t n = 0; n < form.columns; ++n) {
      for (int64_t b = 0; b < form.blocks; ++b) {
        int64_t bit = b * form.bits, byte = (*packed)[n * row + bit / 8];
        zero.push_back(static_cast<double>(byte >> (bit % 8) & ((1 << form.bits) - 1)));
      }
    }
  }
  SmallVector<double> values;
  int64_t row = form.blocks * (form.size * form.bits / 8);
  for (int64_t n = 0; n < form.columns; ++n) {
    for (int64_t k = 0; k < form.depth; ++k) {
      int64_t bit = k * form.bits, byte = (*integers)[n * row + bit / 8];
      int64_t block = n * form.blocks + k / form.size;
      auto q = static_cast<double>(byte >> (bit % 8) & ((1 << form.bits) - 1));
      double z = zeros ? zero[block] : static_cast<double>(1 << (form.bits - 1));
      values.push_back((q - z) * (*scales)[block]);
    }
  }
  return node.constant(values, node.in(0).element, {form.columns, form.depth});
}

bool hasElements(Tensor &t, int64_t count) { return t.count() == count; }

/// The weight that the integers of `b` stand for, or, at another offset, what goes with it.
Value blockWeight(Node &node, Tensor &b, graph::BlocksAttr blocks, ArrayRef<int64_t> shape,
                  Type element, int64_t offset) {
  auto type = RankedTensorType::get(shape, element);
  int64_t bytes = type.getNumElements() * graph::elementBytes(element);
  Location loc = NameLoc::get(node.b.getStringAttr(b.name));
  std::string name = blocks.getPart() == "shifts" ? b.name + ".shifts" : b.name;
  auto op = graph::WeightOp::create(node.b, loc, type, name, b.weight.getFile(), offset, bytes,
                                    graph::PackingAttr());
  op.setBlocksAttr(blocks);
  return op.getResult();
}

/// Whether zero points, packed or floats, are the middle of the range throughout.
bool areMiddles(Node &node, Tensor &zeros, const Form &form) {
  auto middle = static_cast<char>(form.bits == 8 ? 0x80 : form.bits == 4 ? 0x88 : 0xAA);
  bool whole = form.blocks * form.bits % 8 == 0;
  return zeros.element.isInteger(8) && whole && knownOf(node, zeros, [&](ArrayRef<char> bytes) {
           return llvm::all_of(bytes, [&](char byte) { return byte == middle; });
         });
}

/// Whether the packed int4 format of such blocks holds these scales exactly.
bool areExact(Node &node, Tensor &scales, const Form &form) {
  return !int4FormatOf(form.bits, form.size).empty() &&
         (scales.element.isF16() || knownOf(node, scales, [&](ArrayRef<char> bytes) {
            return areHalves(bytes, scales.element);
          }));
}

bool hasKnownBlocks(const Form &form) {
  bool power = form.size >= 16 && form.size <= (1 << 20) && (form.size & (form.size - 1)) == 0;
  return power && (form.bits == 2 || form.bits == 4 || form.bits == 8);
}

/// Zero points of a column: packed like the integers, or a number a block.
int64_t zerosPerColumn(const Form &form, const Tensor &zeros) {
  return zeros.isFloat() ? form.blocks : (form.blocks * form.bits + 7) / 8;
}

/// Where scales and zero points lie; null: there are none, or they are computed.
struct Places {
  Attribute scales, zeros;
};

Places placesOf(Node &node, const Form &form, Tensor *zeros) {
  return {placeOf(node, node.in(2), {form.columns, form.blocks}),
          zeros ? placeOf(node, *zeros, {form.columns, zerosPerColumn(form, *zeros)})
                : Attribute()};
}

/// The form of a MatMulNBits, as its attributes and the sizes of its inputs say. `zeros`: its zero
/// points, where they are not simply the middle of the range.
LogicalResult readMatMulNBits(Node &node, Form &form, Tensor *&zeros) {
  Tensor &a = node.in(0);
  form = {node.attr("bits", 4), node.attr("block_size", 0), node.attr("K", 0), node.attr("N", 0),
          0};
  if (!hasKnownBlocks(form) || form.depth < 1 || form.columns < 1 ||
      form.depth > (int64_t(1) << 31) || form.columns > (int64_t(1) << 31)) {
    return node.invalid("needs K, N, bits of 2, 4 or 8 and a block_size that is a power of two "
                        "from 16 on");
  }
  if (node.attr("weight_prepacked", 0) != 0) {
    return node.unsupported("a weight in a device's own order; export with weight_prepacked = 0");
  }
  if (node.has(4)) {
    return node.unsupported("g_idx");
  }
  form.blocks = (form.depth + form.size - 1) / form.size;
  int64_t blobs = form.columns * form.blocks * (form.size * form.bits / 8);
  if (!node.has(1) || !node.has(2) || a.rank() < 2 || !node.in(1).element.isInteger(8) ||
      node.in(2).element != a.element || !hasElements(node.in(1), blobs) ||
      !hasElements(node.in(2), form.columns * form.blocks) ||
      !node.importer.unify(a.dims.back(), node.cst(form.depth))) {
    return node.invalid("A, B and scales do not have the sizes that K, N, bits and block_size ask "
                        "for");
  }
  if (node.has(5) &&
      (node.in(5).element != a.element || !node.isVector(5, node.cst(form.columns)))) {
    return node.invalid("the bias must be a vector of N elements");
  }
  zeros = node.has(3) ? &node.in(3) : nullptr;
  if (zeros) {
    if ((!zeros->element.isInteger(8) && zeros->element != a.element) ||
        !hasElements(*zeros, form.columns * zerosPerColumn(form, *zeros))) {
      return node.invalid("zero_points must be packed bytes or floats, one for each block");
    }
    if (areMiddles(node, *zeros, form)) {
      zeros = nullptr;
    }
  }
  return success();
}

} // namespace

LogicalResult importMatMulNBits(Node &node) {
  Tensor &a = node.in(0), *zeros = nullptr;
  Form form;
  if (failed(readMatMulNBits(node, form, zeros))) {
    return failure();
  }

  // 1. The weight, where it lies.
  Value x = node.value(0);
  auto add = [&](Value y, ArrayRef<Tensor *> more) -> Value {
    Tensor first = node.tensor(y);
    SmallVector<Tensor *> operands{&first};
    llvm::append_range(operands, more);
    return more.empty() ? y
                        : node.map(operands, first.dims, a.element,
                                   [](Scalars &s, ArrayRef<Value> v) -> Value {
                                     Value sum = v[0];
                                     for (Value addend : v.drop_front()) {
                                       sum = arith::AddFOp::create(s.b, s.loc, sum, addend);
                                     }
                                     return sum;
                                   });
  };
  SmallVector<Tensor *> addends;
  if (node.has(5)) {
    addends.push_back(&node.in(5));
  }
  if (!node.in(1).weight) {
    auto w = decoded(node, form, zeros);
    auto y = failed(w) ? w : buildMatmul(node, x, *w, false, true);
    return failed(y) ? failure() : node.set(0, add(*y, addends));
  }
  Tensor &b = node.in(1);
  auto [scales, zeroPlace] = placesOf(node, form, zeros);
  if (!scales || (zeros && !zeroPlace) || b.weight.getEncoding() != onnx::Encoding::Raw) {
    return node.unsupported("weights, scales or zero points that are computed or written as "
                            "varints");
  }
  StringRef format = int4FormatOf(form.bits, form.size);
  bool halves = areExact(node, node.in(2), form);
  bool splits = halves && zeros && form.depth % form.size == 0;
  auto weight = [&](StringRef part, Attribute zeroPoints, bool exact, int64_t width,
                    int64_t offset) -> Value {
    auto blocks = graph::BlocksAttr::get(node.context, form.bits, form.size, form.depth, part,
                                         scales, zeroPoints, exact ? format : StringRef());
    return blockWeight(node, b, blocks, {form.columns, width}, a.element, offset);
  };
  int64_t offset = b.weight.getOffset();
  Value w = splits ? weight("centred", Attribute(), true, form.depth, offset)
                   : weight("values", zeroPlace, halves && !zeros, form.depth, offset);
  auto y = buildMatmul(node, x, w, false, true);
  if (failed(y)) {
    return failure();
  }

  // 2. What zero points add.
  if (!splits) {
    return node.set(0, add(*y, addends));
  }
  SmallVector<AffineExpr> dims = graph::dimsOf(x);
  dims.back() = node.cst(form.blocks);
  SmallVector<AffineExpr> apart = dims;
  apart.push_back(node.cst(form.size));
  Value sums = node.reduce(ReduceKind::sum, node.reshape(x, apart), {a.rank()});
  auto stored = dyn_cast<graph::StoredAttr>(zeroPlace);
  Value shifts =
      weight("shifts", zeroPlace, false, form.blocks, stored ? stored.getOffset() : offset + 1);
  auto shift = buildMatmul(node, node.reshape(sums, dims), shifts, false, true);
  if (failed(shift)) {
    return failure();
  }
  Tensor second = node.tensor(*shift);
  addends.insert(addends.begin(), &second);
  return node.set(0, add(*y, addends));
}

LogicalResult importGatherBlockQuantized(Node &node) {
  // Integers of bytes, packed along the last dim, which is cut into blocks; rows are gathered.
  Tensor &data = node.in(0);
  Form form{node.attr("bits", 4), node.attr("block_size", 128), 0, 0, 0};
  auto rows = data.rank() == 2 ? constantOf(data.dims[0]) : std::nullopt;
  auto bytes = data.rank() == 2 ? constantOf(data.dims[1]) : std::nullopt;
  int64_t quantised = node.attr("quantize_axis", 1);
  if (!hasKnownBlocks(form) || !node.has(1) || !node.has(2) ||
      !isa<IntegerType>(node.in(1).element) || !node.in(2).isFloat()) {
    return node.invalid("needs indices, scales, bits of 2, 4 or 8 and a block_size that is a power "
                        "of two from 16 on");
  }
  if (!data.element.isInteger(8) || !data.isUnsigned || !rows || !bytes ||
      node.attr("gather_axis", 0) != 0 || (quantised != 1 && quantised != -1) || !data.weight ||
      data.weight.getEncoding() != onnx::Encoding::Raw) {
    return node.unsupported("tables that are no stored matrix of bytes, gathered along its rows "
                            "and quantised along them");
  }
  form.columns = *rows;
  form.depth = *bytes * (8 / form.bits);
  form.blocks = (form.depth + form.size - 1) / form.size;
  Tensor *zeros = node.has(3) ? &node.in(3) : nullptr;
  if (form.depth % form.size != 0 || !hasElements(node.in(2), form.columns * form.blocks) ||
      (zeros && (!zeros->element.isInteger(8) ||
                 !hasElements(*zeros, form.columns * zerosPerColumn(form, *zeros))))) {
    return node.unsupported("scales or zero points that are not one for each whole block");
  }
  if (zeros && areMiddles(node, *zeros, form)) {
    zeros = nullptr;
  }
  auto [scales, zeroPlace] = placesOf(node, form, zeros);
  if (!scales || (zeros && !zeroPlace)) {
    return node.unsupported("scales or zero points that are computed");
  }
  // As MatMulNBits says it, so that a table which is multiplied by too is stored once.
  bool exact = areExact(node, node.in(2), form) && !zeros;
  auto blocks =
      graph::BlocksAttr::get(node.context, form.bits, form.size, form.depth, "values", scales,
                             zeroPlace, exact ? int4FormatOf(form.bits, form.size) : StringRef());
  Type element = node.in(2).element;
  Value table =
      blockWeight(node, data, blocks, {form.columns, form.depth}, element, data.weight.getOffset());
  SmallVector<AffineExpr> dims(node.in(1).dims);
  dims.push_back(node.cst(form.depth));
  return node.set(
      0, Value(graph::GatherOp::create(node.b, node.loc, graph::tensorOf(dims, element), table,
                                       node.value(1), node.b.getI64IntegerAttr(0))));
}

} // namespace ciuic::legalize

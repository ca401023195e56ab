// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Data movement: transposes, slices, concatenation, gathers and what is made of them. Known
// elements move here and now.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Fold.h"
#include "passes/Legalize/Ops.h"

using namespace mlir;

namespace ciuic::legalize {
namespace {

/// Elements known one by one and few enough to be followed.
bool followed(const Tensor &x) {
  return x.contents && x.count(kMaxFollowed).has_value() && !x.contents->uniform;
}

/// `x` with other elements of it, at `positions`.
Tensor picked(const Tensor &x, ArrayRef<int64_t> positions, ArrayRef<AffineExpr> dims) {
  Tensor t = x;
  t.value = {};
  t.weight = {};
  t.dims.assign(dims.begin(), dims.end());
  t.contents = x.contents->pick(positions);
  return t;
}

SmallVector<int64_t> constantDims(ArrayRef<AffineExpr> dims) {
  return llvm::map_to_vector(dims, [](AffineExpr e) { return *constantOf(e); });
}

/// Calls `visit` with every index of a constant shape, row-major.
void forEachIndex(ArrayRef<int64_t> shape, llvm::function_ref<void(ArrayRef<int64_t>)> visit) {
  SmallVector<int64_t> index(shape.size(), 0);
  if (llvm::is_contained(shape, 0)) {
    return;
  }
  while (true) {
    visit(index);
    size_t d = shape.size();
    while (d > 0 && ++index[d - 1] == shape[d - 1]) {
      index[--d] = 0;
    }
    if (d == 0) {
      return;
    }
  }
}

int64_t flatten(ArrayRef<int64_t> index, ArrayRef<int64_t> shape) {
  int64_t flat = 0;
  for (auto [i, n] : llvm::zip(index, shape)) {
    flat = flat * n + i;
  }
  return flat;
}

/// A slice of `x`; on known elements, their choice.
LogicalResult setSliced(Node &node, unsigned result, Tensor &x, ArrayRef<AffineExpr> offsets,
                        ArrayRef<int64_t> steps, ArrayRef<AffineExpr> dims) {
  if (graph::sameDims(dims, x.dims) && llvm::all_of(steps, [](int64_t s) { return s == 1; })) {
    return node.set(result, x);
  }
  bool constant = llvm::all_of(offsets, [](AffineExpr e) { return constantOf(e).has_value(); }) &&
                  llvm::all_of(dims, [](AffineExpr e) { return constantOf(e).has_value(); });
  if (x.contents && x.contents->uniform) {
    Tensor t = x;
    t.value = {};
    t.weight = {};
    t.dims.assign(dims.begin(), dims.end());
    return node.set(result, std::move(t));
  }
  if (followed(x) && constant) {
    SmallVector<int64_t> shape = constantDims(x.dims), positions;
    forEachIndex(constantDims(dims), [&](ArrayRef<int64_t> index) {
      SmallVector<int64_t> source;
      for (size_t i = 0; i < index.size(); ++i) {
        source.push_back(*constantOf(offsets[i]) + index[i] * steps[i]);
      }
      positions.push_back(flatten(source, shape));
    });
    return node.set(result, picked(x, positions, dims));
  }
  return node.set(result, node.slice(node.value(x), offsets, steps, dims), x.isUnsigned);
}

} // namespace

LogicalResult importTranspose(Node &node) {
  Tensor &x = node.in(0);
  SmallVector<int64_t> permutation;
  if (auto attribute = node.attrInts("perm")) {
    permutation = *attribute;
  } else {
    for (int64_t i = x.rank(); i-- > 0;) {
      permutation.push_back(i);
    }
  }
  SmallVector<bool> seen(x.rank());
  SmallVector<AffineExpr> dims;
  for (int64_t p : permutation) {
    if (p < 0 || p >= x.rank() || seen[p] || static_cast<int64_t>(permutation.size()) != x.rank()) {
      return node.invalid("perm is no permutation of the input's dims");
    }
    seen[p] = true;
    dims.push_back(x.dims[p]);
  }
  if (static_cast<int64_t>(permutation.size()) != x.rank()) {
    return node.invalid("perm is no permutation of the input's dims");
  }
  if (followed(x)) {
    SmallVector<int64_t> shape = constantDims(x.dims), positions;
    forEachIndex(constantDims(dims), [&](ArrayRef<int64_t> index) {
      SmallVector<int64_t> source(index.size());
      for (size_t i = 0; i < index.size(); ++i) {
        source[permutation[i]] = index[i];
      }
      positions.push_back(flatten(source, shape));
    });
    return node.set(0, picked(x, positions, dims));
  }
  return node.set(0, node.transpose(node.value(x), permutation), x.isUnsigned);
}

/// One bound of a slice, clamped to [low, high]; null if the clamp is not decided.
static AffineExpr clampBound(Importer &importer, AffineExpr v, AffineExpr extent, AffineExpr low,
                             AffineExpr high) {
  auto negative = importer.lessOrEqual(v, getAffineConstantExpr(-1, v.getContext()));
  if (!negative) {
    return {};
  }
  v = *negative ? canonical(v + extent) : v;
  v = foldMaximum(importer, v, low);
  return v ? foldMinimum(importer, v, high) : v;
}

/// What a Slice says, one of each for an axis that it names.
struct SliceBounds {
  SmallVector<AffineExpr> starts, ends;
  SmallVector<int64_t> axes, steps;
};

static FailureOr<SliceBounds> readSliceBounds(Node &node) {
  SliceBounds r;
  if (auto attribute = node.attrInts("starts")) {
    auto endsAttr = node.attrInts("ends");
    if (!endsAttr || endsAttr->size() != attribute->size()) {
      return node.invalid("starts and ends differ in length");
    }
    for (auto [s, e] : llvm::zip(*attribute, *endsAttr)) {
      r.starts.push_back(node.cst(s));
      r.ends.push_back(node.cst(e));
    }
    r.axes = node.attrInts("axes").value_or(SmallVector<int64_t>());
  } else {
    auto s = node.knownInts(1, "starts"), e = node.knownInts(2, "ends");
    if (failed(s) || failed(e)) {
      return failure();
    }
    r.starts = *s;
    r.ends = *e;
    for (auto [input, what, out] : {std::tuple(3u, "axes", &r.axes), {4u, "steps", &r.steps}}) {
      if (node.has(input)) {
        auto known = node.constantInts(input, what);
        if (failed(known)) {
          return failure();
        }
        *out = *known;
      }
    }
  }
  if (r.axes.empty()) {
    for (size_t i = 0; i < r.starts.size(); ++i) {
      r.axes.push_back(i);
    }
  }
  r.steps.resize(r.steps.empty() ? r.starts.size() : r.steps.size(), 1);
  if (r.ends.size() != r.starts.size() || r.axes.size() != r.starts.size() ||
      r.steps.size() != r.starts.size()) {
    return node.invalid("starts, ends, axes and steps differ in length");
  }
  return r;
}

LogicalResult importSlice(Node &node) {
  Tensor &x = node.in(0);
  auto read = readSliceBounds(node);
  if (failed(read)) {
    return failure();
  }
  auto &[starts, ends, axes, steps] = *read;
  SmallVector<AffineExpr> offsets(x.rank(), node.cst(0)), dims(x.dims);
  SmallVector<int64_t> strides(x.rank(), 1);
  Importer &importer = node.importer;
  for (size_t i = 0; i < starts.size(); ++i) {
    auto axis = node.axis(axes[i], x.rank());
    if (failed(axis)) {
      return failure();
    }
    AffineExpr extent = x.dims[*axis], zero = node.cst(0), last = canonical(extent - 1);
    int64_t step = steps[i];
    if (step == 0) {
      return node.invalid("a step is 0");
    }
    // Bounds beyond any extent stand for the end; arithmetic on them would overflow.
    auto tame = [&](AffineExpr e) {
      auto v = constantOf(e);
      constexpr int64_t far = int64_t(1) << 48;
      return v ? node.cst(std::clamp(*v, -far, far)) : e;
    };
    AffineExpr from = tame(starts[i]), to = tame(ends[i]);
    AffineExpr low = step > 0 ? zero : node.cst(-1), high = step > 0 ? extent : last;
    AffineExpr begin = clampBound(importer, from, extent, zero, high), end;
    bool downToStart = step < 0 && constantOf(to) && *constantOf(to) <= -(int64_t(1) << 31);
    end = downToStart ? node.cst(-1) : clampBound(importer, to, extent, low, high);
    // A position that lies inside for some bounds only: a default bound gives way.
    auto reach = [&](AffineExpr position) -> AffineExpr {
      auto at = constantOf(position);
      bool gives = at && importer.raise(extent, *at < 0 ? -*at : *at);
      return !gives ? AffineExpr() : *at < 0 ? canonical(extent + *at) : position;
    };
    begin = begin ? begin : reach(from);
    end = end || constantOf(extent) ? end : reach(to);
    // An end that lies inside for some bounds only: the extent must reach it, as it does when the
    // model is used as meant.
    if (begin && !end && step > 0 && importer.lessOrEqual(zero, to) == true) {
      auto most = constantOf(extent);
      if (most && importer.limit(to, *most)) {
        end = to;
      } else if (most) {
        std::string text;
        llvm::raw_string_ostream(text)
            << "the bounds of this entry let the slice end beyond extent " << *most << " of dim "
            << *axis << "; give smaller bounds with --entry";
        return node.invalid(text);
      }
    }
    if (!begin || !end) {
      return node.unsupported(
          "the bounds of the dims do not decide where the slice starts or ends");
    }
    AffineExpr span = step > 0 ? canonical(end - begin) : canonical(begin - end);
    AffineExpr count = canonical(span.ceilDiv(step > 0 ? step : -step));
    count = foldMaximum(importer, count, zero);
    if (!count) {
      return node.unsupported("the bounds of the dims do not decide whether the slice is empty");
    }
    offsets[*axis] = constantOf(count) == 0 ? zero : begin;
    strides[*axis] = step;
    dims[*axis] = count;
  }
  return setSliced(node, 0, x, offsets, strides, dims);
}

LogicalResult importSplit(Node &node) {
  Tensor &x = node.in(0);
  auto axis = node.axis(node.attr("axis", 0), x.rank());
  if (failed(axis)) {
    return failure();
  }
  SmallVector<AffineExpr> sizes;
  if (auto attribute = node.attrInts("split")) {
    for (int64_t v : *attribute) {
      sizes.push_back(node.cst(v));
    }
  } else if (node.has(1)) {
    auto known = node.knownInts(1, "split");
    if (failed(known)) {
      return failure();
    }
    sizes = *known;
  } else {
    int64_t parts = node.attr("num_outputs", node.results());
    auto extent = constantOf(x.dims[*axis]);
    if (parts < 1 || parts > (1 << 20)) {
      return node.invalid("num_outputs is out of range");
    }
    AffineExpr each = extent ? node.cst((*extent + parts - 1) / parts)
                             : divideExactly(x.dims[*axis], node.cst(parts));
    if (!each) {
      return node.unsupported("a dim that may not divide into the parts");
    }
    AffineExpr rest = x.dims[*axis];
    for (int64_t i = 0; i < parts; ++i) {
      AffineExpr size = i + 1 < parts ? each : rest;
      sizes.push_back(size);
      rest = canonical(rest - size);
    }
  }
  if (sizes.size() != node.results()) {
    return node.invalid("has " + Twine(node.results()) + " outputs for " + Twine(sizes.size()) +
                        " parts");
  }
  AffineExpr sum = node.cst(0);
  for (AffineExpr s : sizes) {
    sum = canonical(sum + s);
  }
  if (!node.importer.unify(x.dims[*axis], sum)) {
    return node.invalid("the parts do not add up to the dim");
  }
  AffineExpr at = node.cst(0);
  for (auto [i, size] : llvm::enumerate(sizes)) {
    SmallVector<AffineExpr> offsets(x.rank(), node.cst(0)), dims(x.dims);
    offsets[*axis] = at;
    dims[*axis] = size;
    if (node.used(i) &&
        failed(setSliced(node, i, x, offsets, SmallVector<int64_t>(x.rank(), 1), dims))) {
      return failure();
    }
    at = canonical(at + size);
  }
  return success();
}

LogicalResult importConcat(Node &node) {
  SmallVector<Tensor *> parts;
  bool allKnown = true;
  for (unsigned i = 0; i < node.inputs(); ++i) {
    if (!node.has(i)) {
      return node.invalid("an operand is missing");
    }
    parts.push_back(&node.in(i));
    allKnown &=
        followed(*parts.back()) || (parts.back()->isSingle() && parts.back()->count(kMaxFollowed));
    if (parts[i]->element != parts[0]->element || parts[i]->rank() != parts[0]->rank()) {
      return node.invalid("operands differ in element type or rank");
    }
  }
  auto axis = node.axis(node.attr("axis", 0), parts.empty() ? 0 : parts[0]->rank());
  if (failed(axis)) {
    return failure();
  }
  SmallVector<AffineExpr> dims(parts[0]->dims);
  for (Tensor *part : ArrayRef(parts).drop_front()) {
    for (int64_t d = 0; d < part->rank(); ++d) {
      if (d == *axis) {
        dims[d] = canonical(dims[d] + part->dims[d]);
      } else if (!(dims[d] = node.importer.unify(dims[d], part->dims[d]))) {
        return node.invalid("operands differ in dim " + Twine(d));
      }
    }
  }
  Tensor t;
  t.dims = dims;
  if (allKnown && t.count(kMaxFollowed)) {
    t.element = parts[0]->element;
    t.isUnsigned = parts[0]->isUnsigned;
    Contents contents;
    contents.isFloat = parts[0]->isFloat();
    forEachIndex(constantDims(dims), [&](ArrayRef<int64_t> index) {
      SmallVector<int64_t> at(index);
      for (Tensor *part : parts) {
        int64_t n = *constantOf(part->dims[*axis]);
        if (at[*axis] < n) {
          int64_t flat = flatten(at, constantDims(part->dims));
          if (contents.isFloat) {
            contents.floats.push_back(part->contents->real(flat));
          } else {
            contents.ints.push_back(part->contents->integer(flat));
          }
          return;
        }
        at[*axis] -= n;
      }
    });
    t.contents = std::move(contents);
    return node.set(0, std::move(t));
  }
  SmallVector<Value> values;
  for (Tensor *part : parts) {
    if (constantOf(part->dims[*axis]) != 0) {
      values.push_back(node.value(*part));
    }
  }
  if (values.empty()) {
    return node.alias(0, 0);
  }
  return node.set(0, node.concat(values, *axis), parts[0]->isUnsigned);
}

LogicalResult importTile(Node &node) {
  Tensor &x = node.in(0);
  auto repeats = node.knownInts(1, "repeats");
  if (failed(repeats)) {
    return failure();
  }
  if (static_cast<int64_t>(repeats->size()) != x.rank()) {
    return node.invalid("needs one repeat per dim");
  }
  // [.., n, ..] → [.., 1, n, ..] → [.., r, n, ..] → [.., r·n, ..]; nothing to do where r is 1.
  SmallVector<AffineExpr> split, wide, result;
  bool anyRepeat = false;
  for (auto [dim, r] : llvm::zip(x.dims, *repeats)) {
    if (!isOne(r)) {
      split.push_back(node.cst(1));
      wide.push_back(r);
      anyRepeat = true;
    }
    split.push_back(dim);
    wide.push_back(dim);
    result.push_back(canonical(dim * r));
  }
  if (!anyRepeat) {
    return node.alias(0, 0);
  }
  Tensor t = x;
  t.dims = result;
  t.value = {};
  t.weight = {};
  if (x.isSingle()) {
    t.contents->uniform = t.count() != 1;
    return node.set(0, std::move(t));
  }
  if (followed(x) && t.count(kMaxFollowed)) {
    SmallVector<int64_t> shape = constantDims(x.dims), positions;
    forEachIndex(constantDims(result), [&](ArrayRef<int64_t> index) {
      SmallVector<int64_t> source;
      for (auto [i, n] : llvm::zip(index, shape)) {
        source.push_back(i % n);
      }
      positions.push_back(flatten(source, shape));
    });
    return node.set(0, picked(x, positions, result));
  }
  return node.set(0, node.reshape(node.expand(node.reshape(node.value(x), split), wide), result),
                  x.isUnsigned);
}

/// What a Pad adds before and after each dim; negative numbers crop.
struct Pads {
  SmallVector<int64_t> low, high;

  bool padsAt(int64_t dim) const { return low[dim] != 0 || high[dim] != 0; }
};

static FailureOr<Pads> readPads(Node &node, int64_t rank) {
  SmallVector<int64_t> pads, axes;
  if (auto attribute = node.attrInts("pads")) {
    pads = *attribute;
  } else {
    auto known = node.constantInts(1, "pads");
    if (failed(known)) {
      return failure();
    }
    pads = *known;
  }
  for (int64_t i = 0; i < rank; ++i) {
    axes.push_back(i);
  }
  if (node.has(3)) {
    auto known = node.constantInts(3, "axes");
    if (failed(known)) {
      return failure();
    }
    axes = *known;
  }
  if (pads.size() != 2 * axes.size()) {
    return node.invalid("needs two pads per dim");
  }
  Pads result{SmallVector<int64_t>(rank, 0), SmallVector<int64_t>(rank, 0)};
  constexpr int64_t kMost = int64_t(1) << 40; // sums of two and an extent do not overflow
  for (size_t i = 0; i < axes.size(); ++i) {
    auto axis = node.axis(axes[i], rank);
    if (failed(axis)) {
      return failure();
    }
    int64_t before = pads[i], after = pads[i + axes.size()];
    if (before < -kMost || before > kMost || after < -kMost || after > kMost) {
      return node.invalid("a pad is out of range");
    }
    result.low[*axis] = before;
    result.high[*axis] = after;
  }
  return result;
}

/// Crops where pads are negative, and leaves the others in `pads`.
static FailureOr<Value> cropped(Node &node, Value v, Pads &pads) {
  SmallVector<AffineExpr> offsets, dims = graph::dimsOf(v);
  bool any = false;
  for (auto [dim, low, high] : llvm::zip(dims, pads.low, pads.high)) {
    int64_t cropLow = std::max<int64_t>(0, -low), cropHigh = std::max<int64_t>(0, -high);
    any |= cropLow > 0 || cropHigh > 0;
    offsets.push_back(node.cst(cropLow));
    dim = canonical(dim - (cropLow + cropHigh));
    low = std::max<int64_t>(0, low);
    high = std::max<int64_t>(0, high);
    graph::Interval range = node.importer.interval(dim);
    if (cropLow + cropHigh > 0 && (!range.lower || *range.lower < 0)) {
      return node.invalid("crops more than there is");
    }
  }
  return any ? node.slice(v, offsets, SmallVector<int64_t>(dims.size(), 1), dims) : v;
}

/// What the constant mode pads with.
static FailureOr<TypedAttr> readPadValue(Node &node, Type element) {
  if (isa<FloatType>(element)) {
    SmallVector<double> value{node.attrFloat("value", 0)};
    if (node.has(2)) {
      auto known = node.constantFloats(2, "the value");
      if (failed(known)) {
        return failure();
      }
      value = *known;
    }
    if (value.size() != 1) {
      return node.invalid("the value to pad with needs one element");
    }
    return TypedAttr(node.b.getFloatAttr(element, value[0]));
  }
  SmallVector<int64_t> value{0};
  if (node.hasAttr("value") && !node.has(2)) {
    return node.unsupported("padding of integers with an attribute, which is a float");
  }
  if (node.has(2)) {
    auto known = node.constantInts(2, "the value");
    if (failed(known)) {
      return failure();
    }
    value = *known;
  }
  if (value.size() != 1) {
    return node.invalid("the value to pad with needs one element");
  }
  return TypedAttr(node.b.getIntegerAttr(element, value[0]));
}

/// Pads one dim with elements of the tensor itself: it is gathered along computed positions.
static Value paddedFromInside(Node &node, Value v, int64_t dim, const Pads &pads, StringRef mode) {
  SmallVector<AffineExpr> dims = graph::dimsOf(v);
  AffineExpr extent = dims[dim];
  int64_t low = pads.low[dim];
  dims[dim] = canonical(extent + (low + pads.high[dim]));
  Type i64 = node.b.getI64Type();
  Value indices = node.mapWith({}, {}, {dims[dim]}, i64, [&](Scalars &s, ArrayRef<Value>) -> Value {
    Value at = graph::IndexOp::create(s.b, s.loc, i64, s.b.getI64IntegerAttr(0));
    at = arith::SubIOp::create(s.b, s.loc, at, s.i(low, i64));
    Value n = s.extent(extent), zero = s.i(0, i64), lastIndex = s.extent(canonical(extent - 1));
    if (mode == "wrap") {
      Value r = arith::RemSIOp::create(s.b, s.loc, at,
                                       Value(arith::MaxSIOp::create(s.b, s.loc, n, s.i(1, i64))));
      Value below = arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::slt, r, zero);
      return arith::SelectOp::create(s.b, s.loc, below,
                                     Value(arith::AddIOp::create(s.b, s.loc, r, n)), r);
    }
    if (mode == "reflect") { // Mirrored at both ends without repeating the edge.
      Value mirrored = math::AbsIOp::create(s.b, s.loc, at);
      Value beyond = arith::SubIOp::create(s.b, s.loc, lastIndex, mirrored);
      at = arith::SubIOp::create(s.b, s.loc, lastIndex,
                                 Value(math::AbsIOp::create(s.b, s.loc, beyond)));
    }
    Value bounded = arith::MaxSIOp::create(s.b, s.loc, at, zero);
    return arith::MinSIOp::create(s.b, s.loc, bounded, lastIndex);
  });
  auto type = graph::tensorOf(dims, cast<RankedTensorType>(v.getType()).getElementType());
  return graph::GatherOp::create(node.b, node.loc, type, v, indices, node.b.getI64IntegerAttr(dim));
}

LogicalResult importPad(Node &node) {
  Tensor &x = node.in(0);
  auto pads = readPads(node, x.rank());
  if (failed(pads)) {
    return failure();
  }
  auto dimsOfX = llvm::seq<int64_t>(0, x.rank());
  if (llvm::none_of(dimsOfX, [&](int64_t i) { return pads->padsAt(i); })) {
    return node.alias(0, 0);
  }
  std::string mode = node.attrString("mode", "constant");
  if (mode != "constant" && mode != "edge" && mode != "reflect" && mode != "wrap") {
    return node.invalid("unknown mode '" + mode + "'");
  }
  auto inner = cropped(node, node.value(x), *pads);
  if (failed(inner)) {
    return failure();
  }
  Value v = *inner;
  if (mode == "constant") {
    auto value = readPadValue(node, x.element);
    if (failed(value)) {
      return failure();
    }
    SmallVector<AffineExpr> dims = graph::dimsOf(v);
    for (auto [dim, low, high] : llvm::zip(dims, pads->low, pads->high)) {
      dim = canonical(dim + (low + high));
    }
    v = graph::PadOp::create(node.b, node.loc, graph::tensorOf(dims, x.element), v,
                             node.b.getDenseI64ArrayAttr(pads->low), *value);
    return node.set(0, v, x.isUnsigned);
  }
  for (int64_t i : dimsOfX) {
    if (pads->padsAt(i)) {
      v = paddedFromInside(node, v, i, *pads, mode);
    }
  }
  return node.set(0, v, x.isUnsigned);
}

LogicalResult importGather(Node &node) {
  if (!node.has(1) || !isa<IntegerType>(node.in(1).element)) {
    return node.invalid("needs integer indices");
  }
  Tensor &x = node.in(0), &indices = node.in(1);
  auto axis = node.axis(node.attr("axis", 0), x.rank());
  if (failed(axis)) {
    return failure();
  }
  SmallVector<AffineExpr> dims(x.dims.begin(), x.dims.begin() + *axis);
  dims.append(indices.dims.begin(), indices.dims.end());
  dims.append(x.dims.begin() + *axis + 1, x.dims.end());
  Importer &importer = node.importer;
  AffineExpr extent = x.dims[*axis];
  // A known index from the front, if the bounds decide its sign.
  auto fromFront = [&](AffineExpr e) -> AffineExpr {
    auto negative = importer.lessOrEqual(e, node.cst(-1));
    return negative ? (*negative ? canonical(e + extent) : e) : AffineExpr();
  };
  if (followed(x) && indices.contents && indices.count(kMaxFollowed)) {
    SmallVector<int64_t> shape = constantDims(x.dims), positions;
    bool known = true;
    int64_t indexRank = indices.rank();
    Tensor result;
    result.dims = dims;
    SmallVector<int64_t> indexShape = constantDims(indices.dims);
    if (result.count(kMaxFollowed)) {
      forEachIndex(constantDims(dims), [&](ArrayRef<int64_t> index) {
        SmallVector<int64_t> source(index.begin(), index.begin() + *axis);
        AffineExpr e = fromFront(
            indices.contents->integer(flatten(index.slice(*axis, indexRank), indexShape)));
        auto v = constantOf(e);
        known &= v && *v >= 0 && *v < shape[*axis];
        source.push_back(v.value_or(0));
        source.append(index.begin() + *axis + indexRank, index.end());
        if (known) {
          positions.push_back(flatten(source, shape));
        }
      });
      if (known) {
        return node.set(0, picked(x, positions, dims));
      }
    }
  }
  // One known index is a slice, which costs nothing.
  if (indices.isSingle()) {
    AffineExpr at = fromFront(indices.contents->integer(0));
    auto inside = at ? importer.lessOrEqual(canonical(at + 1), extent) : std::nullopt;
    if (inside == false) {
      return node.invalid("an index is out of range");
    }
    if (at && inside == true && indices.count() == 1) {
      SmallVector<AffineExpr> offsets(x.rank(), node.cst(0)), one(x.dims);
      offsets[*axis] = at;
      one[*axis] = node.cst(1);
      Value v = node.slice(node.value(x), offsets, SmallVector<int64_t>(x.rank(), 1), one);
      return node.set(0, node.reshape(v, dims), x.isUnsigned);
    }
  }
  Value wide = node.value(indices);
  if (!indices.element.isInteger(64) && !indices.element.isInteger(32)) {
    return node.invalid("indices must be INT32 or INT64");
  }
  auto type = graph::tensorOf(dims, x.element);
  return node.set(0,
                  Value(graph::GatherOp::create(node.b, node.loc, type, node.value(x), wide,
                                                node.b.getI64IntegerAttr(*axis))),
                  x.isUnsigned);
}

} // namespace ciuic::legalize

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Convolutions, pooling and resizing: everything with windows over spatial dims.
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Ops.h"

#include <cmath>

using namespace mlir;

namespace ciuic::legalize {
namespace {

struct Window {
  SmallVector<int64_t> kernel, strides, dilations, pads; // pads: low sides, then high sides
  SmallVector<AffineExpr> out;
};

/// Attributes of a window op, checked; `pads` is zero for VALID and filled in later for SAME.
FailureOr<Window> windowOf(Node &node, ArrayRef<int64_t> kernel, size_t spatial) {
  Window w;
  w.kernel.assign(kernel.begin(), kernel.end());
  w.strides = node.attrInts("strides").value_or(SmallVector<int64_t>(spatial, 1));
  w.dilations = node.attrInts("dilations").value_or(SmallVector<int64_t>(spatial, 1));
  w.pads = node.attrInts("pads").value_or(SmallVector<int64_t>(2 * spatial, 0));
  constexpr int64_t most = int64_t(1) << 24;
  auto inRange = [&](ArrayRef<int64_t> values, size_t n, int64_t least) {
    return values.size() == n &&
           llvm::all_of(values, [&](int64_t v) { return v >= least && v <= most; });
  };
  if (!inRange(w.kernel, spatial, 1) || !inRange(w.strides, spatial, 1) ||
      !inRange(w.dilations, spatial, 1) || w.pads.size() != 2 * spatial ||
      !inRange(w.pads, 2 * spatial, -most)) {
    return node.invalid("kernel, strides, dilations and pads do not fit " + Twine(spatial) +
                        " spatial dims");
  }
  if (llvm::any_of(w.pads, [](int64_t p) { return p < 0; })) {
    return node.unsupported("negative pads");
  }
  if (node.attrString("auto_pad", "NOTSET") != "NOTSET") {
    std::fill(w.pads.begin(), w.pads.end(), 0);
  }
  return w;
}

/// Extents and pads of a convolution or pooling.
LogicalResult slide(Node &node, Window &w, ArrayRef<AffineExpr> in, bool ceilMode) {
  std::string autoPad = node.attrString("auto_pad", "NOTSET");
  bool same = autoPad == "SAME_UPPER" || autoPad == "SAME_LOWER";
  if (!same && autoPad != "NOTSET" && autoPad != "VALID") {
    return node.invalid("unknown auto_pad '" + autoPad + "'");
  }
  size_t spatial = in.size();
  for (size_t i = 0; i < spatial; ++i) {
    int64_t reach = w.dilations[i] * (w.kernel[i] - 1);
    if (same) {
      // Result extents are ⌈in / stride⌉; what that needs of padding depends on in unless the
      // stride is 1.
      int64_t total = reach;
      if (w.strides[i] != 1) {
        auto extent = constantOf(in[i]);
        if (!extent) {
          return node.unsupported("auto_pad SAME with a stride over a dynamic dim");
        }
        int64_t out = (*extent + w.strides[i] - 1) / w.strides[i];
        total = std::max<int64_t>(0, (out - 1) * w.strides[i] + reach + 1 - *extent);
      }
      w.pads[i] = autoPad == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.pads[i + spatial] = total - w.pads[i];
    }
    AffineExpr span = canonical(in[i] + (w.pads[i] + w.pads[i + spatial] - reach - 1));
    graph::Interval range = node.importer.interval(span);
    if (!range.lower || *range.lower < 0) {
      // The window has to fit; a default bound gives way.
      if (!range.upper || *range.upper < 0) {
        return node.invalid("the window is larger than the padded input");
      }
      int64_t least = 1 + reach - w.pads[i] - w.pads[i + spatial];
      if (!node.importer.raise(in[i], least)) {
        return node.invalid(
            "the bounds of this entry let a spatial dim be smaller than the window, " +
            Twine(least) + "; give larger lower bounds with --entry");
      }
    }
    AffineExpr steps =
        canonical(ceilMode ? span.ceilDiv(w.strides[i]) : span.floorDiv(w.strides[i]));
    // A last window that would start in the high padding is dropped.
    if (ceilMode) {
      AffineExpr lastStart = canonical(steps * w.strides[i]);
      auto inside =
          node.importer.lessOrEqual(canonical(lastStart + 1), canonical(in[i] + w.pads[i]));
      if (inside == false) {
        steps = canonical(steps - 1);
      } else if (!inside && w.pads[i + spatial] != 0) {
        return node.unsupported("ceil_mode with padding over a dynamic dim");
      }
    }
    w.out.push_back(canonical(steps + 1));
  }
  return success();
}

graph::ImageLayoutAttr channelsFirst(Node &node) {
  return graph::ImageLayoutAttr::get(node.context, graph::ImageLayout::channels_first);
}

/// The result y + bias[channel], or y where no bias is given.
LogicalResult setWithBias(Node &node, Value y) {
  if (!node.has(2)) {
    return node.set(0, y);
  }
  auto dims = graph::dimsOf(y);
  Type element = cast<RankedTensorType>(y.getType()).getElementType();
  if (!node.isVector(2, dims[1]) || node.in(2).element != element) {
    return node.invalid("the bias needs one element per output channel, of the input's type");
  }
  unsigned rank = dims.size();
  Value sum = node.mapWith({y, node.value(2)},
                           {node.b.getMultiDimIdentityMap(rank),
                            AffineMap::get(rank, 0, getAffineDimExpr(1, node.context))},
                           dims, element, [](Scalars &s, ArrayRef<Value> v) -> Value {
                             return arith::AddFOp::create(s.b, s.loc, v[0], v[1]);
                           });
  return node.set(0, sum);
}

/// Input and filter of a convolution, with constant kernel extents.
FailureOr<SmallVector<int64_t>> convKernel(Node &node) {
  if (!node.has(1) || node.in(0).rank() < 3 || node.in(1).rank() != node.in(0).rank() ||
      node.in(0).element != node.in(1).element) {
    return node.invalid("needs an input with spatial dims and a filter of the same rank and type");
  }
  if (node.in(0).rank() > 5) {
    return node.unsupported("more than three spatial dims");
  }
  SmallVector<int64_t> extents;
  for (AffineExpr dim : node.in(1).dims) {
    auto v = constantOf(dim);
    if (!v || *v < 1) {
      return node.unsupported("a filter of dynamic shape");
    }
    extents.push_back(*v);
  }
  if (auto shape = node.attrInts("kernel_shape");
      shape && ArrayRef(*shape) != ArrayRef(extents).drop_front(2)) {
    return node.invalid("kernel_shape is not the filter's");
  }
  if (node.has(2) && (node.in(2).rank() != 1 || node.in(2).element != node.in(0).element)) {
    return node.invalid("the bias must be a vector of the input's type");
  }
  return extents;
}

} // namespace

LogicalResult importConv(Node &node) {
  auto filter = convKernel(node);
  if (failed(filter)) {
    return failure();
  }
  Tensor &x = node.in(0);
  int64_t group = node.attr("group", 1);
  auto channels = x.dims[1];
  if (group < 1 || (*filter)[0] % group != 0 || group > (int64_t(1) << 24) ||
      !node.importer.unify(channels, node.cst((*filter)[1] * group))) {
    return node.invalid("channels, filter and group do not agree");
  }
  auto w = windowOf(node, ArrayRef(*filter).drop_front(2), filter->size() - 2);
  if (failed(w) || failed(slide(node, *w, ArrayRef(x.dims).drop_front(2), false))) {
    return failure();
  }
  SmallVector<AffineExpr> dims{x.dims[0], node.cst((*filter)[0])};
  dims.append(w->out.begin(), w->out.end());
  Value y = graph::ConvOp::create(node.b, node.loc, graph::tensorOf(dims, x.element), node.value(0),
                                  node.value(1), node.b.getDenseI64ArrayAttr(w->strides),
                                  node.b.getDenseI64ArrayAttr(w->pads),
                                  node.b.getDenseI64ArrayAttr(w->dilations),
                                  node.b.getI64IntegerAttr(group), channelsFirst(node));
  return setWithBias(node, y);
}

LogicalResult importConvTranspose(Node &node) {
  auto filter = convKernel(node);
  if (failed(filter)) {
    return failure();
  }
  Tensor &x = node.in(0);
  size_t spatial = filter->size() - 2;
  int64_t group = node.attr("group", 1);
  if (group < 1 || (*filter)[0] % group != 0 ||
      !node.importer.unify(x.dims[1], node.cst((*filter)[0]))) {
    return node.invalid("channels, filter and group do not agree");
  }
  auto w = windowOf(node, ArrayRef(*filter).drop_front(2), spatial);
  auto extra = node.attrInts("output_padding").value_or(SmallVector<int64_t>(spatial, 0));
  auto wanted = node.attrInts("output_shape");
  if (failed(w) || extra.size() != spatial || (wanted && wanted->size() != spatial)) {
    return failed(w) ? failure()
                     : node.invalid("output_padding or output_shape has the wrong length");
  }
  std::string autoPad = node.attrString("auto_pad", "NOTSET");
  SmallVector<AffineExpr> dims{x.dims[0], node.cst((*filter)[1] * group)};
  for (size_t i = 0; i < spatial; ++i) {
    int64_t reach = w->dilations[i] * (w->kernel[i] - 1);
    if (extra[i] < 0 || extra[i] > (int64_t(1) << 24)) {
      return node.invalid("output_padding is out of range");
    }
    AffineExpr full = canonical((x.dims[i + 2] - 1) * w->strides[i] + reach + 1 + extra[i]);
    bool same = autoPad == "SAME_UPPER" || autoPad == "SAME_LOWER";
    if (wanted || same) {
      AffineExpr target =
          wanted ? node.cst((*wanted)[i]) : canonical(x.dims[i + 2] * w->strides[i]);
      auto total = constantOf(canonical(full - target));
      if (!total || *total < 0) {
        return node.unsupported("an output shape that needs padding which varies or is negative");
      }
      bool lowGetsMore = autoPad != "SAME_UPPER";
      w->pads[i] = lowGetsMore ? *total - *total / 2 : *total / 2;
      w->pads[i + spatial] = *total - w->pads[i];
    }
    dims.push_back(canonical(full - (w->pads[i] + w->pads[i + spatial])));
  }
  Value y = graph::ConvTransposeOp::create(
      node.b, node.loc, graph::tensorOf(dims, x.element), node.value(0), node.value(1),
      node.b.getDenseI64ArrayAttr(w->strides), node.b.getDenseI64ArrayAttr(w->pads),
      node.b.getDenseI64ArrayAttr(w->dilations), node.b.getI64IntegerAttr(group),
      channelsFirst(node));
  return setWithBias(node, y);
}

LogicalResult importPool(Node &node) {
  Tensor &x = node.in(0);
  auto kernel = node.attrInts("kernel_shape");
  if (x.rank() < 3 || !kernel) {
    return node.invalid("needs spatial dims and a kernel_shape");
  }
  if (node.used(1)) {
    return node.unsupported("the output Indices");
  }
  auto w = windowOf(node, *kernel, x.rank() - 2);
  if (failed(w) ||
      failed(slide(node, *w, ArrayRef(x.dims).drop_front(2), node.attr("ceil_mode", 0) != 0))) {
    return failure();
  }
  SmallVector<AffineExpr> dims{x.dims[0], x.dims[1]};
  dims.append(w->out.begin(), w->out.end());
  bool isMax = node.op.getOpType() == "MaxPool";
  auto kind = isMax ? graph::PoolKind::max : graph::PoolKind::average;
  return node.set(0,
                  Value(graph::PoolOp::create(node.b, node.loc, graph::tensorOf(dims, x.element),
                                              kind, node.value(x), w->kernel, w->strides, w->pads,
                                              w->dilations, graph::ImageLayout::channels_first,
                                              node.attr("count_include_pad", 0) != 0)));
}

/// What a Resize says of every dim: a factor, or an extent; the other list is empty.
struct ResizeTarget {
  SmallVector<double> scales;
  SmallVector<AffineExpr> sizes;

  size_t count() const { return scales.empty() ? sizes.size() : scales.size(); }
};

static FailureOr<ResizeTarget> readResizeTarget(Node &node, bool upsample) {
  Tensor &x = node.in(0);
  unsigned scalesAt = upsample ? 1 : 2;
  ResizeTarget target;
  if (node.has(scalesAt) && node.in(scalesAt).count() != 0) {
    auto known = node.constantFloats(scalesAt, "scales");
    if (failed(known)) {
      return failure();
    }
    target.scales = *known;
  } else if (node.has(3)) {
    auto known = node.knownInts(3, "sizes");
    if (failed(known)) {
      return failure();
    }
    target.sizes = *known;
  } else if (auto attribute = dyn_cast_or_null<DenseF32ArrayAttr>(node.op.getAttribute("scales"))) {
    target.scales.append(attribute.asArrayRef().begin(), attribute.asArrayRef().end());
  }
  if (auto axes = node.attrInts("axes")) { // Opset 18 may name the dims.
    if (axes->size() != target.count()) {
      return node.invalid("axes and scales differ in length");
    }
    ResizeTarget all{SmallVector<double>(target.scales.empty() ? 0 : x.rank(), 1.0),
                     target.scales.empty() ? SmallVector<AffineExpr>(x.dims)
                                           : SmallVector<AffineExpr>()};
    for (auto [i, a] : llvm::enumerate(*axes)) {
      auto axis = node.axis(a, x.rank());
      if (failed(axis)) {
        return failure();
      }
      if (target.scales.empty()) {
        all.sizes[*axis] = target.sizes[i];
      } else {
        all.scales[*axis] = target.scales[i];
      }
    }
    target = all;
  }
  if (static_cast<int64_t>(target.count()) != x.rank()) {
    return node.invalid("needs one scale or size per dim");
  }
  if (!target.sizes.empty() &&
      node.attrString("keep_aspect_ratio_policy", "stretch") != "stretch") {
    return node.unsupported("a keep_aspect_ratio_policy other than stretch");
  }
  return target;
}

/// floor(extent·scale).
static FailureOr<AffineExpr> scaledExtent(Node &node, AffineExpr extent, double scale) {
  if (!(scale > 0) || scale > 1e6) {
    return node.invalid("a scale is not positive, or above 1e6");
  }
  if (auto known = constantOf(extent)) {
    double scaled = std::floor(static_cast<double>(*known) * scale);
    if (scaled > static_cast<double>(kMaxElements)) {
      return node.invalid("a result has more than 2^48 elements");
    }
    return node.cst(static_cast<int64_t>(scaled));
  }
  // A fraction with a small power of two below.
  for (int64_t denominator = 1; denominator <= 1024; denominator *= 2) {
    double numerator = scale * static_cast<double>(denominator);
    if (numerator == std::floor(numerator)) {
      return canonical((extent * static_cast<int64_t>(numerator)).floorDiv(denominator));
    }
  }
  return node.unsupported("a dynamic dim with a scale that is no binary fraction");
}

/// The factor from one extent to another, where it does not vary.
static FailureOr<double> scaleBetween(Node &node, AffineExpr extent, AffineExpr size) {
  auto from = constantOf(extent), to = constantOf(size);
  if (from && to && *from > 0) {
    return static_cast<double>(*to) / static_cast<double>(*from);
  }
  AffineExpr ratio = divideExactly(size, extent);
  if (auto whole = ratio ? constantOf(ratio) : std::nullopt) {
    return static_cast<double>(*whole);
  }
  return node.unsupported("sizes whose ratio to the input varies");
}

LogicalResult importResize(Node &node) {
  Tensor &x = node.in(0);
  bool upsample = node.op.getOpType() == "Upsample" || (node.opset != 0 && node.opset < 11);
  if (x.rank() < 3) {
    return node.invalid("needs spatial dims");
  }
  // 1. Extents and factors: what is not said follows from what is.
  auto target = readResizeTarget(node, upsample);
  if (failed(target)) {
    return failure();
  }
  auto &[scales, dims] = *target;
  bool fromScales = !scales.empty();
  for (int64_t i = 0; i < x.rank(); ++i) {
    if (fromScales) {
      auto extent = scaledExtent(node, x.dims[i], scales[i]);
      if (failed(extent)) {
        return failure();
      }
      dims.push_back(*extent);
    } else {
      auto scale = scaleBetween(node, x.dims[i], dims[i]);
      if (failed(scale)) {
        return failure();
      }
      scales.push_back(*scale);
    }
  }
  if (scales[0] != 1 || scales[1] != 1) {
    return node.unsupported("resizing batch or channels");
  }
  if (graph::sameDims(dims, x.dims) && llvm::all_of(scales, [](double s) { return s == 1; })) {
    return node.alias(0, 0);
  }
  // 2. How an element is computed.
  std::string mode = node.attrString("mode", "nearest");
  std::string coordinates =
      node.attrString("coordinate_transformation_mode", upsample ? "asymmetric" : "half_pixel");
  std::string rounding = node.attrString("nearest_mode", upsample ? "floor" : "round_prefer_floor");
  auto kind = mode == "nearest"  ? graph::ResizeMode::nearest
              : mode == "linear" ? graph::ResizeMode::linear
                                 : graph::ResizeMode::cubic;
  bool knownMode = mode == "nearest" || mode == "linear" || mode == "cubic";
  bool knownCoordinates = llvm::is_contained(
      {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}, StringRef(coordinates));
  bool knownRounding = llvm::is_contained(
      {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}, StringRef(rounding));
  if (!knownMode || !knownCoordinates || !knownRounding) {
    return node.unsupported("mode " + mode + ", " + coordinates + ", " + rounding);
  }
  if (node.attr("antialias", 0) != 0 ||
      (kind == graph::ResizeMode::cubic &&
       (node.attr("exclude_outside", 0) != 0 ||
        std::fabs(node.attrFloat("cubic_coeff_a", -0.75) + 0.75) > 1e-6))) {
    return node.unsupported("antialias, exclude_outside or another cubic coefficient");
  }
  return node.set(0, Value(graph::ResizeOp::create(
                         node.b, node.loc, graph::tensorOf(dims, x.element),
                         graph::ResizeModeAttr::get(node.context, kind), node.value(x),
                         node.b.getDenseF64ArrayAttr(ArrayRef(scales).drop_front(2)),
                         node.b.getStringAttr(coordinates), node.b.getStringAttr(rounding),
                         channelsFirst(node))));
}

LogicalResult importDepthToSpace(Node &node) {
  Tensor &x = node.in(0);
  int64_t n = node.attr("blocksize", 0);
  auto channels = x.rank() == 4 ? constantOf(x.dims[1]) : std::nullopt;
  bool toSpace = node.op.getOpType() == "DepthToSpace",
       columnFirst = node.attrString("mode", "DCR") == "CRD";
  if (!channels || n < 1 || n > 1024 || (toSpace && *channels % (n * n) != 0)) {
    return node.invalid("needs four dims and channels divisible by blocksize²");
  }
  AffineExpr b = x.dims[0], h = x.dims[2], w = x.dims[3];
  Value v = node.value(x);
  if (toSpace) {
    AffineExpr c = node.cst(*channels / (n * n)), k = node.cst(n);
    v = columnFirst ? node.transpose(node.reshape(v, {b, c, k, k, h, w}), {0, 1, 4, 2, 5, 3})
                    : node.transpose(node.reshape(v, {b, k, k, c, h, w}), {0, 3, 4, 1, 5, 2});
    return node.set(0, node.reshape(v, {b, c, canonical(h * n), canonical(w * n)}));
  }
  AffineExpr hb = divideExactly(h, node.cst(n)), wb = divideExactly(w, node.cst(n)),
             k = node.cst(n);
  if (!hb || !wb) {
    return node.unsupported("spatial dims that may not divide by blocksize");
  }
  v = node.transpose(node.reshape(v, {b, x.dims[1], hb, k, wb, k}), {0, 3, 5, 1, 2, 4});
  return node.set(0, node.reshape(v, {b, node.cst(*channels * n * n), hb, wb}));
}

} // namespace ciuic::legalize

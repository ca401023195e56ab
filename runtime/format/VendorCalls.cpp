// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/format/VendorCalls.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Validate.h"

#include <algorithm>

namespace ciuic::format {

bool isVendorCall(std::string_view symbol) {
  return symbol == kCublasLtMatmul || symbol == kCudnnConv;
}

static bool isFloat(int64_t type) {
  return type == static_cast<int64_t>(DType::F32) || type == static_cast<int64_t>(DType::F16) ||
         type == static_cast<int64_t>(DType::BF16);
}

MatmulShape MatmulShape::of(std::span<const int64_t> v) {
  return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9]};
}

std::optional<MatmulCall> parseMatmul(std::span<const int64_t> p, size_t pointers) {
  if (p.size() != 8 && p.size() != 10) {
    return std::nullopt;
  }
  bool flags = (p[3] | p[4]) >> 1 == 0 && p[5] >= 0 && p[5] <= 3 && p[6] >= 0 &&
               p[6] <= kMostChoice && p[7] >= 0;
  if (!flags || !isFloat(p[0]) || p[1] != p[0] ||
      (p[2] != p[0] && p[2] != static_cast<int64_t>(DType::F32))) {
    return std::nullopt;
  }
  MatmulCall call = {};
  call.typeA = static_cast<DType>(p[0]);
  call.typeB = static_cast<DType>(p[1]);
  call.typeD = static_cast<DType>(p[2]);
  call.transA = p[3] != 0;
  call.transB = p[4] != 0;
  call.bias = (p[5] & kEpilogueBias) != 0;
  call.residual = (p[5] & kEpilogueResidual) != 0;
  call.choice = p[6];
  call.choiceRows = p[7];
  call.panels = p.size() == 10;
  if (call.panels) {
    call.firstPanel = p[8];
    call.endPanel = p[9];
    if (!call.transB || p[8] < 0 || p[9] <= p[8] || p[9] > (int64_t(1) << 40)) {
      return std::nullopt;
    }
  }
  return call.pointers() == pointers ? std::optional(call) : std::nullopt;
}

/// Bytes of `batch` row-major matrices of rows × columns; nothing when a row exceeds its stride.
static std::optional<int64_t> matrixBytes(int64_t batch, int64_t rows, int64_t columns, int64_t ld,
                                          int64_t stride, DType type) {
  if (ld < columns || stride < 0) {
    return std::nullopt;
  }
  auto last = checkedMul(batch - 1, stride);
  auto body = checkedMul(rows - 1, ld);
  auto sum = last && body ? checkedAdd(*last, *body) : std::nullopt;
  sum = sum ? checkedAdd(*sum, columns) : std::nullopt;
  return sum ? checkedMul(*sum, elementBytes(static_cast<uint8_t>(type))) : std::nullopt;
}

std::optional<MatmulBytes> matmulBytes(const MatmulCall &call, const MatmulShape &s) {
  if (s.batch < 0 || s.batch > INT32_MAX || s.m < 0 || s.n < 0 || s.k < 1) {
    return std::nullopt;
  }
  int64_t begin = call.panels ? std::min(call.firstPanel * kPanelColumns, s.n) : 0;
  int64_t end = call.panels ? std::min(call.endPanel * kPanelColumns, s.n) : s.n;
  if (s.batch == 0 || s.m == 0 || begin >= end) {
    return MatmulBytes{};
  }
  auto a = matrixBytes(s.batch, call.transA ? s.k : s.m, call.transA ? s.m : s.k, s.lda, s.strideA,
                       call.typeA);
  auto b = matrixBytes(s.batch, call.transB ? end - begin : s.k, call.transB ? s.k : end - begin,
                       s.ldb, s.strideB, call.typeB);
  auto d = matrixBytes(s.batch, s.m, s.n, s.ldc, s.strideC, call.typeD);
  if (!a || !b || !d) {
    return std::nullopt;
  }
  // Matrices of one batch must not overlap in what is written.
  if (s.batch > 1 && s.strideC < s.n) {
    return std::nullopt;
  }
  int64_t bias = call.bias ? s.n * elementBytes(static_cast<uint8_t>(call.typeD)) : 0;
  return MatmulBytes{*a, *b, bias, call.residual ? *d : 0, *d};
}

ConvShape ConvShape::of(const ConvCall &call, std::span<const int64_t> v) {
  ConvShape s = {v[0], v[1], v[2], {1, 1, 1}, {1, 1, 1}};
  auto rank = static_cast<size_t>(call.rank);
  std::copy_n(v.begin() + 3, rank, s.in);
  std::copy_n(v.begin() + 3 + static_cast<std::ptrdiff_t>(rank), rank, s.out);
  return s;
}

std::optional<ConvCall> parseConv(std::span<const int64_t> p, size_t pointers) {
  constexpr int64_t kMost = 1 << 20; // of a window: no sum of its parts overflows
  if (p.size() < 4 || !isFloat(p[0]) || p[1] < 1 || p[1] > 3 || p[2] < 0 || p[2] > 3 || p[3] < 1 ||
      p.size() != 4 + 5 * static_cast<size_t>(p[1])) {
    return std::nullopt;
  }
  ConvCall call = {};
  call.type = static_cast<DType>(p[0]);
  call.rank = static_cast<int>(p[1]);
  call.bias = (p[2] & kEpilogueBias) != 0;
  call.residual = (p[2] & kEpilogueResidual) != 0;
  if (call.type == DType::F32 && call.residual && !call.bias) {
    return std::nullopt;
  }
  call.groups = p[3];
  size_t at = 4;
  for (int64_t *list : {call.kernel, call.strides, call.before, call.after, call.dilations}) {
    int64_t least = list == call.before || list == call.after ? 0 : 1;
    for (int i = 0; i < call.rank; ++i, ++at) {
      if (p[at] < least || p[at] > kMost) {
        return std::nullopt;
      }
      list[i] = p[at];
    }
  }
  return call.pointers() == pointers ? std::optional(call) : std::nullopt;
}

bool convFits(const ConvCall &call, const ConvShape &s) {
  if (s.c % call.groups != 0 || s.oc % call.groups != 0) {
    return false;
  }
  for (int i = 0; i < call.rank; ++i) {
    int64_t window = call.dilations[i] * (call.kernel[i] - 1) + 1;
    int64_t room = s.in[i] + call.before[i] + call.after[i] - window;
    if (s.out[i] != (room < 0 ? 0 : room / call.strides[i] + 1)) {
      return false;
    }
  }
  return true;
}

static std::optional<std::vector<int64_t>> convBytes(const ConvCall &call, const ConvShape &s) {
  int64_t element = elementBytes(static_cast<uint8_t>(call.type));
  auto product = [&](std::initializer_list<int64_t> factors) {
    std::optional<int64_t> bytes = element;
    for (int64_t f : factors) {
      bytes = bytes && f >= 0 ? checkedMul(*bytes, f) : std::nullopt;
    }
    return bytes;
  };
  int64_t taps[3] = {1, 1, 1};
  std::copy_n(call.kernel, call.rank, taps);
  auto x = product({s.n, s.in[0], s.in[1], s.in[2], s.c});
  auto w = product({s.oc, taps[0], taps[1], taps[2], s.c / call.groups});
  auto y = product({s.n, s.out[0], s.out[1], s.out[2], s.oc});
  auto bias = product({s.oc});
  if (!x || !w || !y || !bias) {
    return std::nullopt;
  }
  std::vector<int64_t> list = {*x, *w};
  if (call.bias) {
    list.push_back(*bias);
  }
  if (call.residual) {
    list.push_back(*y);
  }
  list.push_back(*y);
  return list;
}

std::optional<size_t> vendorExtents(std::string_view symbol, std::span<const int64_t> params,
                                    size_t pointers) {
  if (symbol == kCublasLtMatmul && parseMatmul(params, pointers)) {
    return MatmulShape::kValues;
  }
  if (symbol == kCudnnConv) {
    if (auto call = parseConv(params, pointers)) {
      return call->extents();
    }
  }
  return std::nullopt;
}

std::optional<std::vector<int64_t>> vendorBytes(std::string_view symbol,
                                                std::span<const int64_t> params, size_t pointers,
                                                std::span<const int64_t> shape) {
  if (vendorExtents(symbol, params, pointers) != shape.size()) {
    return std::nullopt;
  }
  if (symbol == kCudnnConv) {
    ConvCall call = *parseConv(params, pointers);
    return convBytes(call, ConvShape::of(call, shape));
  }
  MatmulCall call = *parseMatmul(params, pointers);
  auto bytes = matmulBytes(call, MatmulShape::of(shape));
  if (!bytes) {
    return std::nullopt;
  }
  std::vector<int64_t> list = {bytes->a, bytes->b};
  if (call.bias) {
    list.push_back(bytes->bias);
  }
  if (call.residual) {
    list.push_back(bytes->residual);
  }
  list.push_back(bytes->d);
  return list;
}

} // namespace ciuic::format

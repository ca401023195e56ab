// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/format/VendorCalls.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Validate.h"

#include <algorithm>

namespace ciuic::format {

bool isVendorCall(std::string_view symbol) { return symbol == kCublasLtMatmul; }

MatmulShape MatmulShape::of(std::span<const int64_t> v) {
  return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9]};
}

std::optional<MatmulCall> parseMatmul(std::span<const int64_t> p, size_t pointers) {
  if (p.size() != 6 && p.size() != 8) {
    return std::nullopt;
  }
  auto isFloat = [](int64_t t) {
    return t == static_cast<int64_t>(DType::F32) || t == static_cast<int64_t>(DType::F16) ||
           t == static_cast<int64_t>(DType::BF16);
  };
  bool flags = (p[3] | p[4]) >> 1 == 0 && p[5] >= 0 && p[5] <= 3;
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
  call.panels = p.size() == 8;
  if (call.panels) {
    call.firstPanel = p[6];
    call.endPanel = p[7];
    if (!call.transB || p[6] < 0 || p[7] <= p[6] || p[7] > (int64_t(1) << 40)) {
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

} // namespace ciuic::format

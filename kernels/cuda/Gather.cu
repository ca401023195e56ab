// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of a packed table (layout Rows16): an embedding whose panels the vocabulary projection
// shares. A block takes an id at a time; ids outside the table give rows of NaN. The table may lie
// in pinned host memory. Moves a row's bytes once per id.
#include "kernels/cuda/Abi.h"
#include "kernels/pack/Rows16.h"

using namespace ciuic::kernels;
using namespace ciuic::cuda;

namespace {

template <typename T>
struct Plain {
  static CIUIC_DEVICE int64_t panelBytes(int64_t K) { return K * 16 * sizeof(T); }
  static CIUIC_DEVICE float element(const char *panel, int64_t K, int64_t k, int64_t column) {
    return toFloat(reinterpret_cast<const T *>(panel)[column * K + k]);
  }
};

struct Int8 {
  static CIUIC_DEVICE int64_t panelBytes(int64_t K) { return rows16::int8Bytes(K); }
  static CIUIC_DEVICE float element(const char *panel, int64_t, int64_t k, int64_t column) {
    const int byte = static_cast<unsigned char>(panel[rows16::int8Offset(k, column)]);
    return static_cast<float>(byte - 128) * reinterpret_cast<const float *>(panel)[column];
  }
};

template <int64_t Group>
struct Int4 {
  static CIUIC_DEVICE int64_t panelBytes(int64_t K) { return rows16::int4Bytes(K, Group); }
  static CIUIC_DEVICE float element(const char *panel, int64_t K, int64_t k, int64_t column) {
    const int byte = static_cast<unsigned char>(
        panel[rows16::int4ScaleBytes(K, Group) + rows16::int4Offset(k, column)]);
    const Half scale =
        *reinterpret_cast<const Half *>(panel + rows16::int4ScaleOffset(k, column, Group));
    return static_cast<float>((byte >> rows16::int4Shift(column) & 15) - 8) * toFloat(scale);
  }
};

template <typename Format>
CIUIC_DEVICE void gather(const int64_t *args, char *const *ptrs, const int64_t *dims,
                         const int64_t *params) {
  const int64_t N = args[kGatherRows], K = args[kGatherWidth], bytes = Format::panelBytes(K);
  for (int64_t unit = blockIndex(); unit < args[kGatherCount]; unit += blockCount()) {
    int64_t id = args[kGatherWideIds] ? reinterpret_cast<const int64_t *>(ptrs[1])[unit]
                                      : reinterpret_cast<const int32_t *>(ptrs[1])[unit];
    id = id < 0 ? id + N : id;
    const bool inside = id >= 0 && id < N;
    const int64_t panel = inside ? id / kPanel : params[0];
    // An id outside belongs to no tile: the first one says so, with NaN.
    if (inside ? panel < params[0] || panel >= params[1] : params[0] != 0) {
      continue;
    }
    const char *from = ptrs[0] + (panel - params[0]) * bytes;
    for (int64_t k = threadIndex(); k < K; k += threadCount()) {
      const float value = inside ? Format::element(from, K, k, id % kPanel) : fromBits(0x7fc00000);
      ciuic_epilogue(value, unit, k, ptrs, dims);
    }
  }
}

} // namespace

#define CIUIC_GATHER(name, format)                                                                 \
  CIUIC_LIBRARY(ciuic_cuda_gather_##name) { gather<format>(args, ptrs, dims, params); }
CIUIC_GATHER(f32, Plain<float>)
CIUIC_GATHER(f16, Plain<Half>)
CIUIC_GATHER(bf16, Plain<BFloat>)
CIUIC_GATHER(int8, Int8)
CIUIC_GATHER(int4g32, Int4<32>)
CIUIC_GATHER(int4g64, Int4<64>)
CIUIC_GATHER(int4g128, Int4<128>)

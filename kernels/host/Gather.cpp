// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of a packed table: an embedding whose panels the vocabulary projection shares. A row is one
// lane of its panel, so each value costs a cache line; for the few rows of a prompt that is less
// than a second copy of the table.
#include "kernels/host/Epilogue.h"
#include "kernels/host/Formats.h"

using namespace ciuic::kernels;

namespace {

template <typename Format>
CIUIC_INLINE void gather(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
                         const int64_t *dims, const int64_t *params, int64_t begin, int64_t end,
                         char *scratch) {
  const int64_t N = args[kGatherRows], K = args[kGatherWidth], bytes = Format::panelBytes(K);
  float *row = reinterpret_cast<float *>(scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    int64_t id = args[kGatherWideIds] ? reinterpret_cast<const int64_t *>(ptrs[1])[unit]
                                      : reinterpret_cast<const int32_t *>(ptrs[1])[unit];
    id = id < 0 ? id + N : id;
    if (id < 0 || id >= N) { // belongs to no tile: the first one says so, with NaN
      if (params[0] != 0) {
        continue;
      }
      for (int64_t k = 0; k < K; ++k) {
        row[k] = __builtin_nanf("");
      }
    } else {
      const int64_t panel = id / kPanel;
      if (panel < params[0] || panel >= params[1]) {
        continue;
      }
      const char *from = ptrs[0] + (panel - params[0]) * bytes;
      for (int64_t k = 0; k < K; ++k) {
        row[k] = Format::element(from, K, k, id % kPanel);
      }
    }
    finish({row, K, unit, 1, 0, K}, epilogue, ptrs, dims, 2, args[kGatherLdc]);
  }
}

} // namespace

#define CIUIC_GATHER(NAME, FORMAT)                                                                 \
  extern "C" void NAME(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,            \
                       const int64_t *dims, const int64_t *params, int64_t begin, int64_t end,     \
                       char *scratch) {                                                            \
    gather<FORMAT>(args, epilogue, ptrs, dims, params, begin, end, scratch);                       \
  }
CIUIC_GATHER(ciuic_gather_f32, FormatF32)
CIUIC_GATHER(ciuic_gather_f16, FormatF16)
CIUIC_GATHER(ciuic_gather_bf16, FormatBF16)
CIUIC_GATHER(ciuic_gather_int8, FormatI8)
CIUIC_GATHER(ciuic_gather_int4g32, FormatI4<32>)
CIUIC_GATHER(ciuic_gather_int4g64, FormatI4<64>)
CIUIC_GATHER(ciuic_gather_int4g128, FormatI4<128>)

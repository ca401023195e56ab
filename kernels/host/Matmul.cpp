// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// C = A × B with packed weights of every format. A unit is 48 rows by 4 panels (64 columns); its
// sums stay in scratch, 12 KiB, until k is exhausted. k goes in blocks small enough for the panels
// of a tile to stay in the first-level cache. Compressed weights are decoded a block of k at a time
// into scratch (64 KiB), once per 48 rows; a single row takes its products straight from the stored
// form, at the rate of a plain read or of decoding in registers.
#include "kernels/host/Blocking.h"
#include "kernels/host/Epilogue.h"
#include "kernels/host/Formats.h"
#include "kernels/host/Microkernel.h"
#include "kernels/host/Rounded.h"

using namespace ciuic::kernels;

namespace {

constexpr int64_t kLd = kMatmulPanels * kPanel;

struct Exact {};

// Four panels at once where there are as many; which panels go together changes no bits.
template <typename Dot>
CIUIC_INLINE void dotPanels(int64_t panels, const Dot &dot) {
  int64_t p = 0;
  if (kWide) {
    for (; p + 4 <= panels; p += 4) {
      dot.template operator()<4>(p);
    }
  }
  for (; p + 2 <= panels; p += 2) {
    dot.template operator()<2>(p);
  }
  for (; p < panels; ++p) {
    dot.template operator()<1>(p);
  }
}

// `Row` is how a single row is multiplied: Exact, or rounded to bytes.
template <typename Format, typename Row>
CIUIC_INLINE void matmul(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,
                         const int64_t *dims, const int64_t *params, int64_t begin, int64_t end,
                         char *scratch) {
  const int64_t M = args[kMatmulM], N = args[kMatmulN], K = args[kMatmulK], lda = args[kMatmulLda];
  const float *A = reinterpret_cast<const float *>(ptrs[0]);
  const char *B = ptrs[1];
  const int64_t first = params[0], count = params[1] - params[0], bytes = Format::panelBytes(K);
  const int64_t rowBlocks = ceilDiv(M, kMatmulRows);
  float *acc = reinterpret_cast<float *>(scratch), *extra = acc + kMatmulRows * kLd;
  bool prepared = false; // one row: the same for all units
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t row = unit % rowBlocks * kMatmulRows, panel = unit / rowBlocks * kMatmulPanels;
    const int64_t rows = least(kMatmulRows, M - row), panels = least(kMatmulPanels, count - panel);
    const char *weights = B + panel * bytes;
    if constexpr (Format::kPlain) {
      // Few rows stream their weights: no block of k, or the streams restart at each.
      const int64_t depth = rows <= 3 ? most(K, 1) : kDepthBlock;
      for (int64_t k = 0; k == 0 || k < K; k += depth) {
        const float *b = reinterpret_cast<const float *>(weights) + k * kPanel;
        const int64_t here = least(depth, K - k);
        multiplyBlock<false, true>(
            rows, panels, {A + row * lda + k, lda, b, K * kPanel, kPanel, here}, acc, kLd, k == 0);
      }
    } else if (M == 1) {
      if constexpr (__is_same(Row, Exact)) {
        if (!prepared) {
          Format::prepare(A, K, extra);
        }
        dotPanels(panels, [&]<int NP>(int64_t p) {
          Format::template dot<NP>(extra, weights + p * bytes, bytes, K, acc + p * kPanel);
        });
      } else {
        Row rounded(extra, K);
        if (!prepared) {
          rounded.prepare(A, K);
        }
        dotPanels(panels, [&]<int NP>(int64_t p) {
          rounded.template dot<NP>(weights + p * bytes, bytes, K, acc + p * kPanel);
        });
      }
      prepared = true;
    } else {
      for (int64_t k = 0; k == 0 || k < K; k += kDepthBlock) {
        const int64_t here = least(kDepthBlock, K - k);
        for (int64_t p = 0; p < panels; ++p) {
          Format::decode(weights + p * bytes, K, k, here, extra + p * kDepthBlock * kPanel);
        }
        multiplyBlock<false, true>(
            rows, panels, {A + row * lda + k, lda, extra, kDepthBlock * kPanel, kPanel, here}, acc,
            kLd, k == 0);
      }
    }
    const int64_t col = (first + panel) * kPanel;
    finish({acc, kLd, row, rows, col, least(panels * kPanel, N - col)}, epilogue, ptrs, dims, 2,
           args[kMatmulLdc]);
  }
}

} // namespace

#define CIUIC_MATMUL(NAME, FORMAT, ROW)                                                            \
  extern "C" void NAME(const int64_t *args, ciuic_epilogue epilogue, char *const *ptrs,            \
                       const int64_t *dims, const int64_t *params, int64_t begin, int64_t end,     \
                       char *scratch) {                                                            \
    matmul<FORMAT, ROW>(args, epilogue, ptrs, dims, params, begin, end, scratch);                  \
  }
CIUIC_MATMUL(ciuic_matmul_f32, FormatF32, Exact)
CIUIC_MATMUL(ciuic_matmul_f16, FormatF16, Exact)
CIUIC_MATMUL(ciuic_matmul_bf16, FormatBF16, Exact)
CIUIC_MATMUL(ciuic_matmul_int8, FormatI8, Exact)
CIUIC_MATMUL(ciuic_matmul_int4g32, FormatI4<32>, Exact)
CIUIC_MATMUL(ciuic_matmul_int4g64, FormatI4<64>, Exact)
CIUIC_MATMUL(ciuic_matmul_int4g128, FormatI4<128>, Exact)
CIUIC_MATMUL(ciuic_matmul_int4g32_rounded, FormatI4<32>, RoundedRow<32>)
CIUIC_MATMUL(ciuic_matmul_int4g64_rounded, FormatI4<64>, RoundedRow<64>)
CIUIC_MATMUL(ciuic_matmul_int4g128_rounded, FormatI4<128>, RoundedRow<128>)

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The product of a tile of rows and a tile of columns, over a depth that arrives in steps through
// three buffers in shared memory. Where the operands come from is the loaders' affair: a matrix of
// any strides (StridedTile), or the windows of an image (Conv.cu). Four warps, two by two. 16-bit
// operands go to the matrix units, f32 ones are multiplied in f32; sums are f32, in the order of
// the depth.
//
// A loader has `Deep`: whether its tile is [rows][depth] (else [depth][rows], 16-bit only), and
// `load(to, step)`, which starts the copies of a step's part to shared memory; zeros stand where
// the operand ends.
#pragma once
#include "kernels/cuda/Abi.h"
#include "kernels/cuda/ProductShape.h"
#include "kernels/cuda/Tile.h"
#include "kernels/cuda/Warpgroup.h"

namespace ciuic::cuda {

using namespace kernels;

/// Elements of a chunk, and the depth of a step.
template <typename T>
inline constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
template <typename T>
inline constexpr int kStep = kProductChunks * kChunk<T>;

/// Rows between those of which a thread copies chunks.
inline constexpr int kRowStep = kProductThreads / kProductChunks;

using DeepLayout = ChunkLayout<kProductChunks>;
static_assert(DeepLayout::rowBytes == kProductRowBytes);

CIUIC_DEVICE uint32_t productBase() { return (sharedAddress(ciuic_shared) + 1023) / 1024 * 1024; }

/// A chunk from any address, zeros behind `count` elements.
template <typename T>
CIUIC_DEVICE Words gatherElements(const T *from, int64_t stride, int count) {
  if constexpr (sizeof(T) == 2) {
    return gatherChunk(from, stride, count);
  } else {
    float e[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      e[i] = i < count ? from[i * stride] : 0.0f;
    }
    return {static_cast<uint32_t>(toBits(e[0])), static_cast<uint32_t>(toBits(e[1])),
            static_cast<uint32_t>(toBits(e[2])), static_cast<uint32_t>(toBits(e[3]))};
  }
}

/// `rows` rows and `depth` columns of a matrix from `base` on.
template <typename T, int Rows, bool IsDeep>
struct StridedTile {
  static constexpr bool Deep = IsDeep;
  const T *base;
  int64_t rowStride, depthStride;
  int rows, depth;
  bool vectors; ///< 16-byte chunks along the inner dim at 16-byte addresses.

  CIUIC_DEVICE void load(uint32_t to, int step) const {
    const int k0 = step * kStep<T>;
    if constexpr (Deep) {
      if (vectors) {
#pragma unroll
        for (int i = 0; i < Rows * kProductChunks / kProductThreads; ++i) {
          const int at = i * kProductThreads + threadIndex();
          const int row = at / kProductChunks, c = at % kProductChunks, k = k0 + c * kChunk<T>;
          const int left = row < rows ? most(0, least(kChunk<T>, depth - k)) : 0;
          copyChunk(to + DeepLayout::at(row, c), base + (left > 0 ? row * rowStride + k : 0),
                    left * static_cast<int>(sizeof(T)));
        }
        return;
      }
#pragma unroll 1
      for (int at = threadIndex(); at < Rows * kProductChunks; at += kProductThreads) {
        const int row = at % Rows, c = at / Rows, k = k0 + c * kChunk<T>;
        const int left = row < rows ? most(0, least(kChunk<T>, depth - k)) : 0;
        storeShared(to + DeepLayout::at(row, c),
                    gatherElements(base + (left > 0 ? row * rowStride + k * depthStride : 0),
                                   depthStride, left));
      }
    } else {
      using Layout = ChunkLayout<Rows / 8>;
#pragma unroll
      for (int i = 0; i < kStep<T> * Rows / 8 / kProductThreads; ++i) {
        const int at = i * kProductThreads + threadIndex();
        const int k = at / (Rows / 8), c = at % (Rows / 8);
        const int left = k0 + k < depth ? most(0, least(8, rows - c * 8)) : 0;
        copyChunk(to + Layout::at(k, c),
                  base + (left > 0 ? static_cast<int64_t>(k0 + k) * depthStride + c * 8 : 0),
                  left * 2);
      }
    }
  }
};

/// Runs `load` a few steps ahead of `use(buffer)`; `settle` ends what reads the buffers.
template <int Tile, typename A, typename B, typename Use, typename Settle>
CIUIC_DEVICE void passOver(const A &a, const B &b, int steps, Use use, Settle settle) {
  constexpr int kOperand = Tile * kProductRowBytes;
  const uint32_t shared = productBase();
#pragma unroll
  for (int s = 0; s < kProductStages - 1; ++s) {
    if (s < steps) {
      a.load(shared + s * 2 * kOperand, s);
      b.load(shared + s * 2 * kOperand + kOperand, s);
    }
    commitCopies();
  }
  int slot = 0, next = kProductStages - 1;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    awaitCopies<kProductStages - 2>();
    settle();
    barrier();
    if (step + kProductStages - 1 < steps) {
      a.load(shared + next * 2 * kOperand, step + kProductStages - 1);
      b.load(shared + next * 2 * kOperand + kOperand, step + kProductStages - 1);
    }
    commitCopies();
    use(shared + slot * 2 * kOperand);
    slot = slot + 1 == kProductStages ? 0 : slot + 1;
    next = next + 1 == kProductStages ? 0 : next + 1;
  }
  awaitCopies<0>();
  settle();
  barrier();
}

/// Where a tile's results belong: `rowOf(r)` is the epilogue's row or −1, columns [low, high) of
/// the tile exist and the first is `column`.
template <typename RowOf>
struct Destination {
  RowOf rowOf;
  int low, high;
  int64_t column;
  char *const *ptrs;
  const int64_t *dims;
};

/// A warp's sixteen rows of `Columns` sums through shared memory, so that neighbours in a warp
/// write neighbouring columns.
template <int Columns, int N, typename To>
CIUIC_DEVICE void handOver(const float (&sum)[N][4], int row0, int column0, const To &to) {
  constexpr int kLd = Columns + 8;
  static_assert(4 * 16 * kLd * 4 <= kProductStages * 2 * kProductSmall * kProductRowBytes);
  const int lane = laneIndex();
  float *mine = reinterpret_cast<float *>(ciuic_shared) + warpIndex() * 16 * kLd;
  const uint32_t at = sharedAddress(mine + lane / 4 * kLd + lane % 4 * 2);
#pragma unroll
  for (int n = 0; n < N; ++n) {
    storeShared(at + n * 32, sum[n][0], sum[n][1]);
    storeShared(at + 8 * kLd * 4 + n * 32, sum[n][2], sum[n][3]);
  }
  warpBarrier();
  // Eight lanes a row: what is made of a row alone is done for four rows at a time.
#pragma unroll 1
  for (int i = lane / 8; i < 16; i += 4) {
    const int64_t row = to.rowOf(row0 + i);
#pragma unroll
    for (int c = 0; c < Columns; c += 8) {
      const int column = column0 + c + lane % 8;
      if (row >= 0 && column >= to.low && column < to.high) {
        ciuic_epilogue(mine[i * kLd + c + lane % 8], row, to.column + column, to.ptrs, to.dims);
      }
    }
  }
  warpBarrier();
}

template <typename T, int Tile>
struct TileProduct {
  static constexpr int kWarpSide = Tile / 2, M = kWarpSide / 16, N = kWarpSide / 8;
  static constexpr int kOperand = Tile * kProductRowBytes;

  template <typename A, typename B, typename To>
  static CIUIC_DEVICE void run(const A &a, const B &b, int steps, const To &to) {
#if CIUIC_HAS_WARPGROUPS
    if constexpr (A::Deep && B::Deep) {
      return runTogether(a, b, steps, to);
    }
#endif
    float sum[M][N][4] = {};
    const int lane = laneIndex(), matrix = lane / 8, r = lane % 8;
    const int row0 = warpIndex() / 2 * kWarpSide, column0 = warpIndex() % 2 * kWarpSide;
    passOver<Tile>(
        a, b, steps,
        [&](uint32_t atA) CIUIC_INLINED {
          const uint32_t atB = atA + kOperand;
#pragma unroll
          for (int s = 0; s < kStep<T> / 16; ++s) {
            uint32_t fa[M][4];
#pragma unroll
            for (int m = 0; m < M; ++m) {
              if constexpr (A::Deep) {
                loadMatrices(fa[m], atA + DeepLayout::at(row0 + m * 16 + (matrix & 1) * 8 + r,
                                                         2 * s + (matrix >> 1)));
              } else {
                loadMatricesTransposed(
                    fa[m], atA + ChunkLayout<Tile / 8>::at(s * 16 + (matrix >> 1) * 8 + r,
                                                           row0 / 8 + m * 2 + (matrix & 1)));
              }
            }
#pragma unroll
            for (int n = 0; n < N; n += 2) {
              uint32_t fb[4];
              if constexpr (B::Deep) {
                loadMatrices(fb, atB + DeepLayout::at(column0 + n * 8 + (matrix >> 1) * 8 + r,
                                                      2 * s + (matrix & 1)));
              } else {
                loadMatricesTransposed(
                    fb, atB + ChunkLayout<Tile / 8>::at(s * 16 + (matrix & 1) * 8 + r,
                                                        column0 / 8 + n + (matrix >> 1)));
              }
#pragma unroll
              for (int m = 0; m < M; ++m) {
                multiply(sum[m][n], fa[m], fb[0], fb[1], T());
                multiply(sum[m][n + 1], fa[m], fb[2], fb[3], T());
              }
            }
          }
        },
        []() CIUIC_INLINED {});
#pragma unroll
    for (int m = 0; m < M; ++m) {
      handOver<kWarpSide>(sum[m], row0 + m * 16, column0, to);
    }
    barrier();
  }

#if CIUIC_HAS_WARPGROUPS
  /// Both tiles deep: the matrix units read them where they lie, parts of 64 rows.
  template <typename A, typename B, typename To>
  static CIUIC_DEVICE void runTogether(const A &a, const B &b, int steps, const To &to) {
    constexpr int kParts = Tile / 64;
    float sum[kParts][Tile / 8][4] = {};
    passOver<Tile>(
        a, b, steps,
        [&](uint32_t at) CIUIC_INLINED {
          beginProducts();
#pragma unroll
          for (int s = 0; s < kStep<T> / 16; ++s) {
#pragma unroll
            for (int m = 0; m < kParts; ++m) {
              multiplyLines(sum[m], describeLines(at + m * 64 * kProductRowBytes + s * 32, 0),
                            describeLines(at + kOperand + s * 32, 0), 1, T());
            }
          }
          commitProducts();
        },
        [&]() CIUIC_INLINED {
          awaitProducts<0>();
#pragma unroll
          for (int m = 0; m < kParts; ++m) {
            arrived(sum[m]);
          }
          publishShared();
        });
#pragma unroll
    for (int m = 0; m < kParts; ++m) {
      handOver<Tile>(sum[m], m * 64 + warpIndex() * 16, 0, to);
    }
    barrier();
  }
#endif
};

/// f32: a thread has every eighth row and every sixteenth column.
template <int Tile>
struct TileProduct<float, Tile> {
  static constexpr int R = Tile / 8, C = Tile / 16, kOperand = Tile * kProductRowBytes;

  template <typename A, typename B, typename To>
  static CIUIC_DEVICE void run(const A &a, const B &b, int steps, const To &to) {
    float sum[R][C] = {};
    const int x = threadIndex() % 16, y = threadIndex() / 16;
    const char *base = ciuic_shared + (productBase() - sharedAddress(ciuic_shared));
    passOver<Tile>(
        a, b, steps,
        [&](uint32_t at) CIUIC_INLINED {
          const char *atA = base + (at - productBase()), *atB = atA + kOperand;
#pragma unroll
          for (int k = 0; k < kProductChunks; ++k) {
            struct alignas(16) Four {
              float at[4];
            } fb[C];
#pragma unroll
            for (int j = 0; j < C; ++j) {
              fb[j] = *reinterpret_cast<const Four *>(atB + DeepLayout::at(x + 16 * j, k));
            }
#pragma unroll
            for (int i = 0; i < R; ++i) {
              const Four fa = *reinterpret_cast<const Four *>(atA + DeepLayout::at(y + 8 * i, k));
#pragma unroll
              for (int e = 0; e < 4; ++e) {
#pragma unroll
                for (int j = 0; j < C; ++j) {
                  sum[i][j] = fusedMultiplyAdd(fa.at[e], fb[j].at[e], sum[i][j]);
                }
              }
            }
          }
        },
        []() CIUIC_INLINED {});
#pragma unroll
    for (int i = 0; i < R; ++i) {
      const int64_t row = to.rowOf(y + 8 * i);
#pragma unroll
      for (int j = 0; j < C; ++j) {
        const int column = x + 16 * j;
        if (row >= 0 && column >= to.low && column < to.high) {
          ciuic_epilogue(sum[i][j], row, to.column + column, to.ptrs, to.dims);
        }
      }
    }
  }
};

} // namespace ciuic::cuda

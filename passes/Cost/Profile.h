// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A device profile: measured constants of a machine, read from JSON, and the time they predict for
// one piece of work. Plans are solved against a profile and carry its hash; nothing is measured at
// compile time. docs/solver-model.md says what each constant means and how it was measured.
#pragma once

#include "passes/Solver/Offload.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ciuic::cost {

/// What limits a kernel besides memory.
enum class WorkClass : uint8_t { Matmul, Convolution, Attention, GroupNorm, Elementwise, Move };

/// How the weights of a matmul are stored; I4Rounded: a single row is rounded to int8 first.
enum class WeightFormat : uint8_t { F32, F16, BF16, I8, I4, I4Rounded };
inline constexpr size_t kWeightFormats = 6;

struct MatmulRate {
  int64_t rows = 1; // from this many rows (M) on
  double gigaflops = 0;
  bool operator==(const MatmulRate &) const = default;
};

/// Where a profile has no measured rate of the disk: what a single NVMe drive gives at the least.
inline constexpr double kAssumedDisk = 1.5;

/// The fastest of a vendor's algorithms for a product [rows, depth] × [depth, columns] by a weight,
/// where it is not the library's first.
struct AlgorithmChoice {
  WeightFormat format = WeightFormat::F16; // F32, F16 or BF16
  int64_t epilogue = 0;                    // kernels/VendorCalls.h
  int64_t rows = 0, columns = 0, depth = 0;
  int64_t choice = 0; // its place among the library's heuristics, from 0
  bool operator==(const AlgorithmChoice &) const = default;
};

/// Microseconds that a launch of a class takes beside its work, where that is not the launch alone:
/// filling and draining its pipelines, sums that blocks send each other.
struct LeastTimes {
  double matmul = 0; // of more than 16 rows
  double convolution = 0, attention = 0, groupNorm = 0;
  bool operator==(const LeastTimes &) const = default;
};

struct Profile {
  std::string name;
  std::string device;                  // "host", "cuda"
  bool measured = true;                // false: figures of a data sheet
  std::string architecture;            // cuda: what kernels are compiled for, "sm_90"
  std::vector<std::string> cards;      // cuda: parts of the names by which drivers call the card
  int64_t reserveBytes = 0;            // context, code and the library of products
  int64_t reserveConvolutionBytes = 0; // the library of convolutions, where a program calls it
  double reservePinnedShare = 0;       // of the host memory that the device addresses
  solver::Link toDevice, toHost;
  double launchMicroseconds = 0;
  double diskGigabytes = kAssumedDisk; // per second, several reads at once, past the page cache
  double memoryGigabytes = 0;          // per second, read and written bytes alike
  std::array<std::vector<MatmulRate>, kWeightFormats> matmul;
  double convolutionGigaflops = 0, attentionGigaflops = 0, elementwiseGigaflops = 0;
  double convolutionF32Gigaflops = 0;      // of f32 filters; the other is that of narrower ones
  std::vector<AlgorithmChoice> algorithms; // cuda
  std::optional<LeastTimes> least;         // none: launchMicroseconds for all
  double groupNormGigabytes = 0;           // as memoryGigabytes, of group norms; 0: the same
  double moveGigabytes = 0;                // and of concatenations and other moves; 0: the same
  /// How operations and bytes of a launch add up: ((operations)^blend + (bytes)^blend)^(1 / blend)
  /// of their microseconds. 0: the longer alone counts.
  double blend = 0;
  double hideCompute = 1, hideMemory = 0; // rates at which kernels advance beside a copy
  bool operator==(const Profile &) const = default;
};

/// One kernel launch at the bounds of its entry.
struct Work {
  WorkClass kind = WorkClass::Elementwise;
  double flops = 0; // multiply-add counts two
  double bytes = 0; // read and written, weights as stored
  int64_t rows = 1; // Matmul: M
  WeightFormat format = WeightFormat::F32;
};

struct Prediction {
  double microseconds = 0;
  double hide = 1;
};

/// The class's least time + flops / rate and bytes / memory rate, blended. A kernel bound by memory
/// hides copies at the memory rate.
Prediction predict(const Profile &profile, const Work &work);

/// What the device's own software takes beside the arena of a program that may pin so much host
/// memory.
int64_t reserveOf(const Profile &profile, bool convolutions, int64_t pinnedBytes);

/// Reads a profile; the string says which field is wrong. Unknown fields are errors: a misspelt
/// constant must not pass.
std::variant<Profile, std::string> parseProfile(std::string_view text);

/// Canonical text: fields in a fixed order, numbers as short as they round-trip.
std::string printProfile(const Profile &profile);

/// XXH3-64 of the canonical text.
uint64_t profileHash(const Profile &profile);

/// The JSON of a profile that the project brings; nothing if there is none of that name.
std::optional<std::string_view> builtinProfile(std::string_view name);
std::vector<std::string_view> builtinProfileNames();

/// The built-in profile of the card that its driver calls `card`; nothing if none is.
std::optional<std::string> profileOfCard(std::string_view card);

} // namespace ciuic::cost

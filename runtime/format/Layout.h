// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The fixed part of a program file: one 4096-byte header with the section table in it.
// All integers are little-endian; the header hash covers the whole page with its own field zero.
#pragma once

#include <cstdint>

namespace ciuic::format {

inline constexpr unsigned char kMagic[8] = {0x89, 'C', 'I', 'U', '\r', '\n', 0x1a, '\n'};
inline constexpr uint32_t kMajor = 2;
inline constexpr uint32_t kMinor = 0;
inline constexpr uint32_t kEndian = 0x01020304;
inline constexpr int64_t kHeaderBytes = 4096;
/// Host offsets from here on name weights that are on the disk: no host tier is that large.
inline constexpr int64_t kDiskOffsets = int64_t{1} << 46;
inline constexpr int64_t kPageBytes = 64 * 1024;
inline constexpr int64_t kWeightAlignment = 2 * 1024 * 1024;
inline constexpr int64_t kBlobAlignment = 4096;
inline constexpr int64_t kTableAlignment = 64;
inline constexpr int64_t kMetadataLimit = 1ll << 30;
inline constexpr uint32_t kMaxSections = 64;

enum class SectionKind : uint32_t { Weights = 1, Kernels = 2, PageHashes = 3, Metadata = 4 };

struct SectionEntry {
  uint32_t kind;
  uint32_t alignment;
  int64_t offset;
  int64_t bytes;
  uint64_t hash; // Weights: hash of nothing (0); the page table stands for it
};
static_assert(sizeof(SectionEntry) == 32);

struct FileHeader {
  unsigned char magic[8];
  uint32_t major, minor;
  uint32_t endian;
  uint32_t sectionCount;
  int64_t fileBytes;
  uint64_t headerHash;
  uint64_t reserved[3];
  SectionEntry sections[kMaxSections];
  unsigned char zero[kHeaderBytes - 64 - kMaxSections * 32];
};
static_assert(sizeof(FileHeader) == kHeaderBytes);

} // namespace ciuic::format

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes a program file: weights stream through a buffer of one page, kernel blobs and metadata are
// kept until finish(), which makes the file appear under its name in one step. The same calls give
// the same bytes. Until finish() succeeds nothing stands under the name, and what stood there
// stays.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ciuic::format {

struct ProgramT;

class ProgramWriter {
public:
  /// Opens a temporary file beside `path`.
  static Expected<std::unique_ptr<ProgramWriter>> create(const std::string &path);
  /// Removes the temporary file unless finish() succeeded.
  ~ProgramWriter();
  ProgramWriter(const ProgramWriter &) = delete;
  ProgramWriter &operator=(const ProgramWriter &) = delete;

  /// Adds a kernel library for a CPU or GPU variant ("x86-64-v3", "x86-64-v4"); the result is its
  /// index in ProgramT::blobs. Identical bytes for another variant are stored again: blobs are few.
  uint32_t addKernelBlob(std::string_view bytes, std::string_view variant);

  /// Starts the next weight: pads the section with zeros to 64 bytes and gives the offset in the
  /// section that belongs into WeightT::file_offset.
  Expected<int64_t> beginWeight();
  /// Appends bytes of the weight begun last. Any split of the bytes gives the same file.
  Status appendWeight(const void *data, size_t bytes);
  /// Bytes of the weight section so far.
  int64_t weightBytes() const { return weightCursor; }

  /// Writes blobs, page hashes, metadata and header, syncs and renames. `program.blobs` is filled
  /// in here. The metadata is validated first, with the loader's own rules: a plan that the loader
  /// would refuse is never written.
  Status finish(ProgramT &program);

private:
  ProgramWriter() = default;
  Status write(const void *data, size_t bytes);
  Status padTo(int64_t offset);
  Status flushPage();

  struct PendingBlob {
    std::string variant, bytes;
  };
  std::string path, temporary;
  int fd = -1;
  bool done = false;
  int64_t cursor = 0;       // of the file
  int64_t weightCursor = 0; // of the weight section
  std::vector<char> page;
  std::vector<uint64_t> pageHashes;
  std::vector<PendingBlob> blobs;
};

} // namespace ciuic::format

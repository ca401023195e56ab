// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where the bytes of a program come from: a file descriptor or memory. Files are read with pread,
// never mapped: a file that another process cuts short is an error here, not a signal.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <memory>
#include <string>

namespace ciuic {

class ByteSource {
public:
  virtual ~ByteSource() = default;
  int64_t size() const { return bytes; }
  const std::string &name() const { return label; }
  /// Reads exactly `count` bytes. Thread-safe.
  virtual Status read(int64_t offset, void *out, int64_t count) const = 0;
  /// Of the file; -1: there is none.
  virtual int descriptor() const { return -1; }

  /// Opens a regular file.
  static Expected<std::unique_ptr<ByteSource>> open(const std::string &path);
  /// Duplicates the descriptor; the caller keeps his.
  static Expected<std::unique_ptr<ByteSource>> fromFd(int fd, const std::string &name);
  /// Lends `data`, which must outlive the source.
  static std::unique_ptr<ByteSource> fromMemory(const void *data, int64_t bytes);

protected:
  ByteSource(int64_t size, std::string name) : bytes(size), label(std::move(name)) {}

private:
  int64_t bytes;
  std::string label;
};

/// A read at `offset` that failed with `error`, or, with none, came to the file's end.
Status readFailure(const ByteSource &source, int64_t offset, int error);

} // namespace ciuic

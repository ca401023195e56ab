// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An open program file. Opening checks everything but the weights (rules F1 to F9, M1, P*, E*);
// weights are checked page by page as they are read (F10). Immutable once open, so thread-safe.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/Layout.h"
#include "runtime/io/ReadAhead.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ciuic::format {

struct ProgramT;

class ProgramFile {
public:
  static Expected<std::unique_ptr<ProgramFile>> open(std::unique_ptr<ByteSource> source);
  ~ProgramFile();

  const ProgramT &program() const { return *metadata; }
  const std::string &name() const { return source->name(); }
  /// A kernel library, by its index in ProgramT::blobs.
  const std::vector<char> &blob(size_t index) const { return blobs[index]; }
  int64_t weightSectionBytes() const { return weights.bytes; }
  /// Reads a range of the weight section; every page it touches is hashed first.
  Status readWeights(int64_t offset, int64_t bytes, char *out) const;
  /// Reads of the weight section ahead of who takes them, each checked page by page, so that what
  /// changed in the file since it was opened is told.
  Expected<std::unique_ptr<ReadAhead>> readAhead(const ReadAheadOptions &options) const;
  /// Adds the requests for a range of the weight section.
  void appendWeights(ReadAhead::List &list, int64_t offset, int64_t bytes) const;

private:
  explicit ProgramFile(std::unique_ptr<ByteSource> s);
  Status checkHeader();
  Status checkSections();
  Status checkZero(int64_t begin, int64_t end);
  Status readSection(const SectionEntry &section, std::vector<char> &out, const char *what);
  Status readMetadata();
  Status checkPage(int64_t page, const char *data, int64_t bytes) const;

  std::unique_ptr<ByteSource> source;
  FileHeader header;
  std::vector<SectionEntry> sections;
  SectionEntry weights = {};
  std::vector<uint64_t> pageHashes;
  std::vector<std::vector<char>> blobs;
  std::unique_ptr<ProgramT> metadata;
};

} // namespace ciuic::format

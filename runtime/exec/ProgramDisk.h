// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The disk tier of a session: weights that stay in the program file and are read each time a pass
// copies them. Which those are is the plan's choice; their host offsets are names. Reads run ahead
// of the copies, over the end of a pass into the next one's beginning.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/format/ProgramFile.h"

#include <deque>

namespace ciuic {

class ProgramDisk final : public device::DiskTier {
public:
  /// `file` must outlive it.
  static Expected<std::unique_ptr<ProgramDisk>> create(const format::ProgramFile &file,
                                                       const ReadAheadOptions &options);

  uint32_t addList(std::span<const device::ArenaRange> hostRanges) override;
  void begin(uint32_t list) override;
  Status take(int64_t hostOffset, int64_t bytes, void *user,
              void (*sink)(void *user, int64_t at, const char *data, int64_t bytes)) override;
  Status status() const override;

  const std::string &mode() const { return reader->mode(); }

private:
  struct Place {
    int64_t hostOffset, fileOffset, bytes;
  };
  struct List {
    std::vector<device::ArenaRange> ranges;
    ReadAhead::List requests;
  };
  explicit ProgramDisk(const format::ProgramFile &program) : file(program) {}

  const format::ProgramFile &file;
  std::vector<Place> places; // by host offset
  std::deque<List> lists;
  std::unique_ptr<ReadAhead> reader;
  const List *current = nullptr;
  size_t range = 0;            // of the list, that is taken from
  int64_t taken = 0;           // of that range
  std::span<const char> piece; // lent by the reader, what is left of it
  bool lent = false;
  Status failed;
};

} // namespace ciuic

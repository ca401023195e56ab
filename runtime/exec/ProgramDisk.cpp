// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See ProgramDisk.h.
#include "runtime/exec/ProgramDisk.h"

#include "runtime/format/program_generated.h"

#include <algorithm>

namespace ciuic {

Expected<std::unique_ptr<ProgramDisk>> ProgramDisk::create(const format::ProgramFile &file,
                                                           const ReadAheadOptions &options) {
  std::unique_ptr<ProgramDisk> disk(new ProgramDisk(file));
  for (const auto &w : file.program().weights) {
    if (w->on_disk) {
      disk->places.push_back({w->host_offset, w->file_offset, w->bytes});
    }
  }
  std::sort(disk->places.begin(), disk->places.end(),
            [](const Place &a, const Place &b) { return a.hostOffset < b.hostOffset; });
  auto reader = file.readAhead(options);
  CIUIC_TRY(reader.takeStatus());
  disk->reader = std::move(reader.value());
  return disk;
}

uint32_t ProgramDisk::addList(std::span<const device::ArenaRange> hostRanges) {
  List &list = lists.emplace_back();
  list.ranges.assign(hostRanges.begin(), hostRanges.end());
  // What follows on itself in the file is read in one run, so that no page is read twice.
  int64_t begin = 0, bytes = 0;
  auto flush = [&] {
    file.appendWeights(list.requests, begin, bytes);
    bytes = 0;
  };
  for (const device::ArenaRange &r : hostRanges) {
    // Weights of one copy lie side by side, with no more between them than alignment takes: what
    // lies there is read from wherever the weight before it ends.
    auto place =
        std::upper_bound(places.begin(), places.end(), r.offset,
                         [](int64_t offset, const Place &p) { return offset < p.hostOffset; });
    for (int64_t at = r.offset, end = r.offset + r.bytes; at < end && place != places.begin();) {
      const Place &p = *(place - 1);
      int64_t next = place == places.end() ? end : std::min(end, place->hostOffset);
      int64_t offset = p.fileOffset + (at - p.hostOffset);
      if (offset != begin + bytes) {
        flush();
        begin = offset;
      }
      bytes += next - at;
      at = next;
      ++place;
    }
  }
  flush();
  return static_cast<uint32_t>(lists.size() - 1);
}

void ProgramDisk::begin(uint32_t list) {
  if (lent) {
    reader->release();
    lent = false;
  }
  current = &lists[list];
  range = 0;
  taken = 0;
  failed = Status();
  reader->begin(current->requests, true);
}

Status ProgramDisk::status() const {
  return failed.isOk() ? Status() : Status(failed.cls(), failed.code(), failed.message());
}

Status ProgramDisk::take(int64_t hostOffset, int64_t bytes, void *user,
                         void (*sink)(void *user, int64_t at, const char *data, int64_t bytes)) {
  for (int64_t at = 0; failed.isOk() && at < bytes;) {
    if (!current || range == current->ranges.size() ||
        hostOffset + at != current->ranges[range].offset + taken) {
      failed =
          failure(StatusClass::Internal, "io.range", "bytes of the disk are taken out of order");
      break;
    }
    if (!lent) {
      if (Status s = reader->next(&piece); !s.isOk()) {
        failed = std::move(s);
        break;
      }
      lent = true;
    }
    // One copy may be several ranges, and one piece of the file as well.
    int64_t take = std::min(
        {bytes - at, static_cast<int64_t>(piece.size()), current->ranges[range].bytes - taken});
    sink(user, at, piece.data(), take);
    piece = piece.subspan(static_cast<size_t>(take));
    at += take;
    taken += take;
    if (piece.empty()) {
      reader->release();
      lent = false;
    }
    if (taken == current->ranges[range].bytes) {
      ++range;
      taken = 0;
    }
  }
  return status();
}

} // namespace ciuic

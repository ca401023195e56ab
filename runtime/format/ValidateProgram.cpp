// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rules P1 to P7: the tables of a program, and what stands in the arena and the host tier for good.
#include "runtime/format/Validate.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Rules.h"
#include "runtime/format/VendorCalls.h"
#include "runtime/format/program_generated.h"

#include <algorithm>
#include <set>

namespace ciuic::format {

int64_t elementBytes(uint8_t dtype) {
  switch (static_cast<DType>(dtype)) {
  case DType::F64:
  case DType::I64:
  case DType::U64:
    return 8;
  case DType::F32:
  case DType::I32:
  case DType::U32:
    return 4;
  case DType::F16:
  case DType::BF16:
  case DType::I16:
  case DType::U16:
    return 2;
  case DType::I8:
  case DType::U8:
  case DType::Bool:
    return 1;
  case DType::Unknown:
    break;
  }
  return 0;
}

bool isName(const std::string &text) {
  return !text.empty() && text.size() <= 4096 && text.find('\0') == std::string::npos;
}

namespace {

struct Range {
  int64_t offset, bytes;
  const std::string *name;
};

/// Sorts and finds two ranges that share a byte.
Status checkDisjoint(std::vector<Range> &ranges, const char *rule, const char *where) {
  std::erase_if(ranges, [](const Range &r) { return r.bytes == 0; });
  std::sort(ranges.begin(), ranges.end(),
            [](const Range &a, const Range &b) { return a.offset < b.offset; });
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i - 1].offset + ranges[i - 1].bytes > ranges[i].offset) {
      return broken(rule, "'%s' and '%s' overlap in the %s at %lld", ranges[i - 1].name->c_str(),
                    ranges[i].name->c_str(), where, static_cast<long long>(ranges[i].offset));
    }
  }
  return Status::ok();
}

Status checkHead(const ProgramT &p) {
  if (!isPowerOfTwo(p.granule) || p.granule < 4096 || p.granule > (2 << 20)) {
    return broken("P1", "granule %lld is not a power of two from 4096 to 2 MiB",
                  static_cast<long long>(p.granule));
  }
  auto need = checkedAdd(p.arena_bytes, p.reserve_bytes);
  if (p.arena_bytes < 0 || p.reserve_bytes < 0 || p.host_bytes < 0 || p.host_bytes > kDiskOffsets ||
      p.disk_bytes < 0 || p.disk_bytes > kDiskOffsets || !need || p.budget_bytes < *need) {
    return broken("P1", "budget %lld does not hold arena %lld and reserve %lld",
                  static_cast<long long>(p.budget_bytes), static_cast<long long>(p.arena_bytes),
                  static_cast<long long>(p.reserve_bytes));
  }
  for (const std::string *name :
       {&p.device_kind, &p.target, &p.producer, &p.profile_name, &p.quality}) {
    if (!isName(*name)) {
      return broken("P1", "a name in the head is empty, too long or holds a NUL");
    }
  }
  if (p.entries.empty()) {
    return broken("P1", "the program has no entry");
  }
  return Status::ok();
}

bool hasNoBlocks(const KernelT &k) {
  return k.block_threads == 0 && k.shared_bytes == 0 && k.max_grid == 0 && !k.overlaps &&
         k.least_shared == 0 && k.together == 0;
}

bool hasGoodSizes(const ProgramT &p, const KernelT &k) {
  constexpr uint32_t kMostThreads = 1024, kMostShared = 227 << 10, kMostBlocks = INT32_MAX;
  if (p.device_kind != "cuda") {
    return !k.blobs.empty() && k.scratch_bytes >= 0 && k.scratch_bytes <= (1 << 30) &&
           hasNoBlocks(k);
  }
  if (k.blobs.empty()) {
    return isVendorCall(k.symbol) && k.scratch_bytes == 0 && hasNoBlocks(k);
  }
  return k.scratch_bytes == 0 && k.block_threads >= 1 && k.block_threads <= kMostThreads &&
         k.shared_bytes <= kMostShared && k.least_shared <= k.shared_bytes && k.max_grid >= 1 &&
         k.max_grid <= kMostBlocks && k.together <= k.max_grid && !(k.together > 0 && k.overlaps);
}

Status checkBlobs(const ProgramT &p, const FileFacts &file) {
  std::set<uint32_t> used;
  for (const auto &blob : p.blobs) {
    if (!isName(blob->variant) || blob->section >= file.sections.size() ||
        file.sections[blob->section].kind != static_cast<uint32_t>(SectionKind::Kernels) ||
        file.sections[blob->section].bytes != blob->bytes || !used.insert(blob->section).second) {
      return broken("P2", "kernel library '%s' does not match its section %u",
                    blob->variant.c_str(), blob->section);
    }
  }
  size_t sections = std::count_if(file.sections.begin(), file.sections.end(), [](const auto &s) {
    return s.kind == static_cast<uint32_t>(SectionKind::Kernels);
  });
  if (sections != p.blobs.size()) {
    return broken("P2", "%zu kernel sections, %zu described", sections, p.blobs.size());
  }
  for (const auto &kernel : p.kernels) {
    std::set<std::string> variants;
    bool good = isName(kernel->name) && isName(kernel->symbol) && hasGoodSizes(p, *kernel) &&
                kernel->arg_count <= 256;
    for (uint32_t blob : kernel->blobs) {
      good = good && blob < p.blobs.size() && variants.insert(p.blobs[blob]->variant).second;
    }
    if (!good) {
      return broken("P3", "kernel '%s' names no library, a wrong one, or sizes of no launch",
                    kernel->name.c_str());
    }
  }
  return Status::ok();
}

Status checkWeights(const ProgramT &p, const FileFacts &file) {
  std::vector<const WeightT *> order;
  for (const auto &w : p.weights) {
    order.push_back(w.get());
    bool good = isName(w->name) && isName(w->format) && isName(w->layout) &&
                elementBytes(static_cast<uint8_t>(w->dtype)) > 0 && w->mode <= WeightMode::MAX &&
                w->bytes > 0 && w->file_offset % 64 == 0 &&
                rangeInside(w->file_offset, w->bytes, file.weightSectionBytes) &&
                w->tile_bytes > 0 && w->tile_bytes <= w->bytes;
    for (int64_t d : w->dims) {
      good = good && d >= 0;
    }
    if (w->mode == WeightMode::Resident) {
      good = good && !w->on_disk && w->host_offset == -1 && w->arena_offset % 64 == 0 &&
             rangeInside(w->arena_offset, w->bytes, p.arena_bytes);
    } else {
      good = good && w->arena_offset == -1 && w->host_offset % 64 == 0 &&
             (w->on_disk ? w->host_offset >= kDiskOffsets &&
                               rangeInside(w->host_offset - kDiskOffsets, w->bytes, p.disk_bytes)
                         : rangeInside(w->host_offset, w->bytes, p.host_bytes));
    }
    int64_t previous = 0;
    for (const ResidentRange &r : w->resident) {
      good = good && w->mode != WeightMode::Resident && r.begin() >= previous && r.bytes() > 0 &&
             r.arena_offset() % 64 == 0 && rangeInside(r.begin(), r.bytes(), w->bytes) &&
             rangeInside(r.arena_offset(), r.bytes(), p.arena_bytes);
      previous = good ? r.begin() + r.bytes() : previous;
    }
    if (!good) {
      return broken("P4", "weight '%s': a range is outside its section or tier, or unaligned",
                    w->name.c_str());
    }
  }
  std::sort(order.begin(), order.end(),
            [](const WeightT *a, const WeightT *b) { return a->file_offset < b->file_offset; });
  int64_t end = 0;
  for (const WeightT *w : order) {
    if (w->file_offset < end || w->file_offset - end >= 64) {
      return broken("P4", "weight '%s' at %lld of the file's weights: the one before ends at %lld",
                    w->name.c_str(), static_cast<long long>(w->file_offset),
                    static_cast<long long>(end));
    }
    end = w->file_offset + w->bytes;
  }
  if (end != file.weightSectionBytes) {
    return broken("P4", "the weights end at %lld, their section at %lld",
                  static_cast<long long>(end), static_cast<long long>(file.weightSectionBytes));
  }
  return Status::ok();
}

Status checkStates(const ProgramT &p) {
  for (const auto &s : p.states) {
    std::optional<int64_t> bytes = elementBytes(static_cast<uint8_t>(s->dtype));
    for (int64_t d : s->dims) {
      bytes = bytes && d >= 0 ? checkedMul(*bytes, d) : std::nullopt;
    }
    if (!isName(s->name) || !bytes || elementBytes(static_cast<uint8_t>(s->dtype)) == 0 ||
        *bytes != s->bytes || s->arena_offset % 64 != 0 || s->dims.size() > 32 ||
        !rangeInside(s->arena_offset, s->bytes, p.arena_bytes) || s->grow_axis < -1 ||
        s->grow_axis >= static_cast<int32_t>(s->dims.size())) {
      return broken("P5", "state '%s': bytes, axis or place in the arena are wrong",
                    s->name.c_str());
    }
  }
  return Status::ok();
}

Status checkPersistent(const ProgramT &p) {
  std::vector<Range> arena, host;
  for (const auto &w : p.weights) {
    for (const ResidentPart &part : residentParts(*w)) {
      arena.push_back({part.arenaOffset, part.bytes, &w->name});
    }
    if (w->mode != WeightMode::Resident) {
      host.push_back({w->host_offset, w->bytes, &w->name});
    }
  }
  for (const auto &s : p.states) {
    arena.push_back({s->arena_offset, s->bytes, &s->name});
  }
  CIUIC_TRY(checkDisjoint(arena, "P6", "arena"));
  return checkDisjoint(host, "P6", "host tier");
}

} // namespace

std::vector<ResidentPart> residentParts(const WeightT &w) {
  if (w.mode == WeightMode::Resident) {
    return {{0, w.bytes, w.arena_offset}};
  }
  std::vector<ResidentPart> parts;
  for (const ResidentRange &r : w.resident) {
    parts.push_back({r.begin(), r.bytes(), r.arena_offset()});
  }
  return parts;
}

int64_t entryPeak(const ProgramT &p, const EntryT &e) {
  // Offsets and sizes were checked to lie in the arena before this sum.
  int64_t peak = 0;
  auto extend = [&](int64_t offset, int64_t bytes) {
    if (bytes > 0) {
      peak = std::max(peak, offset + bytes);
    }
  };
  for (const auto &w : p.weights) {
    for (const ResidentPart &part : residentParts(*w)) {
      extend(part.arenaOffset, part.bytes);
    }
  }
  for (const auto &s : p.states) {
    extend(s->arena_offset, s->bytes);
  }
  for (const auto &b : e.buffers) {
    extend(b->offset, b->bytes);
  }
  return peak;
}

Status validateProgram(const ProgramT &p, const FileFacts &file) {
  CIUIC_TRY(checkHead(p));
  CIUIC_TRY(checkBlobs(p, file));
  CIUIC_TRY(checkWeights(p, file));
  CIUIC_TRY(checkStates(p));
  CIUIC_TRY(checkPersistent(p));
  std::set<std::string> names;
  int64_t peak = 0;
  for (const auto &e : p.entries) {
    if (!isName(e->name) || !names.insert(e->name).second) {
      return broken("E1", "entry '%s': its name is empty or used twice", e->name.c_str());
    }
    std::string where = "entry '" + e->name + "'";
    if (Status s = validateEntry(p, *e); !s.isOk()) {
      return std::move(s).prefix(where);
    }
    if (Status s = validateOrder(p, *e); !s.isOk()) {
      return std::move(s).prefix(where);
    }
    int64_t own = entryPeak(p, *e);
    if (own != e->peak_bytes) {
      return broken("P7", "entry '%s' says a peak of %lld, its plan needs %lld", e->name.c_str(),
                    static_cast<long long>(e->peak_bytes), static_cast<long long>(own));
    }
    peak = std::max(peak, own);
  }
  auto arena = checkedAlignUp(peak, p.granule);
  if (!arena || *arena != p.arena_bytes) {
    return broken("P7", "the arena has %lld bytes, the plan needs %lld, in granules of %lld",
                  static_cast<long long>(p.arena_bytes), static_cast<long long>(peak),
                  static_cast<long long>(p.granule));
  }
  return Status::ok();
}

} // namespace ciuic::format

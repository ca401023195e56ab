// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/CommandCheck.h"

#include "runtime/base/Checked.h"

#include <algorithm>

namespace ciuic::device {

Status checkArenaRange(int64_t offset, int64_t bytes, int64_t arenaBytes, const char *what) {
  if (!rangeInside(offset, bytes, arenaBytes)) {
    return failure(StatusClass::Environment, "device.outside-arena",
                   "%s: %lld bytes at %lld lie outside the arena of %lld", what,
                   static_cast<long long>(bytes), static_cast<long long>(offset),
                   static_cast<long long>(arenaBytes));
  }
  return Status::ok();
}

Status checkCommand(const Command &c, size_t index, const PassLimits &limits) {
  for (uint32_t w : c.waits) {
    if (w >= index) {
      return failure(StatusClass::Environment, "device.waits", "command %zu waits for command %u",
                     index, w);
    }
  }
  std::string what = formatText("command %zu is refused", index);
  for (const ArenaRange &r : c.args) {
    CIUIC_TRY(checkArenaRange(r.offset, r.bytes, limits.arenaBytes, what.c_str()));
  }
  auto host = [&](int64_t offset, int64_t bytes) {
    return rangeInside(offset, bytes, limits.hostBytes)
               ? Status::ok()
               : failure(StatusClass::Environment, "device.outside-host-tier",
                         "%s: %lld bytes at %lld lie outside the host tier of %lld", what.c_str(),
                         static_cast<long long>(bytes), static_cast<long long>(offset),
                         static_cast<long long>(limits.hostBytes));
  };
  bool computes = c.kind == CommandKind::Launch || c.kind == CommandKind::Gather;
  size_t ranges = c.kind == CommandKind::Gather ? 2 : 1;
  if ((computes && c.kernel >= limits.kernels) ||
      (c.kind != CommandKind::Launch && c.args.size() != ranges) ||
      (c.stream != Stream::Compute &&
       (c.kind == CommandKind::Launch || c.kind == CommandKind::Fill))) {
    return failure(StatusClass::Environment, "device.command",
                   "command %zu names no kernel, wrong ranges or a stream that cannot do it",
                   index);
  }
  switch (c.kind) {
  case CommandKind::Download:
    if (c.rowBytes != 0) {
      // As many rows as the arena range holds; the last one needs no more than its own bytes.
      int64_t rows = c.rowBytes > 0 ? c.args[0].bytes / c.rowBytes : 0;
      auto span = rows > 0 ? checkedMul(rows - 1, c.hostPitch) : std::optional<int64_t>(0);
      span = span ? checkedAdd(*span, c.rowBytes) : std::nullopt;
      if (c.rowBytes < 0 || c.hostPitch < c.rowBytes || !span) {
        return failure(StatusClass::Environment, "device.command",
                       "%s: rows of %lld bytes, %lld apart", what.c_str(),
                       static_cast<long long>(c.rowBytes), static_cast<long long>(c.hostPitch));
      }
      return host(c.hostOffset, *span);
    }
    return host(c.hostOffset, c.args[0].bytes);
  case CommandKind::Upload:
    if (c.hostOffset >= kDiskOffsets && c.stream == Stream::H2D &&
        rangeInside(c.hostOffset - kDiskOffsets, c.args[0].bytes, limits.diskBytes)) {
      return Status::ok();
    }
    return host(c.hostOffset, c.args[0].bytes);
  case CommandKind::Gather:
    if (limits.stagesGathers) {
      CIUIC_TRY(host(c.hostOffset, c.args[0].bytes));
      CIUIC_TRY(host(c.stagingOffset, c.args[1].bytes));
    }
    return host(c.tableOffset, c.tableBytes);
  case CommandKind::Launch:
  case CommandKind::Fill:
    break;
  }
  return Status::ok();
}

Status checkAmounts(std::span<const Command> commands, const RunValues &values) {
  if (values.amounts.size() != commands.size() ||
      (!values.times.empty() && values.times.size() != commands.size())) {
    return failure(StatusClass::Internal, "device.amounts", "%zu amounts for %zu commands",
                   values.amounts.size(), commands.size());
  }
  size_t extents = 0;
  for (size_t i = 0; i < commands.size(); ++i) {
    const Command &c = commands[i];
    int64_t amount = values.amounts[i], limit = c.maxAmount;
    if (c.kind == CommandKind::Gather) {
      limit = std::min(limit, c.rowBytes > 0 ? c.args[1].bytes / c.rowBytes : 0);
    } else if (c.kind != CommandKind::Launch) {
      limit = c.rowBytes > 0 ? c.args[0].bytes / c.rowBytes : c.args[0].bytes;
    }
    if (amount < 0 || amount > limit) {
      return failure(StatusClass::Environment, "device.amount",
                     "command %zu is refused: an amount of %lld, at most %lld fit", i,
                     static_cast<long long>(amount), static_cast<long long>(limit));
    }
    extents += c.maxShape.size();
  }
  if (extents != values.shapes.size()) {
    return failure(StatusClass::Internal, "device.amounts", "%zu extents, not %zu",
                   values.shapes.size(), extents);
  }
  return Status::ok();
}

} // namespace ciuic::device

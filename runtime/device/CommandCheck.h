// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What every device refuses alike: ranges outside the tiers, waits for later commands, commands of
// the wrong form, amounts that do not fit. Nothing of a refused pass runs.
#pragma once

#include "runtime/device/Device.h"

namespace ciuic::device {

struct PassLimits {
  int64_t arenaBytes, hostBytes;
  size_t kernels;
  bool stagesGathers;    // a gather moves ids and rows through the host tier
  int64_t diskBytes = 0; // of the disk tier; for uploads alone
};

/// "device.outside-arena", naming `what`.
Status checkArenaRange(int64_t offset, int64_t bytes, int64_t arenaBytes, const char *what);
Status checkCommand(const Command &command, size_t index, const PassLimits &limits);
/// One amount a command, none negative or beyond its ranges; as many extents as there should be.
Status checkAmounts(std::span<const Command> commands, const RunValues &values);

} // namespace ciuic::device

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What this machine has to run programs on, and which profile and target follow from it.
#pragma once

#include "passes/Cost/Profile.h"
#include "tools/ciuicc/Options.h"

#include <optional>
#include <string>
#include <variant>

namespace ciuic::tool {

/// The first NVIDIA GPU, as its driver's nvidia-smi describes it.
struct Gpu {
  std::string name;         ///< "NVIDIA H100 80GB HBM3"
  std::string architecture; ///< "sm_90"
  int64_t totalBytes = 0, freeBytes = 0;
};

/// Reads a line of `nvidia-smi --query-gpu=compute_cap,memory.total,memory.free,name
/// --format=csv,noheader,nounits`.
std::optional<Gpu> parseGpu(const std::string &line);

/// None where there is no driver, or its nvidia-smi does not answer.
std::optional<Gpu> machineGpu();

/// What to compile for and to plan with.
struct Device {
  Target target; ///< with architectures, where it is cuda
  std::string profileName;
  cost::Profile profile;
  std::optional<Gpu> gpu; ///< asked for where something hung on it
};

/// From the options, and what they leave open from the machine; a coded message where both leave it
/// open or contradict each other.
std::variant<Device, std::string> chooseDevice(const Options &options);

/// `--vram auto`: half of the memory that is available for new work, or what the GPU has free; 0 if
/// there is none to ask.
int64_t freeBytes(const Device &device);

} // namespace ciuic::tool

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a compilation came to: the JSON object of --json, and the text of a terminal.
#pragma once

#include "passes/Legalize/Legalize.h"
#include "tools/ciuicc/Options.h"

#include "mlir/IR/BuiltinOps.h"
#include <nlohmann/json.hpp>
#include <string>

namespace ciuic::tool {

/// Of a module at the plan level. Bytes, milliseconds; per-entry figures stand in `entries`, the
/// top level is the first entry's, `peak_bytes` the maximum.
nlohmann::ordered_json summarize(mlir::ModuleOp module, const Options &options,
                                 const legalize::LegalizeReport &report, int64_t budgetBytes,
                                 int64_t reserveBytes);

/// The same for people.
std::string toText(const nlohmann::ordered_json &summary);

} // namespace ciuic::tool

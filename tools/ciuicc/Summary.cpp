// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Summary.h.
#include "tools/ciuicc/Summary.h"

#include "ir/Diagnostics.h"
#include "ir/Plan/Plan.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using json = nlohmann::ordered_json;

namespace ciuic::tool {

static json entryJson(plan::EntryOp entry, const legalize::LegalizeReport &report) {
  DictionaryAttr prediction = entry.getPrediction();
  auto number = [&](StringRef name) {
    return prediction.getAs<FloatAttr>(name).getValueAsDouble();
  };
  auto integer = [&](StringRef name) { return prediction.getAs<IntegerAttr>(name).getInt(); };
  json result{{"name", entry.getSymName().str()}};
  json symbols = json::array();
  for (const auto &known : report.entries) {
    if (known.name != entry.getSymName()) {
      continue;
    }
    for (const auto &symbol : known.symbols) {
      json row{{"name", symbol.name},
               {"lower", symbol.lower},
               {"upper", symbol.upper},
               {"default", symbol.isDefault}};
      if (!symbol.equals.empty()) {
        row["equals"] = symbol.equals;
      }
      symbols.push_back(row);
    }
  }
  int64_t launches = 0, copies = 0;
  for (Operation &op : entry.getBody().front()) {
    launches += isa<plan::LaunchOp, plan::GatherOp>(op);
    auto copy = dyn_cast<plan::CopyOp>(op);
    copies += isa<plan::SpillOp>(op) || (copy && !copy.getPrologue());
  }
  result["symbols"] = symbols;
  result["predicted_ms"] = number("predicted_us") / 1000;
  result["lower_bound_ms"] = number("lower_bound_us") / 1000;
  result["gap"] = number("gap");
  result["stall_ms"] = number("stall_us") / 1000;
  result["compute_ms"] = number("compute_us") / 1000;
  result["copied_bytes"] = {{"h2d", integer("copied_h2d")}, {"d2h", integer("copied_d2h")}};
  result["activation_bytes"] = integer("activation_bytes");
  result["launches"] = launches;
  result["copies"] = copies;
  return result;
}

json summarize(ModuleOp module, const Options &options, const legalize::LegalizeReport &report,
               int64_t budgetBytes, int64_t reserveBytes) {
  auto plan = module->getAttrOfType<DictionaryAttr>("plan.summary");
  auto integer = [&](StringRef name) { return plan.getAs<IntegerAttr>(name).getInt(); };
  json summary;
  summary["model"] = options.model;
  summary["output"] = options.dryRun ? json(nullptr) : json(options.output);
  summary["quality"] = options.quality;
  summary["budget_bytes"] = budgetBytes;
  summary["reserve_bytes"] = reserveBytes;
  summary["need_bytes"] = module->getAttrOfType<IntegerAttr>("mem.need").getInt();
  summary["arena_bytes"] = integer("arena_bytes");
  summary["peak_bytes"] = integer("arena_bytes") + reserveBytes;
  json entries = json::array();
  for (auto entry : module.getOps<plan::EntryOp>()) {
    entries.push_back(entryJson(entry, report));
  }
  for (const char *key : {"predicted_ms", "lower_bound_ms", "gap"}) {
    summary[key] = entries.empty() ? json(nullptr) : entries[0][key];
  }
  int64_t weights = 0;
  json formats = json::array();
  for (auto weight : module.getOps<plan::WeightOp>()) {
    weights += weight.getBytes();
    if (weight.getPacking()) {
      auto type = cast<RankedTensorType>(weight.getType());
      json row{{"name", weight.getName().str()},
               {"format", weight.getFormat().str()},
               {"elements", type.getNumElements()},
               {"bytes", static_cast<int64_t>(weight.getBytes())}};
      row["relative_error"] =
          weight.getRelativeError() ? weight.getRelativeError()->convertToDouble() : 0;
      row["activation_error"] =
          weight.getActivationError() ? weight.getActivationError()->convertToDouble() : 0;
      row["predicted_loss"] =
          weight.getPredictedLoss() ? weight.getPredictedLoss()->convertToDouble() : 0;
      formats.push_back(row);
    }
  }
  summary["weights_bytes"] = weights;
  summary["resident_bytes"] = integer("resident_bytes");
  summary["streamed_bytes"] = integer("streamed_bytes");
  auto disk = module->getAttrOfType<IntegerAttr>("plan.disk_bytes");
  summary["host_bytes"] = module->getAttrOfType<IntegerAttr>("plan.host_bytes").getInt();
  summary["disk_bytes"] = disk ? disk.getInt() : 0;
  summary["slots_bytes"] = integer("slots_bytes");
  summary["policy"] = plan.getAs<StringAttr>("policy").str();
  json states = json::array();
  for (auto state : module.getOps<plan::StateOp>()) {
    auto type = cast<RankedTensorType>(state.getType());
    states.push_back({{"input", state.getInput().str()},
                      {"output", state.getOutput().str()},
                      {"capacity", type.getDimSize(state.getAxis())}});
  }
  summary["states"] = states;
  summary["kernels"] = std::distance(module.getOps<graph::KernelOp>().begin(),
                                     module.getOps<graph::KernelOp>().end());
  summary["entries"] = entries;
  summary["formats"] = formats;
  summary["unsupported"] = json::array();
  return summary;
}

std::string toText(const json &s) {
  std::string text;
  llvm::raw_string_ostream os(text);
  auto bytes = [&](const char *key) { return sizeText(s[key].get<int64_t>()); };
  os << "budget " << bytes("budget_bytes") << ", peak " << bytes("peak_bytes") << ", need "
     << bytes("need_bytes") << "; weights " << bytes("weights_bytes") << ": "
     << bytes("resident_bytes") << " resident, " << bytes("streamed_bytes") << " streamed ("
     << s["policy"].get<std::string>() << ")";
  if (s["disk_bytes"].get<int64_t>() > 0) {
    os << "; weights of " << bytes("disk_bytes") << " are on the disk";
  }
  os << "\n";
  for (const json &entry : s["entries"]) {
    os << "entry " << entry["name"].get<std::string>();
    const char *separator = ": ";
    for (const json &symbol : entry["symbols"]) {
      os << separator << symbol["name"].get<std::string>() << "=";
      if (symbol.contains("equals")) {
        os << symbol["equals"].get<std::string>();
      } else {
        os << symbol["lower"].get<int64_t>() << ".." << symbol["upper"].get<int64_t>()
           << (symbol["default"].get<bool>() ? " (default)" : "");
      }
      separator = ", ";
    }
    os << "\n  " << entry["launches"].get<int64_t>() << " launches, "
       << entry["copies"].get<int64_t>() << " copies; predicted "
       << llvm::format("%.3f ms", entry["predicted_ms"].get<double>()) << ", bound "
       << llvm::format("%.3f ms", entry["lower_bound_ms"].get<double>())
       << llvm::format(" (gap %.1f %%)", 100 * entry["gap"].get<double>()) << "\n";
  }
  if (s.contains("assembler")) {
    std::string assembler = s["assembler"].get<std::string>();
    os << (assembler.empty()
               ? "no ptxas in CUDA_HOME, PATH, /usr/local/cuda* or the active Python environment: "
                 "the "
                 "program's kernels are PTX, which the driver compiles when it loads them"
               : "kernels assembled by " + assembler)
       << "\n";
  }
  if (!s["output"].is_null()) {
    os << "wrote " << s["output"].get<std::string>() << "\n";
  }
  return text;
}

} // namespace ciuic::tool

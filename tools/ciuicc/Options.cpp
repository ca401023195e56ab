// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Options.h.
#include "tools/ciuicc/Options.h"

#include "ir/Diagnostics.h"
#include "tools/ByteSize.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

namespace ciuic::tool {

std::variant<Budget, std::string> parseBudget(const std::string &text) {
  Budget budget;
  if (text == "auto") {
    budget.kind = Budget::Kind::Auto;
    return budget;
  }
  std::string_view rest = text;
  if (std::optional<double> share = takePositive(rest); share && rest == "%") {
    budget.kind = Budget::Kind::Percent;
    budget.percent = *share;
    return budget;
  }
  if (std::optional<int64_t> bytes = parseByteSize(text)) {
    budget.kind = Budget::Kind::Bytes;
    budget.bytes = *bytes;
    return budget;
  }
  return "--vram '" + text +
         "': give bytes, a size like 6G or 1.5M (base 2), a share of the need like 50%, or auto";
}

std::variant<Target, std::string> parseTarget(const std::vector<std::string> &parts) {
  std::string text,
      problem = "': give host, cuda, or cuda with architectures like cuda:sm_80,sm_90";
  for (const std::string &part : parts) {
    text += (text.empty() ? "" : ",") + part;
  }
  problem = "--target '" + text + problem;
  Target target;
  if (text == "host") {
    return target;
  }
  target.cuda = true;
  if (text == "cuda") {
    return target;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    std::string name = parts[i];
    if (name.rfind("cuda:", 0) == 0) {
      name = name.substr(5);
    } else if (i == 0) {
      return problem;
    }
    bool good = name.size() >= 5 && name.size() <= 6 && name.rfind("sm_", 0) == 0 &&
                name.find_first_not_of("0123456789", 3) == std::string::npos;
    if (!good || name[3] == '0') {
      return problem;
    }
    target.architectures.push_back(name);
  }
  // sm_100 after sm_90.
  std::sort(target.architectures.begin(), target.architectures.end(),
            [](const std::string &a, const std::string &b) {
              return a.size() != b.size() ? a.size() < b.size() : a < b;
            });
  target.architectures.erase(std::unique(target.architectures.begin(), target.architectures.end()),
                             target.architectures.end());
  return target;
}

static const char *footer = R"(Examples:
  ciuicc model.onnx --vram 6G                  compile for a budget of 6 GiB
  ciuicc model.onnx --vram 50% --dry-run       what half of the need would cost
  ciuicc model.onnx --profile rtx4090 --vram 16G
                                               plan for a card that is not here
  ciuicc llm.onnx --entry prefill:seq=1..256,past=0..768 --entry decode:seq=1,past=0..1023
  ciuicc model.onnx --stop-after graph         print what is computed

Exit status: 0 done, 2 usage, 3 the model is damaged, 4 the model asks for what is not supported,
5 no schedule fits the budget, 6 a file, a disk or the machine failed, 63 a defect of ciuicc.)";

std::variant<Options, int> parseOptions(int argc, char **argv) {
  Options options;
  std::optional<std::string> vram, hostMemory, reserve;
  std::vector<std::string> targets;
  CLI::App app{"Compiles an ONNX model into one program that runs inside a hard memory budget.",
               "ciuicc"};
  app.footer(footer);
  app.set_version_flag("--version", "ciuicc " CIUIC_TOOL_VERSION);
  app.add_option("MODEL", options.model, "The ONNX model")->type_name("FILE")->required();
  app.add_option("-o,--output", options.output,
                 "The program to write (default: MODEL with .ciuic); with --stop-after, the text")
      ->type_name("FILE");
  app.add_option(
         "--vram", vram,
         "The budget: bytes, or a number with K, M, G; a share of the need, like 50%; or auto: "
         "97 % of what the GPU has free, half of the host's free memory; default: the need")
      ->type_name("SIZE|PERCENT|auto");
  app.add_option("--host-memory", hostMemory,
                 "The most host memory for weights that stream; the others are read from the "
                 "program's file each time they are copied (default: no limit)")
      ->type_name("SIZE");
  app.add_option("--reserve", reserve,
                 "What the device's context, code and libraries take of the budget (default: as "
                 "the profile has it)")
      ->type_name("SIZE");
  app.add_option("--target", targets,
                 "host, cuda (this machine's GPU) or cuda:sm_80,sm_90,… (default: the profile's "
                 "device, else what this machine has)")
      ->type_name("TARGET")
      ->delimiter(',');
  app.add_option("--entry", options.entries,
                 "A shape profile NAME:dim=a..b,…; repeat it for several over the same weights")
      ->type_name("ENTRY");
  app.add_option("--profile", options.profile,
                 "Device profile to plan with: a name (h100, rtx4090, …) or a JSON file (default: "
                 "that of this machine's GPU, or host-generic)")
      ->type_name("NAME|FILE");
  app.add_option(
         "--quality", options.quality,
         "What the weights may lose: nothing, or as much as the budget asks for within a bound "
         "on the predicted loss")
      ->type_name("WORD")
      ->check(CLI::IsMember({"exact", "near", "balanced", "small"}))
      ->capture_default_str();
  app.add_option("--formats", options.formats,
                 "Weight formats that --quality may use, comma-separated: f16, bf16, int8, "
                 "int4g32, int4g64, int4g128")
      ->type_name("LIST");
  app.add_option("--state", options.states,
                 "INPUT=OUTPUT: an output that continues an input and stays in the session")
      ->type_name("STATE");
  app.add_flag("--no-state", options.noState,
               "Keep plain ONNX semantics: every input and output is passed at each run");
  app.add_flag("--dry-run", options.dryRun, "Plan only; write no program");
  app.add_flag("--json", options.json, "Print exactly one JSON object on stdout");
  app.add_option("--report", options.report,
                 "Write an HTML page: memory over time with every buffer, copy and stall")
      ->type_name("FILE");
  app.add_option("--stop-after", options.stopAfter,
                 "Write the text of a level to -o, or print it, and stop; no program is written")
      ->type_name("WORD")
      ->check(CLI::IsMember({"onnx", "graph", "mem", "plan"}));
  app.add_option("-j,--jobs", options.threads,
                 "Threads that compile kernels and pack weights (default, and 0: one a CPU)")
      ->type_name("N");
  app.add_flag("--disable-raise", options.disableRaise,
               "Do not recognise composite operations (for comparison)");
  app.add_flag("--disable-fusion", options.disableFusion,
               "One operation per kernel (for comparison)");
  auto usage = [&](const std::string &message) {
    if (options.json) {
      nlohmann::ordered_json error{{"class", "usage"},
                                   {"code", "usage.arguments"},
                                   {"message", message},
                                   {"nearest_budget_bytes", nullptr}};
      printf("%s\n", nlohmann::ordered_json{{"error", error}}.dump().c_str());
    }
    fprintf(stderr, "ciuicc: error: %s\n", message.c_str());
    return static_cast<int>(ErrorClass::Usage);
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &) {
    printf("%s", app.help().c_str());
    return 0;
  } catch (const CLI::CallForVersion &e) {
    printf("%s\n", e.what());
    return 0;
  } catch (const CLI::ParseError &e) {
    for (int i = 1; i < argc; ++i) {
      options.json |= std::string(argv[i]) == "--json";
    }
    return usage(std::string(e.what()) + "\nRun ciuicc --help for the options.");
  }
  if (vram) {
    auto budget = parseBudget(*vram);
    if (auto *error = std::get_if<std::string>(&budget)) {
      return usage(*error);
    }
    options.budget = std::get<Budget>(budget);
  }
  const std::tuple<const char *, const std::optional<std::string> &, std::optional<int64_t> &>
      sizes[] = {{"--host-memory", hostMemory, options.hostMemory},
                 {"--reserve", reserve, options.reserve}};
  for (const auto &[name, text, bytes] : sizes) {
    if (text) {
      bytes = *text == "0" ? 0 : parseByteSize(*text);
      if (!bytes) {
        return usage(std::string(name) + " '" + *text +
                     "': give a size in bytes, or a number with K, M or G");
      }
    }
  }
  if (!targets.empty()) {
    auto target = parseTarget(targets);
    if (auto *error = std::get_if<std::string>(&target)) {
      return usage(*error);
    }
    options.target = std::get<Target>(target);
  }
  if (options.output.empty() && options.stopAfter.empty()) {
    std::string stem = options.model;
    size_t dot = stem.rfind(".onnx");
    options.output =
        (dot != std::string::npos && dot + 5 == stem.size() ? stem.substr(0, dot) : stem) +
        ".ciuic";
  }
  return options;
}

} // namespace ciuic::tool

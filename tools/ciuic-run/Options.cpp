// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/ciuic-run/Options.h"

#include "tools/ByteSize.h"

#include <CLI/CLI.hpp>
#include <iostream>

namespace ciuic::run {

static Status parseBudget(const std::string &text, int64_t *out) {
  std::optional<int64_t> bytes = tool::parseByteSize(text);
  if (!bytes) {
    return failure(StatusClass::Usage, "usage.vram",
                   "--vram '%s': a size is a number of bytes, or of K, M or G (512M, 16.5G)",
                   text.c_str());
  }
  *out = *bytes;
  return Status::ok();
}

/// What CLI11's own check of a positive number says ends in the largest double, written out.
static CLI::Validator rate() {
  return CLI::Validator(
      [](std::string &text) {
        std::string_view rest = text;
        return tool::takePositive(rest) && rest.empty()
                   ? std::string()
                   : "'" + text + "' is not a rate: give a number above 0, in 10^9 bytes/s";
      },
      "");
}

static Status split(const std::string &text, const char *flag, bool fileOnly, Named *out) {
  size_t at = text.find('=');
  std::string value = at == std::string::npos ? "" : text.substr(at + 1);
  bool file = value.size() > 1 && value[0] == '@';
  if (at == 0 || (!file && (fileOnly || (value != "random" && value != "zeros")))) {
    return failure(StatusClass::Usage, "usage.argument", "%s %s: the form is NAME=@FILE.npy%s",
                   flag, text.c_str(), fileOnly ? "" : ", NAME=random or NAME=zeros");
  }
  *out = {text.substr(0, at), value};
  return Status::ok();
}

static Status convert(const std::vector<std::string> &dims, const std::vector<std::string> &inputs,
                      const std::vector<std::string> &outputs,
                      const std::vector<std::string> &expects,
                      const std::optional<std::string> &vram, Options &o) {
  for (const std::string &text : dims) {
    size_t at = text.rfind('=');
    char *end = nullptr;
    long long value = at == std::string::npos ? -1 : std::strtoll(text.c_str() + at + 1, &end, 10);
    if (at == std::string::npos || at == 0 || value < 0 || !end || *end ||
        end == text.c_str() + at + 1) {
      return failure(StatusClass::Usage, "usage.argument", "--dim %s: the form is NAME=NUMBER",
                     text.c_str());
    }
    o.dims[text.substr(0, at)] = value;
  }
  auto all = [](const std::vector<std::string> &texts, const char *flag, bool fileOnly,
                std::vector<Named> &out) {
    for (const std::string &text : texts) {
      out.emplace_back();
      CIUIC_TRY(split(text, flag, fileOnly, &out.back()));
    }
    return Status::ok();
  };
  CIUIC_TRY(all(inputs, "--input", false, o.inputs));
  CIUIC_TRY(all(outputs, "--output", true, o.outputs));
  CIUIC_TRY(all(expects, "--expect", true, o.expects));
  return vram ? parseBudget(*vram, &o.vram) : Status::ok();
}

Parsed parseOptions(int argc, char **argv, Options &o) {
  CLI::App app("Runs a compiled program on a device.", "ciuic-run");
  std::vector<std::string> dims, inputs, outputs, expects;
  std::optional<std::string> vram;
  app.set_version_flag("--version", "ciuic-run " CIUIC_TOOL_VERSION);
  app.add_option("PROGRAM", o.program, "The program, as ciuicc wrote it")->required();
  app.add_option("--device", o.device, "host, cuda or cuda:N; default: the kind the program is for")
      ->type_name("NAME");
  app.add_option("--vram", vram, "Budget to check the program against: bytes, or K, M, G")
      ->type_name("SIZE");
  app.add_option("--entry", o.entry, "Entry to run; default: the smallest that fits the inputs")
      ->type_name("NAME");
  app.add_option("--dim", dims,
                 "Value of a symbolic dim for random and zeros; of a state's length: "
                 "how long it is before the run")
      ->type_name("NAME=N");
  app.add_option("--input", inputs,
                 "@file.npy, random (floats in -1..1, integers 0 or 1) or zeros; "
                 "default: random")
      ->type_name("NAME=VALUE");
  app.add_option("--output", outputs, "Write an output to a file")->type_name("NAME=@FILE");
  app.add_option("--expect", expects,
                 "Compare an output with a file: the norm of the difference is "
                 "at most R times the norm of the file plus A times the root "
                 "of the number of elements")
      ->type_name("NAME=@FILE");
  app.add_option("--rtol", o.rtol, "R of --expect (default 1e-4)")->check(CLI::NonNegativeNumber);
  app.add_option("--atol", o.atol, "A of --expect (default 0)")->check(CLI::NonNegativeNumber);
  app.add_option("--iterations", o.iterations,
                 "Measured runs, each from the same state (default 1)")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--warmup", o.warmup, "Runs before these")->check(CLI::Range(0, 1000000));
  app.add_option("--seed", o.seed, "Seed of random inputs (default 0)");
  app.add_option("--threads", o.threads, "Compute threads; default: one a CPU")
      ->check(CLI::Range(1, 1024));
  app.add_option("--disk-gbps", o.diskGbps,
                 "Read weights that are on the disk at so many 10^9 bytes/s at most")
      ->type_name("GBPS")
      ->check(rate());
  app.add_flag("--buffered-disk", o.bufferedDisk,
               "Read weights that are on the disk through the page cache, by threads");
  app.add_option("--link-gbps", o.linkGbps,
                 "Rate between the tiers, in 10^9 bytes/s; default: no limit")
      ->type_name("GBPS")
      ->check(rate());
  app.add_option("--state-in", o.stateIn, "Folder to read the states from before the run")
      ->type_name("DIR");
  app.add_option("--state-out", o.stateOut, "Folder to write the states to after the last run")
      ->type_name("DIR");
  app.add_option("--trace", o.trace,
                 "Write the last run's steps, measured beside predicted, as a "
                 "Chrome trace")
      ->type_name("OUT.json");
  app.add_flag("--json", o.json, "One JSON object on stdout");
  app.footer("Exit status: 0 well; 2 usage; 3 damaged program; 4 program of another version or "
             "machine; 5 budget\ntoo small; 6 files, disk, memory or device; 7 shapes; 8 states; "
             "9 --expect differs; 10 cancelled; 63 defect.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &e) {
    app.exit(e, std::cout, std::cerr);
    return {Status::ok(), true};
  } catch (const CLI::ParseError &e) {
    // The parse stopped somewhere; whether stdout is JSON is still the user's word.
    for (int i = 1; i < argc; ++i) {
      o.json = o.json || std::string(argv[i]) == "--json";
    }
    return {
        failure(StatusClass::Usage, "usage.argument", "%s; --help lists the options", e.what())};
  }
  return {convert(dims, inputs, outputs, expects, vram, o)};
}

} // namespace ciuic::run

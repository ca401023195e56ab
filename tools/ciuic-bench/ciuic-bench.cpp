// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ciuic-bench: what this machine does. --calibrate measures the constants of a device profile and
// writes it for ciuicc --profile.
#include "tools/ciuic-bench/Calibration.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>

namespace {

/// Exit statuses of docs/errors.md.
constexpr int kUsage = 2, kEnvironment = 6;

int fail(int status, const std::string &text) {
  std::cerr << "error: " << text << "\n";
  return status;
}

int run(int argc, char **argv) {
  CLI::App app("Measures what this machine does.", "ciuic-bench");
  app.set_version_flag("--version", "ciuic-bench " CIUIC_BENCH_VERSION);
  ciuic::bench::CalibrationOptions options;
  bool calibrate = false;
  std::string output;
  app.add_flag("--calibrate", calibrate, "Measure a device profile for ciuicc --profile")
      ->required();
  app.add_option("--device", options.device, "host (the default) or cuda:N")->type_name("DEVICE");
  app.add_option("--threads", options.threads,
                 "Threads that compute; all that there are by default")
      ->check(CLI::Range(1, 1024));
  app.add_option("--seconds", options.seconds, "How long each constant is measured")
      ->check(CLI::Range(0.0, 60.0));
  app.add_option("--name", options.name, "Name of the profile")->type_name("NAME");
  app.add_option("-o", output, "Write the profile here instead of to standard output")
      ->type_name("FILE");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &e) {
    const int status = app.exit(e);
    return status == 0 ? 0 : kUsage;
  }
  options.onStage = [](const char *what) { std::cerr << "measuring " << what << "\n"; };
  options.onDetail = [](const char *text) { std::cerr << "  " << text << "\n"; };
  auto result = ciuic::bench::calibrate(options);
  if (auto *error = std::get_if<std::string>(&result)) {
    return fail(error->starts_with("[usage") ? kUsage : kEnvironment, *error);
  }
  const std::string text = ciuic::cost::printProfile(std::get<ciuic::cost::Profile>(result));
  if (output.empty()) {
    std::cout << text << std::flush;
    return std::cout ? 0 : fail(kEnvironment, "[environment.write-text] standard output");
  }
  std::ofstream file(output, std::ios::binary);
  file << text << std::flush;
  return file ? 0 : fail(kEnvironment, "[environment.write-text] " + output + ": cannot write");
}

} // namespace

int main(int argc, char **argv) { return run(argc, argv); }

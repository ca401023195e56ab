// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ciuic-bench: what this machine does. --calibrate measures the constants of a device profile and
// writes it for ciuicc --profile; --generate runs a language model's program.
#include "ir/Diagnostics.h"
#include "tools/ciuic-bench/Calibration.h"
#include "tools/ciuic-bench/Generate.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>

namespace {

/// Exit statuses of docs/errors.md.
constexpr int kUsage = 2, kEnvironment = 6;

/// Says what failed as the other tools do. `text` may begin with a code: "[usage.device] …".
int fail(int status, const std::string &text) {
  auto [code, message] = ciuic::splitErrorCode(text);
  std::cerr << "ciuic-bench: error: " << message;
  if (!code.empty()) {
    std::cerr << " [" << code << "]";
  }
  std::cerr << "\n";
  return status;
}

/// Writes to a file, or to standard output where there is no name.
int write(const std::string &text, const std::string &output) {
  if (output.empty()) {
    std::cout << text << std::flush;
    return std::cout ? 0 : fail(kEnvironment, "[environment.write-text] standard output");
  }
  std::ofstream file(output, std::ios::binary);
  file << text << std::flush;
  return file ? 0 : fail(kEnvironment, "[environment.write-text] " + output + ": cannot write");
}

int calibrate(ciuic::bench::CalibrationOptions options, const std::string &output) {
  options.onStage = [](const char *what) { std::cerr << "measuring " << what << "\n"; };
  options.onDetail = [](const char *text) { std::cerr << "  " << text << "\n"; };
  auto result = ciuic::bench::calibrate(options);
  if (auto *error = std::get_if<std::string>(&result)) {
    return fail(error->starts_with("[usage") ? kUsage : kEnvironment, *error);
  }
  return write(ciuic::cost::printProfile(std::get<ciuic::cost::Profile>(result)), output);
}

int generate(const ciuic::bench::GenerateOptions &options, bool json, const std::string &output) {
  ciuic::bench::Generation generation;
  if (ciuic::Status status = ciuic::bench::generate(options, &generation); !status.isOk()) {
    return fail(exitStatus(status.cls()),
                "[" + std::string(status.code()) + "] " + std::string(status.message()));
  }
  return write(json ? jsonOf(generation) : textOf(generation), output);
}

int run(int argc, char **argv) {
  CLI::App app("Measures what this machine does.", "ciuic-bench");
  app.set_version_flag("--version", "ciuic-bench " CIUIC_TOOL_VERSION);
  ciuic::bench::CalibrationOptions calibration;
  ciuic::bench::GenerateOptions generation;
  bool calibrates = false, json = false;
  int threads = 0;
  std::string output, device;
  auto *what = app.add_option_group("What to measure");
  what->add_flag("--calibrate", calibrates, "Measure a device profile for ciuicc --profile");
  what->add_option("--generate", generation.program,
                   "Measure prompt processing and token rate of a decoder's program")
      ->type_name("PROGRAM");
  what->require_option(1);
  app.add_option("--device", device,
                 "host, cuda or cuda:N; default: host to calibrate, the program's to generate")
      ->type_name("DEVICE");
  app.add_option("--threads", threads, "Threads that compute; all that there are by default")
      ->check(CLI::Range(1, 1024));
  app.add_option("--seconds", calibration.seconds, "Calibrate: how long each constant is measured")
      ->check(CLI::Range(0.0, 60.0));
  app.add_option("--disk", calibration.disk,
                 "Calibrate: also the disk of this folder, by a file of 512 MiB that is written "
                 "there and removed")
      ->type_name("DIR");
  app.add_option("--name", calibration.name, "Calibrate: name of the profile")->type_name("NAME");
  app.add_option("--prompt", generation.prompt, "Generate: tokens of the prompt (256)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  app.add_option("--tokens", generation.tokens, "Generate: tokens after it (64)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  app.add_option("--repeats", generation.repeats, "Generate: measured repetitions (3)")
      ->check(CLI::Range(1, 10000));
  app.add_flag("--json", json, "Generate: one JSON object");
  app.add_option("-o", output, "Write the result here instead of to standard output")
      ->type_name("FILE");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &e) {
    if (dynamic_cast<const CLI::Success *>(&e)) {
      return app.exit(e); // help and version
    }
    return fail(kUsage, "[usage.argument] " + std::string(e.what()) + "; --help lists the options");
  }
  calibration.threads = generation.threads = threads;
  if (calibrates) {
    calibration.device = device.empty() ? "host" : device;
    return calibrate(calibration, output);
  }
  generation.device = device;
  return generate(generation, json, output);
}

} // namespace

int main(int argc, char **argv) { return run(argc, argv); }

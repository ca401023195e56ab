// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loads, feeds, runs and measures one program through the C API.
#pragma once

#include "tools/CApi.h"
#include "tools/ciuic-run/MemorySampler.h"
#include "tools/ciuic-run/Options.h"

#include <string>
#include <vector>

namespace ciuic::run {

struct OutputResult {
  std::string name;
  ciuic_dtype dtype;
  std::vector<int64_t> dims;
  std::vector<char> data;
  uint64_t hash = 0;
};

struct ExpectResult {
  std::string name;
  double relativeError = 0; // norm of the difference over the norm of what was expected
  double largest = 0;       // largest difference of an element
  bool good = false;
};

struct Event {
  std::string name, stream;
  double beginUs, endUs, predictedBeginUs, predictedUs;
};

struct Result {
  ciuic_program_info program = {};
  ciuic_entry_info entry = {};
  int64_t budgetBytes = 0;
  std::string device, diskMode;
  int64_t processBytes = -1; // the most that the process held of the device; -1: unknown
  double loadMs = 0;
  std::vector<double> latencyMs; // sorted
  ciuic_run_stats last = {};
  std::vector<OutputResult> outputs;
  std::vector<ExpectResult> expects;
  std::vector<Event> events;
};

using tool::sized;

class Runner {
public:
  explicit Runner(const Options &options) : o(options) {}
  ~Runner();
  /// The result points into the program, which lives as long as the runner.
  Status run(Result &out);

private:
  struct InputArray {
    std::string name;
    ciuic_dtype dtype;
    std::vector<int64_t> dims;
    std::vector<char> data;
  };
  struct StateArray {
    int64_t length = 0;
    std::vector<char> data;
  };

  Status open(Result &out);
  Status chooseEntry();
  Status readInputFiles();
  Status readStates();
  Status writeStates();
  Status placeStates();
  Status symbolValues(uint32_t entry, std::vector<int64_t> &values, std::string &misfit);
  Status makeInputs(const std::vector<int64_t> &symbols);
  Status bindInputs();
  Status bindOutputs(Result &out);
  Status measure(Result &out);
  Status collect(Result &out);
  Status compare(Result &out);
  std::string stateFile(const std::string &folder, uint32_t state, const char *name) const;
  const Named *spec(const std::string &input) const;

  const Options &o;
  ciuic_program *program = nullptr;
  ciuic_device *device = nullptr;
  MemorySampler sampler;
  ciuic_session *session = nullptr;
  ciuic_program_info info = {};
  uint32_t entry = 0;
  std::string entryName;
  std::vector<InputArray> inputs;
  std::vector<StateArray> states;
};

} // namespace ciuic::run

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ciuic-run PROGRAM: loads, runs, measures, compares. Everything it does goes through the C API.
// Errors go to stderr, and with --json as the one object on stdout; the exit status is the class.
#include "tools/ciuic-run/Report.h"

#include <exception>
#include <iostream>
#include <new>

using namespace ciuic;
using namespace ciuic::run;

static Status runAll(const Options &options, std::string &report) {
  Runner runner(options);
  Result result;
  CIUIC_TRY(runner.run(result));
  if (!options.trace.empty()) {
    CIUIC_TRY(writeTrace(options.trace, result));
  }
  report = options.json ? jsonReport(options, result) : textReport(options, result);
  return Status::ok();
}

int main(int argc, char **argv) {
  Options options;
  Status status;
  std::string report;
  try {
    Parsed parsed = parseOptions(argc, argv, options);
    if (parsed.done) {
      return 0;
    }
    status = parsed.status.isOk() ? runAll(options, report) : std::move(parsed.status);
  } catch (const std::bad_alloc &) {
    status = failure(StatusClass::Environment, "memory.host", "the host is out of memory");
  } catch (const std::exception &e) {
    status = failure(StatusClass::Internal, "internal", "%s", e.what());
  }
  if (!status.isOk()) {
    std::cerr << "ciuic-run: error: " << status.message() << " [" << status.code() << "]\n";
    report = options.json ? jsonError(status) : "";
  }
  std::cout << report << std::flush;
  if (!std::cout) {
    std::cerr << "ciuic-run: error: cannot write to stdout\n";
    return exitStatus(StatusClass::Environment);
  }
  return exitStatus(status.cls());
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One line on a terminal that says which stage runs, once it has taken a second. Silent where
// stderr is no terminal.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace ciuic::tool {

class Progress {
public:
  Progress();
  ~Progress() { finish(); }
  /// Begins a stage, or says how far it is (`share` in 0..1; negative: unknown). Callable from any
  /// thread.
  void stage(const char *name, double share);
  /// Removes the line. Idempotent.
  void finish();

private:
  void run();

  std::mutex mutex;
  std::condition_variable wake;
  std::string name;
  double share = -1;
  std::chrono::steady_clock::time_point began;
  bool done = false;
  std::thread thread;
};

} // namespace ciuic::tool

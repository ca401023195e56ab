// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Progress.h.
#include "tools/ciuicc/Progress.h"

#include <cstdio>
#include <unistd.h>

namespace ciuic::tool {

Progress::Progress() : began(std::chrono::steady_clock::now()) {
  if (isatty(STDERR_FILENO)) {
    thread = std::thread([this] { run(); });
  }
}

void Progress::stage(const char *stage, double part) {
  std::lock_guard lock(mutex);
  if (name != stage) {
    name = stage;
    began = std::chrono::steady_clock::now();
  }
  share = part;
}

void Progress::finish() {
  {
    std::lock_guard lock(mutex);
    done = true;
  }
  wake.notify_all();
  if (thread.joinable()) {
    thread.join();
    fprintf(stderr, "\r\033[K");
  }
}

void Progress::run() {
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, std::chrono::milliseconds(250), [this] { return done; })) {
    auto elapsed =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - began);
    if (elapsed.count() < 1 || name.empty()) {
      continue;
    }
    if (share >= 0) {
      fprintf(stderr, "\r\033[K%s: %d %%", name.c_str(), static_cast<int>(100 * share));
    } else {
      fprintf(stderr, "\r\033[K%s … %d s", name.c_str(), static_cast<int>(elapsed.count()));
    }
    fflush(stderr);
  }
}

} // namespace ciuic::tool

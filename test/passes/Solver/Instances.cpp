// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "test/passes/Solver/Instances.h"

#include "passes/Solver/Random.h"

#include <algorithm>

namespace ciuic::solver::test {

namespace {

Link link(double gigabytesPerSecond) {
  return {10, {{64 * 1024, gigabytesPerSecond / 4}, {16 << 20, gigabytesPerSecond}}};
}

int add(OffloadProblem &problem, std::string name, int64_t bytes, int64_t tileBytes) {
  problem.weights.push_back({std::move(name), bytes, tileBytes});
  return static_cast<int>(problem.weights.size()) - 1;
}

} // namespace

OffloadProblem transformer(int layers) {
  constexpr int64_t kTile = 16 * 64 * 4; // 16 columns of 64 rows
  OffloadProblem problem;
  problem.persistentBytes = 100'000;
  problem.toDevice = link(10);
  problem.toHost = link(10);
  problem.launchMicroseconds = 2;
  int embedding = add(problem, "embedding", 256 * kTile, kTile);
  std::vector<std::vector<int>> weights;
  for (int l = 0; l < layers; ++l) {
    std::string name = "layer" + std::to_string(l);
    weights.push_back(
        {add(problem, name + ".norm1", 256, 256), add(problem, name + ".qkv", 12 * kTile, kTile),
         add(problem, name + ".out", 4 * kTile, kTile), add(problem, name + ".norm2", 256, 256),
         add(problem, name + ".up", 32 * kTile, kTile),
         add(problem, name + ".down", 16 * 4 * kTile, 4 * kTile)});
  }
  for (bool decode : {false, true}) {
    Entry entry;
    entry.name = decode ? "decode" : "prefill";
    entry.frequency = decode ? 32 : 1;
    int64_t rows = decode ? 1 : 64;
    double hide = decode ? 0.7 : 0.95;
    entry.steps.push_back({"gather", 3, 0.9, 0, {{embedding, Access::Gather, rows * 256}}});
    for (const std::vector<int> &layer : weights) {
      for (int w : layer) {
        bool norm = problem.weights[w].bytes == 256;
        double bytes = static_cast<double>(problem.weights[w].bytes);
        entry.steps.push_back({problem.weights[w].name,
                               norm ? 3 : bytes / (decode ? 8e3 : 1e3),
                               hide,
                               norm ? 0 : 4096,
                               {{w, norm ? Access::Whole : Access::Tiles, 0}}});
      }
    }
    entry.steps.push_back(
        {"logits", decode ? 500. : 4000., hide, 0, {{embedding, Access::Tiles, 0}}});
    int count = static_cast<int>(entry.steps.size());
    for (int s = 0; s + 1 < count; ++s) {
      entry.buffers.push_back({"value" + std::to_string(s), rows * 256, s, s + 2, {s, s + 1}});
    }
    entry.buffers.push_back({"tokens", rows * 8, 0, count, {}});
    problem.entries.push_back(std::move(entry));
  }
  return problem;
}

OffloadProblem projection() {
  OffloadProblem problem;
  problem.toDevice = link(10);
  problem.toHost = link(10);
  problem.launchMicroseconds = 2;
  add(problem, "table", 1 << 20, 1 << 14);
  Entry entry;
  entry.name = "main";
  entry.steps.push_back({"logits", 4000, 0.9, 0, {{0, Access::Tiles, 0}}});
  entry.buffers.push_back({"hidden", 4096, 0, 1, {}});
  entry.buffers.push_back({"out", 4 << 20, 0, 1, {}, 1 << 16});
  problem.entries.push_back(std::move(entry));
  return problem;
}

OffloadProblem randomProblem(uint64_t seed) {
  Random random(seed * 7919 + 1);
  auto below = [&](uint64_t n) { return static_cast<int64_t>(random.below(n)); };
  OffloadProblem problem;
  problem.persistentBytes = below(50'000);
  problem.toDevice = link(1 + static_cast<double>(below(20)));
  problem.toHost = link(1 + static_cast<double>(below(20)));
  problem.launchMicroseconds = static_cast<double>(below(5));
  int count = 1 + static_cast<int>(below(30));
  for (int w = 0; w < count; ++w) {
    int64_t tile = 64 * (1 + below(200));
    int64_t bytes = below(3) == 0 ? 1 + below(2000) : tile * (1 + below(40)) - below(60);
    bool divisible = below(2) == 0 && bytes > tile;
    add(problem, "w" + std::to_string(w), bytes, divisible ? tile : bytes);
  }
  int entries = 1 + static_cast<int>(below(3));
  for (int e = 0; e < entries; ++e) {
    Entry entry;
    entry.name = "entry" + std::to_string(e);
    entry.frequency = 1 + static_cast<double>(below(10));
    int steps = 1 + static_cast<int>(below(60));
    int next = 0;
    for (int s = 0; s < steps; ++s) {
      Step step;
      step.name = "step" + std::to_string(s);
      step.microseconds = static_cast<double>(below(200)) / 4;
      step.hide = static_cast<double>(below(11)) / 10;
      step.scratchBytes = below(4) == 0 ? below(20'000) : 0;
      bool tiled = false;
      for (int64_t u = below(3); u > 0; --u) {
        int w = below(5) == 0 ? static_cast<int>(below(count)) : next++ % count;
        bool seen = std::any_of(step.uses.begin(), step.uses.end(),
                                [&](const Use &x) { return x.weight == w; });
        if (seen) {
          continue;
        }
        Access access = below(6) == 0            ? Access::Gather
                        : below(3) == 0 || tiled ? Access::Whole
                        : below(4) == 0          ? Access::Pieces
                                                 : Access::Tiles;
        tiled |= isByTiles(access);
        step.uses.push_back({w, access, access == Access::Gather ? below(3000) : 0});
      }
      entry.steps.push_back(std::move(step));
    }
    for (int64_t b = below(40); b > 0; --b) {
      int begin = static_cast<int>(below(steps));
      int end = begin + 1 + static_cast<int>(below(std::min(steps - begin, 25)));
      Activation buffer{"b" + std::to_string(b), below(40'000), begin, end, {}};
      if (below(3) > 0) {
        for (int t = begin; t < end; ++t) {
          if (t == begin || t + 1 == end || below(5) == 0) {
            buffer.touches.push_back(t);
          }
        }
      }
      entry.buffers.push_back(std::move(buffer));
    }
    for (int s = 0; s < steps; ++s) {
      for (const Use &use : entry.steps[s].uses) {
        const Weight &weight = problem.weights[use.weight];
        if (use.access == Access::Tiles && weight.bytes > 0 && below(4) == 0) {
          int64_t tile = 1 + below(3000),
                  tiles = (weight.bytes + weight.tileBytes - 1) / weight.tileBytes;
          int64_t last = 1 + below(static_cast<uint64_t>(tile));
          entry.buffers.push_back({"out" + std::to_string(s),
                                   (tiles - 1) * tile + last,
                                   s,
                                   steps,
                                   {},
                                   tiles > 1 ? tile : last});
        }
      }
    }
    problem.entries.push_back(std::move(entry));
  }
  if (below(3) == 0) {
    problem.hostMemory = below(300'000);
    problem.diskGigabytesPerSecond = 0.5 + static_cast<double>(below(20));
  }
  return problem;
}

} // namespace ciuic::solver::test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// First fit by several orders, and a search over orders: the buffer that sets the height moves to
// an earlier place, and the change stays when the height does not grow. Branch and bound over
// canonical packings follows where the bound is not met (PackingSearch.cpp).

#include "passes/Solver/Packing.h"

#include "passes/Solver/PackingSearch.h"
#include "passes/Solver/Random.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

namespace ciuic::solver {

namespace {

int64_t roundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t smallestAlignment(const PackingProblem &problem) {
  int64_t smallest = 0;
  for (const Buffer &buffer : problem.buffers) {
    smallest = smallest == 0 ? buffer.alignment : std::min(smallest, buffer.alignment);
  }
  return std::max<int64_t>(smallest, 1);
}

/// Places the buffers in the order given, each at the lowest offset that is free during its life.
int64_t firstFit(const std::vector<Buffer> &buffers, const std::vector<int> &order,
                 std::vector<int64_t> &offsets) {
  std::vector<int> placed; // ascending by offset
  placed.reserve(order.size());
  int64_t height = 0;
  for (int index : order) {
    const Buffer &buffer = buffers[index];
    int64_t at = 0;
    for (int other : placed) {
      const Buffer &neighbour = buffers[other];
      if (neighbour.begin >= buffer.end || buffer.begin >= neighbour.end) {
        continue;
      }
      if (offsets[other] >= at + buffer.bytes) {
        break;
      }
      at = std::max(at, roundUp(offsets[other] + neighbour.bytes, buffer.alignment));
    }
    offsets[index] = at;
    height = std::max(height, at + buffer.bytes);
    auto position =
        std::upper_bound(placed.begin(), placed.end(), at,
                         [&](int64_t value, int other) { return value < offsets[other]; });
    placed.insert(position, index);
  }
  return height;
}

std::vector<int> sorted(size_t count, const std::function<bool(int, int)> &less) {
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), less);
  return order;
}

} // namespace

std::optional<std::string> check(const PackingProblem &problem) {
  int64_t total = 0;
  for (const Buffer &buffer : problem.buffers) {
    if (buffer.bytes < 0) {
      return "buffer \"" + buffer.name + "\" has a negative size";
    }
    if (buffer.alignment < 1 || !std::has_single_bit(static_cast<uint64_t>(buffer.alignment)) ||
        buffer.alignment > (int64_t{1} << 40)) {
      return "buffer \"" + buffer.name + "\": alignment must be a power of two up to 2^40";
    }
    if (buffer.begin < -(int64_t{1} << 40) || buffer.end > (int64_t{1} << 40)) {
      return "buffer \"" + buffer.name + "\": instants must lie within 2^40";
    }
    if (buffer.begin >= buffer.end) {
      return "buffer \"" + buffer.name + "\" ends before it begins";
    }
    int64_t rounded = 0;
    if (__builtin_add_overflow(buffer.bytes, buffer.alignment - 1, &rounded) ||
        __builtin_add_overflow(total, rounded, &total) || total > (int64_t{1} << 60)) {
      return "the buffers up to \"" + buffer.name + "\" hold more than 2^60 bytes";
    }
  }
  if (problem.capacity && *problem.capacity < 0) {
    return "the capacity is negative";
  }
  return std::nullopt;
}

int64_t peakLive(const PackingProblem &problem) {
  int64_t unit = smallestAlignment(problem);
  std::vector<std::pair<int64_t, int64_t>> events; // (instant, change); frees sort before takes
  events.reserve(problem.buffers.size() * 2);
  for (const Buffer &buffer : problem.buffers) {
    int64_t bytes = roundUp(buffer.bytes, unit);
    events.emplace_back(buffer.begin, bytes);
    events.emplace_back(buffer.end, -bytes);
  }
  std::sort(events.begin(), events.end());
  int64_t live = 0;
  int64_t peak = 0;
  for (auto [instant, change] : events) {
    live += change;
    peak = std::max(peak, live);
  }
  return peak;
}

PackingSolution solve(const PackingProblem &problem, const PackingOptions &options) {
  PackingSolution solution;
  solution.lowerBound = peakLive(problem);
  int64_t unit = smallestAlignment(problem);

  // Sizes in whole alignment units, and only buffers that take room.
  std::vector<Buffer> buffers;
  std::vector<int> original;
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    if (problem.buffers[i].bytes > 0) {
      buffers.push_back(problem.buffers[i]);
      buffers.back().bytes = roundUp(buffers.back().bytes, unit);
      original.push_back(static_cast<int>(i));
    }
  }
  int64_t target = std::max(solution.lowerBound, problem.capacity.value_or(0));

  std::vector<int64_t> offsets(buffers.size(), 0);
  std::vector<int64_t> best(buffers.size(), 0);
  std::vector<int> bestOrder;
  int64_t height = INT64_MAX;
  auto consider = [&](const char *method, const std::vector<int> &order) {
    int64_t found = firstFit(buffers, order, offsets);
    if (found < height) {
      height = found;
      best = offsets;
      bestOrder = order;
      solution.method = method;
    }
  };
  auto life = [&](int i) { return buffers[i].end - buffers[i].begin; };
  auto area = [&](int i) { return static_cast<double>(buffers[i].bytes) * life(i); };
  size_t count = buffers.size();
  consider("first fit by size", sorted(count, [&](int a, int b) {
             return std::pair(buffers[a].bytes, life(a)) > std::pair(buffers[b].bytes, life(b));
           }));
  consider("first fit by lifetime", sorted(count, [&](int a, int b) {
             return std::pair(life(a), buffers[a].bytes) > std::pair(life(b), buffers[b].bytes);
           }));
  consider("first fit by area", sorted(count, [&](int a, int b) { return area(a) > area(b); }));
  consider("first fit by begin", sorted(count, [&](int a, int b) {
             return std::pair(buffers[a].begin, -buffers[a].bytes) <
                    std::pair(buffers[b].begin, -buffers[b].bytes);
           }));
  consider("first fit by end", sorted(count, [&](int a, int b) {
             return std::pair(buffers[a].end, buffers[a].bytes) >
                    std::pair(buffers[b].end, buffers[b].bytes);
           }));

  if (options.orderSearch && height > target && count > 1) {
    int64_t cost = static_cast<int64_t>(count * count) + 64;
    int64_t tries = std::clamp<int64_t>(options.orderSearchWork / cost, 20, 4000);
    Random random(0x9e3779b97f4a7c15ULL);
    std::vector<int> order = bestOrder;
    std::vector<int64_t> current = best;
    int64_t currentHeight = height;
    for (int64_t i = 0; i < tries && height > target; ++i) {
      std::vector<int> critical; // positions in the order of the buffers that touch the top
      for (size_t p = 0; p < count; ++p) {
        if (current[order[p]] + buffers[order[p]].bytes == currentHeight) {
          critical.push_back(static_cast<int>(p));
        }
      }
      std::vector<int> changed = order;
      size_t from = critical[random.below(critical.size())];
      // Now and then a buffer beneath the top is what stands in the way.
      if (from == 0 || random.below(4) == 0) {
        from = 1 + random.below(count - 1);
      }
      size_t to = random.below(from);
      std::rotate(changed.begin() + to, changed.begin() + from, changed.begin() + from + 1);
      int64_t found = firstFit(buffers, changed, offsets);
      if (found <= currentHeight) {
        order = std::move(changed);
        current = offsets;
        currentHeight = found;
        if (found < height) {
          height = found;
          best = offsets;
          solution.method = "order search";
        }
      }
    }
  }

  if (options.branchAndBound && height > target && count > 1) {
    int64_t work = options.branchAndBoundWork;
    if (searchPackings(buffers, target, work, best, height)) {
      solution.method = "branch and bound";
    }
  }

  solution.offsets.assign(problem.buffers.size(), 0);
  for (size_t i = 0; i < count; ++i) {
    solution.offsets[original[i]] = best[i];
  }
  solution.height = count == 0 ? 0 : height;
  solution.fits = !problem.capacity || solution.height <= *problem.capacity;
  return solution;
}

std::optional<std::string> validate(const PackingProblem &problem,
                                    const PackingSolution &solution) {
  const std::vector<Buffer> &buffers = problem.buffers;
  if (solution.offsets.size() != buffers.size()) {
    return "the solution has " + std::to_string(solution.offsets.size()) + " offsets for " +
           std::to_string(buffers.size()) + " buffers";
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    int64_t offset = solution.offsets[i];
    if (offset < 0 || offset % buffers[i].alignment != 0) {
      return "buffer \"" + buffers[i].name + "\" lies at " + std::to_string(offset) +
             ", not at a multiple of " + std::to_string(buffers[i].alignment);
    }
    if (offset + buffers[i].bytes > solution.height) {
      return "buffer \"" + buffers[i].name + "\" passes the height";
    }
    for (size_t j = 0; j < i; ++j) {
      bool together = buffers[i].begin < buffers[j].end && buffers[j].begin < buffers[i].end;
      bool overlap = offset < solution.offsets[j] + buffers[j].bytes &&
                     solution.offsets[j] < offset + buffers[i].bytes;
      if (together && overlap) {
        return "buffers \"" + buffers[j].name + "\" and \"" + buffers[i].name +
               "\" are alive together and overlap";
      }
    }
  }
  if (solution.fits && problem.capacity && solution.height > *problem.capacity) {
    return "the height exceeds the capacity";
  }
  return std::nullopt;
}

} // namespace ciuic::solver

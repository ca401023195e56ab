// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which units stay resident for a given number of bytes. Policies only rank; the simulator judges.
//   strided  resident units round(i*n/k): streamed units are spread evenly, so copies never queue
//            up at one end
//   prefix   the first units that fit: the pattern of layer-count offloading, kept as a yardstick
//   paced    streams bytes at an even rate over compute time, ahead of it by no more than the slots
//            hold: what a model needs whose layers differ in bytes per microsecond (convolutional
//            networks); equal to strided where layers are alike
// Room that is left is filled in golden-ratio order, which spreads the filled units too.

#include "passes/Solver/OffloadParts.h"

#include <algorithm>
#include <cmath>

namespace ciuic::solver {

namespace {

/// Room that a unit takes in the resident region.
int64_t room(const Unit &unit, int64_t alignment) { return roundUpTo(unit.bytes, alignment); }

/// Resident units round(i*n/k), for the largest k that fits.
void strided(const std::vector<int> &optional, const std::vector<int64_t> &rooms, int64_t capacity,
             std::vector<bool> &resident) {
  int64_t n = static_cast<int64_t>(optional.size());
  auto index = [&](int64_t i, int64_t k) { return (2 * i * n + k) / (2 * k); };
  auto bytes = [&](int64_t k) {
    int64_t sum = 0;
    for (int64_t i = 0; i < k; ++i) {
      sum += rooms[optional[index(i, k)]];
    }
    return sum;
  };
  int64_t low = 0;
  int64_t high = n;
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (bytes(middle) <= capacity) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  for (int64_t i = 0; i < low; ++i) {
    resident[optional[index(i, low)]] = true;
  }
}

/// Streams a unit whenever the link, at `rate` bytes a microsecond, has had the time for at least
/// half of it. What it could not hold, `ahead` of the unit, it has not copied.
int64_t pace(const UnitSet &set, const std::vector<int> &optional,
             const std::vector<int64_t> &rooms, double rate, double ahead,
             std::vector<bool> &resident) {
  int64_t kept = 0;
  double credit = ahead;
  for (int u : optional) {
    credit = std::min(credit + rate * set.microseconds[u], ahead);
    double bytes = static_cast<double>(set.units[u].bytes);
    bool stream = credit >= bytes / 2;
    credit -= stream ? bytes : 0;
    resident[u] = !stream;
    kept += stream ? 0 : rooms[u];
  }
  return kept;
}

void paced(const UnitSet &set, const std::vector<int> &optional, const std::vector<int64_t> &rooms,
           int64_t capacity, double ahead, std::vector<bool> &resident) {
  double total = 0;
  double time = 0;
  for (int u : optional) {
    total += static_cast<double>(set.units[u].bytes);
    time += set.microseconds[u];
  }
  if (time <= 0) {
    return;
  }
  double low = 0;
  double high = total / time * 64;
  for (int i = 0; i < 40; ++i) {
    double middle = (low + high) / 2;
    (pace(set, optional, rooms, middle, ahead, resident) <= capacity ? high : low) = middle;
  }
  if (pace(set, optional, rooms, high, ahead, resident) > capacity) {
    for (int u : optional) {
      resident[u] = false; // even at the highest rate the steps without time keep too much
    }
  }
}

} // namespace

const char *policyName(Policy policy) {
  switch (policy) {
  case Policy::Strided:
    return "strided";
  case Policy::Prefix:
    return "prefix";
  case Policy::Paced:
    return "paced";
  }
  return "";
}

std::vector<bool> chooseResident(const UnitSet &set, Policy policy, int64_t capacity,
                                 int64_t alignment, int64_t ahead) {
  size_t count = set.units.size();
  std::vector<bool> resident(count, false);
  std::vector<int64_t> rooms(count, 0);
  std::vector<int> optional;
  for (size_t u = 0; u < count; ++u) {
    rooms[u] = room(set.units[u], alignment);
    if (set.roles[u] == UnitRole::Optional) {
      optional.push_back(static_cast<int>(u));
    }
    resident[u] = set.roles[u] == UnitRole::Pinned;
  }
  if (policy == Policy::Strided) {
    strided(optional, rooms, capacity, resident);
  } else if (policy == Policy::Paced) {
    paced(set, optional, rooms, capacity, static_cast<double>(ahead), resident);
  }
  int64_t left = capacity;
  for (int u : optional) {
    left -= resident[u] ? rooms[u] : 0;
  }
  if (policy != Policy::Prefix) {
    std::vector<double> key(count, 0);
    for (size_t i = 0; i < optional.size(); ++i) {
      double ratio = static_cast<double>(i) * 0.6180339887498949;
      key[optional[i]] = ratio - std::floor(ratio);
    }
    std::stable_sort(optional.begin(), optional.end(),
                     [&](int a, int b) { return key[a] < key[b]; });
  }
  for (int u : optional) {
    if (!resident[u] && rooms[u] <= left) {
      resident[u] = true;
      left -= rooms[u];
    }
  }
  return resident;
}

} // namespace ciuic::solver

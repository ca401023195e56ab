// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Any packing can be settled downwards until each buffer rests on the floor or on another one, and
// its buffers can be placed in order of their offsets. So the search places, at each node, one
// buffer at its floor (the top of what is already under it), never below the last offset placed. A
// node dies when the free room above the floor at some instant cannot hold what is still to be
// placed there. The idea of searching canonical packings is that of Moffitt, "MiniMalloc: A
// Lightweight Memory Allocator for Hardware-Accelerated Machine Learning", 2023.

#include "passes/Solver/PackingSearch.h"

#include <algorithm>
#include <numeric>

namespace ciuic::solver {

namespace {

/// One connected part of the problem: buffers linked by overlapping lives, with time cut at their
/// ends.
class Search {
public:
  Search(const std::vector<Buffer> &buffers, std::vector<int> members, int64_t &work)
      : buffers(buffers), members(std::move(members)), work(work) {
    std::vector<int64_t> instants;
    for (int m : this->members) {
      instants.push_back(buffers[m].begin);
      instants.push_back(buffers[m].end);
    }
    std::sort(instants.begin(), instants.end());
    instants.erase(std::unique(instants.begin(), instants.end()), instants.end());
    auto section = [&](int64_t instant) {
      return static_cast<int>(std::lower_bound(instants.begin(), instants.end(), instant) -
                              instants.begin());
    };
    sections = static_cast<int>(instants.size()) - 1;
    for (int m : this->members) {
      first.push_back(section(buffers[m].begin));
      last.push_back(section(buffers[m].end));
    }
  }

  /// Finds a packing no higher than `capacity` within `share` of the work; offsets by member.
  /// `rule` picks one of the ways in which the candidates of a node are ordered.
  bool run(int64_t capacity, int64_t share, int rule, std::vector<int64_t> &result) {
    size_t count = members.size();
    limit = capacity;
    stopAt = work - std::min(share, work);
    floors.assign(sections, 0);
    remaining.assign(sections, 0);
    offsets.assign(count, 0);
    placed.assign(count, false);
    for (size_t i = 0; i < count; ++i) {
      for (int s = first[i]; s < last[i]; ++s) {
        remaining[s] += buffers[members[i]].bytes;
      }
    }
    rank.resize(count);
    std::iota(rank.begin(), rank.end(), 0);
    auto key = [&](int i) -> double {
      double bytes = static_cast<double>(buffers[members[i]].bytes);
      double life = last[i] - first[i];
      double pressure = 0;
      for (int s = first[i]; s < last[i]; ++s) {
        pressure = std::max(pressure, static_cast<double>(remaining[s]));
      }
      return rule == 0   ? bytes * life
             : rule == 1 ? life * 1e15 + bytes
                         : pressure * 1e3 + bytes * life * 1e-9;
    };
    std::stable_sort(rank.begin(), rank.end(), [&](int a, int b) { return key(a) > key(b); });
    if (!descend(count, 0)) {
      return false;
    }
    result = offsets;
    return true;
  }

private:
  bool descend(size_t left, int64_t lowest) {
    if (left == 0) {
      return true;
    }
    // The floor of each unplaced buffer, and the least top that any of them reaches: a buffer whose
    // floor is at or above that top can wait, as placing the lower one first loses nothing.
    struct Candidate {
      int member;
      int64_t floor;
    };
    std::vector<Candidate> candidates;
    int64_t leastTop = INT64_MAX;
    for (int i : rank) {
      if (placed[i]) {
        continue;
      }
      const Buffer &buffer = buffers[members[i]];
      int64_t floor = lowest;
      for (int s = first[i]; s < last[i]; ++s) {
        floor = std::max(floor, floors[s]);
      }
      work -= last[i] - first[i];
      floor = (floor + buffer.alignment - 1) / buffer.alignment * buffer.alignment;
      if (floor + buffer.bytes > limit) {
        return false;
      }
      leastTop = std::min(leastTop, floor + buffer.bytes);
      candidates.push_back({i, floor});
    }
    std::erase_if(candidates, [&](const Candidate &c) { return c.floor >= leastTop; });
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate &a, const Candidate &b) { return a.floor < b.floor; });
    for (const Candidate &candidate : candidates) {
      if (work <= stopAt) {
        return false;
      }
      if (place(candidate.member, candidate.floor, left)) {
        return true;
      }
    }
    return false;
  }

  bool place(int i, int64_t floor, size_t left) {
    int64_t bytes = buffers[members[i]].bytes;
    std::vector<int64_t> saved(floors.begin() + first[i], floors.begin() + last[i]);
    bool alive = true;
    for (int s = first[i]; s < last[i]; ++s) {
      floors[s] = floor + bytes;
      remaining[s] -= bytes;
      alive &= floors[s] + remaining[s] <= limit;
    }
    // Nothing placed from here on lies below `floor`, which wastes the room under it elsewhere.
    for (int s = 0; alive && s < sections; ++s) {
      alive = std::max(floors[s], remaining[s] > 0 ? floor : 0) + remaining[s] <= limit;
    }
    work -= sections;
    offsets[i] = floor;
    placed[i] = true;
    if (alive && descend(left - 1, floor)) {
      return true;
    }
    placed[i] = false;
    for (int s = first[i]; s < last[i]; ++s) {
      floors[s] = saved[s - first[i]];
      remaining[s] += bytes;
    }
    return false;
  }

  const std::vector<Buffer> &buffers;
  std::vector<int> members;
  int64_t &work;
  int64_t stopAt = 0;
  int64_t limit = 0;
  int sections = 0;
  std::vector<int> first, last, rank;
  std::vector<int64_t> floors, remaining, offsets;
  std::vector<bool> placed;
};

} // namespace

bool searchPackings(const std::vector<Buffer> &buffers, int64_t target, int64_t &work,
                    std::vector<int64_t> &offsets, int64_t &height) {
  // Parts of the time line that no buffer spans are packed on their own.
  std::vector<int> byBegin(buffers.size());
  std::iota(byBegin.begin(), byBegin.end(), 0);
  std::stable_sort(byBegin.begin(), byBegin.end(),
                   [&](int a, int b) { return buffers[a].begin < buffers[b].begin; });
  std::vector<std::vector<int>> parts;
  int64_t reach = INT64_MIN;
  for (int i : byBegin) {
    if (parts.empty() || buffers[i].begin >= reach) {
      parts.emplace_back();
    }
    parts.back().push_back(i);
    reach = std::max(reach, buffers[i].end);
  }

  bool improved = false;
  // The bound first, then by halves: a capacity that the share of the work does not settle counts
  // as too low.
  int64_t low = target;
  int64_t high = height;
  bool first = true;
  while (low < high && work > 0) {
    int64_t capacity = first ? low : low + (high - low) / 2;
    first = false;
    std::vector<int64_t> trial = offsets;
    bool solved = true;
    for (const std::vector<int> &part : parts) {
      int64_t top = 0;
      for (int m : part) {
        top = std::max(top, offsets[m] + buffers[m].bytes);
      }
      if (top <= capacity) {
        continue;
      }
      std::vector<int64_t> found;
      bool done = false;
      for (int rule = 0; rule < 3 && !done && work > 0; ++rule) {
        Search search(buffers, part, work);
        done = search.run(capacity, std::max<int64_t>(work / 8, 1), rule, found);
      }
      if (!done) {
        solved = false;
        break;
      }
      for (size_t k = 0; k < part.size(); ++k) {
        trial[part[k]] = found[k];
      }
    }
    if (solved) {
      int64_t top = 0;
      for (size_t i = 0; i < buffers.size(); ++i) {
        top = std::max(top, trial[i] + buffers[i].bytes);
      }
      offsets = trial;
      height = top;
      high = top;
      improved = true;
    } else {
      low = capacity + 1;
    }
    if ((high - low) * 1000 < high) {
      break; // within a tenth of a percent
    }
  }
  return improved;
}

} // namespace ciuic::solver

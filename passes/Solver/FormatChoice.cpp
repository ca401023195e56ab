// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See FormatChoice.h. One routine minimises y subject to Σx ≤ capacity; least loss has bytes for x,
// least bytes has loss for x. Limits on blocks nest in the limit on everything, so that where both
// bind, blocks and the rest are two separate knapsacks.
#include "passes/Solver/FormatChoice.h"

#include <algorithm>
#include <cmath>

namespace ciuic::solver {
namespace {

struct Point {
  double x = 0, y = 0;
};

struct Knapsack {
  std::vector<std::vector<Point>> items;
  double capacity = std::numeric_limits<double>::infinity();
};

struct Picked {
  std::vector<int> option;
  double x = 0, y = 0, bound = 0;
  bool fits = true;
};

// Options on the lower left hull, least x first: each next one has more x, less y, and a gain per x
// that only falls.
std::vector<int> hullOf(const std::vector<Point> &points) {
  std::vector<int> order(points.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<int>(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return points[a].x != points[b].x ? points[a].x < points[b].x : points[a].y < points[b].y;
  });
  std::vector<int> hull;
  for (int i : order) {
    const Point &p = points[i];
    if (!hull.empty() && p.y >= points[hull.back()].y) {
      continue; // not better than what costs no more
    }
    while (hull.size() >= 2) {
      const Point &a = points[hull[hull.size() - 2]], &b = points[hull.back()];
      if ((a.y - b.y) * (p.x - b.x) > (b.y - p.y) * (b.x - a.x)) {
        break;
      }
      hull.pop_back();
    }
    hull.push_back(i);
  }
  return hull;
}

struct Step {
  int item, level; // from hull[level] to hull[level + 1]
  double x, gain;
};

// All steps in the order in which the relaxation takes them: falling gain per x. Within an item
// they fall by themselves, so stable sorting keeps an item's steps in order.
std::vector<Step> stepsOf(const Knapsack &problem, const std::vector<std::vector<int>> &hulls) {
  std::vector<Step> steps;
  for (size_t i = 0; i < hulls.size(); ++i) {
    for (size_t level = 0; level + 1 < hulls[i].size(); ++level) {
      const Point &a = problem.items[i][hulls[i][level]],
                  &b = problem.items[i][hulls[i][level + 1]];
      steps.push_back({static_cast<int>(i), static_cast<int>(level), b.x - a.x, a.y - b.y});
    }
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step &a, const Step &b) { return a.gain * b.x > b.gain * a.x; });
  return steps;
}

void sumUp(const Knapsack &problem, Picked &picked) {
  picked.x = picked.y = 0;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    picked.x += problem.items[i][picked.option[i]].x;
    picked.y += problem.items[i][picked.option[i]].y;
  }
}

// Trades two items' options against each other while that lowers y within the capacity.
void exchange(const Knapsack &problem, Picked &picked) {
  const size_t count = problem.items.size();
  size_t options = 0;
  for (const auto &item : problem.items) {
    options = std::max(options, item.size());
  }
  constexpr double kWork = 4e8; // comparisons; beyond it the greedy answer stands
  const double round = static_cast<double>(count * options) * static_cast<double>(count * options);
  const int rounds = static_cast<int>(std::min(40.0, kWork / std::max(1.0, round)));
  for (int r = 0; r < rounds; ++r) {
    bool better = false;
    for (size_t i = 0; i < count; ++i) {
      const double room = problem.capacity - picked.x;
      double bestGain = 1e-12 * (1 + std::fabs(picked.y));
      int bestOption = -1, other = -1, otherOption = -1;
      const auto &mine = problem.items[i];
      for (size_t a = 0; a < mine.size(); ++a) {
        const double dx = mine[a].x - mine[picked.option[i]].x;
        const double gain = mine[picked.option[i]].y - mine[a].y;
        if (gain > bestGain && dx <= room) {
          bestGain = gain, bestOption = static_cast<int>(a), other = -1;
        }
        if (gain <= bestGain) {
          continue; // the partner pays, so what i gains alone must exceed the best
        }
        for (size_t j = 0; j < count; ++j) {
          if (j == i) {
            continue;
          }
          const auto &theirs = problem.items[j];
          const Point &now = theirs[picked.option[j]];
          for (size_t b = 0; b < theirs.size(); ++b) {
            const double both = gain + now.y - theirs[b].y;
            if (both > bestGain && dx + theirs[b].x - now.x <= room) {
              bestGain = both, bestOption = static_cast<int>(a);
              other = static_cast<int>(j), otherOption = static_cast<int>(b);
            }
          }
        }
      }
      if (bestOption >= 0) {
        picked.option[i] = bestOption;
        if (other >= 0) {
          picked.option[other] = otherOption;
        }
        sumUp(problem, picked);
        better = true;
      }
    }
    if (!better) {
      return;
    }
  }
}

// `least`: x that the answer should reach where the options allow, though it may pass the capacity.
Picked solve(const Knapsack &problem, double least = 0) {
  Picked picked;
  std::vector<std::vector<int>> hulls;
  for (const auto &item : problem.items) {
    hulls.push_back(hullOf(item));
    picked.option.push_back(hulls.back().front());
  }
  sumUp(problem, picked);
  picked.bound = picked.y;
  picked.fits = picked.x <= problem.capacity;
  std::vector<int> level(problem.items.size(), 0);
  bool whole = picked.fits; // the relaxation still takes whole steps
  for (const Step &step : stepsOf(problem, hulls)) {
    const double room = problem.capacity - picked.x;
    if (whole && step.x > room) {
      picked.bound -= step.gain * (room > 0 ? room / step.x : 0);
      whole = false;
    } else if (whole) {
      picked.bound -= step.gain;
    }
    if (level[step.item] == step.level && (step.x <= room || picked.x < least)) {
      level[step.item] = step.level + 1;
      picked.option[step.item] = hulls[step.item][step.level + 1];
      picked.x += step.x;
    }
  }
  sumUp(problem, picked);
  if (picked.x <= problem.capacity) {
    const Picked greedy = picked;
    exchange(problem, picked);
    if (picked.x < least) {
      picked = greedy;
    }
  }
  picked.bound =
      std::min(picked.bound, picked.y); // sums in another order may differ in the last bit
  return picked;
}

Knapsack knapsackOf(const FormatProblem &problem, std::optional<bool> block, double capacity,
                    std::vector<int> *indices = nullptr) {
  Knapsack result;
  result.capacity = capacity;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    if (block && problem.items[i].block != *block) {
      continue;
    }
    std::vector<Point> points;
    for (const FormatOption &option : problem.items[i].options) {
      const double bytes = static_cast<double>(option.bytes);
      points.push_back(problem.goal == FormatProblem::Goal::LeastLoss ? Point{bytes, option.loss}
                                                                      : Point{option.loss, bytes});
    }
    result.items.push_back(std::move(points));
    if (indices) {
      indices->push_back(static_cast<int>(i));
    }
  }
  return result;
}

FormatChoice choiceOf(const FormatProblem &problem, std::vector<int> option, double bound,
                      bool fits) {
  FormatChoice choice;
  choice.option = std::move(option);
  choice.bound = bound;
  choice.fits = fits;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const FormatOption &taken = problem.items[i].options[choice.option[i]];
    choice.bytes += taken.bytes;
    choice.blockBytes += problem.items[i].block ? taken.bytes : 0;
    choice.loss += taken.loss;
  }
  return choice;
}

} // namespace

std::optional<std::string> check(const FormatProblem &problem) {
  constexpr int64_t kMost = int64_t(1) << 52; // exact in a double
  int64_t most = 0;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    if (problem.items[i].options.empty()) {
      return "item " + std::to_string(i) + " has no options";
    }
    int64_t largest = 0;
    for (const FormatOption &option : problem.items[i].options) {
      if (option.bytes < 0 || option.bytes > kMost) {
        return "item " + std::to_string(i) + ": bytes out of range";
      }
      if (!std::isfinite(option.loss) || option.loss < 0) {
        return "item " + std::to_string(i) + ": a loss must be finite and not negative";
      }
      largest = std::max(largest, option.bytes);
    }
    most += largest;
    if (most > kMost) {
      return "the items' bytes add up to more than 2^52";
    }
  }
  if (problem.blockBytesMin > problem.blockBytesMax) {
    return "the least block bytes exceed the most";
  }
  return std::nullopt;
}

FormatChoice chooseFormats(const FormatProblem &problem) {
  if (problem.goal == FormatProblem::Goal::LeastBytes) {
    Picked all = solve(knapsackOf(problem, std::nullopt, problem.totalLoss));
    return choiceOf(problem, std::move(all.option), all.bound, all.fits);
  }
  // 1. Everything under the one limit.
  const double total = static_cast<double>(problem.totalBytes);
  Picked all = solve(knapsackOf(problem, std::nullopt, total));
  FormatChoice choice = choiceOf(problem, std::move(all.option), all.bound, all.fits);
  if (choice.blockBytes <= problem.blockBytesMax && choice.blockBytes >= problem.blockBytesMin) {
    return choice;
  }
  // 2. A limit on blocks binds: they fill it, and the rest has what is left.
  std::vector<int> blockIndex, restIndex;
  const bool floor = choice.blockBytes < problem.blockBytesMin;
  Picked blocks =
      solve(knapsackOf(problem, true,
                       static_cast<double>(floor ? problem.blockBytesMin : problem.blockBytesMax),
                       &blockIndex),
            static_cast<double>(problem.blockBytesMin));
  Picked rest = solve(knapsackOf(problem, false, total - blocks.x, &restIndex));
  std::vector<int> option(problem.items.size());
  for (size_t i = 0; i < blockIndex.size(); ++i) {
    option[blockIndex[i]] = blocks.option[i];
  }
  for (size_t i = 0; i < restIndex.size(); ++i) {
    option[restIndex[i]] = rest.option[i];
  }
  // With a floor the relaxation of step 1 is the bound that holds: it has fewer constraints.
  const double bound = floor ? choice.bound : blocks.bound + rest.bound;
  const bool fits = rest.fits && (floor ? blocks.x >= static_cast<double>(problem.blockBytesMin) &&
                                              blocks.x <= static_cast<double>(problem.blockBytesMax)
                                        : blocks.fits);
  return choiceOf(problem, std::move(option), std::min(bound, blocks.y + rest.y), fits);
}

std::optional<std::string> validate(const FormatProblem &problem, const FormatChoice &choice) {
  if (choice.option.size() != problem.items.size()) {
    return "one option per item is needed";
  }
  int64_t bytes = 0, blockBytes = 0;
  double loss = 0;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const FormatItem &item = problem.items[i];
    if (choice.option[i] < 0 || choice.option[i] >= static_cast<int>(item.options.size())) {
      return "item " + std::to_string(i) + " has no option " + std::to_string(choice.option[i]);
    }
    bytes += item.options[choice.option[i]].bytes;
    blockBytes += item.block ? item.options[choice.option[i]].bytes : 0;
    loss += item.options[choice.option[i]].loss;
  }
  if (bytes != choice.bytes || blockBytes != choice.blockBytes ||
      std::fabs(loss - choice.loss) > 1e-9 * (1 + loss)) {
    return "sums differ from the options'";
  }
  const bool least = problem.goal == FormatProblem::Goal::LeastLoss;
  if (choice.fits && least && (bytes > problem.totalBytes || blockBytes > problem.blockBytesMax)) {
    return "more bytes than the limits allow";
  }
  if (choice.fits && !least && loss > problem.totalLoss * (1 + 1e-12)) {
    return "more loss than the limit allows";
  }
  const double value = least ? loss : static_cast<double>(bytes);
  if (choice.bound > value * (1 + 1e-9) + 1e-12) {
    return "the bound exceeds the choice's value";
  }
  return std::nullopt;
}

} // namespace ciuic::solver

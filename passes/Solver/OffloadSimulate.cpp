// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Discrete-event simulation of a pass: launches in order on one stream, copies in order on one
// stream a direction. A launch waits for its copies, a copy for the launch that frees its slot.
// While a copy runs, the launch beside it advances at the `hide` rate of its step; the copy is not
// slowed. Passes are apart: the runtime returns from a run when all copies have ended, those for
// the next run too.

#include "passes/Solver/OffloadParts.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace ciuic::solver {

double copyMicroseconds(const Link &link, int64_t bytes) {
  if (bytes <= 0) {
    return 0;
  }
  const std::vector<RatePoint> &rates = link.rates;
  double rate = rates.front().gigabytesPerSecond;
  if (bytes >= rates.back().bytes) {
    rate = rates.back().gigabytesPerSecond;
  } else if (bytes > rates.front().bytes) {
    auto above = std::upper_bound(rates.begin(), rates.end(), bytes,
                                  [](int64_t b, const RatePoint &p) { return b < p.bytes; });
    const RatePoint &high = *above;
    const RatePoint &low = *(above - 1);
    double share = std::log(static_cast<double>(bytes) / static_cast<double>(low.bytes)) /
                   std::log(static_cast<double>(high.bytes) / static_cast<double>(low.bytes));
    rate = low.gigabytesPerSecond + share * (high.gigabytesPerSecond - low.gigabytesPerSecond);
  }
  return link.latencyMicroseconds + static_cast<double>(bytes) / (rate * 1e3);
}

double copyMicroseconds(const OffloadProblem &problem, const Copy &copy) {
  double link = copyMicroseconds(leaves(copy.kind) ? problem.toHost : problem.toDevice, copy.bytes);
  return copy.fromDisk ? std::max(link, static_cast<double>(copy.bytes) /
                                            (problem.diskGigabytesPerSecond * 1e3))
                       : link;
}

namespace {

constexpr int kDirections = 2; // to the device, to the host

struct CopyStream {
  std::vector<int> after;           // by place in the stream
  std::vector<double> microseconds; // the same
  std::vector<size_t> need;         // by launch: copies that must be done
  size_t done = 0;
  bool running = false;
  double left = 0;
};

/// The simulation itself. With a recorder, every span.
struct Recorder {
  std::vector<Timeline::Span> launches;
  std::vector<Timeline::Span> copies[kDirections];
};

Pass run(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan, double copyScale,
         Recorder *recorder) {
  int launches = static_cast<int>(plan.launches.size());
  CopyStream streams[kDirections];
  for (CopyStream &stream : streams) {
    stream.need.assign(launches, 0);
  }
  for (const Copy &copy : plan.copies) {
    CopyStream &stream = streams[leaves(copy.kind) ? 1 : 0];
    stream.after.push_back(copy.after);
    double scale = copy.kind == CopyKind::TileOut ? 1 : copyScale;
    stream.microseconds.push_back(scale * copyMicroseconds(problem, copy));
    if (copy.before < launches) {
      stream.need[copy.before] = stream.after.size();
    }
  }

  int done = 0;
  bool running = false;
  double left = 0;
  Pass pass;
  double rest = 0;
  while (true) {
    if (!running && done < launches) {
      running = std::all_of(std::begin(streams), std::end(streams), [&](const CopyStream &stream) {
        return stream.need[done] <= stream.done;
      });
      left = running ? plan.launches[done].microseconds : 0;
      if (running && recorder) {
        recorder->launches.push_back({pass.time, pass.time});
      }
    }
    bool copying = false;
    for (CopyStream &stream : streams) {
      if (!stream.running && stream.done < stream.after.size() &&
          done > stream.after[stream.done]) {
        stream.running = true;
        stream.left = stream.microseconds[stream.done];
        if (recorder) {
          recorder->copies[&stream - streams].push_back({pass.time, pass.time});
        }
      }
      copying |= stream.running;
    }
    double rate = copying && running ? entry.steps[plan.launches[done].step].hide : 1;
    double dt = std::numeric_limits<double>::infinity();
    if (running && rate > 0) {
      dt = left / rate;
    }
    for (const CopyStream &stream : streams) {
      dt = stream.running ? std::min(dt, stream.left) : dt;
    }
    if (!std::isfinite(dt)) {
      // The end, or nothing can go on: validate() names the cycle.
      return done == launches ? pass : Pass{dt, dt};
    }
    pass.time += dt;
    pass.stall += running ? 0 : dt;
    rest += streams[0].running ? 0 : dt;
    pass.rest = 2 * done < launches ? rest : pass.rest;
    for (CopyStream &stream : streams) {
      if (stream.running && stream.left <= dt) {
        stream.running = false;
        ++stream.done;
        if (recorder) {
          recorder->copies[&stream - streams].back().end = pass.time;
        }
      } else {
        stream.left -= dt;
      }
    }
    if (running) {
      // What finishes now is decided by the comparison that chose dt, not by a difference that
      // rounds.
      if (rate > 0 && left / rate <= dt) {
        running = false;
        ++done;
        if (recorder) {
          recorder->launches.back().end = pass.time;
        }
      } else {
        left -= dt * rate;
      }
    }
  }
}

} // namespace

Pass simulate(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan,
              double copyScale) {
  return run(problem, entry, plan, copyScale, nullptr);
}

Timeline timelineOf(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan) {
  Recorder recorder;
  Timeline timeline;
  timeline.pass = run(problem, entry, plan, 1, &recorder).time;
  auto take = [](const std::vector<Timeline::Span> &spans, size_t index) {
    return index < spans.size() ? spans[index] : Timeline::Span{};
  };
  for (size_t l = 0; l < plan.launches.size(); ++l) {
    timeline.launches.push_back(take(recorder.launches, l));
  }
  size_t places[kDirections] = {0, 0};
  for (const Copy &copy : plan.copies) {
    int direction = leaves(copy.kind);
    timeline.copies.push_back(take(recorder.copies[direction], places[direction]++));
  }
  return timeline;
}

} // namespace ciuic::solver

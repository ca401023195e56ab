// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Discrete-event simulation of passes back to back: launches in order on one stream, copies in
// order on one stream a direction. A launch waits for its copies, a copy for the launch that frees
// its slot. While a copy runs, the launch beside it advances at the `hide` rate of its step; the
// copy is not slowed. The last pass, once passes repeat, is the prediction.

#include "passes/Solver/OffloadParts.h"

#include <algorithm>
#include <cmath>
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
constexpr int kMostPasses = 8;

struct CopyStream {
  std::vector<int> after;           // by place in the stream
  std::vector<double> microseconds; // the same
  std::vector<int64_t> need;        // by launch: copies of this pass that must be done
  std::vector<int64_t> needBefore;  // by launch: copies of the pass before that must be done
  int64_t done = 0;                 // over all passes
  bool running = false;
  double left = 0;
};

/// The simulation itself. With a recorder, every span of every pass, in absolute time.
struct Recorder {
  std::vector<double> passStarts;
  std::vector<Timeline::Span> launches;
  std::vector<Timeline::Span> copies[kDirections];
};

Pass run(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan, double copyScale,
         Recorder *recorder) {
  int64_t launches = static_cast<int64_t>(plan.launches.size());
  CopyStream streams[kDirections];
  for (CopyStream &stream : streams) {
    stream.need.assign(launches, 0);
    stream.needBefore.assign(launches, 0);
  }
  for (const Copy &copy : plan.copies) {
    bool out = leaves(copy.kind);
    CopyStream &stream = streams[out ? 1 : 0];
    stream.after.push_back(copy.after);
    double scale = copy.kind == CopyKind::TileOut ? 1 : copyScale;
    stream.microseconds.push_back(scale * copyMicroseconds(problem, copy));
    int64_t place = static_cast<int64_t>(stream.after.size());
    (copy.before < launches ? stream.need[copy.before]
                            : stream.needBefore[copy.before - launches]) = place;
  }

  int64_t done = 0;
  bool running = false;
  double left = 0;
  double now = 0;
  double passStart = 0;
  double passTime = 0;
  double stalled = 0;
  double passStall = 0;
  for (int pass = 0; pass < kMostPasses && launches > 0;) {
    int64_t launch = done - pass * launches;
    if (!running) {
      running = true;
      for (const CopyStream &stream : streams) {
        int64_t count = static_cast<int64_t>(stream.after.size());
        running &= pass * count + stream.need[launch] <= stream.done || stream.need[launch] == 0;
        running &= pass == 0 || stream.needBefore[launch] == 0 ||
                   (pass - 1) * count + stream.needBefore[launch] <= stream.done;
      }
      left = running ? plan.launches[launch].microseconds : 0;
      if (running && recorder) {
        recorder->launches.push_back({now, now});
      }
    }
    bool copying = false;
    for (CopyStream &stream : streams) {
      int64_t count = static_cast<int64_t>(stream.after.size());
      if (!stream.running && count > 0) {
        int64_t place = stream.done % count;
        if (done >= stream.done / count * launches + stream.after[place] + 1) {
          stream.running = true;
          stream.left = stream.microseconds[place];
          if (recorder) {
            recorder->copies[&stream - streams].push_back({now, now});
          }
        }
      }
      copying |= stream.running;
    }
    double rate = copying && running ? entry.steps[plan.launches[launch].step].hide : 1;
    double dt = std::numeric_limits<double>::infinity();
    if (running && rate > 0) {
      dt = left / rate;
    }
    for (const CopyStream &stream : streams) {
      dt = stream.running ? std::min(dt, stream.left) : dt;
    }
    if (!std::isfinite(dt)) {
      return {dt, dt}; // nothing can go on: validate() names the cycle
    }
    now += dt;
    stalled += running ? 0 : dt;
    for (CopyStream &stream : streams) {
      if (stream.running && stream.left <= dt) {
        stream.running = false;
        ++stream.done;
        if (recorder) {
          recorder->copies[&stream - streams].back().end = now;
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
          recorder->launches.back().end = now;
        }
      } else {
        left -= dt * rate;
      }
    }
    if (done == (pass + 1) * launches) {
      double time = now - passStart;
      bool steady = pass > 0 && std::abs(time - passTime) <= 1e-9 * time;
      passTime = time;
      passStall = stalled;
      passStart = now;
      if (recorder) {
        recorder->passStarts.push_back(now);
      }
      stalled = 0;
      if (steady || plan.copies.empty()) {
        break;
      }
      ++pass;
    }
  }
  return {passTime, passStall};
}

} // namespace

Pass simulate(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan,
              double copyScale) {
  return run(problem, entry, plan, copyScale, nullptr);
}

Timeline timelineOf(const OffloadProblem &problem, const Entry &entry, const EntryPlan &plan) {
  Recorder recorder;
  recorder.passStarts.push_back(0);
  Timeline timeline;
  timeline.pass = run(problem, entry, plan, 1, &recorder).time;
  // The last pass but one: its copies into the next pass are complete.
  size_t pass = recorder.passStarts.size() >= 3 ? recorder.passStarts.size() - 3 : 0;
  double start = recorder.passStarts[pass];
  auto take = [&](const std::vector<Timeline::Span> &spans, size_t index) {
    Timeline::Span span = index < spans.size() ? spans[index] : Timeline::Span{start, start};
    return Timeline::Span{span.begin - start, span.end - start};
  };
  for (size_t l = 0; l < plan.launches.size(); ++l) {
    timeline.launches.push_back(take(recorder.launches, pass * plan.launches.size() + l));
  }
  size_t counts[kDirections] = {0, 0};
  for (const Copy &copy : plan.copies) {
    ++counts[leaves(copy.kind)];
  }
  size_t places[kDirections] = {0, 0};
  for (const Copy &copy : plan.copies) {
    int direction = leaves(copy.kind);
    timeline.copies.push_back(
        take(recorder.copies[direction], pass * counts[direction] + places[direction]++));
  }
  return timeline;
}

} // namespace ciuic::solver

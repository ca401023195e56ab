// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gathers the plan into one JSON value and puts it into the page (page.html), whose script draws
// it.

#include "tools/report/Report.h"

#include "tools/report/Page.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace ciuic::tool {

namespace {

using Json = nlohmann::ordered_json;
using namespace ciuic::solver;

/// Microseconds to a hundredth: enough for a page, and short.
double rounded(double microseconds) { return std::round(microseconds * 100) / 100; }

std::string unitName(const OffloadProblem &problem, const Unit &unit) {
  std::string name;
  for (size_t i = 0; i < unit.pieces.size() && i < 4; ++i) {
    const Piece &piece = unit.pieces[i];
    const Weight &weight = problem.weights[piece.weight];
    name += (i == 0 ? "" : ", ") + weight.name;
    if (piece.begin > 0 || piece.end < weight.bytes) {
      name += " [" + std::to_string(piece.begin) + ", " + std::to_string(piece.end) + ")";
    }
  }
  if (unit.pieces.size() > 4) {
    name += " and " + std::to_string(unit.pieces.size() - 4) + " more";
  }
  return name;
}

/// [begin, end) of a step's launches in time.
Timeline::Span spanOfSteps(const EntryPlan &plan, const Timeline &timeline, int begin, int end) {
  auto first = [&](int step) {
    return std::partition_point(plan.launches.begin(), plan.launches.end(),
                                [&](const Launch &l) { return l.step < step; }) -
           plan.launches.begin();
  };
  size_t from = static_cast<size_t>(first(begin));
  size_t to = static_cast<size_t>(first(end));
  if (from >= timeline.launches.size()) {
    return {timeline.pass, timeline.pass};
  }
  return {timeline.launches[from].begin,
          to < timeline.launches.size() ? timeline.launches[to].begin : timeline.pass};
}

/// What the slots hold over the pass: [offset, unit, loading from, ready from, until].
Json slotSpans(const OffloadPlan &plan, const EntryPlan &entryPlan, const Timeline &timeline) {
  struct Held {
    Slot slot;
    double loading, ready, until;
  };
  std::vector<Held> held;
  for (const Slot &slot : entryPlan.initialSlots) {
    held.push_back({slot, 0, 0, timeline.pass});
  }
  auto end = [&](const Slot &slot) { return slot.offset + plan.units[slot.unit].bytes; };
  for (size_t c = 0; c < entryPlan.copies.size(); ++c) {
    const Copy &copy = entryPlan.copies[c];
    if (copy.kind != CopyKind::LoadUnit) {
      continue;
    }
    Slot slot = {copy.unit, copy.slot};
    for (Held &before : held) {
      if (before.slot.offset < end(slot) && slot.offset < end(before.slot)) {
        before.until = std::min(before.until, timeline.copies[c].begin);
      }
    }
    held.push_back({slot, timeline.copies[c].begin, timeline.copies[c].end, timeline.pass});
  }
  Json spans = Json::array();
  for (const Held &h : held) {
    spans.push_back(
        {h.slot.offset, h.slot.unit, rounded(h.loading), rounded(h.ready), rounded(h.until)});
  }
  return spans;
}

Json entryJson(const OffloadProblem &problem, const OffloadPlan &plan, size_t index) {
  const Entry &entry = problem.entries[index];
  const EntryPlan &entryPlan = plan.entries[index];
  Timeline timeline = timelineOf(problem, entry, entryPlan);
  Json launches = Json::array();
  for (size_t l = 0; l < entryPlan.launches.size(); ++l) {
    const Launch &launch = entryPlan.launches[l];
    std::string name = entry.steps[launch.step].name;
    for (size_t u = 0; u < launch.operands.size(); ++u) {
      const Operand &operand = launch.operands[u];
      if (operand.hostGather) {
        name += "; rows gathered on the host";
      } else if (operand.begin > 0 || operand.end < problem.weights[operand.weight].bytes) {
        name +=
            "; tiles [" + std::to_string(operand.begin) + ", " + std::to_string(operand.end) + ")";
      }
    }
    launches.push_back(
        {name, rounded(timeline.launches[l].begin), rounded(timeline.launches[l].end)});
  }
  Json copies = Json::array();
  for (size_t c = 0; c < entryPlan.copies.size(); ++c) {
    const Copy &copy = entryPlan.copies[c];
    bool load = copy.kind == CopyKind::LoadUnit;
    std::string name =
        load ? unitName(problem, plan.units[copy.unit]) + " to " + std::to_string(copy.slot)
             : entry.buffers[entryPlan.segments[copy.segment].buffer].name +
                   (copy.kind == CopyKind::TileOut   ? ": a tile leaves"
                    : copy.kind == CopyKind::SwapOut ? " leaves"
                                                     : " comes back");
    if (copy.kind != CopyKind::TileOut &&
        copy.before >= static_cast<int>(entryPlan.launches.size())) {
      name += ", for the next pass";
    }
    copies.push_back({name, leaves(copy.kind) ? 1 : 0, copy.bytes,
                      rounded(timeline.copies[c].begin), rounded(timeline.copies[c].end)});
  }
  Json segments = Json::array();
  for (const Segment &segment : entryPlan.segments) {
    Timeline::Span span = spanOfSteps(entryPlan, timeline, segment.begin, segment.end);
    std::string name = segment.buffer >= 0 ? entry.buffers[segment.buffer].name
                                           : "scratch of " + entry.steps[-1 - segment.buffer].name;
    name += segment.tile ? ", a tile" : "";
    segments.push_back(
        {name, segment.offset, segment.bytes, rounded(span.begin), rounded(span.end)});
  }
  return {{"name", entry.name},
          {"pass", rounded(timeline.pass)},
          {"compute", rounded(entryPlan.computeMicroseconds)},
          {"stall", rounded(entryPlan.stallMicroseconds)},
          {"bound", rounded(entryPlan.lowerBoundMicroseconds)},
          {"gap", entryPlan.gap},
          {"h2d", entryPlan.copiedToDevice},
          {"d2h", entryPlan.copiedToHost},
          {"launches", std::move(launches)},
          {"copies", std::move(copies)},
          {"segments", std::move(segments)},
          {"slots", slotSpans(plan, entryPlan, timeline)}};
}

} // namespace

std::string htmlReport(const OffloadProblem &problem, const OffloadPlan &plan,
                       const ReportInfo &info) {
  Json units = Json::array();
  for (const Unit &unit : plan.units) {
    units.push_back({unitName(problem, unit), unit.bytes, unit.residentOffset});
  }
  Json entries = Json::array();
  for (size_t e = 0; e < plan.entries.size(); ++e) {
    entries.push_back(entryJson(problem, plan, e));
  }
  Json formats = Json::array();
  for (const ReportInfo::Format &format : info.formats) {
    formats.push_back({format.weight, format.format, format.bytes, format.relativeError});
  }
  Json data = {{"model", info.model},
               {"quality", info.quality},
               {"profile", info.profile},
               {"budget", info.budgetBytes},
               {"reserve", info.reserveBytes},
               {"policy", plan.policy},
               {"arena", plan.arenaBytes},
               {"need", plan.needBytes},
               {"resident", plan.residentBytes},
               {"streamed", plan.streamedBytes},
               {"persistent", {plan.persistentOffset, problem.persistentBytes}},
               {"slots", {plan.slotsOffset, plan.slotsBytes}},
               {"activations", plan.activationOffset},
               {"units", std::move(units)},
               {"entries", std::move(entries)},
               {"formats", std::move(formats)}};
  std::string text = data.dump(-1, ' ', false, Json::error_handler_t::replace);
  // Names come from the model: nothing in them may end the script element that holds the data.
  std::string safe;
  for (char c : text) {
    safe += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  std::string page(kReportPage);
  constexpr std::string_view kMark = "\"REPORT DATA\"";
  page.replace(page.find(kMark), kMark.size(), safe);
  return page;
}

} // namespace ciuic::tool

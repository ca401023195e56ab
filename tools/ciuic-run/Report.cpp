// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/ciuic-run/Report.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ciuic::run {

using Json = nlohmann::ordered_json;

/// Nearest rank.
static double percentile(const std::vector<double> &sorted, double p) {
  size_t rank = static_cast<size_t>(std::ceil(p * static_cast<double>(sorted.size())));
  return sorted[std::min(sorted.size(), std::max<size_t>(rank, 1)) - 1];
}

static double median(const std::vector<double> &sorted) {
  size_t n = sorted.size();
  return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

static std::string dump(const Json &json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string jsonReport(const Options &o, const Result &r) {
  Json json;
  json["program"] = o.program;
  json["device"] = r.device;
  json["entry"] = r.entry.name;
  json["quality"] = r.program.quality;
  json["budget_bytes"] = r.budgetBytes;
  json["reserve_bytes"] = r.program.reserve_bytes;
  json["peak_device_bytes"] = r.last.peak_device_bytes;
  json["process_device_bytes"] = r.processBytes >= 0 ? Json(r.processBytes) : Json(nullptr);
  json["arena_bytes"] = r.program.arena_bytes;
  json["host_bytes"] = r.program.host_bytes;
  json["unpinned_host_bytes"] = r.last.unpinned_host_bytes;
  json["disk_mode"] = r.diskMode.empty() ? Json(nullptr) : Json(r.diskMode);
  json["iterations"] = o.iterations;
  json["load_ms"] = r.loadMs;
  json["latency_ms"] = {{"min", r.latencyMs.front()},
                        {"median", median(r.latencyMs)},
                        {"p90", percentile(r.latencyMs, 0.9)},
                        {"p99", percentile(r.latencyMs, 0.99)}};
  json["predicted_ms"] = r.entry.predicted_ms;
  json["lower_bound_ms"] = r.entry.lower_bound_ms;
  json["gap"] = r.entry.gap;
  json["copied_bytes"] = {
      {"h2d", r.last.h2d_bytes}, {"d2h", r.last.d2h_bytes}, {"disk", r.last.disk_bytes}};
  json["stall_ms"] = r.last.stall_ms >= 0 ? Json(r.last.stall_ms) : Json(nullptr);
  json["outputs"] = Json::array();
  for (const OutputResult &out : r.outputs) {
    char hash[17];
    std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(out.hash));
    json["outputs"].push_back({{"name", out.name},
                               {"shape", out.dims},
                               {"dtype", ciuic_dtype_name(out.dtype)},
                               {"hash", hash}});
  }
  if (!r.expects.empty()) {
    json["expect"] = Json::array();
    for (const ExpectResult &e : r.expects) {
      json["expect"].push_back({{"name", e.name},
                                {"relative_error", e.relativeError},
                                {"largest_difference", e.largest},
                                {"good", e.good}});
    }
  }
  return dump(json);
}

std::string jsonError(const Status &status) {
  Json error = {{"class", className(status.cls())},
                {"code", status.code()},
                {"message", status.message()},
                {"nearest_budget_bytes", nullptr}};
  if (status.nearestBudget() > 0) {
    error["nearest_budget_bytes"] = status.nearestBudget();
  }
  return dump({{"error", error}});
}

std::string textReport(const Options &o, const Result &r) {
  auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::string text = formatText(
      "entry %s on %s: %.3f ms (median of %d; predicted %.3f ms at its bounds), load %.0f ms\n"
      "device memory %.2f MiB of %.2f MiB; copied %.2f MiB in, %.2f MiB out%s\n",
      r.entry.name, r.device.c_str(), median(r.latencyMs), o.iterations, r.entry.predicted_ms,
      r.loadMs, mib(r.last.peak_device_bytes), mib(r.budgetBytes), mib(r.last.h2d_bytes),
      mib(r.last.d2h_bytes),
      r.last.stall_ms >= 0 ? formatText("; stalled %.3f ms", r.last.stall_ms).c_str() : "");
  if (r.last.unpinned_host_bytes > 0) {
    text +=
        formatText("%.2f MiB of the host tier are not pinned and stream slowly: raise the limit "
                   "of locked memory (ulimit -l)\n",
                   mib(r.last.unpinned_host_bytes));
  }
  if (!r.diskMode.empty()) {
    text += formatText("%.2f MiB of weights came from the disk: %s\n", mib(r.last.disk_bytes),
                       r.diskMode.c_str());
  }
  for (const OutputResult &out : r.outputs) {
    std::string shape;
    for (int64_t d : out.dims) {
      shape += (shape.empty() ? "" : "x") + std::to_string(d);
    }
    text += formatText("output %s: %s %s, hash %016llx\n", out.name.c_str(),
                       shape.empty() ? "scalar" : shape.c_str(), ciuic_dtype_name(out.dtype),
                       static_cast<unsigned long long>(out.hash));
  }
  for (const ExpectResult &e : r.expects) {
    text += formatText("expected %s: relative error %.3g, largest difference %.3g: %s\n",
                       e.name.c_str(), e.relativeError, e.largest, e.good ? "good" : "WRONG");
  }
  return text;
}

Status writeTrace(const std::string &path, const Result &r) {
  Json events = Json::array();
  auto thread = [](const std::string &stream) {
    return stream == "compute" ? 1 : stream == "h2d" ? 2 : 3;
  };
  for (int pid : {1, 2}) {
    events.push_back({{"ph", "M"},
                      {"pid", pid},
                      {"name", "process_name"},
                      {"args", {{"name", pid == 1 ? "measured" : "predicted"}}}});
    for (const char *stream : {"compute", "h2d", "d2h"}) {
      events.push_back({{"ph", "M"},
                        {"pid", pid},
                        {"tid", thread(stream)},
                        {"name", "thread_name"},
                        {"args", {{"name", stream}}}});
    }
  }
  for (const Event &e : r.events) {
    Json args = {{"predicted_us", e.predictedUs}, {"measured_us", e.endUs - e.beginUs}};
    for (int pid : {1, 2}) {
      events.push_back({{"ph", "X"},
                        {"pid", pid},
                        {"tid", thread(e.stream)},
                        {"name", e.name},
                        {"ts", pid == 1 ? e.beginUs : e.predictedBeginUs},
                        {"dur", pid == 1 ? e.endUs - e.beginUs : e.predictedUs},
                        {"args", args}});
    }
  }
  std::string text = Json{{"displayTimeUnit", "ms"}, {"traceEvents", events}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
  std::FILE *file = std::fopen(path.c_str(), "wb");
  bool good = file && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  int error = errno;
  if (file && std::fclose(file) != 0) {
    good = false;
    error = errno;
  }
  return good ? Status::ok()
              : failure(StatusClass::Environment, error == ENOSPC ? "io.no-space" : "io.write",
                        "%s: cannot write: %s", path.c_str(), std::strerror(error));
}

} // namespace ciuic::run

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/ciuic-run/Runner.h"

#include "runtime/base/Hash.h"
#include "runtime/io/Npy.h"
#include "tools/ciuic-run/Elements.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <set>

namespace ciuic::run {

Runner::~Runner() {
  sampler.stop();
  ciuic_session_destroy(session);
  ciuic_device_close(device);
  ciuic_program_destroy(program);
}

const Named *Runner::spec(const std::string &input) const {
  for (const Named &n : o.inputs) {
    if (n.name == input) {
      return &n;
    }
  }
  return nullptr;
}

Status Runner::open(Result &out) {
  auto begin = std::chrono::steady_clock::now();
  TRY_C(ciuic_program_load_path(o.program.c_str(), &program));
  info = sized<ciuic_program_info>();
  TRY_C(ciuic_program_get_info(program, &info));
  out.device = o.device.empty() ? info.device_kind : o.device;
  TRY_C(ciuic_device_open(out.device.c_str(), &device));
  sampler.start(device);
  auto options = sized<ciuic_session_options>();
  options.budget_bytes = o.vram;
  options.threads = o.threads;
  options.link_gbps = o.linkGbps;
  options.disk_gbps = o.diskGbps;
  options.buffered_disk = o.bufferedDisk;
  options.trace = o.trace.empty() ? 0 : 1;
  TRY_C(ciuic_session_create(program, device, &options, &session));
  out.program = info;
  out.diskMode = ciuic_session_disk_mode(session);
  out.budgetBytes = o.vram > 0 ? o.vram : info.budget_bytes;
  out.loadMs =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  return Status::ok();
}

Status Runner::readInputFiles() {
  for (const Named &n : o.inputs) {
    if (n.value[0] != '@') {
      continue;
    }
    auto array = readNpy(n.value.substr(1));
    if (!array.isOk()) {
      return array.takeStatus();
    }
    inputs.push_back({n.name, static_cast<ciuic_dtype>(array.value().dtype),
                      std::move(array.value().dims), std::move(array.value().data)});
  }
  return Status::ok();
}

// ---- entry and shapes ------------------------------------------------------------------------

/// Values of an entry's symbols: --dim first, then the shapes of the files, the states, and the
/// lower bound, at least 1. `misfit` says why the entry cannot run with them.
Status Runner::symbolValues(uint32_t index, std::vector<int64_t> &values, std::string &misfit) {
  auto e = sized<ciuic_entry_info>();
  TRY_C(ciuic_entry_get_info(program, index, &e));
  values.clear();
  for (uint32_t i = 0; i < e.symbols; ++i) {
    auto s = sized<ciuic_symbol_info>();
    TRY_C(ciuic_entry_get_symbol(program, index, i, &s));
    int64_t value = std::min(std::max<int64_t>(s.lower, 1), s.upper);
    auto given = o.dims.find(s.name);
    if (s.state >= 0) {
      value = states[static_cast<size_t>(s.state)].length;
    } else if (given != o.dims.end()) {
      value = given->second;
    } else if (s.input >= 0) {
      auto port = sized<ciuic_port_info>();
      TRY_C(ciuic_entry_get_port(program, index, CIUIC_PORT_INPUT, static_cast<uint32_t>(s.input),
                                 &port));
      for (const InputArray &array : inputs) {
        if (array.name == port.name && s.axis < array.dims.size()) {
          value = array.dims[s.axis];
        }
      }
    }
    bool computed = s.state < 0 && s.input < 0;
    if (!computed && (value < s.lower || value > s.upper) && misfit.empty()) {
      misfit = formatText("'%s' is %lld, entry '%s' holds %lld..%lld; compile with --entry "
                          "%s:%s=%lld..%lld to allow it",
                          s.name, static_cast<long long>(value), e.name,
                          static_cast<long long>(s.lower), static_cast<long long>(s.upper), e.name,
                          s.name, static_cast<long long>(std::min(value, s.lower)),
                          static_cast<long long>(std::max(value, s.upper)));
    }
    values.push_back(value);
  }
  return Status::ok();
}

Status Runner::chooseEntry() {
  std::string reasons, names;
  std::set<std::string> known;
  bool found = false, chosen = false;
  double best = 0;
  for (uint32_t i = 0; i < info.entries; ++i) {
    auto e = sized<ciuic_entry_info>();
    TRY_C(ciuic_entry_get_info(program, i, &e));
    names += (i ? ", " : "") + std::string(e.name);
    double product = 1;
    for (uint32_t k = 0; k < e.symbols; ++k) {
      auto s = sized<ciuic_symbol_info>();
      TRY_C(ciuic_entry_get_symbol(program, i, k, &s));
      known.insert(s.name);
      bool computed = s.state < 0 && s.input < 0;
      product *= computed ? 1 : static_cast<double>(std::max<int64_t>(s.upper, 1));
    }
    if (!o.entry.empty() && o.entry != e.name) {
      continue;
    }
    found = true;
    std::vector<int64_t> values;
    std::string misfit;
    CIUIC_TRY(symbolValues(i, values, misfit));
    if (!misfit.empty()) {
      reasons += (reasons.empty() ? "" : "; ") + misfit;
    } else if (!chosen || product < best) {
      chosen = true;
      best = product;
      entry = i;
      entryName = e.name;
    }
  }
  for (const auto &[name, value] : o.dims) {
    if (!known.count(name)) {
      std::string list;
      for (const std::string &k : known) {
        list += (list.empty() ? "" : ", ") + k;
      }
      return failure(StatusClass::Usage, "usage.dim", "--dim %s: the program's dims are: %s",
                     name.c_str(), list.c_str());
    }
  }
  if (!found) {
    return failure(StatusClass::Usage, "usage.entry", "no entry '%s'; the program has: %s",
                   o.entry.c_str(), names.c_str());
  }
  if (!chosen) {
    return failure(StatusClass::Shape, "shape.bound", "%s", reasons.c_str());
  }
  return Status::ok();
}

// ---- inputs and outputs ----------------------------------------------------------------------

Status Runner::makeInputs(const std::vector<int64_t> &symbols) {
  auto e = sized<ciuic_entry_info>();
  TRY_C(ciuic_entry_get_info(program, entry, &e));
  for (uint32_t i = 0; i < e.inputs; ++i) {
    auto port = sized<ciuic_port_info>();
    TRY_C(ciuic_entry_get_port(program, entry, CIUIC_PORT_INPUT, i, &port));
    auto present = std::find_if(inputs.begin(), inputs.end(),
                                [&](const InputArray &a) { return a.name == port.name; });
    if (present != inputs.end()) {
      if (present->dtype == CIUIC_U16 && port.dtype == CIUIC_BF16) {
        present->dtype = CIUIC_BF16;
      }
      continue;
    }
    InputArray made{port.name, port.dtype, std::vector<int64_t>(port.rank), {}};
    TRY_C(ciuic_entry_get_port_dims(program, entry, CIUIC_PORT_INPUT, i, symbols.data(),
                                    made.dims.data()));
    size_t bytes = ciuic_dtype_bytes(port.dtype); // inside the port's bytes, so it fits
    for (int64_t d : made.dims) {
      bytes *= static_cast<size_t>(d);
    }
    made.data.resize(bytes);
    const Named *how = spec(port.name);
    if (!how || how->value == "random") {
      fillRandom(port.dtype, made.data, o.seed ^ hashBytes(port.name, std::strlen(port.name)));
    }
    inputs.push_back(std::move(made));
  }
  return Status::ok();
}

Status Runner::bindInputs() {
  for (const InputArray &a : inputs) {
    TRY_C(ciuic_session_bind_input(session, a.name.c_str(), a.dtype,
                                   static_cast<uint32_t>(a.dims.size()), a.dims.data(),
                                   a.data.data()));
  }
  for (const Named &n : o.inputs) {
    if (n.value[0] != '@' && std::none_of(inputs.begin(), inputs.end(),
                                          [&](const InputArray &a) { return a.name == n.name; })) {
      // The session's message lists the inputs there are.
      TRY_C(ciuic_session_bind_input(session, n.name.c_str(), CIUIC_F32, 0, nullptr, ""));
    }
  }
  return Status::ok();
}

Status Runner::bindOutputs(Result &out) {
  out.entry = sized<ciuic_entry_info>();
  TRY_C(ciuic_entry_get_info(program, entry, &out.entry));
  for (uint32_t i = 0; i < out.entry.outputs; ++i) {
    auto port = sized<ciuic_port_info>();
    TRY_C(ciuic_entry_get_port(program, entry, CIUIC_PORT_OUTPUT, i, &port));
    out.outputs.push_back({port.name, port.dtype, std::vector<int64_t>(port.rank),
                           std::vector<char>(static_cast<size_t>(port.bytes))});
    TRY_C(ciuic_session_bind_output(session, port.name, out.outputs.back().data.data(),
                                    out.outputs.back().data.size()));
  }
  for (const std::vector<Named> *list : {&o.outputs, &o.expects}) {
    for (const Named &n : *list) {
      if (std::none_of(out.outputs.begin(), out.outputs.end(),
                       [&](const OutputResult &r) { return r.name == n.name; })) {
        TRY_C(ciuic_session_bind_output(session, n.name.c_str(), nullptr, 0));
        return failure(StatusClass::Usage, "usage.output", "entry '%s' has no output '%s'",
                       entryName.c_str(), n.name.c_str());
      }
    }
  }
  return Status::ok();
}

// ---- running -----------------------------------------------------------------------------------

Status Runner::measure(Result &out) {
  for (int i = 0; i < o.warmup + o.iterations; ++i) {
    if (info.states > 0) {
      CIUIC_TRY(placeStates());
    }
    TRY_C(ciuic_session_run(session, entryName.c_str()));
    out.last = sized<ciuic_run_stats>();
    TRY_C(ciuic_session_get_stats(session, &out.last));
    if (i >= o.warmup) {
      out.latencyMs.push_back(out.last.latency_ms);
    }
  }
  out.processBytes = sampler.stop();
  std::sort(out.latencyMs.begin(), out.latencyMs.end());
  return Status::ok();
}

Status Runner::collect(Result &out) {
  for (OutputResult &r : out.outputs) {
    uint32_t rank = static_cast<uint32_t>(r.dims.size());
    TRY_C(ciuic_session_get_output_dims(session, r.name.c_str(), &rank, r.dims.data()));
    size_t bytes = ciuic_dtype_bytes(r.dtype);
    for (int64_t d : r.dims) {
      bytes *= static_cast<size_t>(d);
    }
    r.data.resize(bytes);
    r.hash = hashBytes(r.data.data(), bytes);
    for (const Named &n : o.outputs) {
      if (n.name == r.name) {
        CIUIC_TRY(writeNpy(n.value.substr(1), static_cast<format::DType>(r.dtype), r.dims,
                           r.data.data()));
      }
    }
  }
  for (uint32_t i = 0; i < ciuic_session_trace_size(session); ++i) {
    auto e = sized<ciuic_trace_event>();
    TRY_C(ciuic_session_get_trace_event(session, i, &e));
    out.events.push_back(
        {e.name, e.stream, e.begin_us, e.end_us, e.predicted_begin_us, e.predicted_us});
  }
  return Status::ok();
}

Status Runner::compare(Result &out) {
  std::string wrong;
  for (const Named &n : o.expects) {
    auto read = readNpy(n.value.substr(1));
    if (!read.isOk()) {
      return read.takeStatus();
    }
    const NpyArray &b = read.value();
    const OutputResult &a = *std::find_if(out.outputs.begin(), out.outputs.end(),
                                          [&](const OutputResult &r) { return r.name == n.name; });
    bool halves = a.dtype == CIUIC_BF16 && b.dtype == format::DType::U16;
    if (a.dims != b.dims || (static_cast<ciuic_dtype>(b.dtype) != a.dtype && !halves)) {
      return failure(StatusClass::Mismatch, "expect.shape",
                     "output '%s' has another shape or type than %s", n.name.c_str(),
                     n.value.c_str() + 1);
    }
    size_t size = ciuic_dtype_bytes(a.dtype), count = a.data.size() / size;
    double difference = 0, norm = 0;
    ExpectResult result{n.name};
    bool finite = true;
    for (size_t i = 0; i < count; ++i) {
      double x = elementAsDouble(a.dtype, a.data.data() + i * size);
      double y = elementAsDouble(a.dtype, b.data.data() + i * size);
      if (!std::isfinite(x) || !std::isfinite(y)) {
        finite = finite && (x == y || (std::isnan(x) && std::isnan(y)));
        continue;
      }
      difference += (x - y) * (x - y);
      norm += y * y;
      result.largest = std::max(result.largest, std::fabs(x - y));
    }
    double limit = o.rtol * std::sqrt(norm) + o.atol * std::sqrt(static_cast<double>(count));
    difference = std::sqrt(difference);
    result.relativeError = difference == 0 ? 0 : difference / std::sqrt(norm);
    result.good = finite && difference <= limit;
    if (!result.good) {
      wrong += formatText("%s'%s' differs from %s: relative error %.3g, largest difference %.3g%s",
                          wrong.empty() ? "" : "; ", n.name.c_str(), n.value.c_str() + 1,
                          result.relativeError, result.largest,
                          finite ? "" : ", and infinities or NaNs differ");
    }
    out.expects.push_back(result);
  }
  return wrong.empty() ? Status::ok() : Status(StatusClass::Mismatch, "expect.values", wrong);
}

Status Runner::run(Result &out) {
  CIUIC_TRY(open(out));
  CIUIC_TRY(readInputFiles());
  CIUIC_TRY(readStates());
  CIUIC_TRY(chooseEntry());
  std::vector<int64_t> symbols;
  std::string misfit;
  CIUIC_TRY(symbolValues(entry, symbols, misfit));
  CIUIC_TRY(makeInputs(symbols));
  CIUIC_TRY(bindInputs());
  if (o.entry.empty()) {
    // The session knows conditions on the shapes that the bounds above do not tell.
    CIUIC_TRY(placeStates());
    TRY_C(ciuic_session_select_entry(session, &entry));
  }
  CIUIC_TRY(bindOutputs(out));
  entryName = out.entry.name;
  CIUIC_TRY(measure(out));
  CIUIC_TRY(collect(out));
  if (!o.stateOut.empty()) {
    CIUIC_TRY(writeStates());
  }
  return compare(out);
}

} // namespace ciuic::run

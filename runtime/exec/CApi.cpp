// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The C API over Session: handles, argument checks, and the wall that no exception passes.
#include "ciuic/ciuic.h"

#include "runtime/exec/Session.h"
#include "runtime/format/Expr.h"
#include "runtime/format/Validate.h"
#include "runtime/format/program_generated.h"

#include <cstring>
#include <exception>
#include <limits>
#include <new>

using namespace ciuic;
using namespace ciuic::format;

struct ciuic_status {
  Status status;
};
struct ciuic_program {
  std::shared_ptr<ProgramFile> file;
};
struct ciuic_device {
  std::unique_ptr<device::Device> device;
  device::DeviceInfo info;
};
struct ciuic_session {
  std::unique_ptr<Session> session;
};

namespace {

// What a caller gets when there is no memory for a status.
ciuic_status *outOfMemory() {
  static char marker;
  return reinterpret_cast<ciuic_status *>(&marker);
}

ciuic_status *give(Status status) noexcept {
  if (status.isOk()) {
    return nullptr;
  }
  auto *made = new (std::nothrow) ciuic_status{std::move(status)};
  return made ? made : outOfMemory();
}

template <class Body>
ciuic_status *guarded(Body body) noexcept {
  try {
    return give(body());
  } catch (const std::bad_alloc &) {
    return outOfMemory();
  } catch (const std::exception &e) {
    try {
      return give(failure(StatusClass::Internal, "internal", "%s", e.what()));
    } catch (...) {
      return outOfMemory();
    }
  } catch (...) {
    return outOfMemory();
  }
}

Status nullArgument(const char *what) {
  return failure(StatusClass::Usage, "usage.null", "%s is NULL", what);
}

/// Copies as many bytes of a struct as the caller's version of it has.
template <class T>
Status deliver(T value, T *out) {
  size_t size = out->struct_size;
  if (size < sizeof(size_t) || size > 4096) {
    return failure(StatusClass::Usage, "usage.struct-size", "struct_size is %zu, not sizeof of it",
                   size);
  }
  value.struct_size = size;
  std::memcpy(out, &value, std::min(size, sizeof(T)));
  return Status::ok();
}

Status load(Expected<std::unique_ptr<ByteSource>> source, ciuic_program **out) {
  if (!source.isOk()) {
    return source.takeStatus();
  }
  auto file = ProgramFile::open(std::move(source.value()));
  if (!file.isOk()) {
    return file.takeStatus();
  }
  *out = new ciuic_program{std::shared_ptr<ProgramFile>(std::move(file.value()))};
  return Status::ok();
}

Status findEntry(const ciuic_program *program, uint32_t entry, const EntryT **out) {
  if (!program) {
    return nullArgument("program");
  }
  const auto &entries = program->file->program().entries;
  if (entry >= entries.size()) {
    return failure(StatusClass::Usage, "usage.entry", "no entry %u; the program has %zu", entry,
                   entries.size());
  }
  *out = entries[entry].get();
  return Status::ok();
}

Status findPort(const ciuic_program *program, uint32_t entry, ciuic_direction direction,
                uint32_t index, const EntryT **outEntry, const PortT **out) {
  CIUIC_TRY(findEntry(program, entry, outEntry));
  const auto &ports = direction == CIUIC_PORT_INPUT ? (*outEntry)->inputs : (*outEntry)->outputs;
  if (index >= ports.size()) {
    return failure(StatusClass::Usage, "usage.port", "no port %u; the entry has %zu", index,
                   ports.size());
  }
  *out = ports[index].get();
  return Status::ok();
}

} // namespace

// ---- status -----------------------------------------------------------------------------------

ciuic_status_class ciuic_status_get_class(const ciuic_status *status) {
  if (!status) {
    return CIUIC_OK;
  }
  return status == outOfMemory() ? CIUIC_ENVIRONMENT
                                 : static_cast<ciuic_status_class>(status->status.cls());
}
const char *ciuic_status_class_name(ciuic_status_class c) {
  return className(static_cast<StatusClass>(c));
}
const char *ciuic_status_code(const ciuic_status *status) {
  if (!status) {
    return "";
  }
  return status == outOfMemory() ? "memory.host" : status->status.code().c_str();
}
const char *ciuic_status_message(const ciuic_status *status) {
  if (!status) {
    return "";
  }
  return status == outOfMemory() ? "the host is out of memory" : status->status.message().c_str();
}
int64_t ciuic_status_nearest_budget(const ciuic_status *status) {
  return !status || status == outOfMemory() ? 0 : status->status.nearestBudget();
}
void ciuic_status_free(ciuic_status *status) {
  if (status != outOfMemory()) {
    delete status;
  }
}

// ---- programs ---------------------------------------------------------------------------------

ciuic_status *ciuic_program_load_path(const char *path, ciuic_program **out) {
  return guarded([&] {
    return path && out ? load(ByteSource::open(path), out) : nullArgument("path or out_program");
  });
}
ciuic_status *ciuic_program_load_fd(int fd, ciuic_program **out) {
  return guarded([&] {
    return out ? load(ByteSource::fromFd(fd, "descriptor " + std::to_string(fd)), out)
               : nullArgument("out_program");
  });
}
ciuic_status *ciuic_program_load_memory(const void *data, size_t bytes, ciuic_program **out) {
  return guarded([&] {
    if (!data || !out) {
      return nullArgument("data or out_program");
    }
    if (bytes > static_cast<size_t>(std::numeric_limits<int64_t>::max())) {
      return failure(StatusClass::Usage, "usage.bytes", "more bytes than memory can have");
    }
    return load(ByteSource::fromMemory(data, static_cast<int64_t>(bytes)), out);
  });
}
void ciuic_program_destroy(ciuic_program *program) { delete program; }

const char *ciuic_dtype_name(ciuic_dtype dtype) { return dtypeName(static_cast<DType>(dtype)); }
size_t ciuic_dtype_bytes(ciuic_dtype dtype) {
  return static_cast<size_t>(elementBytes(static_cast<uint8_t>(dtype)));
}

ciuic_status *ciuic_program_get_info(const ciuic_program *program, ciuic_program_info *out) {
  return guarded([&] {
    if (!program || !out) {
      return nullArgument("program or out_info");
    }
    const ProgramT &p = program->file->program();
    ciuic_program_info info = {};
    info.device_kind = p.device_kind.c_str();
    info.target = p.target.c_str();
    info.producer = p.producer.c_str();
    info.profile = p.profile_name.c_str();
    info.quality = p.quality.c_str();
    info.model_hash = p.model_hash;
    info.profile_hash = p.profile_hash;
    info.budget_bytes = p.budget_bytes;
    info.reserve_bytes = p.reserve_bytes;
    info.arena_bytes = p.arena_bytes;
    info.host_bytes = p.host_bytes;
    for (const auto &w : p.weights) {
      info.weights_bytes += w->bytes;
      info.resident_bytes += w->mode == WeightMode::Resident ? w->bytes : 0;
      info.streamed_bytes += w->mode == WeightMode::Streamed ? w->bytes : 0;
    }
    for (const auto &s : p.states) {
      info.state_bytes += s->bytes;
    }
    info.entries = static_cast<uint32_t>(p.entries.size());
    info.states = static_cast<uint32_t>(p.states.size());
    info.kernels = static_cast<uint32_t>(p.kernels.size());
    info.weights = static_cast<uint32_t>(p.weights.size());
    return deliver(info, out);
  });
}

ciuic_status *ciuic_entry_get_info(const ciuic_program *program, uint32_t entry,
                                   ciuic_entry_info *out) {
  return guarded([&] {
    const EntryT *e = nullptr;
    CIUIC_TRY(findEntry(program, entry, &e));
    if (!out) {
      return nullArgument("out_info");
    }
    ciuic_entry_info info = {};
    info.name = e->name.c_str();
    info.symbols = static_cast<uint32_t>(e->symbols.size());
    info.inputs = static_cast<uint32_t>(e->inputs.size());
    info.outputs = static_cast<uint32_t>(e->outputs.size());
    info.steps = static_cast<uint32_t>(e->steps.size());
    info.peak_bytes = e->peak_bytes;
    info.predicted_ms = e->predicted_ms;
    info.lower_bound_ms = e->lower_bound_ms;
    info.gap = e->gap;
    return deliver(info, out);
  });
}

ciuic_status *ciuic_entry_get_symbol(const ciuic_program *program, uint32_t entry, uint32_t symbol,
                                     ciuic_symbol_info *out) {
  return guarded([&] {
    const EntryT *e = nullptr;
    CIUIC_TRY(findEntry(program, entry, &e));
    if (!out) {
      return nullArgument("out_info");
    }
    if (symbol >= e->symbols.size()) {
      return failure(StatusClass::Usage, "usage.symbol", "no symbol %u; the entry has %zu", symbol,
                     e->symbols.size());
    }
    const SymbolT &s = *e->symbols[symbol];
    ciuic_symbol_info info = {};
    info.name = s.name.c_str();
    info.lower = s.lower;
    info.upper = s.upper;
    info.input = s.source == SymbolSource::Input ? static_cast<int32_t>(s.index) : -1;
    info.axis = s.source == SymbolSource::Input ? s.axis : 0;
    info.state = s.source == SymbolSource::State ? static_cast<int32_t>(s.index) : -1;
    return deliver(info, out);
  });
}

ciuic_status *ciuic_entry_get_port(const ciuic_program *program, uint32_t entry,
                                   ciuic_direction direction, uint32_t index,
                                   ciuic_port_info *out) {
  return guarded([&] {
    const EntryT *e = nullptr;
    const PortT *port = nullptr;
    CIUIC_TRY(findPort(program, entry, direction, index, &e, &port));
    if (!out) {
      return nullArgument("out_info");
    }
    ciuic_port_info info = {};
    info.name = port->name.c_str();
    info.dtype = static_cast<ciuic_dtype>(port->dtype);
    info.rank = static_cast<uint32_t>(port->dims.size());
    info.bytes = port->bytes;
    return deliver(info, out);
  });
}

ciuic_status *ciuic_entry_get_port_dims(const ciuic_program *program, uint32_t entry,
                                        ciuic_direction direction, uint32_t index,
                                        const int64_t *symbols, int64_t *outDims) {
  return guarded([&] {
    const EntryT *e = nullptr;
    const PortT *port = nullptr;
    CIUIC_TRY(findPort(program, entry, direction, index, &e, &port));
    if ((!symbols && !e->symbols.empty()) || (!outDims && !port->dims.empty())) {
      return nullArgument("symbols or out_dims");
    }
    std::vector<int64_t> values(symbols, symbols + e->symbols.size());
    for (size_t i = 0; i < e->symbols.size(); ++i) {
      if (e->symbols[i]->derived) {
        values[i] = evaluate(*e->symbols[i]->derived, values).value_or(0);
      } else if (symbols[i] < e->symbols[i]->lower || symbols[i] > e->symbols[i]->upper) {
        return failure(StatusClass::Shape, "shape.bound", "'%s' of entry '%s' holds %lld..%lld",
                       e->symbols[i]->name.c_str(), e->name.c_str(),
                       static_cast<long long>(e->symbols[i]->lower),
                       static_cast<long long>(e->symbols[i]->upper));
      }
    }
    for (size_t i = 0; i < port->dims.size(); ++i) {
      outDims[i] = evaluate(*port->dims[i], values).value_or(0);
    }
    return Status::ok();
  });
}

ciuic_status *ciuic_program_get_state(const ciuic_program *program, uint32_t state,
                                      ciuic_state_info *out) {
  return guarded([&] {
    if (!program || !out) {
      return nullArgument("program or out_info");
    }
    const auto &states = program->file->program().states;
    if (state >= states.size()) {
      return failure(StatusClass::Usage, "usage.state", "no state %u; the program has %zu", state,
                     states.size());
    }
    const StateT &s = *states[state];
    ciuic_state_info info = {};
    info.name = s.name.c_str();
    info.input = s.input.c_str();
    info.output = s.output.c_str();
    info.dtype = static_cast<ciuic_dtype>(s.dtype);
    info.rank = static_cast<uint32_t>(s.dims.size());
    info.capacity = s.dims.data();
    info.grow_axis = s.grow_axis;
    return deliver(info, out);
  });
}

// ---- devices ----------------------------------------------------------------------------------

ciuic_status *ciuic_device_open(const char *name, ciuic_device **out) {
  return guarded([&] {
    if (!name || !out) {
      return nullArgument("name or out_device");
    }
    auto made = std::make_unique<ciuic_device>();
    CIUIC_TRY(device::createDevice(name, &made->device));
    made->info = made->device->info();
    *out = made.release();
    return Status::ok();
  });
}
void ciuic_device_close(ciuic_device *device) { delete device; }

ciuic_status *ciuic_device_get_info(const ciuic_device *device, ciuic_device_info *out) {
  return guarded([&] {
    if (!device || !out) {
      return nullArgument("device or out_info");
    }
    ciuic_device_info info = {};
    info.kind = device->info.kind.c_str();
    info.name = device->info.name.c_str();
    device::DeviceInfo now = device->device->info();
    info.total_bytes = now.totalBytes;
    info.free_bytes = now.freeBytes;
    info.process_bytes = now.processBytes;
    return deliver(info, out);
  });
}

// ---- sessions ---------------------------------------------------------------------------------

ciuic_status *ciuic_session_create(ciuic_program *program, ciuic_device *device,
                                   const ciuic_session_options *options, ciuic_session **out) {
  return guarded([&] {
    if (!program || !device || !out) {
      return nullArgument("program, device or out_session");
    }
    ciuic_session_options given = {};
    if (options) {
      if (options->struct_size < sizeof(size_t) || options->struct_size > 4096) {
        return failure(StatusClass::Usage, "usage.struct-size", "struct_size is %zu",
                       options->struct_size);
      }
      std::memcpy(&given, options, std::min(options->struct_size, sizeof given));
    }
    if (given.budget_bytes < 0 || given.threads < 0 || !(given.link_gbps >= 0) ||
        given.link_gbps > 1e6 || given.pinned_bytes < 0 || (given.trace != 0 && given.trace != 1) ||
        (given.buffered_disk != 0 && given.buffered_disk != 1) || !(given.disk_gbps >= 0) ||
        given.disk_gbps > 1e6) {
      return failure(StatusClass::Usage, "usage.options",
                     "budget, threads, rates and pinned bytes must not be negative; trace and "
                     "buffered_disk are 0 or 1");
    }
    auto made = std::make_unique<ciuic_session>();
    CIUIC_TRY(
        Session::create(program->file, *device->device,
                        {.budgetBytes = given.budget_bytes,
                         .threads = given.threads,
                         .linkGbps = given.link_gbps,
                         .pinnedLimit = given.pinned_bytes > 0 ? given.pinned_bytes : INT64_MAX,
                         .trace = given.trace != 0,
                         .diskGbps = given.disk_gbps,
                         .bufferedDisk = given.buffered_disk != 0},
                        &made->session));
    *out = made.release();
    return Status::ok();
  });
}
const char *ciuic_session_disk_mode(const ciuic_session *session) {
  const char *mode = session ? session->session->diskMode() : nullptr;
  return mode ? mode : "";
}
void ciuic_session_destroy(ciuic_session *session) { delete session; }

ciuic_status *ciuic_session_bind_input(ciuic_session *session, const char *name, ciuic_dtype dtype,
                                       uint32_t rank, const int64_t *dims, const void *data) {
  return guarded([&] {
    if (!session || !name || (rank > 0 && !dims)) {
      return nullArgument("session, name or dims");
    }
    if (ciuic_dtype_bytes(dtype) == 0) {
      return failure(StatusClass::Usage, "usage.dtype", "no dtype %d", static_cast<int>(dtype));
    }
    return session->session->bindInput(name, static_cast<DType>(dtype), {dims, rank}, data);
  });
}
ciuic_status *ciuic_session_bind_output(ciuic_session *session, const char *name, void *data,
                                        size_t capacity) {
  return guarded([&] {
    if (!session || !name) {
      return nullArgument("session or name");
    }
    return session->session->bindOutput(
        name, data, static_cast<int64_t>(std::min<size_t>(capacity, INT64_MAX)));
  });
}
ciuic_status *ciuic_session_run(ciuic_session *session, const char *entry) {
  return guarded([&] {
    return session ? session->session->run(entry ? entry : "") : nullArgument("session");
  });
}
ciuic_status *ciuic_session_select_entry(ciuic_session *session, uint32_t *out) {
  return guarded([&] {
    return session && out ? session->session->selectEntry(out)
                          : nullArgument("session or out_entry");
  });
}
ciuic_status *ciuic_session_run_async(ciuic_session *session, const char *entry) {
  return guarded([&] {
    return session ? session->session->runAsync(entry ? entry : "") : nullArgument("session");
  });
}
ciuic_status *ciuic_session_wait(ciuic_session *session) {
  return guarded([&] { return session ? session->session->wait() : nullArgument("session"); });
}
void ciuic_session_cancel(ciuic_session *session) {
  if (session) {
    session->session->cancel();
  }
}

ciuic_status *ciuic_session_get_output_dims(const ciuic_session *session, const char *name,
                                            uint32_t *rank, int64_t *outDims) {
  return guarded([&] {
    if (!session || !name || !rank || (*rank > 0 && !outDims)) {
      return nullArgument("session, name, inout_rank or out_dims");
    }
    CIUIC_TRY(session->session->checkIdle());
    std::vector<int64_t> dims;
    CIUIC_TRY(session->session->outputDims(name, dims));
    if (dims.size() > *rank) {
      return failure(StatusClass::Usage, "usage.rank",
                     "output '%s' has %zu dims, there is room "
                     "for %u",
                     name, dims.size(), *rank);
    }
    *rank = static_cast<uint32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), outDims);
    return Status::ok();
  });
}

ciuic_status *ciuic_session_get_stats(const ciuic_session *session, ciuic_run_stats *out) {
  return guarded([&] {
    if (!session || !out) {
      return nullArgument("session or out_stats");
    }
    CIUIC_TRY(session->session->checkIdle());
    const RunStats &s = session->session->stats();
    ciuic_run_stats stats = {};
    stats.entry = s.entry;
    stats.latency_ms = s.latencyMs;
    stats.stall_ms = s.stallMs;
    stats.h2d_bytes = s.h2dBytes;
    stats.d2h_bytes = s.d2hBytes;
    stats.disk_bytes = s.diskBytes;
    stats.peak_device_bytes = s.peakDeviceBytes;
    stats.unpinned_host_bytes = s.unpinnedBytes;
    stats.prologue = s.prologue;
    return deliver(stats, out);
  });
}

uint32_t ciuic_session_trace_size(const ciuic_session *session) {
  return session && session->session->checkIdle().isOk()
             ? static_cast<uint32_t>(session->session->traceSize())
             : 0;
}
ciuic_status *ciuic_session_get_trace_event(const ciuic_session *session, uint32_t index,
                                            ciuic_trace_event *out) {
  return guarded([&] {
    if (!session || !out) {
      return nullArgument("session or out_event");
    }
    CIUIC_TRY(session->session->checkIdle());
    if (index >= session->session->traceSize()) {
      return failure(StatusClass::Usage, "usage.trace", "no event %u", index);
    }
    TraceEvent event = session->session->traceEvent(index);
    static const char *const streams[] = {"compute", "h2d", "d2h"};
    ciuic_trace_event e = {};
    e.name = event.step->name.c_str();
    e.stream = streams[static_cast<int>(event.step->stream)];
    e.begin_us = event.beginUs;
    e.end_us = event.endUs;
    e.predicted_begin_us = event.predictedBeginUs;
    e.predicted_us = event.step->predicted_us;
    return deliver(e, out);
  });
}

// ---- states -----------------------------------------------------------------------------------

ciuic_status *ciuic_session_state_length(ciuic_session *session, uint32_t state, int64_t *out) {
  return guarded([&] {
    return session && out ? session->session->stateLength(state, out)
                          : nullArgument("session or out_length");
  });
}
ciuic_status *ciuic_session_state_bytes(ciuic_session *session, uint32_t state, int64_t length,
                                        size_t *out) {
  return guarded([&] {
    if (!session || !out) {
      return nullArgument("session or out_bytes");
    }
    int64_t bytes = 0;
    CIUIC_TRY(session->session->stateBytes(state, length, &bytes));
    *out = static_cast<size_t>(bytes);
    return Status::ok();
  });
}
ciuic_status *ciuic_session_state_reset(ciuic_session *session, uint32_t state) {
  return guarded(
      [&] { return session ? session->session->stateReset(state) : nullArgument("session"); });
}
ciuic_status *ciuic_session_state_read(ciuic_session *session, uint32_t state, void *data,
                                       size_t bytes) {
  return guarded([&] {
    if (!session || (bytes > 0 && !data)) {
      return nullArgument("session or data");
    }
    return session->session->stateRead(state, data,
                                       static_cast<int64_t>(std::min<size_t>(bytes, INT64_MAX)));
  });
}
ciuic_status *ciuic_session_state_write(ciuic_session *session, uint32_t state, const void *data,
                                        size_t bytes, int64_t length) {
  return guarded([&] {
    if (!session || (bytes > 0 && !data)) {
      return nullArgument("session or data");
    }
    return session->session->stateWrite(
        state, data, static_cast<int64_t>(std::min<size_t>(bytes, INT64_MAX)), length);
  });
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/cuda/CudaPass.h"

#include "runtime/device/CommandCheck.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace ciuic::device::cuda {

static constexpr DeviceAddress kWorkspaceAlignment = 256;

static int streamOf(const Command &c) { return static_cast<int>(c.stream); }

CudaPass::~CudaPass() {
  DeviceState &state = *parts.state;
  if (!state.alive().isOk()) {
    return;
  }
  Current current(state, parts.context);
  for (Graph &graph : graphs) {
    destroyGraph(graph);
  }
  auto destroy = [&](EventHandle event) {
    if (event) {
      (void)state.driver.eventDestroy(event);
    }
  };
  for (Prepared &p : prepared) {
    destroy(p.done);
  }
  for (Timing &t : timings) {
    destroy(t.begin);
    destroy(t.end);
  }
  destroy(fork);
  for (EventHandle join : joins) {
    destroy(join);
  }
}

// ---- preparing --------------------------------------------------------------------------------

Status CudaPass::prepare(std::vector<Command> given) {
  commands = std::move(given);
  CIUIC_TRY(checkArenaRange(dimsOffset, 0, parts.arenaBytes, "the dims block"));
  prepared.resize(commands.size());
  size_t extents = 0;
  std::vector<ArenaRange> diskRanges;
  for (size_t i = 0; i < commands.size(); ++i) {
    CIUIC_TRY(checkCommand(
        commands[i], i,
        {parts.arenaBytes, parts.hostBytes, parts.kernels.size(), false, parts.diskBytes}));
    if (comesFromDisk(commands[i])) {
      diskRanges.push_back({commands[i].hostOffset, commands[i].args[0].bytes});
    }
    prepared[i].firstExtent = extents;
    extents += commands[i].maxShape.size();
    CIUIC_TRY(prepareCommand(i));
    uses[streamOf(commands[i])] = true;
  }
  if (!diskRanges.empty()) {
    diskList = parts.disk->addList(diskRanges);
  }
  simplifyWaits();
  markOverlaps();
  DeviceState &state = *parts.state;
  CIUIC_CUDA(state, eventCreate, &fork, kEventDisableTiming);
  for (EventHandle &join : joins) {
    CIUIC_CUDA(state, eventCreate, &join, kEventDisableTiming);
  }
  for (Prepared &p : prepared) {
    for (uint32_t w : p.waits) {
      if (!prepared[w].done) {
        CIUIC_CUDA(state, eventCreate, &prepared[w].done, kEventDisableTiming);
      }
    }
  }
  if (commands.empty()) {
    return Status::ok();
  }
  std::vector<int64_t> amounts, shapes;
  for (const Command &c : commands) {
    bool moves = c.kind != CommandKind::Launch && c.kind != CommandKind::Gather;
    amounts.push_back(!moves           ? c.maxAmount
                      : c.rowBytes > 0 ? c.args[0].bytes / c.rowBytes
                                       : c.args[0].bytes);
    shapes.insert(shapes.end(), c.maxShape.begin(), c.maxShape.end());
  }
  Graph *graph = nullptr;
  return findGraph({amounts, shapes}, &graph);
}

Status CudaPass::prepareCommand(size_t index) {
  const Command &c = commands[index];
  Prepared &p = prepared[index];
  if (c.kind == CommandKind::Upload || c.kind == CommandKind::Download) {
    int64_t rows = c.rowBytes > 0 ? c.args[0].bytes / c.rowBytes : 0;
    int64_t span = c.rowBytes == 0 ? c.args[0].bytes
                   : rows > 0      ? (rows - 1) * c.hostPitch + c.rowBytes
                                   : 0;
    staged = staged || c.hostOffset + span > parts.pinnedBytes;
    return Status::ok();
  }
  if (c.kind == CommandKind::Fill) {
    return Status::ok();
  }
  const Kernel &kernel = parts.kernels[c.kernel];
  if (c.kind == CommandKind::Gather) {
    if (!kernel.function) {
      return failure(StatusClass::Environment, "device.command", "command %zu gathers by a call",
                     index);
    }
    if (c.tableOffset + c.tableBytes > parts.pinnedBytes) {
      return failure(StatusClass::Environment, "device.pinned",
                     "command %zu reads a table of %lld bytes where it lies, and the system pins "
                     "only %lld bytes of host memory: raise the limit of locked memory (ulimit -l)",
                     index, static_cast<long long>(c.tableBytes),
                     static_cast<long long>(parts.pinnedBytes));
    }
    p.values.push_back(parts.hostOnDevice + static_cast<DeviceAddress>(c.tableOffset));
  }
  for (const ArenaRange &r : c.args) {
    p.values.push_back(parts.arena + static_cast<DeviceAddress>(r.offset));
  }
  if (!kernel.function) {
    p.isCall = true;
    if (format::vendorExtents(kernel.info.symbol, c.params, c.args.size()) != c.maxShape.size()) {
      return failure(StatusClass::Environment, "device.command",
                     "command %zu is no call of '%s' that this runtime knows", index,
                     kernel.info.symbol.c_str());
    }
    for (size_t i = 0; i + 1 < c.args.size(); ++i) {
      if (c.args[i].bytes > 0 && p.values[i] % 16 != 0) {
        return failure(StatusClass::Environment, "device.command",
                       "command %zu: an operand of a vendor call is not aligned to 16 bytes",
                       index);
      }
    }
    return Status::ok();
  }
  if (!c.maxShape.empty()) {
    return failure(StatusClass::Environment, "device.command", "command %zu: a kernel has no shape",
                   index);
  }
  p.values.push_back(parts.arena + static_cast<DeviceAddress>(dimsOffset));
  for (int64_t param : c.params) {
    p.values.push_back(static_cast<uint64_t>(param));
  }
  for (uint64_t &value : p.values) {
    p.arguments.push_back(&value);
  }
  p.grid = static_cast<unsigned>(std::min<int64_t>(c.maxAmount, kernel.info.maxGrid));
  if (kernel.mostBlocks > 0) {
    p.grid = std::min(p.grid, kernel.mostBlocks);
  }
  DeviceState &state = *parts.state;
  if (state.driver.funcGetParamInfo) {
    size_t count = 0, offset = 0, bytes = 0;
    while (state.driver.funcGetParamInfo(kernel.function, count, &offset, &bytes) ==
               result::success &&
           bytes == sizeof(uint64_t)) {
      ++count;
    }
    if (count != p.values.size()) {
      return failure(StatusClass::Environment, "device.command",
                     "command %zu gives kernel '%s' %zu arguments, it takes %zu of 64 bits", index,
                     kernel.info.symbol.c_str(), p.values.size(), count);
    }
  }
  return Status::ok();
}

/// Keeps the waits for the latest command of each other stream that the stream did not wait for
/// before: the streams are in order.
void CudaPass::simplifyWaits() {
  std::array<std::array<int64_t, kStreams>, kStreams> seen;
  for (auto &row : seen) {
    row.fill(-1);
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    auto &known = seen[streamOf(commands[i])];
    std::array<int64_t, kStreams> latest;
    latest.fill(-1);
    for (uint32_t w : commands[i].waits) {
      int64_t &l = latest[streamOf(commands[w])];
      l = std::max<int64_t>(l, w);
    }
    for (int s = 0; s < kStreams; ++s) {
      if (s != streamOf(commands[i]) && latest[s] > known[s]) {
        known[s] = latest[s];
        prepared[i].waits.push_back(static_cast<uint32_t>(latest[s]));
      }
    }
  }
}

/// A kernel may begin early only where the one dependency that this weakens is on a kernel right
/// before it in the stream: what a copy brought is there when it begins.
void CudaPass::markOverlaps() {
  constexpr int kLeastMajor = 9;
  const Prepared *before = nullptr; // the kernel that stands last in the compute stream
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].stream != Stream::Compute) {
      continue;
    }
    Prepared &p = prepared[i];
    bool isKernel = commands[i].kind == CommandKind::Launch && !p.isCall && p.grid > 0;
    p.overlaps = isKernel && before && p.waits.empty() && parts.state->major >= kLeastMajor &&
                 parts.kernels[commands[i].kernel].info.overlaps;
    before = isKernel ? &p : nullptr;
  }
}

// ---- enqueueing -------------------------------------------------------------------------------

Status CudaPass::checkCall(size_t index, std::span<const int64_t> shapes) const {
  const Command &c = commands[index];
  auto bytes = format::vendorBytes(parts.kernels[c.kernel].info.symbol, c.params, c.args.size(),
                                   extentsOf(index, shapes));
  bool good = bytes.has_value();
  for (size_t i = 0; good && i < bytes->size(); ++i) {
    good = (*bytes)[i] <= c.args[i].bytes;
  }
  return good ? Status::ok()
              : failure(StatusClass::Environment, "device.amount",
                        "command %zu is refused: the operands of a vendor call do not hold its "
                        "extents",
                        index);
}

Status CudaPass::launchCall(size_t index, std::span<const int64_t> shapes, StreamHandle stream) {
  const Command &c = commands[index];
  const Prepared &p = prepared[index];
  std::string_view symbol = parts.kernels[c.kernel].info.symbol;
  auto extents = extentsOf(index, shapes);
  // The libraries want 256 bytes of alignment. The size must not depend on where the range lies.
  size_t last = c.args.size() - 1;
  VendorWorkspace workspace = {
      (p.values[last] + kWorkspaceAlignment - 1) & ~(kWorkspaceAlignment - 1),
      std::max<int64_t>(0, c.args[last].bytes - static_cast<int64_t>(kWorkspaceAlignment))};
  if (symbol == format::kCudnnConv) {
    format::ConvCall call = *format::parseConv(c.params, c.args.size());
    auto shape = format::ConvShape::of(call, extents);
    return parts.dnn->conv(call, shape, std::span(p.values).first(last), workspace, stream);
  }
  format::MatmulCall call = *format::parseMatmul(c.params, c.args.size());
  return parts.blas->matmul(call, format::MatmulShape::of(extents), std::span(p.values).first(last),
                            workspace, stream);
}

/// Rows to places that are apart: those of the pinned part by one copy, the rest through the ring.
Status CudaPass::downloadRows(const Command &c, int64_t rows, DeviceAddress from,
                              StreamHandle stream, std::deque<HostCopy> &copies) {
  int64_t room = parts.pinnedBytes - c.hostOffset - c.rowBytes;
  int64_t pinned =
      room < 0 || c.hostPitch > kMostPitch ? 0 : std::min(rows, room / c.hostPitch + 1);
  char *host = parts.host + c.hostOffset;
  if (pinned > 0) {
    Copy2D copy;
    copy.fromType = kMemoryDevice;
    copy.fromDevice = from;
    copy.fromPitch = copy.width = static_cast<size_t>(c.rowBytes);
    copy.toType = kMemoryHost;
    copy.toHost = host;
    copy.toPitch = static_cast<size_t>(c.hostPitch);
    copy.height = static_cast<size_t>(pinned);
    CIUIC_CUDA(*parts.state, memcpy2DAsync, &copy, stream);
  }
  return pinned < rows
             ? parts.ring.downloadRows(stream, host + pinned * c.hostPitch, c.hostPitch,
                                       from + static_cast<DeviceAddress>(pinned * c.rowBytes),
                                       c.rowBytes, rows - pinned, copies)
             : Status::ok();
}

/// The bytes of upload `index` and of those that continue it in its stream and on both sides, for
/// which nobody waits in between: one copy, which is faster than several small ones. What is
/// covered is marked.
int64_t CudaPass::joinUploads(size_t index, const Amounts &given,
                              std::vector<bool> &covered) const {
  int64_t bytes = given.amounts[index];
  size_t last = index;
  for (size_t i = index + 1; i < commands.size() && !prepared[last].done; ++i) {
    const Command &c = commands[i];
    if (streamOf(c) != streamOf(commands[index])) {
      continue;
    }
    if (c.kind != CommandKind::Upload || !prepared[i].waits.empty() ||
        c.hostOffset != commands[index].hostOffset + bytes ||
        c.args[0].offset != commands[index].args[0].offset + bytes) {
      break;
    }
    bytes += given.amounts[i];
    covered[i] = true;
    last = i;
  }
  return bytes;
}

Status CudaPass::execute(size_t index, int64_t amount, const Amounts &given, StreamHandle stream,
                         std::deque<HostCopy> &copies) {
  DeviceState &state = *parts.state;
  const Command &c = commands[index];
  Prepared &p = prepared[index];
  DeviceAddress first =
      c.args.empty() ? 0 : parts.arena + static_cast<DeviceAddress>(c.args[0].offset);
  if (comesFromDisk(c)) {
    return parts.ring.upload(stream, first, parts.disk, c.hostOffset, amount, copies);
  }
  // The pinned part of a copy goes straight, the rest through the ring.
  int64_t pinned = std::clamp<int64_t>(parts.pinnedBytes - c.hostOffset, 0, amount);
  char *host = parts.host + c.hostOffset;
  switch (c.kind) {
  case CommandKind::Launch:
  case CommandKind::Gather: {
    if (p.isCall) {
      return launchCall(index, given.shapes, stream);
    }
    if (p.grid == 0) {
      return Status::ok();
    }
    const Kernel &kernel = parts.kernels[c.kernel];
    if (p.overlaps || kernel.mostBlocks > 0) {
      LaunchAttribute attribute = {
          p.overlaps ? kLaunchProgrammaticSerialization : kLaunchCooperative, 0, 1, {}};
      LaunchConfig config = {
          p.grid, 1,          1, kernel.info.blockThreads, 1, 1, kernel.info.sharedBytes,
          stream, &attribute, 1};
      CIUIC_CUDA(state, launchKernelEx, &config, kernel.function, p.arguments.data(), nullptr);
      return Status::ok();
    }
    CIUIC_CUDA(state, launchKernel, kernel.function, p.grid, 1, 1, kernel.info.blockThreads, 1, 1,
               kernel.info.sharedBytes, stream, p.arguments.data(), nullptr);
    return Status::ok();
  }
  case CommandKind::Upload:
    if (pinned > 0) {
      CIUIC_CUDA(state, memcpyHtoDAsync, first, host, static_cast<size_t>(pinned), stream);
    }
    return pinned < amount ? parts.ring.upload(stream, first + static_cast<DeviceAddress>(pinned),
                                               host + pinned, amount - pinned, copies)
                           : Status::ok();
  case CommandKind::Download:
    if (c.rowBytes > 0) {
      return downloadRows(c, amount, first, stream, copies);
    }
    if (pinned > 0) {
      CIUIC_CUDA(state, memcpyDtoHAsync, host, first, static_cast<size_t>(pinned), stream);
    }
    return pinned < amount ? parts.ring.download(stream, host + pinned,
                                                 first + static_cast<DeviceAddress>(pinned),
                                                 amount - pinned, copies)
                           : Status::ok();
  case CommandKind::Fill:
    if (amount > 0) {
      CIUIC_CUDA(state, memsetD8Async, first, c.fill, static_cast<size_t>(amount), stream);
    }
    return Status::ok();
  }
  return Status::ok();
}

/// Everything but the dims block, from the compute stream and back to it.
Status CudaPass::issue(const Amounts &given, bool timed, std::deque<HostCopy> &copies) {
  DeviceState &state = *parts.state;
  StreamHandle compute = parts.compute();
  CIUIC_CUDA(state, eventRecord, fork, compute);
  for (int s = 1; s < kStreams; ++s) {
    if (uses[s]) {
      CIUIC_CUDA(state, streamWaitEvent, parts.streams[s], fork, 0);
    }
  }
  if (staged) {
    CIUIC_TRY(parts.ring.begin(fork));
  }
  std::vector<bool> covered(commands.size());
  for (size_t i = 0; i < commands.size(); ++i) {
    StreamHandle stream = parts.streams[streamOf(commands[i])];
    int64_t amount = given.amounts[i];
    if (!timed && commands[i].kind == CommandKind::Upload && !covered[i]) {
      amount = joinUploads(i, given, covered);
    }
    for (uint32_t w : prepared[i].waits) {
      CIUIC_CUDA(state, streamWaitEvent, stream, prepared[w].done, 0);
      if (staged && commands[i].stream == Stream::H2D) {
        CIUIC_TRY(parts.ring.follow(prepared[w].done));
      }
    }
    if (timed) {
      CIUIC_CUDA(state, eventRecord, timings[i].begin, stream);
    }
    if (!covered[i]) {
      CIUIC_TRY(execute(i, amount, given, stream, copies));
    }
    if (timed) {
      CIUIC_CUDA(state, eventRecord, timings[i].end, stream);
    }
    if (prepared[i].done) {
      CIUIC_CUDA(state, eventRecord, prepared[i].done, stream);
    }
  }
  if (staged) {
    CIUIC_TRY(parts.ring.end(compute));
  }
  for (int s = 1; s < kStreams; ++s) {
    if (uses[s]) {
      CIUIC_CUDA(state, eventRecord, joins[s], parts.streams[s]);
      CIUIC_CUDA(state, streamWaitEvent, compute, joins[s], 0);
    }
  }
  return Status::ok();
}

// ---- graphs -----------------------------------------------------------------------------------

void CudaPass::destroyGraph(Graph &graph) {
  if (graph.executable) {
    (void)parts.state->driver.graphExecDestroy(graph.executable);
    graph.executable = nullptr;
  }
}

Status CudaPass::capture(const Amounts &given, Graph &out) {
  DeviceState &state = *parts.state;
  // Relaxed: what libraries do to load their code on first use is none of this graph's business.
  CIUIC_CUDA(state, streamBeginCapture, parts.compute(), kCaptureRelaxed);
  Status issued = issue(given, false, out.copies);
  if (!issued.isOk() && !state.alive().isOk()) {
    return issued;
  }
  GraphHandle graph = nullptr;
  Result ended = state.driver.streamEndCapture(parts.compute(), &graph);
  if (issued.isOk() && ended != result::success) {
    issued = state.fail(ended, "streamEndCapture");
  }
  if (issued.isOk()) {
    Result made = state.driver.graphInstantiate(&out.executable, graph, 0);
    if (made != result::success) {
      out.executable = nullptr;
      issued = state.fail(made, "graphInstantiate");
    }
  }
  if (graph && state.alive().isOk()) {
    (void)state.driver.graphDestroy(graph);
  }
  CIUIC_TRY(std::move(issued));
  parts.heldChanged = true;
  CIUIC_CUDA(state, graphUpload, out.executable, parts.compute());
  return Status::ok();
}

Status CudaPass::findGraph(const Amounts &given, Graph **out) {
  DeviceState &state = *parts.state;
  key.clear();
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].kind != CommandKind::Launch && commands[i].kind != CommandKind::Gather) {
      key.push_back(given.amounts[i]);
    } else if (prepared[i].isCall) {
      CIUIC_TRY(checkCall(i, given.shapes));
    }
  }
  key.insert(key.end(), given.shapes.begin(), given.shapes.end());
  for (auto it = graphs.begin(); it != graphs.end(); ++it) {
    if (it->key == key) {
      graphs.splice(graphs.begin(), graphs, it);
      *out = &graphs.front();
      return Status::ok();
    }
  }
  if (graphs.size() >= kMostGraphs) {
    destroyGraph(graphs.back());
    graphs.pop_back();
  }
  graphs.emplace_front();
  graphs.front().key = key;
  if (Status status = capture(given, graphs.front()); !status.isOk()) {
    if (state.alive().isOk()) {
      destroyGraph(graphs.front());
    }
    graphs.pop_front();
    return status;
  }
  *out = &graphs.front();
  return Status::ok();
}

// ---- running ----------------------------------------------------------------------------------

Status CudaPass::run(const RunValues &values, RunCounters *out) {
  DeviceState &state = *parts.state;
  CIUIC_TRY(checkAmounts(commands, values));
  auto dimsBytes = static_cast<int64_t>(values.dims.size_bytes());
  CIUIC_TRY(checkArenaRange(dimsOffset, dimsBytes, parts.arenaBytes, "the dims block"));
  if (values.dims.size() > Resources::kMostDims) {
    return failure(StatusClass::Unsupported, "device.dims", "%zu symbols, at most %zu",
                   values.dims.size(), Resources::kMostDims);
  }
  *out = {};
  if (commands.empty() || (values.cancel && values.cancel->load())) {
    return Status::ok();
  }
  if (!values.dims.empty()) {
    // The last run has ended: nobody reads the pinned copy.
    std::memcpy(parts.dims, values.dims.data(), values.dims.size_bytes());
    CIUIC_CUDA(state, memcpyHtoDAsync, parts.arena + static_cast<DeviceAddress>(dimsOffset),
               parts.dims, values.dims.size_bytes(), parts.compute());
  }
  if (diskList) {
    parts.disk->begin(*diskList);
  }
  if (values.times.empty()) {
    Graph *graph = nullptr;
    CIUIC_TRY(findGraph({values.amounts, values.shapes}, &graph));
    CIUIC_CUDA(state, graphLaunch, graph->executable, parts.compute());
    CIUIC_CUDA(state, streamSynchronize, parts.compute());
    out->stallNs = -1;
  } else {
    CIUIC_TRY(runTimed(values, out));
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    const Command &c = commands[i];
    if (c.kind == CommandKind::Upload) {
      out->h2dBytes += values.amounts[i];
      out->diskBytes += comesFromDisk(c) ? values.amounts[i] : 0;
    } else if (c.kind == CommandKind::Download) {
      out->d2hBytes += values.amounts[i] * std::max<int64_t>(c.rowBytes, 1);
    } else if (c.kind == CommandKind::Gather) {
      out->h2dBytes += values.amounts[i] * c.rowBytes;
    }
  }
  return diskList ? parts.disk->status() : Status::ok();
}

Status CudaPass::runTimed(const RunValues &values, RunCounters *out) {
  DeviceState &state = *parts.state;
  if (timings.empty()) {
    timings.resize(commands.size() + 1); // the last one marks the start
    for (Timing &t : timings) {
      CIUIC_CUDA(state, eventCreate, &t.begin, kEventDefault);
      CIUIC_CUDA(state, eventCreate, &t.end, kEventDefault);
    }
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    if (prepared[i].isCall) {
      CIUIC_TRY(checkCall(i, values.shapes));
    }
  }
  EventHandle start = timings.back().begin;
  CIUIC_CUDA(state, eventRecord, start, parts.compute());
  CIUIC_CUDA(state, eventSynchronize, start);
  int64_t startNs = std::chrono::duration_cast<std::chrono::nanoseconds>(
                        std::chrono::steady_clock::now().time_since_epoch())
                        .count();
  std::deque<HostCopy> copies;
  Status issued = issue({values.amounts, values.shapes}, true, copies);
  // All of them: `copies` must outlive what names them, also where not everything was issued.
  for (StreamHandle stream : parts.streams) {
    CIUIC_TRY(state.alive());
    if (Result error = state.driver.streamSynchronize(stream)) {
      Status failed = state.fail(error, "streamSynchronize");
      issued = issued.isOk() ? std::move(failed) : std::move(issued);
    }
  }
  CIUIC_TRY(state.alive());
  if (staged) {
    CIUIC_TRY(parts.ring.synchronize());
  }
  CIUIC_TRY(std::move(issued));
  auto nsOf = [&](EventHandle event, int64_t *ns) -> Status {
    float ms = 0;
    CIUIC_CUDA(state, eventElapsedTime, &ms, start, event);
    *ns = startNs + static_cast<int64_t>(static_cast<double>(ms) * 1e6);
    return Status::ok();
  };
  int64_t computeFree = startNs, last = startNs;
  for (size_t i = 0; i < commands.size(); ++i) {
    CommandTime &time = values.times[i];
    CIUIC_TRY(nsOf(timings[i].begin, &time.beginNs));
    CIUIC_TRY(nsOf(timings[i].end, &time.endNs));
    last = std::max(last, time.endNs);
    if (commands[i].stream == Stream::Compute) {
      int64_t ready = computeFree;
      for (uint32_t w : prepared[i].waits) {
        ready = std::max(ready, values.times[w].endNs);
      }
      out->stallNs += ready - computeFree;
      computeFree = std::max(ready, time.endNs);
    }
  }
  out->stallNs += last - computeFree;
  return Status::ok();
}

} // namespace ciuic::device::cuda

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Hand-made programs for tests.
#include "test/runtime/PlanBuilder.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Validate.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>
#include <utility>

namespace ciuic::test {

PlanBuilder::PlanBuilder() {
  program.device_kind = "host";
  program.target = "host";
  program.producer = "test";
  program.profile_name = "host-generic";
  program.quality = "exact";
  program.granule = 65536;
}

EntryT &PlanBuilder::entry(const std::string &name) {
  program.entries.push_back(std::make_unique<EntryT>());
  last().name = name;
  return last();
}

uint32_t PlanBuilder::kernel(const std::string &symbol, uint32_t args, int64_t scratch) {
  auto k = std::make_unique<KernelT>();
  k->name = k->symbol = symbol;
  k->blobs = {0};
  k->arg_count = args;
  k->scratch_bytes = scratch;
  program.kernels.push_back(std::move(k));
  return static_cast<uint32_t>(program.kernels.size() - 1);
}

uint32_t PlanBuilder::weight(const std::string &name, std::string bytes, WeightMode mode,
                             int64_t offset) {
  auto w = std::make_unique<WeightT>();
  w->name = name;
  w->format = "f32";
  w->layout = "rowmajor";
  w->dtype = DType::F32;
  w->dims = {static_cast<int64_t>(bytes.size() / 4)};
  w->mode = mode;
  w->bytes = w->tile_bytes = static_cast<int64_t>(bytes.size());
  if (mode == WeightMode::Resident) {
    w->arena_offset = offset;
  } else {
    w->host_offset = offset;
    program.host_bytes = std::max(program.host_bytes, offset + w->bytes);
  }
  program.weights.push_back(std::move(w));
  weightData.push_back(std::move(bytes));
  return static_cast<uint32_t>(program.weights.size() - 1);
}

uint32_t PlanBuilder::state(const std::string &name, DType dtype, std::vector<int64_t> dims,
                            int32_t axis, int64_t offset) {
  auto s = std::make_unique<StateT>();
  s->name = name;
  s->dtype = dtype;
  s->bytes = elementBytes(static_cast<uint8_t>(dtype));
  for (int64_t d : dims) {
    s->bytes *= d;
  }
  s->dims = std::move(dims);
  s->grow_axis = axis;
  s->arena_offset = offset;
  program.states.push_back(std::move(s));
  return static_cast<uint32_t>(program.states.size() - 1);
}

uint32_t PlanBuilder::symbol(const std::string &name, int64_t lower, int64_t upper,
                             SymbolSource source, uint32_t index, uint32_t axis) {
  auto s = std::make_unique<SymbolT>();
  s->name = name;
  s->lower = lower;
  s->upper = upper;
  s->source = source;
  s->index = index;
  s->axis = axis;
  last().symbols.push_back(std::move(s));
  return static_cast<uint32_t>(last().symbols.size() - 1);
}

void PlanBuilder::buffer(const std::string &name, BufferKind kind, int64_t offset, int64_t bytes,
                         uint32_t first, uint32_t lastStep) {
  auto b = std::make_unique<BufferT>();
  b->name = name;
  b->kind = kind;
  b->offset = offset;
  b->bytes = bytes;
  b->first_step = first;
  b->last_step = lastStep;
  last().buffers.push_back(std::move(b));
}

PortT &PlanBuilder::port(bool input, const std::string &name, DType dtype,
                         std::vector<std::unique_ptr<ExprT>> dims, int64_t offset, int64_t bytes,
                         Tier tier) {
  auto p = std::make_unique<PortT>();
  p->name = name;
  p->dtype = dtype;
  p->dims = std::move(dims);
  p->offset = offset;
  p->bytes = bytes;
  p->tier = tier;
  auto &list = input ? last().inputs : last().outputs;
  list.push_back(std::move(p));
  return *list.back();
}

StepT &PlanBuilder::step(Stream stream, const std::string &name, std::vector<uint32_t> waits) {
  auto s = std::make_unique<StepT>();
  s->stream = stream;
  s->name = name + "." + std::to_string(last().steps.size());
  s->waits = std::move(waits);
  s->predicted_us = 1;
  last().steps.push_back(std::move(s));
  return *last().steps.back();
}

uint32_t PlanBuilder::launch(uint32_t kernel, std::vector<Arg> args, std::unique_ptr<ExprT> grid,
                             std::vector<uint32_t> waits, std::vector<int64_t> params) {
  LaunchT l;
  l.kernel = kernel;
  l.args = std::move(args);
  l.grid = std::move(grid);
  l.params = std::move(params);
  step(Stream::Compute, program.kernels[kernel]->name, std::move(waits)).body.Set(std::move(l));
  return static_cast<uint32_t>(last().steps.size() - 1);
}

static CopyT copyOf(const ProgramT &program, uint32_t weight, int64_t arenaOffset) {
  CopyT c;
  c.weight = weight;
  c.host_offset = program.weights[weight]->host_offset;
  c.arena_offset = arenaOffset;
  c.bytes = program.weights[weight]->bytes;
  return c;
}

uint32_t PlanBuilder::copy(uint32_t weight, int64_t arenaOffset, std::vector<uint32_t> waits,
                           bool wrap) {
  StepT &s = step(Stream::H2D, "copy " + program.weights[weight]->name, std::move(waits));
  s.wrap = wrap;
  s.body.Set(copyOf(program, weight, arenaOffset));
  return static_cast<uint32_t>(last().steps.size() - 1);
}

uint32_t PlanBuilder::copyOut(int64_t arenaOffset, int64_t hostOffset, int64_t bytes,
                              std::vector<uint32_t> waits) {
  CopyOutT c;
  c.arena_offset = arenaOffset;
  c.host_offset = hostOffset;
  c.bytes = bytes;
  program.host_bytes = std::max(program.host_bytes, hostOffset + bytes);
  step(Stream::D2H, "out", std::move(waits)).body.Set(std::move(c));
  return static_cast<uint32_t>(last().steps.size() - 1);
}

uint32_t PlanBuilder::copyRows(int64_t arenaOffset, size_t output, int64_t column, int64_t rowBytes,
                               int64_t mostRows, std::unique_ptr<ExprT> rows, int64_t pitch,
                               std::vector<uint32_t> waits) {
  CopyOutT c;
  c.arena_offset = arenaOffset;
  c.host_offset = last().outputs[output]->offset + column;
  c.bytes = mostRows * rowBytes;
  c.rows = std::move(rows);
  c.row_bytes = rowBytes;
  c.host_pitch = pitch;
  step(Stream::D2H, "rows", std::move(waits)).body.Set(std::move(c));
  return static_cast<uint32_t>(last().steps.size() - 1);
}

uint32_t PlanBuilder::copyBack(int64_t hostOffset, int64_t arenaOffset, int64_t bytes,
                               std::vector<uint32_t> waits) {
  CopyBackT c;
  c.arena_offset = arenaOffset;
  c.host_offset = hostOffset;
  c.bytes = bytes;
  step(Stream::H2D, "back", std::move(waits)).body.Set(std::move(c));
  return static_cast<uint32_t>(last().steps.size() - 1);
}

void PlanBuilder::prologue(uint32_t weight, int64_t arenaOffset) {
  last().prologue.push_back(std::make_unique<CopyT>(copyOf(program, weight, arenaOffset)));
}

void PlanBuilder::seal() {
  int64_t peak = 0;
  for (auto &e : program.entries) {
    e->peak_bytes = entryPeak(program, *e);
    peak = std::max(peak, e->peak_bytes);
  }
  program.arena_bytes = *checkedAlignUp(peak, program.granule);
  program.budget_bytes = program.arena_bytes + program.reserve_bytes;
}

Status PlanBuilder::write(const std::string &path, const std::string &kernels,
                          const std::string &variant) {
  auto writer = ProgramWriter::create(path);
  if (!writer.isOk()) {
    return writer.takeStatus();
  }
  if (!kernels.empty()) {
    writer.value()->addKernelBlob(kernels, variant);
  }
  for (size_t i = 0; i < weightData.size(); ++i) {
    auto offset = writer.value()->beginWeight();
    if (!offset.isOk()) {
      return offset.takeStatus();
    }
    program.weights[i]->file_offset = offset.value();
    CIUIC_TRY(writer.value()->appendWeight(weightData[i].data(), weightData[i].size()));
  }
  return writer.value()->finish(program);
}

std::vector<std::unique_ptr<ExprT>> dims(std::unique_ptr<ExprT> a) {
  std::vector<std::unique_ptr<ExprT>> list;
  list.push_back(std::move(a));
  return list;
}

std::vector<std::unique_ptr<ExprT>> dims(std::unique_ptr<ExprT> a, std::unique_ptr<ExprT> b) {
  auto list = dims(std::move(a));
  list.push_back(std::move(b));
  return list;
}

void moveToDisk(PlanBuilder &b) {
  b.program.disk_bytes = std::exchange(b.program.host_bytes, 0);
  for (auto &w : b.program.weights) {
    w->on_disk = w->mode != WeightMode::Resident;
    w->host_offset += w->on_disk ? kDiskOffsets : 0;
  }
  for (auto &e : b.program.entries) {
    for (auto &c : e->prologue) {
      c->host_offset += kDiskOffsets;
    }
    for (auto &s : e->steps) {
      if (CopyT *c = s->body.AsCopy()) {
        c->host_offset += kDiskOffsets;
      }
    }
  }
}

void forCuda(PlanBuilder &b) {
  constexpr int64_t kReserve = int64_t(900) << 20; // for context, code and libraries
  b.program.device_kind = "cuda";
  for (auto &kernel : b.program.kernels) {
    kernel->block_threads = 128;
    kernel->max_grid = 8;
  }
  for (auto &entry : b.program.entries) {
    for (auto &step : entry->steps) {
      if (LaunchT *launch = step->body.AsLaunch()) {
        launch->params.push_back(0);
      }
    }
  }
  b.program.reserve_bytes = kReserve;
  b.program.budget_bytes = b.program.arena_bytes + kReserve;
}

PlanBuilder streamingChain(std::vector<std::vector<float>> *weights, bool pairs) {
  constexpr int64_t bytes = kChainLength * 4;
  constexpr int64_t x = 64, y = x + bytes, sum = y + bytes, slot0 = sum + bytes,
                    slot1 = slot0 + bytes;
  PlanBuilder b;
  uint32_t add = b.kernel("test_add", 3);
  uint32_t w[4];
  for (int i = 0; i < 4; ++i) {
    std::vector<float> values(kChainLength);
    for (int64_t j = 0; j < kChainLength; ++j) {
      values[j] = static_cast<float>((j * 7 + i * 13) % 31) - 15.0f + 0.25f * i;
    }
    w[i] = b.weight("w" + std::to_string(i),
                    std::string(reinterpret_cast<const char *>(values.data()), bytes),
                    WeightMode::Streamed, i * bytes);
    if (weights) {
      weights->push_back(std::move(values));
    }
  }
  b.entry("main");
  uint32_t n = b.symbol("n", 1, kChainLength, SymbolSource::Input, 0, 0);
  b.port(true, "x", DType::F32, dims(sym(n)), x, bytes);
  b.port(false, "y", DType::F32, dims(sym(n)), y, bytes);
  b.buffer("dims", BufferKind::Dims, 0, 64, 0, 7);
  b.buffer("x", BufferKind::Input, x, bytes, 0, 7);
  b.buffer("y", BufferKind::Output, y, bytes, pairs ? 5 : 6, 7);
  b.buffer("sum", BufferKind::Activation, sum, bytes, 0, pairs ? 5 : 6);
  b.buffer("slot0", BufferKind::Slot, slot0, bytes, 0, 7);
  b.buffer("slot1", BufferKind::Slot, slot1, bytes, 0, 7);
  auto addTo = [&](int64_t a, int64_t c, int64_t out, std::vector<uint32_t> waits) {
    return b.launch(
        add,
        {Arg(a, bytes, Access::Read), Arg(c, bytes, Access::Read), Arg(out, bytes, Access::Write)},
        sym(n), std::move(waits));
  };
  b.prologue(w[0], slot0);
  b.prologue(w[1], slot1);
  uint32_t s0 = addTo(x, slot0, sum, {});
  if (pairs) {
    uint32_t s1 = addTo(sum, slot1, sum, {});
    b.copy(w[2], slot0, {s1});
    uint32_t c3 = b.copy(w[3], slot1, {});
    addTo(sum, slot0, sum, {c3});
    uint32_t s3 = addTo(sum, slot1, y, {});
    b.copy(w[0], slot0, {s3}, true);
    b.copy(w[1], slot1, {}, true);
    b.seal();
    return b;
  }
  uint32_t c2 = b.copy(w[2], slot0, {s0});
  uint32_t s1 = addTo(sum, slot1, sum, {});
  uint32_t c3 = b.copy(w[3], slot1, {s1});
  uint32_t s2 = addTo(sum, slot0, sum, {c2});
  b.copy(w[0], slot0, {s2}, true);
  uint32_t s3 = addTo(sum, slot1, y, {c3});
  b.copy(w[1], slot1, {s3}, true);
  b.seal();
  return b;
}

std::string readFile(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void writeFile(const std::string &path, const std::string &bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void ChangingFile::damage(const std::vector<float> &values) const {
  std::string damaged = whole;
  size_t at = whole.find(std::string(reinterpret_cast<const char *>(values.data()), 64));
  if (at == std::string::npos) {
    std::abort(); // the test's own mistake
  }
  damaged[at] ^= 1;
  put(damaged);
}

void ChangingFile::put(const std::string &bytes) const {
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string testKernels() { return readFile(CIUIC_TEST_KERNELS); }

namespace {
struct ScratchFolder {
  std::string path;
  ScratchFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "ciuic-test-XXXXXX";
    path = ::mkdtemp(pattern.data()) ? pattern : ".";
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};
} // namespace

std::string scratchPath(const std::string &name) {
  static ScratchFolder folder;
  return folder.path + "/" + name;
}

} // namespace ciuic::test

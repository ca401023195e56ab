// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writer and loader: round trip, determinism, damage, and one broken plan for each rule.
#include "test/runtime/PlanBuilder.h"

#include "runtime/base/Hash.h"
#include "runtime/format/Layout.h"
#include "runtime/format/ProgramFile.h"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace ciuic;
using namespace ciuic::test;

namespace {

std::string chainBytes() {
  static const std::string bytes = [] {
    PlanBuilder b = streamingChain();
    std::string path = scratchPath("chain.ciuic");
    Status s = b.write(path, "\x7f"
                             "ELF kernel bytes");
    EXPECT_TRUE(s.isOk()) << s.message();
    return readFile(path);
  }();
  return bytes;
}

Status openBytes(const std::string &bytes, std::unique_ptr<ProgramFile> *out = nullptr) {
  auto file =
      ProgramFile::open(ByteSource::fromMemory(bytes.data(), static_cast<int64_t>(bytes.size())));
  if (!file.isOk()) {
    return file.takeStatus();
  }
  if (out) {
    *out = std::move(file.value());
  }
  return Status::ok();
}

Status readAll(const std::string &bytes) {
  std::unique_ptr<ProgramFile> file;
  CIUIC_TRY(openBytes(bytes, &file));
  std::vector<char> all(static_cast<size_t>(file->weightSectionBytes()));
  return file->readWeights(0, file->weightSectionBytes(), all.data());
}

TEST(Format, RoundTrip) {
  std::string bytes = chainBytes();
  std::unique_ptr<ProgramFile> file;
  Status s = openBytes(bytes, &file);
  ASSERT_TRUE(s.isOk()) << s.message();
  EXPECT_EQ(file->program().entries[0]->steps.size(), 8u);
  EXPECT_EQ(std::string(file->blob(0).data(), file->blob(0).size()), "\x7f"
                                                                     "ELF kernel bytes");
  PlanBuilder b = streamingChain();
  for (size_t i = 0; i < 4; ++i) {
    const WeightT &w = *file->program().weights[i];
    std::vector<char> data(static_cast<size_t>(w.bytes));
    ASSERT_TRUE(file->readWeights(w.file_offset, w.bytes, data.data()).isOk());
    EXPECT_EQ(std::string(data.data(), data.size()), b.weightData[i]);
    char middle[100];
    ASSERT_TRUE(file->readWeights(w.file_offset + 11, 100, middle).isOk());
    EXPECT_EQ(std::string(middle, 100), b.weightData[i].substr(11, 100));
  }
}

TEST(Format, WeightsOfManyPagesInAnySplit) {
  // 200 KiB and a 65-byte weight: whole pages, edges and the short last page.
  std::string big(200 * 1024 + 8, 0);
  for (size_t i = 0; i < big.size(); ++i) {
    big[i] = static_cast<char>(i * 2654435761u >> 13);
  }
  std::string files[2];
  for (int split = 0; split < 2; ++split) {
    PlanBuilder b;
    b.weight("small", std::string(65, 'a'), WeightMode::Resident, 0);
    b.weight("big", big, WeightMode::Resident, 128);
    b.entry("main");
    b.seal();
    std::string path = scratchPath("pages.ciuic");
    auto writer = ProgramWriter::create(path);
    ASSERT_TRUE(writer.isOk());
    for (size_t i = 0; i < 2; ++i) {
      b.program.weights[i]->file_offset = writer.value()->beginWeight().value();
      size_t step = split ? 777 : b.weightData[i].size();
      for (size_t at = 0; at < b.weightData[i].size(); at += step) {
        std::string piece = b.weightData[i].substr(at, step);
        ASSERT_TRUE(writer.value()->appendWeight(piece.data(), piece.size()).isOk());
      }
    }
    Status s = writer.value()->finish(b.program);
    ASSERT_TRUE(s.isOk()) << s.message();
    files[split] = readFile(path);
  }
  EXPECT_EQ(files[0], files[1]);
  std::unique_ptr<ProgramFile> file;
  ASSERT_TRUE(openBytes(files[0], &file).isOk());
  for (auto [at, n] : {std::pair<int64_t, int64_t>{0, 65536},
                       {65535, 2},
                       {100, 200 * 1024},
                       {131072, 65536},
                       {200 * 1024, 136}}) {
    std::vector<char> data(static_cast<size_t>(n));
    ASSERT_TRUE(file->readWeights(at, n, data.data()).isOk());
    std::string whole = std::string(65, 'a') + std::string(63, '\0') + big;
    EXPECT_EQ(std::string(data.data(), data.size()), whole.substr(at, n));
  }
}

TEST(Format, SameInputSameBytes) {
  PlanBuilder a = streamingChain(), b = streamingChain();
  std::string p = scratchPath("a.ciuic"), q = scratchPath("b.ciuic");
  ASSERT_TRUE(a.write(p, "kernels").isOk());
  ASSERT_TRUE(b.write(q, "kernels").isOk());
  EXPECT_EQ(readFile(p), readFile(q));
}

// Every byte outside the long zero run before the weights, and a sample of that run; three bits.
TEST(Format, EveryFlippedByteIsRefused) {
  std::string bytes = chainBytes();
  std::string damaged = bytes;
  size_t stride = 1, refused = 0, tried = 0;
  for (size_t at = 0; at < bytes.size(); at += stride) {
    bool padding = at > kHeaderBytes + 64 && at + 4096 < kWeightAlignment;
    stride = padding ? 4093 : 1;
    damaged[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    Status s = readAll(damaged);
    EXPECT_FALSE(s.isOk()) << "byte " << at;
    EXPECT_TRUE(s.cls() == StatusClass::Input || s.cls() == StatusClass::Unsupported)
        << s.message();
    refused += !s.isOk();
    ++tried;
    damaged[at] = bytes[at];
  }
  EXPECT_EQ(refused, tried);
  EXPECT_TRUE(readAll(damaged).isOk());
}

TEST(Format, DamagedWeightIsFoundAtItsFirstReadAndNotBefore) {
  std::string bytes = chainBytes();
  bytes[kWeightAlignment + 5] ^= 1;
  std::unique_ptr<ProgramFile> file;
  ASSERT_TRUE(openBytes(bytes, &file).isOk());
  char out[64];
  Status s = file->readWeights(0, 64, out);
  EXPECT_EQ(s.code(), "format.F10");
  EXPECT_NE(s.message().find("page 0"), std::string::npos) << s.message();
}

TEST(Format, EveryTruncationIsRefused) {
  std::string bytes = chainBytes();
  for (size_t cut :
       {size_t(0), size_t(1), size_t(4095), size_t(4096), size_t(4097), size_t(kWeightAlignment),
        size_t(kWeightAlignment + 100), bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_EQ(openBytes(bytes.substr(0, cut)).code(), "format.F1") << cut;
  }
  EXPECT_EQ(openBytes(bytes + '\0').code(), "format.F1");
}

TEST(Format, AnotherVersionIsNamed) {
  std::string bytes = chainBytes();
  FileHeader h;
  std::memcpy(&h, bytes.data(), sizeof h);
  h.major = 9;
  h.headerHash = 0;
  h.headerHash = hashBytes(&h, sizeof h);
  std::memcpy(bytes.data(), &h, sizeof h);
  Status s = openBytes(bytes);
  EXPECT_EQ(s.cls(), StatusClass::Unsupported);
  EXPECT_NE(s.message().find("9.0"), std::string::npos);
}

// Damage that repairs the header's hash, so that the rules behind it are reached.
TEST(Format, SectionTableRules) {
  auto with = [](const std::function<void(FileHeader &)> &change) {
    std::string bytes = chainBytes();
    FileHeader h;
    std::memcpy(&h, bytes.data(), sizeof h);
    change(h);
    h.headerHash = 0;
    h.headerHash = hashBytes(&h, sizeof h);
    std::memcpy(bytes.data(), &h, sizeof h);
    return openBytes(bytes).code();
  };
  EXPECT_EQ(with([](FileHeader &h) { h.sectionCount = 0; }), "format.F5");
  EXPECT_EQ(with([](FileHeader &h) { h.sectionCount = 65; }), "format.F5");
  EXPECT_EQ(with([](FileHeader &h) { h.sectionCount = 64; }), "format.F5");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[0].kind = 77; }), "format.F5");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[0].offset += 64; }), "format.F6");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[1].bytes = INT64_MAX; }), "format.F6");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[1].bytes = -1; }), "format.F6");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[1].alignment = 1; }), "format.F6");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[0].hash = 1; }), "format.F8");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[1].hash ^= 1; }), "format.F8");
  EXPECT_EQ(with([](FileHeader &h) { std::swap(h.sections[1], h.sections[2]); }), "format.F6");
}

// Each case breaks the plan in one way; the writer runs the loader's rules, so it must refuse.
struct Break {
  const char *rule;
  const char *what;
  std::function<void(PlanBuilder &)> change;
};

CopyT &copyAt(PlanBuilder &b, size_t i) { return *b.last().steps[i]->body.AsCopy(); }
LaunchT &launchAt(PlanBuilder &b, size_t i) { return *b.last().steps[i]->body.AsLaunch(); }

const std::vector<Break> &breaks() {
  static const std::vector<Break> list = {
      {"P1", "granule", [](PlanBuilder &b) { b.program.granule = 65535; }},
      {"P1", "budget", [](PlanBuilder &b) { b.program.budget_bytes = 1; }},
      {"P1", "reserve overflows", [](PlanBuilder &b) { b.program.reserve_bytes = INT64_MAX; }},
      {"P1", "no entry", [](PlanBuilder &b) { b.program.entries.clear(); }},
      {"P1", "name with NUL", [](PlanBuilder &b) { b.program.target = std::string("a\0b", 3); }},
      {"P3", "blob", [](PlanBuilder &b) { b.program.kernels[0]->blobs = {7}; }},
      {"P3", "no blob", [](PlanBuilder &b) { b.program.kernels[0]->blobs.clear(); }},
      {"P3", "scratch", [](PlanBuilder &b) { b.program.kernels[0]->scratch_bytes = -1; }},
      {"P4", "host range", [](PlanBuilder &b) { b.program.weights[3]->host_offset = 1 << 20; }},
      {"P4", "dtype", [](PlanBuilder &b) { b.program.weights[0]->dtype = DType(99); }},
      {"P4", "tile", [](PlanBuilder &b) { b.program.weights[0]->tile_bytes = 0; }},
      {"P4", "mode", [](PlanBuilder &b) { b.program.weights[0]->mode = WeightMode(9); }},
      {"P4", "resident part outside the weight",
       [](PlanBuilder &b) { b.program.weights[0]->resident = {{4090, 64, 24576}}; }},
      {"P4", "resident part outside the arena",
       [](PlanBuilder &b) { b.program.weights[0]->resident = {{0, 64, 65536}}; }},
      {"P4", "resident parts out of order",
       [](PlanBuilder &b) { b.program.weights[0]->resident = {{64, 64, 24576}, {0, 128, 24640}}; }},
      {"P6", "two resident parts at one place",
       [](PlanBuilder &b) { b.program.weights[0]->resident = {{0, 64, 24576}, {64, 64, 24576}}; }},
      {"E6", "resident part under a slot",
       [](PlanBuilder &b) { b.program.weights[0]->resident = {{0, 64, 12352}}; }},
      {"P6", "host overlap", [](PlanBuilder &b) { b.program.weights[1]->host_offset = 64; }},
      {"P7", "arena too large",
       [](PlanBuilder &b) {
         b.program.arena_bytes += 65536;
         b.program.budget_bytes += 65536;
       }},
      {"P7", "peak", [](PlanBuilder &b) { b.last().peak_bytes += 1; }},
      {"E2", "bounds", [](PlanBuilder &b) { b.last().symbols[0]->lower = 5000; }},
      {"E2", "source input", [](PlanBuilder &b) { b.last().symbols[0]->index = 3; }},
      {"E2", "source axis", [](PlanBuilder &b) { b.last().symbols[0]->axis = 1; }},
      {"E2", "derived without expression",
       [](PlanBuilder &b) { b.last().symbols[0]->source = SymbolSource::Derived; }},
      {"E3", "grid", [](PlanBuilder &b) { launchAt(b, 0).grid->ops.clear(); }},
      {"E3", "grid symbol", [](PlanBuilder &b) { launchAt(b, 0).grid = symbolExpr(4); }},
      {"E3", "negative grid", [](PlanBuilder &b) { launchAt(b, 0).grid = constantExpr(-1); }},
      {"E3", "division by zero",
       [](PlanBuilder &b) {
         launchAt(b, 0).grid = binaryExpr(ExprCode::FloorDiv, *constantExpr(1), *constantExpr(0));
       }},
      {"E4", "port too small", [](PlanBuilder &b) { b.last().inputs[0]->bytes = 100; }},
      {"E4", "port dtype", [](PlanBuilder &b) { b.last().inputs[0]->dtype = DType::Unknown; }},
      {"E5", "dims block", [](PlanBuilder &b) { b.last().dims_offset = -64; }},
      {"E6", "two live buffers",
       [](PlanBuilder &b) { b.last().buffers[3]->offset = b.last().buffers[1]->offset; }},
      {"E6", "lifetime", [](PlanBuilder &b) { b.last().buffers[3]->first_step = 7; }},
      {"E6", "unaligned", [](PlanBuilder &b) { b.last().buffers[3]->offset += 4; }},
      {"E7", "argument outside the arena",
       [](PlanBuilder &b) { launchAt(b, 0).args[0] = Arg(1 << 30, 4, Access::Read); }},
      {"E7", "argument wraps",
       [](PlanBuilder &b) { launchAt(b, 0).args[0] = Arg(64, INT64_MAX, Access::Read); }},
      {"E7", "argument in no buffer",
       [](PlanBuilder &b) { launchAt(b, 0).args[0] = Arg(64, 5000, Access::Read); }},
      {"E7", "dead buffer", [](PlanBuilder &b) { b.last().buffers[3]->last_step = 3; }},
      {"E7", "no access",
       [](PlanBuilder &b) { launchAt(b, 0).args[0] = Arg(64, 4096, Access::None); }},
      {"E7", "copy outside the host tier",
       [](PlanBuilder &b) { copyAt(b, 1).host_offset = 1 << 30; }},
      {"E8", "kernel", [](PlanBuilder &b) { launchAt(b, 0).kernel = 9; }},
      {"E8", "argument count", [](PlanBuilder &b) { launchAt(b, 0).args.pop_back(); }},
      {"E9", "waits for itself", [](PlanBuilder &b) { b.last().steps[1]->waits = {1}; }},
      {"E9", "waits for a later step", [](PlanBuilder &b) { b.last().steps[1]->waits = {4}; }},
      {"E10", "copy does not wait for the reader",
       [](PlanBuilder &b) { b.last().steps[1]->waits.clear(); }},
      {"E10", "kernel does not wait for the copy",
       [](PlanBuilder &b) { b.last().steps[4]->waits.clear(); }},
      {"E10", "waits for the wrong copy", [](PlanBuilder &b) { b.last().steps[6]->waits = {1}; }},
      {"E11", "no prologue", [](PlanBuilder &b) { b.last().prologue.clear(); }},
      {"E11", "copies no weight",
       [](PlanBuilder &b) {
         copyAt(b, 1).host_offset = 16384;
         b.program.host_bytes = 65536;
       }},
      {"E12", "prologue differs from the wrap",
       [](PlanBuilder &b) { b.last().prologue[0]->host_offset = 4096; }},
      {"E13", "copy in the compute stream",
       [](PlanBuilder &b) { b.last().steps[1]->stream = Stream::Compute; }},
      {"E13", "launch in a copy stream",
       [](PlanBuilder &b) { b.last().steps[0]->stream = Stream::H2D; }},
      {"E13", "no body", [](PlanBuilder &b) { b.last().steps[0]->body.Reset(); }},
      {"E13", "prediction", [](PlanBuilder &b) { b.last().steps[0]->predicted_us = -1; }},
      {"E14", "state",
       [](PlanBuilder &b) {
         auto use = std::make_unique<StateUseT>();
         use->before = constantExpr(0);
         use->after = constantExpr(1);
         b.last().states.push_back(std::move(use));
       }},
  };
  return list;
}

TEST(Format, EachRuleIsEnforced) {
  for (const Break &c : breaks()) {
    PlanBuilder b = streamingChain();
    c.change(b);
    std::string path = scratchPath("broken.ciuic");
    Status s = b.write(path, "kernels");
    EXPECT_EQ(s.code(), std::string("format.") + c.rule) << c.what << ": " << s.message();
    EXPECT_FALSE(std::filesystem::exists(path)) << c.what;
  }
}

// No wait of this plan is spare: without any one of them the checker must find the race.
TEST(Format, EachWaitIsNeeded) {
  size_t dropped = 0;
  for (size_t i = 0; i < streamingChain().last().steps.size(); ++i) {
    for (size_t w = 0; w < streamingChain().last().steps[i]->waits.size(); ++w) {
      PlanBuilder b = streamingChain();
      auto &waits = b.last().steps[i]->waits;
      waits.erase(waits.begin() + static_cast<std::ptrdiff_t>(w));
      EXPECT_EQ(b.write(scratchPath("race.ciuic"), "kernels").code(), "format.E10") << i;
      ++dropped;
    }
  }
  EXPECT_EQ(dropped, 6u);
}

// Copies that trade places, and copies that load other bytes than the kernel before them left.
TEST(Format, ExchangedCopiesAreFound) {
  for (auto [i, j] : {std::pair<size_t, size_t>{1, 3}, {3, 5}, {5, 7}, {1, 7}}) {
    PlanBuilder b = streamingChain();
    std::swap(b.last().steps[i]->body, b.last().steps[j]->body);
    EXPECT_FALSE(b.write(scratchPath("race.ciuic"), "kernels").isOk()) << i << " " << j;
  }
}

TEST(Format, FailedWriteLeavesTheOldFileAndNoTemporary) {
  std::string folder = scratchPath("keep");
  std::filesystem::create_directory(folder);
  std::string path = folder + "/p.ciuic";
  ASSERT_TRUE(streamingChain().write(path, "kernels").isOk());
  std::string before = readFile(path);
  PlanBuilder bad = streamingChain();
  bad.program.granule = 3;
  EXPECT_FALSE(bad.write(path, "kernels").isOk());
  EXPECT_EQ(readFile(path), before);
  size_t files = 0;
  for (auto &e : std::filesystem::directory_iterator(folder)) {
    (void)e;
    ++files;
  }
  EXPECT_EQ(files, 1u);
}

// A file size limit stands in for a full disk: the write fails half way, with EFBIG.
TEST(Format, WriteErrorLeavesNothing) {
  std::string path = scratchPath("limited.ciuic");
  rlimit old, small;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = kWeightAlignment + 100;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  Status s = streamingChain().write(path, "kernels");
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(s.cls(), StatusClass::Environment) << s.message();
  EXPECT_FALSE(std::filesystem::exists(path));
}

// A real full disk: a tmpfs of 1 MiB in a mount namespace of a child's own.
TEST(Format, FullDiskIsNamedAndLeavesNothing) {
  std::string folder = scratchPath("full");
  std::filesystem::create_directory(folder);
  pid_t child = fork();
  if (child == 0) {
    uid_t user = geteuid();
    gid_t group = getegid();
    bool own = unshare(CLONE_NEWNS) == 0;
    if (!own && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
      writeFile("/proc/self/uid_map", "0 " + std::to_string(user) + " 1");
      writeFile("/proc/self/setgroups", "deny");
      writeFile("/proc/self/gid_map", "0 " + std::to_string(group) + " 1");
      own = true;
    }
    if (!own || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) {
      _exit(77);
    }
    std::string path = folder + "/p.ciuic";
    PlanBuilder b;
    b.weight("big", std::string(1 << 20, 'x'), WeightMode::Resident, 0);
    b.entry("main");
    b.last().dims_offset = 1 << 20;
    b.buffer("dims", BufferKind::Dims, 1 << 20, 64, 0, 0);
    b.seal();
    Status s = b.write(path, "");
    bool named =
        s.code() == "io.no-space" && s.message().find("the disk is full") != std::string::npos;
    if (!named) {
      std::fprintf(stderr, "%s\n", s.message().c_str());
    }
    _exit(!named ? 1 : std::filesystem::is_empty(folder) ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "this system lets nobody mount in a namespace";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Format, WillNotReplaceADevice) {
  auto writer = ProgramWriter::create("/dev/null");
  EXPECT_EQ(writer.takeStatus().code(), "io.not-a-file");
}

} // namespace

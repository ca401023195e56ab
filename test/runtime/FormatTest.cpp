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
  EXPECT_EQ(s.code(), "format.F3");
  EXPECT_EQ(s.cls(), StatusClass::Unsupported);
  EXPECT_NE(s.message().find("9.0"), std::string::npos);
}

TEST(Format, DamagedMagicAndHeaderAreToldApart) {
  std::string bytes = chainBytes();
  bytes[1] ^= 1;
  EXPECT_EQ(openBytes(bytes).code(), "format.F2");
  bytes = chainBytes();
  bytes[50] ^= 1;
  EXPECT_EQ(openBytes(bytes).code(), "format.F4");
  bytes = chainBytes();
  bytes[kHeaderBytes + 7] = 1;
  EXPECT_EQ(openBytes(bytes).code(), "format.F7");
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
  // The table of one page's hash takes eight bytes of the padding behind it as a second one.
  EXPECT_EQ(with([](FileHeader &h) {
              SectionEntry &table = h.sections[2];
              uint64_t two[2] = {0, 0};
              std::memcpy(two, chainBytes().data() + table.offset, 8);
              table.bytes = 16;
              table.hash = hashBytes(two, 16);
            }),
            "format.F9");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[0].hash = 1; }), "format.F8");
  EXPECT_EQ(with([](FileHeader &h) { h.sections[1].hash ^= 1; }), "format.F8");
  EXPECT_EQ(with([](FileHeader &h) { std::swap(h.sections[1], h.sections[2]); }), "format.F6");
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

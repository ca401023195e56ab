// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Damage with repaired hashes: what gets past the hashes must be stopped by the rules. Random bytes
// of the metadata and of the section table change; the loader must answer, never crash, and a plan
// it accepts must be one that a session can run without leaving the arena. Seeded, so repeatable.
#include "test/runtime/PlanBuilder.h"

#include "runtime/base/Hash.h"
#include "runtime/exec/Session.h"
#include "runtime/format/Layout.h"
#include "runtime/format/ProgramFile.h"

#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace ciuic;
using namespace ciuic::test;

namespace {

FileHeader headerOf(const std::string &bytes) {
  FileHeader h;
  std::memcpy(&h, bytes.data(), sizeof h);
  return h;
}

void repair(std::string &bytes) {
  FileHeader h = headerOf(bytes);
  for (uint32_t i = 0; i < std::min(h.sectionCount, kMaxSections); ++i) {
    SectionEntry &s = h.sections[i];
    bool inside = s.offset >= 0 && s.bytes >= 0 && s.bytes <= static_cast<int64_t>(bytes.size()) &&
                  s.offset <= static_cast<int64_t>(bytes.size()) - s.bytes;
    if (inside && s.kind != static_cast<uint32_t>(SectionKind::Weights)) {
      s.hash = hashBytes(bytes.data() + s.offset, static_cast<size_t>(s.bytes));
    }
  }
  h.headerHash = 0;
  h.headerHash = hashBytes(&h, sizeof h);
  std::memcpy(bytes.data(), &h, sizeof h);
}

TEST(FormatFuzz, DamagedMetadataIsRefusedOrHarmless) {
  PlanBuilder b = streamingChain();
  std::string path = scratchPath("fuzz.ciuic");
  ASSERT_TRUE(b.write(path, testKernels()).isOk());
  const std::string good = readFile(path);
  FileHeader h = headerOf(good);
  const SectionEntry meta = h.sections[h.sectionCount - 1];
  ASSERT_EQ(meta.kind, static_cast<uint32_t>(SectionKind::Metadata));
  std::unique_ptr<device::Device> device;
  ASSERT_TRUE(device::createDevice("host", &device).isOk());
  std::mt19937 random(2026);
  int refused = 0, accepted = 0;
  std::string bytes = good;
  for (int round = 0; round < 4000; ++round) {
    int changes = 1 + static_cast<int>(random() % 3);
    std::vector<size_t> touched;
    for (int i = 0; i < changes; ++i) {
      size_t at = static_cast<size_t>(meta.offset) + random() % static_cast<size_t>(meta.bytes);
      const char values[] = {0,
                             1,
                             -1,
                             127,
                             static_cast<char>(random()),
                             static_cast<char>(good[at] ^ (1 << (random() % 8)))};
      bytes[at] = values[random() % sizeof values];
      touched.push_back(at);
    }
    repair(bytes);
    auto file =
        ProgramFile::open(ByteSource::fromMemory(bytes.data(), static_cast<int64_t>(bytes.size())));
    if (!file.isOk()) {
      Status s = file.takeStatus();
      EXPECT_TRUE(s.cls() == StatusClass::Input) << s.message();
      ++refused;
    } else {
      ++accepted;
      // Names and predictions are free, as are the symbols of kernels: only known ones may run.
      std::shared_ptr<ProgramFile> shared = std::move(file.value());
      const ProgramT &p = shared->program();
      bool known = p.kernels.size() == 1 && p.kernels[0]->symbol == "test_add" &&
                   p.arena_bytes <= (1 << 24) && p.host_bytes <= (1 << 24) &&
                   p.entries.size() == 1 && p.entries[0]->inputs.size() == 1 &&
                   p.entries[0]->inputs[0]->name == "x";
      std::unique_ptr<Session> session;
      if (known && Session::create(shared, *device, {.threads = 1}, &session).isOk()) {
        std::vector<float> x(16);
        int64_t n = 16;
        Status s = session->bindInput("x", DType::F32, {&n, 1}, x.data());
        if (s.isOk()) {
          s = session->run("");
        }
      }
    }
    for (size_t at : touched) {
      bytes[at] = good[at];
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(accepted, 100); // or the test would only exercise the FlatBuffer verifier
}

TEST(FormatFuzz, DamagedSectionTableIsRefusedOrHarmless) {
  PlanBuilder b = streamingChain();
  std::string path = scratchPath("fuzz.ciuic");
  ASSERT_TRUE(b.write(path, "kernels").isOk());
  const std::string good = readFile(path);
  uint32_t count = headerOf(good).sectionCount;
  std::mt19937 random(7);
  std::string bytes = good;
  for (int round = 0; round < 4000; ++round) {
    size_t at = offsetof(FileHeader, sectionCount) +
                random() % (sizeof(FileHeader::reserved) + 24 + count * sizeof(SectionEntry));
    bytes[at] = static_cast<char>(random());
    bool same = bytes[at] == good[at];
    repair(bytes);
    auto file =
        ProgramFile::open(ByteSource::fromMemory(bytes.data(), static_cast<int64_t>(bytes.size())));
    bool inHash = false;
    for (uint32_t i = 1; i < count; ++i) { // that of the weights, the first, must be 0
      size_t hash =
          offsetof(FileHeader, sections) + i * sizeof(SectionEntry) + offsetof(SectionEntry, hash);
      inHash = inHash || (at >= hash && at < hash + 8);
    }
    bool headerHash =
        at >= offsetof(FileHeader, headerHash) && at < offsetof(FileHeader, headerHash) + 8;
    EXPECT_EQ(file.isOk(), same || inHash || headerHash) << at; // hashes were repaired
    std::memcpy(bytes.data(), good.data(), kHeaderBytes);
  }
}

} // namespace

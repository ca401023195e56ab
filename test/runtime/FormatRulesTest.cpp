// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One broken plan for each rule on metadata, told to the writer and, as a file whose hashes are
// right, to the loader; and a check that no rule of docs/program-format.md goes without a case.
#include "test/runtime/PlanBuilder.h"

#include "runtime/base/Hash.h"
#include "runtime/format/Layout.h"
#include "runtime/format/ProgramFile.h"

#include <cstring>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <regex>
#include <set>

using namespace ciuic;
using namespace ciuic::test;

namespace {

// Each case breaks the plan in one way; the writer runs the loader's rules, so it must refuse.
struct Break {
  const char *rule;
  const char *what;
  std::function<void(PlanBuilder &)> change;
};

CopyT &copyAt(PlanBuilder &b, size_t i) { return *b.last().steps[i]->body.AsCopy(); }
LaunchT &launchAt(PlanBuilder &b, size_t i) { return *b.last().steps[i]->body.AsLaunch(); }

/// An output of four rows of 24 bytes in the host tier, written by columns from what x holds: steps
/// 8 and 9.
void addColumns(PlanBuilder &b) {
  constexpr int64_t place = 4 * kChainLength * 4;
  b.port(false, "c", DType::F32, dims(num(4), num(6)), place, 96, Tier::Host);
  b.program.host_bytes = 65536;
  b.copyRows(64, 1, 0, 16, 4, num(4), 24, {});
  b.copyRows(128, 1, 16, 8, 4, num(4), 24, {});
  b.last().buffers[1]->last_step = b.last().buffers[2]->last_step = 9;
}
CopyOutT &rowsAt(PlanBuilder &b, size_t i) { return *b.last().steps[i]->body.AsCopyOut(); }

const std::vector<Break> &breaks() {
  static const std::vector<Break> list = {
      {"P1", "granule", [](PlanBuilder &b) { b.program.granule = 65535; }},
      {"P1", "budget", [](PlanBuilder &b) { b.program.budget_bytes = 1; }},
      {"P1", "reserve overflows", [](PlanBuilder &b) { b.program.reserve_bytes = INT64_MAX; }},
      {"P1", "no entry", [](PlanBuilder &b) { b.program.entries.clear(); }},
      {"P1", "name with NUL", [](PlanBuilder &b) { b.program.target = std::string("a\0b", 3); }},
      {"P2", "blob of another size", [](PlanBuilder &b) { b.program.blobs[0]->bytes += 1; }},
      {"P2", "blob of the weights",
       [](PlanBuilder &b) {
         b.program.blobs[0]->section = 0;
         b.program.blobs[0]->bytes = 4 * 4096;
       }},
      {"P2", "blob of no section", [](PlanBuilder &b) { b.program.blobs[0]->section = 99; }},
      {"P2", "kernels that nothing describes", [](PlanBuilder &b) { b.program.blobs.clear(); }},
      {"P3", "blob", [](PlanBuilder &b) { b.program.kernels[0]->blobs = {7}; }},
      {"P3", "no blob", [](PlanBuilder &b) { b.program.kernels[0]->blobs.clear(); }},
      {"P3", "scratch", [](PlanBuilder &b) { b.program.kernels[0]->scratch_bytes = -1; }},
      {"P4", "host range", [](PlanBuilder &b) { b.program.weights[3]->host_offset = 1 << 20; }},
      {"P1", "disk", [](PlanBuilder &b) { b.program.disk_bytes = -1; }},
      {"P4", "disk range",
       [](PlanBuilder &b) {
         moveToDisk(b);
         b.program.disk_bytes -= 1;
       }},
      {"P4", "on the disk at a place in memory",
       [](PlanBuilder &b) { b.program.weights[3]->on_disk = true; }},
      {"E7", "copy outside the disk",
       [](PlanBuilder &b) {
         moveToDisk(b);
         copyAt(b, 1).host_offset += 1 << 20;
       }},
      {"E11", "copy of what the disk does not hold",
       [](PlanBuilder &b) {
         moveToDisk(b);
         b.program.disk_bytes += 4096;
         copyAt(b, 1).host_offset += 8192;
       }},
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
      {"P5", "state bytes",
       [](PlanBuilder &b) {
         b.state("s", DType::F32, {4}, 0, 24576);
         b.program.states[0]->bytes = 17;
       }},
      {"P5", "state dims overflow",
       [](PlanBuilder &b) {
         b.state("s", DType::F32, {4}, 0, 24576);
         b.program.states[0]->dims = {1ll << 40, 1ll << 40};
       }},
      {"P5", "state axis", [](PlanBuilder &b) { b.state("s", DType::F32, {4}, 1, 24576); }},
      {"E1", "entry twice",
       [](PlanBuilder &b) {
         PlanBuilder twin = streamingChain();
         b.program.entries.push_back(std::move(twin.program.entries[0]));
       }},
      {"E1", "entry without a name", [](PlanBuilder &b) { b.last().name.clear(); }},
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
      {"E11", "a column that nothing wrote",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).row_bytes = 4;
       }},
      {"E12", "columns over a weight",
       [](PlanBuilder &b) {
         addColumns(b);
         b.last().outputs[1]->offset -= 64;
         rowsAt(b, 8).host_offset -= 64;
         rowsAt(b, 9).host_offset -= 64;
       }},
      {"E15", "columns beyond the row",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).row_bytes = 12;
       }},
      {"E15", "more rows than the output has",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).rows = num(5);
         rowsAt(b, 9).bytes = 40;
       }},
      {"E15", "more rows than the arena range holds",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).bytes = 31;
       }},
      {"E15", "no number of rows",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).rows.reset();
       }},
      {"E15", "rows of no bytes",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).row_bytes = 0;
       }},
      {"E15", "a pitch that does not divide the output",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).host_pitch = 25;
       }},
      {"E15", "rows in no output",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).host_offset += 4096;
       }},
      {"E15", "rows at the end of the numbers",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).host_offset = INT64_MIN;
       }},
      {"E15", "two pitches",
       [](PlanBuilder &b) {
         addColumns(b);
         rowsAt(b, 9).host_pitch = 48;
       }},
      {"E15", "a spill over the columns",
       [](PlanBuilder &b) {
         addColumns(b);
         b.copyOut(64, 4 * kChainLength * 4 + 64, 64, {});
         b.last().buffers[1]->last_step = b.last().buffers[2]->last_step = 10;
       }},
  };
  return list;
}

/// A whole file with `b`'s metadata in it and every hash right, as an adversary would make it.
std::string fileWithMetadata(const std::string &good, const ProgramT &program) {
  FileHeader h;
  std::memcpy(&h, good.data(), sizeof h);
  SectionEntry &meta = h.sections[h.sectionCount - 1];
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(Program::Pack(builder, &program), ProgramIdentifier());
  std::string bytes = good.substr(0, static_cast<size_t>(meta.offset));
  bytes.append(reinterpret_cast<const char *>(builder.GetBufferPointer()), builder.GetSize());
  meta.bytes = builder.GetSize();
  meta.hash = hashBytes(builder.GetBufferPointer(), builder.GetSize());
  h.fileBytes = static_cast<int64_t>(bytes.size());
  h.headerHash = 0;
  h.headerHash = hashBytes(&h, sizeof h);
  std::memcpy(bytes.data(), &h, sizeof h);
  return bytes;
}

Status openBytes(const std::string &bytes) {
  return ProgramFile::open(ByteSource::fromMemory(bytes.data(), static_cast<int64_t>(bytes.size())))
      .takeStatus();
}

struct Written {
  PlanBuilder plan = streamingChain();
  std::string file;
  Written() {
    std::string path = scratchPath("written.ciuic");
    Status s = plan.write(path, "kernels");
    EXPECT_TRUE(s.isOk()) << s.message();
    file = readFile(path);
  }
};

TEST(FormatRules, TheLoaderEnforcesEach) {
  Written whole;
  ASSERT_TRUE(openBytes(fileWithMetadata(whole.file, whole.plan.program)).isOk());
  Written columns;
  addColumns(columns.plan);
  Status good = openBytes(fileWithMetadata(columns.file, columns.plan.program));
  ASSERT_TRUE(good.isOk()) << good.message();
  for (const Break &c : breaks()) {
    if (std::string(c.what) == "no body") {
      continue; // FlatBuffers does not write a table that lacks a required field
    }
    Written w;
    c.change(w.plan);
    Status s = openBytes(fileWithMetadata(w.file, w.plan.program));
    EXPECT_EQ(s.code(), std::string("format.") + c.rule) << c.what << ": " << s.message();
    EXPECT_EQ(s.cls(), StatusClass::Input);
  }
}

TEST(FormatRules, TheWriterEnforcesEach) {
  for (const Break &c : breaks()) {
    if (std::string(c.rule) == "P2") {
      continue; // the writer describes its libraries itself
    }
    PlanBuilder b = streamingChain();
    c.change(b);
    std::string path = scratchPath("broken.ciuic");
    Status s = b.write(path, "kernels");
    EXPECT_EQ(s.code(), std::string("format.") + c.rule) << c.what << ": " << s.message();
    EXPECT_FALSE(std::filesystem::exists(path)) << c.what;
  }
}

TEST(FormatRules, MetadataThatIsNoFlatBuffer) {
  Written w;
  FileHeader h;
  std::memcpy(&h, w.file.data(), sizeof h);
  SectionEntry &meta = h.sections[h.sectionCount - 1];
  for (int kind = 0; kind < 3; ++kind) {
    std::string bytes = w.file;
    char *data = bytes.data() + meta.offset;
    if (kind == 0) {
      std::memset(data, 0xff, 4); // the root lies outside
    } else if (kind == 1) {
      std::memcpy(data + 4, "NOPE", 4); // another identifier
    } else {
      std::memset(data, 0, static_cast<size_t>(meta.bytes));
    }
    meta.hash = hashBytes(data, static_cast<size_t>(meta.bytes));
    h.headerHash = 0;
    h.headerHash = hashBytes(&h, sizeof h);
    std::memcpy(bytes.data(), &h, sizeof h);
    EXPECT_EQ(openBytes(bytes).code(), "format.M1") << kind;
  }
}

// Each rule of the document has a case: here, or, for the file's, in FormatTest.cpp.
TEST(FormatRules, NoRuleGoesUntested) {
  std::set<std::string> tested = {"M1"};
  for (const Break &c : breaks()) {
    tested.insert(c.rule);
  }
  std::string others = readFile(std::string(CIUIC_SOURCE) + "/test/runtime/FormatTest.cpp");
  std::regex code("format\\.(F[0-9]+)");
  for (std::sregex_iterator it(others.begin(), others.end(), code), end; it != end; ++it) {
    tested.insert((*it)[1]);
  }
  std::string document = readFile(std::string(CIUIC_SOURCE) + "/docs/program-format.md");
  std::regex rule("\\* \\*\\*([FMPE][0-9]+)\\*\\*");
  std::set<std::string> written;
  for (std::sregex_iterator it(document.begin(), document.end(), rule), end; it != end; ++it) {
    written.insert((*it)[1]);
  }
  EXPECT_GE(written.size(), 31u);
  EXPECT_EQ(written, tested);
}

} // namespace

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// External data: what opens, what a hostile model tries, and the layout of model caches that must
// keep working. Each attack is named for the published weakness it repeats.
#include "test/frontend/ModelBuilder.h"
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace ciuic::testing;
using Tensor = ::onnx::TensorProto;
namespace fs = std::filesystem;

namespace {
using Entries = std::vector<std::pair<std::string, std::string>>;

class ExternalData : public ImportTest {
protected:
  ExternalData() {
    fs::create_directories(path("models/deep"));
    write("models/weights.bin", std::string(8, 'p') + rawFloats(500));
    write("secret", rawFloats(500));
  }

  static ::onnx::ModelProto modelWith(const Entries &entries, int64_t count = 500) {
    ::onnx::ModelProto model = reluModel();
    add(model, "w", entries, count);
    return model;
  }
  static void add(::onnx::ModelProto &model, const std::string &name, const Entries &entries,
                  int64_t count) {
    Tensor *tensor = addTensor(model.mutable_graph(), name, Tensor::FLOAT, {count});
    tensor->set_data_location(Tensor::EXTERNAL);
    for (const auto &[key, value] : entries) {
      auto *entry = tensor->add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    }
  }
  std::string importEntries(const Entries &entries, int64_t count = 500) {
    write("models/model.onnx", modelWith(entries, count));
    return import("models/model.onnx");
  }
  std::string importLocation(const std::string &location) {
    return importEntries({{"location", location}});
  }
  void expectRefused(const std::string &location,
                     const std::string &wanted = "input.external-data-path") {
    EXPECT_EQ(importLocation(location), "") << location;
    EXPECT_EQ(code(), wanted) << location << ": " << message;
  }
};
} // namespace

TEST_F(ExternalData, OffsetAndLength) {
  std::string text = importEntries({{"location", "weights.bin"},
                                    {"offset", "8"},
                                    {"length", "2000"},
                                    {"checksum", "0123456789abcdef"}});
  EXPECT_HAS(text, "files = [\"model.onnx\", \"weights.bin\"]");
  EXPECT_HAS(
      text, "onnx.weight \"w\" #onnx.weight<file = 1, offset = 8, bytes = 2000> : tensor<500xf32>");
  ciuic::onnx::WeightOp weight;
  imported.module->walk([&](ciuic::onnx::WeightOp op) { weight = op; });
  std::string bytes(2000, '\0'), error;
  ASSERT_TRUE(imported.files->read(weight.getHandle(), 0, {bytes.data(), bytes.size()}, error))
      << error;
  EXPECT_EQ(bytes, rawFloats(500));
  // IR read from text finds the same files again.
  ciuic::onnx::GraphOp graph;
  imported.module->walk([&](ciuic::onnx::GraphOp op) { graph = op; });
  auto again = ciuic::onnx::WeightFiles::open(path("models/model.onnx"), graph, error);
  ASSERT_TRUE(again) << error;
  EXPECT_TRUE(again->read(weight.getHandle(), 0, {bytes.data(), bytes.size()}, error)) << error;
}

TEST_F(ExternalData, SmallTensorsAreRead) {
  EXPECT_HAS(importEntries({{"location", "weights.bin"}, {"offset", "12"}}, 2),
             "dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>");
}

TEST_F(ExternalData, BelowTheModelsDirectory) {
  write("models/deep/w", rawFloats(500));
  EXPECT_HAS(importLocation("deep/w"), "files = [\"model.onnx\", \"deep/w\"]");
  EXPECT_HAS(importLocation("./deep//w"), "file = 1");
}

TEST_F(ExternalData, ParentDirectories) { // CVE-2022-25882, CVE-2024-27318
  for (const char *location :
       {"../secret", "deep/../../secret", "..", "deep/..", "./../secret", "..\\secret"}) {
    expectRefused(location);
  }
}

TEST_F(ExternalData, AbsoluteEmptyAndStrangePaths) {
  expectRefused(path("secret"));
  expectRefused("");
  expectRefused(std::string("weights.bin\0x", 13));
  expectRefused("/dev/zero");
}

TEST_F(ExternalData, SymbolicLinksOut) { // CVE-2026-34447 (the file), CVE-2026-27489 (a directory)
  fs::create_symlink("../secret", path("models/link"));
  fs::create_directory_symlink("..", path("models/up"));
  fs::create_symlink(path("secret"), path("models/absolute"));
  expectRefused("link");
  expectRefused("up/secret");
  expectRefused("absolute");
  fs::create_symlink("loop", path("models/loop"));
  expectRefused("loop", "environment.external-data-open");
}

TEST_F(ExternalData, SymbolicLinksInside) {
  fs::create_symlink("weights.bin", path("models/link"));
  EXPECT_HAS(importEntries({{"location", "link"}, {"offset", "8"}}), "file = 1");
}

TEST_F(ExternalData, ASiblingWithTheSamePrefixIsOutside) {
  fs::create_directories(path("models-other"));
  write("models-other/w", rawFloats(500));
  fs::create_symlink("../models-other/w", path("models/link"));
  expectRefused("link");
}

TEST_F(ExternalData,
       ModelCachesOfLinks) { // blobs/HASH, snapshots/REVISION/model.onnx -> ../../blobs/HASH
  fs::create_directories(path("cache/blobs"));
  fs::create_directories(path("cache/snapshots/r"));
  write("cache/blobs/aaaa", modelWith({{"location", "model.onnx_data"}}));
  write("cache/blobs/bbbb", rawFloats(500));
  fs::create_symlink("../../blobs/aaaa", path("cache/snapshots/r/model.onnx"));
  fs::create_symlink("../../blobs/bbbb", path("cache/snapshots/r/model.onnx_data"));
  EXPECT_HAS(import("cache/snapshots/r/model.onnx"),
             "files = [\"model.onnx\", \"model.onnx_data\"]");
  // The link of the data alone may still not lead anywhere else.
  fs::remove(path("cache/snapshots/r/model.onnx_data"));
  fs::create_symlink("../../../secret", path("cache/snapshots/r/model.onnx_data"));
  EXPECT_EQ(import("cache/snapshots/r/model.onnx"), "");
  EXPECT_EQ(code(), "input.external-data-path");
}

TEST_F(ExternalData, HardLinks) { // CVE-2026-34446
  fs::create_hard_link(path("secret"), path("models/hard"));
  expectRefused("hard");
  EXPECT_HAS(message, "has 2 hard links");
  options.allowHardLinks = true;
  EXPECT_HAS(importLocation("hard"), "file = 1");
}

TEST_F(ExternalData, FilesThatAreNone) {
  ASSERT_EQ(::mkfifo(path("models/fifo").c_str(), 0600), 0);
  expectRefused("fifo");
  expectRefused("deep");
  expectRefused("absent", "environment.external-data-open");
  EXPECT_HAS(message, "initializer \"w\"");
}

TEST_F(ExternalData, KeysAndNumbers) { // CVE-2026-34445
  const Entries bad[] = {
      {{"location", "weights.bin"}, {"length", "-1"}},
      {{"location", "weights.bin"}, {"offset", "-8"}},
      {{"location", "weights.bin"}, {"offset", "+8"}},
      {{"location", "weights.bin"}, {"offset", " 8"}},
      {{"location", "weights.bin"}, {"offset", "0x8"}},
      {{"location", "weights.bin"}, {"offset", "8e0"}},
      {{"location", "weights.bin"}, {"offset", ""}},
      {{"location", "weights.bin"}, {"offset", "99999999999999999999"}},
      {{"location", "weights.bin"}, {"length", "1999"}},
      {{"location", "weights.bin"}, {"length", "1125899906842624"}},
      {{"location", "weights.bin"}, {"offset", "9"}},
      {{"location", "weights.bin"}, {"offset", "9223372036854775807"}},
      {{"location", "weights.bin"}, {"basepath", "/etc"}},
      {{"location", "weights.bin"}, {"__class__", "x"}},
      {{"location", "weights.bin"}, {"location", "weights.bin"}},
      {{"offset", "8"}},
      {},
  };
  for (const Entries &entries : bad) {
    EXPECT_EQ(importEntries(entries), "");
    EXPECT_EQ(code(), "input.external-data") << message;
  }
}

TEST_F(ExternalData, TruncatedDataFile) { // CVE-2024-27319
  fs::resize_file(path("models/weights.bin"), 2007);
  EXPECT_EQ(importEntries({{"location", "weights.bin"}, {"offset", "8"}}), "");
  EXPECT_EQ(message, "[input.external-data] initializer \"w\" lies at [8, 8 + 2000) of "
                     "\"weights.bin\", which has 2007 "
                     "bytes; the file is incomplete or belongs to another model");
}

TEST_F(ExternalData, ExternalAndInlineDataAtOnce) {
  ::onnx::ModelProto model = modelWith({{"location", "weights.bin"}});
  model.mutable_graph()->mutable_initializer(0)->set_raw_data(rawFloats(500));
  write("models/model.onnx", model);
  EXPECT_EQ(import("models/model.onnx"), "");
  EXPECT_EQ(code(), "input.tensor-data");
}

TEST_F(ExternalData, TiedWeightsShareARangeOverlapsAreRefused) {
  ::onnx::ModelProto model = modelWith({{"location", "weights.bin"}}, 300);
  add(model, "tied", {{"location", "weights.bin"}}, 300);
  write("models/model.onnx", model);
  EXPECT_HAS(import("models/model.onnx"), "onnx.weight \"tied\"");
  add(model, "overlap", {{"location", "weights.bin"}, {"offset", "4"}}, 300);
  write("models/model.onnx", model);
  EXPECT_EQ(import("models/model.onnx"), "");
  EXPECT_EQ(code(), "input.external-data");
}

TEST_F(ExternalData, UnreadableFile) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root reads everything";
  }
  fs::permissions(path("models/weights.bin"), fs::perms::none);
  expectRefused("weights.bin", "environment.external-data-open");
}

TEST_F(ExternalData, TheModelItselfMayHoldTheData) {
  ::onnx::ModelProto model = modelWith({{"location", "model.onnx"}}, 3);
  write("models/model.onnx", model);
  EXPECT_HAS(import("models/model.onnx"), "files = [\"model.onnx\"]");
}

/// Makes openat2 fail with ENOSYS in this process, as kernels before 5.6 do.
static bool withoutOpenat2() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(ExternalData, KernelsWithoutOpenat2) {
  write("models/deep/w", rawFloats(500));
  fs::create_symlink("../secret", path("models/link"));
  fs::create_directory_symlink("..", path("models/up"));
  fs::create_directory_symlink("deep", path("models/inside"));
  const std::tuple<const char *, bool> cases[] = {
      {"weights.bin", true}, {"deep/w", true},       {"./deep//w", true},
      {"inside/w", true},    {"link", false},        {"up/secret", false},
      {"absent", false},     {"deep/absent", false}, {"deep", false}};
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // In a child, because a filter cannot be taken off again. Its exit status is the first case
    // that went wrong.
    if (!withoutOpenat2()) {
      ::_exit(100);
    }
    int index = 0;
    for (auto [location, opens] : cases) {
      ++index;
      std::string error;
      ciuic::onnx::ModelDirectory directory;
      ciuic::onnx::OwnedFd model =
          ciuic::onnx::openModel(path("models/weights.bin"), directory, error);
      if (bool(ciuic::onnx::openBeside(directory, location, false, error)) != opens) {
        ::_exit(index);
      }
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 100) {
    GTEST_SKIP() << "seccomp filters are not allowed here";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0) << "case " << WEXITSTATUS(status);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builds small programs by hand for the runtime's tests: the calls mirror the schema, the offsets
// are the test's own. Kernels come from TestKernels.c, compiled to a shared object at build time.
#pragma once

#include "runtime/format/Expr.h"
#include "runtime/format/ProgramWriter.h"
#include "runtime/format/program_generated.h"

#include <string>
#include <vector>

namespace ciuic::test {

using namespace ciuic::format;

struct PlanBuilder {
  ProgramT program;
  std::vector<std::string> weightData;

  PlanBuilder();
  EntryT &entry(const std::string &name);
  EntryT &last() { return *program.entries.back(); }

  uint32_t kernel(const std::string &symbol, uint32_t args, int64_t scratch = 0);
  uint32_t weight(const std::string &name, std::string bytes, WeightMode mode, int64_t offset);
  uint32_t state(const std::string &name, DType dtype, std::vector<int64_t> dims, int32_t axis,
                 int64_t offset);
  uint32_t symbol(const std::string &name, int64_t lower, int64_t upper, SymbolSource source,
                  uint32_t index, uint32_t axis = 0);
  void buffer(const std::string &name, BufferKind kind, int64_t offset, int64_t bytes,
              uint32_t first, uint32_t last);
  PortT &port(bool input, const std::string &name, DType dtype,
              std::vector<std::unique_ptr<ExprT>> dims, int64_t offset, int64_t bytes,
              Tier tier = Tier::Device);
  uint32_t launch(uint32_t kernel, std::vector<Arg> args, std::unique_ptr<ExprT> grid,
                  std::vector<uint32_t> waits = {}, std::vector<int64_t> params = {});
  uint32_t copy(uint32_t weight, int64_t arenaOffset, std::vector<uint32_t> waits,
                bool wrap = false);
  uint32_t copyOut(int64_t arenaOffset, int64_t hostOffset, int64_t bytes,
                   std::vector<uint32_t> waits);
  uint32_t copyBack(int64_t hostOffset, int64_t arenaOffset, int64_t bytes,
                    std::vector<uint32_t> waits);
  /// Columns [column, column + rowBytes) of the rows of output `output` of the last entry.
  uint32_t copyRows(int64_t arenaOffset, size_t output, int64_t column, int64_t rowBytes,
                    int64_t mostRows, std::unique_ptr<format::ExprT> rows, int64_t pitch,
                    std::vector<uint32_t> waits);
  void prologue(uint32_t weight, int64_t arenaOffset);
  StepT &step(Stream stream, const std::string &name, std::vector<uint32_t> waits);

  /// Sets peaks, arena and budget from the plan.
  void seal();
  /// Writes with one kernel library per variant; empty data stands for none.
  Status write(const std::string &path, const std::string &kernels,
               const std::string &variant = "generic");
};

std::vector<std::unique_ptr<ExprT>> dims(std::unique_ptr<ExprT> a);
std::vector<std::unique_ptr<ExprT>> dims(std::unique_ptr<ExprT> a, std::unique_ptr<ExprT> b);
inline std::unique_ptr<ExprT> num(int64_t v) { return constantExpr(v); }
inline std::unique_ptr<ExprT> sym(uint32_t s) { return symbolExpr(s); }

/// Takes the weights of the host tier out of memory: they and the copies of them are on the disk.
void moveToDisk(PlanBuilder &b);

/// The same plan for cuda: each launch says where its number of units is, symbol 0.
void forCuda(PlanBuilder &b);

/// Four streamed weights through two slots, wrapped around: y = x + w0 + w1 + w2 + w3 over
/// n = 1..1024 floats. `weights` receives the values. Input "x", output "y", entry "main". With
/// `pairs` two weights come at once, so that a device may make one copy of both.
PlanBuilder streamingChain(std::vector<std::vector<float>> *weights = nullptr, bool pairs = false);
inline constexpr int64_t kChainLength = 1024;

std::string readFile(const std::string &path);
void writeFile(const std::string &path, const std::string &bytes);

/// A file that changes, in place, under those who have opened it.
class ChangingFile {
public:
  explicit ChangingFile(std::string path) : path(std::move(path)), whole(readFile(this->path)) {}
  /// Turns a bit of the first of these values, which the file must hold.
  void damage(const std::vector<float> &values) const;
  void restore() const { put(whole); }

private:
  void put(const std::string &bytes) const;
  std::string path, whole;
};

/// The shared object of the test kernels.
std::string testKernels();
/// A folder of this test process, removed at exit.
std::string scratchPath(const std::string &name);

} // namespace ciuic::test

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// onnx → graph: one function per entry, with symbolic shapes inferred, shape arithmetic folded away
// and every operator written as the graph dialect's few ops. All operators that have no importer
// are reported together.
#pragma once
#include "ir/Onnx/Onnx.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LogicalResult.h"
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mlir {
class Pass;
}

namespace ciuic::onnx {
class WeightFiles;
}

namespace ciuic::legalize {

/// One shape profile asked for: `decode:seq=1,past=0..1023`.
struct EntrySpec {
  struct Bound {
    std::string symbol; ///< a symbol's name, or a prefix that only one symbol has
    int64_t lower = 0, upper = 0;
  };
  std::string name;
  std::vector<Bound> bounds;
};

/// Reads `NAME`, `NAME:dim=a..b,…` or `NAME:dim=n,…`. On failure `error` says what is wrong.
bool parseEntry(llvm::StringRef text, EntrySpec &entry, std::string &error);

/// Reads a weight's bytes as the little-endian, row-major tensor they stand for; empty on an I/O
/// failure, for which the reader has emitted the diagnostic. Called for small weights (at most 1
/// MiB) where a value is needed, and for the scales and zero points of quantised ones.
using WeightReader =
    std::function<bool(onnx::WeightAttr weight, mlir::Location location, std::vector<char> &bytes)>;

/// The usual reader; `files` must outlive it.
WeightReader readerOf(const onnx::WeightFiles &files);

struct LegalizeOptions {
  std::vector<EntrySpec> entries; ///< none: one entry `main` with default bounds
  WeightReader readWeight;        ///< none: a model that needs weight values is an error
};

/// What each entry's symbols came to, for the compile summary.
struct LegalizeReport {
  struct Symbol {
    std::string name;
    int64_t lower = 0, upper = 0;
    bool isDefault = false; ///< bounds not named by the user
    std::string equals;     ///< the expression it turned out to be, if it is no symbol of its own
  };
  struct Entry {
    std::string name;
    std::vector<Symbol> symbols;
  };
  std::vector<Entry> entries;
};

/// Replaces the module's `onnx.graph` by `func.func @ENTRY` in the graph dialect. On failure
/// diagnostics are emitted and the module keeps its onnx.graph.
mlir::LogicalResult legalize(mlir::ModuleOp module, const LegalizeOptions &options,
                             LegalizeReport *report = nullptr);

/// The pass around legalize().
std::unique_ptr<mlir::Pass> createLegalizePass(LegalizeOptions options);

} // namespace ciuic::legalize

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The driver: entries and their symbols, the walks until they settle, and one report of everything
// that failed.
#include "passes/Legalize/Legalize.h"
#include "passes/Legalize/DimExpr.h"
#include "passes/Legalize/Importer.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace ciuic::legalize {

bool parseEntry(StringRef text, EntrySpec &entry, std::string &error) {
  auto [name, rest] = text.split(':');
  entry.name = name.trim().str();
  bool isIdentifier = !entry.name.empty() &&
                      llvm::all_of(entry.name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
  if (!isIdentifier || llvm::isDigit(entry.name[0])) {
    error = "--entry '" + text.str() +
            "': an entry's name has letters, digits and '_' only, and no digit first";
    return false;
  }
  SmallVector<StringRef> parts;
  rest.split(parts, ',', -1, false);
  for (StringRef part : parts) {
    auto [symbol, range] = part.rsplit('=');
    EntrySpec::Bound bound;
    bound.symbol = symbol.trim().str();
    auto [low, high] = range.split("..");
    bool single = !range.contains("..");
    if (bound.symbol.empty() || low.trim().getAsInteger(10, bound.lower) ||
        (single ? (bound.upper = bound.lower, false) : high.trim().getAsInteger(10, bound.upper)) ||
        bound.lower < 0 || bound.upper < bound.lower || bound.upper > (int64_t(1) << 40)) {
      error = "--entry '" + text.str() + "': expected dim=n or dim=a..b with 0 <= a <= b, not '" +
              part.trim().str() + "'";
      return false;
    }
    entry.bounds.push_back(bound);
  }
  return true;
}

static std::string namesOf(const std::vector<SymbolInfo> &symbols) {
  if (symbols.empty()) {
    return "the model has no dynamic dims";
  }
  return "the model's dims are " +
         llvm::join(
             llvm::map_range(symbols, [](const SymbolInfo &s) { return "'" + s.name + "'"; }),
             ", ");
}

/// Gives the user's bounds to the symbols they name: exactly, or by a prefix that only one symbol
/// has.
static LogicalResult applyBounds(Location loc, const EntrySpec &entry,
                                 std::vector<SymbolInfo> &symbols) {
  for (const EntrySpec::Bound &bound : entry.bounds) {
    SymbolInfo *found = nullptr;
    int matches = 0;
    for (SymbolInfo &symbol : symbols) {
      if (symbol.name == bound.symbol) {
        found = &symbol;
        matches = 1;
        break;
      }
      if (StringRef(symbol.name).starts_with(bound.symbol)) {
        found = &symbol;
        ++matches;
      }
    }
    if (matches != 1) {
      return emitCoded(loc, {"usage.entry-dim"})
             << "entry '" << entry.name << "': dim '" << bound.symbol
             << (matches == 0 ? "' is not a dim of the model; " : "' fits several dims; ")
             << namesOf(symbols);
    }
    if (!found->isDefault) {
      return emitCoded(loc, {"usage.entry-dim"})
             << "entry '" << entry.name << "': dim '" << found->name << "' is given twice";
    }
    found->lower = bound.lower;
    found->upper = bound.upper;
    found->isDefault = false;
  }
  return success();
}

/// One diagnostic for all operators that are missing, one for all forms that are not covered, one
/// for each bad node.
static void report(onnx::GraphOp graph, ArrayRef<Problem> problems) {
  struct Group {
    std::string title;
    std::vector<const Problem *> members;
  };
  constexpr size_t shownNodes = 4, shownErrors = 20;
  std::map<std::string, std::map<std::string, std::vector<const Problem *>>> unsupported;
  size_t errors = 0, nodes = 0;
  for (const Problem &p : problems) {
    if (classOf(p.code.text) == ErrorClass::Unsupported) {
      unsupported[p.op][p.reason].push_back(&p);
      ++nodes;
    } else if (errors++ < shownErrors) {
      emitCoded(p.location, p.code) << "node \"" << p.node << "\" (" << p.op << "): " << p.reason;
    }
  }
  if (errors > shownErrors) {
    emitCoded(graph.getLoc(), {"input.node"}) << errors - shownErrors << " more nodes are wrong";
  }
  if (unsupported.empty()) {
    return;
  }
  std::string text;
  llvm::raw_string_ostream os(text);
  for (auto &[op, reasons] : unsupported) {
    for (auto &[reason, members] : reasons) {
      os << "\n  " << op << ": " << members.size() << (members.size() == 1 ? " node" : " nodes");
      if (!reason.empty()) {
        os << ", " << reason;
      }
      os << ":";
      for (size_t i = 0; i < std::min(shownNodes, members.size()); ++i) {
        os << (i ? ", " : " ") << "node \"" << members[i]->node << "\" (" << op << ")";
      }
      if (members.size() > shownNodes) {
        os << " and " << members.size() - shownNodes << " more";
      }
    }
  }
  emitCoded(problems.front().location, {"unsupported.operators"})
      << unsupported.size() << (unsupported.size() == 1 ? " operator" : " operators") << " at "
      << nodes << (nodes == 1 ? " node" : " nodes") << " cannot be compiled:" << text;
}

LogicalResult legalize(ModuleOp module, const LegalizeOptions &options, LegalizeReport *report) {
  auto graphs = llvm::to_vector(module.getOps<onnx::GraphOp>());
  if (graphs.size() != 1) {
    return emitCoded(module.getLoc(), {"input.graph"})
           << "expected one onnx.graph, found " << graphs.size();
  }
  onnx::GraphOp graph = graphs.front();
  std::vector<EntrySpec> entries = options.entries;
  if (entries.empty()) {
    entries.push_back({"main", {}});
  }
  SmallVector<func::FuncOp> functions;
  auto abandon = [&] {
    for (func::FuncOp function : functions) {
      function.erase();
    }
    return failure();
  };
  Findings findings;
  for (auto [i, entry] : llvm::enumerate(entries)) {
    for (size_t j = 0; j < i; ++j) {
      if (entries[j].name == entry.name) {
        emitCoded(module.getLoc(), {"usage.entry-name"})
            << "two entries are called '" << entry.name << "'";
        return abandon();
      }
    }
    // 1. The symbols and their bounds.
    std::vector<SymbolInfo> symbols;
    collectSymbols(graph, symbols);
    if (failed(applyBounds(graph.getLoc(), entry, symbols))) {
      return abandon();
    }
    // 2. Walk until no symbol turns out to be something else; each walk settles a symbol or narrows
    // a bound.
    func::FuncOp function;
    size_t most = 8 * symbols.size() + 8;
    bool restart = true;
    for (size_t walk = 0; restart && walk <= most; ++walk) {
      Importer importer(graph, options, symbols, findings);
      function = importer.run(module, entry.name, restart);
      if (!restart && !function) {
        legalize::report(graph, importer.problems);
        return abandon();
      }
    }
    if (!function) {
      emitCoded(graph.getLoc(), {"internal.symbols"})
          << "the dims of entry '" << entry.name << "' do not settle";
      return abandon();
    }
    functions.push_back(function);
    // 3. What the summary says of them.
    if (report) {
      LegalizeReport::Entry summary{entry.name, {}};
      for (SymbolInfo &s : symbols) {
        LegalizeReport::Symbol symbol{s.name, s.lower, s.upper, s.isDefault, {}};
        if (s.equals) {
          llvm::raw_string_ostream os(symbol.equals);
          auto names = llvm::map_to_vector(symbols, [&](SymbolInfo &x) { return x.name; });
          printDim(os, s.equals, names);
        }
        summary.symbols.push_back(symbol);
      }
      report->entries.push_back(std::move(summary));
    }
  }
  module->setAttr("graph.files", graph.getFilesAttr());
  graph.erase();
  return success();
}

} // namespace ciuic::legalize

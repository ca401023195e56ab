// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Caches of keys and values as int8. A state is one where every function appends to it and nothing
// but attention reads it, as key or value; an attention reads both of its caches quantised or
// neither, so states are dropped until that holds everywhere. What a row costs is bounded by the
// row alone (kernels/QuantisedRows.h), so no weights or inputs are looked at.
#include "ir/Graph/Graph.h"
#include "kernels/QuantisedRows.h"
#include "kernels/cuda/Catalog.h"
#include "passes/Compress/Passes.h"

#include "llvm/ADT/SetVector.h"

#include <map>
#include <set>
#include <utility>

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_QUANTISESTATES
#include "passes/Compress/Passes.h.inc"
} // namespace ciuic

namespace {

/// A state as one function has it: the argument, and what appends to it, in order.
struct Cache {
  BlockArgument past;
  SmallVector<AppendOp> appends;
  unsigned result = 0; ///< of the function
};

std::optional<int64_t> stateOf(func::FuncOp function, unsigned argument) {
  auto state = function.getArgAttrOfType<IntegerAttr>(argument, "graph.state");
  return state ? std::optional(state.getInt()) : std::nullopt;
}

/// The argument that `value` continues, if appends alone do.
BlockArgument behindAppends(Value value) {
  while (auto append = value.getDefiningOp<AppendOp>()) {
    value = append.getPast();
  }
  return dyn_cast<BlockArgument>(value);
}

/// Where a state is always empty before a run, attention may read what is appended instead of the
/// state after it: the same values, until the state is quantised.
void readBehindAppends(BlockArgument past) {
  for (Operation *user : llvm::make_early_inc_range(past.getUsers())) {
    auto append = dyn_cast<AppendOp>(user);
    if (!append || append.getPast() != past) {
      continue;
    }
    Value fresh = append.getFresh();
    auto extent = dyn_cast<AffineConstantExpr>(dimsOf(past)[append.getAxis()]);
    Operation *source = fresh.getDefiningOp();
    if (!extent || extent.getValue() != 0 || !source || fresh.getType() != append.getType()) {
      continue;
    }
    append->moveAfter(source);
    fresh.replaceUsesWithIf(append.getResult(), [](OpOperand &use) {
      return isa<AttentionOp>(use.getOwner()) &&
             (use.getOperandNumber() == 1 || use.getOperandNumber() == 2);
    });
  }
}

/// The cache of an argument, where only attention and the return read what is appended, and rows
/// are whole.
std::optional<Cache> cacheOf(func::FuncOp function, BlockArgument past) {
  auto type = cast<RankedTensorType>(past.getType());
  auto axis = function.getArgAttrOfType<IntegerAttr>(past.getArgNumber(), "graph.axis");
  if (!isa<FloatType>(type.getElementType()) || type.getRank() != 4 || type.isDynamicDim(3) ||
      !axis || axis.getInt() == 3) {
    return std::nullopt;
  }
  Cache cache{past, {}, 0};
  SmallVector<Value> values{past};
  for (size_t i = 0; i < values.size(); ++i) {
    for (OpOperand &use : values[i].getUses()) {
      Operation *user = use.getOwner();
      if (auto append = dyn_cast<AppendOp>(user); append && use.getOperandNumber() == 0) {
        cache.appends.push_back(append);
        values.push_back(append.getResult());
      } else if (isa<func::ReturnOp>(user) && values[i] != past) {
        cache.result = use.getOperandNumber();
      } else if (!isa<AttentionOp>(user) || values[i] == past ||
                 (use.getOperandNumber() != 1 && use.getOperandNumber() != 2)) {
        return std::nullopt;
      }
    }
  }
  return cache.appends.empty() ? std::nullopt : std::optional(cache);
}

/// The same type with its last dim as quantised rows are stored.
RankedTensorType rowsOf(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<AffineExpr> dims = dimsOf(tensor);
  const int64_t width = cast<AffineConstantExpr>(dims.back()).getValue();
  dims.back() = getAffineConstantExpr(ciuic::kernels::quantisedRowBytes(width), type.getContext());
  return tensorOf(dims, IntegerType::get(type.getContext(), 8));
}

/// Whether attention reads quantised rows as they are: everywhere but in CUDA's kernel of many
/// queries, where values in the queries' type are made first, once for all of its tiles.
bool readsRows(AttentionOp attention) {
  if (!isForCuda(attention)) {
    return true;
  }
  Bounds bounds = boundsOf(attention->getParentOfType<func::FuncOp>());
  SmallVector<AffineExpr> dims = dimsOf(attention.getQuery());
  const unsigned sequence = attention.getQueryLayout() == HeadLayout::bhsd ? 2 : 1;
  Interval queries = intervalOf(dims[sequence], bounds);
  return queries.upper && *queries.upper <= ciuic::kernels::cuda::kDecodeQueries;
}

struct QuantiseStatesPass : ciuic::impl::QuantiseStatesBase<QuantiseStatesPass> {
  void runOnOperation() override {
    auto functions = llvm::to_vector(getOperation().getOps<func::FuncOp>());
    // 1. States that are caches in every function.
    std::map<int64_t, SmallVector<Cache>> caches;
    std::set<int64_t> dropped;
    int64_t states = 0;
    for (func::FuncOp function : functions) {
      for (BlockArgument argument : function.getArguments()) {
        if (auto state = stateOf(function, argument.getArgNumber())) {
          readBehindAppends(argument);
          states = std::max(states, *state + 1);
          auto cache = cacheOf(function, argument);
          if (cache) {
            caches[*state].push_back(*cache);
          } else {
            dropped.insert(*state);
          }
        }
      }
    }
    // 2. An attention's two caches go together.
    for (bool changed = true; std::exchange(changed, false);) {
      getOperation().walk([&](AttentionOp attention) {
        std::optional<int64_t> both[2];
        const Value operands[] = {attention.getKey(), attention.getValue()};
        for (auto [i, operand] : llvm::enumerate(operands)) {
          BlockArgument past =
              operand.getDefiningOp<AppendOp>() ? behindAppends(operand) : BlockArgument();
          auto function = attention->getParentOfType<func::FuncOp>();
          both[i] = past && past.getOwner() == &function.getBody().front()
                        ? stateOf(function, past.getArgNumber())
                        : std::nullopt;
          both[i] = both[i] && dropped.contains(*both[i]) ? std::nullopt : both[i];
        }
        for (int i : {0, 1}) {
          if (both[i] && !both[1 - i]) {
            dropped.insert(*both[i]);
            changed = true;
          }
        }
      });
    }
    // 3. Rewrite what is left.
    int64_t quantised = 0;
    llvm::SetVector<Operation *> readers;
    for (auto &[state, own] : caches) {
      if (!dropped.contains(state)) {
        ++quantised;
        for (Cache &cache : own) {
          rewrite(cache, readers);
        }
      }
    }
    for (Operation *reader : readers) {
      if (auto attention = cast<AttentionOp>(reader); !readsRows(attention)) {
        dequantise(attention);
      }
    }
    if (quantised == 0) {
      getOperation().emitError("[usage.kv] --kv int8: no state of this model is a cache that "
                               "attention alone reads; leave the option out");
      return signalPassFailure();
    }
    Builder b(&getContext());
    getOperation()->setAttr("graph.quantised_states", b.getI64ArrayAttr({quantised, states}));
  }

private:
  static void rewrite(Cache &cache, llvm::SetVector<Operation *> &readers) {
    auto function = cast<func::FuncOp>(cache.past.getOwner()->getParentOp());
    const unsigned argument = cache.past.getArgNumber();
    auto physical = cast<AffineMapAttr>(function.getArgAttr(argument, "graph.physical")).getValue();
    SmallVector<AffineExpr> capacity(physical.getResults());
    const int64_t width = cast<RankedTensorType>(cache.past.getType()).getDimSize(3);
    capacity.back() =
        getAffineConstantExpr(ciuic::kernels::quantisedRowBytes(width), function.getContext());
    function.setArgAttr(argument, "graph.physical",
                        AffineMapAttr::get(AffineMap::get(0, 0, capacity, function.getContext())));
    cache.past.setType(rowsOf(cache.past.getType()));
    for (AppendOp append : cache.appends) {
      OpBuilder b(append);
      append.getFreshMutable().assign(QuantiseRowsOp::create(
          b, append.getLoc(), rowsOf(append.getFresh().getType()), append.getFresh()));
      append.getResult().setType(rowsOf(append.getResult().getType()));
      for (Operation *user : append->getUsers()) {
        if (isa<AttentionOp>(user)) {
          readers.insert(user);
        }
      }
    }
    FunctionType type = function.getFunctionType();
    SmallVector<Type> inputs(type.getInputs()), results(type.getResults());
    inputs[argument] = cache.past.getType();
    results[cache.result] =
        function.getBody().front().getTerminator()->getOperand(cache.result).getType();
    function.setFunctionType(FunctionType::get(function.getContext(), inputs, results));
  }

  static void dequantise(AttentionOp attention) {
    OpBuilder b(attention);
    Type element = cast<RankedTensorType>(attention.getQuery().getType()).getElementType();
    SmallVector<AffineExpr> query = dimsOf(attention.getQuery()),
                            result = dimsOf(attention.getResult());
    for (auto [number, width] : {std::pair(1u, query.back()), std::pair(2u, result.back())}) {
      OpOperand &operand = attention->getOpOperand(number);
      SmallVector<AffineExpr> dims = dimsOf(operand.get());
      dims.back() = width;
      operand.set(
          DequantiseRowsOp::create(b, attention.getLoc(), tensorOf(dims, element), operand.get()));
    }
  }
};

} // namespace

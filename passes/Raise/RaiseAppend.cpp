// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Outputs that continue inputs become states. Pairs of argument and result are collected over all
// functions first, since a state is one only if every function treats it as one; then each function
// is rewritten and marked. States are numbered in the order of their arguments.
#include "passes/Raise/Passes.h"

#include "mlir/IR/PatternMatch.h"

#include <map>

using namespace mlir;
using namespace ciuic::graph;

namespace ciuic {
#define GEN_PASS_DEF_RAISEAPPEND
#include "passes/Raise/Passes.h.inc"
} // namespace ciuic

namespace {

struct State {
  unsigned argument, result;
  int64_t axis;
};

Value returned(func::FuncOp function, unsigned result) {
  return function.getBody().front().getTerminator()->getOperand(result);
}

/// The axis along which `result` is longer than `argument`, all other extents being equal; none if
/// there is no such.
std::optional<int64_t> growingAxis(Value argument, Value result) {
  auto from = dimsOf(argument), to = dimsOf(result);
  std::optional<int64_t> axis;
  if (from.size() != to.size() || getElementTypeOrSelf(argument) != getElementTypeOrSelf(result)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < from.size(); ++i) {
    if (!sameDim(from[i], to[i])) {
      if (axis) {
        return std::nullopt;
      }
      axis = i;
    }
  }
  return axis;
}

bool isEmpty(Value value) {
  return llvm::any_of(dimsOf(value), [](AffineExpr e) {
    auto constant = dyn_cast<AffineConstantExpr>(e);
    return constant && constant.getValue() == 0;
  });
}

/// Whether some function runs with the argument at length 0 along the axis, where a state starts.
bool canStart(ArrayRef<func::FuncOp> functions, const State &state) {
  return llvm::any_of(functions, [&](func::FuncOp function) {
    return intervalOf(dimsOf(function.getArgument(state.argument))[state.axis], boundsOf(function))
               .lower == 0;
  });
}

/// What result number `result` of a function continues, if the graph shows it.
std::optional<State> continuation(func::FuncOp function, unsigned result) {
  Value value = returned(function, result);
  auto concat = value.getDefiningOp<ConcatOp>();
  if (!concat || concat.getInputs().size() < 2) {
    return std::nullopt;
  }
  auto past = dyn_cast<BlockArgument>(concat.getInputs().front());
  if (!past || growingAxis(past, value) != static_cast<int64_t>(concat.getAxis()) ||
      llvm::is_contained(concat.getInputs().drop_front(), past)) {
    return std::nullopt;
  }
  return State{past.getArgNumber(), result, static_cast<int64_t>(concat.getAxis())};
}

/// `function` appends to the state (or has an input that is always empty, which makes any output a
/// continuation).
bool continues(func::FuncOp function, const State &state) {
  auto own = continuation(function, state.result);
  return own ? own->argument == state.argument && own->axis == state.axis
             : isEmpty(function.getArgument(state.argument)) &&
                   growingAxis(function.getArgument(state.argument),
                               returned(function, state.result)) == state.axis;
}

struct RaiseAppendPass : ciuic::impl::RaiseAppendBase<RaiseAppendPass> {
  using Base::Base;

  void runOnOperation() override {
    auto functions = llvm::to_vector(getOperation().getOps<func::FuncOp>());
    if (functions.empty()) {
      return;
    }
    // 1. Which pairs the user names, and which every function shows.
    std::map<unsigned, State> pairs; // by argument
    if (failed(namedPairs(functions, pairs))) {
      return signalPassFailure();
    }
    for (func::FuncOp function : functions) {
      for (unsigned r = 0; r < function.getNumResults(); ++r) {
        auto state = continuation(function, r);
        bool taken =
            state && (pairs.contains(state->argument) ||
                      llvm::any_of(pairs, [&](auto &pair) { return pair.second.result == r; }));
        if (state && !taken && canStart(functions, *state) &&
            llvm::all_of(functions, [&](func::FuncOp f) { return continues(f, *state); })) {
          pairs[state->argument] = *state;
        }
      }
    }
    // 2. One append and one mark per pair and function.
    int64_t number = 0;
    for (auto &[argument, state] : pairs) {
      auto capacity = capacityOf(functions, state);
      if (failed(capacity)) {
        return signalPassFailure();
      }
      for (func::FuncOp function : functions) {
        rewrite(function, state);
        mark(function, state, number, *capacity);
      }
      ++number;
    }
    // 3. Readers that need dense elements get a copy.
    for (func::FuncOp function : functions) {
      separateReaders(function);
    }
  }

private:
  static unsigned find(func::FuncOp function, StringRef name, bool results) {
    unsigned n = results ? function.getNumResults() : function.getNumArguments();
    for (unsigned i = 0; i < n; ++i) {
      auto own = results ? function.getResultAttrOfType<StringAttr>(i, "graph.name")
                         : function.getArgAttrOfType<StringAttr>(i, "graph.name");
      if (own && own.getValue() == name) {
        return i;
      }
    }
    return n;
  }

  LogicalResult namedPairs(ArrayRef<func::FuncOp> functions, std::map<unsigned, State> &pairs) {
    for (const std::string &text : states) {
      auto [input, output] = StringRef(text).split('=');
      for (func::FuncOp function : functions) {
        auto fail = [&]() {
          return emitError(function.getLoc()) << "[usage.state] --state " << text << ": ";
        };
        unsigned a = find(function, input, false), r = find(function, output, true);
        if (a == function.getNumArguments() || r == function.getNumResults()) {
          return fail() << "the model has no "
                        << (a == function.getNumArguments() ? "input '" : "output '")
                        << (a == function.getNumArguments() ? input : output)
                        << "'; write INPUT=OUTPUT with the model's names";
        }
        auto axis = growingAxis(function.getArgument(a), returned(function, r));
        if (!axis) {
          return fail() << "the output must have the input's type and extents but for one axis, "
                           "along which it is longer; "
                           "name a pair that does, or pass both at each run with --no-state";
        }
        auto [it, fresh] = pairs.try_emplace(a, State{a, r, *axis});
        bool clash = (!fresh && (it->second.result != r || it->second.axis != *axis)) ||
                     llvm::any_of(pairs, [&](auto &pair) {
                       return pair.first != a && pair.second.result == r;
                     });
        if (clash) {
          return fail() << "input or output is named twice, or grows along different axes in "
                           "different entries";
        }
        if (!canStart(functions, it->second)) {
          return fail() << "a state starts empty, and no entry allows that extent of the input to "
                           "be 0; give one with "
                           "--entry NAME:dim=0..N";
        }
      }
    }
    return success();
  }

  /// Per dim the largest extent of the output over all functions.
  static FailureOr<SmallVector<AffineExpr>> capacityOf(ArrayRef<func::FuncOp> functions,
                                                       const State &state) {
    SmallVector<int64_t> largest;
    for (func::FuncOp function : functions) {
      Bounds bounds = boundsOf(function);
      for (auto [i, dim] : llvm::enumerate(dimsOf(returned(function, state.result)))) {
        auto upper = intervalOf(dim, bounds).upper;
        if (!upper) {
          emitError(function.getLoc()) << "[unsupported.size] the extent of a state has no bound "
                                          "below 2^63: lower the bounds "
                                          "with --entry NAME:dim=a..b";
          return failure();
        }
        largest.resize(std::max(largest.size(), i + 1), 0);
        largest[i] = std::max(largest[i], *upper);
      }
    }
    func::FuncOp first = functions.front();
    return llvm::map_to_vector(largest, [context = first.getContext()](int64_t extent) {
      return getAffineConstantExpr(extent, context);
    });
  }

  static void rewrite(func::FuncOp function, const State &state) {
    Value present = returned(function, state.result), past = function.getArgument(state.argument);
    Operation *terminator = function.getBody().front().getTerminator();
    auto concat = present.getDefiningOp<ConcatOp>();
    if (concat && concat.getInputs().front() == past) {
      OpBuilder b(concat);
      Value fresh = concat.getInputs()[1];
      if (concat.getInputs().size() > 2) {
        auto dims = dimsOf(present);
        dims[state.axis] = getAffineConstantExpr(0, b.getContext());
        for (Value part : concat.getInputs().drop_front()) {
          dims[state.axis] = dims[state.axis] + dimsOf(part)[state.axis];
        }
        fresh = ConcatOp::create(b, concat.getLoc(), tensorOf(dims, getElementTypeOrSelf(present)),
                                 concat.getInputs().drop_front(), concat.getAxis());
      }
      auto append =
          AppendOp::create(b, concat.getLoc(), present.getType(), past, fresh, concat.getAxis());
      concat.replaceAllUsesWith(append.getResult());
      concat.erase();
      return;
    }
    // What lies beyond the input's extent is new; readers of the output in the function keep
    // reading the whole.
    OpBuilder b(terminator);
    auto from = dimsOf(past), to = dimsOf(present);
    Value fresh = present;
    if (!isEmpty(past)) {
      auto dims = to;
      dims[state.axis] = to[state.axis] - from[state.axis];
      SmallVector<AffineExpr> offsets(to.size(), getAffineConstantExpr(0, b.getContext()));
      offsets[state.axis] = from[state.axis];
      auto symbols = static_cast<unsigned>(boundsOf(function).upper.size());
      fresh = SliceOp::create(b, present.getLoc(), tensorOf(dims, getElementTypeOrSelf(present)),
                              present, AffineMap::get(0, symbols, offsets, b.getContext()),
                              SmallVector<int64_t>(to.size(), 1));
    }
    auto append = AppendOp::create(b, present.getLoc(), present.getType(), past, fresh, state.axis);
    terminator->setOperand(state.result, append.getResult());
  }

  static void mark(func::FuncOp function, const State &state, int64_t number,
                   ArrayRef<AffineExpr> capacity) {
    Builder b(function.getContext());
    function.setArgAttr(state.argument, "graph.state", b.getI64IntegerAttr(number));
    function.setArgAttr(state.argument, "graph.axis", b.getI64IntegerAttr(state.axis));
    function.setArgAttr(state.argument, "graph.physical",
                        AffineMapAttr::get(AffineMap::get(0, 0, capacity, b.getContext())));
    function.setResultAttr(state.result, "graph.state", b.getI64IntegerAttr(number));
  }

  /// Maps, attention and appends read a state where it lies. Everything else may be turned into
  /// something that needs dense elements (a reshape is free only if they are), so it reads a copy:
  /// an identity map, which fuses into a reader that is a map after all.
  static void separateReaders(func::FuncOp function) {
    for (BlockArgument argument : function.getArguments()) {
      if (!function.getArgAttr(argument.getArgNumber(), "graph.state")) {
        continue;
      }
      SmallVector<Value> values{argument};
      for (unsigned i = 0; i < values.size(); ++i) {
        SmallVector<OpOperand *> dense;
        for (OpOperand &use : values[i].getUses()) {
          auto append = dyn_cast<AppendOp>(use.getOwner());
          if (append && use.getOperandNumber() == 0) {
            values.push_back(append.getResult());
          } else if (!isa<MapOp, AttentionOp, func::ReturnOp>(use.getOwner())) {
            dense.push_back(&use);
          }
        }
        if (!dense.empty()) {
          Value copy = copyOf(values[i]);
          for (OpOperand *use : dense) {
            use->set(copy);
          }
        }
      }
    }
  }

  static Value copyOf(Value value) {
    OpBuilder b(value.getContext());
    b.setInsertionPointAfterValue(value);
    SmallVector<Type> types{value.getType()};
    SmallVector<Value> inputs{value};
    auto identity = b.getMultiDimIdentityMap(cast<RankedTensorType>(value.getType()).getRank());
    return MapOp::create(b, value.getLoc(), types, inputs, {identity},
                         [](OpBuilder &, Location, ValueRange scalars) {
                           return SmallVector<Value>(scalars);
                         })
        .getResult(0);
  }
};

} // namespace

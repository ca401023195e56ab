// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What every kernel template builds with: index arithmetic from affine expressions, lanes, typed
// loads and stores, loops over vectors with scalar tails, recursive evaluation of graph ops at an
// index.
//
// Arithmetic is f32 for f16, bf16 and f32 (halves are converted where they are loaded and stored);
// i1 is one byte in memory. The only fast-math flag is `contract`. Nothing depends on how units are
// split over threads.
#pragma once

#include "codegen/Kernel/GpuPlan.h"
#include "ir/Graph/Graph.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"

#include <map>

namespace ciuic::codegen {

/// One index of a tensor access as the lanes of a vector see it: the same for all (Uniform),
/// consecutive from `value` on (Unit), or a vector of its own (Any). `aligned`: lane 0 is a
/// multiple of the vector's width.
///
/// `run`: this lane and the next dim's are quotient and remainder of consecutive numbers from `run`
/// on, an aligned one, by `extent`. A buffer in which both dims lie densely sees one Unit lane.
struct Lane {
  enum Kind { Uniform, Unit, Any };
  mlir::Value value;
  Kind kind = Uniform;
  bool aligned = false;
  mlir::Value run = {};
  int64_t extent = 0;
};

/// Where a tensor lies: element (i…) is at pointer + Σ i·stride, in elements.
struct Buffer {
  mlir::Value pointer;
  mlir::Type element;
  llvm::SmallVector<mlir::AffineExpr> strides;
};

/// The device a kernel is built for: which address space, how lanes are spread over threads.
enum class Device { host, gpu };

/// What a GPU kernel is built for, beside its plan: the chip's compute capability (86, 90, …).
struct GpuTarget {
  GpuPlan plan;
  int capability = 80;
};

class Emitter {
public:
  Emitter(mlir::OpBuilder builder, mlir::Location loc, Device device,
          llvm::ArrayRef<int64_t> widths)
      : builder(builder), loc(loc), device(device), widths(widths) {}

  mlir::OpBuilder builder;
  mlir::Location loc;
  const Device device;
  /// GPU: how threads share the work.
  GpuTarget target;
  /// GPU: the kernel may begin before its operands are there (beginEarly), so that no load of them
  /// may move to its beginning.
  bool early = false;
  /// Vector widths that lane loops use, widest first; the last is 1.
  llvm::SmallVector<int64_t> widths;
  /// The width of the code being emitted.
  int64_t width = 1;

  /// Starts the function: symbols' values come from `dims` (int64 each); `entry` ends in a branch
  /// to where code goes.
  void setEntry(mlir::Block *entry, mlir::Value dims) { entryBlock = entry, dimsPointer = dims; }

  // Failure: the first message wins; emission goes on with a stand-in value, and the caller checks
  // at the end.
  mlir::Value fail(const llvm::Twine &message);
  bool failed() const { return !message.empty(); }
  const std::string &failure() const { return message; }

  //===-- Indices (i64) --===//
  mlir::Value constant(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, mlir::Value a, mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  /// The value of an expression of symbols, computed once per call of the kernel.
  mlir::Value symbolic(mlir::AffineExpr expr);
  Lane affine(mlir::AffineExpr expr, llvm::ArrayRef<Lane> dims);
  llvm::SmallVector<Lane> affine(mlir::AffineMap map, llvm::ArrayRef<Lane> dims);
  Lane uniform(mlir::Value value) { return {value, Lane::Uniform}; }
  Lane uniform(int64_t value) { return {constant(value), Lane::Uniform}; }
  /// The lanes as a value: an i64, or a vector of them.
  mlir::Value materialise(const Lane &lane);
  /// lane + offset, lane · factor.
  Lane plus(const Lane &lane, const Lane &other);
  Lane times(const Lane &lane, const Lane &other);
  /// Splits a linear number into indices below `extents`, last fastest.
  llvm::SmallVector<mlir::Value> delinearise(mlir::Value linear,
                                             llvm::ArrayRef<mlir::Value> extents);

  //===-- Memory --===//
  /// Row-major strides of these extents.
  static llvm::SmallVector<mlir::AffineExpr> stridesOf(llvm::ArrayRef<mlir::AffineExpr> extents,
                                                       mlir::MLIRContext *context);
  Buffer buffer(mlir::Value pointer, mlir::RankedTensorType type);
  mlir::Value load(const Buffer &buffer, llvm::ArrayRef<Lane> index);
  void store(mlir::Value value, const Buffer &buffer, llvm::ArrayRef<Lane> index);
  /// The address of lane 0 where the lanes of an access are consecutive and aligned; none where
  /// they are not.
  mlir::Value addressOf(const Buffer &buffer, llvm::ArrayRef<Lane> index);
  /// The element at a linear offset; `lanes` consecutive ones.
  mlir::Value loadAt(mlir::Value pointer, mlir::Type element, mlir::Value offset, int64_t lanes,
                     bool invariant, bool aligned);
  void storeAt(mlir::Value value, mlir::Value pointer, mlir::Type element, mlir::Value offset,
               int64_t lanes, bool aligned);

  //===-- Loops --===//
  /// for (i = lower; i < upper; i += step) { carried = body(i, carried) }; returns the last carried
  /// values.
  llvm::SmallVector<mlir::Value>
  loop(mlir::Value lower, mlir::Value upper, int64_t step, mlir::ValueRange init,
       llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value, mlir::ValueRange)> body);
  void loop(mlir::Value lower, mlir::Value upper, int64_t step,
            llvm::function_ref<void(mlir::Value)> body);
  /// Loops over all indices below `extents`, last fastest.
  void nest(llvm::ArrayRef<mlir::Value> extents, llvm::function_ref<void(mlir::ValueRange)> body);
  /// Covers [lower, upper) with vectors, widest first, each width once; `body` sees `width` set.
  void lanes(mlir::Value lower, mlir::Value upper, llvm::function_ref<void(Lane)> body);
  /// The same, carrying accumulators per lane; each starts from a scalar `identity`, `combine`
  /// merges two values of accumulator number `which` (scalars or vectors) and makes one scalar of a
  /// vector by halves.
  struct Accumulation {
    llvm::SmallVector<mlir::Value> identity;
    llvm::function_ref<llvm::SmallVector<mlir::Value>(Lane, mlir::ValueRange)> step;
    llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::ValueRange, mlir::ValueRange)> combine;
  };
  llvm::SmallVector<mlir::Value> accumulateLanes(mlir::Value lower, mlir::Value upper,
                                                 const Accumulation &accumulation);
  /// One scalar of each accumulator's vector.
  llvm::SmallVector<mlir::Value> foldLanes(llvm::SmallVector<mlir::Value> lanes,
                                           const Accumulation &accumulation);
  void when(mlir::Value condition, llvm::function_ref<void()> then,
            llvm::function_ref<void()> otherwise = {});

  //===-- Values --===//
  /// The type arithmetic uses for an element type: f32 for halves, signless integers.
  static mlir::Type computeType(mlir::Type element);
  mlir::Value splat(mlir::Value scalar);
  bool isVector(mlir::Value value) { return mlir::isa<mlir::VectorType>(value.getType()); }
  mlir::Value scalarFloat(double value, mlir::Type type);
  mlir::Value scalarOf(mlir::TypedAttr attr);
  /// Rounds f32 to a half type and back.
  mlir::Value roundTo(mlir::Value value, mlir::Type half);
  /// One op of a map's region on scalars or vectors.
  mlir::Value apply(mlir::Operation &op, llvm::ArrayRef<mlir::Value> operands,
                    llvm::ArrayRef<Lane> index);
  /// A whole region: its arguments' values in, its yielded values out.
  llvm::SmallVector<mlir::Value> applyRegion(mlir::Block &region,
                                             llvm::ArrayRef<mlir::Value> arguments,
                                             llvm::ArrayRef<Lane> index);

  //===-- Graph ops at an index --===//
  llvm::DenseMap<mlir::Value, Buffer> buffers;
  /// Asked first for every tensor: how templates supply what they keep between loops (sums,
  /// buffered rows).
  std::function<mlir::Value(mlir::Value, llvm::ArrayRef<Lane>)> supply;
  /// Told every value of a map computed at an index.
  std::function<void(mlir::Value, llvm::ArrayRef<Lane>, mlir::Value)> observe;
  mlir::Value at(mlir::Value tensor, llvm::ArrayRef<Lane> index);
  /// The index of a view's operand that its element at `index` is; none if `op` is no view, or one
  /// that cannot be followed.
  std::optional<llvm::SmallVector<Lane>> through(mlir::Operation *op, llvm::ArrayRef<Lane> index);

private:
  mlir::Value evaluate(mlir::Value tensor, llvm::ArrayRef<Lane> index);
  mlir::Value gather(mlir::Operation *op, llvm::ArrayRef<Lane> index);
  mlir::Value constantAt(mlir::Operation *op, llvm::ArrayRef<Lane> index);
  mlir::Value divide(mlir::Value a, mlir::Value b, bool isSigned);
  mlir::Value floorDivide(mlir::Value a, mlir::Value b, bool ceiling);
  mlir::Value remainder(mlir::Value a, mlir::Value b);
  mlir::Value vectorOf(mlir::Value scalar, int64_t lanes);
  mlir::Value address(mlir::Value pointer, mlir::Type element, mlir::Value offset);

  mlir::Block *entryBlock = nullptr;
  mlir::Value dimsPointer;
  llvm::DenseMap<mlir::AffineExpr, mlir::Value> symbolValues;
  std::map<int64_t, mlir::Value> constants; // any key may occur: not a DenseMap, which reserves two
  // Values known in the enclosing loops, innermost last: a value of an inner loop must not be used
  // outside it.
  using Key = std::pair<mlir::Value, llvm::SmallVector<std::pair<mlir::Value, int>>>;
  llvm::SmallVector<std::vector<std::pair<Key, mlir::Value>>> known{1};
  std::string message;
};

/// Elementary functions from arithmetic alone (no libm, no libdevice): one op of the math dialect
/// on f32 scalars or vectors of them; relative error about 2e-7, right at zeros, infinities and
/// NaN. None if the op has no expansion. On a GPU powers of two are the special function unit's,
/// and zero below 2^−126.
mlir::Value expandMath(mlir::OpBuilder &builder, mlir::Location loc, Device device,
                       mlir::Operation &op, llvm::ArrayRef<mlir::Value> operands);

/// e^x by a GPU's special function unit alone: relative error |x|·2^−24 and a little.
mlir::Value roughExpOnGpu(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value x);

/// A conversion to integer that clamps what does not fit (and makes 0 of NaN): `intrinsic` is
/// llvm.fptosi.sat or llvm.fptoui.sat. The plain conversion's result would be undefined there.
mlir::Value saturate(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef intrinsic,
                     mlir::Type result, mlir::Value value);

/// An intrinsic of LLVM whose result has its first operand's type. By name: GPU lowering would turn
/// the dialect's own ops into calls of libdevice.
mlir::Value callIntrinsic(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef name,
                          llvm::ArrayRef<mlir::Value> operands);

/// 1/x on a GPU, f32 scalars or vectors: to the last bit or two; zero where the result is below the
/// normal range.
mlir::Value reciprocalOnGpu(Emitter &emitter, mlir::Value value);

/// The remainder of a truncated division (C's fmod) on f32.
mlir::Value expandRemainder(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value a,
                            mlir::Value b);

} // namespace ciuic::codegen

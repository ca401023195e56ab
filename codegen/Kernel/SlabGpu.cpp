// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row kernels that keep rows in shared memory, for rows too long for a block's registers and for
// rows whose elements alternate with their neighbours' (groups of channels, channels last).
//
// A block, or a cluster of blocks, takes a unit: `together` rows. Every thread copies its own
// vectors into its own slots, so copies need no barrier, and they ask for no registers: what keeps
// memory busy while a block adds up and waits for its cluster is that others are at another point.
// Threads of alternating rows stand side by side along a run of all rows of the unit and keep the
// sums of its channels apart until the threads' sums meet: then a warp adds up a row. Units beyond
// a cluster's memory are shared by a team of blocks, whose sums meet in global memory: what does
// not fit in the slots is read again, last places first, which the cache may still have.
#include "codegen/Kernel/Exchange.h"
#include "codegen/Kernel/Reducer.h"
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

/// Slots whose code stands in one iteration of a loop over them.
constexpr int64_t kTogether = 4;
/// Blocks of a cluster, which are few enough to run at the same time anywhere.
constexpr int64_t kFew = 8;

class SlabEmitter {
public:
  explicit SlabEmitter(Reducer &r) : r(r), e(r.e), plan(e.target.plan) {
    const unsigned rank = r.space.dims.size();
    inner = rank - 1;
    if (rowsAlternate(r.space)) {
      group = inner - 1;
      width = *constantIndex(r.space.dims[inner]);
      AffineExpr count = getAffineConstantExpr(1, e.builder.getContext());
      for (unsigned d : r.reduced) {
        if (d != inner) {
          places.push_back(r.extents[d]);
          count = count * r.space.dims[d];
        }
      }
      placeCount = e.symbolic(count);
      for (unsigned d : r.kept) {
        keptExtents.push_back(d == *group
                                  ? e.constant(*constantIndex(r.space.dims[d]) / plan.together)
                                  : r.extents[d]);
      }
    } else {
      AffineExpr count = getAffineConstantExpr(1, e.builder.getContext());
      for (unsigned d : r.reduced) {
        places.push_back(r.extents[d]);
        count = count * r.space.dims[d];
      }
      placeCount = e.symbolic(count.floorDiv(plan.width));
      for (unsigned d : r.kept) {
        keptExtents.push_back(r.extents[d]);
      }
    }
    Value product = e.constant(1);
    for (Value extent : keptExtents) {
      product = e.mul(product, extent);
    }
    units = product;
  }

  void run() {
    OpBuilder &b = e.builder;
    thread = threadIndex(e);
    x = group ? remainderOf(e, thread, plan.across) : e.constant(0);
    y = group ? quotientOf(e, thread, plan.across) : thread;
    members = e.constant(plan.cluster);
    Value first = blockIndex(e), step = blockCount(e);
    if (plan.cluster > 1) {
      rank = clusterRank(e);
    } else if (plan.team > 1) {
      // All of a team run at the same time: any chip has room for a few, and for one on each
      // multiprocessor.
      members = e.constant(plan.team);
      if (plan.team > kFew) {
        members = e.min(members, multiprocessors(e));
      }
      rank = e.builder.createOrFold<arith::RemUIOp>(e.loc, first, members);
      Value team = e.builder.createOrFold<arith::DivUIOp>(e.loc, first, members);
      step = e.builder.createOrFold<arith::DivUIOp>(e.loc, step, members);
      first = e.select(e.compare(arith::CmpIPredicate::slt, team, step), team, units);
    }
    stride = e.mul(members, e.constant(lines()));
    if (plan.team > 1) {
      counters = kernelArray(e, b.getI64Type(), plan.teamUnits);
    }
    if (plan.again) {
      Value all = e.sub(e.add(placeCount, stride), e.constant(1));
      allSlots =
          e.max(e.builder.createOrFold<arith::DivUIOp>(e.loc, all, stride), e.constant(plan.slots));
    }
    placeOperands();
    auto outer = e.supply;
    e.supply = [this, outer](Value tensor, ArrayRef<Lane> index) -> Value {
      if (const Kept *kept = find(tensor); kept && atCurrent(index)) {
        return e.loadAt(slotAddress(*kept, currentSlot), kept->buffer.element, e.constant(0),
                        plan.width, false, true);
      }
      return outer(tensor, index);
    };
    r.joinMoments = true;
    e.width = plan.width;

    if (plan.cluster > 1) {
      mail = openMail(e);
      clusterArrive(e);
    }
    auto loop = scf::ForOp::create(b, e.loc, first, units, step, ValueRange{e.constant(0)});
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      round = loop.getRegionIterArg(0), unit = loop.getInductionVar();
      r.base = baseOf(unit);
      waited = false;
      forSlots([&](Value slot) { fill(slot); });
      NVVM::CpAsyncCommitGroupOp::create(b, e.loc);
      joinCluster(round);
      r.resolveAll([&](const ReductionState &state) { return reduce(state); });
      e.width = plan.width;
      if (plan.again) {
        Value last = e.sub(e.add(allSlots, e.constant(plan.slots)), e.constant(1));
        e.loop(e.constant(plan.slots), allSlots, kTogether, [&](Value from) {
          SmallVector<Value> slots;
          for (int64_t i = 0; i < kTogether; ++i) {
            slots.push_back(e.sub(last, e.add(from, e.constant(i))));
          }
          storeAgain(slots);
        });
      }
      forSlotBatches([&](ArrayRef<Value> slots) { store(slots); });
      b.setInsertionPointToEnd(loop.getBody());
      scf::YieldOp::create(b, e.loc, round);
    }
    joinCluster(loop.getResult(0));
    e.width = 1;
  }

private:
  /// Before the first round: all blocks have started, so that their memory may be written.
  void joinCluster(Value rounds) {
    if (plan.cluster > 1) {
      e.when(e.compare(arith::CmpIPredicate::eq, rounds, e.constant(0)), [&] { clusterWait(e); });
    }
  }

  struct Kept {
    BlockArgument argument;
    Buffer buffer;
    Value slots; ///< This thread's vector of slot 0.
    int64_t bytes;
  };
  struct Place {
    SmallVector<Lane> index;
    Value inside; ///< Null where it always is.
  };

  static std::optional<int64_t> constantIndex(AffineExpr expr) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    return constant ? std::optional(constant.getValue()) : std::nullopt;
  }

  void placeOperands() {
    Value shared = dynamicShared(e);
    int64_t offset = 0;
    auto pointer = LLVM::LLVMPointerType::get(e.builder.getContext(), 3);
    for (BlockArgument argument : slabOperands(r.frame.body, r.space)) {
      Kept one{argument, e.buffers[argument], {}, 0};
      one.bytes = plan.width * graph::elementBytes(one.buffer.element);
      Value at = e.add(e.mul(thread, e.constant(one.bytes)), e.constant(offset));
      one.slots = LLVM::GEPOp::create(e.builder, e.loc, pointer, e.builder.getI8Type(), shared,
                                      ArrayRef<LLVM::GEPArg>{at});
      offset += plan.slots * plan.threads * one.bytes;
      kept.push_back(one);
    }
  }
  const Kept *find(Value tensor) const {
    auto it = llvm::find_if(kept, [&](const Kept &one) { return one.argument == tensor; });
    return it == kept.end() ? nullptr : &*it;
  }
  bool atCurrent(ArrayRef<Lane> index) const {
    return index.size() == current.size() && llvm::all_of(llvm::zip(index, current), [](auto pair) {
             auto &[a, b] = pair;
             return a.value == b.value && a.kind == b.kind;
           });
  }
  Value slotAddress(const Kept &one, Value slot) {
    Value at = e.mul(slot, e.constant(plan.threads * one.bytes));
    return LLVM::GEPOp::create(e.builder, e.loc, one.slots.getType(), e.builder.getI8Type(),
                               one.slots, ArrayRef<LLVM::GEPArg>{at});
  }

  /// The index at kept dims of a unit's rows; of alternating rows, that of the rows at this
  /// thread's lanes, and of these lanes in their rows.
  SmallVector<Lane> baseOf(Value unit) {
    SmallVector<Lane> base(r.space.dims.size(), e.uniform(int64_t(0)));
    for (auto [d, value] : llvm::zip(r.kept, e.delinearise(unit, keptExtents))) {
      base[d] = e.uniform(value);
    }
    if (!group) {
      return base;
    }
    Value run = e.add(e.mul(base[*group].value, e.constant(plan.together * width)),
                      e.mul(x, e.constant(plan.width)));
    if (width % plan.width == 0) {
      base[*group] = e.uniform(quotientOf(e, run, width));
      innerLane = {remainderOf(e, run, width), Lane::Unit, true};
    } else {
      Value lanes = e.materialise({run, Lane::Unit, true});
      Value by = e.splat(e.constant(width));
      Value q = arith::DivUIOp::create(e.builder, e.loc, lanes, by);
      base[*group] = {q, Lane::Any, false, run, width};
      innerLane = {arith::RemUIOp::create(e.builder, e.loc, lanes, by), Lane::Any, false, run,
                   width};
    }
    innerLanes.push_back({base[*group].value, innerLane});
    return base;
  }
  Lane innerOf(ArrayRef<Lane> base) const {
    for (const auto &[value, lane] : innerLanes) {
      if (value == base[*group].value) {
        return lane;
      }
    }
    return innerLane;
  }

  Place placeAt(ArrayRef<Lane> base, Value slot) {
    Value number = e.add(e.mul(slot, stride), y), inside;
    if (rank) {
      number = e.add(number, e.mul(rank, e.constant(lines())));
    }
    APInt known;
    if (plan.again || !matchPattern(placeCount, m_ConstantInt(&known)) ||
        known.getSExtValue() != plan.sharing() * lines() * plan.slots) {
      inside = e.compare(arith::CmpIPredicate::slt, number, placeCount);
      number = e.min(number, e.sub(placeCount, e.constant(1)));
    }
    SmallVector<Lane> index(base);
    if (group) {
      unsigned at = 0;
      SmallVector<Value> where = e.delinearise(number, places);
      for (unsigned d : r.reduced) {
        if (d != inner) {
          index[d] = e.uniform(where[at++]);
        }
      }
      index[inner] = innerOf(base);
      return {index, inside};
    }
    SmallVector<Value> where = e.delinearise(e.mul(number, e.constant(plan.width)), places);
    for (auto [d, value] : llvm::zip(r.reduced, where)) {
      index[d] = e.uniform(value);
    }
    index[inner] = {where.back(), Lane::Unit, true};
    return {index, inside};
  }
  /// Slots whose code stands in one iteration: shared memory is near, and registers are for
  /// threads.
  int64_t batch() const { return kTogether; }
  int64_t lines() const { return plan.threads / plan.across; }

  void fill(Value slot) {
    Place place = placeAt(r.base, slot);
    whereInside(place, [&] {
      for (const Kept &one : kept) {
        Value from = e.addressOf(one.buffer, place.index);
        if (!from) {
          e.fail("rows in shared memory are read in aligned vectors");
          return;
        }
        auto kind =
            one.bytes == 16 ? NVVM::LoadCacheModifierKind::CG : NVVM::LoadCacheModifierKind::CA;
        NVVM::CpAsyncOp::create(e.builder, e.loc, slotAddress(one, slot), from,
                                e.builder.getI32IntegerAttr(static_cast<int32_t>(one.bytes)),
                                NVVM::LoadCacheModifierKindAttr::get(e.builder.getContext(), kind),
                                Value());
      }
    });
  }
  void whereInside(const Place &place, function_ref<void()> body) {
    if (place.inside) {
      e.when(place.inside, body);
    } else {
      body();
    }
  }

  /// Code for up to kTogether slots, for all of them in order.
  void forSlotBatches(function_ref<void(ArrayRef<Value>)> body) {
    const int64_t whole = plan.slots / batch() * batch();
    if (whole > 0) {
      e.loop(e.constant(0), e.constant(whole), batch(), [&](Value from) {
        SmallVector<Value> slots;
        for (int64_t i = 0; i < batch(); ++i) {
          slots.push_back(e.add(from, e.constant(i)));
        }
        body(slots);
      });
    }
    SmallVector<Value> rest;
    for (int64_t s = whole; s < plan.slots; ++s) {
      rest.push_back(e.constant(s));
    }
    if (!rest.empty()) {
      body(rest);
    }
  }
  void forSlots(function_ref<void(Value)> body) {
    forSlotBatches([&](ArrayRef<Value> slots) {
      for (Value slot : slots) {
        body(slot);
      }
    });
  }

  /// Reads of this slot's operands come from shared memory while `body` emits.
  template <typename Body>
  auto atSlot(const Place &place, Value slot, Body body) {
    current = place.index, currentSlot = slot;
    auto result = body();
    current.clear();
    return result;
  }

  /// All are computed before the first is stored.
  void store(ArrayRef<Value> slots) {
    SmallVector<Place> at;
    SmallVector<SmallVector<std::pair<unsigned, Value>>> values;
    for (Value slot : slots) {
      at.push_back(placeAt(r.base, slot));
      values.push_back(atSlot(at.back(), slot, [&] { return r.fullValues(at.back().index); }));
    }
    for (auto [place, value] : llvm::zip(at, values)) {
      whereInside(place, [&] { r.storeValues(value, place.index); });
    }
  }

  /// The same for places beyond the slots, from global memory; numbers below the slots' are none.
  void storeAgain(ArrayRef<Value> slots) {
    SmallVector<Place> at;
    SmallVector<SmallVector<std::pair<unsigned, Value>>> values;
    for (Value slot : slots) {
      Value some = e.compare(arith::CmpIPredicate::sge, slot, e.constant(plan.slots));
      at.push_back(placeAt(r.base, slot));
      at.back().inside = arith::AndIOp::create(e.builder, e.loc, some, at.back().inside);
      values.push_back(r.fullValues(at.back().index));
    }
    for (auto [place, value] : llvm::zip(at, values)) {
      whereInside(place, [&] { r.storeValues(value, place.index); });
    }
  }

  SmallVector<Value> step(const ReductionState &state, ArrayRef<Value> slots, ValueRange carried) {
    SmallVector<Value> next(carried);
    for (Value slot : slots) {
      Place place = placeAt(r.base, slot);
      next = atSlot(place, slot,
                    [&] { return maskedStep(e, state, place.index, next, place.inside); });
    }
    return next;
  }

  /// This thread's part, a vector for each of the state's values.
  SmallVector<Value> threadPart(const ReductionState &state) {
    SmallVector<Value> carried;
    for (auto [i, v] : llvm::enumerate(state.identity)) {
      carried.push_back(state.isMoments && i == 0 ? v : e.splat(v));
    }
    if (plan.again) {
      carried = e.loop(e.constant(plan.slots), allSlots, kTogether, carried,
                       [&](Value from, ValueRange acc) {
                         SmallVector<Value> next(acc);
                         for (int64_t i = 0; i < kTogether; ++i) {
                           Place place = placeAt(r.base, e.add(from, e.constant(i)));
                           next = maskedStep(e, state, place.index, next, place.inside);
                         }
                         return next;
                       });
    }
    if (!waited) {
      NVVM::CpAsyncWaitGroupOp::create(e.builder, e.loc, 0);
      waited = true;
    }
    const int64_t whole = plan.slots / batch() * batch();
    carried =
        e.loop(e.constant(0), e.constant(whole), batch(), carried, [&](Value from, ValueRange acc) {
          SmallVector<Value> slots;
          for (int64_t i = 0; i < batch(); ++i) {
            slots.push_back(e.add(from, e.constant(i)));
          }
          return step(state, slots, acc);
        });
    SmallVector<Value> rest;
    for (int64_t s = whole; s < plan.slots; ++s) {
      rest.push_back(e.constant(s));
    }
    return step(state, rest, carried);
  }

  SmallVector<Value> reduce(const ReductionState &state) {
    e.width = plan.width;
    SmallVector<Value> part = threadPart(state);
    return group ? reduceAlternating(state, part) : reduceRow(state, part);
  }

  SmallVector<Value> reduceRow(const ReductionState &state, SmallVector<Value> part) {
    auto combine = [&](ValueRange a, ValueRange b) { return state.combine(a, b); };
    Emitter::Accumulation accumulation{state.identity, {}, combine};
    if (state.isMoments) {
      SmallVector<SmallVector<Value>> lanes;
      for (int64_t lane = 0; lane < plan.width; ++lane) {
        lanes.push_back({part[0], laneOf(part[1], lane), laneOf(part[2], lane)});
      }
      e.width = 1;
      part = mergeMoments(e, lanes);
    } else {
      part = e.foldLanes(part, accumulation);
      e.width = 1;
    }
    part = combineThreads(e, part, accumulation);
    if (plan.cluster > 1) {
      part = combineCluster(e, part, accumulation, nextRound());
    } else if (plan.team > 1) {
      part = combineTeam(state, part);
    }
    SmallVector<Value> results = state.finish(part);
    e.width = plan.width;
    return results;
  }

  const ClusterMail *nextRound() {
    beginRound(e, mail, round);
    round = e.add(round, e.constant(1));
    return &mail;
  }

  Value laneOf(Value v, int64_t lane) {
    return e.isVector(v) ? vector::ExtractOp::create(e.builder, e.loc, v, lane).getResult() : v;
  }

  SmallVector<Value> reduceAlternating(const ReductionState &state, ArrayRef<Value> part) {
    OpBuilder &b = e.builder;
    const int64_t rows = plan.together;
    // Half of the lines give their part to the others first, which takes half the memory. Lanes
    // apart: neighbouring threads write neighbouring words.
    const bool halved = false;
    const int64_t kept = halved ? lines() / 2 : lines();
    SmallVector<Value> parts;
    for (auto [i, v] : llvm::enumerate(part)) {
      Type type = getElementTypeOrSelf(v.getType());
      parts.push_back(state.isMoments && i == 0
                          ? sharedArray(e, type, {kept})
                          : sharedArray(e, type, {kept, plan.width, plan.across}));
    }
    auto write = [&](ArrayRef<Value> values, Value line) {
      for (auto [i, v] : llvm::enumerate(values)) {
        if (state.isMoments && i == 0) { // the same for all lanes of a line
          e.when(e.compare(arith::CmpIPredicate::eq, x, e.constant(0)),
                 [&] { storeShared(e, v, parts[i], {line}); });
          continue;
        }
        for (int64_t lane = 0; lane < plan.width; ++lane) {
          storeShared(e, laneOf(v, lane), parts[i], {line, e.constant(lane), x});
        }
      }
    };
    if (halved) {
      Value upper = e.compare(arith::CmpIPredicate::sge, y, e.constant(kept));
      e.when(upper, [&] { write(part, e.sub(y, e.constant(kept))); });
      blockBarrier(e);
      Value lower = e.compare(arith::CmpIPredicate::slt, y, e.constant(kept));
      SmallVector<SmallVector<Value>> both{SmallVector<Value>(part), {}};
      // (what the upper half reads here is of no use to it)
      Value line = e.select(lower, y, e.constant(0));
      for (auto [i, v] : llvm::enumerate(part)) {
        Type type = getElementTypeOrSelf(v.getType());
        if (state.isMoments && i == 0) {
          both[1].push_back(loadShared(e, type, parts[i], {line}));
          continue;
        }
        Value whole;
        for (int64_t lane = 0; lane < plan.width; ++lane) {
          Value one = loadShared(e, type, parts[i], {line, e.constant(lane), x});
          whole = lane == 0 ? e.splat(one)
                            : vector::InsertOp::create(b, e.loc, one, whole, lane).getResult();
        }
        both[1].push_back(whole);
      }
      SmallVector<Value> sum = state.combine(both[0], both[1]);
      if (state.isMoments) { // the count of a line is read by all of its threads
        blockBarrier(e);
      }
      e.when(lower, [&] { write(sum, y); });
    } else {
      write(part, y);
    }
    blockBarrier(e);
    e.width = 1;
    SmallVector<Value> arrays, finals; // partial values of blocks; finished ones of the unit
    Value from;
    if (plan.cluster > 1) {
      from = e.mul(nextRound()->parity, e.constant(plan.cluster));
      for (Value v : state.identity) {
        arrays.push_back(sharedArray(e, v.getType(), {2 * plan.cluster, rows}));
      }
    }
    Value warp = quotientOf(e, thread, 32), lane = remainderOf(e, thread, 32);
    auto finish = [&](ValueRange total, Value row) {
      SmallVector<Value> results = state.finish(total);
      for (auto [i, v] : llvm::enumerate(results)) {
        if (finals.size() <= i) {
          finals.push_back(sharedArray(e, v.getType(), {rows}));
        }
        storeShared(e, v, finals[i], {row});
      }
    };
    forRows(warp, [&](Value row) {
      SmallVector<Value> total = blockTotal(state, parts, row, lane);
      if (plan.sharing() == 1) {
        e.when(e.compare(arith::CmpIPredicate::eq, lane, e.constant(0)),
               [&] { finish(total, row); });
      } else if (plan.team > 1) {
        e.when(e.compare(arith::CmpIPredicate::eq, lane, e.constant(0)),
               [&] { leaveForTeam(state, total, row); });
      } else {
        e.when(e.compare(arith::CmpIPredicate::slt, lane, e.constant(plan.cluster)), [&] {
          Value at = e.add(e.mul(e.add(from, rank), e.constant(rows)), row);
          for (auto [array, v] : llvm::zip(arrays, total)) {
            sendTo(e, mail, v, array, at, lane);
          }
        });
      }
    });
    if (plan.team > 1) {
      meet();
      forRows(warp, [&](Value row) {
        SmallVector<Value> total = warpTotal(state, lane, members, 32, [&](Value member, Value &) {
          return teamPart(state, member, row);
        });
        e.when(e.compare(arith::CmpIPredicate::eq, lane, e.constant(0)),
               [&] { finish(total, row); });
      });
    } else if (plan.cluster > 1) {
      receive(e, mail, plan.cluster * rows * bytesOf(state.identity));
      e.when(e.compare(arith::CmpIPredicate::slt, thread, e.constant(rows)), [&] {
        SmallVector<SmallVector<Value>> blocks;
        for (int64_t i = 0; i < plan.cluster; ++i) {
          Value at = e.add(from, e.constant(i));
          blocks.push_back(llvm::map_to_vector(llvm::zip(arrays, state.identity), [&](auto pair) {
            return loadShared(e, std::get<1>(pair).getType(), std::get<0>(pair), {at, thread});
          }));
        }
        SmallVector<Value> total = blocks.front();
        if (state.isMoments) {
          total = mergeMoments(e, blocks);
        } else {
          for (const SmallVector<Value> &block : ArrayRef(blocks).drop_front()) {
            total = state.combine(total, block);
          }
        }
        finish(total, thread);
      });
    }
    blockBarrier(e);
    e.width = plan.width;
    // Each lane's row of the unit.
    Value column = e.mul(x, e.constant(plan.width));
    return llvm::map_to_vector(finals, [&](Value array) {
      Type type = cast<MemRefType>(array.getType()).getElementType();
      if (width % plan.width == 0) {
        return loadShared(e, type, array, {quotientOf(e, column, width)});
      }
      Value whole;
      for (int64_t l = 0; l < plan.width; ++l) {
        Value one =
            loadShared(e, type, array, {quotientOf(e, e.add(column, e.constant(l)), width)});
        whole =
            l == 0 ? e.splat(one) : vector::InsertOp::create(b, e.loc, one, whole, l).getResult();
      }
      return whole;
    });
  }

  /// Each row of the unit by one warp.
  void forRows(Value warp, function_ref<void(Value)> body) {
    auto loop = scf::ForOp::create(e.builder, e.loc, warp, e.constant(plan.together),
                                   e.constant(plan.threads / 32));
    OpBuilder::InsertionGuard guard(e.builder);
    e.builder.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar());
  }

  /// Where a team's blocks leave value `number` of a reduction's partial results, an array for
  /// each.
  Value teamArray(const ReductionState &state, unsigned number) {
    auto &arrays = teamArrays[state.tensors.front()];
    while (arrays.size() <= number) {
      Type type = state.identity[arrays.size()].getType();
      OpBuilder::InsertionGuard guard(e.builder);
      e.builder.setInsertionPointAfterValue(counters);
      arrays.push_back(kernelArray(e, type, plan.teamUnits * plan.team * plan.together));
    }
    return arrays[number];
  }
  Value teamIndex(Value member, Value row) {
    Value block = e.add(e.mul(unit, e.constant(plan.team)), member);
    return e.add(e.mul(block, e.constant(plan.together)), row);
  }

  void leaveForTeam(const ReductionState &state, ArrayRef<Value> total, Value row) {
    for (auto [i, v] : llvm::enumerate(total)) {
      e.storeAt(v, teamArray(state, i), v.getType(), teamIndex(rank, row), 1, false);
    }
  }
  SmallVector<Value> teamPart(const ReductionState &state, Value member, Value row) {
    SmallVector<Value> values;
    for (auto [i, v] : llvm::enumerate(state.identity)) {
      values.push_back(
          e.loadAt(teamArray(state, i), v.getType(), teamIndex(member, row), 1, false, false));
    }
    return values;
  }
  void meet() {
    Value counter =
        LLVM::GEPOp::create(e.builder, e.loc, counters.getType(), e.builder.getI64Type(), counters,
                            ArrayRef<LLVM::GEPArg>{unit});
    teamBarrier(e, counter, members);
  }
  SmallVector<Value> combineTeam(const ReductionState &state, ArrayRef<Value> part) {
    e.when(e.compare(arith::CmpIPredicate::eq, thread, e.constant(0)),
           [&] { leaveForTeam(state, part, e.constant(0)); });
    meet();
    SmallVector<Value> total;
    for (int64_t member = 0; member < plan.team; ++member) {
      SmallVector<Value> one = teamPart(state, e.constant(member), e.constant(0));
      total = member == 0 ? one : state.combine(total, one);
    }
    return total;
  }

  /// What the threads of a block left of a row, added up by a warp: a lane stays with one of the
  /// row's elements at a place and goes through lines; where there are more than lanes, it goes
  /// through several of them in each line.
  SmallVector<Value> blockTotal(const ReductionState &state, ArrayRef<Value> parts, Value row,
                                Value lane) {
    const int64_t side = std::max<int64_t>(1, 32 / width), chunks = (width + 31) / 32;
    const int64_t kept = lines();
    Value count = e.constant(kept * chunks), start = e.constant(0), element = lane;
    if (chunks == 1) {
      element = remainderOf(e, lane, width);
      start = quotientOf(e, lane, width);
      if (side * width < 32) {
        Value busy = e.compare(arith::CmpIPredicate::slt, lane, e.constant(side * width));
        start = e.select(busy, start, count);
      }
    }
    Value first = e.mul(row, e.constant(width));
    return warpTotal(state, start, count, side, [&](Value number, Value &valid) {
      Value line = quotientOf(e, number, chunks), at = element;
      if (chunks > 1) {
        at = e.add(at, e.mul(remainderOf(e, number, chunks), e.constant(32)));
        if (width % 32 != 0) {
          valid = both(valid, e.compare(arith::CmpIPredicate::slt, at, e.constant(width)));
          at = e.min(at, e.constant(width - 1));
        }
      }
      Value column = e.add(first, at);
      SmallVector<Value> values;
      for (auto [i, array] : llvm::enumerate(parts)) {
        Type type = state.identity[i].getType();
        bool one = state.isMoments && i == 0;
        values.push_back(one ? loadShared(e, type, array, {line})
                             : loadShared(e, type, array,
                                          {line, remainderOf(e, column, plan.width),
                                           quotientOf(e, column, plan.width)}));
      }
      return values;
    });
  }

  Value both(Value a, Value b) {
    return a ? arith::AndIOp::create(e.builder, e.loc, a, b).getResult() : b;
  }

  /// The total of partial results, by a warp: each lane reads those from `start` on, `step` apart,
  /// below `count`. `read` may say which of them are none.
  SmallVector<Value> warpTotal(const ReductionState &state, Value start, Value count, int64_t step,
                               function_ref<SmallVector<Value>(Value, Value &)> read) {
    // All loads of four elements are under way before the first is added.
    auto fold = [&](ValueRange init,
                    function_ref<SmallVector<Value>(ValueRange, ArrayRef<Value>)> add) {
      return e.loop(start, count, step * kTogether, init, [&](Value number, ValueRange carried) {
        SmallVector<Value> acc(carried);
        SmallVector<SmallVector<Value>> values;
        SmallVector<Value> inside;
        for (int64_t i = 0; i < kTogether; ++i) {
          Value at = e.add(number, e.constant(step * i)), valid;
          if (i > 0) {
            valid = e.compare(arith::CmpIPredicate::slt, at, count);
            at = e.min(at, e.sub(count, e.constant(1)));
          }
          values.push_back(read(at, valid));
          inside.push_back(valid);
        }
        for (auto [value, valid] : llvm::zip(values, inside)) {
          SmallVector<Value> next = add(acc, value);
          for (auto [n, a] : llvm::zip(next, acc)) {
            a = valid ? e.select(valid, n, a) : n;
          }
        }
        return acc;
      });
    };
    if (!state.isMoments) {
      SmallVector<Value> total = fold(state.identity, [&](ValueRange acc, ArrayRef<Value> value) {
        return state.combine(acc, value);
      });
      return combineWarp(e, total, 32, state.combine);
    }
    Value zero = e.scalarFloat(0, e.builder.getF32Type());
    auto add = [&](Value a, Value v) {
      return arith::AddFOp::create(e.builder, e.loc, a, v).getResult();
    };
    auto mul = [&](Value a, Value v) {
      return arith::MulFOp::create(e.builder, e.loc, a, v).getResult();
    };
    auto sums = [&](ValueRange a, ValueRange v) {
      SmallVector<Value> total;
      for (auto [p, q] : llvm::zip(a, v)) {
        total.push_back(add(p, q));
      }
      return total;
    };
    SmallVector<Value> first = fold({zero, zero}, [&](ValueRange acc, ArrayRef<Value> v) {
      return SmallVector<Value>{add(acc[0], v[0]), add(acc[1], mul(v[0], v[1]))};
    });
    first = combineWarp(e, first, 32, sums);
    Value some = arith::MaximumFOp::create(e.builder, e.loc, first[0],
                                           e.scalarFloat(1, e.builder.getF32Type()));
    Value mean = mul(first[1], reciprocalOnGpu(e, some));
    SmallVector<Value> squares = fold({zero}, [&](ValueRange acc, ArrayRef<Value> v) {
      Value d = arith::SubFOp::create(e.builder, e.loc, v[1], mean);
      return SmallVector<Value>{add(acc[0], add(v[2], mul(v[0], mul(d, d))))};
    });
    squares = combineWarp(e, squares, 32, sums);
    return {first[0], mean, squares[0]};
  }

  Reducer &r;
  Emitter &e;
  const GpuPlan &plan;
  unsigned inner;                ///< The last dim.
  std::optional<unsigned> group; ///< The dim of alternating rows.
  int64_t width = 0;             ///< Elements of an alternating row at one place.
  /// Extents of the reduced dims (of alternating rows without the last); their product, in vectors
  /// where rows are contiguous.
  SmallVector<Value> places, keptExtents;
  Value placeCount, units;
  Value thread, x, y, unit;
  /// Exchanges of the cluster so far.
  Value round;
  ClusterMail mail;
  /// This block's number among those that share a unit, and theirs; places between two slots.
  Value rank, members, stride;
  /// A team's: places of a thread; its barriers' counters, its partial results.
  Value allSlots, counters;
  DenseMap<Value, SmallVector<Value>> teamArrays;
  bool waited = false; // whether the code so far has waited for the slots
  SmallVector<Kept> kept;
  Lane innerLane;
  SmallVector<std::pair<Value, Lane>> innerLanes;
  SmallVector<Lane> current;
  Value currentSlot;
};

} // namespace

void emitSlabOnGpu(Reducer &r) {
  if (r.frame.yield().getValues().empty() ||
      !llvm::all_of(r.frame.yield().getValues(), [&](Value v) { return r.isFull(v); })) {
    r.e.fail("rows in shared memory yield results of the rows' shape");
    return;
  }
  SlabEmitter(r).run();
}

} // namespace ciuic::codegen

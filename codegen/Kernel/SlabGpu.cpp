// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row kernels that keep rows in shared memory, for rows too long for a block's registers and for
// rows whose elements alternate with their neighbours' (groups of channels, channels last).
//
// A block, or a cluster of blocks, takes a unit: `rows` rows. Every thread copies its own
// vectors into its own slots, so copies need no barrier, and they ask for no registers: what keeps
// memory busy while a block adds up and waits for its cluster is that others are at another point.
// Threads of alternating rows stand side by side along a run of all rows of the unit and keep the
// sums of its channels apart until the threads' sums meet: then a warp adds up a row. Units beyond
// a cluster's memory are shared by a team of blocks, whose sums meet in global memory: what does
// not fit in the slots is read again, last places first, which the cache may still have.
#include "codegen/Kernel/Exchange.h"
#include "codegen/Kernel/RowTotals.h"
#include "codegen/Kernel/Threads.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace ciuic::codegen {
namespace {

/// Batches of slots that are taken as they come, with code for each.
constexpr int64_t kFewBatches = 6;

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
        keptExtents.push_back(d == *group ? e.constant(*constantIndex(r.space.dims[d]) / plan.rows)
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
      // All blocks of a launch run at once. Where a chip runs fewer than a team, they are one.
      members = e.constant(plan.team);
      if (plan.again) {
        members = e.min(members, step);
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
    slotCount = e.constant(plan.slots);
    if (plan.again) {
      slotCount = slotsOfLaunch();
      Value all = e.sub(e.add(placeCount, stride), e.constant(1));
      allSlots = e.max(e.builder.createOrFold<arith::DivUIOp>(e.loc, all, stride), slotCount);
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
      forSlotBatches([&](ArrayRef<Value> slots) {
        for (Value slot : slots) {
          fill(slot);
        }
        NVVM::CpAsyncCommitGroupOp::create(b, e.loc);
      });
      joinCluster(round);
      r.resolveAll([&](const ReductionState &state) { return reduce(state); });
      e.width = plan.width;
      if (plan.again) {
        Value last = e.sub(e.add(allSlots, slotCount), e.constant(1));
        e.loop(slotCount, allSlots, slotsTogether, [&](Value from) {
          SmallVector<Value> slots;
          for (int64_t i = 0; i < slotsTogether; ++i) {
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
    Value shared = dynamicShared(e), offset = e.constant(0);
    auto pointer = LLVM::LLVMPointerType::get(e.builder.getContext(), 3);
    for (BlockArgument argument : slabOperands(r.frame.body, r.space)) {
      Kept one{argument, e.buffers[argument], {}, 0};
      one.bytes = plan.width * graph::elementBytes(one.buffer.element);
      Value at = e.add(e.mul(thread, e.constant(one.bytes)), offset);
      one.slots = LLVM::GEPOp::create(e.builder, e.loc, pointer, e.builder.getI8Type(), shared,
                                      ArrayRef<LLVM::GEPArg>{at});
      offset = e.add(offset, e.mul(slotCount, e.constant(plan.threads * one.bytes)));
      kept.push_back(one);
    }
  }
  /// As many slots as the launch has shared memory for: chips differ in it, and places beyond them
  /// are read again.
  Value slotsOfLaunch() {
    int64_t bytes = 0;
    for (BlockArgument argument : slabOperands(r.frame.body, r.space)) {
      bytes += plan.threads * plan.width * graph::elementBytes(e.buffers[argument].element);
    }
    OpBuilder &b = e.builder;
    Value size = LLVM::CallIntrinsicOp::create(
                     b, e.loc, b.getI32Type(),
                     b.getStringAttr("llvm.nvvm.read.ptx.sreg.dynamic_smem_size"), ValueRange{})
                     .getResult(0);
    size = arith::ExtUIOp::create(b, e.loc, b.getI64Type(), size);
    return e.mul(quotientOf(e, size, bytes * slotsTogether), e.constant(slotsTogether));
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
    Value run = e.add(e.mul(base[*group].value, e.constant(plan.rows * width)),
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

  /// Slots that loops of slotsTogether go through, those from `from` on, and the others. A launch's
  /// slots are a multiple of it.
  Value wholeSlots() const {
    return plan.again ? slotCount : e.constant(plan.slots / slotsTogether * slotsTogether);
  }
  SmallVector<Value> slotsFrom(Value from) {
    return llvm::map_to_vector(llvm::seq<int64_t>(0, slotsTogether),
                               [&](int64_t i) { return e.add(from, e.constant(i)); });
  }
  SmallVector<Value> otherSlots() {
    const int64_t whole = plan.again ? plan.slots : plan.slots / slotsTogether * slotsTogether;
    return llvm::map_to_vector(llvm::seq<int64_t>(whole, plan.slots),
                               [&](int64_t slot) { return e.constant(slot); });
  }

  /// Code for up to slotsTogether slots, for all of them in order: shared memory is near, and
  /// registers are for threads.
  void forSlotBatches(function_ref<void(ArrayRef<Value>)> body) {
    if (plan.slots >= slotsTogether) {
      e.loop(e.constant(0), wholeSlots(), slotsTogether,
             [&](Value from) { body(slotsFrom(from)); });
    }
    if (SmallVector<Value> others = otherSlots(); !others.empty()) {
      body(others);
    }
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
      Value some = e.compare(arith::CmpIPredicate::sge, slot, slotCount);
      at.push_back(placeAt(r.base, slot));
      at.back().inside = arith::AndIOp::create(e.builder, e.loc, some, at.back().inside);
      values.push_back(r.fullValues(at.back().index));
    }
    for (auto [place, value] : llvm::zip(at, values)) {
      whereInside(place, [&] { r.storeValues(value, place.index); });
    }
  }

  /// A reduction over one thread's places: values to start from, a step at a place, and what the
  /// state's values are in the end.
  struct Fold {
    SmallVector<Value> start;
    std::function<SmallVector<Value>(const Place &, ValueRange)> step;
    std::function<SmallVector<Value>(ValueRange)> finish;
  };

  Fold foldOf(const ReductionState &state) {
    if (state.isMoments) {
      return momentsOf(state);
    }
    auto step = [this, &state](const Place &place, ValueRange carried) {
      return maskedStep(e, state, place.index, carried, place.inside);
    };
    return {llvm::map_to_vector(state.identity, [&](Value v) { return e.splat(v); }), step,
            [](ValueRange carried) { return SmallVector<Value>(carried); }};
  }

  /// Mean and squared differences by sums of x − k and (x − k)², where k is the thread's first
  /// element at this lane: of n elements the second sum is at most n + 1 times the squared
  /// differences, which bounds what the subtraction in the end can lose.
  Fold momentsOf(const ReductionState &state) {
    OpBuilder &b = e.builder;
    Location loc = e.loc;
    Value input = state.tensors.front().getDefiningOp<graph::ReduceOp>().getInput();
    Value zero = e.scalarFloat(0, b.getF32Type()), zeros = e.splat(zero);
    auto select = [this](const Place &place, Value v, Value otherwise) {
      return place.inside ? e.select(place.inside, v, otherwise) : v;
    };
    Place first = placeAt(r.base, e.constant(0));
    auto read = [&] { return e.splat(e.at(input, first.index)); };
    Value origin = plan.again ? read() : atSlot(first, e.constant(0), read);
    origin = select(first, origin, zeros);
    auto step = [=, this](const Place &place, ValueRange carried) -> SmallVector<Value> {
      OpBuilder &b = e.builder;
      Value one = e.scalarFloat(1, b.getF32Type());
      Value d = arith::SubFOp::create(b, loc, e.splat(e.at(input, place.index)), origin);
      d = select(place, d, zeros);
      return {arith::AddFOp::create(b, loc, carried[0], select(place, one, zero)),
              arith::AddFOp::create(b, loc, carried[1], d),
              LLVM::FMAOp::create(b, loc, d.getType(), d, d, carried[2])};
    };
    auto finish = [=, this](ValueRange carried) -> SmallVector<Value> {
      OpBuilder &b = e.builder;
      Value some = arith::MaximumFOp::create(b, loc, carried[0], e.scalarFloat(1, b.getF32Type()));
      Value share = e.splat(reciprocalOnGpu(e, some));
      Value mean = arith::MulFOp::create(b, loc, carried[1], share);
      Value lost = arith::MulFOp::create(b, loc, carried[1], mean);
      Value squares = arith::SubFOp::create(b, loc, carried[2], lost);
      return {carried[0], arith::AddFOp::create(b, loc, origin, mean),
              arith::MaximumFOp::create(b, loc, squares, zeros)};
    };
    return {{zero, zeros, zeros}, step, finish};
  }

  void waitForSlots() {
    if (!waited) {
      NVVM::CpAsyncWaitGroupOp::create(e.builder, e.loc, 0);
      waited = true;
    }
  }
  /// Few batches of slots are taken as they come.
  SmallVector<Value> partAsItComes(const ReductionState &state, int64_t batches) {
    std::optional<Fold> fold;
    SmallVector<Value> carried;
    for (int64_t batch = 0; batch < batches; ++batch) {
      NVVM::CpAsyncWaitGroupOp::create(e.builder, e.loc, batches - 1 - batch);
      if (!fold) {
        fold = foldOf(state);
        carried = fold->start;
      }
      for (int64_t slot = batch * slotsTogether;
           slot < std::min((batch + 1) * slotsTogether, plan.slots); ++slot) {
        carried = foldSlot(*fold, e.constant(slot), carried);
      }
    }
    waited = true;
    return fold->finish(carried);
  }
  SmallVector<Value> foldSlot(const Fold &fold, Value slot, ArrayRef<Value> carried) {
    Place place = placeAt(r.base, slot);
    return atSlot(place, slot, [&] { return fold.step(place, carried); });
  }

  /// This thread's part, a vector for each of the state's values.
  SmallVector<Value> threadPart(const ReductionState &state) {
    const int64_t batches = (plan.slots + slotsTogether - 1) / slotsTogether;
    if (group && !plan.again && !waited && batches <= kFewBatches) {
      return partAsItComes(state, batches);
    }
    if (!plan.again) {
      waitForSlots();
    }
    Fold fold = foldOf(state);
    SmallVector<Value> carried = fold.start;
    if (plan.again) {
      carried =
          e.loop(slotCount, allSlots, slotsTogether, carried, [&](Value from, ValueRange acc) {
            SmallVector<Value> next(acc);
            for (int64_t i = 0; i < slotsTogether; ++i) {
              next = fold.step(placeAt(r.base, e.add(from, e.constant(i))), next);
            }
            return next;
          });
      waitForSlots();
    }
    auto step = [&](ArrayRef<Value> slots, ValueRange acc) {
      SmallVector<Value> next(acc);
      for (Value slot : slots) {
        next = foldSlot(fold, slot, next);
      }
      return next;
    };
    carried = e.loop(e.constant(0), wholeSlots(), slotsTogether, carried,
                     [&](Value from, ValueRange acc) { return step(slotsFrom(from), acc); });
    return fold.finish(step(otherSlots(), carried));
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
    const int64_t rows = plan.rows;
    RowParts parts(e, state, {width, plan.width, plan.across}, lines(), part, x, y);
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
      SmallVector<Value> total = parts.total(row, lane);
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
        SmallVector<Value> total =
            warpTotal(e, state, lane, members, plan.team,
                      [&](Value member, Value &) { return teamPart(state, member, row); });
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
    auto loop = scf::ForOp::create(e.builder, e.loc, warp, e.constant(plan.rows),
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
      arrays.push_back(kernelArray(e, type, plan.teamUnits * plan.team * plan.rows));
    }
    return arrays[number];
  }
  /// A row's values side by side: a warp reads them together.
  Value teamIndex(Value member, Value row) {
    Value line = e.add(e.mul(unit, e.constant(plan.rows)), row);
    return e.add(e.mul(line, e.constant(plan.team)), member);
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
  /// Slots of a thread, which a team's block may have more of than the plan says.
  Value slotCount;
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

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rules E10 to E12. Each step gets a vector clock (how many commands of each stream are complete
// before it may start); an interval map over each tier remembers who wrote a byte last and who read
// it since. A step that touches bytes must come after their last writer, and, if it writes, after
// their readers. That proves every run of the plan free of data races, whatever the timing.
#include "runtime/format/Validate.h"

#include "runtime/format/Rules.h"
#include "runtime/format/program_generated.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

namespace ciuic::format {
namespace {

constexpr int kStreams = 3;
constexpr int32_t kBeforeRun = -1;

using Clock = std::array<uint32_t, kStreams>;

class OrderChecker {
public:
  OrderChecker(const ProgramT &program, const EntryT &entry) : p(program), e(entry) {}

  Status run() {
    computeClocks();
    CIUIC_TRY(defineStart());
    for (size_t i = 0; i < e.steps.size(); ++i) {
      CIUIC_TRY(visit(static_cast<int32_t>(i)));
    }
    CIUIC_TRY(checkOutputs());
    return checkWrap();
  }

private:
  struct Piece {
    int64_t end;
    int32_t writer;
    std::array<int32_t, kStreams> readers; // the last reader in each stream since the write
  };
  using Memory = std::map<int64_t, Piece>;
  struct Columns {
    const PortT *port;
    int64_t pitch;
    Memory memory;
  };

  static int streamOf(const StepT &s) { return static_cast<int>(s.stream); }

  void computeClocks() {
    Clock next = {};                       // ordinals handed out
    std::array<Clock, kStreams> last = {}; // clock after the last step of a stream
    for (const auto &s : e.steps) {
      int stream = streamOf(*s);
      Clock clock = last[stream];
      for (uint32_t w : s->waits) {
        for (int k = 0; k < kStreams; ++k) {
          clock[k] = std::max(clock[k], before[w][k]);
        }
        int other = streamOf(*e.steps[w]);
        clock[other] = std::max(clock[other], ordinal[w] + 1);
      }
      ordinal.push_back(next[stream]);
      before.push_back(clock);
      clock[stream] = ++next[stream];
      last[stream] = clock;
    }
  }

  bool ordered(int32_t first, int32_t second) const {
    return first < 0 || first == second ||
           before[second][streamOf(*e.steps[first])] > ordinal[first];
  }

  static void split(Memory &m, int64_t at) {
    auto next = m.upper_bound(at);
    if (next == m.begin()) {
      return;
    }
    auto piece = std::prev(next);
    if (piece->first < at && piece->second.end > at) {
      Piece right = piece->second;
      piece->second.end = at;
      m.emplace(at, right);
    }
  }

  std::string stepName(int32_t step) const {
    return step < 0 ? "the start of the run" : "step '" + e.steps[step]->name + "'";
  }

  Status race(int32_t first, int32_t second, int64_t at) const {
    return broken("E10",
                  "step %d '%s' touches bytes at %lld while %s may still use them: a wait "
                  "is missing",
                  second, e.steps[second]->name.c_str(), static_cast<long long>(at),
                  stepName(first).c_str());
  }

  Status read(Memory &m, int32_t step, int64_t offset, int64_t bytes) {
    if (bytes == 0) {
      return Status::ok();
    }
    split(m, offset);
    split(m, offset + bytes);
    int64_t at = offset;
    for (auto it = m.lower_bound(offset); at < offset + bytes; ++it) {
      if (it == m.end() || it->first != at) {
        return broken("E11", "step %d '%s' reads bytes at %lld of the %s that nothing wrote", step,
                      e.steps[step]->name.c_str(), static_cast<long long>(at),
                      &m == &arena ? "arena" : "host tier");
      }
      if (!ordered(it->second.writer, step)) {
        return race(it->second.writer, step, at);
      }
      it->second.readers[streamOf(*e.steps[step])] = step;
      at = it->second.end;
    }
    return Status::ok();
  }

  Status write(Memory &m, int32_t step, int64_t offset, int64_t bytes) {
    if (bytes == 0) {
      return Status::ok();
    }
    split(m, offset);
    split(m, offset + bytes);
    auto it = m.lower_bound(offset);
    while (it != m.end() && it->first < offset + bytes) {
      if (!ordered(it->second.writer, step)) {
        return race(it->second.writer, step, it->first);
      }
      for (int32_t reader : it->second.readers) {
        if (!ordered(reader, step)) {
          return race(reader, step, it->first);
        }
      }
      it = m.erase(it);
    }
    m.emplace_hint(it, offset, Piece{offset + bytes, step, {-1, -1, -1}});
    return Status::ok();
  }

  Status define(Memory &m, int64_t offset, int64_t bytes, const std::string &what) {
    if (bytes == 0) {
      return Status::ok();
    }
    auto next = m.lower_bound(offset);
    if ((next != m.end() && next->first < offset + bytes) ||
        (next != m.begin() && std::prev(next)->second.end > offset)) {
      return broken("E12",
                    "%s at %lld shares bytes with something else that is there before the "
                    "first step",
                    what.c_str(), static_cast<long long>(offset));
    }
    m.emplace(offset, Piece{offset + bytes, kBeforeRun, {-1, -1, -1}});
    return Status::ok();
  }

  /// Outputs that are written by columns have a memory of their own, by the bytes of one row.
  Status defineColumns() {
    for (const auto &s : e.steps) {
      const CopyOutT *c = s->body.AsCopyOut();
      if (!c || c->row_bytes == 0) {
        continue;
      }
      const PortT *port = columnsOf(e, *c); // rule E15: there is one
      auto [it, fresh] = columns.try_emplace(port->offset, Columns{port, c->host_pitch, {}});
      if (it->second.port != port || it->second.pitch != c->host_pitch) {
        return broken("E15", "output '%s' is written in rows of different lengths",
                      port->name.c_str());
      }
      if (fresh) {
        auto next = host.lower_bound(port->offset);
        auto other = std::next(it);
        if ((next != host.end() && next->first < port->offset + port->bytes) ||
            (next != host.begin() && std::prev(next)->second.end > port->offset) ||
            (other != columns.end() && other->first < port->offset + port->bytes) ||
            (it != columns.begin() &&
             std::prev(it)->first + std::prev(it)->second.port->bytes > port->offset)) {
          return broken("E12", "output '%s' shares bytes of the host tier with something else",
                        port->name.c_str());
        }
      }
    }
    return Status::ok();
  }

  /// Whatever else touches the host tier stays off the outputs that are written by columns.
  Status offColumns(const std::string &what, int64_t offset, int64_t bytes) const {
    auto next = columns.lower_bound(offset);
    if (bytes > 0 && ((next != columns.end() && next->first < offset + bytes) ||
                      (next != columns.begin() &&
                       std::prev(next)->first + std::prev(next)->second.port->bytes > offset))) {
      return broken("E15", "%s touches host bytes at %lld of an output that is written in rows",
                    what.c_str(), static_cast<long long>(offset));
    }
    return Status::ok();
  }

  Status writeColumns(int32_t step, const CopyOutT &c) {
    Columns &output = columns.at(columnsOf(e, c)->offset);
    return write(output.memory, step, c.host_offset - output.port->offset, c.row_bytes);
  }

  Status defineStart() {
    for (const auto &w : p.weights) {
      for (const ResidentPart &part : residentParts(*w)) {
        CIUIC_TRY(define(arena, part.arenaOffset, part.bytes, "weight '" + w->name + "'"));
      }
      if (w->mode != WeightMode::Resident) {
        CIUIC_TRY(define(host, w->host_offset, w->bytes, "weight '" + w->name + "'"));
        constants.emplace(w->host_offset, w->host_offset + w->bytes);
      }
    }
    for (const auto &s : p.states) {
      CIUIC_TRY(define(arena, s->arena_offset, s->bytes, "state '" + s->name + "'"));
    }
    CIUIC_TRY(
        define(arena, e.dims_offset, static_cast<int64_t>(e.symbols.size()) * 8, "the dims block"));
    for (const auto &port : e.inputs) {
      CIUIC_TRY(define(port->tier == Tier::Device ? arena : host, port->offset, port->bytes,
                       "input '" + port->name + "'"));
    }
    for (const auto &c : e.prologue) {
      CIUIC_TRY(constant(c->host_offset, c->bytes, "the prologue"));
      CIUIC_TRY(define(arena, c->arena_offset, c->bytes, "a copy of the prologue"));
    }
    return defineColumns();
  }

  /// A copy of weights reads weights: whole constants of the host tier, nothing spilled. Padding of
  /// up to 63 bytes between the weights of one slab is zero from the start.
  Status constant(int64_t offset, int64_t bytes, const std::string &what) {
    int64_t at = offset;
    while (at < offset + bytes) {
      auto next = constants.upper_bound(at);
      if (next != constants.begin() && std::prev(next)->second > at) {
        at = std::prev(next)->second;
      } else if (next != constants.end() && next->first - at < 64) {
        at = next->first;
      } else if (offset + bytes - at < 64 && at > offset) {
        return Status::ok();
      } else {
        return broken("E11", "%s copies host bytes at %lld, where no weight is", what.c_str(),
                      static_cast<long long>(at));
      }
    }
    return Status::ok();
  }

  Status guardConstants(int32_t step, int64_t offset, int64_t bytes) {
    auto next = constants.lower_bound(offset);
    if (bytes > 0 && ((next != constants.end() && next->first < offset + bytes) ||
                      (next != constants.begin() && std::prev(next)->second > offset))) {
      return broken("E12", "step %d '%s' would overwrite a weight in the host tier", step,
                    e.steps[step]->name.c_str());
    }
    return Status::ok();
  }

  Status guardFixed(int32_t step, int64_t offset, int64_t bytes) {
    auto hits = [&](int64_t o, int64_t b) {
      return b > 0 && bytes > 0 && o < offset + bytes && offset < o + b;
    };
    if (hits(e.dims_offset, static_cast<int64_t>(e.symbols.size()) * 8)) {
      return broken("E12", "step %d '%s' would overwrite the dims block", step,
                    e.steps[step]->name.c_str());
    }
    if (residents.empty()) {
      for (const auto &w : p.weights) {
        for (const ResidentPart &part : residentParts(*w)) {
          residents.emplace(part.arenaOffset, part.arenaOffset + part.bytes);
        }
      }
      residents.emplace(p.arena_bytes, p.arena_bytes);
    }
    auto next = residents.lower_bound(offset);
    if (bytes > 0 && ((next != residents.end() && next->first < offset + bytes) ||
                      (next != residents.begin() && std::prev(next)->second > offset))) {
      return broken("E12", "step %d '%s' would overwrite a resident weight", step,
                    e.steps[step]->name.c_str());
    }
    return Status::ok();
  }

  Status writeArena(int32_t step, int64_t offset, int64_t bytes) {
    CIUIC_TRY(guardFixed(step, offset, bytes));
    return write(arena, step, offset, bytes);
  }
  Status writeHost(int32_t step, int64_t offset, int64_t bytes) {
    CIUIC_TRY(guardConstants(step, offset, bytes));
    CIUIC_TRY(offColumns(stepName(step), offset, bytes));
    return write(host, step, offset, bytes);
  }

  Status visit(int32_t i) {
    const StepT &s = *e.steps[i];
    if (const LaunchT *l = s.body.AsLaunch()) {
      for (const Arg &arg : l->args) {
        if (arg.access() != Access::Write) {
          CIUIC_TRY(read(arena, i, arg.offset(), arg.bytes()));
        }
      }
      for (const Arg &arg : l->args) {
        if (arg.access() != Access::Read) {
          CIUIC_TRY(writeArena(i, arg.offset(), arg.bytes()));
        }
      }
    } else if (const CopyT *c = s.body.AsCopy()) {
      CIUIC_TRY(constant(c->host_offset, c->bytes, "step '" + s.name + "'"));
      CIUIC_TRY(writeArena(i, c->arena_offset, c->bytes));
    } else if (const CopyBackT *c = s.body.AsCopyBack()) {
      CIUIC_TRY(offColumns(stepName(i), c->host_offset, c->bytes));
      CIUIC_TRY(read(host, i, c->host_offset, c->bytes));
      CIUIC_TRY(writeArena(i, c->arena_offset, c->bytes));
    } else if (const CopyOutT *c = s.body.AsCopyOut()) {
      CIUIC_TRY(read(arena, i, c->arena_offset, c->bytes));
      CIUIC_TRY(c->row_bytes > 0 ? writeColumns(i, *c) : writeHost(i, c->host_offset, c->bytes));
    } else if (const HostGatherT *g = s.body.AsHostGather()) {
      CIUIC_TRY(read(arena, i, g->ids_offset, g->ids_bytes));
      const WeightT &w = *p.weights[g->weight];
      CIUIC_TRY(read(host, i, w.host_offset, w.bytes));
      if (g->staging_host_offset >= 0) { // a GPU gathers without staging
        CIUIC_TRY(writeHost(i, g->ids_host_offset, g->ids_bytes));
        CIUIC_TRY(writeHost(i, g->staging_host_offset, g->bytes));
      }
      CIUIC_TRY(writeArena(i, g->arena_offset, g->bytes));
    } else if (const FillT *f = s.body.AsFill()) {
      CIUIC_TRY(writeArena(i, f->arena_offset, f->bytes));
    }
    return Status::ok();
  }

  Status checkOutputs() {
    for (const auto &port : e.outputs) {
      auto byColumns = port->tier == Tier::Host ? columns.find(port->offset) : columns.end();
      bool rows = byColumns != columns.end() && byColumns->second.port == port.get();
      Memory &m = rows ? byColumns->second.memory : port->tier == Tier::Device ? arena : host;
      int64_t at = rows ? 0 : port->offset;
      int64_t end = rows ? byColumns->second.pitch : port->offset + port->bytes;
      split(m, at);
      split(m, end);
      for (auto it = m.lower_bound(at); at < end; ++it) {
        if (it == m.end() || it->first != at) {
          return broken("E11", "output '%s' has bytes at %lld that nothing wrote",
                        port->name.c_str(), static_cast<long long>(at));
        }
        at = it->second.end;
      }
    }
    return Status::ok();
  }

  // Where copies wrap, the slots must hold after a pass what the prologue would load, byte for
  // byte: loaded again by a wrapped copy that nothing overwrites, or never touched.
  Status checkWrap() {
    using Key = std::tuple<int64_t, int64_t, int64_t>;
    std::map<Key, size_t> wrapped;
    for (size_t i = 0; i < e.steps.size(); ++i) {
      if (!e.steps[i]->wrap) {
        continue;
      }
      const CopyT &c = *e.steps[i]->body.AsCopy();
      if (!writtenBy(static_cast<int32_t>(i), c)) {
        return broken("E12",
                      "step %zu '%s' loads for the next pass, but a later step overwrites it", i,
                      e.steps[i]->name.c_str());
      }
      wrapped[{c.arena_offset, c.host_offset, c.bytes}] = i;
    }
    size_t found = 0;
    for (const auto &c : e.prologue) {
      bool again = wrapped.count({c->arena_offset, c->host_offset, c->bytes}) > 0;
      found += again;
      if (!wrapped.empty() && !again && !writtenBy(kBeforeRun, *c)) {
        return broken("E12",
                      "the prologue loads bytes to %lld that a pass overwrites and no wrapped "
                      "copy loads again",
                      static_cast<long long>(c->arena_offset));
      }
    }
    if (found != wrapped.size()) {
      return broken("E12", "a wrapped copy loads what the prologue does not");
    }
    return Status::ok();
  }

  /// True when `step` wrote every byte of the copy's destination last.
  bool writtenBy(int32_t step, const CopyT &c) {
    split(arena, c.arena_offset);
    split(arena, c.arena_offset + c.bytes);
    int64_t at = c.arena_offset;
    for (auto it = arena.lower_bound(at); at < c.arena_offset + c.bytes; ++it) {
      if (it == arena.end() || it->first != at || it->second.writer != step) {
        return false;
      }
      at = it->second.end;
    }
    return true;
  }

  const ProgramT &p;
  const EntryT &e;
  std::vector<uint32_t> ordinal;
  std::vector<Clock> before;
  Memory arena, host;
  std::map<int64_t, Columns> columns; // by the place of the output
  std::map<int64_t, int64_t> constants, residents;
};

} // namespace

const PortT *columnsOf(const EntryT &entry, const CopyOutT &copy) {
  if (copy.host_offset < 0 || copy.row_bytes <= 0 || copy.row_bytes > copy.host_pitch) {
    return nullptr;
  }
  for (const auto &port : entry.outputs) {
    int64_t column = copy.host_offset - port->offset;
    if (port->tier == Tier::Host && column >= 0 && column <= copy.host_pitch - copy.row_bytes &&
        copy.host_pitch <= port->bytes) {
      return port.get();
    }
  }
  return nullptr;
}

Status validateOrder(const ProgramT &program, const EntryT &entry) {
  return OrderChecker(program, entry).run();
}

} // namespace ciuic::format

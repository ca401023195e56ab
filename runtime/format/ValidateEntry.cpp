// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rules E1 to E9 and E13 to E15 of one entry: everything that can be said about a symbol, a port, a
// buffer or a step by itself, and that no two live buffers share a byte.
#include "runtime/format/Validate.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Expr.h"
#include "runtime/format/Rules.h"
#include "runtime/format/VendorCalls.h"
#include "runtime/format/program_generated.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace ciuic::format {
namespace {

constexpr int64_t kMaxDim = 1ll << 40;

class EntryChecker {
public:
  EntryChecker(const ProgramT &program, const EntryT &entry) : p(program), e(entry) {}

  Status run() {
    CIUIC_TRY(checkSymbols());
    CIUIC_TRY(checkPorts(e.inputs, "input"));
    CIUIC_TRY(checkPorts(e.outputs, "output"));
    CIUIC_TRY(checkSources());
    CIUIC_TRY(checkConditions());
    CIUIC_TRY(checkBuffers());
    CIUIC_TRY(checkSteps());
    return checkLive();
  }

private:
  std::optional<Interval> boundsOf(const ExprT &expr) const {
    return isWellFormed(expr, ranges.size()) ? bounds(expr, ranges) : std::nullopt;
  }
  /// A count: well-formed, at least 0 and at most `limit` for every shape inside the bounds.
  bool isCount(const ExprT &expr, int64_t limit) const {
    auto b = boundsOf(expr);
    return b && b->lower >= 0 && b->upper <= limit;
  }

  Status checkSymbols() {
    std::set<std::string> names;
    for (const auto &s : e.symbols) {
      if (!isName(s->name) || !names.insert(s->name).second || s->lower < 0 ||
          s->upper < s->lower || s->upper > kMaxDim || s->source > SymbolSource::MAX) {
        return broken("E2", "symbol '%s': bounds or name are wrong", s->name.c_str());
      }
      if ((s->source == SymbolSource::Derived) != (s->derived != nullptr)) {
        return broken("E2", "symbol '%s': a derived symbol, and no other, has an expression",
                      s->name.c_str());
      }
      if (s->derived) {
        auto b = boundsOf(*s->derived);
        if (!b || b->lower < s->lower || b->upper > s->upper) {
          return broken("E2", "symbol '%s': its expression leaves its bounds", s->name.c_str());
        }
      }
      ranges.push_back({s->lower, s->upper});
    }
    return Status::ok();
  }

  Status checkPorts(const std::vector<std::unique_ptr<PortT>> &ports, const char *what) {
    std::set<std::string> names;
    for (const auto &port : ports) {
      if (!isName(port->name) || !names.insert(port->name).second) {
        return broken("E4", "%s '%s': its name is empty or used twice", what, port->name.c_str());
      }
      std::optional<int64_t> bytes = elementBytes(static_cast<uint8_t>(port->dtype));
      bool good = *bytes > 0 && port->dims.size() <= 32 && port->tier <= Tier::MAX;
      for (const auto &dim : port->dims) {
        auto b = boundsOf(*dim);
        good = good && b && b->lower >= 0 && b->upper <= kMaxDim;
        bytes = good && bytes ? checkedMul(*bytes, b->upper) : std::nullopt;
      }
      int64_t tierBytes = port->tier == Tier::Device ? p.arena_bytes : p.host_bytes;
      if (!good || !bytes || *bytes > port->bytes || port->offset % 64 != 0 ||
          !rangeInside(port->offset, port->bytes, tierBytes)) {
        return broken("E4", "%s '%s': dims, dtype or place are wrong", what, port->name.c_str());
      }
    }
    return Status::ok();
  }

  Status checkSources() {
    for (size_t i = 0; i < e.symbols.size(); ++i) {
      const SymbolT &s = *e.symbols[i];
      bool good = true;
      if (s.source == SymbolSource::Input) {
        good = s.index < e.inputs.size() && s.axis < e.inputs[s.index]->dims.size() &&
               asSymbol(*e.inputs[s.index]->dims[s.axis]) == static_cast<uint32_t>(i);
      } else if (s.source == SymbolSource::State) {
        good = s.index < p.states.size() && p.states[s.index]->grow_axis >= 0;
      }
      if (!good) {
        return broken("E2", "symbol '%s' is read from an axis or a state that is not there",
                      s.name.c_str());
      }
    }
    return Status::ok();
  }

  Status checkConditions() {
    for (const auto &c : e.constraints) {
      if (!isWellFormed(*c->value, ranges.size()) || !isName(c->text)) {
        return broken("E3", "a constraint's expression is malformed");
      }
    }
    std::set<uint32_t> seen;
    for (const auto &use : e.states) {
      if (use->state >= p.states.size() || !seen.insert(use->state).second ||
          !isCount(*use->before, kMaxDim) || !isCount(*use->after, kMaxDim)) {
        return broken("E14", "the use of state %u is malformed", use->state);
      }
    }
    return Status::ok();
  }

  Status checkBuffers() {
    size_t steps = e.steps.size();
    if (!rangeInside(e.dims_offset, static_cast<int64_t>(e.symbols.size()) * 8, p.arena_bytes) ||
        e.dims_offset % 64 != 0) {
      return broken("E5", "the dims block at %lld lies outside the arena or is unaligned",
                    static_cast<long long>(e.dims_offset));
    }
    for (const auto &b : e.buffers) {
      if (!isName(b->name) || b->kind > BufferKind::MAX || b->offset % 64 != 0 ||
          !rangeInside(b->offset, b->bytes, p.arena_bytes) || b->first_step > b->last_step ||
          (b->last_step != 0 && b->last_step >= steps)) {
        return broken("E6", "buffer '%s': place or lifetime are wrong", b->name.c_str());
      }
    }
    return Status::ok();
  }

  Status checkArenaRange(const StepT &s, int64_t offset, int64_t bytes) {
    if (!rangeInside(offset, bytes, p.arena_bytes)) {
      return broken("E7", "step '%s' touches %lld bytes at %lld, outside the arena of %lld",
                    s.name.c_str(), static_cast<long long>(bytes), static_cast<long long>(offset),
                    static_cast<long long>(p.arena_bytes));
    }
    return Status::ok();
  }
  Status checkHostRange(const StepT &s, int64_t offset, int64_t bytes) {
    if (!rangeInside(offset, bytes, p.host_bytes)) {
      return broken("E7", "step '%s' touches %lld bytes at %lld, outside the host tier of %lld",
                    s.name.c_str(), static_cast<long long>(bytes), static_cast<long long>(offset),
                    static_cast<long long>(p.host_bytes));
    }
    return Status::ok();
  }
  Status checkCopy(const StepT &s, const CopyT &c) {
    if (c.weight >= p.weights.size()) {
      return broken("E7", "step '%s' copies weight %u of %zu", s.name.c_str(), c.weight,
                    p.weights.size());
    }
    CIUIC_TRY(checkArenaRange(s, c.arena_offset, c.bytes));
    if (c.host_offset >= kDiskOffsets) {
      return rangeInside(c.host_offset - kDiskOffsets, c.bytes, p.disk_bytes)
                 ? Status::ok()
                 : broken("E7", "step '%s' copies %lld bytes at %lld of the disk tier of %lld",
                          s.name.c_str(), static_cast<long long>(c.bytes),
                          static_cast<long long>(c.host_offset - kDiskOffsets),
                          static_cast<long long>(p.disk_bytes));
    }
    return checkHostRange(s, c.host_offset, c.bytes);
  }
  Status checkExtent(const StepT &s, const std::unique_ptr<ExprT> &extent, int64_t bytes) {
    if (extent && !isCount(*extent, bytes)) {
      return broken("E3", "step '%s': its extent may exceed its %lld bytes", s.name.c_str(),
                    static_cast<long long>(bytes));
    }
    return Status::ok();
  }

  Status checkCopyOut(const StepT &s, const CopyOutT &c) {
    CIUIC_TRY(checkArenaRange(s, c.arena_offset, c.bytes));
    if (c.row_bytes == 0) {
      if (c.rows || c.host_pitch != 0) {
        return broken("E15", "step '%s' copies rows of no bytes", s.name.c_str());
      }
      CIUIC_TRY(checkHostRange(s, c.host_offset, c.bytes));
      return checkExtent(s, c.extent, c.bytes);
    }
    const PortT *port = columnsOf(e, c);
    if (!port || c.row_bytes < 0 || c.extent || !c.rows || port->bytes % c.host_pitch != 0 ||
        !isCount(*c.rows, std::min(c.bytes / c.row_bytes, port->bytes / c.host_pitch))) {
      return broken("E15", "step '%s' copies rows that are not columns of one output",
                    s.name.c_str());
    }
    return Status::ok();
  }

  Status checkLaunch(const StepT &s, const LaunchT &l) {
    if (l.kernel >= p.kernels.size() || l.args.size() != p.kernels[l.kernel]->arg_count) {
      return broken("E8",
                    "step '%s' launches kernel %u with %zu arguments: no such kernel, or "
                    "another number of arguments",
                    s.name.c_str(), l.kernel, l.args.size());
    }
    if (!isCount(*l.grid, kMaxDim)) {
      return broken("E3", "step '%s': its grid is malformed or may be negative", s.name.c_str());
    }
    for (const Arg &arg : l.args) {
      CIUIC_TRY(checkArenaRange(s, arg.offset(), arg.bytes()));
      if (arg.access() < Access::Read || arg.access() > Access::ReadWrite) {
        return broken("E7", "step '%s': an argument is neither read nor written", s.name.c_str());
      }
    }
    return checkShape(s, l);
  }

  /// The extents of a vendor call, and that its operands hold what it touches at the bounds.
  Status checkShape(const StepT &s, const LaunchT &l) {
    const KernelT &kernel = *p.kernels[l.kernel];
    if (!kernel.blobs.empty()) {
      return l.shape.empty() ? Status::ok()
                             : broken("E8", "step '%s' has extents, and calls no vendor's library",
                                      s.name.c_str());
    }
    std::vector<int64_t> upper;
    for (size_t i = 0; i < l.shape.size(); ++i) {
      if (!isCount(*l.shape[i], kMaxDim)) {
        return broken("E3", "step '%s': extent %zu is malformed or may be negative", s.name.c_str(),
                      i);
      }
      upper.push_back(boundsOf(*l.shape[i])->upper);
    }
    auto bytes = vendorBytes(kernel.symbol, l.params, l.args.size(), upper);
    bool good = bytes.has_value();
    for (size_t i = 0; good && i < bytes->size(); ++i) {
      good = (*bytes)[i] <= l.args[i].bytes();
    }
    // A sum over nothing is no call of a matmul: K is its extent 3.
    good = good && (kernel.symbol != kCublasLtMatmul || boundsOf(*l.shape[3])->lower > 0);
    if (!good) {
      return broken("E8", "step '%s' is no call of '%s', or its operands do not hold its extents",
                    s.name.c_str(), kernel.symbol.c_str());
    }
    return Status::ok();
  }

  Status checkGather(const StepT &s, const HostGatherT &g) {
    auto limit = g.row_bytes > 0 ? std::optional(g.bytes / g.row_bytes) : std::nullopt;
    if (g.kernel >= p.kernels.size() || p.kernels[g.kernel]->arg_count != 3 ||
        p.kernels[g.kernel]->blobs.empty() || g.weight >= p.weights.size() ||
        p.weights[g.weight]->mode == WeightMode::Resident || p.weights[g.weight]->on_disk ||
        !limit || !isCount(*g.rows, *limit)) {
      return broken("E8", "step '%s' gathers with a wrong kernel, table or number of rows",
                    s.name.c_str());
    }
    CIUIC_TRY(checkArenaRange(s, g.ids_offset, g.ids_bytes));
    if (p.device_kind == "cuda") {
      if (g.ids_host_offset != -1 || g.staging_host_offset != -1) {
        return broken("E8", "step '%s' stages a gather that a GPU makes in place", s.name.c_str());
      }
      return checkArenaRange(s, g.arena_offset, g.bytes);
    }
    CIUIC_TRY(checkHostRange(s, g.ids_host_offset, g.ids_bytes));
    CIUIC_TRY(checkHostRange(s, g.staging_host_offset, g.bytes));
    return checkArenaRange(s, g.arena_offset, g.bytes);
  }

  Status checkSteps() {
    for (size_t i = 0; i < e.steps.size(); ++i) {
      const StepT &s = *e.steps[i];
      if (!isName(s.name) || !std::isfinite(s.predicted_us) || s.predicted_us < 0 ||
          !std::isfinite(s.predicted_start_us)) {
        return broken("E13", "step %zu: its name or its prediction is malformed", i);
      }
      for (uint32_t w : s.waits) {
        if (w >= i) {
          return broken("E9", "step %zu '%s' waits for step %u, which is not an earlier one", i,
                        s.name.c_str(), w);
        }
      }
      bool stream = false;
      Status status;
      if (const LaunchT *l = s.body.AsLaunch()) {
        stream = s.stream == Stream::Compute;
        status = checkLaunch(s, *l);
      } else if (const CopyT *c = s.body.AsCopy()) {
        stream = s.stream == Stream::H2D;
        status = checkCopy(s, *c);
      } else if (const CopyBackT *c = s.body.AsCopyBack()) {
        stream = s.stream == Stream::H2D;
        status = checkArenaRange(s, c->arena_offset, c->bytes);
        if (status.isOk()) {
          status = checkHostRange(s, c->host_offset, c->bytes);
        }
        if (status.isOk()) {
          status = checkExtent(s, c->extent, c->bytes);
        }
      } else if (const CopyOutT *c = s.body.AsCopyOut()) {
        stream = s.stream == Stream::D2H;
        status = checkCopyOut(s, *c);
      } else if (const HostGatherT *g = s.body.AsHostGather()) {
        stream = s.stream == Stream::Compute || s.stream == Stream::H2D;
        status = checkGather(s, *g);
      } else if (const FillT *f = s.body.AsFill()) {
        stream = s.stream == Stream::Compute;
        status = checkArenaRange(s, f->arena_offset, f->bytes);
      }
      CIUIC_TRY(std::move(status));
      if (!stream || (s.wrap && !s.body.AsCopy())) {
        return broken("E13", "step %zu '%s' stands in a stream that does not do its kind", i,
                      s.name.c_str());
      }
    }
    StepT prologue;
    prologue.name = "prologue";
    for (const auto &c : e.prologue) {
      CIUIC_TRY(checkCopy(prologue, *c));
    }
    return Status::ok();
  }

  // Sweeps over the steps with the set of live ranges by address: a buffer that is born must not
  // touch a live one, and each range a step names must lie in one live range.
  Status checkLive() {
    live.clear();
    for (const auto &w : p.weights) {
      for (const ResidentPart &part : residentParts(*w)) {
        CIUIC_TRY(birth(part.arenaOffset, part.bytes, w->name));
      }
    }
    for (const auto &s : p.states) {
      CIUIC_TRY(birth(s->arena_offset, s->bytes, s->name));
    }
    using Event = std::pair<uint32_t, const BufferT *>;
    auto earlier = [](const Event &a, const Event &b) {
      return std::pair(a.first, a.second->offset) < std::pair(b.first, b.second->offset);
    };
    std::vector<Event> births, deaths;
    for (const auto &b : e.buffers) {
      births.emplace_back(b->first_step, b.get());
      deaths.emplace_back(b->last_step, b.get());
    }
    std::sort(births.begin(), births.end(), earlier);
    std::sort(deaths.begin(), deaths.end(), earlier);
    size_t born = 0, dead = 0;
    size_t steps = std::max<size_t>(e.steps.size(), 1);
    for (size_t i = 0; i < steps; ++i) {
      for (; dead < deaths.size() && deaths[dead].first < i; ++dead) {
        if (deaths[dead].second->bytes > 0) {
          live.erase(deaths[dead].second->offset);
        }
      }
      for (; born < births.size() && births[born].first <= i; ++born) {
        const BufferT &b = *births[born].second;
        CIUIC_TRY(birth(b.offset, b.bytes, b.name));
      }
      if (i == 0) {
        CIUIC_TRY(
            covered("the dims block", e.dims_offset, static_cast<int64_t>(e.symbols.size()) * 8));
        CIUIC_TRY(coverPorts(e.inputs));
        for (const auto &c : e.prologue) {
          CIUIC_TRY(covered("a copy of the prologue", c->arena_offset, c->bytes));
        }
      }
      if (i < e.steps.size()) {
        CIUIC_TRY(coverStep(*e.steps[i]));
      }
    }
    return coverPorts(e.outputs);
  }

  Status birth(int64_t offset, int64_t bytes, const std::string &name) {
    if (bytes == 0) {
      return Status::ok();
    }
    auto next = live.lower_bound(offset);
    const std::string *other = nullptr;
    if (next != live.end() && next->first < offset + bytes) {
      other = next->second.name;
    } else if (next != live.begin() && std::prev(next)->second.end > offset) {
      other = std::prev(next)->second.name;
    }
    if (other) {
      return broken("E6", "buffer '%s' shares bytes with '%s' while both are live", name.c_str(),
                    other->c_str());
    }
    live.emplace(offset, Live{offset + bytes, &name});
    return Status::ok();
  }

  Status covered(const std::string &what, int64_t offset, int64_t bytes) {
    if (bytes == 0) {
      return Status::ok();
    }
    auto next = live.upper_bound(offset);
    if (next == live.begin() || std::prev(next)->second.end < offset + bytes) {
      return broken("E7", "%s uses %lld bytes at %lld, which no live buffer holds", what.c_str(),
                    static_cast<long long>(bytes), static_cast<long long>(offset));
    }
    return Status::ok();
  }

  Status coverPorts(const std::vector<std::unique_ptr<PortT>> &ports) {
    for (const auto &port : ports) {
      if (port->tier == Tier::Device) {
        CIUIC_TRY(covered("port '" + port->name + "'", port->offset, port->bytes));
      }
    }
    return Status::ok();
  }

  Status coverStep(const StepT &s) {
    std::string what = "step '" + s.name + "'";
    if (const LaunchT *l = s.body.AsLaunch()) {
      for (const Arg &arg : l->args) {
        CIUIC_TRY(covered(what, arg.offset(), arg.bytes()));
      }
    } else if (const CopyT *c = s.body.AsCopy()) {
      return covered(what, c->arena_offset, c->bytes);
    } else if (const CopyBackT *c = s.body.AsCopyBack()) {
      return covered(what, c->arena_offset, c->bytes);
    } else if (const CopyOutT *c = s.body.AsCopyOut()) {
      return covered(what, c->arena_offset, c->bytes);
    } else if (const HostGatherT *g = s.body.AsHostGather()) {
      CIUIC_TRY(covered(what, g->ids_offset, g->ids_bytes));
      return covered(what, g->arena_offset, g->bytes);
    } else if (const FillT *f = s.body.AsFill()) {
      return covered(what, f->arena_offset, f->bytes);
    }
    return Status::ok();
  }

  struct Live {
    int64_t end;
    const std::string *name;
  };
  const ProgramT &p;
  const EntryT &e;
  std::vector<Interval> ranges;
  std::map<int64_t, Live> live;
};

} // namespace

Status validateEntry(const ProgramT &program, const EntryT &entry) {
  return EntryChecker(program, entry).run();
}

} // namespace ciuic::format

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/exec/EntryMatch.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Expr.h"

#include <algorithm>

namespace ciuic {

using namespace format;

const char *dtypeName(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return "f32";
  case DType::F16:
    return "f16";
  case DType::BF16:
    return "bf16";
  case DType::F64:
    return "f64";
  case DType::I64:
    return "i64";
  case DType::I32:
    return "i32";
  case DType::I16:
    return "i16";
  case DType::I8:
    return "i8";
  case DType::U64:
    return "u64";
  case DType::U32:
    return "u32";
  case DType::U16:
    return "u16";
  case DType::U8:
    return "u8";
  case DType::Bool:
    return "bool";
  case DType::Unknown:
    break;
  }
  return "unknown";
}

std::string shapeText(std::span<const int64_t> dims) {
  std::string text;
  for (int64_t d : dims) {
    text += (text.empty() ? "" : "x") + std::to_string(d);
  }
  return text.empty() ? "scalar" : text;
}

static Status outOfBounds(const EntryT &entry, const SymbolT &s, int64_t value,
                          const std::string &where) {
  long long lower = std::min(value, s.lower), upper = std::max(value, s.upper);
  return failure(StatusClass::Shape, "shape.bound",
                 "%s is %lld, but '%s' of entry '%s' holds %lld..%lld; compile with --entry "
                 "%s:%s=%lld..%lld to allow it",
                 where.c_str(), static_cast<long long>(value), s.name.c_str(), entry.name.c_str(),
                 static_cast<long long>(s.lower), static_cast<long long>(s.upper),
                 entry.name.c_str(), s.name.c_str(), lower, upper);
}

/// Where a symbol's value came from, for messages only: a run that fits formats nothing.
static std::string sourceText(const ProgramT &program, const EntryT &entry, const SymbolT &s) {
  switch (s.source) {
  case SymbolSource::Input:
    return formatText("axis %u of input '%s'", s.axis, entry.inputs[s.index]->name.c_str());
  case SymbolSource::State:
    return formatText("the length of state '%s'", program.states[s.index]->name.c_str());
  case SymbolSource::Derived:
    break;
  }
  return "'" + s.name + "'";
}

static Status bindOne(const ProgramT &program, const EntryT &entry, const SymbolT &s,
                      std::span<const BoundInput *const> inputs,
                      std::span<const int64_t> stateLengths, std::vector<int64_t> &symbols) {
  std::optional<int64_t> value;
  switch (s.source) {
  case SymbolSource::Input:
    value = inputs[s.index]->dims[s.axis];
    break;
  case SymbolSource::State:
    value = stateLengths[s.index];
    break;
  case SymbolSource::Derived:
    value = evaluate(*s.derived, symbols);
    break;
  }
  if (!value) {
    return failure(StatusClass::Shape, "shape.derived", "'%s' cannot be computed", s.name.c_str());
  }
  if (*value < s.lower || *value > s.upper) {
    return outOfBounds(entry, s, *value, sourceText(program, entry, s));
  }
  symbols.push_back(*value);
  return Status::ok();
}

Status bindSymbols(const ProgramT &program, const EntryT &entry,
                   std::span<const BoundInput *const> inputs, std::span<const int64_t> stateLengths,
                   std::vector<int64_t> &symbols) {
  for (size_t i = 0; i < entry.inputs.size(); ++i) {
    const PortT &port = *entry.inputs[i];
    const BoundInput *in = inputs[i];
    if (!in || !in->bound) {
      return failure(StatusClass::Usage, "usage.unbound", "input '%s' is not bound",
                     port.name.c_str());
    }
    if (in->dtype != port.dtype) {
      return failure(StatusClass::Shape, "shape.dtype", "input '%s' is %s, the model takes %s",
                     port.name.c_str(), dtypeName(in->dtype), dtypeName(port.dtype));
    }
    if (in->dims.size() != port.dims.size()) {
      return failure(StatusClass::Shape, "shape.rank",
                     "input '%s' has %zu dims (%s), the model takes %zu", port.name.c_str(),
                     in->dims.size(), shapeText(in->dims).c_str(), port.dims.size());
    }
  }
  symbols.clear();
  for (const auto &s : entry.symbols) {
    CIUIC_TRY(bindOne(program, entry, *s, inputs, stateLengths, symbols));
  }
  for (size_t i = 0; i < entry.inputs.size(); ++i) {
    const PortT &port = *entry.inputs[i];
    for (size_t axis = 0; axis < port.dims.size(); ++axis) {
      auto value = evaluate(*port.dims[axis], symbols);
      int64_t given = inputs[i]->dims[axis];
      if (!value || *value != given) {
        return failure(StatusClass::Shape, "shape.dim",
                       "axis %zu of input '%s' is %lld, entry '%s' needs %s = %lld", axis,
                       port.name.c_str(), static_cast<long long>(given), entry.name.c_str(),
                       exprText(*port.dims[axis], entry.symbols).c_str(),
                       static_cast<long long>(value.value_or(-1)));
      }
    }
  }
  for (const auto &c : entry.constraints) {
    auto value = evaluate(*c->value, symbols);
    if (!value || *value < c->lower || *value > c->upper) {
      return failure(StatusClass::Shape, "shape.constraint",
                     "entry '%s' needs %s in %lld..%lld, it is %lld", entry.name.c_str(),
                     c->text.c_str(), static_cast<long long>(c->lower),
                     static_cast<long long>(c->upper), static_cast<long long>(value.value_or(-1)));
    }
  }
  for (const auto &use : entry.states) {
    const StateT &state = *program.states[use->state];
    auto before = evaluate(*use->before, symbols), after = evaluate(*use->after, symbols);
    int64_t length = stateLengths[use->state];
    if (state.grow_axis >= 0 && (!before || *before != length)) {
      return failure(StatusClass::State, "state.length",
                     "state '%s' has length %lld, entry '%s' needs %s = %lld", state.name.c_str(),
                     static_cast<long long>(length), entry.name.c_str(),
                     exprText(*use->before, entry.symbols).c_str(),
                     static_cast<long long>(before.value_or(-1)));
    }
    int64_t capacity =
        state.grow_axis >= 0 ? state.dims[static_cast<size_t>(state.grow_axis)] : INT64_MAX;
    if (!after || *after > capacity) {
      return failure(StatusClass::State, "state.full",
                     "state '%s' would grow from %lld to %lld, it holds %lld: reset it, or compile "
                     "with larger bounds of entry '%s'",
                     state.name.c_str(), static_cast<long long>(length),
                     static_cast<long long>(after.value_or(-1)), static_cast<long long>(capacity),
                     entry.name.c_str());
    }
  }
  return Status::ok();
}

int64_t boundsProduct(const EntryT &entry) {
  int64_t product = 1;
  for (const auto &s : entry.symbols) {
    if (s->source != SymbolSource::Derived) {
      product = checkedMul(product, std::max<int64_t>(s->upper, 1)).value_or(INT64_MAX);
    }
  }
  return product;
}

} // namespace ciuic

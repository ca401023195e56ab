// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// States: session memory between runs. A state's buffer has its capacity on every axis; callers see
// contiguous values at the present length of the axis that grows.
#include "runtime/exec/Session.h"

#include "runtime/format/Validate.h"
#include "runtime/format/program_generated.h"

#include <algorithm>

namespace ciuic {

using namespace format;

Status Session::checkState(uint32_t state) {
  if (state >= stateLengths.size()) {
    return failure(StatusClass::Usage, "usage.state", "no state %u; the program has %zu", state,
                   stateLengths.size());
  }
  if (stateBroken[state]) {
    return failure(StatusClass::State, "state.undefined",
                   "state '%s' is undefined since a run that did not end well: reset or write it",
                   program().states[state]->name.c_str());
  }
  return Status::ok();
}

Status Session::stateLength(uint32_t state, int64_t *out) {
  CIUIC_TRY(checkIdle());
  if (state < stateBroken.size() && stateBroken[state]) {
    *out = 0;
    return Status::ok();
  }
  CIUIC_TRY(checkState(state));
  *out = stateLengths[state];
  return Status::ok();
}

Status Session::stateBytes(uint32_t state, int64_t length, int64_t *out) const {
  if (state >= stateLengths.size()) {
    return failure(StatusClass::Usage, "usage.state", "no state %u; the program has %zu", state,
                   stateLengths.size());
  }
  const StateT &s = *program().states[state];
  if (s.grow_axis < 0) {
    *out = s.bytes;
    return Status::ok();
  }
  int64_t capacity = s.dims[static_cast<size_t>(s.grow_axis)];
  if (length < 0 || length > capacity) {
    return failure(StatusClass::State, "state.capacity",
                   "state '%s' holds 0..%lld along axis %d, not %lld", s.name.c_str(),
                   static_cast<long long>(capacity), s.grow_axis, static_cast<long long>(length));
  }
  *out = capacity == 0 ? 0 : s.bytes / capacity * length;
  return Status::ok();
}

Status Session::stateReset(uint32_t state) {
  CIUIC_TRY(checkIdle());
  if (state >= stateLengths.size()) {
    return checkState(state);
  }
  const StateT &s = *program().states[state];
  if (s.grow_axis < 0) {
    static const char zeros[4096] = {};
    for (int64_t at = 0; at < s.bytes; at += static_cast<int64_t>(sizeof zeros)) {
      CIUIC_TRY(context->write(s.arena_offset + at, zeros,
                               std::min<int64_t>(s.bytes - at, sizeof zeros)));
    }
  }
  stateLengths[state] = 0;
  stateBroken[state] = false;
  return Status::ok();
}

Status Session::transferState(uint32_t state, char *data, int64_t length, bool read) {
  const StateT &s = *program().states[state];
  if (s.bytes == 0) {
    return Status::ok();
  }
  auto move = [&](int64_t offset, char *at, int64_t bytes) {
    return read ? context->read(offset, at, bytes) : context->write(offset, at, bytes);
  };
  if (s.grow_axis < 0) {
    return move(s.arena_offset, data, s.bytes);
  }
  int64_t inner = elementBytes(static_cast<uint8_t>(s.dtype)), outer = 1;
  int64_t capacity = s.dims[static_cast<size_t>(s.grow_axis)];
  for (size_t axis = 0; axis < s.dims.size(); ++axis) {
    if (static_cast<int32_t>(axis) < s.grow_axis) {
      outer *= s.dims[axis];
    } else if (static_cast<int32_t>(axis) > s.grow_axis) {
      inner *= s.dims[axis];
    }
  }
  for (int64_t row = 0; row < outer && length * inner > 0; ++row) {
    CIUIC_TRY(
        move(s.arena_offset + row * capacity * inner, data + row * length * inner, length * inner));
  }
  return Status::ok();
}

Status Session::stateRead(uint32_t state, void *data, int64_t bytes) {
  CIUIC_TRY(checkIdle());
  CIUIC_TRY(checkState(state));
  int64_t need = 0;
  CIUIC_TRY(stateBytes(state, stateLengths[state], &need));
  if (bytes < need) {
    return failure(StatusClass::Usage, "usage.capacity", "state '%s' has %lld bytes, not %lld",
                   program().states[state]->name.c_str(), static_cast<long long>(need),
                   static_cast<long long>(bytes));
  }
  return transferState(state, static_cast<char *>(data), stateLengths[state], true);
}

Status Session::stateWrite(uint32_t state, const void *data, int64_t bytes, int64_t length) {
  CIUIC_TRY(checkIdle());
  int64_t need = 0;
  CIUIC_TRY(stateBytes(state, length, &need));
  if (bytes != need) {
    return failure(StatusClass::Usage, "usage.state",
                   "state '%s' at length %lld has %lld bytes, not %lld",
                   program().states[state]->name.c_str(), static_cast<long long>(length),
                   static_cast<long long>(need), static_cast<long long>(bytes));
  }
  CIUIC_TRY(
      transferState(state, const_cast<char *>(static_cast<const char *>(data)), length, false));
  stateLengths[state] = program().states[state]->grow_axis < 0 ? 0 : length;
  stateBroken[state] = false;
  return Status::ok();
}

} // namespace ciuic

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// States in and out of ciuic-run: folders with one .npy a state, and a past of zeros by --dim.
#include "tools/ciuic-run/Runner.h"

#include "runtime/io/Npy.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>

namespace ciuic::run {

std::string Runner::stateFile(const std::string &folder, uint32_t state, const char *name) const {
  std::string file = formatText("%s/%04u.", folder.c_str(), state);
  for (const char *p = name; *p && p - name < 128; ++p) {
    bool plain =
        std::isalnum(static_cast<unsigned char>(*p)) || *p == '.' || *p == '_' || *p == '-';
    file += plain ? *p : '_';
  }
  return file + ".npy";
}

Status Runner::readStates() {
  states.resize(info.states);
  for (uint32_t i = 0; i < info.states; ++i) {
    auto s = sized<ciuic_state_info>();
    TRY_C(ciuic_program_get_state(program, i, &s));
    StateArray &state = states[i];
    if (!o.stateIn.empty()) {
      std::string path = stateFile(o.stateIn, i, s.name);
      auto array = readNpy(path);
      if (!array.isOk()) {
        return array.takeStatus();
      }
      NpyArray &a = array.value();
      bool good =
          a.dims.size() == s.rank && (static_cast<ciuic_dtype>(a.dtype) == s.dtype ||
                                      (s.dtype == CIUIC_BF16 && a.dtype == format::DType::U16));
      for (uint32_t axis = 0; good && axis < s.rank; ++axis) {
        bool grows = static_cast<int32_t>(axis) == s.grow_axis;
        good = grows ? a.dims[axis] <= s.capacity[axis] : a.dims[axis] == s.capacity[axis];
        state.length = grows ? a.dims[axis] : state.length;
      }
      if (!good) {
        return failure(StatusClass::State, "state.file",
                       "%s: its shape or type is not that of "
                       "state '%s'",
                       path.c_str(), s.name);
      }
      state.data = std::move(a.data);
    }
  }
  // --dim of a state's symbol: a past of that many zeros.
  for (uint32_t e = 0; o.stateIn.empty() && e < info.entries; ++e) {
    auto entryInfo = sized<ciuic_entry_info>();
    TRY_C(ciuic_entry_get_info(program, e, &entryInfo));
    for (uint32_t i = 0; i < entryInfo.symbols; ++i) {
      auto symbol = sized<ciuic_symbol_info>();
      TRY_C(ciuic_entry_get_symbol(program, e, i, &symbol));
      auto given = o.dims.find(symbol.name);
      if (symbol.state < 0 || given == o.dims.end()) {
        continue;
      }
      // Every growing state of a program follows the same length unless files say otherwise.
      for (uint32_t k = 0; k < info.states; ++k) {
        auto s = sized<ciuic_state_info>();
        TRY_C(ciuic_program_get_state(program, k, &s));
        if (s.grow_axis >= 0) {
          states[k].length = given->second;
        }
      }
    }
  }
  return Status::ok();
}

Status Runner::placeStates() {
  for (uint32_t i = 0; i < info.states; ++i) {
    StateArray &state = states[i];
    size_t bytes = 0;
    TRY_C(ciuic_session_state_bytes(session, i, state.length, &bytes));
    state.data.resize(bytes);
    TRY_C(ciuic_session_state_write(session, i, state.data.data(), bytes, state.length));
  }
  return Status::ok();
}

Status Runner::writeStates() {
  if (::mkdir(o.stateOut.c_str(), 0777) != 0 && errno != EEXIST) {
    return failure(StatusClass::Environment, "io.write", "%s: cannot make the folder: %s",
                   o.stateOut.c_str(), std::strerror(errno));
  }
  for (uint32_t i = 0; i < info.states; ++i) {
    auto s = sized<ciuic_state_info>();
    TRY_C(ciuic_program_get_state(program, i, &s));
    int64_t length = 0;
    size_t bytes = 0;
    TRY_C(ciuic_session_state_length(session, i, &length));
    TRY_C(ciuic_session_state_bytes(session, i, length, &bytes));
    std::vector<char> data(bytes);
    TRY_C(ciuic_session_state_read(session, i, data.data(), bytes));
    std::vector<int64_t> dims(s.capacity, s.capacity + s.rank);
    if (s.grow_axis >= 0) {
      dims[static_cast<size_t>(s.grow_axis)] = length;
    }
    CIUIC_TRY(writeNpy(stateFile(o.stateOut, i, s.name), static_cast<format::DType>(s.dtype), dims,
                       data.data()));
  }
  return Status::ok();
}

} // namespace ciuic::run

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Shared by the files that enforce the format's rules: how a broken rule is reported.
#pragma once

#include "runtime/base/Status.h"

#include <string>

namespace ciuic::format {

/// Names and labels: not empty, at most 4096 bytes, no NUL.
bool isName(const std::string &text);

template <class... Args>
Status broken(const char *rule, const char *format, const Args &...args) {
  std::string text;
  if constexpr (sizeof...(Args) == 0) {
    text = format;
  } else {
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
#pragma clang diagnostic ignored "-Wformat-security"
    text = formatText(format, args...);
#pragma clang diagnostic pop
  }
  return Status(StatusClass::Input, std::string("format.") + rule,
                text + " (rule " + rule + " of the program format)");
}

} // namespace ciuic::format

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Stable error codes. A code is `class.slug`; its class decides the exit status. A diagnostic
// carries its code as the first words of its message, `[input.truncated] …`, so that any tool can
// split it off with splitErrorCode() and any stage can report with emitCoded() and no shared table.
// Plain C++ but for emitCoded, which is a template. Sizes in messages and summaries are written by
// sizeText().
#pragma once
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

namespace ciuic {

/// Who has to act. The values are exit statuses.
enum class ErrorClass : uint8_t {
  Usage = 2,       ///< the command line is wrong
  Input = 3,       ///< the model is damaged, malformed or hostile
  Unsupported = 4, ///< the model is well formed and asks for what is not there
  Infeasible = 5,  ///< no schedule fits the budget
  Environment = 6, ///< a file, a disk, a device or memory failed
  Internal = 63,   ///< a defect of the compiler
};

/// `text` is "class.slug" and lives for ever: define codes as constants.
struct ErrorCode {
  std::string_view text;
};

constexpr std::string_view className(ErrorClass c) {
  switch (c) {
  case ErrorClass::Usage:
    return "usage";
  case ErrorClass::Input:
    return "input";
  case ErrorClass::Unsupported:
    return "unsupported";
  case ErrorClass::Infeasible:
    return "infeasible";
  case ErrorClass::Environment:
    return "environment";
  case ErrorClass::Internal:
    return "internal";
  }
  return "internal";
}

/// The class of a code's text; Internal if it names none.
constexpr ErrorClass classOf(std::string_view code) {
  for (ErrorClass c : {ErrorClass::Usage, ErrorClass::Input, ErrorClass::Unsupported,
                       ErrorClass::Infeasible, ErrorClass::Environment}) {
    std::string_view name = className(c);
    if (code.size() > name.size() && code.substr(0, name.size()) == name &&
        code[name.size()] == '.') {
      return c;
    }
  }
  return ErrorClass::Internal;
}

constexpr int exitStatus(std::string_view code) { return static_cast<int>(classOf(code)); }

/// Splits "[class.slug] text" into code and text; the code is empty if the message has none.
constexpr std::pair<std::string_view, std::string_view> splitErrorCode(std::string_view message) {
  size_t end = message.find("] ");
  if (message.empty() || message[0] != '[' || end == std::string_view::npos) {
    return {{}, message};
  }
  std::string_view code = message.substr(1, end - 1);
  for (char c : code) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-')) {
      return {{}, message};
    }
  }
  return {code, message.substr(end + 2)};
}

/// Bytes for people, in powers of 1024: "16.5 GiB", "5.00 GiB", "63.9 MiB", "4.0 KiB", "0 bytes".
inline std::string sizeText(int64_t bytes) {
  char text[32];
  double b = static_cast<double>(bytes);
  if (bytes >= int64_t(1) << 30) {
    double gib = b / (1 << 30);
    std::snprintf(text, sizeof text, "%.*f GiB", gib < 10 ? 2 : 1, gib);
  } else if (bytes >= 1 << 20) {
    std::snprintf(text, sizeof text, "%.1f MiB", b / (1 << 20));
  } else if (bytes >= 1 << 10) {
    std::snprintf(text, sizeof text, "%.1f KiB", b / (1 << 10));
  } else {
    std::snprintf(text, sizeof text, "%lld bytes", static_cast<long long>(bytes));
  }
  return text;
}

/// emitError with a code: `emitCoded(loc, code) << "…"`; use from files that see MLIR.
template <typename Location>
auto emitCoded(Location loc, ErrorCode code) {
  return emitError(loc) << "[" << std::string(code.text) << "] ";
}

} // namespace ciuic

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Status: storage of class, code and message.
#include "runtime/base/Status.h"

#include <cstdarg>
#include <cstdio>

namespace ciuic {

const char *className(StatusClass c) {
  switch (c) {
  case StatusClass::Ok:
    return "ok";
  case StatusClass::Usage:
    return "usage";
  case StatusClass::Input:
    return "input";
  case StatusClass::Unsupported:
    return "unsupported";
  case StatusClass::Infeasible:
    return "infeasible";
  case StatusClass::Environment:
    return "environment";
  case StatusClass::Shape:
    return "shape";
  case StatusClass::State:
    return "state";
  case StatusClass::Mismatch:
    return "mismatch";
  case StatusClass::Cancelled:
    return "cancelled";
  case StatusClass::Busy:
    return "busy";
  case StatusClass::Internal:
    return "internal";
  }
  return "internal";
}

Status::Status(StatusClass c, std::string code, std::string message)
    : info(new Info{c, std::move(code), std::move(message)}) {}

const std::string &Status::code() const {
  static const std::string none;
  return info ? info->code : none;
}

const std::string &Status::message() const {
  static const std::string none;
  return info ? info->message : none;
}

Status Status::withNearestBudget(int64_t bytes) && {
  if (info) {
    info->nearestBudget = bytes;
  }
  return std::move(*this);
}

Status Status::prefix(const std::string &context) && {
  if (info) {
    info->message = context + ": " + info->message;
  }
  return std::move(*this);
}

static std::string vformat(const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int size = std::vsnprintf(nullptr, 0, format, args);
  std::string text(size > 0 ? static_cast<size_t>(size) : 0, '\0');
  if (size > 0) {
    std::vsnprintf(text.data(), text.size() + 1, format, again);
  }
  va_end(again);
  return text;
}

Status failure(StatusClass c, const char *code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  std::string text = vformat(format, args);
  va_end(args);
  return Status(c, code, std::move(text));
}

std::string formatText(const char *format, ...) {
  va_list args;
  va_start(args, format);
  std::string text = vformat(format, args);
  va_end(args);
  return text;
}

} // namespace ciuic

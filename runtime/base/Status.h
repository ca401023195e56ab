// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result of everything in the runtime that can fail: a class, a stable code (a rule of
// docs/program-format.md, or a word) and a message that names the numbers and the way out.
// A Status is cheap when it is ok, and never throws; Expected<T> carries a value or a Status.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace ciuic {

/// The class decides the exit status of the tools (exitStatus below).
enum class StatusClass : uint8_t {
  Ok = 0,
  Usage = 2,       // an argument of the caller is wrong
  Io = 3,          // a file cannot be opened, read or written
  NoSpace = 4,     // the disk is full
  Corrupt = 5,     // a program file is damaged or breaks a rule of the format
  Version = 6,     // a program file of another format version or for another machine
  Budget = 7,      // the budget is too small
  Shape = 8,       // a shape or dtype does not fit any entry
  Device = 9,      // the device failed, or a kernel was refused
  Memory = 10,     // the host is out of memory
  Cancelled = 11,
  Busy = 12,       // a session runs one pass at a time
  State = 13,      // a state has another length than the run needs, or is full
  Mismatch = 14,   // ciuic-run --expect: the values differ
  Internal = 20,   // a defect of the runtime
};

const char *className(StatusClass c);
/// Exit status of a tool that ends with this class; 1 to 63.
inline int exitStatus(StatusClass c) { return static_cast<int>(c); }

class [[nodiscard]] Status {
public:
  Status() = default;
  static Status ok() { return {}; }
  Status(StatusClass c, std::string code, std::string message);

  bool isOk() const { return !info; }
  explicit operator bool() const = delete;
  StatusClass cls() const { return info ? info->cls : StatusClass::Ok; }
  const std::string &code() const;
  const std::string &message() const;
  /// The least budget that would do, when the class is Budget; 0 otherwise.
  int64_t nearestBudget() const { return info ? info->nearestBudget : 0; }
  Status withNearestBudget(int64_t bytes) &&;
  /// Puts "context: " before the message.
  Status prefix(const std::string &context) &&;

private:
  struct Info {
    StatusClass cls;
    std::string code, message;
    int64_t nearestBudget = 0;
  };
  std::unique_ptr<Info> info;
};

/// printf-like construction of a failed status.
__attribute__((format(printf, 3, 4))) Status failure(StatusClass c, const char *code,
                                                     const char *format, ...);
__attribute__((format(printf, 1, 2))) std::string formatText(const char *format, ...);

template <class T> class [[nodiscard]] Expected {
public:
  Expected(T value) : content(std::move(value)) {}
  Expected(Status status) : content(std::move(status)) {}
  bool isOk() const { return content.index() == 0; }
  T &value() { return std::get<0>(content); }
  const T &value() const { return std::get<0>(content); }
  Status takeStatus() { return isOk() ? Status() : std::move(std::get<1>(content)); }

private:
  std::variant<T, Status> content;
};

#define CIUIC_TRY(expr)                                                                            \
  do {                                                                                             \
    if (::ciuic::Status ciuicTry = (expr); !ciuicTry.isOk())                                       \
      return ciuicTry;                                                                             \
  } while (false)

} // namespace ciuic

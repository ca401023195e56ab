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

/// Who has to act; the values are exit statuses. The first five and the last are those of the
/// compiler, in meaning, name and number.
enum class StatusClass : uint8_t {
  Ok = 0,
  Usage = 2,       // an argument of the caller is wrong
  Input = 3,       // a program file is damaged or breaks a rule of the format
  Unsupported = 4, // a program file of another format version, or for another machine
  Infeasible = 5,  // the budget is too small
  Environment = 6, // a file, a disk, memory or the device failed
  Shape = 7,       // a shape or dtype fits no entry
  State = 8,       // a state has another length than the run needs, or is full
  Mismatch = 9,    // ciuic-run --expect: the values differ
  Cancelled = 10,
  Busy = 11,     // a session runs one pass at a time
  Internal = 63, // a defect of the runtime
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
  /// The least budget that would do, where the class is Infeasible; 0 elsewhere.
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

template <class T>
class [[nodiscard]] Expected {
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

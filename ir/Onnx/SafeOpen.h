// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Opens a model file and the files it names beside it. A model may come from a stranger, so a
// location in it must not reach a file that the user did not hand over with the model.
//
// The rule: a location is relative, has no "..", and resolves without symbolic links beneath the
// directory of the model *as the user typed it*. Where symbolic links are met (the Hugging Face
// cache keeps models as links into a blob store) the real file must lie beneath that directory, or
// beneath the directory of the *real* model file. The file is regular and has one name (a second
// hard link may be another user's secret), unless the caller allows several.
#pragma once
#include "ir/Diagnostics.h"
#include <string>
#include <string_view>

namespace ciuic::onnx {

inline constexpr ErrorCode kErrorOpenModel{"environment.model-open"};
inline constexpr ErrorCode kErrorModelNotAFile{"input.model-not-a-file"};
inline constexpr ErrorCode kErrorOpenExternal{"environment.external-data-open"};
inline constexpr ErrorCode kErrorExternalPath{"input.external-data-path"};

/// An open file, owned; movable.
class OwnedFd {
public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd(fd) {}
  OwnedFd(OwnedFd &&other) noexcept : fd(std::exchange(other.fd, -1)) {}
  OwnedFd &operator=(OwnedFd &&other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~OwnedFd();
  int get() const { return fd; }
  explicit operator bool() const { return fd >= 0; }

private:
  int fd = -1;
};

/// The directory of a model, as typed and in truth.
struct ModelDirectory {
  OwnedFd asTyped;
  std::string realOfModel; ///< directory of the model's canonical path
  std::string modelName;   ///< last component of the typed path
};

/// "[code] text", as diagnostics carry it.
std::string codedMessage(ErrorCode code, std::string_view text);

/// Opens the model at `path` (symbolic links are followed: the user chose it) and its directory. On
/// failure the result is empty and `error` has a coded message.
OwnedFd openModel(const std::string &path, ModelDirectory &directory, std::string &error);

/// Opens the file that the model calls `location`.
OwnedFd openBeside(const ModelDirectory &directory, std::string_view location, bool allowHardLinks,
                   std::string &error);

} // namespace ciuic::onnx

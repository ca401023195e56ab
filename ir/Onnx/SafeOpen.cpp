// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// openat2 where the kernel has it; else the same walk with one openat(O_NOFOLLOW) for each
// component.
#include "ir/Onnx/SafeOpen.h"
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/openat2.h>
#include <memory>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace ciuic;
using namespace ciuic::onnx;

// A device or a FIFO must neither block the open nor become our terminal.
static constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
static constexpr size_t kLongestLocation = 4096;

OwnedFd::~OwnedFd() {
  if (fd >= 0) {
    ::close(fd);
  }
}

std::string ciuic::onnx::codedMessage(ErrorCode code, std::string_view text) {
  return "[" + std::string(code.text) + "] " + std::string(text);
}

/// Makes a string from a file fit for a message: printable, and not longer than a line or two.
static std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text.substr(0, 200)) {
    out += (c >= 0x20 && c != 0x7f) || (c & 0x80) ? c : '?';
  }
  return out + (text.size() > 200 ? "…'" : "'");
}

static std::string canonicalPath(const std::string &path) {
  std::unique_ptr<char, decltype(&::free)> resolved(::realpath(path.c_str(), nullptr), &::free);
  return resolved ? resolved.get() : "";
}

static std::string procPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

/// One openat for each component, links refused. `location` has no "..", and is not absolute.
static int openByComponents(int directory, const std::string &location) {
  OwnedFd current;
  int at = directory;
  for (size_t begin = 0;;) {
    size_t end = location.find('/', begin);
    bool last = end == std::string::npos;
    std::string component = location.substr(begin, last ? end : end - begin);
    int flags = last ? kOpenFlags | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
    int fd = ::openat(at, component.empty() ? "." : component.c_str(), flags);
    if (fd < 0) {
      struct stat st;
      bool link =
          ::fstatat(at, component.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
      errno = link ? ELOOP : errno;
      return -1;
    }
    if (last) {
      return fd;
    }
    current = OwnedFd(fd);
    at = fd;
    begin = end + 1;
  }
}

/// Opens `location` beneath `directory` without following any link; -1 and errno (ELOOP: a link was
/// met).
static int openWithoutLinks(int directory, const std::string &location) {
  open_how how = {};
  how.flags = kOpenFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  int fd = static_cast<int>(::syscall(SYS_openat2, directory, location.c_str(), &how, sizeof(how)));
  // ENOSYS: a kernel before 5.6; EPERM: a container whose seccomp profile does not know the call.
  return fd < 0 && (errno == ENOSYS || errno == EPERM) ? openByComponents(directory, location) : fd;
}

static bool isPlainLocation(std::string_view location) {
  if (location.empty() || location.size() > kLongestLocation || location.front() == '/' ||
      location.find('\0') != std::string_view::npos ||
      location.find('\\') != std::string_view::npos) {
    return false;
  }
  for (size_t begin = 0; begin <= location.size();) {
    size_t end = std::min(location.find('/', begin), location.size());
    if (location.substr(begin, end - begin) == "..") {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

OwnedFd ciuic::onnx::openModel(const std::string &path, ModelDirectory &directory,
                               std::string &error) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    error = codedMessage(kErrorOpenModel, "the path of the model is empty or has a NUL in it");
    return {};
  }
  size_t slash = path.rfind('/');
  std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  directory.modelName = slash == std::string::npos ? path : path.substr(slash + 1);
  directory.asTyped = OwnedFd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  OwnedFd fd(directory.asTyped
                 ? ::openat(directory.asTyped.get(), directory.modelName.c_str(), kOpenFlags)
                 : -1);
  if (!fd) {
    error =
        codedMessage(kErrorOpenModel, "cannot open " + quoted(path) + ": " + std::strerror(errno));
    return {};
  }
  struct stat st;
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    error = codedMessage(kErrorModelNotAFile,
                         quoted(path) + " is not a regular file; give the path of the .onnx file");
    return {};
  }
  // Through the open file, so that the directory is that of the very file that is read.
  std::string real = canonicalPath(procPath(fd.get()));
  directory.realOfModel = real.substr(0, std::max<size_t>(real.rfind('/') + 1, 1));
  return fd;
}

/// Opens `location` through links, if its real file lies beneath one of the two roots.
static int openThroughLinks(const ModelDirectory &directory, const std::string &location,
                            bool &outside) {
  std::string real = canonicalPath(procPath(directory.asTyped.get()) + "/" + location);
  if (real.empty()) {
    return -1;
  }
  std::string typedRoot = canonicalPath(procPath(directory.asTyped.get())) + "/";
  for (const std::string &root : {typedRoot, directory.realOfModel}) {
    if (root.empty() || real.compare(0, root.size(), root) != 0) {
      continue;
    }
    OwnedFd rootFd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return rootFd ? openWithoutLinks(rootFd.get(), real.substr(root.size())) : -1;
  }
  outside = true;
  return -1;
}

OwnedFd ciuic::onnx::openBeside(const ModelDirectory &directory, std::string_view location,
                                bool allowHardLinks, std::string &error) {
  if (!isPlainLocation(location)) {
    error = codedMessage(
        kErrorExternalPath,
        "external data " + quoted(location) +
            " must be a relative path beneath the model's directory, without '..' or '\\'");
    return {};
  }
  std::string path(location);
  OwnedFd fd(openWithoutLinks(directory.asTyped.get(), path));
  bool outside = false;
  if (!fd && errno == ELOOP) {
    fd = OwnedFd(openThroughLinks(directory, path, outside));
  }
  if (outside) {
    error = codedMessage(kErrorExternalPath,
                         "external data " + quoted(location) +
                             " is a symbolic link out of the model's directory; copy the file "
                             "beside the model");
    return {};
  }
  if (!fd) {
    error = codedMessage(kErrorOpenExternal, "cannot open external data " + quoted(location) +
                                                 ": " + std::strerror(errno) +
                                                 "; it belongs beside the model, under this name");
    return {};
  }
  struct stat st;
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    error = codedMessage(kErrorExternalPath,
                         "external data " + quoted(location) + " is not a regular file");
    return {};
  }
  if (st.st_nlink > 1 && !allowHardLinks) {
    error =
        codedMessage(kErrorExternalPath,
                     "external data " + quoted(location) + " has " + std::to_string(st.st_nlink) +
                         " hard links, so it may be another file in disguise; copy it");
    return {};
  }
  return fd;
}

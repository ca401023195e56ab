// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// pread in a loop: short reads and EINTR are normal, an early end is not.
#include "runtime/io/ByteSource.h"

#include "runtime/base/Checked.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ciuic {
namespace {

class FdSource final : public ByteSource {
public:
  FdSource(int descriptor, int64_t bytes, std::string name)
      : ByteSource(bytes, std::move(name)), fd(descriptor) {}
  ~FdSource() override { ::close(fd); }

  Status read(int64_t offset, void *out, int64_t count) const override {
    if (!rangeInside(offset, count, size())) {
      return failure(StatusClass::Internal, "io.range", "%s: a read outside the file",
                     name().c_str());
    }
    char *next = static_cast<char *>(out);
    while (count > 0) {
      size_t take = static_cast<size_t>(std::min<int64_t>(count, 1 << 30));
      ssize_t n = ::pread(fd, next, take, offset);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n <= 0) {
        return readFailure(*this, offset, n < 0 ? errno : 0);
      }
      next += n;
      offset += n;
      count -= n;
    }
    return Status::ok();
  }

  int descriptor() const override { return fd; }

private:
  int fd;
};

class MemorySource final : public ByteSource {
public:
  MemorySource(const void *bytes, int64_t count)
      : ByteSource(count, "memory"), data(static_cast<const char *>(bytes)) {}

  Status read(int64_t offset, void *out, int64_t count) const override {
    if (!rangeInside(offset, count, size())) {
      return failure(StatusClass::Internal, "io.range", "a read outside the program's memory");
    }
    if (count > 0) {
      std::memcpy(out, data + offset, static_cast<size_t>(count));
    }
    return Status::ok();
  }

private:
  const char *data;
};

} // namespace

Status readFailure(const ByteSource &source, int64_t offset, int error) {
  return error == 0
             ? failure(StatusClass::Environment, "io.truncated",
                       "%s: the file ended at %lld while it was read; it had %lld bytes",
                       source.name().c_str(), static_cast<long long>(offset),
                       static_cast<long long>(source.size()))
             : failure(StatusClass::Environment, "io.read", "%s: cannot read at %lld: %s",
                       source.name().c_str(), static_cast<long long>(offset), std::strerror(error));
}

Expected<std::unique_ptr<ByteSource>> ByteSource::fromFd(int fd, const std::string &name) {
  struct stat info;
  if (::fstat(fd, &info) != 0) {
    return failure(StatusClass::Environment, "io.open", "%s: %s", name.c_str(),
                   std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return failure(StatusClass::Environment, "io.not-a-file", "%s: is not a regular file",
                   name.c_str());
  }
  int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) {
    return failure(StatusClass::Environment, "io.open", "%s: %s", name.c_str(),
                   std::strerror(errno));
  }
  return std::unique_ptr<ByteSource>(new FdSource(own, info.st_size, name));
}

Expected<std::unique_ptr<ByteSource>> ByteSource::open(const std::string &path) {
  // O_NONBLOCK: a FIFO of this name must not hang the caller.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    return failure(StatusClass::Environment, "io.open", "%s: %s", path.c_str(),
                   std::strerror(errno));
  }
  auto source = fromFd(fd, path);
  ::close(fd);
  return source;
}

std::unique_ptr<ByteSource> ByteSource::fromMemory(const void *data, int64_t bytes) {
  return std::make_unique<MemorySource>(data, bytes);
}

} // namespace ciuic

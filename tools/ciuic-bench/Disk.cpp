// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/ciuic-bench/Disk.h"

#include "runtime/io/ReadAhead.h"
#include "tools/ciuic-bench/HostMachine.h"
#include "tools/ciuic-bench/Rounded.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <unistd.h>
#include <vector>

namespace ciuic::bench {
namespace {

constexpr int64_t fileBytes = int64_t{512} << 20, pieceBytes = int64_t{8} << 20;

/// A file that is removed with this.
class Scratch {
public:
  ~Scratch() {
    if (fd >= 0) {
      ::close(fd);
    }
    if (!path.empty()) {
      ::unlink(path.c_str());
    }
  }

  Status write(const std::string &folder) {
    std::string name = folder + "/ciuic-bench-XXXXXX";
    fd = ::mkstemp(name.data());
    if (fd < 0) {
      return failed(folder, "no file can be made there");
    }
    path = name;
    // Noise: some disks keep what repeats itself in less space than it takes.
    std::vector<uint64_t> noise(pieceBytes / sizeof(uint64_t));
    std::mt19937_64 random(1);
    for (int64_t at = 0; at < fileBytes; at += pieceBytes) {
      for (uint64_t &word : noise) {
        word = random();
      }
      const char *data = reinterpret_cast<const char *>(noise.data());
      for (int64_t done = 0; done < pieceBytes;) {
        const ssize_t count = ::write(fd, data + done, static_cast<size_t>(pieceBytes - done));
        if (count < 0 && errno == EINTR) {
          continue;
        }
        if (count <= 0) {
          return failed(path, "cannot write 512 MiB");
        }
        done += count;
      }
    }
    if (::fdatasync(fd) != 0) {
      return failed(path, "cannot write");
    }
    (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); // should reads go through the cache
    return Status::ok();
  }

  const std::string &name() const { return path; }

private:
  static Status failed(const std::string &where, const char *what) {
    return failure(StatusClass::Environment, "environment.disk",
                   "%s: %s: %s; --disk names another folder", where.c_str(), what,
                   std::strerror(errno));
  }

  int fd = -1;
  std::string path;
};

} // namespace

Status measureDisk(const std::string &folder, double seconds, DiskRate *out) {
  Scratch file;
  CIUIC_TRY(file.write(folder));
  auto source = ByteSource::open(file.name());
  CIUIC_TRY(source.takeStatus());
  auto reader = ReadAhead::create(*source.value(), {}, {});
  CIUIC_TRY(reader.takeStatus());
  ReadAhead::List list;
  appendRequests(list, 0, fileBytes, 0, kReadBytes, fileBytes);
  const double begin = now();
  int64_t bytes = 0;
  do {
    reader.value()->begin(list, false);
    for (size_t i = 0; i < list.size(); ++i) {
      std::span<const char> piece;
      CIUIC_TRY(reader.value()->next(&piece));
      bytes += static_cast<int64_t>(piece.size());
      reader.value()->release();
    }
  } while (now() - begin < seconds);
  out->gigabytes = rounded(static_cast<double>(bytes) / (now() - begin) * 1e-9);
  out->mode = reader.value()->mode();
  return Status::ok();
}

} // namespace ciuic::bench

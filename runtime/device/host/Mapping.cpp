// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The name comes from PR_SET_VMA_ANON_NAME; kernels built without it get a memfd of that name.
#include "runtime/device/host/Mapping.h"

#include "runtime/base/Checked.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace ciuic::device {

static constexpr int64_t kHuge = 2 << 20;

void Mapping::release() {
  if (whole) {
    ::munmap(whole, wholeBytes);
  }
  whole = base = nullptr;
  bytes = 0;
}

Mapping::~Mapping() { release(); }

Status Mapping::create(int64_t wanted, const char *name) {
  release();
  if (wanted == 0) {
    return Status::ok();
  }
  auto refuse = [&](int error) {
    return failure(StatusClass::Environment, "memory.map", "cannot map %lld bytes for %s: %s",
                   static_cast<long long>(wanted), name, std::strerror(error));
  };
  auto size = checkedAlignUp(wanted, ::sysconf(_SC_PAGESIZE));
  auto reserve = size ? checkedAdd(*size, 3 * kHuge) : std::nullopt;
  if (wanted < 0 || !reserve) {
    return refuse(EINVAL);
  }
  // Guard, up to a huge page of alignment, the mapping, guard.
  void *area = ::mmap(nullptr, static_cast<size_t>(*reserve), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) {
    return refuse(errno);
  }
  whole = area;
  wholeBytes = static_cast<size_t>(*reserve);
  uintptr_t start = (reinterpret_cast<uintptr_t>(area) + 2 * kHuge - 1) & ~(uintptr_t(kHuge) - 1);
  base = reinterpret_cast<char *>(start);
  bytes = *size;
  size_t length = static_cast<size_t>(bytes);
  void *mapped =
      ::mmap(base, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (mapped == MAP_FAILED) {
    return refuse(errno);
  }
  if (::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, base, length, name) != 0) {
    int fd = ::memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) {
      return refuse(errno);
    }
    bool good = ::ftruncate(fd, bytes) == 0 && ::mmap(base, length, PROT_READ | PROT_WRITE,
                                                      MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    int error = errno;
    ::close(fd);
    if (!good) {
      return refuse(error);
    }
  }
  (void)::madvise(base, length, MADV_HUGEPAGE); // a hint
  if (::madvise(base, length, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
    return refuse(errno);
  }
  return Status::ok();
}

} // namespace ciuic::device

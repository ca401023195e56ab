// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See HostMachine.h.
#include "tools/ciuic-bench/HostMachine.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace ciuic::bench {

constexpr int64_t hugePage = 2 << 20;

Buffer::Buffer(int64_t bytes) {
  const auto size = static_cast<size_t>((bytes / hugePage + 1) * hugePage);
  memory.reset(static_cast<char *>(std::aligned_alloc(hugePage, size)));
  if (!memory) {
    throw std::bad_alloc();
  }
  madvise(memory.get(), size, MADV_HUGEPAGE);
  std::memset(memory.get(), 0x3A, size);
}

void Buffer::Free::operator()(char *p) const { std::free(p); }

void HostMachine::launch(const LibraryLaunch &launch) {
  if (launch.scratchBytes > scratchBytes) {
    scratchBytes = launch.scratchBytes;
    scratchStride = (scratchBytes + 4095) / 4096 * 4096;
    scratch.clear();
    scratch.emplace_back(scratchStride * pool.threads());
  }
  // The pool calls kernels of programs; this one finds the library's behind `dims`.
  device::HostKernel body = [](char *const *ptrs, const int64_t *context, const int64_t *params,
                               int64_t begin, int64_t end, char *memory) {
    const auto &call = *reinterpret_cast<const LibraryLaunch *>(context);
    call.kernel(call.args.data(), nullptr, ptrs, nullptr, params, begin, end, memory);
  };
  pool.run({body, launch.ptrs.data(), reinterpret_cast<const int64_t *>(&launch),
            launch.params.data(), launch.units, scratch.empty() ? nullptr : scratch[0].data(),
            scratchStride});
}

} // namespace ciuic::bench

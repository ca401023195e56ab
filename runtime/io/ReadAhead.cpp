// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See ReadAhead.h. Whoever fills buffers, one thread with a ring or several that block, claims
// requests in order and may be ahead of the taker by as many as there are buffers.
#include "runtime/io/ReadAhead.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

#if CIUIC_URING
#include <liburing.h>
#endif

namespace ciuic {

void appendRequests(std::vector<ReadRequest> &list, int64_t offset, int64_t bytes, int64_t base,
                    int64_t unit, int64_t end) {
  for (int64_t at = offset; at < offset + bytes;) {
    int64_t first = base + (at - base) / unit * unit;
    int64_t last = std::min(first + kReadBytes, end); // whole units, or the end of the section
    int64_t wanted = std::min(offset + bytes, last);
    last = std::min(end, base + (wanted - base + unit - 1) / unit * unit);
    list.push_back({first, last - first, at - first, wanted - at});
    at = wanted;
  }
}

#if CIUIC_URING
struct ReadAhead::Uring {
  io_uring ring = {};
  bool open = false;
  ~Uring() {
    if (open) {
      io_uring_queue_exit(&ring);
    }
  }
};
#else
struct ReadAhead::Uring {};
#endif

ReadAhead::ReadAhead(const ByteSource &from, const ReadAheadOptions &given, Check by)
    : source(from), options(given), check(std::move(by)) {}

Expected<std::unique_ptr<ReadAhead>>
ReadAhead::create(const ByteSource &source, const ReadAheadOptions &options, Check check) {
  std::unique_ptr<ReadAhead> reader(new ReadAhead(source, options, std::move(check)));
  CIUIC_TRY(reader->open(options.direct, options.uring));
  return reader;
}

Status ReadAhead::open(bool direct, bool uring) {
  const int requests = std::max(1, options.requests);
  // 1. The file once more: io_uring and reads past the page cache need a descriptor of their own.
  std::string cache = direct ? "" : "through the page cache", way = "threads";
  if (source.descriptor() < 0) {
    cache = way = "";
    direct = uring = false;
  }
  if (direct) {
    std::string path = "/proc/self/fd/" + std::to_string(source.descriptor());
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
    cache =
        fd >= 0 ? "direct" : std::string("through the page cache (") + std::strerror(errno) + ")";
  }
  // 2. The ring, where the system lets us have one.
  if (uring) {
#if CIUIC_URING
    auto made = std::make_unique<Uring>();
    int error = io_uring_queue_init(static_cast<unsigned>(requests), &made->ring, 0);
    if (error == 0) {
      made->open = true;
      ring = std::move(made);
      way = "io_uring";
    } else {
      way = std::string("threads (io_uring: ") + std::strerror(-error) + ")";
    }
#else
    way = "threads (built without io_uring)";
#endif
  }
  modeText = way.empty() ? "memory" : way + ", " + cache;
  if (ring && fd < 0) {
    fd = ::fcntl(source.descriptor(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
      return failure(StatusClass::Environment, "io.open", "%s: %s", source.name().c_str(),
                     std::strerror(errno));
    }
  }
  // 3. Buffers, aligned for the device, and who fills them.
  bufferCount = 2 * requests;
  memory = static_cast<char *>(
      std::aligned_alloc(static_cast<size_t>(kReadAlignment), static_cast<size_t>(bufferBytes())));
  if (!memory) {
    return failure(StatusClass::Environment, "memory.map",
                   "cannot allocate %lld bytes to read into",
                   static_cast<long long>(bufferBytes()));
  }
  slots.resize(static_cast<size_t>(bufferCount));
  for (size_t i = 0; i < slots.size(); ++i) {
    slots[i].data = memory + static_cast<int64_t>(i) * kReadBytes;
  }
  try {
    if (ring) {
      threads.emplace_back([this] { workRing(); });
    } else {
      for (int i = 0; i < requests; ++i) {
        threads.emplace_back([this] { work(); });
      }
    }
  } catch (const std::system_error &error) {
    if (threads.empty()) {
      return failure(StatusClass::Environment, "device.threads", "cannot start a reader: %s",
                     error.what());
    }
  }
  return Status::ok();
}

ReadAhead::~ReadAhead() {
  {
    std::lock_guard lock(mutex);
    closing = true;
  }
  freed.notify_all();
  for (std::thread &t : threads) {
    t.join();
  }
  ring.reset();
  if (fd >= 0) {
    ::close(fd);
  }
  std::free(memory);
}

void ReadAhead::begin(const List &next, bool again) {
  std::unique_lock lock(mutex);
  const auto count = static_cast<int64_t>(next.size());
  bool failed = std::any_of(slots.begin(), slots.end(),
                            [](const Slot &s) { return s.ready && !s.status.isOk(); });
  if (list == &next && repeats && again && !failed && count > 0 && taken % count == 0) {
    return; // it follows itself
  }
  // What is in flight must land before its buffers mean something else.
  paused = true;
  filled.wait(lock, [this] { return inFlight == 0; });
  for (Slot &slot : slots) {
    slot.ready = false;
    slot.status = Status();
  }
  list = &next;
  repeats = again;
  issued = taken = 0;
  paused = count == 0;
  lock.unlock();
  freed.notify_all();
}

Status ReadAhead::next(std::span<const char> *out) {
  std::unique_lock lock(mutex);
  if (!list || list->empty() || (!repeats && taken >= static_cast<int64_t>(list->size()))) {
    return failure(StatusClass::Internal, "io.range", "a read beyond the list");
  }
  Slot &slot = slotOf(taken);
  filled.wait(lock, [&] { return slot.ready; });
  if (!slot.status.isOk()) {
    return Status(slot.status.cls(), slot.status.code(), slot.status.message());
  }
  const ReadRequest &request = requestOf(taken);
  *out = {slot.data + request.skip, static_cast<size_t>(request.take)};
  return Status::ok();
}

void ReadAhead::release() {
  {
    std::lock_guard lock(mutex);
    slotOf(taken).ready = false;
    ++taken;
  }
  freed.notify_all();
}

/// The next request that there is a buffer for; false: none now (or, having waited, none ever).
bool ReadAhead::claim(std::unique_lock<std::mutex> &lock, bool wait, int64_t *index) {
  auto open = [this] {
    return !paused && list && issued < taken + bufferCount &&
           (repeats || issued < static_cast<int64_t>(list->size()));
  };
  if (wait) {
    freed.wait(lock, [&] { return closing || open(); });
  }
  if (closing || !open()) {
    return false;
  }
  *index = issued++;
  ++inFlight;
  return true;
}

void ReadAhead::finish(std::unique_lock<std::mutex> &lock, int64_t index, Status status) {
  lock.lock();
  Slot &slot = slotOf(index);
  if (!status.isOk()) {
    paused = true; // nothing comes after a failure
  }
  slot.status = std::move(status);
  slot.ready = true;
  --inFlight;
  filled.notify_all();
}

Status ReadAhead::checked(int64_t, const ReadRequest &request, const char *data) {
  readBytes.fetch_add(request.bytes, std::memory_order_relaxed);
  return check ? check(request.offset, data, request.bytes) : Status::ok();
}

/// Sleeps until the bytes could have come at the rate that is asked for.
void ReadAhead::pace(int64_t bytes) {
  if (options.gbps <= 0) {
    return;
  }
  using namespace std::chrono;
  int64_t now = duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count(), until;
  {
    std::lock_guard lock(mutex);
    freeAtNs = std::max(freeAtNs, now - 2000000) +
               static_cast<int64_t>(static_cast<double>(bytes) / options.gbps);
    until = freeAtNs;
  }
  if (until > now) {
    std::this_thread::sleep_for(nanoseconds(until - now));
  }
}

void ReadAhead::work() {
  std::unique_lock lock(mutex);
  for (int64_t index = 0; claim(lock, true, &index);) {
    const ReadRequest request = requestOf(index);
    char *data = slotOf(index).data;
    lock.unlock();
    Status status;
    if (fd < 0) {
      status = source.read(request.offset, data, request.bytes);
    } else {
      // Past the page cache a read must ask for whole blocks, also where the file ends.
      const int64_t whole = (request.bytes + kReadAlignment - 1) / kReadAlignment * kReadAlignment;
      for (int64_t done = 0; status.isOk() && done < request.bytes;) {
        ssize_t n =
            ::pread(fd, data + done, static_cast<size_t>(whole - done), request.offset + done);
        if (n < 0 && errno == EINTR) {
          continue;
        }
        status =
            n > 0 ? Status::ok() : readFailure(source, request.offset + done, n < 0 ? errno : 0);
        done += std::max<ssize_t>(n, 0);
      }
    }
    pace(request.bytes);
    status = status.isOk() ? checked(index, request, data) : std::move(status);
    finish(lock, index, std::move(status));
  }
}

#if CIUIC_URING

void ReadAhead::resubmit(int64_t index) {
  const ReadRequest &request = requestOf(index);
  Slot &slot = slotOf(index);
  const int64_t whole = (request.bytes + kReadAlignment - 1) / kReadAlignment * kReadAlignment;
  io_uring_sqe *entry = io_uring_get_sqe(&ring->ring); // there is one: as many as buffers in flight
  io_uring_prep_read(entry, fd, slot.data + slot.done, static_cast<unsigned>(whole - slot.done),
                     static_cast<uint64_t>(request.offset + slot.done));
  io_uring_sqe_set_data64(entry, static_cast<uint64_t>(index));
}

void ReadAhead::workRing() {
  std::unique_lock lock(mutex);
  int64_t flying = 0;
  const int64_t most = std::max(1, options.requests);
  for (;;) {
    // 1. As many requests as may fly; with none in the air, sleep until there is one.
    int64_t index = 0;
    while (flying < most && claim(lock, flying == 0, &index)) {
      slotOf(index).done = 0;
      resubmit(index);
      ++flying;
    }
    if (flying == 0) {
      return; // closing
    }
    lock.unlock();
    int submitted = io_uring_submit_and_wait(&ring->ring, 1);
    if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN && submitted != -EBUSY) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1)); // the queue keeps what it has
    }
    // 2. What has landed.
    io_uring_cqe *done = nullptr;
    while (io_uring_peek_cqe(&ring->ring, &done) == 0) {
      index = static_cast<int64_t>(io_uring_cqe_get_data64(done));
      int result = done->res;
      io_uring_cqe_seen(&ring->ring, done);
      const ReadRequest request = requestOf(index);
      Slot &slot = slotOf(index);
      slot.done += std::max(result, 0);
      if (result == -EINTR || result == -EAGAIN || (result > 0 && slot.done < request.bytes)) {
        resubmit(index);
        continue;
      }
      Status status = slot.done >= request.bytes
                          ? Status::ok()
                          : readFailure(source, request.offset + slot.done, -result);
      pace(request.bytes);
      status = status.isOk() ? checked(index, request, slot.data) : std::move(status);
      finish(lock, index, std::move(status));
      lock.unlock();
      --flying;
    }
    lock.lock();
  }
}

#else

void ReadAhead::resubmit(int64_t) {}
void ReadAhead::workRing() {}

#endif

} // namespace ciuic

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads a list of ranges in order, several requests ahead of whoever takes them, into a ring of
// buffers. Requests go through io_uring and past the page cache where the system and the file
// allow it, else through threads that pread; which of them it is, and why, is said by mode(). A
// buffer is checked before it is handed out. What goes wrong with a request is told to whoever
// would have taken it, and nothing comes after it.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/io/ByteSource.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace ciuic {

/// One read. Offset and bytes are multiples of kReadAlignment, but for the end of the file.
struct ReadRequest {
  int64_t offset = 0, bytes = 0;
  int64_t skip = 0, take = 0; // the part that is wanted
};

inline constexpr int64_t kReadAlignment = 4096;
inline constexpr int64_t kReadBytes = 1 << 20; // the most of a request

/// Requests for bytes [offset, offset + bytes) of the file, cut at multiples of `unit` (itself one
/// of kReadAlignment) counted from `base`, so that a check sees whole units.
void appendRequests(std::vector<ReadRequest> &list, int64_t offset, int64_t bytes, int64_t base,
                    int64_t unit, int64_t end);

struct ReadAheadOptions {
  int requests = 8;   // in flight
  bool direct = true; // past the page cache
  bool uring = true;  // by io_uring
  double gbps = 0;    // 10^9 bytes/s at most; 0: no limit
};

/// Thread-compatible: one thread begins lists, one takes. `source` must outlive it.
class ReadAhead {
public:
  using Check = std::function<Status(int64_t offset, const char *data, int64_t bytes)>;
  using List = std::vector<ReadRequest>;

  static Expected<std::unique_ptr<ReadAhead>> create(const ByteSource &source,
                                                     const ReadAheadOptions &options, Check check);
  ~ReadAhead();
  ReadAhead(const ReadAhead &) = delete;
  ReadAhead &operator=(const ReadAhead &) = delete;

  /// Makes the list's first range the next to be taken. With `again` the list follows itself for
  /// ever; a list that was begun that way and is taken to its end goes on, and what was read ahead
  /// of its beginning is not read twice. `list` must live until another one
  /// begins or the reader ends.
  void begin(const List &list, bool again);
  /// Waits for the next range and lends it until release().
  Status next(std::span<const char> *out);
  void release();

  const std::string &mode() const { return modeText; }
  /// Bytes of all requests that were completed.
  int64_t bytesRead() const { return readBytes.load(std::memory_order_relaxed); }
  int64_t bufferBytes() const { return bufferCount * kReadBytes; }

private:
  struct Uring;
  struct Slot {
    char *data = nullptr;
    bool ready = false;
    int64_t done = 0; // of a request in flight, by io_uring
    Status status;
  };
  ReadAhead(const ByteSource &source, const ReadAheadOptions &options, Check check);
  Status open(bool direct, bool uring);
  bool claim(std::unique_lock<std::mutex> &lock, bool wait, int64_t *index);
  void finish(std::unique_lock<std::mutex> &lock, int64_t index, Status status);
  Status checked(int64_t index, const ReadRequest &request, const char *data);
  void pace(int64_t bytes);
  void work();
  void workRing();
  void resubmit(int64_t index);
  const ReadRequest &requestOf(int64_t index) const {
    return (*list)[static_cast<size_t>(index % static_cast<int64_t>(list->size()))];
  }
  Slot &slotOf(int64_t index) { return slots[static_cast<size_t>(index % bufferCount)]; }

  const ByteSource &source;
  const ReadAheadOptions options;
  const Check check;
  int64_t bufferCount = 0;
  std::string modeText;
  int fd = -1; // of io_uring, and of direct reads
  std::unique_ptr<Uring> ring;
  char *memory = nullptr;
  std::vector<Slot> slots;
  std::vector<std::thread> threads;
  std::atomic<int64_t> readBytes{0};

  std::mutex mutex;
  std::condition_variable freed, filled;
  const List *list = nullptr;
  bool repeats = false, closing = false, paused = true;
  int64_t issued = 0, taken = 0, inFlight = 0; // requests since the list was begun
  int64_t freeAtNs = 0;
};

} // namespace ciuic

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See MergedWeight.h.
#include "ir/Graph/MergedWeight.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace ciuic::graph {

MergedWeight::Run MergedWeight::runAt(int64_t column) const {
  if (interleaved) {
    const int64_t chunk = column / kInterleave, within = column % kInterleave;
    return {chunk % count(), chunk / count() * kInterleave + within, kInterleave - within};
  }
  int64_t part = 0;
  for (; part + 1 < count() && column >= columnsOf(part); ++part) {
    column -= columnsOf(part);
  }
  return {part, column, columnsOf(part) - column};
}

namespace {

class Reader {
public:
  Reader(const MergedWeight &weight, ReadPart read)
      : w(weight), count(weight.count()), read(read) {}

  bool run(int64_t offset, llvm::MutableArrayRef<char> out) {
    const int64_t line = (w.byRows ? w.columns : w.depth) * w.elementSize;
    if (line <= 0 || offset < 0 ||
        static_cast<int64_t>(out.size()) > w.columns * w.depth * w.elementSize - offset) {
      return false;
    }
    while (!out.empty()) {
      const int64_t number = offset / line, within = offset % line;
      int64_t bytes = std::min<int64_t>(out.size(), line - within);
      bool good;
      if (w.byRows) {
        good = rowPiece(number, within, out.take_front(bytes));
      } else {
        const MergedWeight::Run run = w.runAt(number);
        bytes = std::min<int64_t>(out.size(), run.count * line - within);
        good = readPart(run.part, run.column * line + within, out.take_front(bytes));
      }
      if (!good) {
        return false;
      }
      offset += bytes;
      out = out.drop_front(bytes);
    }
    return true;
  }

private:
  bool readPart(int64_t part, int64_t offset, llvm::MutableArrayRef<char> out) {
    return static_cast<int64_t>(out.size()) <= w.parts[part * 3 + 2] - offset &&
           read(part, offset, out);
  }

  /// Bytes [begin, begin + out.size()) of a row of [depth, columns].
  bool rowPiece(int64_t row, int64_t begin, llvm::MutableArrayRef<char> out) {
    const int64_t end = begin + static_cast<int64_t>(out.size());
    if (!w.interleaved) {
      for (int64_t part = 0, first = 0; part < count; ++part) {
        const int64_t own = w.columnsOf(part) * w.elementSize;
        const int64_t from = std::max(begin, first), to = std::min(end, first + own);
        if (from < to &&
            !readPart(part, row * own + from - first, out.slice(from - begin, to - from))) {
          return false;
        }
        first += own;
      }
      return true;
    }
    // One read a part over the chunks that the piece touches, then chunk by chunk to its place.
    const int64_t chunk = kInterleave * w.elementSize, round = chunk * count;
    const int64_t firstRound = begin / round, rounds = (end + round - 1) / round - firstRound;
    std::vector<char> buffer(rounds * chunk);
    for (int64_t part = 0; part < count; ++part) {
      const int64_t own = w.columnsOf(part) * w.elementSize;
      if (!readPart(part, row * own + firstRound * chunk, buffer)) {
        return false;
      }
      for (int64_t r = 0; r < rounds; ++r) {
        const int64_t first = (firstRound + r) * round + part * chunk;
        const int64_t from = std::max(begin, first), to = std::min(end, first + chunk);
        if (from < to) {
          std::memcpy(out.data() + (from - begin), buffer.data() + r * chunk + (from - first),
                      to - from);
        }
      }
    }
    return true;
  }

  const MergedWeight &w;
  const int64_t count;
  ReadPart read;
};

} // namespace

bool readMerged(const MergedWeight &weight, int64_t offset, llvm::MutableArrayRef<char> out,
                ReadPart read) {
  return Reader(weight, read).run(offset, out);
}

} // namespace ciuic::graph

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// pread with a check of the file's size and time at every call, and the decoder of varint tensors.
#include "ir/Onnx/WeightFiles.h"
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

using namespace ciuic;
using namespace ciuic::onnx;

/// Enough that a system call costs nothing beside the decoding.
static constexpr int64_t kDecodeChunk = 64 * 1024;
/// The longest varint of 64 bits.
static constexpr int64_t kLongestVarint = 10;

std::unique_ptr<WeightFiles> WeightFiles::open(const std::string &path, std::string &error) {
  auto files = std::make_unique<WeightFiles>();
  OwnedFd fd = openModel(path, files->directory, error);
  std::string name = files->directory.modelName;
  return fd && files->adopt(std::move(fd), name, error) ? std::move(files) : nullptr;
}

std::unique_ptr<WeightFiles> WeightFiles::open(const std::string &path, GraphOp graph,
                                               std::string &error) {
  std::unique_ptr<WeightFiles> files = open(path, error);
  if (!files) {
    return nullptr;
  }
  llvm::ArrayRef<mlir::Attribute> named = graph.getFiles().getValue();
  for (mlir::Attribute name : named.drop_front()) {
    llvm::StringRef location = llvm::cast<mlir::StringAttr>(name).getValue();
    auto next = static_cast<int64_t>(files->files.size());
    int64_t file = files->add(location, /*allowHardLinks=*/false, error);
    if (file >= 0 && file != next) {
      error = codedMessage(kErrorReadFailed,
                           "'" + location.str() + "' is named twice among the graph's files");
    }
    if (file != next) {
      return nullptr;
    }
  }
  return files;
}

bool WeightFiles::adopt(OwnedFd fd, std::string name, std::string &error) {
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) {
    error =
        codedMessage(kErrorReadFailed, "cannot examine '" + name + "': " + std::strerror(errno));
    return false;
  }
  files.push_back(
      {std::move(fd), static_cast<int64_t>(st.st_size), st.st_mtim.tv_sec, st.st_mtim.tv_nsec});
  fileNames.push_back(std::move(name));
  return true;
}

int64_t WeightFiles::add(llvm::StringRef location, bool allowHardLinks, std::string &error) {
  // File 0 may be named again: a model whose external data lie in itself is odd, not wrong.
  auto known = std::find(fileNames.begin(), fileNames.end(), location);
  if (known != fileNames.end()) {
    return known - fileNames.begin();
  }
  OwnedFd fd = openBeside(directory, location, allowHardLinks, error);
  if (!fd || !adopt(std::move(fd), location.str(), error)) {
    return -1;
  }
  return static_cast<int64_t>(files.size()) - 1;
}

bool WeightFiles::readFile(int64_t file, int64_t offset, llvm::MutableArrayRef<char> out,
                           std::string &error) const {
  if (file < 0 || file >= static_cast<int64_t>(files.size())) {
    error = codedMessage(kErrorReadFailed, "weight of an unknown file " + std::to_string(file));
    return false;
  }
  const File &source = files[file];
  struct stat st;
  if (::fstat(source.fd.get(), &st) != 0 || st.st_size != source.size ||
      st.st_mtim.tv_sec != source.modifiedSeconds ||
      st.st_mtim.tv_nsec != source.modifiedNanoseconds) {
    error =
        codedMessage(kErrorFileChanged,
                     "'" + fileNames[file] +
                         "' changed while it was being read; compile again when it is complete");
    return false;
  }
  if (offset < 0 || offset > source.size ||
      static_cast<int64_t>(out.size()) > source.size - offset) {
    error = codedMessage(kErrorReadFailed, "'" + fileNames[file] + "' has " +
                                               std::to_string(source.size) + " bytes, " +
                                               std::to_string(out.size()) + " were asked for at " +
                                               std::to_string(offset));
    return false;
  }
  for (size_t done = 0; done < out.size();) {
    ssize_t got = ::pread(source.fd.get(), out.data() + done, out.size() - done,
                          offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      error = codedMessage(kErrorReadFailed,
                           "cannot read '" + fileNames[file] + "': " + std::strerror(errno));
      return false;
    }
    if (got == 0) {
      error = codedMessage(kErrorFileChanged,
                           "'" + fileNames[file] + "' became shorter while it was being read");
      return false;
    }
    done += static_cast<size_t>(got);
  }
  return true;
}

bool WeightFiles::read(WeightAttr weight, int64_t begin, llvm::MutableArrayRef<char> out,
                       std::string &error) const {
  std::optional<int64_t> size = tensorBytes(weight.getType());
  if (!size || begin < 0 || begin > *size || static_cast<int64_t>(out.size()) > *size - begin) {
    error = codedMessage(kErrorReadFailed, "read beyond the end of a weight");
    return false;
  }
  if (out.empty()) {
    return true;
  }
  return weight.getEncoding() == Encoding::Raw
             ? readFile(weight.getFile(), weight.getOffset() + begin, out, error)
             : readVarints(weight, begin, out, error);
}

/// Bytes that one varint stands for: those of its element, or one byte of packed elements.
static int64_t varintWidth(WeightAttr weight) {
  unsigned bits =
      elementBits(llvm::cast<mlir::RankedTensorType>(weight.getType()).getElementType());
  return std::max<int64_t>(bits / 8, 1);
}

namespace {
/// Decodes varints of a range of a file, one after the other.
class VarintReader {
public:
  VarintReader(const WeightFiles &files, WeightAttr weight, int64_t position)
      : files(files), file(weight.getFile()), position(position),
        end(weight.getOffset() + weight.getBytes()) {}

  bool atEnd() const { return position == end; }
  int64_t where() const { return position; }

  bool next(uint64_t &value, std::string &error) {
    value = 0;
    for (int64_t i = 0; i < kLongestVarint && position < end; ++i) {
      if (position < begin || position >= begin + static_cast<int64_t>(buffer.size())) {
        begin = position;
        buffer.resize(std::min(kDecodeChunk, end - begin));
        if (!files.readFile(file, begin, {buffer.data(), buffer.size()}, error)) {
          return false;
        }
      }
      auto byte = static_cast<uint8_t>(buffer[position++ - begin]);
      // Of the tenth byte one bit is left.
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (!(byte & 0x80)) {
        return true;
      }
    }
    error = codedMessage(kErrorBadVarints, "integer data of a tensor are damaged at byte " +
                                               std::to_string(position) + " of '" +
                                               files.names()[file] + "'");
    return false;
  }

private:
  const WeightFiles &files;
  int64_t file, position, end;
  int64_t begin = 0;
  std::vector<char> buffer;
};
} // namespace

bool WeightFiles::readVarints(WeightAttr weight, int64_t begin, llvm::MutableArrayRef<char> out,
                              std::string &error) const {
  int64_t width = varintWidth(weight);
  if (begin % width != 0) {
    error = codedMessage(kErrorReadFailed, "read of a varint weight that begins inside an element");
    return false;
  }
  int64_t first = begin / width;
  std::lock_guard<std::mutex> lock(cursorMutex);
  if (cursor.file != weight.getFile() || cursor.offset != weight.getOffset() ||
      cursor.element > first) {
    cursor = {weight.getFile(), weight.getOffset(), 0, weight.getOffset()};
  }
  VarintReader reader(*this, weight, cursor.position);
  uint64_t value = 0;
  for (; cursor.element < first; ++cursor.element) {
    if (!reader.next(value, error)) {
      cursor = {};
      return false;
    }
  }
  for (size_t done = 0; done < out.size(); ++cursor.element) {
    // The last element of the range may be wanted in part; then the cursor must not pass it.
    size_t part = std::min<size_t>(width, out.size() - done);
    cursor.position = reader.where();
    if (!reader.next(value, error)) {
      cursor = {};
      return false;
    }
    std::memcpy(out.data() + done, &value, part);
    done += part;
    if (part < static_cast<size_t>(width)) {
      return true;
    }
    cursor.position = reader.where();
  }
  return true;
}

bool WeightFiles::checkVarints(WeightAttr weight, std::string &error) const {
  int64_t width = varintWidth(weight), wanted = *tensorBytes(weight.getType()) / width, count = 0;
  VarintReader reader(*this, weight, weight.getOffset());
  for (uint64_t value = 0; !reader.atEnd(); ++count) {
    if (!reader.next(value, error)) {
      return false;
    }
    // A narrow element is written as it is or sign-extended; anything else would lose bits.
    int64_t asSigned = static_cast<int64_t>(value);
    if (width < 8 &&
        (asSigned < -(int64_t{1} << (8 * width - 1)) || asSigned >= int64_t{1} << (8 * width))) {
      error = codedMessage(kErrorBadVarints,
                           "element " + std::to_string(count) + " of an integer tensor is " +
                               std::to_string(asSigned) + ", which does not fit its element type");
      return false;
    }
  }
  if (count != wanted) {
    error = codedMessage(kErrorBadVarints, "tensor has data for " + std::to_string(count) +
                                               " elements, its shape asks for " +
                                               std::to_string(wanted));
    return false;
  }
  return true;
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads the bytes behind weight handles. Bytes come by pread, never through a mapping: a file that
// shrinks or changes while we work is an error with a name, not a SIGBUS. Nothing is cached, so
// memory does not grow with the model.
#pragma once
#include "ir/Diagnostics.h"
#include "ir/Onnx/Onnx.h"
#include "ir/Onnx/SafeOpen.h"
#include "llvm/ADT/ArrayRef.h"
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ciuic::onnx {

inline constexpr ErrorCode kErrorFileChanged{"environment.file-changed"};
inline constexpr ErrorCode kErrorReadFailed{"environment.read-failed"};
inline constexpr ErrorCode kErrorBadVarints{"input.tensor-data"};

/// The files a model's weights lie in; file 0 is the model. Reading is thread-safe, adding is not.
class WeightFiles {
public:
  /// Opens the model at `path`; null and a coded message if that fails.
  static std::unique_ptr<WeightFiles> open(const std::string &path, std::string &error);

  /// Opens the model at `path` and all the files that `graph` names, in the graph's order: for IR
  /// read from text.
  static std::unique_ptr<WeightFiles> open(const std::string &path, GraphOp graph,
                                           std::string &error);

  /// The index of the file that the model calls `location`, opened by the rules of SafeOpen.h if it
  /// is new; -1 and a coded message if that fails.
  int64_t add(llvm::StringRef location, bool allowHardLinks, std::string &error);

  const std::vector<std::string> &names() const { return fileNames; }
  int64_t fileSize(int64_t file) const { return files[file].size; }
  int descriptor(int64_t file) const { return files[file].fd.get(); }

  /// Reads `out.size()` bytes of a file from `offset`. False and a coded message if the file ends
  /// before or has changed since it was opened.
  bool readFile(int64_t file, int64_t offset, llvm::MutableArrayRef<char> out,
                std::string &error) const;

  /// Reads the tensor's bytes [begin, begin + out.size()), little-endian and packed as ONNX packs
  /// them, whatever the encoding in the file. Of a varint tensor a read is cheap if it goes on
  /// where the last one ended, and begins at a whole element.
  bool read(WeightAttr weight, int64_t begin, llvm::MutableArrayRef<char> out,
            std::string &error) const;

  /// Checks that a varint tensor has as many varints as its type says and that all fit its element
  /// type. Importers call it once, so that a read can fail only if the file does.
  bool checkVarints(WeightAttr weight, std::string &error) const;

private:
  struct File {
    OwnedFd fd;
    int64_t size = 0;
    int64_t modifiedSeconds = 0, modifiedNanoseconds = 0;
  };
  /// Where the last read of a varint tensor ended.
  struct Cursor {
    int64_t file = -1, offset = -1;
    int64_t element = 0, position = 0;
  };
  bool adopt(OwnedFd fd, std::string name, std::string &error);
  bool readVarints(WeightAttr weight, int64_t begin, llvm::MutableArrayRef<char> out,
                   std::string &error) const;

  ModelDirectory directory;
  std::vector<File> files;
  std::vector<std::string> fileNames;
  mutable std::mutex cursorMutex;
  mutable Cursor cursor;
};

} // namespace ciuic::onnx

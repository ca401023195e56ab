// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// In-process lld: see Linker.h. lld reads and writes files, so the objects go through a private
// temporary folder.
#include "codegen/Linker.h"

#include "lld/Common/Driver.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

namespace ciuic::codegen {

static bool writeFile(llvm::StringRef path, llvm::StringRef bytes, std::string &error) {
  std::error_code code;
  llvm::raw_fd_ostream out(path, code);
  if (!code) {
    out << bytes;
    out.flush();
    code = out.error();
    out.clear_error();
  }
  if (code) {
    error = ("cannot write " + path + ": " + code.message()).str();
  }
  return !code;
}

mlir::FailureOr<std::vector<char>> linkShared(llvm::ArrayRef<llvm::StringRef> objects,
                                              llvm::ArrayRef<std::string> exports,
                                              std::string &error) {
  llvm::SmallString<128> folder;
  if (std::error_code code = llvm::sys::fs::createUniqueDirectory("ciuic-link", folder)) {
    error = "cannot make a temporary folder for linking: " + code.message();
    return mlir::failure();
  }
  auto cleanup = llvm::make_scope_exit([&] { llvm::sys::fs::remove_directories(folder); });
  auto pathOf = [&](const llvm::Twine &name) {
    llvm::SmallString<128> path(folder);
    llvm::sys::path::append(path, name);
    return std::string(path);
  };
  // A response file: a program may have hundreds of kernels.
  std::string list, versions = "{\n  global:\n";
  for (auto [i, object] : llvm::enumerate(objects)) {
    std::string path = pathOf("k" + llvm::Twine(i) + ".o");
    if (!writeFile(path, object, error)) {
      return mlir::failure();
    }
    list += path + "\n";
  }
  for (const std::string &name : exports) {
    versions += "    " + name + ";\n";
  }
  versions += "  local: *;\n};\n";
  std::string listPath = pathOf("objects"), versionPath = pathOf("exports"),
              output = pathOf("kernels.so");
  if (!writeFile(listPath, list, error) || !writeFile(versionPath, versions, error)) {
    return mlir::failure();
  }
  std::string response = "@" + listPath, script = "--version-script=" + versionPath;
  std::vector<const char *> arguments{"ld.lld",
                                      "-shared",
                                      "-o",
                                      output.c_str(),
                                      response.c_str(),
                                      script.c_str(),
                                      "--gc-sections",
                                      "-s",
                                      "--no-undefined",
                                      "-z",
                                      "noexecstack",
                                      "-z",
                                      "now",
                                      "--build-id=none",
                                      "--threads=1",
                                      "-soname=ciuic-kernels"};
  std::string out, err;
  llvm::raw_string_ostream outStream(out), errStream(err);
  lld::Result result = lld::lldMain(arguments, outStream, errStream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0) {
    error = "linking the kernels failed: " + err;
    return mlir::failure();
  }
  auto file =
      llvm::MemoryBuffer::getFile(output, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!file) {
    error = "cannot read the linked kernels: " + file.getError().message();
    return mlir::failure();
  }
  llvm::StringRef bytes = (*file)->getBuffer();
  return std::vector<char>(bytes.begin(), bytes.end());
}

} // namespace ciuic::codegen

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finding and running ptxas: see Ptxas.h and CudaBackend.h.
#include "codegen/Ptxas.h"
#include "codegen/CudaBackend.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace ciuic::codegen {
namespace {

/// Names in a folder that start with `prefix`, last first: newer versions before older ones.
std::vector<std::string> entriesOf(const std::string &folder, llvm::StringRef prefix) {
  std::vector<std::string> found;
  std::error_code error;
  for (llvm::sys::fs::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (llvm::sys::path::filename(it->path()).starts_with(prefix)) {
      found.push_back(it->path());
    }
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::string whatWasSaid(const std::string &path) {
  auto text = llvm::MemoryBuffer::getFile(path);
  std::string said = text ? (*text)->getBuffer().take_front(2000).rtrim().str() : "";
  return said.empty() ? "it failed and said nothing" : said;
}

void assembleOne(const std::string &ptxas, unsigned threads, AssembleJob &job) {
  llvm::SmallString<128> input, output, said;
  if (llvm::sys::fs::createTemporaryFile("ciuic", "ptx", input) ||
      llvm::sys::fs::createTemporaryFile("ciuic", "cubin", output) ||
      llvm::sys::fs::createTemporaryFile("ciuic", "txt", said)) {
    job.error = "no temporary file can be made; free some space or set TMPDIR";
    return;
  }
  auto cleanUp = llvm::make_scope_exit([&] {
    llvm::sys::fs::remove(input);
    llvm::sys::fs::remove(output);
    llvm::sys::fs::remove(said);
  });
  std::error_code error;
  {
    llvm::raw_fd_ostream stream(input, error);
    if (!error) {
      stream << *job.ptx;
      stream.flush();
      error = stream.error();
      stream.clear_error();
    }
  }
  if (error) {
    job.error = "a temporary file cannot be written: " + error.message();
    return;
  }
  std::string arch = "-arch=" + job.arch;
  std::string split = "--split-compile=" + std::to_string(std::max(1u, threads));
  llvm::SmallVector<llvm::StringRef> arguments{ptxas, arch, "-O3", input, "-o", output};
  // Kernels in parallel: an option of CUDA 12 and later; several kernels are needed for it to pay.
  if (threads > 1) {
    arguments.push_back(split);
  }
  std::optional<llvm::StringRef> redirects[3] = {llvm::StringRef(""), said.str(), said.str()};
  std::string message;
  int status = llvm::sys::ExecuteAndWait(ptxas, arguments, std::nullopt, redirects, 0, 0, &message);
  if (status != 0) {
    job.error = message.empty() ? whatWasSaid(said.str().str()) : message;
    return;
  }
  auto cubin = llvm::MemoryBuffer::getFile(output, /*IsText=*/false, false);
  if (!cubin || (*cubin)->getBufferSize() == 0) {
    job.error = "it wrote nothing";
    return;
  }
  job.cubin.assign((*cubin)->getBufferStart(), (*cubin)->getBufferEnd());
}

} // namespace

void assemble(const std::string &ptxas, unsigned threads, std::vector<AssembleJob> &jobs) {
  unsigned share = std::max<size_t>(1, threads / std::max<size_t>(1, jobs.size()));
  std::vector<std::thread> pool;
  for (size_t i = 1; i < jobs.size(); ++i) {
    pool.emplace_back([&, i] { assembleOne(ptxas, share, jobs[i]); });
  }
  if (!jobs.empty()) {
    assembleOne(ptxas, share, jobs[0]);
  }
  for (std::thread &thread : pool) {
    thread.join();
  }
}

std::string findPtxas() {
  auto usable = [](const std::string &path) { return llvm::sys::fs::can_execute(path); };
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char *home = std::getenv(variable);
    if (std::string path = home ? std::string(home) + "/bin/ptxas" : ""; usable(path)) {
      return path;
    }
  }
  if (auto path = llvm::sys::findProgramByName("ptxas")) {
    return *path;
  }
  for (const std::string &folder : entriesOf("/usr/local", "cuda")) {
    if (std::string path = folder + "/bin/ptxas"; usable(path)) {
      return path;
    }
  }
  if (const char *environment = std::getenv("VIRTUAL_ENV")) {
    for (const std::string &python : entriesOf(std::string(environment) + "/lib", "python")) {
      for (const std::string &package : entriesOf(python + "/site-packages/nvidia", "cu")) {
        if (std::string path = package + "/bin/ptxas"; usable(path)) {
          return path;
        }
      }
    }
  }
  return "";
}

} // namespace ciuic::codegen

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Order in the file: header, weights, kernel blobs, page hashes, metadata. Weights stand first so
// that they can stream before anything else is known; the header is written last, so a file that
// was cut short never carries a valid one.
#include "runtime/format/ProgramWriter.h"

#include "runtime/base/Hash.h"
#include "runtime/format/Layout.h"
#include "runtime/format/Validate.h"
#include "runtime/format/program_generated.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ciuic::format {

static Status systemFailure(const std::string &path, const char *what, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    return failure(StatusClass::Environment, "io.no-space",
                   "%s: the disk is full (%s); nothing was written. Free space or choose another "
                   "place with -o",
                   path.c_str(), what);
  }
  return failure(StatusClass::Environment, "io.write", "%s: cannot %s: %s", path.c_str(), what,
                 std::strerror(error));
}

Expected<std::unique_ptr<ProgramWriter>> ProgramWriter::create(const std::string &path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return failure(StatusClass::Environment, "io.not-a-file",
                   "%s: is not a regular file; a program can only replace a file", path.c_str());
  }
  std::unique_ptr<ProgramWriter> writer(new ProgramWriter());
  writer->path = path;
  for (int attempt = 0; attempt < 64; ++attempt) {
    std::string name = path + formatText(".tmp.%ld.%d", static_cast<long>(::getpid()), attempt);
    int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      writer->fd = fd;
      writer->temporary = std::move(name);
      writer->cursor = kHeaderBytes;
      writer->page.reserve(kPageBytes);
      return writer;
    }
    if (errno != EEXIST) {
      return systemFailure(path, "make a file in its folder", errno);
    }
  }
  return systemFailure(path, "make a file in its folder", EEXIST);
}

ProgramWriter::~ProgramWriter() {
  if (fd >= 0) {
    ::close(fd);
  }
  if (!done && !temporary.empty()) {
    ::unlink(temporary.c_str());
  }
}

uint32_t ProgramWriter::addKernelBlob(std::string_view bytes, std::string_view variant) {
  blobs.push_back({std::string(variant), std::string(bytes)});
  return static_cast<uint32_t>(blobs.size() - 1);
}

Status ProgramWriter::write(const void *data, size_t bytes) {
  const char *next = static_cast<const char *>(data);
  while (bytes > 0) {
    ssize_t n = ::pwrite(fd, next, bytes, cursor);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return systemFailure(path, "write", n < 0 ? errno : EIO);
    }
    next += n;
    bytes -= static_cast<size_t>(n);
    cursor += n;
  }
  return Status::ok();
}

Status ProgramWriter::padTo(int64_t alignment) {
  // The bytes skipped read back as zeros: the file is new, and a later section ends it.
  cursor = (cursor + alignment - 1) & ~(alignment - 1);
  return Status::ok();
}

Status ProgramWriter::flushPage() {
  if (pageHashes.empty()) {
    CIUIC_TRY(padTo(kWeightAlignment));
  }
  pageHashes.push_back(hashBytes(page.data(), page.size(), pageHashes.size()));
  CIUIC_TRY(write(page.data(), page.size()));
  page.clear();
  return Status::ok();
}

Status ProgramWriter::appendWeight(const void *data, size_t bytes) {
  const char *next = static_cast<const char *>(data);
  while (bytes > 0) {
    size_t take = std::min(bytes, static_cast<size_t>(kPageBytes) - page.size());
    page.insert(page.end(), next, next + take);
    next += take;
    bytes -= take;
    weightCursor += static_cast<int64_t>(take);
    if (page.size() == static_cast<size_t>(kPageBytes)) {
      CIUIC_TRY(flushPage());
    }
  }
  return Status::ok();
}

Expected<int64_t> ProgramWriter::beginWeight() {
  static const char zeros[64] = {};
  int64_t gap = -weightCursor & 63;
  if (Status s = appendWeight(zeros, static_cast<size_t>(gap)); !s.isOk()) {
    return s;
  }
  return weightCursor;
}

Status ProgramWriter::finish(ProgramT &program) {
  if (!page.empty()) {
    CIUIC_TRY(flushPage());
  }
  FileHeader header;
  std::memset(&header, 0, sizeof header);
  uint32_t count = 0;
  auto section = [&](SectionKind kind, int64_t alignment, int64_t offset, int64_t bytes,
                     uint64_t hash) {
    header.sections[count++] = {static_cast<uint32_t>(kind), static_cast<uint32_t>(alignment),
                                offset, bytes, hash};
  };
  if (blobs.size() > kMaxSections - 3) {
    return failure(StatusClass::Usage, "writer.blobs", "%zu kernel libraries; a program holds %u",
                   blobs.size(), kMaxSections - 3);
  }
  if (!pageHashes.empty()) {
    section(SectionKind::Weights, kWeightAlignment, kWeightAlignment, weightCursor, 0);
  }
  program.blobs.clear();
  for (const PendingBlob &blob : blobs) {
    auto row = std::make_unique<BlobT>();
    row->variant = blob.variant;
    row->section = count;
    row->bytes = static_cast<int64_t>(blob.bytes.size());
    program.blobs.push_back(std::move(row));
    CIUIC_TRY(padTo(kBlobAlignment));
    section(SectionKind::Kernels, kBlobAlignment, cursor, static_cast<int64_t>(blob.bytes.size()),
            hashBytes(blob.bytes.data(), blob.bytes.size()));
    CIUIC_TRY(write(blob.bytes.data(), blob.bytes.size()));
  }
  if (!pageHashes.empty()) {
    CIUIC_TRY(padTo(kTableAlignment));
    size_t bytes = pageHashes.size() * sizeof(uint64_t);
    section(SectionKind::PageHashes, kTableAlignment, cursor, static_cast<int64_t>(bytes),
            hashBytes(pageHashes.data(), bytes));
    CIUIC_TRY(write(pageHashes.data(), bytes));
  }

  Status valid = validateProgram(
      program, {.weightSectionBytes = weightCursor, .sections = {header.sections, count}});
  if (!valid.isOk()) {
    return std::move(valid).prefix("the plan breaks a rule of the program format");
  }
  flatbuffers::FlatBufferBuilder builder(1 << 16);
  builder.Finish(Program::Pack(builder, &program), ProgramIdentifier());
  CIUIC_TRY(padTo(kTableAlignment));
  section(SectionKind::Metadata, kTableAlignment, cursor, builder.GetSize(),
          hashBytes(builder.GetBufferPointer(), builder.GetSize()));
  CIUIC_TRY(write(builder.GetBufferPointer(), builder.GetSize()));

  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.major = kMajor;
  header.minor = kMinor;
  header.endian = kEndian;
  header.sectionCount = count;
  header.fileBytes = cursor;
  header.headerHash = hashBytes(&header, sizeof header);
  cursor = 0;
  CIUIC_TRY(write(&header, sizeof header));

  if (::fsync(fd) != 0) {
    return systemFailure(path, "sync", errno);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return systemFailure(path, "move the finished file into place", errno);
  }
  done = true;
  // The name is durable once the folder is synced; not every file system allows it, and the file
  // is whole either way.
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    (void)::fsync(directory);
    ::close(directory);
  }
  return Status::ok();
}

} // namespace ciuic::format

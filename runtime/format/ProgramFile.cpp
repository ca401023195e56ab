// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loader of program files. Order of the checks: hashes before meaning, so that damage is reported
// as damage and not as the odd offset it led to.
#include "runtime/format/ProgramFile.h"

#include "runtime/base/Checked.h"
#include "runtime/base/Hash.h"
#include "runtime/format/Rules.h"
#include "runtime/format/Validate.h"
#include "runtime/format/program_generated.h"

#include <algorithm>
#include <cstring>

namespace ciuic::format {

ProgramFile::ProgramFile(std::unique_ptr<ByteSource> s) : source(std::move(s)) {}
ProgramFile::~ProgramFile() = default;

Expected<std::unique_ptr<ProgramFile>> ProgramFile::open(std::unique_ptr<ByteSource> source) {
  std::unique_ptr<ProgramFile> file(new ProgramFile(std::move(source)));
  for (Status (ProgramFile::*check)() :
       {&ProgramFile::checkHeader, &ProgramFile::checkSections, &ProgramFile::readMetadata}) {
    if (Status s = (file.get()->*check)(); !s.isOk()) {
      return std::move(s).prefix(file->name());
    }
  }
  return file;
}

Status ProgramFile::checkHeader() {
  if (source->size() < kHeaderBytes) {
    return broken("F1", "%lld bytes are too few for a program; the file may be cut short",
                  static_cast<long long>(source->size()));
  }
  CIUIC_TRY(source->read(0, &header, sizeof header));
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return broken("F2", "not a program file: it does not start with the magic bytes");
  }
  FileHeader copy = header;
  copy.headerHash = 0;
  bool whole = hashBytes(&copy, sizeof copy) == header.headerHash;
  if (header.endian == kEndian && whole && header.major != kMajor) {
    return failure(StatusClass::Unsupported, "format.F3",
                   "format version %u.%u, this runtime reads %u.x: compile the model again",
                   header.major, header.minor, kMajor);
  }
  if (!whole || header.endian != kEndian) {
    return broken("F4", "the header is damaged: its hash does not match");
  }
  if (header.fileBytes != source->size()) {
    return broken("F1", "the file has %lld bytes, its header says %lld: it was cut or appended to",
                  static_cast<long long>(source->size()), static_cast<long long>(header.fileBytes));
  }
  return Status::ok();
}

Status ProgramFile::checkZero(int64_t begin, int64_t end) {
  std::vector<char> buffer(static_cast<size_t>(std::min<int64_t>(end - begin, kPageBytes)));
  for (int64_t at = begin; at < end; at += static_cast<int64_t>(buffer.size())) {
    int64_t take = std::min<int64_t>(end - at, static_cast<int64_t>(buffer.size()));
    CIUIC_TRY(source->read(at, buffer.data(), take));
    size_t n = static_cast<size_t>(take);
    if (n > 0 && (buffer[0] != 0 || std::memcmp(buffer.data(), buffer.data() + 1, n - 1) != 0)) {
      return broken("F7", "the padding between %lld and %lld is not zero",
                    static_cast<long long>(begin), static_cast<long long>(end));
    }
  }
  return Status::ok();
}

static int64_t sectionAlignment(uint32_t kind) {
  switch (static_cast<SectionKind>(kind)) {
  case SectionKind::Weights:
    return kWeightAlignment;
  case SectionKind::Kernels:
    return kBlobAlignment;
  case SectionKind::PageHashes:
  case SectionKind::Metadata:
    return kTableAlignment;
  }
  return 0;
}

Status ProgramFile::checkSections() {
  if (header.sectionCount == 0 || header.sectionCount > kMaxSections) {
    return broken("F5", "%u sections; a program has 1 to %u", header.sectionCount, kMaxSections);
  }
  const char *unused = reinterpret_cast<const char *>(header.sections + header.sectionCount);
  const char *headerEnd = reinterpret_cast<const char *>(&header) + kHeaderBytes;
  if (std::any_of(unused, headerEnd, [](char c) { return c != 0; }) || header.reserved[0] != 0 ||
      header.reserved[1] != 0 || header.reserved[2] != 0) {
    return broken("F5", "unused bytes of the header are not zero");
  }
  sections.assign(header.sections, header.sections + header.sectionCount);
  int64_t end = kHeaderBytes;
  int counts[5] = {};
  for (const SectionEntry &s : sections) {
    int64_t alignment = sectionAlignment(s.kind);
    if (alignment == 0) {
      return broken("F5", "unknown section kind %u", s.kind);
    }
    ++counts[s.kind];
    if (s.alignment != alignment || s.offset % alignment != 0 || s.offset < end ||
        s.offset - end >= alignment || s.bytes <= 0 ||
        !rangeInside(s.offset, s.bytes, source->size())) {
      return broken("F6",
                    "a section of kind %u at %lld is unaligned, outside the file or out of "
                    "order",
                    s.kind, static_cast<long long>(s.offset));
    }
    CIUIC_TRY(checkZero(end, s.offset));
    end = s.offset + s.bytes;
  }
  if (end != source->size()) {
    return broken("F6", "bytes follow the last section");
  }
  if (counts[4] != 1 || counts[1] > 1 || counts[1] != counts[3]) {
    return broken("F5",
                  "the metadata is missing or double, or weights and page hashes do not pair");
  }
  for (const SectionEntry &s : sections) {
    switch (static_cast<SectionKind>(s.kind)) {
    case SectionKind::Weights:
      weights = s;
      if (s.hash != 0) {
        return broken("F8", "the weight section has a hash of its own");
      }
      break;
    case SectionKind::Kernels:
      blobs.emplace_back();
      CIUIC_TRY(readSection(s, blobs.back(), "kernel library"));
      break;
    case SectionKind::PageHashes: {
      std::vector<char> bytes;
      CIUIC_TRY(readSection(s, bytes, "table of page hashes"));
      if (bytes.size() % sizeof(uint64_t) != 0) {
        return broken("F9", "the table of page hashes has %zu bytes", bytes.size());
      }
      pageHashes.resize(bytes.size() / sizeof(uint64_t));
      std::memcpy(pageHashes.data(), bytes.data(), bytes.size());
      break;
    }
    case SectionKind::Metadata:
      break;
    }
  }
  int64_t pages = weights.bytes / kPageBytes + (weights.bytes % kPageBytes != 0);
  if (static_cast<int64_t>(pageHashes.size()) != pages) {
    return broken("F9", "%zu page hashes for %lld pages", pageHashes.size(),
                  static_cast<long long>(pages));
  }
  return Status::ok();
}

Status ProgramFile::readSection(const SectionEntry &section, std::vector<char> &out,
                                const char *what) {
  if (section.bytes > kMetadataLimit) {
    return broken("F6", "the %s has %lld bytes; the limit is %lld", what,
                  static_cast<long long>(section.bytes), static_cast<long long>(kMetadataLimit));
  }
  out.resize(static_cast<size_t>(section.bytes));
  CIUIC_TRY(source->read(section.offset, out.data(), section.bytes));
  if (hashBytes(out.data(), out.size()) != section.hash) {
    return broken("F8", "the %s at %lld is damaged: its hash does not match", what,
                  static_cast<long long>(section.offset));
  }
  return Status::ok();
}

Status ProgramFile::readMetadata() {
  auto section = std::find_if(sections.begin(), sections.end(), [](const SectionEntry &s) {
    return s.kind == static_cast<uint32_t>(SectionKind::Metadata);
  });
  std::vector<char> bytes;
  CIUIC_TRY(readSection(*section, bytes, "metadata"));
  // The buffer of a vector is aligned for every scalar of the schema.
  const auto *data = reinterpret_cast<const uint8_t *>(bytes.data());
  flatbuffers::uoffset_t maxTables = static_cast<flatbuffers::uoffset_t>(bytes.size() / 4 + 1);
  flatbuffers::Verifier verifier(data, bytes.size(), 16, maxTables);
  if (bytes.size() < 16 || !verifier.VerifyBuffer<Program>(ProgramIdentifier())) {
    return broken("M1", "the metadata is not a valid FlatBuffer of a program");
  }
  metadata.reset(GetProgram(data)->UnPack());
  return validateProgram(*metadata, {.weightSectionBytes = weights.bytes, .sections = sections});
}

Status ProgramFile::checkPage(int64_t page, const char *data, int64_t bytes) const {
  if (hashBytes(data, static_cast<size_t>(bytes), static_cast<uint64_t>(page)) !=
      pageHashes[static_cast<size_t>(page)]) {
    return broken("F10", "%s: weight page %lld, at byte %lld of the file, is damaged",
                  name().c_str(), static_cast<long long>(page),
                  static_cast<long long>(weights.offset + page * kPageBytes));
  }
  return Status::ok();
}

Status ProgramFile::readWeights(int64_t offset, int64_t bytes, char *out) const {
  if (!rangeInside(offset, bytes, weights.bytes)) {
    return failure(StatusClass::Internal, "io.range", "a read outside the weight section");
  }
  std::vector<char> edge;
  int64_t end = offset + bytes;
  for (int64_t at = offset; at < end;) {
    int64_t page = at / kPageBytes;
    int64_t first = page * kPageBytes;
    int64_t pageBytes = std::min(kPageBytes, weights.bytes - first);
    if (at == first && end - at >= pageBytes) {
      // A run of whole pages goes straight to its place.
      int64_t run = std::min<int64_t>(end - at, 64 * kPageBytes);
      run = at + run == weights.bytes ? run : run / kPageBytes * kPageBytes;
      CIUIC_TRY(source->read(weights.offset + at, out + (at - offset), run));
      for (int64_t done = 0; done < run; done += kPageBytes) {
        CIUIC_TRY(checkPage(page + done / kPageBytes, out + (at - offset) + done,
                            std::min(kPageBytes, run - done)));
      }
      at += run;
      continue;
    }
    edge.resize(static_cast<size_t>(pageBytes));
    CIUIC_TRY(source->read(weights.offset + first, edge.data(), pageBytes));
    CIUIC_TRY(checkPage(page, edge.data(), pageBytes));
    int64_t take = std::min(end, first + pageBytes) - at;
    std::memcpy(out + (at - offset), edge.data() + (at - first), static_cast<size_t>(take));
    at += take;
  }
  return Status::ok();
}

void ProgramFile::appendWeights(ReadAhead::List &list, int64_t offset, int64_t bytes) const {
  appendRequests(list, weights.offset + offset, bytes, weights.offset, kPageBytes,
                 weights.offset + weights.bytes);
}

Expected<std::unique_ptr<ReadAhead>> ProgramFile::readAhead(const ReadAheadOptions &options) const {
  return ReadAhead::create(*source, options,
                           [this](int64_t offset, const char *data, int64_t bytes) {
                             const int64_t first = (offset - weights.offset) / kPageBytes;
                             for (int64_t at = 0; at < bytes; at += kPageBytes) {
                               CIUIC_TRY(checkPage(first + at / kPageBytes, data + at,
                                                   std::min(kPageBytes, bytes - at)));
                             }
                             return Status::ok();
                           });
}

} // namespace ciuic::format

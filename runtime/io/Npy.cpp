// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The header of a .npy file is the text of a Python dict with three keys; this reads exactly what
// numpy writes, and says what it does not take.
#include "runtime/io/Npy.h"

#include "runtime/base/Checked.h"
#include "runtime/format/Validate.h"
#include "runtime/io/ByteSource.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ciuic {

using format::DType;

namespace {

struct TypeName {
  const char *descr;
  DType dtype;
};
constexpr TypeName kTypes[] = {
    {"<f4", DType::F32}, {"<f2", DType::F16}, {"<f8", DType::F64}, {"<i8", DType::I64},
    {"<i4", DType::I32}, {"<i2", DType::I16}, {"|i1", DType::I8},  {"<u8", DType::U64},
    {"<u4", DType::U32}, {"<u2", DType::U16}, {"|u1", DType::U8},  {"|b1", DType::Bool},
};

Status bad(const std::string &path, const char *why) {
  return failure(StatusClass::Usage, "npy.format", "%s: %s", path.c_str(), why);
}

/// The text after "'key':", blanks skipped; null when the key is not there.
const char *valueOf(const std::string &header, const char *key) {
  size_t at = header.find("'" + std::string(key) + "':");
  if (at == std::string::npos) {
    return nullptr;
  }
  const char *value = header.c_str() + at + std::strlen(key) + 3;
  while (*value == ' ') {
    ++value;
  }
  return value;
}

Status parseHeader(const std::string &path, const std::string &header, NpyArray &out) {
  const char *descr = valueOf(header, "descr"), *order = valueOf(header, "fortran_order"),
             *shape = valueOf(header, "shape");
  if (!descr || !order || !shape || *descr != '\'' || *shape != '(') {
    return bad(path, "its header is not one that numpy writes");
  }
  for (const TypeName &type : kTypes) {
    if (std::strncmp(descr + 1, type.descr, 3) == 0 && descr[4] == '\'') {
      out.dtype = type.dtype;
    }
  }
  if (out.dtype == DType::Unknown) {
    return failure(StatusClass::Usage, "npy.dtype",
                   "%s: its type is %.8s...; little-endian numbers and bools are read",
                   path.c_str(), descr);
  }
  const char *next = shape + 1;
  bool comma = false;
  while (*next != ')') {
    char *end = nullptr;
    errno = 0;
    long long dim = std::strtoll(next, &end, 10);
    if (end == next || errno != 0 || dim < 0 || out.dims.size() == 32) {
      return bad(path, "its shape is malformed");
    }
    out.dims.push_back(dim);
    next = end;
    comma = *next == ',';
    while (*next == ',' || *next == ' ') {
      ++next;
    }
    if (!comma && *next != ')') {
      return bad(path, "its shape is malformed");
    }
  }
  if (std::strncmp(order, "True", 4) == 0 && out.dims.size() > 1) {
    return bad(path, "it is in Fortran order; save numpy.ascontiguousarray of it");
  }
  return Status::ok();
}

} // namespace

Expected<NpyArray> readNpy(const std::string &path) {
  auto opened = ByteSource::open(path);
  if (!opened.isOk()) {
    return opened.takeStatus();
  }
  const ByteSource &file = *opened.value();
  unsigned char head[12] = {};
  int64_t headBytes = std::min<int64_t>(file.size(), sizeof head);
  if (Status s = file.read(0, head, headBytes); !s.isOk()) {
    return s;
  }
  if (headBytes < 12 || std::memcmp(head, "\x93NUMPY", 6) != 0 || head[6] < 1 || head[6] > 3) {
    return bad(path, "is not a .npy file");
  }
  bool wide = head[6] > 1;
  int64_t length = head[8] | head[9] << 8;
  if (wide) {
    length |= static_cast<int64_t>(head[10]) << 16 | static_cast<int64_t>(head[11]) << 24;
  }
  int64_t start = wide ? 12 : 10;
  if (length > (1 << 20) || !rangeInside(start, length, file.size())) {
    return bad(path, "its header is cut short");
  }
  std::string header(static_cast<size_t>(length), '\0');
  if (Status s = file.read(start, header.data(), length); !s.isOk()) {
    return s;
  }
  NpyArray array;
  if (Status s = parseHeader(path, header, array); !s.isOk()) {
    return s;
  }
  std::optional<int64_t> bytes = format::elementBytes(static_cast<uint8_t>(array.dtype));
  for (int64_t d : array.dims) {
    bytes = bytes ? checkedMul(*bytes, d) : std::nullopt;
  }
  if (!bytes || *bytes != file.size() - start - length) {
    return bad(path, "its size does not match its shape");
  }
  array.data.resize(static_cast<size_t>(*bytes));
  if (Status s = file.read(start + length, array.data.data(), *bytes); !s.isOk()) {
    return s;
  }
  return array;
}

Status writeNpy(const std::string &path, DType dtype, std::span<const int64_t> dims,
                const void *data) {
  const char *descr = "<u2"; // bfloat16
  for (const TypeName &type : kTypes) {
    descr = type.dtype == dtype ? type.descr : descr;
  }
  int64_t bytes = format::elementBytes(static_cast<uint8_t>(dtype));
  std::string shape;
  for (int64_t d : dims) {
    shape += std::to_string(d) + ", ";
    bytes *= d;
  }
  if (dims.size() > 1) {
    shape.resize(shape.size() - 2);
  } else if (dims.size() == 1) {
    shape.resize(shape.size() - 1);
  }
  std::string header =
      formatText("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape.c_str());
  header.resize((10 + header.size() + 64) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string head("\x93NUMPY\x01\x00", 8);
  head += static_cast<char>(header.size() & 0xff);
  head += static_cast<char>(header.size() >> 8);
  head += header;
  std::FILE *file = std::fopen(path.c_str(), "wb");
  bool good = file && std::fwrite(head.data(), 1, head.size(), file) == head.size() &&
              (bytes == 0 || std::fwrite(data, 1, static_cast<size_t>(bytes), file) ==
                                 static_cast<size_t>(bytes));
  int error = errno;
  if (file && std::fclose(file) != 0) {
    good = false;
    error = errno;
  }
  if (!good) {
    return failure(StatusClass::Environment, error == ENOSPC ? "io.no-space" : "io.write",
                   "%s: cannot write: %s", path.c_str(), std::strerror(error));
  }
  return Status::ok();
}

} // namespace ciuic

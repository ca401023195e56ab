// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An iterative walk with an explicit stack of messages; a table says what each field of each
// message is. The skeleton is written on the way: a message's length is known only at its end, so
// five bytes are kept for it (protobuf accepts a varint that is longer than needed). Fields that
// the importer does not read, or that no version of ONNX knows, are dropped. The file is read
// through a window with pread and not mapped: a file that shrinks meanwhile is then an error with a
// name, and what is skipped is never touched.
#include "frontend/WireScan.h"
#include "frontend/ErrorCodes.h"
#include <algorithm>
#include <span>

using namespace ciuic;
using namespace ciuic::frontend;
using ciuic::onnx::codedMessage;

namespace {

enum class Kind : uint8_t {
  Model,
  Graph,
  Node,
  Attribute,
  Tensor,
  Sparse,
  ValueInfo,
  Type,
  TensorType,
  WrapperType,
  MapType,
  Shape,
  Dim,
  Function,
  Opset,
  Entry
};

enum class Action : uint8_t {
  Message, ///< walk into it
  Name,    ///< a string, at most nameBytes
  Bytes,   ///< bytes, kept
  Scalar,  ///< one number, kept
  Numbers, ///< repeated numbers, packed or not, kept
  Dims,    ///< the same, at most `rank` of them
  Data,    ///< tensor data: kept if short, else a payload
  Refuse,  ///< a form that no writer in use makes
};

struct Field {
  int number;
  Action action;
  Kind child = Kind::Model;
  /// Wire type of one number: 0 varint, 1 eight bytes, 5 four bytes.
  uint8_t wire = 0;
};

// Numbers are those of onnx-ml.proto. What is not listed is dropped: documentation, metadata,
// training, devices.
constexpr Field kModel[] = {{1, Action::Scalar},
                            {2, Action::Name},
                            {3, Action::Name},
                            {4, Action::Name},
                            {5, Action::Scalar},
                            {7, Action::Message, Kind::Graph},
                            {8, Action::Message, Kind::Opset},
                            {25, Action::Message, Kind::Function}};
constexpr Field kGraph[] = {
    {1, Action::Message, Kind::Node},       {2, Action::Name},
    {5, Action::Message, Kind::Tensor},     {11, Action::Message, Kind::ValueInfo},
    {12, Action::Message, Kind::ValueInfo}, {13, Action::Message, Kind::ValueInfo},
    {15, Action::Message, Kind::Sparse}};
constexpr Field kNode[] = {{1, Action::Name},
                           {2, Action::Name},
                           {3, Action::Name},
                           {4, Action::Name},
                           {5, Action::Message, Kind::Attribute},
                           {7, Action::Name},
                           {8, Action::Name}};
constexpr Field kAttribute[] = {{1, Action::Name},
                                {2, Action::Scalar, {}, 5},
                                {3, Action::Scalar},
                                {4, Action::Bytes},
                                {5, Action::Message, Kind::Tensor},
                                {6, Action::Message, Kind::Graph},
                                {7, Action::Numbers, {}, 5},
                                {8, Action::Numbers},
                                {9, Action::Bytes},
                                {10, Action::Message, Kind::Tensor},
                                {11, Action::Message, Kind::Graph},
                                {14, Action::Message, Kind::Type},
                                {15, Action::Message, Kind::Type},
                                {20, Action::Scalar},
                                {21, Action::Name},
                                {22, Action::Message, Kind::Sparse},
                                {23, Action::Message, Kind::Sparse}};
constexpr Field kTensor[] = {
    {1, Action::Dims},         {2, Action::Scalar}, {3, Action::Refuse},
    {4, Action::Data, {}, 5},  {5, Action::Data},   {6, Action::Bytes},
    {7, Action::Data},         {8, Action::Name},   {9, Action::Data, {}, 2},
    {10, Action::Data, {}, 1}, {11, Action::Data},  {13, Action::Message, Kind::Entry},
    {14, Action::Scalar}};
// A sparse tensor is refused by the importer, with its name; its numbers need not be kept.
constexpr Field kSparse[] = {{1, Action::Message, Kind::Tensor}};
constexpr Field kValueInfo[] = {{1, Action::Name}, {2, Action::Message, Kind::Type}};
constexpr Field kType[] = {
    {1, Action::Message, Kind::TensorType},  {4, Action::Message, Kind::WrapperType},
    {5, Action::Message, Kind::MapType},     {8, Action::Message, Kind::TensorType},
    {9, Action::Message, Kind::WrapperType}, {7, Action::Message, Kind::Entry}};
constexpr Field kTensorType[] = {{1, Action::Scalar}, {2, Action::Message, Kind::Shape}};
constexpr Field kWrapperType[] = {{1, Action::Message, Kind::Type}};
constexpr Field kMapType[] = {{1, Action::Scalar}, {2, Action::Message, Kind::Type}};
constexpr Field kShape[] = {{1, Action::Message, Kind::Dim}};
constexpr Field kDim[] = {{1, Action::Scalar}, {2, Action::Name}};
constexpr Field kFunction[] = {{1, Action::Name},
                               {4, Action::Name},
                               {5, Action::Name},
                               {6, Action::Name},
                               {7, Action::Message, Kind::Node},
                               {9, Action::Message, Kind::Opset},
                               {10, Action::Name},
                               {11, Action::Message, Kind::Attribute},
                               {13, Action::Name}};
constexpr Field kOpset[] = {{1, Action::Name}, {2, Action::Scalar}};
constexpr Field kEntry[] = {{1, Action::Name}, {2, Action::Name}};

std::span<const Field> fieldsOf(Kind kind) {
  switch (kind) {
  case Kind::Model:
    return kModel;
  case Kind::Graph:
    return kGraph;
  case Kind::Node:
    return kNode;
  case Kind::Attribute:
    return kAttribute;
  case Kind::Tensor:
    return kTensor;
  case Kind::Sparse:
    return kSparse;
  case Kind::ValueInfo:
    return kValueInfo;
  case Kind::Type:
    return kType;
  case Kind::TensorType:
    return kTensorType;
  case Kind::WrapperType:
    return kWrapperType;
  case Kind::MapType:
    return kMapType;
  case Kind::Shape:
    return kShape;
  case Kind::Dim:
    return kDim;
  case Kind::Function:
    return kFunction;
  case Kind::Opset:
    return kOpset;
  case Kind::Entry:
    return kEntry;
  }
  return {};
}

constexpr int kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5;
constexpr int64_t kWindow = 256 * 1024;
constexpr size_t kLengthBytes = 5;
/// Packed data up to this many bytes go through protobuf: never more than 1 KiB when decoded (8
/// bytes for a varint).
constexpr int64_t kShortVarints = onnx::kInlineBytes / 8;
constexpr int64_t kShortData = onnx::kInlineBytes;
// What protobuf and the importer need for each, measured and rounded up.
constexpr int64_t kMessageMemory = 160, kStringMemory = 40, kNumberMemory = 8;

/// One message that is being walked.
struct Frame {
  Kind kind;
  int64_t end;
  size_t lengthAt; ///< where its length stands in the skeleton
  int64_t dims = 0;
  bool hasPayload = false;
};

class Scanner {
public:
  Scanner(const onnx::WeightFiles &files, const ScanLimits &limits, Skeleton &out,
          std::string &error)
      : files(files), limits(limits), out(out), error(error), size(files.fileSize(0)) {
    memoryLimit = limits.memoryBytes;
    int64_t scaled = 0;
    if (!__builtin_mul_overflow(size, limits.memoryPerByte, &scaled)) {
      memoryLimit = std::max(memoryLimit, scaled);
    }
  }

  bool run() {
    if (size == 0) {
      return fail(kErrorNotOnnx, "the file is empty");
    }
    stack.push_back({Kind::Model, size, 0});
    while (true) {
      Frame &frame = stack.back();
      if (position < frame.end) {
        if (!scanField()) {
          return false;
        }
        continue;
      }
      if (stack.size() == 1) {
        return true;
      }
      patchLength(frame.lengthAt);
      graphDepth -= frame.kind == Kind::Graph;
      stack.pop_back();
    }
  }

private:
  bool fail(ErrorCode code, const std::string &text) {
    error = codedMessage(code, text);
    return false;
  }
  bool damaged(const std::string &text) {
    // What cannot be read at its very beginning is no damaged model but another kind of file.
    ErrorCode code = looksLikeModel() ? kErrorMalformed : kErrorNotOnnx;
    return fail(code,
                (looksLikeModel() ? "the model is damaged: " : "this is not an ONNX model: ") +
                    text + " at byte " + std::to_string(fieldAt));
  }
  bool limit(const char *what, int64_t most) {
    return fail(kErrorLimit, "the model has more than " + std::to_string(most) + " " + what +
                                 " (at byte " + std::to_string(fieldAt) + ")");
  }

  /// Bytes [at, at + n) of the file; n is at most kWindow.
  const char *bytesAt(int64_t at, int64_t n) {
    if (at < windowBegin || at + n > windowBegin + static_cast<int64_t>(window.size())) {
      windowBegin = at;
      window.resize(std::min(kWindow, size - at));
      if (!files.readFile(0, at, {window.data(), window.size()}, error)) {
        window.clear();
        return nullptr;
      }
    }
    return window.data() + (at - windowBegin);
  }

  bool readVarint(uint64_t &value) {
    int64_t most = std::min<int64_t>(10, stack.back().end - position);
    const char *bytes = most > 0 ? bytesAt(position, most) : "";
    if (!bytes) {
      return false;
    }
    value = 0;
    for (int64_t i = 0; i < most; ++i) {
      auto byte = static_cast<uint8_t>(bytes[i]);
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (!(byte & 0x80)) {
        position += i + 1;
        return true;
      }
    }
    return most < 10 && stack.size() == 1 && looksLikeModel()
               ? fail(kErrorTruncated,
                      "the file ends inside a number; it is incomplete, copy or download it again")
               : damaged("a number that does not end");
  }

  /// The length of a delimited field, checked against what is left of its message.
  bool readLength(int64_t &length) {
    uint64_t value = 0;
    if (!readVarint(value)) {
      return false;
    }
    int64_t left = stack.back().end - position;
    if (value > static_cast<uint64_t>(left)) {
      // Every enclosing message fits the file, so only a field of the model itself can be cut off
      // by the file's end.
      return stack.size() == 1 && looksLikeModel()
                 ? fail(kErrorTruncated, "the file ends at byte " + std::to_string(size) +
                                             ", inside a field of " + std::to_string(value) +
                                             " bytes; it is incomplete, copy or download it again")
                 : damaged("a field of " + std::to_string(value) + " bytes in a message of " +
                           std::to_string(left));
    }
    length = static_cast<int64_t>(value);
    return true;
  }
  /// A model begins with its IR version or at least has had a part that could be walked.
  bool looksLikeModel() const { return sawVersion || out.messages > 0; }

  void putVarint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      out.bytes.push_back(static_cast<char>(value | 0x80));
    }
    out.bytes.push_back(static_cast<char>(value));
  }
  void patchLength(size_t at) {
    uint64_t length = out.bytes.size() - at - kLengthBytes;
    for (size_t i = 0; i < kLengthBytes; ++i, length >>= 7) {
      out.bytes[at + i] = static_cast<char>((length & 0x7f) | (i + 1 < kLengthBytes ? 0x80 : 0));
    }
  }
  bool copy(int64_t from, int64_t length) {
    if (static_cast<int64_t>(out.bytes.size()) + length > limits.skeletonBytes) {
      return limit("bytes beside its tensors", limits.skeletonBytes);
    }
    while (length > 0) {
      int64_t part = std::min(length, kWindow);
      const char *bytes = bytesAt(from, part);
      if (!bytes) {
        return false;
      }
      out.bytes.append(bytes, static_cast<size_t>(part));
      from += part;
      length -= part;
    }
    return true;
  }
  bool charge(int64_t memory) {
    memoryUsed += memory;
    return memoryUsed <= memoryLimit ||
           fail(kErrorLimit, "the model would take more than " + std::to_string(memoryLimit >> 20) +
                                 " MiB to hold, out of proportion to its " + std::to_string(size) +
                                 " bytes");
  }

  bool scanField() {
    fieldAt = position;
    uint64_t tag = 0;
    if (!readVarint(tag)) {
      return false;
    }
    if (tag >> 3 == 0 || tag > UINT32_MAX) {
      return damaged("no such field");
    }
    int number = static_cast<int>(tag >> 3), wire = static_cast<int>(tag & 7);
    const Field *field = nullptr;
    for (const Field &candidate : fieldsOf(stack.back().kind)) {
      if (candidate.number == number) {
        field = &candidate;
      }
    }
    switch (wire) {
    case kVarint: {
      uint64_t value = 0;
      if (!readVarint(value)) {
        return false;
      }
      sawVersion |= stack.size() == 1 && number == 1 && value > 0 && value < 1000;
      return keepNumber(field, wire);
    }
    case kFixed64:
    case kFixed32: {
      int64_t width = wire == kFixed64 ? 8 : 4;
      if (stack.back().end - position < width) {
        return damaged("a number that does not end");
      }
      position += width;
      return keepNumber(field, wire);
    }
    case kDelimited:
      return scanDelimited(field, tag);
    default:
      return damaged("a field of wire type " + std::to_string(wire));
    }
  }

  /// A number whose bytes are [fieldAt, position).
  bool keepNumber(const Field *field, int wire) {
    if (!field) {
      return true;
    }
    bool number = field->action == Action::Scalar || field->action == Action::Numbers ||
                  field->action == Action::Dims ||
                  (field->action == Action::Data && field->wire != kDelimited);
    if (!number || field->wire != wire) {
      return damaged("field " + std::to_string(field->number) + " has wire type " +
                     std::to_string(wire));
    }
    if (field->action == Action::Dims && ++stack.back().dims > limits.rank) {
      return limit("dims in one shape", limits.rank);
    }
    return charge(field->action == Action::Scalar ? 0 : kNumberMemory) &&
           copy(fieldAt, position - fieldAt);
  }

  bool scanDelimited(const Field *field, uint64_t tag) {
    int64_t length = 0;
    if (!readLength(length)) {
      return false;
    }
    int64_t begin = position;
    position += length;
    if (!field) {
      return true;
    }
    switch (field->action) {
    case Action::Message:
      position = begin;
      return enter(*field, tag, begin + length);
    case Action::Name:
      if (length > limits.nameBytes) {
        return limit("bytes in one name", limits.nameBytes);
      }
      return charge(kStringMemory + length) && copy(fieldAt, position - fieldAt);
    case Action::Bytes:
      return charge(kStringMemory + length) && copy(fieldAt, position - fieldAt);
    case Action::Dims:
      // Packed: at least one byte a dim.
      stack.back().dims += length;
      if (stack.back().dims > limits.rank * 10) {
        return limit("dims in one shape", limits.rank);
      }
      [[fallthrough]];
    case Action::Numbers:
      return charge(length * kNumberMemory) && copy(fieldAt, position - fieldAt);
    case Action::Data:
      return takeData(*field, begin, length);
    case Action::Refuse:
      return fail(
          kErrorUnsupportedModel,
          "a tensor at byte " + std::to_string(fieldAt) +
              " is a segment of a larger one; save the model with its tensors in one piece");
    case Action::Scalar:
      return damaged("field " + std::to_string(field->number) + " has wire type 2");
    }
    return true;
  }

  bool takeData(const Field &field, int64_t begin, int64_t length) {
    if (length <= (field.wire == kVarint ? kShortVarints : kShortData)) {
      return charge(kStringMemory + length * kNumberMemory) && copy(fieldAt, position - fieldAt);
    }
    Frame &tensor = stack.back();
    if (tensor.hasPayload) {
      return damaged("a second run of data in one tensor");
    }
    tensor.hasPayload = true;
    // segment (3) { begin (1): index }
    std::string segment(1, '\x08');
    std::swap(segment, out.bytes);
    putVarint(out.payloads.size());
    std::swap(segment, out.bytes);
    out.bytes.push_back('\x1a');
    putVarint(segment.size());
    out.bytes += segment;
    out.payloads.push_back({field.number, begin, length});
    return charge(kMessageMemory);
  }

  bool enter(const Field &field, uint64_t tag, int64_t end) {
    if (static_cast<int64_t>(stack.size()) >= limits.depth) {
      return limit("levels of nesting", limits.depth);
    }
    ++out.messages;
    out.nodes += field.child == Kind::Node;
    out.tensors += field.child == Kind::Tensor;
    attributes += field.child == Kind::Attribute;
    functions += field.child == Kind::Function;
    graphDepth += field.child == Kind::Graph;
    if (out.messages > limits.messages) {
      return limit("parts", limits.messages);
    }
    if (out.nodes > limits.nodes) {
      return limit("nodes", limits.nodes);
    }
    if (out.tensors > limits.tensors) {
      return limit("tensors", limits.tensors);
    }
    if (attributes > limits.attributes) {
      return limit("attributes", limits.attributes);
    }
    if (functions > limits.functions) {
      return limit("functions", limits.functions);
    }
    if (graphDepth > limits.graphDepth) {
      return limit("graphs inside each other", limits.graphDepth);
    }
    if (field.child == Kind::Dim && ++stack.back().dims > limits.rank) {
      return limit("dims in one shape", limits.rank);
    }
    if (!charge(kMessageMemory) || !copy(0, 0)) {
      return false;
    }
    putVarint(tag);
    stack.push_back({field.child, end, out.bytes.size()});
    out.bytes.append(kLengthBytes, '\0');
    return true;
  }

  const onnx::WeightFiles &files;
  const ScanLimits &limits;
  Skeleton &out;
  std::string &error;
  const int64_t size;
  std::vector<Frame> stack;
  std::string window;
  int64_t windowBegin = 0;
  int64_t position = 0, fieldAt = 0;
  int64_t attributes = 0, functions = 0, graphDepth = 0;
  int64_t memoryUsed = 0, memoryLimit = 0;
  bool sawVersion = false;
};

} // namespace

bool ciuic::frontend::scanModel(const onnx::WeightFiles &files, const ScanLimits &limits,
                                Skeleton &skeleton, std::string &error) {
  return Scanner(files, limits, skeleton, error).run();
}

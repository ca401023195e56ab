// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pre-scan: damaged and truncated files, and files that are small on disk and large in memory.
#include "test/frontend/ModelBuilder.h"

using namespace ciuic::testing;
using Tensor = ::onnx::TensorProto;

namespace {
class WireScan : public ImportTest {
protected:
  void expect(const std::string &bytes, const std::string &wanted) {
    write("m.onnx", bytes);
    EXPECT_EQ(import("m.onnx"), "");
    EXPECT_EQ(code(), wanted) << message;
  }
  static std::string varint(uint64_t value) {
    std::string out;
    for (; value >= 0x80; value >>= 7) {
      out.push_back(static_cast<char>(value | 0x80));
    }
    out.push_back(static_cast<char>(value));
    return out;
  }
  static std::string field(int number, const std::string &bytes) {
    return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
  }
  /// A model around the bytes of a graph.
  static std::string modelAround(const std::string &graph) {
    ::onnx::ModelProto model = emptyModel();
    model.clear_graph();
    return model.SerializeAsString() + field(7, graph);
  }
};
} // namespace

TEST_F(WireScan, EmptyFile) { expect("", "input.not-onnx"); }

TEST_F(WireScan, OtherKindsOfFile) {
  expect("PK\x03\x04 this is a zip archive", "input.not-onnx");
  expect("GGUF\x03\x01\x01\x01\x01\x01\x01", "input.not-onnx");
  expect("{\"a\": 1}", "input.not-onnx");
  expect("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "input.not-onnx");
  expect(std::string(1000, '\0'), "input.not-onnx");
  expect(std::string(1000, '\xff'), "input.not-onnx");
}

TEST_F(WireScan, EveryTruncationIsRefused) {
  ::onnx::ModelProto model = reluModel();
  addTensor(model.mutable_graph(), "w", Tensor::FLOAT, {300})->set_raw_data(rawFloats(300));
  std::string bytes = model.SerializeAsString();
  for (size_t length = 0; length < bytes.size(); ++length) {
    write("m.onnx", bytes.substr(0, length));
    EXPECT_EQ(import("m.onnx"), "") << length;
    EXPECT_EQ(code().substr(0, 6), "input.") << message;
  }
  write("m.onnx", bytes);
  EXPECT_NE(import("m.onnx"), "");
}

TEST_F(WireScan, TruncationIsCalledByItsName) {
  ::onnx::ModelProto model = reluModel();
  addTensor(model.mutable_graph(), "w", Tensor::FLOAT, {300})->set_raw_data(rawFloats(300));
  // The opset import follows the graph on the wire, so half of the bytes end inside the graph.
  std::string bytes = model.SerializeAsString();
  expect(bytes.substr(0, bytes.size() / 2), "input.truncated");
  EXPECT_HAS(message, "the file ends at byte");
}

TEST_F(WireScan, LengthsThatLeaveTheirMessage) {
  // A node (field 1 of the graph) that says it is longer than the graph.
  expect(modelAround("\x0a\x7f" + std::string(10, 'a')), "input.malformed");
  // A length of 2^63.
  expect(modelAround("\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "input.malformed");
}

TEST_F(WireScan, WireTypesThatAreWrong) {
  expect(modelAround("\x0b"), "input.malformed");                     // a group
  expect(modelAround("\x0e"), "input.malformed");                     // wire type 6
  expect(modelAround("\x08\x01"), "input.malformed");                 // a node that is a number
  expect(modelAround(std::string("\x00\x01", 2)), "input.malformed"); // field 0
  expect(modelAround(std::string(11, '\xff')), "input.malformed");    // a number of 11 bytes
}

TEST_F(WireScan, UnknownFieldsAreSkipped) {
  std::string bytes = reluModel().SerializeAsString();
  write("m.onnx", bytes + field(999, "future") + varint(998 << 3) + varint(7) +
                      varint(997 << 3 | 1) + std::string(8, 'x') + varint(996 << 3 | 5) +
                      std::string(4, 'x'));
  EXPECT_NE(import("m.onnx"), "") << message;
}

TEST_F(WireScan, DocumentationAndMetadataAreDropped) {
  ::onnx::ModelProto model = reluModel();
  model.mutable_graph()->set_doc_string(std::string(1 << 20, 'd'));
  for (int i = 0; i < 100; ++i) {
    auto *entry = model.mutable_graph()->mutable_node(0)->add_metadata_props();
    entry->set_key("k" + std::to_string(i));
    entry->set_value(std::string(100'000, 'v'));
  }
  EXPECT_NE(import(model), "") << message;
}

TEST_F(WireScan, AmplificationIsBounded) {
  // Two bytes on disk make a NodeProto of some 150 bytes: 10 MB would be 757 MB.
  std::string nodes;
  for (int i = 0; i < 2'000'000; ++i) {
    nodes += std::string("\x0a\x00", 2);
  }
  expect(modelAround(nodes), "input.limit");
  // The same with attributes, which have a higher limit of their own, and with empty strings and
  // packed numbers.
  std::string attributes, strings;
  for (int i = 0; i < 4'000'000; ++i) {
    attributes += std::string("\x2a\x00", 2);
    strings += std::string("\x4a\x00", 2);
  }
  expect(modelAround(field(1, attributes)), "input.limit");
  expect(modelAround(field(1, field(5, strings + strings + strings + strings))), "input.limit");
  expect(modelAround(field(1, field(5, field(8, std::string(80 << 20, '\x01'))))), "input.limit");
}

TEST_F(WireScan, AMillionNodesAreAccepted) {
  // The most that a model may have, as an exporter writes it: the limit on memory is not met before
  // that on nodes.
  std::string nodes;
  int64_t count = options.limits.nodes;
  for (int64_t i = 0; i < count; ++i) {
    nodes += field(1, field(1, i ? "v" + std::to_string(i - 1) : "x") +
                          field(2, i + 1 < count ? "v" + std::to_string(i) : "y") +
                          field(3, "node_" + std::to_string(i)) + field(4, "Relu"));
  }
  ::onnx::ModelProto ends = emptyModel();
  write("m.onnx", modelAround(nodes + ends.graph().SerializeAsString()));
  ciuic::frontend::Skeleton skeleton;
  auto files = ciuic::onnx::WeightFiles::open(path("m.onnx"), message);
  EXPECT_TRUE(ciuic::frontend::scanModel(*files, options.limits, skeleton, message)) << message;
  EXPECT_EQ(skeleton.nodes, count);
  write("m.onnx",
        modelAround(nodes + field(1, field(4, "Relu")) + ends.graph().SerializeAsString()));
  files = ciuic::onnx::WeightFiles::open(path("m.onnx"), message);
  skeleton = {};
  EXPECT_FALSE(ciuic::frontend::scanModel(*files, options.limits, skeleton, message));
  EXPECT_HAS(message, "more than 1000000 nodes");
}

TEST_F(WireScan, NestingIsBounded) {
  // TypeProto { sequence_type (4) { elem_type (1) { … } } }, 100000 deep; then graphs in
  // attributes, 40 deep.
  std::string type;
  for (int i = 0; i < 300; ++i) {
    type = field(4, field(1, type));
  }
  expect(modelAround(field(11, field(2, type))), "input.limit");
  std::string graph;
  for (int i = 0; i < 33; ++i) {
    graph = field(1, field(5, field(6, graph)));
  }
  expect(modelAround(graph), "input.limit");
}

TEST_F(WireScan, LimitsOnNamesRanksAndCounts) {
  ::onnx::ModelProto model = reluModel();
  model.mutable_graph()->mutable_node(0)->set_name(std::string(4097, 'n'));
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.limit");
  model = reluModel();
  addValue(model.mutable_graph()->mutable_input(), "z", Tensor::FLOAT,
           std::vector<std::string>(33, "1"));
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.limit");
  options.limits.tensors = 2;
  model = reluModel();
  for (int i = 0; i < 3; ++i) {
    addTensor(model.mutable_graph(), "w" + std::to_string(i), Tensor::FLOAT, {0});
  }
  EXPECT_EQ(import(model), "");
  EXPECT_HAS(message, "more than 2 tensors");
}

TEST_F(WireScan, TwoRunsOfDataInOneTensor) {
  // raw_data twice: protobuf would keep the last one.
  std::string tensor = "\x08\x02\x10\x01\x42\x01w" + field(9, std::string(2000, 'a')) +
                       field(9, std::string(2000, 'b'));
  expect(modelAround(field(5, tensor)), "input.malformed");
}

TEST_F(WireScan, LongUnpackedDataAreRefusedByName) {
  // float_data (4) without packing, 300 elements.
  std::string tensor = "\x08" + varint(300) + "\x10\x01\x42\x01w";
  for (int i = 0; i < 300; ++i) {
    tensor += "\x25" + std::string(4, '\0');
  }
  expect(modelAround(field(5, tensor)), "input.tensor-data");
  EXPECT_HAS(message, "unpacked form of old protobuf");
}

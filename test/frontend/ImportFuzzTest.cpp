// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Seeded mutations of models that use every part of the format: each import must end in a module
// that verifies, or in one coded message, and never in a crash (the asan preset runs it under both
// sanitizers). CIUIC_FUZZ_RUNS and CIUIC_FUZZ_SEED widen the search; a failure prints the seed and
// keeps the bytes.
#include "mlir/IR/Verifier.h"
#include "test/frontend/ModelBuilder.h"
#include <cstdlib>
#include <random>

using namespace ciuic::testing;
using Tensor = ::onnx::TensorProto;
using Attribute = ::onnx::AttributeProto;

namespace {

int64_t fromEnvironment(const char *name, int64_t otherwise) {
  const char *text = std::getenv(name);
  return text ? std::atoll(text) : otherwise;
}

/// Every field that the importer reads is in it.
::onnx::ModelProto richModel() {
  ::onnx::ModelProto model = emptyModel();
  ::onnx::GraphProto *graph = model.mutable_graph();
  model.set_producer_name("fuzz");
  addValue(graph->mutable_input(), "c", Tensor::BOOL, {});
  addValue(graph->mutable_input(), "ids", Tensor::INT64, {"batch", "past + seq"});
  addTensor(graph, "raw", Tensor::FLOAT, {300})->set_raw_data(rawFloats(300));
  addTensor(graph, "small", Tensor::FLOAT16, {2})->set_raw_data("abcd");
  addTensor(graph, "ints", Tensor::INT64, {200})->mutable_int64_data()->Resize(200, -5);
  addTensor(graph, "bytes", Tensor::UINT8, {300})->mutable_int32_data()->Resize(300, 200);
  addTensor(graph, "nibbles", Tensor::INT4, {7})->set_raw_data("abcd");
  addTensor(graph, "doubles", Tensor::DOUBLE, {200})->mutable_double_data()->Resize(200, 0.5);
  addTensor(graph, "words", Tensor::STRING, {2})->add_string_data("a");
  graph->mutable_initializer(6)->add_string_data("b");
  Tensor *external = addTensor(graph, "external", Tensor::FLOAT, {300});
  external->set_data_location(Tensor::EXTERNAL);
  for (auto [key, value] :
       {std::pair{"location", "weights.bin"}, {"offset", "16"}, {"length", "1200"}}) {
    auto *entry = external->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  ::onnx::FunctionProto *function = model.add_functions();
  function->set_domain("local");
  function->set_name("F");
  function->add_opset_import()->set_version(13);
  function->add_input("a");
  function->add_output("b");
  function->add_attribute("p");
  ::onnx::NodeProto *inside = function->add_node();
  inside->set_op_type("Op");
  inside->add_input("a");
  inside->add_output("b");
  addInt(inside, "q", 0)->set_ref_attr_name("p");

  ::onnx::NodeProto *call = addNode(graph, "F", {"x"}, {"h"});
  call->set_domain("local");
  addInt(call, "p", 3);
  ::onnx::NodeProto *node = addNode(graph, "If", {"c"}, {"y"});
  Attribute *body = node->add_attribute();
  body->set_name("then_branch");
  body->set_type(Attribute::GRAPH);
  addNode(body->mutable_g(), "Add", {"h", "raw"}, {"t"});
  addValue(body->mutable_g()->mutable_output(), "t", Tensor::FLOAT, {"2"});
  ::onnx::NodeProto *kinds = addNode(graph, "Kinds", {"ints", "", "external"}, {"k", ""});
  Attribute *strings = kinds->add_attribute();
  strings->set_name("strings");
  strings->set_type(Attribute::STRINGS);
  strings->add_strings("s");
  Attribute *floats = kinds->add_attribute();
  floats->set_name("floats");
  floats->set_type(Attribute::FLOATS);
  floats->add_floats(1);
  Attribute *type = kinds->add_attribute();
  type->set_name("type");
  type->set_type(Attribute::TYPE_PROTO);
  type->mutable_tp()
      ->mutable_sequence_type()
      ->mutable_elem_type()
      ->mutable_tensor_type()
      ->set_elem_type(1);
  return model;
}

class ImportFuzz : public ImportTest {
protected:
  ImportFuzz() {
    write("weights.bin", std::string(1216, 'w'));
    // Mutations find the limits easily; small ones keep a run short.
    options.limits.nodes = 1000;
  }
};

} // namespace

TEST_F(ImportFuzz, TheUnchangedModelImports) { EXPECT_NE(import(richModel()), "") << message; }

TEST_F(ImportFuzz, MutationsNeverCrash) {
  const int64_t runs = fromEnvironment("CIUIC_FUZZ_RUNS", 1500);
  const int64_t firstSeed = fromEnvironment("CIUIC_FUZZ_SEED", 1);
  const std::string original = richModel().SerializeAsString();
  int64_t accepted = 0;
  for (int64_t run = 0; run < runs; ++run) {
    std::mt19937_64 random(firstSeed + run);
    std::string bytes = original;
    auto below = [&](size_t n) { return n ? random() % n : 0; };
    for (uint64_t edits = 1 + below(4); edits > 0 && !bytes.empty(); --edits) {
      size_t at = below(bytes.size());
      switch (below(6)) {
      case 0: // one bit
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1: // one byte, mostly an interesting one
        bytes[at] = "\x00\x01\x7f\x80\xff\x08\x0a\x12"[below(8)];
        break;
      case 2: // a piece removed
        bytes.erase(at, 1 + below(16));
        break;
      case 3: // a piece of the model copied elsewhere
        bytes.insert(at, original.substr(below(original.size()), 1 + below(64)));
        break;
      case 4: // the end cut off
        if (below(4) == 0) {
          bytes.resize(at);
        }
        break;
      case 5: // a long number
        bytes.insert(at, std::string(1 + below(10), '\xff'));
        break;
      }
    }
    write("fuzz.onnx", bytes);
    SCOPED_TRACE("seed " + std::to_string(firstSeed + run));
    bool imports = !import("fuzz.onnx").empty();
    accepted += imports;
    if (imports) {
      ASSERT_TRUE(mlir::succeeded(mlir::verify(*imported.module)));
    } else {
      ASSERT_FALSE(ciuic::splitErrorCode(message).first.empty()) << message;
      ASSERT_NE(ciuic::classOf(code()), ciuic::ErrorClass::Internal) << message;
    }
  }
  // A mutation that changes a name or a number still imports; if none did, the test would try
  // nothing but the pre-scan.
  EXPECT_GT(accepted, runs / 50);
  EXPECT_LT(accepted, runs);
}

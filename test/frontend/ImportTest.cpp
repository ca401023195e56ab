// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Graphs, nodes, attributes and types: what becomes of a well-formed model, and what is said of a
// wrong one.
#include "mlir/Parser/Parser.h"
#include "test/frontend/ModelBuilder.h"
#include <filesystem>
#include <sys/stat.h>

using namespace ciuic::testing;
using Tensor = ::onnx::TensorProto;
using Attribute = ::onnx::AttributeProto;

namespace {
class Import : public ImportTest {};
} // namespace

TEST_F(Import, MinimalModel) {
  std::string text = import(reluModel());
  EXPECT_HAS(text, "onnx.graph @g(%arg0 \"x\" : tensor<2x3xf32>) attributes {files = "
                   "[\"model.onnx\"], ir_version = 8 : "
                   "i64, opset = {ai.onnx = 18 : i64}}");
  EXPECT_HAS(
      text,
      "%0 = onnx.node \"Relu\"(%arg0) outputs [\"y\"] : (tensor<2x3xf32>) -> tensor<2x3xf32>");
  EXPECT_HAS(text, "onnx.return %0 as [\"y\"] : tensor<2x3xf32>");
}

TEST_F(Import, TheTextParsesAgainToTheSameText) {
  ::onnx::ModelProto model = reluModel();
  addTensor(model.mutable_graph(), "w", Tensor::FLOAT, {500})->set_raw_data(rawFloats(500));
  std::string text = import(model);
  // Twice: the import is deterministic, too.
  EXPECT_EQ(text, import(model));
  mlir::OwningOpRef<mlir::ModuleOp> parsed =
      mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  ASSERT_TRUE(parsed);
  std::string again;
  llvm::raw_string_ostream(again) << *parsed;
  EXPECT_EQ(text, again + "\n");
}

TEST_F(Import, DimsKeepTheirNames) {
  ::onnx::ModelProto model = emptyModel();
  model.mutable_graph()->clear_input();
  addValue(model.mutable_graph()->mutable_input(), "x", Tensor::INT64,
           {"batch", "past + seq", "64", "", "-1"});
  addNode(model.mutable_graph(), "F", {"x"}, {"y"});
  EXPECT_HAS(import(model),
             "tensor<?x?x64x?x?xi64, #onnx.dims<[\"batch\", \"past + seq\", 64, unit, unit]>>");
}

TEST_F(Import, ValueInfoTypesIntermediates) {
  ::onnx::ModelProto model = emptyModel();
  addNode(model.mutable_graph(), "A", {"x"}, {"known"});
  addNode(model.mutable_graph(), "B", {"known"}, {"open"});
  addNode(model.mutable_graph(), "C", {"open"}, {"y"});
  addValue(model.mutable_graph()->mutable_value_info(), "known", Tensor::FLOAT16, {"7"});
  std::string text = import(model);
  EXPECT_HAS(text, "outputs [\"known\"] : (tensor<2x3xf32>) -> tensor<7xf16>");
  EXPECT_HAS(text, "outputs [\"open\"] : (tensor<7xf16>) -> !onnx.unknown");
}

TEST_F(Import, AllElementTypes) {
  const std::pair<int, const char *> types[] = {{1, "f32"},
                                                {2, "ui8"},
                                                {3, "i8"},
                                                {4, "ui16"},
                                                {5, "i16"},
                                                {6, "i32"},
                                                {7, "i64"},
                                                {8, "!onnx.string"},
                                                {9, "i1"},
                                                {10, "f16"},
                                                {11, "f64"},
                                                {12, "ui32"},
                                                {13, "ui64"},
                                                {14, "complex<f32>"},
                                                {15, "complex<f64>"},
                                                {16, "bf16"},
                                                {17, "f8E4M3FN"},
                                                {18, "f8E4M3FNUZ"},
                                                {19, "f8E5M2"},
                                                {20, "f8E5M2FNUZ"},
                                                {21, "ui4"},
                                                {22, "i4"},
                                                {23, "f4E2M1FN"},
                                                {24, "f8E8M0FNU"},
                                                {25, "ui2"},
                                                {26, "i2"}};
  ::onnx::ModelProto model = reluModel();
  for (auto [number, name] : types) {
    addValue(model.mutable_graph()->mutable_input(), "in" + std::to_string(number), number, {"5"});
  }
  std::string text = import(model);
  for (auto [number, name] : types) {
    EXPECT_HAS(text, "\"in" + std::to_string(number) + "\" : tensor<5x" + name + ">");
  }
}

TEST_F(Import, ContainerTypes) {
  ::onnx::ModelProto model = reluModel();
  auto *sequence = model.mutable_graph()->add_input();
  sequence->set_name("s");
  sequence->mutable_type()
      ->mutable_sequence_type()
      ->mutable_elem_type()
      ->mutable_tensor_type()
      ->set_elem_type(1);
  auto *map = model.mutable_graph()->add_input();
  map->set_name("m");
  map->mutable_type()->mutable_map_type()->set_key_type(7);
  auto *optional =
      map->mutable_type()->mutable_map_type()->mutable_value_type()->mutable_optional_type();
  optional->mutable_elem_type()->mutable_tensor_type()->set_elem_type(7);
  std::string text = import(model);
  EXPECT_HAS(text, "\"s\" : !onnx.sequence<tensor<*xf32>>");
  EXPECT_HAS(text, "\"m\" : !onnx.map<i64, !onnx.optional<tensor<*xi64>>>");
}

TEST_F(Import, AttributesOfEveryKind) {
  ::onnx::ModelProto model = emptyModel();
  ::onnx::NodeProto *node = addNode(model.mutable_graph(), "Op", {"x", "", "x"}, {"", "y"});
  node->set_domain("com.example");
  node->set_overload("v2");
  auto add = [&](const char *name, Attribute::AttributeType type) {
    Attribute *attribute = node->add_attribute();
    attribute->set_name(name);
    attribute->set_type(type);
    return attribute;
  };
  add("a", Attribute::FLOAT)->set_f(0.5F);
  add("b", Attribute::INT)->set_i(-7);
  add("c", Attribute::STRING)->set_s("text");
  auto *floats = add("d", Attribute::FLOATS);
  floats->add_floats(1);
  floats->add_floats(2);
  auto *ints = add("e", Attribute::INTS);
  ints->add_ints(-1);
  ints->add_ints(int64_t{1} << 40);
  add("f", Attribute::STRINGS)->add_strings("p");
  Tensor *tensor = add("g", Attribute::TENSOR)->mutable_t();
  tensor->set_data_type(Tensor::INT64);
  tensor->add_dims(2);
  tensor->add_int64_data(3);
  tensor->add_int64_data(4);
  add("h", Attribute::TYPE_PROTO)->mutable_tp()->mutable_tensor_type()->set_elem_type(1);
  add("i", Attribute::INTS);
  std::string text = import(model);
  EXPECT_HAS(text,
             "onnx.node \"com.example\" : \"Op\"(%arg0, %0, %arg0) {a = 5.000000e-01 : f32, b = -7 "
             ": i64, c = "
             "\"text\", d = array<f32: 1.000000e+00, 2.000000e+00>, e = array<i64: -1, "
             "1099511627776>, f = "
             "[\"p\"], g = dense<[3, 4]> : tensor<2xi64>, h = tensor<*xf32>, i = array<i64>} "
             "outputs [\"\", "
             "\"y\"] attributes {overload = \"v2\"} : (tensor<2x3xf32>, none, tensor<2x3xf32>) -> "
             "(!onnx.unknown, tensor<2x3xf32>)");
}

TEST_F(Import, SubgraphsSeeOuterValues) {
  ::onnx::ModelProto model = emptyModel();
  addValue(model.mutable_graph()->mutable_input(), "c", Tensor::BOOL, {});
  ::onnx::NodeProto *node = addNode(model.mutable_graph(), "If", {"c"}, {"y"});
  for (const char *name : {"then_branch", "else_branch"}) {
    Attribute *attribute = node->add_attribute();
    attribute->set_name(name);
    attribute->set_type(Attribute::GRAPH);
    attribute->mutable_g()->set_name(name);
    addNode(attribute->mutable_g(), "Relu", {"x"}, {"r"});
    addValue(attribute->mutable_g()->mutable_output(), "r", Tensor::FLOAT, {"2", "3"});
  }
  std::string text = import(model);
  EXPECT_HAS(text,
             "bodies [\"then_branch\", \"else_branch\"] {\n      %1 = onnx.node \"Relu\"(%arg0)");
}

TEST_F(Import, NodesKnowWhatTheyAreCalled) {
  ::onnx::ModelProto model = emptyModel();
  addNode(model.mutable_graph(), "Conv", {"x"}, {"h"})->set_name("/x/Conv_12");
  addNode(model.mutable_graph(), "Relu", {"h"}, {"y"});
  ASSERT_NE(import(model), "");
  std::vector<std::string> said;
  imported.module->walk([&](ciuic::onnx::NodeOp node) { said.push_back(node.describe()); });
  EXPECT_EQ(said, (std::vector<std::string>{"node \"/x/Conv_12\" (Conv)", "node \"y\" (Relu)"}));
}

TEST_F(Import, InitialisedInputsAreConstants) {
  ::onnx::ModelProto model = emptyModel();
  addValue(model.mutable_graph()->mutable_input(), "w", Tensor::FLOAT, {"2"});
  addTensor(model.mutable_graph(), "w", Tensor::FLOAT, {2})->set_raw_data(rawFloats(2));
  addNode(model.mutable_graph(), "F", {"x", "w"}, {"y"});
  std::string text = import(model);
  EXPECT_HAS(text, "@g(%arg0 \"x\" : tensor<2x3xf32>) attributes");
  EXPECT_HAS(text, "onnx.constant \"w\" dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>");
}

TEST_F(Import, TheDefaultDomainHasOneName) {
  ::onnx::ModelProto model = reluModel();
  model.mutable_opset_import(0)->set_domain("ai.onnx");
  model.mutable_graph()->mutable_node(0)->set_domain("ai.onnx");
  std::string text = import(model);
  EXPECT_HAS(text, "opset = {ai.onnx = 18 : i64}");
  EXPECT_HAS(text, "onnx.node \"Relu\"(");
}

//===--------------------------------------------------------------------------------------------------------------===//
// Wrong models
//===--------------------------------------------------------------------------------------------------------------===//

TEST_F(Import, UndefinedValue) {
  ::onnx::ModelProto model = emptyModel();
  addNode(model.mutable_graph(), "Conv", {"nowhere"}, {"y"})->set_name("/x/Conv_12");
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(message, "[input.graph] node \"/x/Conv_12\" (Conv): reads \"nowhere\", which no input, "
                     "initialiser or node "
                     "before it defines");
}

TEST_F(Import, UnsortedNodes) {
  ::onnx::ModelProto model = emptyModel();
  addNode(model.mutable_graph(), "B", {"h"}, {"y"});
  addNode(model.mutable_graph(), "A", {"x"}, {"h"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.graph");
}

TEST_F(Import, ValueDefinedTwice) {
  ::onnx::ModelProto model = reluModel();
  addNode(model.mutable_graph(), "Relu", {"x"}, {"y"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.graph");
}

TEST_F(Import, MissingOutput) {
  EXPECT_EQ(import(emptyModel()), "");
  EXPECT_HAS(message, "has an output \"y\" that nothing defines");
}

TEST_F(Import, OutputTwice) {
  ::onnx::ModelProto model = reluModel();
  addValue(model.mutable_graph()->mutable_output(), "y", Tensor::FLOAT, {"2", "3"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.graph");
}

TEST_F(Import, NodeWithoutType) {
  ::onnx::ModelProto model = reluModel();
  model.mutable_graph()->mutable_node(0)->clear_op_type();
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.graph");
}

TEST_F(Import, AttributeTwice) {
  ::onnx::ModelProto model = reluModel();
  addInt(model.mutable_graph()->mutable_node(0), "axis", 1);
  addInt(model.mutable_graph()->mutable_node(0), "axis", 2);
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.attribute");
}

TEST_F(Import, AttributeReferenceOutsideFunctions) {
  ::onnx::ModelProto model = reluModel();
  addInt(model.mutable_graph()->mutable_node(0), "axis", 1)->set_ref_attr_name("outer");
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.attribute");
}

TEST_F(Import, AttributeWithoutValue) {
  ::onnx::ModelProto model = reluModel();
  model.mutable_graph()->mutable_node(0)->add_attribute()->set_name("axis");
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.attribute");
}

TEST_F(Import, UnknownElementType) {
  ::onnx::ModelProto model = reluModel();
  addValue(model.mutable_graph()->mutable_input(), "z", 99, {"2"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "unsupported.type");
}

TEST_F(Import, HugeDim) {
  ::onnx::ModelProto model = reluModel();
  addValue(model.mutable_graph()->mutable_input(), "z", Tensor::FLOAT, {"9000000000000000000"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.type");
}

TEST_F(Import, NoVersionNoGraphNoOpset) {
  ::onnx::ModelProto model = reluModel();
  model.clear_ir_version();
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.not-onnx");
  model = reluModel();
  model.clear_graph();
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.not-onnx");
  model = reluModel();
  model.clear_opset_import();
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.malformed");
  model = reluModel();
  model.set_ir_version(15);
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "unsupported.model");
}

TEST_F(Import, SparseInitialiser) {
  ::onnx::ModelProto model = reluModel();
  model.mutable_graph()->add_sparse_initializer()->mutable_values()->set_name("s");
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "unsupported.attribute");
}

TEST_F(Import, PathsThatAreNoModel) {
  EXPECT_EQ(import("absent.onnx"), "");
  EXPECT_EQ(code(), "environment.model-open");
  EXPECT_HAS(message, "No such file");
  std::filesystem::create_directory(path("folder"));
  EXPECT_EQ(import("folder"), "");
  EXPECT_EQ(code(), "input.model-not-a-file");
  // A FIFO without a writer would block a plain open for ever.
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(import("fifo"), "");
  EXPECT_EQ(code(), "input.model-not-a-file");
}

TEST_F(Import, NamesFromTheFileAreEscaped) {
  ::onnx::ModelProto model = emptyModel();
  addNode(model.mutable_graph(), "Co\nnv", {"a\nb\x1b[31m"}, {"y"})->set_name("n\n");
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

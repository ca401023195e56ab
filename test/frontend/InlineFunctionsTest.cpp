// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Model-local functions: what a call becomes, and calls that must not be followed.
#include "test/frontend/ModelBuilder.h"

using namespace ciuic::testing;
using Attribute = ::onnx::AttributeProto;

namespace {
class InlineFunctions : public ImportTest {
protected:
  static ::onnx::FunctionProto *addFunction(::onnx::ModelProto &model, const std::string &name,
                                            const std::vector<std::string> &inputs,
                                            const std::vector<std::string> &outputs) {
    ::onnx::FunctionProto *function = model.add_functions();
    function->set_domain("local");
    function->set_name(name);
    function->add_opset_import()->set_version(18);
    for (const std::string &input : inputs) {
      function->add_input(input);
    }
    for (const std::string &output : outputs) {
      function->add_output(output);
    }
    return function;
  }
  static ::onnx::NodeProto *addNode(::onnx::FunctionProto *function, const std::string &type,
                                    const std::vector<std::string> &inputs,
                                    const std::vector<std::string> &outputs,
                                    const std::string &domain = "") {
    ::onnx::NodeProto *node = function->add_node();
    node->set_op_type(type);
    node->set_domain(domain);
    for (const std::string &input : inputs) {
      node->add_input(input);
    }
    for (const std::string &output : outputs) {
      node->add_output(output);
    }
    return node;
  }
  static ::onnx::NodeProto *call(::onnx::ModelProto &model, const std::string &name,
                                 const std::vector<std::string> &inputs,
                                 const std::vector<std::string> &outputs) {
    ::onnx::NodeProto *node = ciuic::testing::addNode(model.mutable_graph(), name, inputs, outputs);
    node->set_domain("local");
    return node;
  }
  /// The operator types of the whole module, in order.
  std::vector<std::string> types() {
    std::vector<std::string> found;
    imported.module->walk<mlir::WalkOrder::PreOrder>(
        [&](ciuic::onnx::NodeOp node) { found.push_back(node.getOpType().str()); });
    return found;
  }
  using Types = std::vector<std::string>;
};
} // namespace

TEST_F(InlineFunctions, ACallBecomesTheBody) {
  ::onnx::ModelProto model = emptyModel();
  auto *function = addFunction(model, "Swish", {"a"}, {"out"});
  addNode(function, "Sigmoid", {"a"}, {"s"})->set_name("sig");
  addNode(function, "Mul", {"a", "s"}, {"out"});
  call(model, "Swish", {"x"}, {"h"})->set_name("act1");
  call(model, "Swish", {"h"}, {"y"})->set_name("act2");
  std::string text = import(model);
  EXPECT_EQ(types(), (Types{"Sigmoid", "Mul", "Sigmoid", "Mul"}));
  EXPECT_HAS(text, "onnx.return %3 as [\"y\"]");
  std::vector<std::string> names;
  imported.module->walk(
      [&](ciuic::onnx::NodeOp node) { names.push_back(node.getNodeName().str()); });
  EXPECT_EQ(names, (std::vector<std::string>{"act1/sig", "act1/out", "act2/sig", "act2/out"}));
  // The type that the graph declares for y is the type of what computes it.
  EXPECT_HAS(text, "%3 = onnx.node \"Mul\"(%1, %2) outputs [\"out\"] : (!onnx.unknown, "
                   "!onnx.unknown) -> tensor<2x3xf32>");
}

TEST_F(InlineFunctions, OverloadsAreDifferentFunctions) {
  ::onnx::ModelProto model = emptyModel();
  addNode(addFunction(model, "F", {"a"}, {"b"}), "One", {"a"}, {"b"});
  auto *second = addFunction(model, "F", {"a"}, {"b"});
  second->set_overload("v2");
  addNode(second, "Two", {"a"}, {"b"});
  call(model, "F", {"x"}, {"y"})->set_overload("v2");
  ASSERT_NE(import(model), "");
  EXPECT_EQ(types(), Types{"Two"});
}

TEST_F(InlineFunctions, AttributesReachTheBodyOrTheirDefault) {
  ::onnx::ModelProto model = emptyModel();
  auto *function = addFunction(model, "F", {"a"}, {"b"});
  function->add_attribute("axis");
  auto *standard = function->add_attribute_proto();
  standard->set_name("keep");
  standard->set_type(Attribute::INT);
  standard->set_i(7);
  auto *node = addNode(function, "Reduce", {"a"}, {"b"});
  addInt(node, "axis_inside", 0)->set_ref_attr_name("axis");
  addInt(node, "keep", 0)->set_ref_attr_name("keep");
  addInt(call(model, "F", {"x"}, {"h"}), "axis", 3);
  auto *second = call(model, "F", {"h"}, {"y"});
  addInt(second, "keep", 8);
  std::string text = import(model);
  EXPECT_HAS(text, "{axis_inside = 3 : i64, keep = 7 : i64}");
  EXPECT_HAS(text, "onnx.node \"Reduce\"(%0) {keep = 8 : i64}");
}

TEST_F(InlineFunctions, AttributesPassThroughNestedCalls) {
  ::onnx::ModelProto model = emptyModel();
  auto *inner = addFunction(model, "Inner", {"a"}, {"b"});
  inner->add_attribute("p");
  addInt(addNode(inner, "Op", {"a"}, {"b"}), "q", 0)->set_ref_attr_name("p");
  auto *outer = addFunction(model, "Outer", {"a"}, {"b"});
  outer->add_attribute("r");
  addInt(addNode(outer, "Inner", {"a"}, {"b"}, "local"), "p", 0)->set_ref_attr_name("r");
  addInt(call(model, "Outer", {"x"}, {"y"}), "r", 42);
  EXPECT_HAS(import(model), "onnx.node \"Op\"(%arg0) {q = 42 : i64}");
}

TEST_F(InlineFunctions, AGraphAttributeSeesTheCallersValues) {
  ::onnx::ModelProto model = emptyModel();
  addValue(model.mutable_graph()->mutable_input(), "c", ::onnx::TensorProto::BOOL, {});
  auto *function = addFunction(model, "Choose", {"cond", "x"}, {"r"});
  function->add_attribute("body");
  auto *node = addNode(function, "If", {"cond"}, {"r"});
  auto *reference = node->add_attribute();
  reference->set_name("then_branch");
  reference->set_type(Attribute::GRAPH);
  reference->set_ref_attr_name("body");
  auto *caller = call(model, "Choose", {"c", "c"}, {"y"});
  auto *body = caller->add_attribute();
  body->set_name("body");
  body->set_type(Attribute::GRAPH);
  ciuic::testing::addNode(body->mutable_g(), "Relu", {"x"}, {"t"});
  addValue(body->mutable_g()->mutable_output(), "t", ::onnx::TensorProto::FLOAT, {"2", "3"});
  // "x" is the model's input here, though the function has an "x" of its own.
  EXPECT_HAS(import(model), "onnx.node \"Relu\"(%arg0)");
}

TEST_F(InlineFunctions, LeftOutInputsAndOutputs) {
  ::onnx::ModelProto model = emptyModel();
  auto *function = addFunction(model, "F", {"a", "b", "c"}, {"p", "q"});
  addNode(function, "Op", {"a", "b", "c"}, {"p", "q"});
  call(model, "F", {"x", ""}, {"", "y"});
  EXPECT_HAS(
      import(model),
      "onnx.node \"Op\"(%arg0, %0, %0) outputs [\"p\", \"q\"] : (tensor<2x3xf32>, none, none)");
}

TEST_F(InlineFunctions, AnotherOpsetInsideStandsOnTheNodes) {
  ::onnx::ModelProto model = emptyModel();
  auto *function = addFunction(model, "F", {"a"}, {"b"});
  function->mutable_opset_import(0)->set_version(13);
  addNode(function, "Softmax", {"a"}, {"b"});
  call(model, "F", {"x"}, {"y"});
  EXPECT_HAS(import(model), "attributes {opset = 13 : i64}");
  imported.module->walk([&](ciuic::onnx::NodeOp node) { EXPECT_EQ(node.getOpsetVersion(), 13); });
}

TEST_F(InlineFunctions, CallsInSubgraphsAreInlined) {
  ::onnx::ModelProto model = emptyModel();
  addNode(addFunction(model, "F", {"a"}, {"b"}), "Op", {"a"}, {"b"});
  auto *attribute =
      ciuic::testing::addNode(model.mutable_graph(), "If", {"x"}, {"y"})->add_attribute();
  attribute->set_name("then_branch");
  attribute->set_type(Attribute::GRAPH);
  ciuic::testing::addNode(attribute->mutable_g(), "F", {"x"}, {"t"})->set_domain("local");
  addValue(attribute->mutable_g()->mutable_output(), "t", ::onnx::TensorProto::FLOAT, {"2", "3"});
  ASSERT_NE(import(model), "");
  EXPECT_EQ(types(), (Types{"If", "Op"}));
}

TEST_F(InlineFunctions, CyclesAreRefused) { // GHSA-7w46-vvrh-m8q5
  ::onnx::ModelProto model = emptyModel();
  addNode(addFunction(model, "A", {"a"}, {"b"}), "B", {"a"}, {"b"}, "local");
  auto *second = addFunction(model, "B", {"a"}, {"b"});
  // The cycle goes through a subgraph.
  auto *attribute = addNode(second, "If", {"a"}, {"b"})->add_attribute();
  attribute->set_name("then_branch");
  attribute->set_type(Attribute::GRAPH);
  ciuic::testing::addNode(attribute->mutable_g(), "A", {"a"}, {"t"})->set_domain("local");
  call(model, "A", {"x"}, {"y"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.function");
  EXPECT_HAS(message, "calls itself");
}

TEST_F(InlineFunctions, ChainsThatAreTooDeep) {
  ::onnx::ModelProto model = emptyModel();
  for (int i = 0; i < 100; ++i) {
    addNode(addFunction(model, "F" + std::to_string(i), {"a"}, {"b"}), "F" + std::to_string(i + 1),
            {"a"}, {"b"}, "local");
  }
  call(model, "F0", {"x"}, {"y"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.limit");
}

TEST_F(InlineFunctions, ExponentialGrowthIsBounded) {
  // 2^40 nodes from 80: every function calls the next one twice.
  ::onnx::ModelProto model = emptyModel();
  options.limits.nodes = 1000;
  for (int i = 0; i < 40; ++i) {
    auto *function = addFunction(model, "F" + std::to_string(i), {"a"}, {"b"});
    std::string next = i == 39 ? "Op" : "F" + std::to_string(i + 1),
                domain = i == 39 ? "" : "local";
    addNode(function, next, {"a"}, {"m"}, domain);
    addNode(function, next, {"m"}, {"b"}, domain);
  }
  call(model, "F0", {"x"}, {"y"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.limit");
}

TEST_F(InlineFunctions, ExponentialGrowthOfNothingIsBounded) {
  // The same with bodies that have no node at the end: it is calls that must be counted, too.
  ::onnx::ModelProto model = emptyModel();
  options.limits.nodes = 1000;
  for (int i = 0; i < 40; ++i) {
    auto *function = addFunction(model, "F" + std::to_string(i), {"a"}, {});
    for (int k = 0; k < 2 && i < 39; ++k) {
      addNode(function, "F" + std::to_string(i + 1), {"a"}, {}, "local");
    }
  }
  call(model, "F0", {"x"}, {});
  ciuic::testing::addNode(model.mutable_graph(), "Relu", {"x"}, {"y"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.limit");
}

TEST_F(InlineFunctions, RepeatedLargeAttributesAreBounded) {
  // 8000 calls of one node with 2^16 integers: a file of 200 KB, half a billion elements.
  ::onnx::ModelProto model = emptyModel();
  auto *function = addFunction(model, "F", {"a"}, {"b"});
  auto *attribute = addNode(function, "Op", {"a"}, {"b"})->add_attribute();
  attribute->set_name("list");
  attribute->set_type(Attribute::INTS);
  attribute->mutable_ints()->Resize(1 << 16, 1);
  for (int i = 0; i < 8000; ++i) {
    call(model, "F", {"x"}, {i == 0 ? "y" : "y" + std::to_string(i)});
  }
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.limit");
}

TEST_F(InlineFunctions, WrongCalls) {
  ::onnx::ModelProto model = emptyModel();
  auto *function = addFunction(model, "F", {"a"}, {"b"});
  addNode(function, "Op", {"a"}, {"b"});
  ::onnx::NodeProto *node = call(model, "F", {"x", "x"}, {"y"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.function");
  node->mutable_input()->RemoveLast();
  addInt(node, "unknown", 1);
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.function");
  node->clear_attribute();
  EXPECT_NE(import(model), "") << message;
  function->mutable_node(0)->set_output(0, "other");
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.function");
}

TEST_F(InlineFunctions, WrongDefinitions) {
  ::onnx::ModelProto model = reluModel();
  addFunction(model, "F", {"a"}, {"b"});
  addFunction(model, "F", {"a"}, {"b"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.function");
  model.clear_functions();
  addFunction(model, "", {"a"}, {"b"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.function");
  model.clear_functions();
  call(model, "G", {"x"}, {"z"});
  addNode(addFunction(model, "G", {"a", "a"}, {"b"}), "Op", {"a"}, {"b"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.function");
}

TEST_F(InlineFunctions, ABodySeesNothingOutside) {
  ::onnx::ModelProto model = emptyModel();
  addNode(addFunction(model, "F", {"a"}, {"b"}), "Op", {"x"}, {"b"});
  call(model, "F", {"x"}, {"y"});
  EXPECT_EQ(import(model), "");
  EXPECT_EQ(code(), "input.graph");
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See ModelBuilder.h.
#include "test/frontend/ModelBuilder.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/raw_ostream.h"
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>

using namespace ciuic;
using namespace ciuic::testing;

::onnx::NodeProto *ciuic::testing::addNode(::onnx::GraphProto *graph, const std::string &type,
                                           const std::vector<std::string> &inputs,
                                           const std::vector<std::string> &outputs) {
  ::onnx::NodeProto *node = graph->add_node();
  node->set_op_type(type);
  for (const std::string &input : inputs) {
    node->add_input(input);
  }
  for (const std::string &output : outputs) {
    node->add_output(output);
  }
  return node;
}

::onnx::AttributeProto *ciuic::testing::addInt(::onnx::NodeProto *node, const std::string &name,
                                               int64_t value) {
  ::onnx::AttributeProto *attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(::onnx::AttributeProto::INT);
  attribute->set_i(value);
  return attribute;
}

::onnx::ValueInfoProto *
ciuic::testing::addValue(google::protobuf::RepeatedPtrField<::onnx::ValueInfoProto> *list,
                         const std::string &name, int type, const std::vector<std::string> &dims) {
  ::onnx::ValueInfoProto *info = list->Add();
  info->set_name(name);
  auto *tensor = info->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape();
  for (const std::string &dim : dims) {
    auto *added = tensor->mutable_shape()->add_dim();
    if (!dim.empty() && (std::isdigit(static_cast<unsigned char>(dim[0])) || dim[0] == '-')) {
      added->set_dim_value(std::stoll(dim));
    } else if (!dim.empty()) {
      added->set_dim_param(dim);
    }
  }
  return info;
}

::onnx::TensorProto *ciuic::testing::addTensor(::onnx::GraphProto *graph, const std::string &name,
                                               int type, const std::vector<int64_t> &dims) {
  ::onnx::TensorProto *tensor = graph->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(type);
  for (int64_t dim : dims) {
    tensor->add_dims(dim);
  }
  return tensor;
}

std::string ciuic::testing::rawFloats(int64_t count) {
  std::string bytes(count * 4, '\0');
  for (int64_t i = 0; i < count; ++i) {
    float value = static_cast<float>(i);
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  return bytes;
}

::onnx::ModelProto ciuic::testing::emptyModel() {
  ::onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(18);
  ::onnx::GraphProto *graph = model.mutable_graph();
  graph->set_name("g");
  addValue(graph->mutable_input(), "x", ::onnx::TensorProto::FLOAT, {"2", "3"});
  addValue(graph->mutable_output(), "y", ::onnx::TensorProto::FLOAT, {"2", "3"});
  return model;
}

::onnx::ModelProto ciuic::testing::reluModel() {
  ::onnx::ModelProto model = emptyModel();
  addNode(model.mutable_graph(), "Relu", {"x"}, {"y"});
  return model;
}

ImportTest::ImportTest() {
  std::string pattern = (std::filesystem::temp_directory_path() / "ciuic-frontend-XXXXXX").string();
  folder = ::mkdtemp(pattern.data());
}

ImportTest::~ImportTest() { std::filesystem::remove_all(folder); }

void ImportTest::write(const std::string &name, const std::string &bytes) {
  std::ofstream(path(name), std::ios::binary) << bytes;
}

void ImportTest::write(const std::string &name, const ::onnx::ModelProto &model) {
  write(name, model.SerializeAsString());
}

std::string ImportTest::import(const std::string &name) {
  message.clear();
  diagnostics = 0;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
    if (diagnostics++ == 0) {
      message = diagnostic.str();
    }
    return mlir::success();
  });
  mlir::FailureOr<frontend::ImportedModel> result =
      frontend::importOnnx(path(name), context, options);
  if (mlir::failed(result)) {
    EXPECT_EQ(diagnostics, 1) << "a failure says one thing: " << message;
    return "";
  }
  imported = std::move(*result);
  std::string text;
  llvm::raw_string_ostream os(text);
  imported.module->print(os);
  return text;
}

std::string ImportTest::import(const ::onnx::ModelProto &model) {
  write("model.onnx", model);
  return import("model.onnx");
}

std::string ImportTest::code() const {
  std::string_view found = splitErrorCode(message).first;
  return found.empty() ? message : std::string(found);
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builds small ONNX models for tests, writes them to a folder of the test's own, imports them and
// keeps what was said.
#pragma once
#include "frontend/Import.h"
#include "frontend/onnx-ml.pb.h"
#include "mlir/IR/MLIRContext.h"
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace ciuic::testing {

/// A model of one graph, "g", at opset 18, with one input "x" and one output "y" of 2x3 floats, and
/// no node.
::onnx::ModelProto emptyModel();

/// The same with y = Relu(x).
::onnx::ModelProto reluModel();

::onnx::NodeProto *addNode(::onnx::GraphProto *graph, const std::string &type,
                           const std::vector<std::string> &inputs,
                           const std::vector<std::string> &outputs);

::onnx::AttributeProto *addInt(::onnx::NodeProto *node, const std::string &name, int64_t value);

/// A dim is a number, or a name if it is not one.
::onnx::ValueInfoProto *addValue(google::protobuf::RepeatedPtrField<::onnx::ValueInfoProto> *list,
                                 const std::string &name, int type,
                                 const std::vector<std::string> &dims);

::onnx::TensorProto *addTensor(::onnx::GraphProto *graph, const std::string &name, int type,
                               const std::vector<int64_t> &dims);

/// `count` floats 0, 1, 2, … as raw bytes.
std::string rawFloats(int64_t count);

/// One import in a folder that is removed afterwards.
class ImportTest : public ::testing::Test {
protected:
  ImportTest();
  ~ImportTest() override;

  std::string path(const std::string &name) const { return folder + "/" + name; }
  void write(const std::string &name, const std::string &bytes);
  void write(const std::string &name, const ::onnx::ModelProto &model);

  /// Imports NAME; the text of the module, or "" after a failure, when `message` has the first
  /// diagnostic.
  std::string import(const std::string &name);
  std::string import(const ::onnx::ModelProto &model);

  /// The code of `message`, or all of it if it has none.
  std::string code() const;

  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  frontend::ImportOptions options;
  frontend::ImportedModel imported;
  std::string folder, message;
  int diagnostics = 0;
};

/// Fails unless `text` has `part`.
#define EXPECT_HAS(text, part)                                                                     \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << "no \"" << (part) << "\" in:\n"    \
                                                             << (text)

} // namespace ciuic::testing

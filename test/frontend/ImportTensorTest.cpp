// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensors: which field the data stand in, what stays in the file, and every way in which shape,
// type and data disagree.
#include "test/frontend/ModelBuilder.h"
#include <filesystem>
#include <functional>

using namespace ciuic::testing;
using Tensor = ::onnx::TensorProto;

namespace {
class ImportTensor : public ImportTest {
protected:
  /// The text of a model with one initializer "w" that `fill` makes.
  std::string importWith(int type, const std::vector<int64_t> &dims,
                         const std::function<void(Tensor &)> &fill) {
    ::onnx::ModelProto model = reluModel();
    fill(*addTensor(model.mutable_graph(), "w", type, dims));
    return import(model);
  }

  /// The bytes of the one onnx.weight, `step` at a time.
  std::string readWeight(int64_t step) {
    ciuic::onnx::WeightOp weight;
    imported.module->walk([&](ciuic::onnx::WeightOp op) { weight = op; });
    if (!weight) {
      return "no weight";
    }
    std::string bytes(*ciuic::onnx::tensorBytes(weight.getHandle().getType()), '\0'), error;
    for (int64_t at = 0; at < static_cast<int64_t>(bytes.size()); at += step) {
      size_t part = std::min<size_t>(step, bytes.size() - at);
      if (!imported.files->read(weight.getHandle(), at, {bytes.data() + at, part}, error)) {
        return error;
      }
    }
    return bytes;
  }
};
} // namespace

TEST_F(ImportTensor, OneKibIsInlineOneMoreByteStays) {
  std::string text =
      importWith(Tensor::FLOAT, {256}, [](Tensor &t) { t.set_raw_data(rawFloats(256)); });
  EXPECT_HAS(text, "onnx.constant \"w\" dense<");
  text = importWith(Tensor::FLOAT, {257}, [](Tensor &t) { t.set_raw_data(rawFloats(257)); });
  EXPECT_HAS(text, "onnx.weight \"w\" #onnx.weight<file = 0, offset = ");
  EXPECT_HAS(text, "bytes = 1028> : tensor<257xf32>");
  EXPECT_EQ(readWeight(100), rawFloats(257));
}

TEST_F(ImportTensor, FloatDataIsRawInTheFile) {
  std::string text = importWith(Tensor::FLOAT, {3, 200}, [](Tensor &t) {
    for (int i = 0; i < 600; ++i) {
      t.add_float_data(static_cast<float>(i));
    }
  });
  EXPECT_HAS(text, "bytes = 2400> : tensor<3x200xf32>");
  EXPECT_EQ(readWeight(2400), rawFloats(600));
}

TEST_F(ImportTensor, LongIntegersStayAsVarints) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < 3000; ++i) {
    values.push_back(i % 3 == 0 ? -i : i << (i % 50));
  }
  std::string text = importWith(Tensor::INT64, {3000}, [&](Tensor &t) {
    for (int64_t value : values) {
      t.add_int64_data(value);
    }
  });
  EXPECT_HAS(text, "encoding = varint> : tensor<3000xi64>");
  std::string expected(reinterpret_cast<const char *>(values.data()), 8 * values.size());
  EXPECT_EQ(readWeight(8 * 3000), expected);
  EXPECT_EQ(readWeight(8 * 7), expected);
  // Back to the beginning: the cursor does not only go forward.
  EXPECT_EQ(readWeight(8 * 1000), expected);
  // A part of the last element, then all of it.
  EXPECT_EQ(readWeight(8), expected);
}

TEST_F(ImportTensor, NarrowIntegersInInt32Data) {
  // f16 stands as its bits, i8 sign-extended.
  std::string text = importWith(Tensor::FLOAT16, {2}, [](Tensor &t) {
    t.add_int32_data(0x3c00);
    t.add_int32_data(0xc000);
  });
  EXPECT_HAS(text, "dense<[1.000000e+00, -2.000000e+00]> : tensor<2xf16>");
  text = importWith(Tensor::INT8, {2}, [](Tensor &t) {
    t.add_int32_data(-128);
    t.add_int32_data(127);
  });
  EXPECT_HAS(text, "dense<[-128, 127]> : tensor<2xi8>");
  text = importWith(Tensor::INT8, {2000}, [](Tensor &t) {
    for (int i = 0; i < 2000; ++i) {
      t.add_int32_data(i % 256 - 128);
    }
  });
  EXPECT_HAS(text, "encoding = varint> : tensor<2000xi8>");
  std::string bytes = readWeight(333);
  ASSERT_EQ(bytes.size(), 2000U);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(static_cast<int8_t>(bytes[i]), i % 256 - 128);
  }
}

TEST_F(ImportTensor, ShortIntegersOfManyBytesOnTheWireAreInline) {
  // 100 negative numbers are 1000 bytes of varints and 800 bytes of tensor.
  std::string text = importWith(Tensor::INT64, {100}, [](Tensor &t) {
    for (int i = 0; i < 100; ++i) {
      t.add_int64_data(-1);
    }
  });
  EXPECT_HAS(text, "dense<-1> : tensor<100xi64>");
}

TEST_F(ImportTensor, OtherTypedFields) {
  EXPECT_HAS(importWith(Tensor::DOUBLE, {1}, [](Tensor &t) { t.add_double_data(0.1); }),
             "dense<1.000000e-01> : tensor<1xf64>");
  EXPECT_HAS(importWith(Tensor::UINT64, {1}, [](Tensor &t) { t.add_uint64_data(UINT64_MAX); }),
             "dense<18446744073709551615> : tensor<1xui64>");
  EXPECT_HAS(importWith(Tensor::UINT32, {1}, [](Tensor &t) { t.add_uint64_data(UINT32_MAX); }),
             "dense<4294967295> : tensor<1xui32>");
  EXPECT_HAS(importWith(Tensor::BOOL, {2},
                        [](Tensor &t) {
                          t.add_int32_data(1);
                          t.add_int32_data(0);
                        }),
             "dense<[true, false]> : tensor<2xi1>");
  EXPECT_HAS(importWith(Tensor::COMPLEX64, {1},
                        [](Tensor &t) {
                          t.add_float_data(1);
                          t.add_float_data(2);
                        }),
             "dense<(1.000000e+00,2.000000e+00)> : tensor<1xcomplex<f32>>");
  EXPECT_HAS(importWith(Tensor::STRING, {2},
                        [](Tensor &t) {
                          t.add_string_data("a");
                          t.add_string_data("b");
                        }),
             "dense<[\"a\", \"b\"]> : tensor<2x!onnx.string>");
}

TEST_F(ImportTensor, SubByteElementsArePackedLowNibbleFirst) {
  EXPECT_HAS(
      importWith(Tensor::INT4, {3}, [](Tensor &t) { t.set_raw_data(std::string("\x81\x07", 2)); }),
      "dense<[1, -8, 7]> : tensor<3xi4>");
  EXPECT_HAS(importWith(Tensor::UINT4, {3},
                        [](Tensor &t) {
                          t.add_int32_data(0x81);
                          t.add_int32_data(0x07);
                        }),
             "dense<[1, 8, 7]> : tensor<3xui4>");
  EXPECT_HAS(
      importWith(Tensor::UINT2, {5}, [](Tensor &t) { t.set_raw_data(std::string("\xe4\x01", 2)); }),
      "dense<[0, 1, 2, 3, 1]> : tensor<5xui2>");
  // Codes of E2M1: 0x2 is 1.0, 0xf is -6.0.
  EXPECT_HAS(importWith(Tensor::FLOAT4E2M1, {2}, [](Tensor &t) { t.set_raw_data("\xf2"); }),
             "dense<[1.000000e+00, -6.000000e+00]> : tensor<2xf4E2M1FN>");
  // 3000 elements are 1500 bytes.
  EXPECT_HAS(importWith(Tensor::UINT4, {3000},
                        [](Tensor &t) { t.set_raw_data(std::string(1500, '\x21')); }),
             "bytes = 1500> : tensor<3000xui4>");
}

TEST_F(ImportTensor, EmptyAndScalarTensors) {
  EXPECT_HAS(importWith(Tensor::FLOAT, {0, 5}, [](Tensor &) {}), "dense<> : tensor<0x5xf32>");
  EXPECT_HAS(importWith(Tensor::INT64, {0}, [](Tensor &t) { t.set_raw_data(""); }),
             "dense<> : tensor<0xi64>");
  EXPECT_HAS(importWith(Tensor::FLOAT, {}, [](Tensor &t) { t.add_float_data(2); }),
             "dense<2.000000e+00> : tensor<f32>");
}

TEST_F(ImportTensor, DataOfTheWrongSize) {
  // R5 of the hostile-input rules: raw_data that is shorter than the shape says was a heap overflow
  // elsewhere.
  EXPECT_EQ(importWith(Tensor::FLOAT, {2}, [](Tensor &t) { t.set_raw_data("1234567"); }), "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_HAS(message, "has 7 bytes of data, its shape and type 'tensor<2xf32>' ask for 8 bytes");
  EXPECT_EQ(importWith(Tensor::FLOAT, {1000}, [](Tensor &t) { t.set_raw_data(rawFloats(999)); }),
            "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(importWith(Tensor::FLOAT, {1}, [](Tensor &) {}), "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(
      importWith(Tensor::INT64, {999}, [](Tensor &t) { t.mutable_int64_data()->Resize(1000, 1); }),
      "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(importWith(Tensor::STRING, {3}, [](Tensor &t) { t.add_string_data("a"); }), "");
  EXPECT_EQ(code(), "input.tensor-data");
}

TEST_F(ImportTensor, DataInTheWrongField) {
  EXPECT_EQ(importWith(Tensor::FLOAT, {1}, [](Tensor &t) { t.add_int32_data(1); }), "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(
      importWith(Tensor::FLOAT, {600}, [](Tensor &t) { t.mutable_int64_data()->Resize(600, 1); }),
      "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(importWith(Tensor::FLOAT, {1},
                       [](Tensor &t) {
                         t.add_float_data(1);
                         t.set_raw_data(rawFloats(1));
                       }),
            "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(importWith(Tensor::FLOAT, {600},
                       [](Tensor &t) {
                         t.add_float_data(1);
                         t.set_raw_data(rawFloats(600));
                       }),
            "");
  EXPECT_EQ(code(), "input.tensor-data");
}

TEST_F(ImportTensor, ElementsThatDoNotFitTheirType) {
  EXPECT_EQ(importWith(Tensor::INT8, {1}, [](Tensor &t) { t.add_int32_data(256); }), "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(importWith(Tensor::UINT8, {2000},
                       [](Tensor &t) { t.mutable_int32_data()->Resize(2000, 300); }),
            "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_HAS(message, "element 0 of an integer tensor is 300");
}

TEST_F(ImportTensor, ShapesThatOverflow) {
  EXPECT_EQ(importWith(Tensor::FLOAT, {-1}, [](Tensor &) {}), "");
  EXPECT_EQ(code(), "input.tensor-data");
  // The product wraps to 0 in 64 bits.
  EXPECT_EQ(importWith(Tensor::FLOAT, {int64_t{1} << 32, int64_t{1} << 32}, [](Tensor &) {}), "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(importWith(Tensor::FLOAT, {INT64_MAX}, [](Tensor &) {}), "");
  EXPECT_EQ(code(), "input.tensor-data");
  EXPECT_EQ(importWith(Tensor::INT8, {int64_t{1} << 40, 1 << 8}, [](Tensor &) {}), "");
  EXPECT_HAS(message, "more than 2^48 elements");
  EXPECT_EQ(importWith(Tensor::FLOAT, std::vector<int64_t>(33, 1),
                       [](Tensor &t) { t.add_float_data(1); }),
            "");
  EXPECT_EQ(code(), "input.limit");
}

TEST_F(ImportTensor, StringTables) {
  EXPECT_EQ(importWith(Tensor::STRING, {1},
                       [](Tensor &t) { t.add_string_data(std::string(20000, 'x')); }),
            "");
  EXPECT_EQ(code(), "unsupported.type");
}

TEST_F(ImportTensor, Segments) {
  EXPECT_EQ(importWith(Tensor::FLOAT, {1},
                       [](Tensor &t) {
                         t.mutable_segment()->set_begin(0);
                         t.mutable_segment()->set_end(1);
                       }),
            "");
  EXPECT_EQ(code(), "unsupported.model");
}

TEST_F(ImportTensor, LargeTensorsInAttributes) {
  ::onnx::ModelProto model = emptyModel();
  ::onnx::NodeProto *node = addNode(model.mutable_graph(), "Constant", {}, {"y"});
  auto *attribute = node->add_attribute();
  attribute->set_name("value");
  attribute->set_type(::onnx::AttributeProto::TENSOR);
  attribute->mutable_t()->set_data_type(Tensor::FLOAT);
  attribute->mutable_t()->add_dims(500);
  attribute->mutable_t()->set_raw_data(rawFloats(500));
  EXPECT_HAS(import(model), "onnx.node \"Constant\"() {value = #onnx.weight<file = 0, offset = ");
}

TEST_F(ImportTensor, AFileThatChangesIsAnErrorNotACrash) {
  ASSERT_NE(importWith(Tensor::FLOAT, {1000}, [](Tensor &t) { t.set_raw_data(rawFloats(1000)); }),
            "");
  std::filesystem::resize_file(path("model.onnx"), 100);
  EXPECT_HAS(readWeight(4000), "[environment.file-changed]");
  // The same size again, but another time: other bytes may stand there.
  ASSERT_NE(importWith(Tensor::FLOAT, {1000}, [](Tensor &t) { t.set_raw_data(rawFloats(1000)); }),
            "");
  std::filesystem::last_write_time(path("model.onnx"),
                                   std::filesystem::last_write_time(path("model.onnx")) -
                                       std::chrono::hours(1));
  EXPECT_HAS(readWeight(4000), "[environment.file-changed]");
}

TEST_F(ImportTensor, ReadsBeyondAWeightAreRefused) {
  ASSERT_NE(importWith(Tensor::FLOAT, {1000}, [](Tensor &t) { t.set_raw_data(rawFloats(1000)); }),
            "");
  ciuic::onnx::WeightOp weight;
  imported.module->walk([&](ciuic::onnx::WeightOp op) { weight = op; });
  char byte[8];
  std::string error;
  EXPECT_FALSE(imported.files->read(weight.getHandle(), 3996, byte, error));
  EXPECT_FALSE(imported.files->read(weight.getHandle(), -1, byte, error));
  EXPECT_FALSE(imported.files->read(weight.getHandle(), INT64_MAX, byte, error));
  EXPECT_TRUE(imported.files->read(weight.getHandle(), 3992, byte, error));
}

/// File and memory of 3 GiB models: only the head and the tail of the file have blocks.
TEST_F(ImportTensor, FilesOfMoreThanTwoGib) {
  const int64_t bytes = int64_t{3} << 30;
  auto varint = [](uint64_t value) {
    std::string out;
    for (; value >= 0x80; value >>= 7) {
      out.push_back(static_cast<char>(value | 0x80));
    }
    out.push_back(static_cast<char>(value));
    return out;
  };
  ::onnx::ModelProto model = reluModel();
  std::string graph = model.graph().SerializeAsString();
  model.clear_graph();
  // TensorProto: dims (1), data_type (2), name (8), then raw_data (9) without its bytes.
  std::string tensor = "\x08" + varint(bytes / 4) + "\x10\x01\x42\x01w\x4a" + varint(bytes);
  std::string initializer = "\x2a" + varint(tensor.size() + bytes) + tensor;
  std::string head = model.SerializeAsString() + "\x3a" +
                     varint(graph.size() + initializer.size() + bytes) + graph + initializer;
  write("large.onnx", head);
  std::filesystem::resize_file(path("large.onnx"), head.size() + bytes);
  std::string text = import("large.onnx");
  EXPECT_HAS(text, "bytes = 3221225472> : tensor<805306368xf32>");
  ciuic::onnx::WeightOp weight;
  imported.module->walk([&](ciuic::onnx::WeightOp op) { weight = op; });
  ASSERT_TRUE(weight);
  char last[4] = {1, 1, 1, 1};
  std::string error;
  EXPECT_TRUE(imported.files->read(weight.getHandle(), bytes - 4, last, error)) << error;
  EXPECT_EQ(std::string(last, 4), std::string(4, '\0'));
  // One byte less, and the graph does not fit the file.
  std::filesystem::resize_file(path("large.onnx"), head.size() + bytes - 1);
  EXPECT_EQ(import("large.onnx"), "");
  EXPECT_EQ(code(), "input.truncated");
}

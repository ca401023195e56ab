// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Leaves, elementwise maps, reductions and data movement.
#ifndef CIUIC_GRAPH_OPS
#define CIUIC_GRAPH_OPS
include "ir/Graph/GraphBase.td"

def Graph_WeightOp : Graph_Op<"weight", [Pure]> {
  let summary = "A stored tensor, by place: bytes [offset, offset + bytes) of the module's file number `file`";
  let description = [{
    The bytes stay on disk; packing reads them through a bounded buffer. Where the packing's format is not the stored
    one, `relative_error` is what it costs the values and `predicted_loss` what that is expected to cost the model.
    With `activation_error`, products of a single row by this weight round the row to int8 in groups; it bounds what
    that costs the row's values.
    ```mlir
    %w = graph.weight "encoder.0.q.weight" file 0 offset 4096 bytes 589824 : tensor<384x384xf32>
    ```
    With `blocks` the file holds integers at `offset`, and `bytes` is what they come to as numbers of the result type.
    A merged weight is several stored tensors of equal depth, side by side along their columns: `parts` holds file, offset
    and bytes of each, `file` and `offset` are the first one's. With `interleaved` sixteen columns of each part take
    turns, so that panels of one place in the parts are neighbours. The parts of a vector follow one another.
    (C1) `bytes` is the size of the result type; (C2) the result type is static; (C3) blocks stand for a matrix of
    floats of their depth; (C4) parts, if any, are two or more of a matrix or a vector, add up to `bytes` and begin with
    `file` and `offset`; (C5) a weight in blocks lists scales, and zeros if any, for each part, and nothing without parts.
  }];
  let arguments = (ins StrAttr:$name, I64Attr:$file, I64Attr:$offset, I64Attr:$bytes, OptionalAttr<Graph_PackingAttr>:$packing,
    OptionalAttr<F64Attr>:$relative_error, OptionalAttr<F64Attr>:$activation_error, OptionalAttr<F64Attr>:$predicted_loss,
    OptionalAttr<Graph_BlocksAttr>:$blocks, OptionalAttr<DenseI64ArrayAttr>:$parts, UnitAttr:$interleaved);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$name `file` custom<Int>($file) `offset` custom<Int>($offset) `bytes` custom<Int>($bytes) attr-dict `:` type($result)";
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::llvm::StringRef":$name, "uint64_t":$file, "uint64_t":$offset,
                                 "uint64_t":$bytes, "PackingAttr":$packing), [{
    build($_builder, $_state, result, name, file, offset, bytes, packing, ::mlir::FloatAttr(), ::mlir::FloatAttr(),
          ::mlir::FloatAttr(), BlocksAttr(), ::mlir::DenseI64ArrayAttr(), /*interleaved=*/false);
  }]>];
  let hasVerifier = 1;
}

def Graph_ConstantOp : Graph_Op<"constant", [Pure, ConstantLike, AllTypesMatch<["value", "result"]>]> {
  let summary = "A small tensor by value (at most 64 KiB)";
  let description = [{
    (C1) the value's shape and element type are the result's; (C2) at most 65,536 bytes.
    ```mlir
    %axes = graph.constant dense<[1, 2]> : tensor<2xi64>
    ```
  }];
  let arguments = (ins ElementsAttr:$value, OptionalAttr<Graph_PackingAttr>:$packing);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasVerifier = 1;
  let hasFolder = 1;
  let extraClassDeclaration = [{ static constexpr int64_t maxBytes = 65536; }];
  let builders = [OpBuilder<(ins "::mlir::Type":$type, "::mlir::ElementsAttr":$value), [{
    build($_builder, $_state, type, value, PackingAttr());
  }]>];
}

def Graph_MapOp : Graph_Op<"map", [Pure, IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "A scalar region applied at every index of the results";
  let description = [{
    Results share one shape, the index space. Operand `i` is read at `maps[i](d…)[s…]`. The region's arguments are one
    scalar per operand; it may use arith and math ops, `graph.index` (a position in the index space) and
    `graph.extent` (a dim expression's value).
    (C1) one map per operand, dims = rank of the results, results = rank of the operand; (C2) one scalar argument of
    its element type per operand; (C3) one yielded scalar of its element type per result; (C4) results share a shape.
    ```mlir
    %y = graph.map (%x, %b) [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>] {
    ^bb0(%a: f32, %c: f32):
      %s = arith.addf %a, %c : f32
      graph.yield %s : f32
    } : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
    ```
  }];
  let arguments = (ins Variadic<Graph_Tensor>:$inputs, AffineMapArrayAttr:$maps);
  let results = (outs Variadic<Graph_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`(` $inputs `)` $maps $body attr-dict `:` functional-type($inputs, $results)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::AffineMap getMap(unsigned operand) {
      return ::llvm::cast<::mlir::AffineMapAttr>(getMaps()[operand]).getValue();
    }
    ::mlir::RankedTensorType getDomain() { return ::llvm::cast<::mlir::RankedTensorType>(getResult(0).getType()); }
  }];
  let skipDefaultBuilders = 1;
  let builders = [
    /// Builds the region with `body`, called with the scalar arguments; it returns the scalars to yield.
    OpBuilder<(ins "::mlir::TypeRange":$results, "::mlir::ValueRange":$inputs, "::llvm::ArrayRef<::mlir::AffineMap>":$maps,
      CArg<"::llvm::function_ref<::llvm::SmallVector<::mlir::Value>(::mlir::OpBuilder &, ::mlir::Location, ::mlir::ValueRange)>">:$body)>
  ];
}

def Graph_YieldOp : Graph_Op<"yield", [Pure, Terminator, ReturnLike, ParentOneOf<["MapOp", "FusionOp", "KernelOp"]>]> {
  let summary = "Ends the region of a map, fusion or kernel";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins), [{ }]>];
}

def Graph_IndexOp : Graph_Op<"index", [Pure, HasParent<"MapOp">]> {
  let summary = "The position along one dim of the enclosing map's index space";
  let description = [{ (C1) `dim` is below the rank of the index space. }];
  let arguments = (ins I64Attr:$dim);
  let results = (outs I64:$result);
  let assemblyFormat = "custom<Int>($dim) attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Graph_ExtentOp : Graph_Op<"extent", [Pure, HasParent<"MapOp">]> {
  let summary = "The value of a dim expression, known when the program runs";
  let description = [{ (C1) the map has no dims and one result. `graph.extent affine_map<()[s0] -> (s0 + 1)> : i64` }];
  let arguments = (ins AffineMapAttr:$expr);
  let results = (outs I64:$result);
  let assemblyFormat = "$expr attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Graph_ReduceOp : Graph_Op<"reduce", [Pure]> {
  let summary = "Combines elements along dims, which stay with extent 1; accumulates f16, bf16 and f32 in f32";
  let description = [{
    (C1) dims ascend and lie below the rank; (C2) the result has extent 1 at these dims, the operand's elsewhere;
    (C3) element types agree.
    ```mlir
    %m = graph.reduce mean %x dims [2] : tensor<1x8x384xf32> -> tensor<1x8x1xf32>
    ```
  }];
  let arguments = (ins Graph_ReduceKindAttr:$kind, Graph_Tensor:$input, DenseI64ArrayAttr:$dims);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$kind $input `dims` $dims attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ArgReduceOp : Graph_Op<"arg_reduce", [Pure]> {
  let summary = "The index of the largest (or smallest) element along the last dim, which stays with extent 1";
  let description = [{
    The first of equals unless `select_last`. (C1) the result is i64 and has extent 1 at the last dim; (C2) it has the
    operand's extents elsewhere; (C3) the kind is `max` or `min`.
  }];
  let arguments = (ins Graph_ReduceKindAttr:$kind, Graph_Tensor:$input, UnitAttr:$select_last);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$kind $input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ReshapeOp : Graph_Op<"reshape", [Pure]> {
  let summary = "The same elements in row-major order under another shape";
  let description = [{ (C1) as many elements on both sides, where both are constant. Costs nothing: the buffer is shared. }];
  let arguments = (ins Graph_Tensor:$input);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Graph_TransposeOp : Graph_Op<"transpose", [Pure]> {
  let summary = "Result dim i is operand dim permutation[i]";
  let description = [{ (C1) a permutation of the dims; (C2) shapes agree under it. }];
  let arguments = (ins Graph_Tensor:$input, DenseI64ArrayAttr:$permutation);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input $permutation attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ExpandOp : Graph_Op<"expand", [Pure]> {
  let summary = "Broadcasts dims of extent 1 (numpy rules, missing leading dims included)";
  let description = [{ (C1) the operand's rank is at most the result's and each operand dim is 1 or the result's. }];
  let arguments = (ins Graph_Tensor:$input);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_SliceOp : Graph_Op<"slice", [Pure]> {
  let summary = "Every `steps[i]`-th element from `offsets[i]` on; extents are the result type's";
  let description = [{
    Offsets are expressions of the symbols; steps may be negative (the offset is then the last element taken first).
    (C1) one offset and one nonzero step per dim.
    ```mlir
    %h = graph.slice %x offsets affine_map<()[s0] -> (0, s0, 0)> steps [1, 1, 1] : … -> …
    ```
  }];
  let arguments = (ins Graph_Tensor:$input, AffineMapAttr:$offsets, DenseI64ArrayAttr:$steps);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `offsets` $offsets `steps` $steps attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ConcatOp : Graph_Op<"concat", [Pure]> {
  let summary = "Operands one after the other along an axis";
  let description = [{ (C1) same rank and element type; (C2) axis below the rank; (C3) extents agree off the axis and add up along it where constant. }];
  let arguments = (ins Variadic<Graph_Tensor>:$inputs, I64Attr:$axis);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$inputs `axis` custom<Int>($axis) attr-dict `:` functional-type($inputs, $result)";
  let hasVerifier = 1;
}

def Graph_AppendOp : Graph_Op<"append", [Pure]> {
  let summary = "`past` continued by `fresh` along an axis";
  let description = [{
    The same value as a concat of the two. Where `past` is a state (`graph.state`), it is in place: only `fresh` is
    written, and the result is the state's buffer, whose strides are those of its largest extents.
    (C1) as concat's constraints.
  }];
  let arguments = (ins Graph_Tensor:$past, Graph_Tensor:$fresh, I64Attr:$axis);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$past `,` $fresh `axis` custom<Int>($axis) attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Graph_PadOp : Graph_Op<"pad", [Pure]> {
  let summary = "A border of one value around the operand";
  let description = [{ (C1) one `low` per dim, not negative; the high side follows from the extents. The value is the operand's element type. }];
  let arguments = (ins Graph_Tensor:$input, DenseI64ArrayAttr:$low, TypedAttrInterface:$value);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `low` $low `value` $value attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_GatherOp : Graph_Op<"gather", [Pure]> {
  let summary = "Slices of `input` along `axis`, by index; negative indices count from the end";
  let description = [{
    Result shape: input[:axis] ++ indices ++ input[axis+1:]. An index out of range reads row 0 or the last row.
    (C1) axis below the rank; (C2) that result shape.
  }];
  let arguments = (ins Graph_Tensor:$input, Graph_IndexTensor:$indices, I64Attr:$axis);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `axis` custom<Int>($axis) attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Graph_CumSumOp : Graph_Op<"cumsum", [Pure]> {
  let summary = "Running sums along an axis";
  let description = [{ (C1) operand and result types agree; (C2) axis below the rank. }];
  let arguments = (ins Graph_Tensor:$input, I64Attr:$axis, UnitAttr:$exclusive, UnitAttr:$reverse);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `axis` custom<Int>($axis) attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ScatterOp : Graph_Op<"scatter", [Pure]> {
  let summary = "`input` with slices replaced: ONNX ScatterND without reduction";
  let description = [{
    indices[..., :] addresses the first k dims of input, k being their last extent; updates come in the indices' order,
    the last one wins.
    (C1) input and result types agree; (C2) k is a constant, 1 to the input's rank; (C3) updates has the shape
    indices[:-1] ++ input[k:] and the input's element type.
  }];
  let arguments = (ins Graph_Tensor:$input, Graph_IndexTensor:$indices, Graph_Tensor:$updates);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `,` $updates attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

#endif

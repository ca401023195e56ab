// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The error codes of the ONNX importer; those of opening and reading files are in
// ir/Onnx/{SafeOpen,WeightFiles}.h.
#pragma once
#include "ir/Diagnostics.h"

namespace ciuic::frontend {

inline constexpr ErrorCode kErrorNotOnnx{"input.not-onnx"};    ///< no ONNX model at all
inline constexpr ErrorCode kErrorTruncated{"input.truncated"}; ///< the file ends too early
inline constexpr ErrorCode kErrorMalformed{"input.malformed"}; ///< bytes that no ONNX writer makes
inline constexpr ErrorCode kErrorLimit{"input.limit"}; ///< larger than any limit of the importer
inline constexpr ErrorCode kErrorTensor{
    "input.tensor-data"}; ///< shape, type and data of a tensor disagree
inline constexpr ErrorCode kErrorExternalData{"input.external-data"}; ///< a bad external-data entry
inline constexpr ErrorCode kErrorType{"input.type"};   ///< a bad type or shape of a value
inline constexpr ErrorCode kErrorGraph{"input.graph"}; ///< names or structure of a graph are wrong
inline constexpr ErrorCode kErrorAttribute{"input.attribute"}; ///< a bad attribute of a node
inline constexpr ErrorCode kErrorFunction{
    "input.function"}; ///< a bad model-local function or call of one
inline constexpr ErrorCode kErrorUnsupportedModel{
    "unsupported.model"}; ///< IR version, chunked tensors, …
inline constexpr ErrorCode kErrorUnsupportedType{
    "unsupported.type"}; ///< an element type we do not know
inline constexpr ErrorCode kErrorUnsupportedAttribute{
    "unsupported.attribute"}; ///< sparse tensors, lists of graphs

} // namespace ciuic::frontend

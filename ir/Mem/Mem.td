// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The mem dialect: where values live.
#ifndef CIUIC_MEM
#define CIUIC_MEM

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Mem_Dialect : Dialect {
  let name = "mem";
  let cppNamespace = "::ciuic::mem";
  let summary = "Where values live and what moves them";
  let description = [{
    ```
    graph (kernels) ──ciuic-lower-to-mem──► mem ──ciuic-apply-offload──► mem (placed) ──ciuic-lower-to-plan──► plan
    ```
    * *weight*, *state*: bytes that outlive a pass; module symbols, shared by all entries.
    * *entry*: one shape profile; a straight list of ops in the order in which they run.
    * *buffer*: bytes of one tier; `alloc` to `free` is its life. Sizes are those at the bounds of the dims.
    * *unit*: weights that one copy moves; *slot*: the range of the arena that a streamed unit takes for a time.
    * *token*: the end of a copy; `await` orders a launch after it.
    After placing, every device buffer has its `offset` in the arena.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

// Symbols with bounds: the graph dialect's attribute.
def Mem_Symbols : TypedArrayAttrBase<
    Attr<CPred<"::llvm::isa<::ciuic::graph::SymbolAttr>($_self)">, "#graph.symbol">, "array of #graph.symbol">;

class Mem_Op<string mnemonic, list<Trait> traits = []> : Op<Mem_Dialect, mnemonic, traits>;

def Mem_Tier : I32EnumAttr<"Tier", "a kind of memory", [
    I32EnumAttrCase<"device", 0>, I32EnumAttrCase<"pinned", 1>, I32EnumAttrCase<"host", 2>, I32EnumAttrCase<"disk", 3>]> {
  let cppNamespace = "::ciuic::mem";
}

def Mem_BufferType : TypeDef<Mem_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "Bytes of one tier";
  let parameters = (ins EnumParameter<Mem_Tier>:$tier, "int64_t":$bytes);
  let assemblyFormat = "`<` $tier `,` $bytes `>`";
  let genVerifyDecl = 1;
}
def Mem_TokenType : TypeDef<Mem_Dialect, "Token"> {
  let mnemonic = "token";
  let summary = "The end of a copy";
}
def Mem_DeviceBuffer : Type<And<[CPred<"::llvm::isa<::ciuic::mem::BufferType>($_self)">,
    CPred<"::llvm::cast<::ciuic::mem::BufferType>($_self).getTier() == ::ciuic::mem::Tier::device">]>, "device buffer",
    "::ciuic::mem::BufferType">;

def Mem_WeightMode : I32EnumAttr<"WeightMode", "where a weight is when its step runs", [
    I32EnumAttrCase<"resident", 0>, I32EnumAttrCase<"streamed", 1>, I32EnumAttrCase<"gathered", 2>]> {
  let cppNamespace = "::ciuic::mem";
  let genSpecializedAttr = 0;
}
def Mem_WeightModeAttr : EnumAttr<Mem_Dialect, Mem_WeightMode, "mode">;

def Mem_WeightOp : Mem_Op<"weight", [Symbol]> {
  let summary = "A packed tensor of the program";
  let description = [{
    `source` is the `graph.weight` or `graph.constant` it is packed from (its type, and either its place in a file or
    its value; `blocks`, `parts` and `interleaved` as there). `format` names how numbers are stored, `layout` the order (docs/program-format.md); `packing` is the `#graph.packing` of a weight in panels. `bytes` is the packed
    size, `tile_bytes` the smallest piece that may be moved alone (= bytes if none).
    (C1) 0 < tile_bytes ≤ bytes; (C2) either `value` or `file`, `file_offset` and `file_bytes`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$name, TypeAttr:$type, StrAttr:$format, StrAttr:$layout,
    I64Attr:$bytes, I64Attr:$tile_bytes, OptionalAttr<AnyAttr>:$packing, OptionalAttr<ElementsAttr>:$value, OptionalAttr<I64Attr>:$file,
    OptionalAttr<I64Attr>:$file_offset, OptionalAttr<I64Attr>:$file_bytes, OptionalAttr<Mem_WeightModeAttr>:$mode,
    OptionalAttr<F64Attr>:$relative_error, OptionalAttr<F64Attr>:$activation_error, OptionalAttr<F64Attr>:$predicted_loss,
    OptionalAttr<AnyAttr>:$blocks, OptionalAttr<DenseI64ArrayAttr>:$parts, UnitAttr:$interleaved);
  let assemblyFormat = "$sym_name $name `:` $type `format` $format `layout` $layout attr-dict";
  let hasVerifier = 1;
}

def Mem_StateOp : Mem_Op<"state", [Symbol]> {
  let summary = "A buffer that lives as long as the session: an output that continues an input";
  let description = [{
    `type` holds the largest extents, whose strides the buffer has on every axis; it grows along `axis`. `input` and
    `output` are the model's names.
    (C1) the type is static; (C2) axis below the rank.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type, I64Attr:$axis, StrAttr:$input, StrAttr:$output,
    OptionalAttr<I64Attr>:$offset);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
}

def Mem_UnitOp : Mem_Op<"unit", [Symbol]> {
  let summary = "Weights that are moved together: one slab of the host tier, and of the arena while it is there";
  let description = [{
    Piece i is bytes [begin[i], end[i]) of `weights[i]`, at `at[i]` in the slab. A resident unit has its arena `offset`;
    a streamed one has none. The weights of a streamed unit may be on `disk`: in no memory, but read as they are copied.
    (C1) as many begins, ends and places as weights.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypedArrayAttrBase<FlatSymbolRefAttr, "weights">:$weights,
    DenseI64ArrayAttr:$begin, DenseI64ArrayAttr:$end, DenseI64ArrayAttr:$at, I64Attr:$bytes, OptionalAttr<I64Attr>:$offset,
    OptionalAttr<UnitAttr>:$disk);
  let assemblyFormat = "$sym_name $weights $begin $end $at attr-dict";
  let hasVerifier = 1;
}

def Mem_EntryOp : Mem_Op<"entry", [Symbol, IsolatedFromAbove, NoTerminator, SingleBlock]> {
  let summary = "One shape profile of the model: its ops in the order in which they run";
  let description = [{ `constraints` are expressions of the symbols that must be zero for a run to make sense. A pass finds `initial_units` in the
    slots at `initial_slots`, and leaves them there. }];
  let arguments = (ins SymbolNameAttr:$sym_name, Mem_Symbols:$symbols, OptionalAttr<ArrayAttr>:$constraints, OptionalAttr<I64Attr>:$dims_offset,
    OptionalAttr<DenseI64ArrayAttr>:$initial_units,
    OptionalAttr<DenseI64ArrayAttr>:$initial_slots, OptionalAttr<DictionaryAttr>:$prediction);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name `symbols` $symbols attr-dict-with-keyword $body";
}

def Mem_InputOp : Mem_Op<"input", [HasParent<"EntryOp">]> {
  let summary = "The buffer into which a model input is bound";
  let arguments = (ins StrAttr:$name, TypeAttr:$type, OptionalAttr<I64Attr>:$offset);
  let results = (outs Mem_BufferType:$buffer);
  let assemblyFormat = "$name `:` $type attr-dict `->` type($buffer)";
}

def Mem_OutputOp : Mem_Op<"output", [HasParent<"EntryOp">]> {
  let summary = "Hands a buffer out as a model output";
  let arguments = (ins StrAttr:$name, Mem_BufferType:$buffer, TypeAttr:$type);
  let assemblyFormat = "$name $buffer `:` $type attr-dict `from` type($buffer)";
}

def Mem_AllocOp : Mem_Op<"alloc", [HasParent<"EntryOp">]> {
  let summary = "Begins the life of an activation, or of an output's place in the host tier";
  let description = [{ With `workspace` the bytes are one launch's own, its last write. }];
  let arguments = (ins StrAttr:$name, OptionalAttr<I64Attr>:$offset, UnitAttr:$workspace);
  let results = (outs Mem_BufferType:$buffer);
  let assemblyFormat = "$name attr-dict `:` type($buffer)";
}

def Mem_FreeOp : Mem_Op<"free", [HasParent<"EntryOp">]> {
  let summary = "Ends the life of an activation";
  let arguments = (ins Mem_BufferType:$buffer);
  let assemblyFormat = "$buffer attr-dict `:` type($buffer)";
}

def Mem_GetWeightOp : Mem_Op<"get_weight", [HasParent<"EntryOp">]> {
  let summary = "Names bytes [begin, end) of a weight as an operand";
  let description = [{
    Before placing the buffer is of the host tier and stands for the whole weight. After placing it is of the device
    tier and has an `offset`: in a resident unit, or in the `slot` (by its offset) that a prefetch filled.
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight, I64Attr:$begin, I64Attr:$end, OptionalAttr<I64Attr>:$offset,
    OptionalAttr<I64Attr>:$slot);
  let results = (outs Mem_BufferType:$buffer);
  let assemblyFormat = "$weight attr-dict `:` type($buffer)";
}

def Mem_GetStateOp : Mem_Op<"get_state", [HasParent<"EntryOp">]> {
  let summary = "Names a state's buffer as an operand; its length is `before` when a pass starts and `after` when it ends";
  let arguments = (ins FlatSymbolRefAttr:$state, AffineMapAttr:$before, AffineMapAttr:$after);
  let results = (outs Mem_DeviceBuffer:$buffer);
  let assemblyFormat = "$state $before `to` $after attr-dict `:` type($buffer)";
}

def Mem_LaunchOp : Mem_Op<"launch", [HasParent<"EntryOp">, AttrSizedOperandSegments]> {
  let summary = "Runs a kernel: reads, then writes, in the order of the kernel's arguments and results";
  let description = [{
    A kernel that needs a workspace has one more write, an `alloc` of its own.
    `params` reach the kernel as they are; a launch over tiles passes their range. `grid` counts the units of work.
    `cost` says what the launch costs at the bounds: `class`, `flops`, `bytes`, `rows`, `format`; planning adds `microseconds`. `tiled`
    names the read that may come in tiles; with `piecewise` each tile is a launch of its own in every plan. With `gather_rows` the launch may instead run on the host tier: rows of a
    weight that is not in the arena are gathered there, and `row_bytes` each are copied up. With `column_rows` its one
    result may be stored by runs of columns: it has that many rows, of `column_bytes` each.
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Mem_BufferType>:$reads, Variadic<Mem_BufferType>:$writes,
    DenseI64ArrayAttr:$params, AffineMapAttr:$grid, DictionaryAttr:$cost, OptionalAttr<F64Attr>:$microseconds, OptionalAttr<I64Attr>:$tiled, UnitAttr:$piecewise,
    OptionalAttr<AffineMapAttr>:$gather_rows, OptionalAttr<I64Attr>:$row_bytes, UnitAttr:$on_host,
    OptionalAttr<AffineMapAttr>:$column_rows, OptionalAttr<I64Attr>:$column_bytes);
  let assemblyFormat = "$kernel `(` $reads `)` `->` `(` $writes `)` `params` $params `grid` $grid `cost` $cost attr-dict `:` `(` type($reads) `)` `->` `(` type($writes) `)`";
}

def Mem_PrefetchOp : Mem_Op<"prefetch", [HasParent<"EntryOp">]> {
  let summary = "Starts copying a unit into the slot at `offset`";
  let description = [{
    It may start once all launches before it in the entry are done. With `wrap` the next pass of this entry is the
    reader, and this op's token is unused.
  }];
  let arguments = (ins FlatSymbolRefAttr:$unit, I64Attr:$offset, UnitAttr:$wrap, F64Attr:$microseconds);
  let results = (outs Mem_TokenType:$token);
  let assemblyFormat = "$unit attr-dict";
}

def Mem_EvictOp : Mem_Op<"evict", [HasParent<"EntryOp">]> {
  let summary = "Copies an activation out to the host tier; its arena bytes are free when the token is done";
  let arguments = (ins Mem_BufferType:$buffer, I64Attr:$host_offset, F64Attr:$microseconds);
  let results = (outs Mem_TokenType:$token);
  let assemblyFormat = "$buffer attr-dict `:` type($buffer)";
}

def Mem_RestoreOp : Mem_Op<"restore", [HasParent<"EntryOp">]> {
  let summary = "Copies an evicted activation back, into the buffer given";
  let arguments = (ins Mem_BufferType:$buffer, I64Attr:$host_offset, F64Attr:$microseconds);
  let results = (outs Mem_TokenType:$token);
  let assemblyFormat = "$buffer attr-dict `:` type($buffer)";
}

def Mem_DrainOp : Mem_Op<"drain", [HasParent<"EntryOp">]> {
  let summary = "Copies columns of an output, side by side in `tile`, to their place in its rows in the host tier";
  let description = [{
    `rows` rows of `row_bytes` leave for byte `column` of rows that are `pitch` apart.
    (C1) 0 < row_bytes, 0 ≤ column, column + row_bytes ≤ pitch; (C2) the tile is of the device tier, the output of the host tier.
  }];
  let arguments = (ins Mem_BufferType:$tile, Mem_BufferType:$output, AffineMapAttr:$rows, I64Attr:$row_bytes, I64Attr:$column,
    I64Attr:$pitch, F64Attr:$microseconds);
  let results = (outs Mem_TokenType:$token);
  let assemblyFormat = "$tile `to` $output `rows` $rows attr-dict `:` type($tile) `to` type($output)";
  let hasVerifier = 1;
}

def Mem_AwaitOp : Mem_Op<"await", [HasParent<"EntryOp">]> {
  let summary = "Later launches run after these copies";
  let arguments = (ins Variadic<Mem_TokenType>:$tokens);
  let assemblyFormat = "$tokens attr-dict";
}

#endif

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The plan dialect: what the runtime does, one to one with the program's metadata (runtime/format/program.fbs).
#ifndef CIUIC_PLAN
#define CIUIC_PLAN

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"

def Plan_Dialect : Dialect {
  let name = "plan";
  let cppNamespace = "::ciuic::plan";
  let summary = "Flat steps with arena offsets, streams and waits";
  let description = [{
    ```
    mem (placed) ──ciuic-lower-to-plan──► plan ──codegen──► program file
    ```
    * *step*: a launch or a copy. Steps of one stream run in order; `waits` names earlier steps of other streams.
    * *wrap*: a copy for the next pass of the same entry; `prologue` lists what runs first when the slots hold
      something else.
    All offsets are bytes from the start of the arena, or of the host tier where the name says so.
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::ciuic::graph::GraphDialect"];
}

// Symbols with bounds: the graph dialect's attribute.
def Plan_Symbols : TypedArrayAttrBase<
    Attr<CPred<"::llvm::isa<::ciuic::graph::SymbolAttr>($_self)">, "#graph.symbol">, "array of #graph.symbol">;

class Plan_Op<string mnemonic, list<Trait> traits = []> : Op<Plan_Dialect, mnemonic, traits>;

def Plan_Stream : I32EnumAttr<"Stream", "a queue of steps that run in order", [
    I32EnumAttrCase<"compute", 0>, I32EnumAttrCase<"h2d", 1>, I32EnumAttrCase<"d2h", 2>]> {
  let cppNamespace = "::ciuic::plan";
}

def Plan_AccessAttr : AttrDef<Plan_Dialect, "Range"> {
  let mnemonic = "range";
  let summary = "Arena bytes [offset, offset + bytes) that a launch reads or writes";
  let parameters = (ins "int64_t":$offset, "int64_t":$bytes, "bool":$write);
  let assemblyFormat = "`<` $offset `,` $bytes `,` $write `>`";
}

def Plan_WeightOp : Plan_Op<"weight", [Symbol]> {
  let summary = "A packed weight's place: `host_offset` where it streams or is gathered, `arena_offset` where it is resident";
  let description = [{
    A weight of the host tier may have parts in the arena too: `resident` holds begin, end and arena offset of each.
    Host offsets of weights on the disk, which is no memory, count from `kDiskOffsets` (ir/Plan/Plan.h).
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$name, TypeAttr:$type, StrAttr:$format, StrAttr:$layout, I64Attr:$bytes,
    I64Attr:$tile_bytes, OptionalAttr<AnyAttr>:$packing, OptionalAttr<ElementsAttr>:$value, OptionalAttr<I64Attr>:$file,
    OptionalAttr<I64Attr>:$file_offset, OptionalAttr<I64Attr>:$file_bytes, I64Attr:$host_offset, I64Attr:$arena_offset,
    OptionalAttr<DenseI64ArrayAttr>:$resident, OptionalAttr<F64Attr>:$relative_error,
    OptionalAttr<F64Attr>:$activation_error, OptionalAttr<F64Attr>:$predicted_loss,
    OptionalAttr<AnyAttr>:$blocks, OptionalAttr<DenseI64ArrayAttr>:$parts, UnitAttr:$interleaved);
  let assemblyFormat = "$sym_name $name `:` $type `format` $format `layout` $layout attr-dict";
}

def Plan_StateOp : Plan_Op<"state", [Symbol]> {
  let summary = "A state's buffer";
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, I64Attr:$axis, StrAttr:$input, StrAttr:$output, I64Attr:$offset);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
}

def Plan_EntryOp : Plan_Op<"entry", [Symbol, IsolatedFromAbove, NoTerminator, SingleBlock]> {
  let summary = "The steps of one shape profile, in an order that respects all waits";
  let arguments = (ins SymbolNameAttr:$sym_name, Plan_Symbols:$symbols, OptionalAttr<ArrayAttr>:$constraints, I64Attr:$dims_offset,
    DictionaryAttr:$prediction);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name `symbols` $symbols attr-dict-with-keyword $body";
}

def Plan_PortOp : Plan_Op<"port", [HasParent<"EntryOp">]> {
  let summary = "A model input or output and its buffer; with `host` its offset is in the host tier";
  let arguments = (ins StrAttr:$name, TypeAttr:$type, I64Attr:$offset, I64Attr:$bytes, UnitAttr:$output, UnitAttr:$host);
  let assemblyFormat = "$name `:` $type attr-dict";
}

def Plan_StateUseOp : Plan_Op<"state_use", [HasParent<"EntryOp">]> {
  let summary = "A state that the entry continues: its length before and after a pass";
  let arguments = (ins FlatSymbolRefAttr:$state, AffineMapAttr:$before, AffineMapAttr:$after);
  let assemblyFormat = "$state $before `to` $after attr-dict";
}

def Plan_BufferOp : Plan_Op<"buffer", [HasParent<"EntryOp">]> {
  let summary = "An arena range and the steps that may touch it, for checks and reports";
  let arguments = (ins StrAttr:$name, StrAttr:$kind, I64Attr:$offset, I64Attr:$bytes, I64Attr:$first_step, I64Attr:$last_step);
  let assemblyFormat = "$name $kind attr-dict";
}

def Plan_LaunchOp : Plan_Op<"launch", [HasParent<"EntryOp">]> {
  let summary = "Runs a kernel on the compute stream";
  let description = [{ `shape` are the extents of a call of the vendor's library (kernels/VendorCalls.h). }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, TypedArrayAttrBase<Plan_AccessAttr, "ranges">:$args, DenseI64ArrayAttr:$params,
    AffineMapAttr:$grid, DenseI64ArrayAttr:$waits, F64Attr:$microseconds, OptionalAttr<AffineMapAttr>:$shape);
  let assemblyFormat = "$kernel $args `params` $params (`shape` $shape^)? `grid` $grid `waits` $waits `us` $microseconds attr-dict";
}

def Plan_CopyOp : Plan_Op<"copy", [HasParent<"EntryOp">]> {
  let summary = "Copies weight bytes from the host tier into the arena";
  let arguments = (ins FlatSymbolRefAttr:$weight, I64Attr:$tile, I64Attr:$host_offset, I64Attr:$arena_offset, I64Attr:$bytes,
    UnitAttr:$wrap, UnitAttr:$prologue, DenseI64ArrayAttr:$waits, F64Attr:$microseconds);
  let assemblyFormat = "$weight attr-dict `waits` $waits `us` $microseconds";
}

def Plan_SpillOp : Plan_Op<"spill", [HasParent<"EntryOp">]> {
  let summary = "Copies arena bytes out to the host tier, or back with `restore`";
  let arguments = (ins I64Attr:$arena_offset, I64Attr:$host_offset, I64Attr:$bytes, UnitAttr:$restore, DenseI64ArrayAttr:$waits,
    F64Attr:$microseconds);
  let assemblyFormat = "attr-dict `waits` $waits `us` $microseconds";
}

def Plan_DrainOp : Plan_Op<"drain", [HasParent<"EntryOp">]> {
  let summary = "Copies columns of an output out: `rows` rows of `row_bytes` to places in the host tier that are `pitch` apart";
  let arguments = (ins StrAttr:$name, I64Attr:$arena_offset, I64Attr:$bytes, I64Attr:$host_offset, I64Attr:$row_bytes, I64Attr:$pitch,
    AffineMapAttr:$rows, DenseI64ArrayAttr:$waits, F64Attr:$microseconds);
  let assemblyFormat = "$name attr-dict `rows` $rows `waits` $waits `us` $microseconds";
}

def Plan_GatherOp : Plan_Op<"gather", [HasParent<"EntryOp">]> {
  let summary = "Gathers rows of a weight of the host tier there and copies them into the arena";
  let arguments = (ins FlatSymbolRefAttr:$kernel, FlatSymbolRefAttr:$weight, I64Attr:$ids_offset, I64Attr:$ids_bytes, I64Attr:$ids_host_offset,
    I64Attr:$staging_host_offset, I64Attr:$arena_offset, I64Attr:$bytes, AffineMapAttr:$rows, I64Attr:$row_bytes,
    DenseI64ArrayAttr:$params, DenseI64ArrayAttr:$waits, F64Attr:$microseconds);
  let assemblyFormat = "$kernel $weight attr-dict `rows` $rows `params` $params `waits` $waits `us` $microseconds";
}

#endif

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Fusions, kernels and their launches.
#ifndef CIUIC_GRAPH_KERNEL_OPS
#define CIUIC_GRAPH_KERNEL_OPS
include "ir/Graph/GraphBase.td"

def Graph_FusionOp : Graph_Op<"fusion", [Pure, IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "Ops that one kernel computes";
  let description = [{
    The body is a list of graph ops over the block's arguments (one per operand, same type), in an order in which
    they can be computed. What a body may hold depends on the template:
    * `flat`: maps over one index space;
    * `row`: maps and reductions along the last dim, one outer index space;
    * `column`: maps and reductions along a run of dims that ends before the last;
    * `matmul`, `batch_matmul`, `conv`, …: one such op, then maps over its result's index space (the epilogue); a `matmul` of
      few rows may begin with the `rms_norm` of its rows, and may multiply interleaved columns that one map reads in pairs;
    * `heads`: ropes, appends to states and the slices, transposes and reshapes in front of each; every rope that no
      append reads and every append is a result;
    * others: the one op of that name.
    (C1) block arguments have the operands' types; (C2) yielded values have the results' types.
  }];
  let arguments = (ins Graph_TemplateAttr:$template_kind, Variadic<Graph_Tensor>:$inputs);
  let results = (outs Variadic<Graph_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$template_kind `(` $inputs `)` $body attr-dict `:` functional-type($inputs, $results)";
  let hasVerifier = 1;
}

def Graph_KernelOp : Graph_Op<"kernel", [Symbol, IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "A fusion outlined: one piece of generated code, shared by all launches of the same computation";
  let description = [{
    The body is a fusion's. `symbols` are those of the entry the kernel belongs to, whose values it reads from the
    entry's dims block. `grid` counts the units of work that threads may share, as an expression of the symbols;
    where `tiled` is set, the grid is per tile unit (a weight panel) and launches name the range of tiles.
    Argument attributes: `graph.physical` (an affine map of constants: the extents whose strides a state's buffer has),
    `graph.packing` (a #graph.packing: how codegen finds a weight).
    On CUDA kernels carry `graph.device`, and a unit is what one block computes at a time.
    (C1) block arguments have the types of `function_type`'s inputs; (C2) yielded values those of its results; (C3) the
    grid is one expression of the symbols.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type, Graph_TemplateAttr:$template_kind,
    TypedArrayAttrBase<Graph_SymbolAttr, "symbols">:$symbols, AffineMapAttr:$grid, I64Attr:$scratch, OptionalAttr<DictArrayAttr>:$arg_attrs);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$template_kind $sym_name $function_type `grid` $grid `scratch` custom<Int>($scratch) `symbols` $symbols (`args` $arg_attrs^)? $body attr-dict";
  let hasVerifier = 1;
}

def Graph_LaunchOp : Graph_Op<"launch", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Runs a kernel";
  let description = [{ (C1) the callee is a kernel of the module; (C2) operand and result types are its. }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<Graph_Tensor>:$inputs);
  let results = (outs Variadic<Graph_Tensor>:$results);
  let assemblyFormat = "$callee `(` $inputs `)` attr-dict `:` functional-type($inputs, $results)";
}

#endif

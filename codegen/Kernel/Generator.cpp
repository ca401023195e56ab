// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernel generation: the function around a template's loops. See Generator.h.
#include "codegen/Kernel/Generator.h"
#include "codegen/Kernel/Library.h"
#include "codegen/Kernel/Threads.h"
#include "ir/Graph/CudaLibrary.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace ciuic::codegen {

Buffer KernelFrame::result(unsigned number) {
  Value value = yield().getValues()[number];
  return emitter.buffer(pointers[body.getNumArguments() + number],
                        cast<RankedTensorType>(value.getType()));
}

void KernelFrame::forUnits(function_ref<void(Value)> unit) {
  if (emitter.device == Device::gpu) {
    forGroups(emitter, units, unit);
    return;
  }
  auto op = scf::ForOp::create(emitter.builder, emitter.loc, begin, end, emitter.constant(1));
  OpBuilder::InsertionGuard guard(emitter.builder);
  emitter.builder.setInsertionPointToStart(op.getBody());
  unit(op.getInductionVar());
}

// The operands' buffers: dense, or with the strides of `graph.physical` extents.
LogicalResult placeOperands(KernelFrame &frame) {
  ArrayAttr attrs = frame.kernel.getArgAttrsAttr();
  for (BlockArgument argument : frame.body.getArguments()) {
    unsigned i = argument.getArgNumber();
    auto type = cast<RankedTensorType>(argument.getType());
    Buffer buffer = frame.emitter.buffer(frame.pointers[i], type);
    auto dict = attrs && i < attrs.size() ? cast<DictionaryAttr>(attrs[i]) : DictionaryAttr();
    if (Attribute attr = dict ? dict.get("graph.physical") : Attribute()) {
      auto map = dyn_cast<AffineMapAttr>(attr);
      if (!map || map.getValue().getNumResults() != type.getRank() ||
          map.getValue().getNumInputs() != 0) {
        return frame.kernel.emitError("graph.physical of operand ")
               << i << " is a map to one constant extent per dim";
      }
      buffer.strides = Emitter::stridesOf(map.getValue().getResults(), type.getContext());
    }
    frame.emitter.buffers[argument] = buffer;
  }
  return success();
}

static unsigned addressSpace(Device device) { return device == Device::gpu ? 1 : 0; }

// Constants of several elements become read-only data of the kernel.
static void placeConstants(KernelFrame &frame, ModuleOp module) {
  Emitter &e = frame.emitter;
  unsigned number = 0;
  for (auto op : frame.body.getOps<graph::ConstantOp>()) {
    auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
    auto type = cast<RankedTensorType>(op.getResult().getType());
    Type element = type.getElementType();
    if (!dense || dense.isSplat()) {
      continue;
    }
    // i1 and bf16 have their own form in memory; a constant of them goes through integers of that
    // width.
    Buffer buffer = e.buffer(Value(), type);
    SmallVector<Attribute> values;
    Type stored = element;
    if (element.isInteger(1)) {
      stored = e.builder.getI8Type();
      for (bool b : dense.getValues<bool>()) {
        values.push_back(e.builder.getIntegerAttr(stored, b));
      }
    } else if (element.isBF16()) {
      stored = e.builder.getI16Type();
      for (APFloat f : dense.getValues<APFloat>()) {
        values.push_back(IntegerAttr::get(stored, f.bitcastToAPInt()));
      }
    } else if (isa<IntegerType>(element)) {
      stored = e.builder.getIntegerType(element.getIntOrFloatBitWidth());
      for (APInt i : dense.getValues<APInt>()) {
        values.push_back(IntegerAttr::get(stored, i));
      }
    } else {
      values = llvm::to_vector(dense.getValues<Attribute>());
    }
    auto flat = RankedTensorType::get({static_cast<int64_t>(values.size())}, stored);
    std::string name = (frame.kernel.getSymName() + ".constant." + Twine(number++)).str();
    auto array = LLVM::LLVMArrayType::get(stored, values.size());
    // A symbol of the function's own module.
    Block *symbols = module.getBody();
    if (e.device == Device::gpu) {
      symbols = (*module.getOps<gpu::GPUModuleOp>().begin()).getBody();
    }
    OpBuilder outside = OpBuilder::atBlockBegin(symbols);
    auto global =
        LLVM::GlobalOp::create(outside, e.loc, array, true, LLVM::Linkage::Private, name,
                               DenseElementsAttr::get(flat, values), 64, addressSpace(e.device));
    buffer.pointer = LLVM::AddressOfOp::create(e.builder, e.loc, global);
    e.buffers[op.getResult()] = buffer;
  }
}

static void emitTemplate(KernelFrame &frame) {
  switch (frame.kernel.getTemplateKind()) {
  case graph::Template::flat:
  case graph::Template::copy:
  case graph::Template::gather:
    return emitFlat(frame);
  case graph::Template::row:
    return emitRow(frame);
  case graph::Template::column:
    return emitColumn(frame);
  case graph::Template::transpose:
    return emitTranspose(frame);
  case graph::Template::concat:
    return emitConcat(frame);
  case graph::Template::pad:
    return emitPad(frame);
  case graph::Template::append:
    return emitAppend(frame);
  case graph::Template::rope:
    return emitRope(frame);
  case graph::Template::heads:
    return emitHeads(frame);
  case graph::Template::resize:
    return emitResize(frame);
  case graph::Template::cumsum:
    return emitCumSum(frame);
  case graph::Template::scatter:
    return emitScatter(frame);
  default:
    frame.emitter.fail("no generator of this template");
  }
}

bool beginsEarly(graph::KernelOp kernel) {
  return kernel.getTemplateKind() == graph::Template::heads;
}

LogicalResult generateKernel(graph::KernelOp original, ModuleOp module, Device device,
                             int capability) {
  Location loc = original.getLoc();
  MLIRContext *context = original.getContext();
  // The body is rewritten: work on a copy that is dropped at the end.
  OwningOpRef<Operation *> copy(original->clone());
  auto kernel = cast<graph::KernelOp>(*copy);
  Block &body = kernel.getBody().front();
  auto call = graph::libraryCallOf(kernel);
  if (failed(call)) {
    return failure();
  }
  bool isLibrary = call->has_value();
  FailureOr<AffineExpr> grid = isLibrary
                                   ? FailureOr<AffineExpr>(graph::unitsOf(**call, (*call)->params))
                                   : graph::gridOf(kernel.getTemplateKind(), body);
  if (succeeded(grid) && !graph::sameDim(*grid, kernel.getGrid().getResult(0))) {
    return original.emitError("the grid of a ")
           << graph::stringifyTemplate(kernel.getTemplateKind())
           << " kernel does not follow from its body";
  }
  if (failed(grid)) {
    return original.emitError("no units follow from this body for template ")
           << graph::stringifyTemplate(kernel.getTemplateKind());
  }
  expandNorms(body);

  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  unsigned operands = body.getNumArguments(), results = kernel.getFunctionType().getNumResults();
  auto pointer = LLVM::LLVMPointerType::get(context, addressSpace(device));
  Type i64 = builder.getI64Type();
  unsigned params = isLibrary ? (*call)->params.size() : 0;
  Block *entry, *main;
  GpuTarget target;
  SmallVector<int64_t> widths{8, 1};
  if (kernel.getTemplateKind() == graph::Template::row ||
      kernel.getTemplateKind() == graph::Template::column) {
    widths = {32, 8, 1};
  }
  if (device == Device::gpu) {
    FailureOr<GpuPlan> plan =
        isLibrary ? FailureOr<GpuPlan>(epiloguePlanOf(original)) : gpuPlanOf(original, capability);
    if (failed(plan)) {
      return original.emitError("no plan for a GPU follows from this body for template ")
             << graph::stringifyTemplate(kernel.getTemplateKind());
    }
    target = {*plan, capability};
    widths = {1};
    if (plan->width > 1) {
      widths.insert(widths.begin(), plan->width);
    }
    bool workspace = isLibrary && graph::workspaceOf(**call) > 0;
    if (isLibrary) {
      plan->threads = plan->group = graph::cudaBlockOf(**call).threads;
    }
    SmallVector<Type> arguments(operands + results + workspace + 1, pointer);
    arguments.append(params, i64);
    entry = beginGpuKernel(builder, loc, kernel.getSymName(), arguments, *plan, main);
  } else {
    auto type = builder.getFunctionType({pointer, pointer, pointer, i64, i64, pointer}, {});
    auto function = func::FuncOp::create(builder, loc, kernel.getSymName(), type);
    entry = function.addEntryBlock();
    main = function.addBlock();
    builder.setInsertionPointToEnd(main);
    func::ReturnOp::create(builder, loc);
  }
  builder.setInsertionPointToEnd(entry);
  cf::BranchOp::create(builder, loc, main);

  Emitter emitter(builder, loc, device, widths);
  emitter.target = target;
  KernelFrame frame{kernel, body, emitter, {}, {}, {}, {}, {}, {}, {}, {}};
  emitter.builder.setInsertionPoint(entry->getTerminator());
  if (device == Device::gpu) {
    ArrayRef<BlockArgument> arguments =
        ArrayRef(entry->getArguments().begin(), entry->getNumArguments()).drop_back(params);
    frame.dims = arguments.back();
    frame.pointers.assign(arguments.begin(), std::prev(arguments.end()));
    emitter.setEntry(entry, frame.dims);
    frame.units = emitter.symbolic(*grid);
  } else {
    frame.ptrs = entry->getArgument(0), frame.dims = entry->getArgument(1),
    frame.params = entry->getArgument(2);
    frame.begin = entry->getArgument(3), frame.end = entry->getArgument(4),
    frame.scratch = entry->getArgument(5);
    emitter.setEntry(entry, frame.dims);
    if (!isLibrary) {
      for (unsigned i = 0; i < operands + results; ++i) {
        frame.pointers.push_back(loadPointer(emitter, frame.ptrs, i));
      }
    }
  }
  if (!isLibrary) {
    if (failed(placeOperands(frame))) {
      return failure();
    }
    placeConstants(frame, module);
  }
  emitter.builder.setInsertionPoint(main->getTerminator());
  if (device == Device::gpu && capability >= 90 && beginsEarly(kernel)) {
    beginEarly(emitter);
  }
  if (isLibrary && device == Device::gpu) {
    emitLibraryCallOnGpu(frame, **call, entry->getArguments().take_back(params), module);
  } else if (isLibrary) {
    emitLibraryCall(frame, **call, module);
  } else {
    emitTemplate(frame);
  }
  if (emitter.failed()) {
    return original.emitError("kernel '") << kernel.getSymName() << "': " << emitter.failure();
  }
  return success();
}

Value loadPointer(Emitter &emitter, Value ptrs, unsigned number) {
  OpBuilder &b = emitter.builder;
  Value slot = LLVM::GEPOp::create(b, emitter.loc, ptrs.getType(), ptrs.getType(), ptrs,
                                   ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(number)});
  return LLVM::LoadOp::create(b, emitter.loc, ptrs.getType(), slot, 8);
}

} // namespace ciuic::codegen

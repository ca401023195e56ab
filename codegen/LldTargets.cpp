// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The linker initialises every target LLVM knows, for link-time optimisation, which we do not use.
// In a static build only the back ends of our devices are linked; the others' entry points are
// these empty ones. (A shared libLLVM has them all.)

#define CIUIC_PART(TARGET, PART)                                                                   \
  extern "C" void LLVMInitialize##TARGET##PART() {}
#define CIUIC_TARGET(TARGET)                                                                       \
  CIUIC_PART(TARGET, TargetInfo)                                                                   \
  CIUIC_PART(TARGET, Target)                                                                       \
  CIUIC_PART(TARGET, TargetMC)                                                                     \
  CIUIC_PART(TARGET, AsmPrinter)                                                                   \
  CIUIC_PART(TARGET, AsmParser)

CIUIC_TARGET(AArch64)
CIUIC_TARGET(AMDGPU)
CIUIC_TARGET(ARM)
CIUIC_TARGET(AVR)
CIUIC_TARGET(BPF)
CIUIC_TARGET(Hexagon)
CIUIC_TARGET(Lanai)
CIUIC_TARGET(LoongArch)
CIUIC_TARGET(M68k)
CIUIC_TARGET(MSP430)
CIUIC_TARGET(Mips)
CIUIC_TARGET(PowerPC)
CIUIC_TARGET(RISCV)
CIUIC_TARGET(SPIRV)
CIUIC_TARGET(Sparc)
CIUIC_TARGET(SystemZ)
CIUIC_TARGET(VE)
CIUIC_TARGET(WebAssembly)
CIUIC_TARGET(XCore)
CIUIC_TARGET(Xtensa)
CIUIC_PART(X86, AsmParser)

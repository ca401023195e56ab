// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/conformance/CudaTestKernels.h"

namespace ciuic::test {

/// A kernel of `pointers` pointers %q0…, the dims block %dims and `params` params %v0…; the last
/// param names the number of units. `body` does unit %i.
static std::string kernel(const std::string &name, int pointers, int params,
                          const std::string &body) {
  std::string text = ".visible .entry " + name + "(";
  for (int i = 0; i < pointers + 1 + params; ++i) {
    text += (i ? ", .param .u64 a" : ".param .u64 a") + std::to_string(i);
  }
  text += ")\n{\n.reg .pred %p, %p1;\n.reg .b32 %r<4>;\n.reg .f32 %f<4>;\n"
          ".reg .b64 %q<4>, %v<4>, %dims, %n, %i, %s, %x<8>;\n";
  auto load = [&](const std::string &to, int argument) {
    text += "ld.param.u64 " + to + ", [a" + std::to_string(argument) + "];\n";
  };
  for (int i = 0; i < pointers; ++i) {
    load("%q" + std::to_string(i), i);
  }
  load("%dims", pointers);
  for (int i = 0; i < params; ++i) {
    load("%v" + std::to_string(i), pointers + 1 + i);
  }
  text += "shl.b64 %n, %v" + std::to_string(params - 1) +
          ", 3;\nadd.s64 %n, %n, %dims;\nld.global.s64 %n, [%n];\n"
          "mov.u32 %r0, %ctaid.x;\nmov.u32 %r1, %ntid.x;\nmov.u32 %r2, %tid.x;\n"
          "mul.wide.u32 %i, %r0, %r1;\ncvt.u64.u32 %s, %r2;\nadd.s64 %i, %i, %s;\n"
          "mov.u32 %r0, %nctaid.x;\nmul.wide.u32 %s, %r0, %r1;\n"
          "UNIT:\nsetp.ge.s64 %p, %i, %n;\n@%p bra DONE;\n" +
          body + "add.s64 %i, %i, %s;\nbra UNIT;\nDONE:\nret;\n}\n";
  return text;
}

std::string cudaOverlapKernels() {
  // The wait stands in front of every unit: it costs nothing once it is over.
  return ".version 7.8\n.target sm_90\n.address_size 64\n" +
         kernel("test_chain", 2, 1,
                "griddepcontrol.launch_dependents;\ngriddepcontrol.wait;\n"
                "shl.b64 %x0, %i, 2;\nadd.s64 %x1, %q0, %x0;\nld.global.f32 %f0, [%x1];\n"
                "add.f32 %f0, %f0, 0f3F800000;\nadd.s64 %x1, %q1, %x0;\n"
                "st.global.f32 [%x1], %f0;\n");
}

std::string cudaTestKernels() {
  const std::string own = "shl.b64 %x0, %i, 2;\n";
  auto at = [](const std::string &pointer) { return "add.s64 %x1, " + pointer + ", %x0;\n"; };
  return ".version 7.0\n.target sm_75\n.address_size 64\n" +
         // out[i] = a[i] + b[i]
         kernel("test_add", 3, 1,
                own + at("%q0") + "ld.global.f32 %f0, [%x1];\n" + at("%q1") +
                    "ld.global.f32 %f1, [%x1];\nadd.f32 %f0, %f0, %f1;\n" + at("%q2") +
                    "st.global.f32 [%x1], %f0;\n") +
         // out[i] = a[i] * params[0]
         kernel("test_scale", 2, 2,
                own + at("%q0") +
                    "ld.global.f32 %f0, [%x1];\ncvt.rn.f32.s64 %f1, %v0;\n"
                    "mul.f32 %f0, %f0, %f1;\n" +
                    at("%q1") + "st.global.f32 [%x1], %f0;\n") +
         // state[dims[1] + i] = x[i]
         kernel("test_append", 2, 1,
                own + at("%q0") +
                    "ld.global.f32 %f0, [%x1];\nld.global.s64 %x2, [%dims+8];\n"
                    "add.s64 %x2, %x2, %i;\nshl.b64 %x2, %x2, 2;\nadd.s64 %x2, %x2, %q1;\n"
                    "st.global.f32 [%x2], %f0;\n") +
         // out[i][j] = table[ids[i]][j], params[0] floats a row
         kernel("test_gather", 3, 2,
                "shl.b64 %x0, %i, 3;\nadd.s64 %x0, %x0, %q1;\nld.global.s64 %x0, [%x0];\n"
                "mul.lo.s64 %x0, %x0, %v0;\nshl.b64 %x0, %x0, 2;\nadd.s64 %x0, %x0, %q0;\n"
                "mul.lo.s64 %x1, %i, %v0;\nshl.b64 %x1, %x1, 2;\nadd.s64 %x1, %x1, %q2;\n"
                "mov.u64 %x2, 0;\n"
                "ROW:\nsetp.ge.s64 %p1, %x2, %v0;\n@%p1 bra NEXT;\n"
                "ld.global.f32 %f0, [%x0];\nst.global.f32 [%x1], %f0;\n"
                "add.s64 %x0, %x0, 4;\nadd.s64 %x1, %x1, 4;\nadd.s64 %x2, %x2, 1;\nbra ROW;\n"
                "NEXT:\n") +
         // Waits params[0] nanoseconds, then out[i] = 1.
         kernel("test_spin", 1, 2,
                "mov.u64 %x2, %globaltimer;\n"
                "SPIN:\nmov.u64 %x3, %globaltimer;\nsub.s64 %x3, %x3, %x2;\n"
                "setp.lt.s64 %p1, %x3, %v0;\n@%p1 bra SPIN;\n" +
                    own + at("%q0") + "mov.f32 %f0, 0f3F800000;\nst.global.f32 [%x1], %f0;\n") +
         // Writes to address 16, where nothing is.
         kernel("test_fault", 1, 1, "mov.u64 %x0, 16;\nst.global.u64 [%x0], %i;\n");
}

} // namespace ciuic::test

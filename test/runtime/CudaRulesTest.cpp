// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a program for cuda may say that one for the host may not: block sizes, calls of vendor
// libraries, gathers without staging; and the refusals, told to the writer.
#include "test/runtime/PlanBuilder.h"

#include "runtime/format/ProgramFile.h"
#include "runtime/format/VendorCalls.h"

#include <functional>
#include <gtest/gtest.h>

using namespace ciuic;
using namespace ciuic::test;

namespace {

constexpr int64_t kM = 8, kN = 40, kK = 32;
constexpr int64_t kB = 0, kDims = 6144, kX = 6208, kD = 8192, kWork = 12288;

/// y[m, 40] = x[m, 32] B for m = 0..8, B in three panels (rows16), then a kernel over y.
PlanBuilder matmulPlan() {
  PlanBuilder b;
  b.program.device_kind = "cuda";
  b.kernel("cublaslt.matmul", 4);
  b.program.kernels[0]->blobs.clear();
  b.kernel("scale", 2);
  b.program.kernels[1]->block_threads = 128;
  b.program.kernels[1]->max_grid = 264;
  b.weight("B", std::string(48 * kK * 4, 'w'), WeightMode::Resident, kB);
  b.entry("main").dims_offset = kDims;
  b.symbol("m", 0, kM, SymbolSource::Input, 0, 0);
  b.port(true, "x", DType::F32, dims(sym(0), num(kK)), kX, kM * kK * 4);
  b.buffer("dims", BufferKind::Dims, kDims, 8, 0, 1);
  b.buffer("x", BufferKind::Input, kX, kM * kK * 4, 0, 1);
  b.buffer("y", BufferKind::Output, kD, kM * kN * 4, 0, 1);
  b.buffer("work", BufferKind::Scratch, kWork, 1024, 0, 1);
  b.launch(0,
           {Arg(kX, kM * kK * 4, Access::Read), Arg(kB, 48 * kK * 4, Access::Read),
            Arg(kD, kM * kN * 4, Access::Write), Arg(kWork, 1024, Access::Write)},
           sym(0), {}, {1, 1, 1, 0, 1, 0, 0, 0, 0, 3});
  auto &shape = b.last().steps[0]->body.AsLaunch()->shape;
  shape.push_back(num(1));
  shape.push_back(sym(0));
  for (int64_t extent : {kN, kK, kK, kK, kN, int64_t(0), int64_t(0), int64_t(0)}) {
    shape.push_back(num(extent));
  }
  b.launch(1, {Arg(kD, kM * kN * 4, Access::ReadWrite), Arg(kD, 4, Access::Read)}, sym(0));
  b.port(false, "y", DType::F32, dims(sym(0), num(kN)), kD, kM * kN * 4);
  b.seal();
  return b;
}

std::string writeCode(PlanBuilder &b) {
  return b.write(scratchPath("cuda.ciuic"), "kernels").code();
}

TEST(CudaRules, AVendorCallAndAKernelMakeAProgram) {
  PlanBuilder b = matmulPlan();
  Status s = b.write(scratchPath("cuda.ciuic"), "kernels");
  ASSERT_TRUE(s.isOk()) << s.message();
  auto source = ByteSource::open(scratchPath("cuda.ciuic"));
  ASSERT_TRUE(source.isOk());
  auto file = ProgramFile::open(std::move(source.value()));
  ASSERT_TRUE(file.isOk());
  const ProgramT &p = file.value()->program();
  EXPECT_EQ(p.kernels[1]->block_threads, 128u);
  EXPECT_EQ(p.kernels[1]->max_grid, 264u);
  EXPECT_EQ(p.entries[0]->steps[0]->body.AsLaunch()->shape.size(), MatmulShape::kValues);
}

TEST(CudaRules, EachIsEnforced) {
  struct Break {
    const char *rule, *what;
    std::function<void(PlanBuilder &)> change;
  };
  auto launchAt = [](PlanBuilder &b, size_t i) -> LaunchT & {
    return *b.last().steps[i]->body.AsLaunch();
  };
  const Break list[] = {
      {"P3", "host kernels have no blocks", [](PlanBuilder &b) { b.program.device_kind = "host"; }},
      {"P3", "no such vendor call",
       [](PlanBuilder &b) { b.program.kernels[0]->symbol = "cublas.gemm"; }},
      {"P3", "no threads", [](PlanBuilder &b) { b.program.kernels[1]->block_threads = 0; }},
      {"P3", "threads", [](PlanBuilder &b) { b.program.kernels[1]->block_threads = 1025; }},
      {"P3", "shared", [](PlanBuilder &b) { b.program.kernels[1]->shared_bytes = 300000; }},
      {"P3", "no grid", [](PlanBuilder &b) { b.program.kernels[1]->max_grid = 0; }},
      {"P3", "grid", [](PlanBuilder &b) { b.program.kernels[1]->max_grid = 1u << 31; }},
      {"P3", "scratch", [](PlanBuilder &b) { b.program.kernels[1]->scratch_bytes = 64; }},
      {"P3", "a vendor call that overlaps",
       [](PlanBuilder &b) { b.program.kernels[0]->overlaps = true; }},
      {"P3", "least shared memory",
       [](PlanBuilder &b) { b.program.kernels[1]->least_shared = 232449; }},
      {"P3", "more together than there are",
       [](PlanBuilder &b) { b.program.kernels[1]->together = 265; }},
      {"P3", "a vendor call whose blocks meet",
       [](PlanBuilder &b) { b.program.kernels[0]->together = 1; }},
      {"P3", "a block of a vendor call",
       [](PlanBuilder &b) { b.program.kernels[0]->block_threads = 32; }},
      {"E8", "too few extents", [&](PlanBuilder &b) { launchAt(b, 0).shape.pop_back(); }},
      {"E8", "extents of a kernel",
       [&](PlanBuilder &b) { launchAt(b, 1).shape.push_back(num(1)); }},
      {"E3", "negative extent", [&](PlanBuilder &b) { launchAt(b, 0).shape[1] = num(-1); }},
      {"E3", "no symbol", [&](PlanBuilder &b) { launchAt(b, 0).shape[1] = sym(3); }},
      {"E8", "K of 0", [&](PlanBuilder &b) { launchAt(b, 0).shape[3] = num(0); }},
      {"E8", "lda", [&](PlanBuilder &b) { launchAt(b, 0).shape[4] = num(kK - 1); }},
      {"E8", "more rows than D has",
       [&](PlanBuilder &b) { launchAt(b, 0).shape[1] = num(kM + 1); }},
      {"E8", "sizes overflow", [&](PlanBuilder &b) { launchAt(b, 0).shape[4] = num(1ll << 40); }},
      {"E8", "types", [&](PlanBuilder &b) { launchAt(b, 0).params[1] = 2; }},
      {"E8", "epilogue", [&](PlanBuilder &b) { launchAt(b, 0).params[5] = 4; }},
      {"E8", "bias without a pointer", [&](PlanBuilder &b) { launchAt(b, 0).params[5] = 1; }},
      {"E8", "panels backwards", [&](PlanBuilder &b) { launchAt(b, 0).params[8] = 3; }},
      {"E8", "choice", [&](PlanBuilder &b) { launchAt(b, 0).params[6] = -1; }},
      {"E8", "rows of the choice", [&](PlanBuilder &b) { launchAt(b, 0).params[7] = -8; }},
      {"E8", "params", [&](PlanBuilder &b) { launchAt(b, 0).params.pop_back(); }},
  };
  for (const Break &c : list) {
    PlanBuilder b = matmulPlan();
    c.change(b);
    EXPECT_EQ(writeCode(b), std::string("format.") + c.rule) << c.what;
  }
}

TEST(CudaRules, MatmulBytesFollowTheOperands) {
  int64_t params[] = {2, 2, 2, 0, 1, 3, 0, 0};
  auto call = parseMatmul(params, 6);
  ASSERT_TRUE(call);
  // Three batches of 5 × 7 = (5 × 4)(4 × 7), rows of A 8 apart, D 10 apart, strides 100, 28, 200.
  auto bytes = matmulBytes(*call, {3, 5, 7, 4, 8, 4, 10, 100, 28, 200});
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->a, (2 * 100 + 4 * 8 + 4) * 2);
  EXPECT_EQ(bytes->b, (2 * 28 + 6 * 4 + 4) * 2);
  EXPECT_EQ(bytes->d, (2 * 200 + 4 * 10 + 7) * 2);
  EXPECT_EQ(bytes->residual, bytes->d);
  EXPECT_EQ(bytes->bias, 14);
  auto none = matmulBytes(*call, {3, 0, 7, 4, 8, 4, 10, 100, 28, 200});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->d + none->a + none->b, 0);
  EXPECT_FALSE(matmulBytes(*call, {3, 5, 7, 4, 8, 4, 10, 100, 28, 6})) << "batches overlap";
  EXPECT_FALSE(matmulBytes(*call, {1, INT64_MAX / 2, 7, 4, 8, 4, 10, 0, 0, 0}));
}

TEST(CudaRules, ConvolutionsSayWhatTheyTouch) {
  // bf16, 3 × 5 window, strides 2 and 1, padding 1/0 before and 0/2 after, dilations 1 and 2.
  std::vector<int64_t> params = {3, 2, 3, 2, 3, 5, 2, 1, 1, 0, 0, 2, 1, 2};
  auto call = parseConv(params, 6);
  ASSERT_TRUE(call);
  EXPECT_EQ(vendorExtents(kCudnnConv, params, 6), 7u);
  // 9 rows: (9 + 1 - 3) / 2 + 1 = 4; 12 columns: (12 + 2 - 9) / 1 + 1 = 6.
  std::vector<int64_t> shape = {2, 8, 6, 9, 12, 4, 6};
  EXPECT_TRUE(convFits(*call, ConvShape::of(*call, shape)));
  auto bytes = vendorBytes(kCudnnConv, params, 6, shape);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(*bytes, (std::vector<int64_t>{2 * 9 * 12 * 8 * 2, 6 * 15 * 4 * 2, 12, 2 * 4 * 6 * 6 * 2,
                                          2 * 4 * 6 * 6 * 2}));
  shape[5] = 5;
  EXPECT_FALSE(convFits(*call, ConvShape::of(*call, shape)));
  EXPECT_FALSE(parseConv(params, 5)) << "a pointer is missing";
  std::vector<int64_t> residualOnly = params;
  residualOnly[2] = kEpilogueResidual;
  EXPECT_TRUE(parseConv(residualOnly, 5));
  residualOnly[0] = static_cast<int64_t>(DType::F32);
  EXPECT_FALSE(parseConv(residualOnly, 5)) << "in f32 a residual comes with a bias";
  EXPECT_FALSE(vendorBytes(kCudnnConv, params, 6, std::vector<int64_t>(6, 1)));
  EXPECT_FALSE(vendorBytes(kCudnnConv, params, 6, std::vector<int64_t>(7, int64_t(1) << 40)));
  EXPECT_FALSE(vendorBytes("cudnn.pool", params, 6, shape));
  for (auto [at, value] :
       {std::pair{0, 9}, {1, 4}, {2, 4}, {3, 0}, {4, 0}, {6, 0}, {8, -1}, {12, 0}}) {
    std::vector<int64_t> broken = params;
    broken[static_cast<size_t>(at)] = value;
    EXPECT_FALSE(parseConv(broken, 6)) << at;
  }
}

TEST(CudaRules, AGatherNeedsNoStaging) {
  auto plan = [](const char *kind, int64_t staging) {
    PlanBuilder b;
    b.program.device_kind = kind;
    b.kernel("gather", 3);
    if (b.program.device_kind == "cuda") {
      b.program.kernels[0]->block_threads = 32;
      b.program.kernels[0]->max_grid = 1;
    }
    b.weight("table", std::string(4096, 't'), WeightMode::HostOnly, 0);
    b.program.host_bytes = 8192;
    b.entry("main").dims_offset = 0;
    b.port(true, "ids", DType::I64, dims(num(4)), 64, 32);
    b.buffer("dims", BufferKind::Dims, 0, 8, 0, 0);
    b.buffer("ids", BufferKind::Input, 64, 32, 0, 0);
    b.buffer("rows", BufferKind::Output, 128, 256, 0, 0);
    HostGatherT g;
    g.ids_offset = 64;
    g.ids_bytes = 32;
    g.ids_host_offset = staging < 0 ? -1 : 4096;
    g.staging_host_offset = staging;
    g.arena_offset = 128;
    g.bytes = 256;
    g.rows = num(4);
    g.row_bytes = 64;
    b.step(Stream::Compute, "gather", {}).body.Set(std::move(g));
    b.port(false, "rows", DType::F32, dims(num(4), num(16)), 128, 256);
    b.seal();
    return b;
  };
  PlanBuilder gpu = plan("cuda", -1), host = plan("host", 4160);
  EXPECT_EQ(writeCode(gpu), "");
  EXPECT_EQ(writeCode(host), "");
  PlanBuilder gpuStaged = plan("cuda", 4160), hostUnstaged = plan("host", -1);
  EXPECT_EQ(writeCode(gpuStaged), "format.E8");
  EXPECT_EQ(writeCode(hostUnstaged), "format.E7");
}

} // namespace

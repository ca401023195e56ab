// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Profiles: round trip, a stable hash that any constant changes, errors that name the field,
// predictions by hand.

#include "passes/Cost/Profile.h"

#include <gtest/gtest.h>

using namespace ciuic::cost;

namespace {

Profile builtin(const char *name) {
  auto text = builtinProfile(name);
  EXPECT_TRUE(text.has_value());
  auto parsed = parseProfile(*text);
  EXPECT_TRUE(std::holds_alternative<Profile>(parsed));
  return std::get<Profile>(parsed);
}

/// What parseProfile says after `from` became `to` in the built-in profile.
std::string wrong(const std::string &from, const std::string &to) {
  std::string text(*builtinProfile("host-generic"));
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  auto parsed = parseProfile(text);
  return std::holds_alternative<std::string>(parsed) ? std::get<std::string>(parsed) : "";
}

} // namespace

TEST(Profile, EveryBuiltinParsesUnderItsName) {
  ASSERT_FALSE(builtinProfileNames().empty());
  for (std::string_view name : builtinProfileNames()) {
    EXPECT_EQ(builtin(std::string(name).c_str()).name, name);
  }
  EXPECT_EQ(builtinProfile("no-such-profile"), std::nullopt);
}

TEST(Profile, PrintingRoundTrips) {
  Profile profile = builtin("host-generic");
  profile.memoryGigabytes = 1.0 / 3;
  profile.toDevice.rates[0].gigabytesPerSecond = 0.1;
  auto again = parseProfile(printProfile(profile));
  ASSERT_TRUE(std::holds_alternative<Profile>(again)) << std::get<std::string>(again);
  EXPECT_TRUE(std::get<Profile>(again) == profile);
}

TEST(Profile, TheHashSeesEveryConstantAndNoLayout) {
  Profile profile = builtin("host-generic");
  uint64_t hash = profileHash(profile);
  auto compact = parseProfile(printProfile(profile));
  EXPECT_EQ(profileHash(std::get<Profile>(compact)), hash);
  auto changed = [&](auto change) {
    Profile other = profile;
    change(other);
    return profileHash(other) != hash;
  };
  EXPECT_TRUE(changed([](Profile &p) { p.hideMemory += 0.01; }));
  EXPECT_TRUE(changed([](Profile &p) { p.launchMicroseconds += 1; }));
  EXPECT_TRUE(changed([](Profile &p) { p.matmul[4].back().gigaflops += 1; }));
  EXPECT_TRUE(changed([](Profile &p) { p.toHost.latencyMicroseconds += 1; }));
  EXPECT_TRUE(changed([](Profile &p) { p.reserveBytes = 1; }));
  EXPECT_TRUE(changed([](Profile &p) { p.reserveConvolutionBytes = 1; }));
  EXPECT_TRUE(changed([](Profile &p) { p.reservePinnedShare = 0.5; }));
}

TEST(Profile, ConvolutionsAndPinnedMemoryHaveTheirPartsOfTheReserve) {
  Profile profile = builtin("host-generic");
  EXPECT_EQ(reserveOf(profile, true, int64_t{1} << 40), 0);
  profile.reserveBytes = 1000;
  profile.reserveConvolutionBytes = 10;
  profile.reservePinnedShare = 1.0 / 512;
  EXPECT_EQ(reserveOf(profile, false, 0), 1000);
  EXPECT_EQ(reserveOf(profile, true, 0), 1010);
  EXPECT_EQ(reserveOf(profile, false, int64_t{1} << 30), 1000 + (2 << 20));
  EXPECT_EQ(reserveOf(profile, false, (int64_t{1} << 30) + 1), 1000 + (4 << 20));
}

TEST(Profile, WithoutARateForRoundedRowsTheyAreAsExactOnes) {
  std::string text(*builtinProfile("host-generic"));
  EXPECT_NE(builtin("host-generic").matmul[5], builtin("host-generic").matmul[4]);
  const size_t at = text.find(",\n    \"i4_rounded\""), end = text.find(']', at) + 1;
  ASSERT_NE(at, std::string::npos);
  auto parsed = parseProfile(text.erase(at, end - at));
  ASSERT_TRUE(std::holds_alternative<Profile>(parsed)) << std::get<std::string>(parsed);
  EXPECT_EQ(std::get<Profile>(parsed).matmul[5], builtin("host-generic").matmul[4]);
}

TEST(Predict, ConvolutionsOfF32FiltersMayHaveARateOfTheirOwn) {
  Profile profile = builtin("host-generic");
  EXPECT_EQ(profile.convolutionF32Gigaflops, profile.convolutionGigaflops);
  profile.convolutionGigaflops = 8 * profile.convolutionF32Gigaflops;
  auto again = parseProfile(printProfile(profile));
  ASSERT_TRUE(std::holds_alternative<Profile>(again)) << std::get<std::string>(again);
  EXPECT_TRUE(std::get<Profile>(again) == profile);
  Work work{.kind = WorkClass::Convolution, .flops = 1e12, .format = WeightFormat::F32};
  const double slow = predict(profile, work).microseconds - profile.launchMicroseconds;
  work.format = WeightFormat::F16;
  const double fast = predict(profile, work).microseconds - profile.launchMicroseconds;
  EXPECT_NEAR(slow / fast, 8, 1e-9);
}

// A class's least time stands in for the launch; products of few rows are launched like other
// kernels.
TEST(Predict, ClassesMayHaveALeastTime) {
  Profile profile = builtin("host-generic");
  profile.launchMicroseconds = 1;
  profile.least = LeastTimes{2, 3, 4, 5};
  auto least = [&](WorkClass kind, int64_t rows) {
    return predict(profile, {.kind = kind, .rows = rows}).microseconds;
  };
  EXPECT_EQ(least(WorkClass::Matmul, 16), 1);
  EXPECT_EQ(least(WorkClass::Matmul, 17), 2);
  EXPECT_EQ(least(WorkClass::Convolution, 1), 3);
  EXPECT_EQ(least(WorkClass::Attention, 1), 4);
  EXPECT_EQ(least(WorkClass::GroupNorm, 1), 5);
  EXPECT_EQ(least(WorkClass::Elementwise, 1), 1);
  profile.least.reset();
  EXPECT_EQ(least(WorkClass::Convolution, 1), 1);
}

// 3 us of operations beside 4 us of bytes: 4 where they hide each other, 5 with a blend of 2, 7
// with one of 1.
TEST(Predict, OperationsAndBytesBlend) {
  Profile profile = builtin("host-generic");
  profile.launchMicroseconds = 0;
  profile.attentionGigaflops = 1000;
  profile.memoryGigabytes = 1;
  Work work{.kind = WorkClass::Attention, .flops = 3e6, .bytes = 4e3};
  EXPECT_DOUBLE_EQ(predict(profile, work).microseconds, 4);
  profile.blend = 2;
  EXPECT_DOUBLE_EQ(predict(profile, work).microseconds, 5);
  profile.blend = 1;
  EXPECT_DOUBLE_EQ(predict(profile, work).microseconds, 7);
  work.flops = work.bytes = 0;
  EXPECT_EQ(predict(profile, work).microseconds, 0);
}

TEST(Predict, GroupNormsAndMovesMayHaveRatesOfTheirOwn) {
  for (WorkClass kind : {WorkClass::GroupNorm, WorkClass::Move}) {
    Profile profile = builtin("host-generic");
    Work work{.kind = kind, .bytes = 1e9};
    const double asOthers = predict(profile, work).microseconds - profile.launchMicroseconds;
    (kind == WorkClass::Move ? profile.moveGigabytes : profile.groupNormGigabytes) =
        profile.memoryGigabytes / 4;
    const double slower = predict(profile, work).microseconds - profile.launchMicroseconds;
    EXPECT_NEAR(slower / asOthers, 4, 1e-9);
  }
}

TEST(Profile, WhatOnlySomeHaveRoundTrips) {
  Profile profile = builtin("host-generic");
  const uint64_t hash = profileHash(profile);
  profile.least = LeastTimes{2, 3, 4, 5};
  profile.groupNormGigabytes = 7;
  profile.moveGigabytes = 6;
  profile.blend = 1.5;
  auto again = parseProfile(printProfile(profile));
  ASSERT_TRUE(std::holds_alternative<Profile>(again)) << std::get<std::string>(again);
  EXPECT_TRUE(std::get<Profile>(again) == profile);
  EXPECT_NE(profileHash(profile), hash);
}

TEST(Profile, AlgorithmsOfAGpuRoundTrip) {
  Profile profile = builtin("h100");
  const uint64_t hash = profileHash(profile);
  profile.algorithms.push_back({WeightFormat::BF16, 2, 2048, 4096, 11008, 5});
  std::string text = printProfile(profile);
  auto again = parseProfile(text);
  ASSERT_TRUE(std::holds_alternative<Profile>(again)) << std::get<std::string>(again);
  EXPECT_TRUE(std::get<Profile>(again) == profile);
  EXPECT_NE(profileHash(profile), hash);
  text.replace(text.find("\"choice\": 5"), 11, "\"choice\": 64");
  EXPECT_NE(std::get<std::string>(parseProfile(text)).find("algorithms.choice"), std::string::npos);
}

TEST(Profile, ErrorsNameTheField) {
  EXPECT_NE(wrong("\"launch_us\"", "\"lunch_us\"").find("launch_us is missing"), std::string::npos);
  EXPECT_NE(wrong("\"launch_us\"", "\"extra\": 1, \"launch_us\"").find("extra is not a field"),
            std::string::npos);
  EXPECT_NE(wrong("\"compute\": 0.75", "\"compute\": 1.75").find("hide.compute"),
            std::string::npos);
  EXPECT_NE(wrong("\"bytes\": 1048576", "\"bytes\": 16").find("must ascend"), std::string::npos);
  EXPECT_NE(wrong("\"device\": \"host\"", "\"device\": \"toaster\"").find("device"),
            std::string::npos);
  EXPECT_NE(wrong("\"reserve_bytes\": 0", "\"reserve_bytes\": 99999999999999999999")
                .find("reserve_bytes"),
            std::string::npos);
  EXPECT_NE(wrong("\"name\": \"host-generic\"", "\"name\": 3").find("name"), std::string::npos);
  EXPECT_NE(wrong("\"link\": {", "\"link\": [{").find("not JSON"), std::string::npos);
  EXPECT_TRUE(std::holds_alternative<std::string>(parseProfile("[]")));
  EXPECT_TRUE(std::holds_alternative<std::string>(parseProfile("")));
}

TEST(Predict, TheSlowerOfComputeAndMemoryCounts) {
  Profile profile = builtin("host-generic");
  profile.launchMicroseconds = 3;
  profile.memoryGigabytes = 10; // 10'000 bytes a microsecond
  profile.matmul[0] = {{1, 50}, {8, 100}};
  profile.hideCompute = 0.9;
  profile.hideMemory = 0.4;
  // 1e6 operations at 100 GFLOP/s: 10 us; 20'000 bytes: 2 us.
  Prediction compute = predict(profile, {WorkClass::Matmul, 1e6, 20'000, 16, WeightFormat::F32});
  EXPECT_DOUBLE_EQ(compute.microseconds, 13);
  EXPECT_DOUBLE_EQ(compute.hide, 0.9);
  // The same at 7 rows: 20 us.
  EXPECT_DOUBLE_EQ(
      predict(profile, {WorkClass::Matmul, 1e6, 20'000, 7, WeightFormat::F32}).microseconds, 23);
  Prediction memory = predict(profile, {WorkClass::Move, 0, 1e6, 1, WeightFormat::F32});
  EXPECT_DOUBLE_EQ(memory.microseconds, 103);
  EXPECT_DOUBLE_EQ(memory.hide, 0.4);
}

TEST(Profile, ACardIsKnownByItsDriversName) {
  EXPECT_EQ(profileOfCard("NVIDIA H100 80GB HBM3"), "h100");
  EXPECT_EQ(profileOfCard("NVIDIA H200"), "h200");
  EXPECT_EQ(profileOfCard("NVIDIA A100-SXM4-80GB"), "a100-80");
  EXPECT_EQ(profileOfCard("NVIDIA A100-SXM4-40GB"), "a100-40");
  EXPECT_EQ(profileOfCard("NVIDIA GeForce RTX 4090"), "rtx4090");
  EXPECT_EQ(profileOfCard("GeForce GT 710"), std::nullopt);
}

TEST(Profile, ACudaProfileNamesItsArchitecture) {
  Profile profile = builtin("h100");
  EXPECT_EQ(profile.architecture, "sm_90");
  EXPECT_TRUE(profile.measured);
  EXPECT_FALSE(builtin("rtx4090").measured);
  auto again = parseProfile(printProfile(profile));
  ASSERT_TRUE(std::holds_alternative<Profile>(again)) << std::get<std::string>(again);
  EXPECT_TRUE(std::get<Profile>(again) == profile);
  profile.architecture = "90";
  auto refused = parseProfile(printProfile(profile));
  ASSERT_TRUE(std::holds_alternative<std::string>(refused));
  EXPECT_NE(std::get<std::string>(refused).find("architecture"), std::string::npos);
}

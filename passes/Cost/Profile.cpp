// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reading, printing and hashing of device profiles. The reader checks types and ranges of every
// field itself: a profile is a file of the user.

#include "passes/Cost/Profile.h"

#include <nlohmann/json.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>

namespace ciuic::cost {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kFormatNames[kWeightFormats] = {"f32", "f16", "bf16",
                                                      "i8",  "i4",  "i4_rounded"};

/// Reads fields of one object and remembers the first thing that is wrong.
class Reader {
public:
  Reader(const Json &object, std::string path, std::string &wrong)
      : object(object), path(std::move(path)), wrong(wrong) {
    if (!object.is_object()) {
      fail("", "must be an object");
    }
  }

  double amount(const char *key, double least, double most) {
    const Json *value = find(key);
    if (!value) {
      return least;
    }
    double number = value->is_number() ? value->get<double>() : NAN;
    if (!(number >= least && number <= most)) {
      fail(key, "must be a number in " + Json(least).dump() + ".." + Json(most).dump());
      return least;
    }
    return number;
  }

  int64_t whole(const char *key, int64_t least, int64_t most) {
    const Json *value = find(key);
    if (!value) {
      return least;
    }
    bool fits =
        value->is_number_integer() && (!value->is_number_unsigned() ||
                                       value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
    int64_t number = fits ? value->get<int64_t>() : least - 1;
    if (number < least || number > most) {
      fail(key, "must be an integer in " + std::to_string(least) + ".." + std::to_string(most));
      return least;
    }
    return number;
  }

  std::string text(const char *key) {
    const Json *value = find(key);
    if (value && !value->is_string()) {
      fail(key, "must be a string");
    }
    return value && value->is_string() ? value->get<std::string>() : "";
  }

  bool flag(const char *key) {
    const Json *value = find(key);
    if (value && !value->is_boolean()) {
      fail(key, "must be true or false");
    }
    return value && value->is_boolean() && value->get<bool>();
  }

  std::vector<std::string> texts(const char *key) {
    const Json *value = find(key);
    std::vector<std::string> list;
    for (const Json &item : value && value->is_array() ? *value : Json::array()) {
      if (item.is_string() && !item.get<std::string>().empty()) {
        list.push_back(item.get<std::string>());
      }
    }
    if (value && (!value->is_array() || list.size() != value->size() || list.size() > 64)) {
      fail(key, "must be a list of at most 64 texts");
    }
    return list;
  }

  const Json &child(const char *key) {
    static const Json empty = Json::object();
    const Json *value = find(key);
    return value ? *value : empty;
  }

  bool has(const char *key) const { return object.is_object() && object.contains(key); }

  std::string at(const char *key) const { return path.empty() ? key : path + "." + key; }

  /// Every field must have been asked for.
  void finish() {
    if (object.is_object()) {
      for (const auto &item : object.items()) {
        if (std::find(seen.begin(), seen.end(), item.key()) == seen.end()) {
          fail(item.key().c_str(), "is not a field of a profile");
        }
      }
    }
  }

  void fail(const char *key, const std::string &why) {
    if (wrong.empty()) {
      wrong = (*key ? at(key) : path.empty() ? "the profile" : path) + " " + why;
    }
  }

private:
  const Json *find(const char *key) {
    seen.emplace_back(key);
    if (!object.is_object()) {
      return nullptr;
    }
    auto found = object.find(key);
    if (found == object.end()) {
      fail(key, "is missing");
      return nullptr;
    }
    return &*found;
  }

  const Json &object;
  std::string path;
  std::string &wrong;
  std::vector<std::string> seen;
};

constexpr int64_t kMostBytes = int64_t{1} << 50;
constexpr size_t kMostPoints = 64;

solver::Link readLink(const Json &object, const std::string &path, std::string &wrong) {
  Reader reader(object, path, wrong);
  solver::Link link;
  link.latencyMicroseconds = reader.amount("latency_us", 0, 1e6);
  const Json &rates = reader.child("rates");
  if (!rates.is_array() || rates.empty() || rates.size() > kMostPoints) {
    reader.fail("rates", "must be a list of 1 to 64 points");
  } else {
    for (const Json &rate : rates) {
      Reader point(rate, reader.at("rates"), wrong);
      int64_t bytes = point.whole("bytes", 1, kMostBytes);
      double gigabytes = point.amount("gbps", 1e-3, 1e6);
      point.finish();
      if (!link.rates.empty() && bytes <= link.rates.back().bytes) {
        point.fail("bytes", "must ascend");
      }
      link.rates.push_back({bytes, gigabytes});
    }
  }
  reader.finish();
  return link;
}

std::vector<MatmulRate> readMatmul(const Json &list, const std::string &path, std::string &wrong) {
  std::vector<MatmulRate> rates;
  if (!list.is_array() || list.empty() || list.size() > kMostPoints) {
    wrong = wrong.empty() ? path + " must be a list of 1 to 64 points" : wrong;
    return rates;
  }
  for (const Json &item : list) {
    Reader point(item, path, wrong);
    int64_t rows = point.whole("rows", 1, kMostBytes);
    double gigaflops = point.amount("gflops", 1e-3, 1e9);
    point.finish();
    if (rates.empty() ? rows != 1 : rows <= rates.back().rows) {
      point.fail("rows", "must start at 1 and ascend");
    }
    rates.push_back({rows, gigaflops});
  }
  return rates;
}

std::vector<AlgorithmChoice> readAlgorithms(const Json &list, std::string &wrong) {
  constexpr size_t kMost = 4096;
  std::vector<AlgorithmChoice> choices;
  if (!list.is_array() || list.size() > kMost) {
    wrong = wrong.empty() ? "algorithms must be a list of at most 4096 choices" : wrong;
    return choices;
  }
  for (const Json &item : list) {
    Reader reader(item, "algorithms", wrong);
    AlgorithmChoice choice;
    const std::string format = reader.text("format");
    const auto *name = std::find(kFormatNames, kFormatNames + 3, format);
    if (name == kFormatNames + 3) {
      reader.fail("format", "must be \"f32\", \"f16\" or \"bf16\"");
    } else {
      choice.format = static_cast<WeightFormat>(name - kFormatNames);
    }
    choice.epilogue = reader.whole("epilogue", 0, 3);
    choice.rows = reader.whole("rows", 1, kMostBytes);
    choice.columns = reader.whole("columns", 1, kMostBytes);
    choice.depth = reader.whole("depth", 1, kMostBytes);
    choice.choice = reader.whole("choice", 0, 63);
    reader.finish();
    choices.push_back(choice);
  }
  return choices;
}

bool isArchitecture(std::string_view text) {
  return text.size() >= 5 && text.size() <= 6 && text.substr(0, 3) == "sm_" &&
         text.find_first_not_of("0123456789", 3) == std::string_view::npos;
}

Json linkJson(const solver::Link &link) {
  Json rates = Json::array();
  for (const solver::RatePoint &point : link.rates) {
    rates.push_back({{"bytes", point.bytes}, {"gbps", point.gigabytesPerSecond}});
  }
  return {{"latency_us", link.latencyMicroseconds}, {"rates", rates}};
}

} // namespace

int64_t reserveOf(const Profile &profile, bool convolutions, int64_t pinnedBytes) {
  constexpr int64_t granule = int64_t{2} << 20; // in which a GPU gives memory away
  const double tables = profile.reservePinnedShare * static_cast<double>(pinnedBytes);
  return profile.reserveBytes + (convolutions ? profile.reserveConvolutionBytes : 0) +
         (static_cast<int64_t>(std::ceil(tables)) + granule - 1) / granule * granule;
}

std::variant<Profile, std::string> parseProfile(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return std::string("profile: not JSON");
  }
  std::string wrong;
  Profile profile;
  Reader reader(json, "", wrong);
  profile.name = reader.text("name");
  profile.device = reader.text("device");
  profile.measured = reader.flag("measured");
  if (profile.device == "cuda") {
    profile.architecture = reader.text("architecture");
    profile.cards = reader.texts("cards");
    if (reader.has("algorithms")) {
      profile.algorithms = readAlgorithms(reader.child("algorithms"), wrong);
    }
  }
  profile.reserveBytes = reader.whole("reserve_bytes", 0, kMostBytes);
  if (reader.has("reserve_convolution_bytes")) {
    profile.reserveConvolutionBytes = reader.whole("reserve_convolution_bytes", 0, kMostBytes);
  }
  if (reader.has("reserve_pinned_share")) {
    profile.reservePinnedShare = reader.amount("reserve_pinned_share", 0, 1);
  }
  Reader link(reader.child("link"), "link", wrong);
  profile.toDevice = readLink(link.child("to_device"), "link.to_device", wrong);
  profile.toHost = readLink(link.child("to_host"), "link.to_host", wrong);
  link.finish();
  profile.launchMicroseconds = reader.amount("launch_us", 0, 1e6);
  if (reader.has("disk_gbps")) {
    profile.diskGigabytes = reader.amount("disk_gbps", 1e-3, 1e6);
  }
  profile.memoryGigabytes = reader.amount("memory_gbps", 1e-3, 1e6);
  Reader matmul(reader.child("matmul"), "matmul", wrong);
  for (size_t f = 0; f < kWeightFormats; ++f) {
    if (f == static_cast<size_t>(WeightFormat::I4Rounded) && !matmul.has(kFormatNames[f])) {
      profile.matmul[f] = profile.matmul[static_cast<size_t>(WeightFormat::I4)];
      continue;
    }
    profile.matmul[f] =
        readMatmul(matmul.child(kFormatNames[f]), matmul.at(kFormatNames[f]), wrong);
  }
  matmul.finish();
  profile.convolutionGigaflops = reader.amount("convolution_gflops", 1e-3, 1e9);
  profile.convolutionF32Gigaflops = reader.has("convolution_f32_gflops")
                                        ? reader.amount("convolution_f32_gflops", 1e-3, 1e9)
                                        : profile.convolutionGigaflops;
  profile.attentionGigaflops = reader.amount("attention_gflops", 1e-3, 1e9);
  profile.elementwiseGigaflops = reader.amount("elementwise_gflops", 1e-3, 1e9);
  if (reader.has("least_us")) {
    Reader least(reader.child("least_us"), "least_us", wrong);
    profile.least.emplace();
    profile.least->matmul = least.amount("matmul", 0, 1e6);
    profile.least->convolution = least.amount("convolution", 0, 1e6);
    profile.least->attention = least.amount("attention", 0, 1e6);
    profile.least->groupNorm = least.amount("group_norm", 0, 1e6);
    least.finish();
  }
  if (reader.has("group_norm_gbps")) {
    profile.groupNormGigabytes = reader.amount("group_norm_gbps", 1e-3, 1e6);
  }
  if (reader.has("move_gbps")) {
    profile.moveGigabytes = reader.amount("move_gbps", 1e-3, 1e6);
  }
  if (reader.has("blend")) {
    profile.blend = reader.amount("blend", 1, 64);
  }
  Reader hide(reader.child("hide"), "hide", wrong);
  profile.hideCompute = hide.amount("compute", 0, 1);
  profile.hideMemory = hide.amount("memory", 0, 1);
  hide.finish();
  reader.finish();
  if (profile.device != "host" && profile.device != "cuda") {
    reader.fail("device", "must be \"host\" or \"cuda\"");
  }
  if (profile.device == "cuda" && !isArchitecture(profile.architecture)) {
    reader.fail("architecture", "must be like \"sm_90\"");
  }
  if (!wrong.empty()) {
    return "profile: " + wrong;
  }
  return profile;
}

std::string printProfile(const Profile &profile) {
  Json matmul = Json::object();
  for (size_t f = 0; f < kWeightFormats; ++f) {
    Json rates = Json::array();
    for (const MatmulRate &rate : profile.matmul[f]) {
      rates.push_back({{"rows", rate.rows}, {"gflops", rate.gigaflops}});
    }
    matmul[kFormatNames[f]] = std::move(rates);
  }
  Json json = {
      {"name", profile.name},
      {"device", profile.device},
      {"measured", profile.measured},
      {"reserve_bytes", profile.reserveBytes},
      {"link", {{"to_device", linkJson(profile.toDevice)}, {"to_host", linkJson(profile.toHost)}}},
      {"launch_us", profile.launchMicroseconds},
      {"memory_gbps", profile.memoryGigabytes},
      {"matmul", std::move(matmul)},
      {"convolution_gflops", profile.convolutionGigaflops},
      {"attention_gflops", profile.attentionGigaflops},
      {"elementwise_gflops", profile.elementwiseGigaflops},
      {"hide", {{"compute", profile.hideCompute}, {"memory", profile.hideMemory}}}};
  if (profile.device == "cuda") {
    json["architecture"] = profile.architecture;
    json["cards"] = profile.cards;
    for (const AlgorithmChoice &c : profile.algorithms) {
      json["algorithms"].push_back({{"format", kFormatNames[static_cast<size_t>(c.format)]},
                                    {"epilogue", c.epilogue},
                                    {"rows", c.rows},
                                    {"columns", c.columns},
                                    {"depth", c.depth},
                                    {"choice", c.choice}});
    }
  }
  if (profile.least) {
    json["least_us"] = {{"matmul", profile.least->matmul},
                        {"convolution", profile.least->convolution},
                        {"attention", profile.least->attention},
                        {"group_norm", profile.least->groupNorm}};
  }
  if (profile.groupNormGigabytes != 0) {
    json["group_norm_gbps"] = profile.groupNormGigabytes;
  }
  if (profile.moveGigabytes != 0) {
    json["move_gbps"] = profile.moveGigabytes;
  }
  if (profile.blend != 0) {
    json["blend"] = profile.blend;
  }
  if (profile.reserveConvolutionBytes != 0) {
    json["reserve_convolution_bytes"] = profile.reserveConvolutionBytes;
  }
  if (profile.reservePinnedShare != 0) {
    json["reserve_pinned_share"] = profile.reservePinnedShare;
  }
  if (profile.diskGigabytes != kAssumedDisk) {
    json["disk_gbps"] = profile.diskGigabytes;
  }
  if (profile.convolutionF32Gigaflops != profile.convolutionGigaflops) {
    json["convolution_f32_gflops"] = profile.convolutionF32Gigaflops;
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

uint64_t profileHash(const Profile &profile) {
  std::string text = printProfile(profile);
  return XXH3_64bits(text.data(), text.size());
}

std::optional<std::string> profileOfCard(std::string_view card) {
  for (std::string_view name : builtinProfileNames()) {
    auto parsed = parseProfile(*builtinProfile(name));
    const auto *profile = std::get_if<Profile>(&parsed);
    for (const std::string &part : profile ? profile->cards : std::vector<std::string>()) {
      if (card.find(part) != std::string_view::npos) {
        return std::string(name);
      }
    }
  }
  return std::nullopt;
}

Prediction predict(const Profile &profile, const Work &work) {
  double rate = 0; // 10^9 operations per second
  double least = profile.launchMicroseconds;
  double gigabytes = profile.memoryGigabytes;
  switch (work.kind) {
  case WorkClass::Matmul:
    for (const MatmulRate &point : profile.matmul[static_cast<size_t>(work.format)]) {
      rate = work.rows >= point.rows ? point.gigaflops : rate;
    }
    least = profile.least && work.rows > 16 ? profile.least->matmul : least;
    break;
  case WorkClass::Convolution:
    rate = work.format == WeightFormat::F32 ? profile.convolutionF32Gigaflops
                                            : profile.convolutionGigaflops;
    least = profile.least ? profile.least->convolution : least;
    break;
  case WorkClass::Attention:
    rate = profile.attentionGigaflops;
    least = profile.least ? profile.least->attention : least;
    break;
  case WorkClass::GroupNorm:
    rate = profile.elementwiseGigaflops;
    gigabytes = profile.groupNormGigabytes > 0 ? profile.groupNormGigabytes : gigabytes;
    least = profile.least ? profile.least->groupNorm : least;
    break;
  case WorkClass::Elementwise:
    rate = profile.elementwiseGigaflops;
    break;
  case WorkClass::Move:
    gigabytes = profile.moveGigabytes > 0 ? profile.moveGigabytes : gigabytes;
    break;
  }
  double compute = rate > 0 ? work.flops / (rate * 1e3) : 0;
  double memory = work.bytes / (gigabytes * 1e3);
  double both = std::max(compute, memory);
  if (profile.blend > 0 && both > 0) {
    double shorter = std::min(compute, memory) / both; // so that no power overflows
    both *= std::pow(1 + std::pow(shorter, profile.blend), 1 / profile.blend);
  }
  return {least + both, compute > memory ? profile.hideCompute : profile.hideMemory};
}

} // namespace ciuic::cost

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// See Generate.h. Knows the inputs that exporters of decoders agree on: input_ids, attention_mask,
// position_ids; and the output logits.
#include "tools/ciuic-bench/Generate.h"

#include "tools/CApi.h"
#include "tools/ciuic-bench/HostMachine.h"
#include "tools/ciuic-run/Elements.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <memory>

namespace ciuic::bench {
namespace {

using tool::sized;

template <class T, void (*destroy)(T *)>
struct Destroy {
  void operator()(T *object) const { destroy(object); }
};

Spread spreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return {
      values[0], (values[(n - 1) / 2] + values[n / 2]) / 2,
      values[std::min(n - 1, static_cast<size_t>(std::ceil(0.9 * static_cast<double>(n))) - 1)]};
}

class Generator {
public:
  explicit Generator(const GenerateOptions &options) : o(options) {}

  Status run(Generation &out) {
    CIUIC_TRY(open(out));
    CIUIC_TRY(readPorts());
    std::vector<double> prompts, tokens;
    for (int repeat = 0; repeat <= o.repeats; ++repeat) {
      std::vector<double> each;
      std::vector<int64_t> ids;
      double prompt = 0;
      CIUIC_TRY(once(out, prompt, each, ids));
      if (repeat == 0) {
        out.ids = ids;
        continue;
      }
      if (ids != out.ids) {
        return failure(StatusClass::Internal, "internal.generation",
                       "the same prompt was answered in another way in repetition %d", repeat);
      }
      prompts.push_back(prompt);
      tokens.insert(tokens.end(), each.begin(), each.end());
    }
    out.promptTokens = o.prompt, out.newTokens = o.tokens;
    out.promptMs = spreadOf(prompts);
    out.promptRate = static_cast<double>(o.prompt) / out.promptMs.median * 1e3;
    if (!tokens.empty()) {
      out.tokenMs = spreadOf(tokens);
      out.tokenRate = 1e3 / out.tokenMs.median;
    }
    return Status::ok();
  }

private:
  Status open(Generation &out) {
    ciuic_program *loaded = nullptr;
    TRY_C(ciuic_program_load_path(o.program.c_str(), &loaded));
    program.reset(loaded);
    info = sized<ciuic_program_info>();
    TRY_C(ciuic_program_get_info(loaded, &info));
    ciuic_device *opened = nullptr;
    TRY_C(ciuic_device_open(o.device.empty() ? info.device_kind : o.device.c_str(), &opened));
    device.reset(opened);
    auto options = sized<ciuic_session_options>();
    options.threads = o.threads;
    ciuic_session *created = nullptr;
    TRY_C(ciuic_session_create(loaded, opened, &options, &created));
    session.reset(created);
    auto found = sized<ciuic_device_info>();
    TRY_C(ciuic_device_get_info(opened, &found));
    out.program = o.program, out.device = found.name;
    out.budgetBytes = info.budget_bytes;
    return Status::ok();
  }

  Status unfit(const char *why) const {
    return failure(StatusClass::Usage, "usage.generate",
                   "%s: %s; --generate runs a decoder that keeps its cache as state: inputs "
                   "input_ids, attention_mask and position_ids, output logits",
                   o.program.c_str(), why);
  }

  /// The inputs that there are, the logits, and the longest chunk that an entry takes.
  Status readPorts() {
    if (info.states == 0) {
      return unfit("it has no states");
    }
    auto entry = sized<ciuic_entry_info>();
    TRY_C(ciuic_entry_get_info(program.get(), 0, &entry));
    uint32_t idsInput = entry.inputs;
    for (uint32_t i = 0; i < entry.inputs; ++i) {
      auto port = sized<ciuic_port_info>();
      TRY_C(ciuic_entry_get_port(program.get(), 0, CIUIC_PORT_INPUT, i, &port));
      const std::string name = port.name;
      if ((name != "input_ids" && name != "attention_mask" && name != "position_ids") ||
          port.dtype != CIUIC_I64 || port.rank != 2) {
        return unfit(("it has an input '" + name + "'").c_str());
      }
      names.push_back(name);
      idsInput = name == "input_ids" ? i : idsInput;
    }
    if (idsInput == entry.inputs) {
      return unfit("it has no input 'input_ids'");
    }
    longest = 1;
    for (uint32_t e = 0; e < info.entries; ++e) {
      auto at = sized<ciuic_entry_info>();
      TRY_C(ciuic_entry_get_info(program.get(), e, &at));
      for (uint32_t s = 0; s < at.symbols; ++s) {
        auto symbol = sized<ciuic_symbol_info>();
        TRY_C(ciuic_entry_get_symbol(program.get(), e, s, &symbol));
        if (symbol.input == static_cast<int32_t>(idsInput) && symbol.axis == 1) {
          longest = std::max(longest, symbol.upper);
        }
      }
      CIUIC_TRY(readLogits(e, at));
    }
    return vocabulary > 0 ? Status::ok() : unfit("it has no output 'logits' of three dims");
  }

  /// Room for the logits of an entry at its bounds; the last of their dims is the vocabulary.
  Status readLogits(uint32_t e, const ciuic_entry_info &entry) {
    std::vector<int64_t> bounds(entry.symbols);
    for (uint32_t s = 0; s < entry.symbols; ++s) {
      auto symbol = sized<ciuic_symbol_info>();
      TRY_C(ciuic_entry_get_symbol(program.get(), e, s, &symbol));
      bounds[s] = symbol.upper;
    }
    for (uint32_t i = 0; i < entry.outputs; ++i) {
      auto port = sized<ciuic_port_info>();
      TRY_C(ciuic_entry_get_port(program.get(), e, CIUIC_PORT_OUTPUT, i, &port));
      if (std::string_view(port.name) == "logits" && port.rank == 3) {
        int64_t dims[3] = {};
        TRY_C(
            ciuic_entry_get_port_dims(program.get(), e, CIUIC_PORT_OUTPUT, i, bounds.data(), dims));
        vocabulary = dims[2], logitsType = port.dtype;
        logitsData.resize(std::max(logitsData.size(), static_cast<size_t>(port.bytes)));
      }
    }
    return Status::ok();
  }

  /// A prompt and its answer from an empty cache.
  Status once(Generation &out, double &promptMs, std::vector<double> &tokenMs,
              std::vector<int64_t> &ids) {
    for (uint32_t s = 0; s < info.states; ++s) {
      TRY_C(ciuic_session_state_reset(session.get(), s));
    }
    past = 0, out.chunks = 0;
    int64_t next = 0;
    uint64_t random = 0x9e3779b97f4a7c15u;
    for (int64_t done = 0; done < o.prompt;) {
      const int64_t count = std::min(longest, o.prompt - done);
      std::vector<int64_t> chunk(static_cast<size_t>(count));
      for (int64_t &id : chunk) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        id = static_cast<int64_t>(random >> 8) % vocabulary;
      }
      done += count;
      double ms = 0;
      CIUIC_TRY(step(chunk, done == o.prompt, ms, out.promptEntry, out, &next));
      promptMs += ms;
      ++out.chunks;
    }
    for (int64_t i = 0; i < o.tokens; ++i) {
      ids.push_back(next);
      double ms = 0;
      CIUIC_TRY(step({next}, true, ms, out.tokenEntry, out, &next));
      tokenMs.push_back(ms);
      if (i == 0) {
        auto entry = sized<ciuic_entry_info>();
        TRY_C(ciuic_entry_get_info(program.get(), lastEntry, &entry));
        out.predictedTokenMs = entry.predicted_ms;
      }
    }
    return Status::ok();
  }

  /// One run behind what the cache holds; `next` becomes the likeliest token.
  Status step(const std::vector<int64_t> &ids, bool wanted, double &ms, std::string &entryName,
              Generation &out, int64_t *next) {
    const auto count = static_cast<int64_t>(ids.size());
    std::vector<int64_t> mask(static_cast<size_t>(past + count), 1), positions(ids.size());
    for (int64_t i = 0; i < count; ++i) {
      positions[static_cast<size_t>(i)] = past + i;
    }
    const double begin = now();
    for (const std::string &name : names) {
      const std::vector<int64_t> &data = name == "input_ids"        ? ids
                                         : name == "attention_mask" ? mask
                                                                    : positions;
      const int64_t dims[2] = {1, static_cast<int64_t>(data.size())};
      TRY_C(ciuic_session_bind_input(session.get(), name.c_str(), CIUIC_I64, 2, dims, data.data()));
    }
    TRY_C(ciuic_session_bind_output(session.get(), "logits", wanted ? logitsData.data() : nullptr,
                                    wanted ? logitsData.size() : 0));
    TRY_C(ciuic_session_run(session.get(), nullptr));
    past += count;
    if (wanted) {
      CIUIC_TRY(likeliest(next));
    }
    ms = (now() - begin) * 1e3;
    auto stats = sized<ciuic_run_stats>();
    TRY_C(ciuic_session_get_stats(session.get(), &stats));
    lastEntry = stats.entry;
    out.peakBytes = std::max(out.peakBytes, stats.peak_device_bytes);
    auto entry = sized<ciuic_entry_info>();
    TRY_C(ciuic_entry_get_info(program.get(), stats.entry, &entry));
    entryName = entry.name;
    return Status::ok();
  }

  Status likeliest(int64_t *next) {
    int64_t dims[3] = {};
    uint32_t rank = 3;
    TRY_C(ciuic_session_get_output_dims(session.get(), "logits", &rank, dims));
    const size_t size = ciuic_dtype_bytes(logitsType);
    if (dims[1] < 1 || dims[2] < 1) {
      return unfit("its logits are empty");
    }
    const char *row = logitsData.data() + static_cast<size_t>((dims[1] - 1) * dims[2]) * size;
    double best = -INFINITY;
    *next = 0;
    for (int64_t i = 0; i < dims[2]; ++i) {
      const double value = run::elementAsDouble(logitsType, row + static_cast<size_t>(i) * size);
      if (value > best) {
        best = value, *next = i;
      }
    }
    return Status::ok();
  }

  const GenerateOptions &o;
  std::unique_ptr<ciuic_program, Destroy<ciuic_program, ciuic_program_destroy>> program;
  std::unique_ptr<ciuic_device, Destroy<ciuic_device, ciuic_device_close>> device;
  std::unique_ptr<ciuic_session, Destroy<ciuic_session, ciuic_session_destroy>> session;
  ciuic_program_info info = {};
  std::vector<std::string> names;
  std::vector<char> logitsData;
  ciuic_dtype logitsType = CIUIC_F32;
  int64_t longest = 1, past = 0, vocabulary = 0;
  uint32_t lastEntry = 0;
};

nlohmann::ordered_json jsonOf(const Spread &spread) {
  return {{"min", spread.least}, {"median", spread.median}, {"p90", spread.p90}};
}

} // namespace

Status generate(const GenerateOptions &options, Generation *out) {
  return Generator(options).run(*out);
}

std::string textOf(const Generation &g) {
  std::string text =
      formatText("prompt of %lld tokens in %lld chunk%s (entry %s): %.3f ms, %.1f tokens/s\n",
                 static_cast<long long>(g.promptTokens), static_cast<long long>(g.chunks),
                 g.chunks == 1 ? "" : "s", g.promptEntry.c_str(), g.promptMs.median, g.promptRate);
  if (g.newTokens > 0) {
    text += formatText("%lld tokens after it (entry %s): %.3f ms each, %.1f tokens/s (p90 %.3f ms, "
                       "predicted %.3f ms)\n",
                       static_cast<long long>(g.newTokens), g.tokenEntry.c_str(), g.tokenMs.median,
                       g.tokenRate, g.tokenMs.p90, g.predictedTokenMs);
  }
  return text + formatText("on %s, %.1f MiB of %.1f MiB\n", g.device.c_str(),
                           static_cast<double>(g.peakBytes) / (1 << 20),
                           static_cast<double>(g.budgetBytes) / (1 << 20));
}

std::string jsonOf(const Generation &g) {
  const nlohmann::ordered_json json = {{"program", g.program},
                                       {"device", g.device},
                                       {"budget_bytes", g.budgetBytes},
                                       {"peak_device_bytes", g.peakBytes},
                                       {"prompt_tokens", g.promptTokens},
                                       {"prompt_chunks", g.chunks},
                                       {"prompt_entry", g.promptEntry},
                                       {"prompt_ms", jsonOf(g.promptMs)},
                                       {"prompt_tokens_per_s", g.promptRate},
                                       {"new_tokens", g.newTokens},
                                       {"token_entry", g.tokenEntry},
                                       {"token_ms", jsonOf(g.tokenMs)},
                                       {"predicted_token_ms", g.predictedTokenMs},
                                       {"tokens_per_s", g.tokenRate},
                                       {"ids", g.ids}};
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

} // namespace ciuic::bench

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Printing and reading of instances. Numbers go through from_chars and to_chars: exact, and the
// same in every locale.

#include "passes/Solver/Text.h"

#include <charconv>

namespace ciuic::solver {

namespace {

std::string quoted(const std::string &name) {
  std::string text = "\"";
  for (char c : name) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') {
      text += '\\';
    }
    text += c;
  }
  return text + '"';
}

std::string number(double value) {
  char digits[64];
  auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return std::string(digits, end);
}

std::string number(int64_t value) { return std::to_string(value); }

/// The words of one line. The first fault is kept; after it every read returns zero.
class Line {
public:
  Line(std::string_view text, std::string &wrong) : text(text), wrong(wrong) { skip(); }

  bool done() const { return text.empty(); }

  std::string_view word() {
    size_t length = 0;
    while (length < text.size() && text[length] != ' ' && text[length] != '\t') {
      ++length;
    }
    std::string_view result = text.substr(0, length);
    if (result.empty()) {
      fail("something is missing at the end");
    }
    text.remove_prefix(length);
    skip();
    return result;
  }

  void expect(std::string_view keyword) {
    std::string_view found = word();
    if (found != keyword) {
      fail("expected '" + std::string(keyword) + "', found '" + std::string(found) + "'");
    }
  }

  bool accept(std::string_view keyword) {
    if (text.substr(0, keyword.size()) == keyword &&
        (text.size() == keyword.size() || text[keyword.size()] == ' ')) {
      word();
      return true;
    }
    return false;
  }

  std::string name() {
    if (text.empty() || text.front() != '"') {
      fail("expected a name in quotes");
      return "";
    }
    std::string result;
    for (size_t i = 1; i < text.size(); ++i) {
      if (text[i] == '"') {
        text.remove_prefix(i + 1);
        skip();
        return result;
      }
      if (text[i] == '\\' && i + 1 < text.size()) {
        ++i;
        result += text[i] == 'n' ? '\n' : text[i];
      } else {
        result += text[i];
      }
    }
    fail("the name has no end");
    return "";
  }

  template <typename T>
  T parse(std::string_view digits) {
    T value{};
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      fail("'" + std::string(digits) + "' is not a number that fits here");
      return T{};
    }
    return value;
  }

  template <typename T>
  T value() {
    return parse<T>(word());
  }

  void fail(std::string why) {
    if (wrong.empty()) {
      wrong = std::move(why);
    }
    text = {};
  }

private:
  void skip() {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t' || text.front() == '\r')) {
      text.remove_prefix(1);
    }
    if (!text.empty() && text.front() == '#') {
      text = {};
    }
  }

  std::string_view text;
  std::string &wrong;
};

/// Calls `handle(line)` for each line that holds something; returns "line N: …" for the first
/// fault.
template <typename Handle>
std::string eachLine(std::string_view text, Handle handle) {
  std::string wrong;
  int number = 0;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (!content.empty() && content.back() == '\r') {
      content.remove_suffix(1);
    }
    Line line(content, wrong);
    if (!line.done()) {
      handle(line);
      if (wrong.empty() && !line.done()) {
        line.fail("more words than expected");
      }
    }
    if (!wrong.empty()) {
      return "line " + std::to_string(number) + ": " + wrong;
    }
  }
  return "";
}

void readCsvLine(Line &line, PackingProblem &problem) {
  std::string_view rest = line.word();
  int64_t fields[3];
  std::string id(rest.substr(0, rest.find(',')));
  for (int64_t &field : fields) {
    size_t comma = rest.find(',');
    if (comma == std::string_view::npos) {
      line.fail("expected id,lower,upper,size");
      return;
    }
    rest.remove_prefix(comma + 1);
    field = line.parse<int64_t>(rest.substr(0, rest.find(',')));
  }
  problem.buffers.push_back({id, fields[2], 1, fields[0], fields[1]});
}

Use readUse(Line &line) {
  std::string_view text = line.word();
  size_t colon = std::min(text.find(':'), text.size());
  std::string_view kind = text.substr(0, colon);
  std::string_view rest = text.substr(std::min(colon + 1, text.size()));
  Use use;
  if (kind == "gather") {
    use.access = Access::Gather;
    size_t second = rest.find(':');
    if (second == std::string_view::npos) {
      line.fail("expected gather:WEIGHT:BYTES");
      return use;
    }
    use.gatherBytes = line.parse<int64_t>(rest.substr(second + 1));
    rest = rest.substr(0, second);
  } else if (kind == "tiles") {
    use.access = Access::Tiles;
  } else if (kind == "pieces") {
    use.access = Access::Pieces;
  } else if (kind != "whole") {
    line.fail("expected whole:, tiles:, pieces: or gather:, found '" + std::string(text) + "'");
    return use;
  }
  use.weight = line.parse<int>(rest);
  return use;
}

void readOffloadLine(Line &line, OffloadProblem &problem) {
  std::string_view kind = line.word();
  bool inEntry = !problem.entries.empty();
  if (kind == "persistent") {
    problem.persistentBytes = line.value<int64_t>();
  } else if (kind == "budget") {
    problem.budget = line.value<int64_t>();
  } else if (kind == "host-memory") {
    problem.hostMemory = line.value<int64_t>();
    line.expect("disk");
    problem.diskGigabytesPerSecond = line.value<double>();
  } else if (kind == "alignment") {
    problem.alignment = line.value<int64_t>();
    line.expect("region");
    problem.regionAlignment = line.value<int64_t>();
  } else if (kind == "launch") {
    problem.launchMicroseconds = line.value<double>();
  } else if (kind == "link") {
    std::string_view direction = line.word();
    if (direction != "to-device" && direction != "to-host") {
      line.fail("expected to-device or to-host");
      return;
    }
    Link &link = direction == "to-device" ? problem.toDevice : problem.toHost;
    line.expect("latency");
    link.latencyMicroseconds = line.value<double>();
    line.expect("rates");
    link.rates.clear();
    while (!line.done()) {
      std::string_view point = line.word();
      size_t colon = std::min(point.find(':'), point.size());
      int64_t bytes = line.parse<int64_t>(point.substr(0, colon));
      link.rates.push_back(
          {bytes, line.parse<double>(point.substr(std::min(colon + 1, point.size())))});
    }
  } else if (kind == "weight") {
    Weight weight;
    weight.name = line.name();
    weight.bytes = line.value<int64_t>();
    line.expect("tile");
    weight.tileBytes = line.value<int64_t>();
    problem.weights.push_back(std::move(weight));
  } else if (kind == "entry") {
    Entry entry;
    entry.name = line.name();
    line.expect("frequency");
    entry.frequency = line.value<double>();
    problem.entries.push_back(std::move(entry));
  } else if (kind == "step" && inEntry) {
    Step step;
    step.name = line.name();
    line.expect("us");
    step.microseconds = line.value<double>();
    line.expect("hide");
    step.hide = line.value<double>();
    line.expect("scratch");
    step.scratchBytes = line.value<int64_t>();
    if (line.accept("uses")) {
      while (!line.done()) {
        step.uses.push_back(readUse(line));
      }
    }
    problem.entries.back().steps.push_back(std::move(step));
  } else if (kind == "buffer" && inEntry) {
    Activation buffer;
    buffer.name = line.name();
    buffer.bytes = line.value<int64_t>();
    line.expect("live");
    buffer.begin = line.value<int>();
    buffer.end = line.value<int>();
    if (line.accept("tile")) {
      buffer.tileBytes = line.value<int64_t>();
    }
    if (line.accept("touches")) {
      while (!line.done()) {
        buffer.touches.push_back(line.value<int>());
      }
    }
    problem.entries.back().buffers.push_back(std::move(buffer));
  } else {
    line.fail("'" + std::string(kind) + "' does not belong here");
  }
}

std::string printLink(const char *direction, const Link &link) {
  std::string text =
      std::string("link ") + direction + " latency " + number(link.latencyMicroseconds) + " rates";
  for (const RatePoint &point : link.rates) {
    text += " " + number(point.bytes) + ":" + number(point.gigabytesPerSecond);
  }
  return text + "\n";
}

std::string printStep(const Step &step) {
  std::string text = "step " + quoted(step.name) + " us " + number(step.microseconds) + " hide " +
                     number(step.hide) + " scratch " + number(step.scratchBytes);
  for (size_t i = 0; i < step.uses.size(); ++i) {
    const Use &use = step.uses[i];
    text += i == 0 ? " uses" : "";
    text += use.access == Access::Whole    ? " whole:"
            : use.access == Access::Tiles  ? " tiles:"
            : use.access == Access::Pieces ? " pieces:"
                                           : " gather:";
    text += std::to_string(use.weight);
    text += use.access == Access::Gather ? ":" + number(use.gatherBytes) : "";
  }
  return text + "\n";
}

} // namespace

std::string print(const PackingProblem &problem) {
  std::string text = "ciuic-packing 1\n";
  if (problem.capacity) {
    text += "capacity " + number(*problem.capacity) + "\n";
  }
  for (const Buffer &buffer : problem.buffers) {
    text += "buffer " + quoted(buffer.name) + " " + number(buffer.bytes) + " align " +
            number(buffer.alignment) + " live " + number(buffer.begin) + " " + number(buffer.end) +
            "\n";
  }
  return text;
}

std::string print(const OffloadProblem &problem) {
  std::string text = "ciuic-offload 1\npersistent " + number(problem.persistentBytes) + "\n";
  if (problem.budget) {
    text += "budget " + number(*problem.budget) + "\n";
  }
  if (problem.hostMemory) {
    text += "host-memory " + number(*problem.hostMemory) + " disk " +
            number(problem.diskGigabytesPerSecond) + "\n";
  }
  text += "alignment " + number(problem.alignment) + " region " + number(problem.regionAlignment) +
          "\n";
  text += "launch " + number(problem.launchMicroseconds) + "\n";
  text += printLink("to-device", problem.toDevice) + printLink("to-host", problem.toHost);
  for (const Weight &weight : problem.weights) {
    text += "weight " + quoted(weight.name) + " " + number(weight.bytes) + " tile " +
            number(weight.tileBytes) + "\n";
  }
  for (const Entry &entry : problem.entries) {
    text += "entry " + quoted(entry.name) + " frequency " + number(entry.frequency) + "\n";
    for (const Step &step : entry.steps) {
      text += printStep(step);
    }
    for (const Activation &buffer : entry.buffers) {
      text += "buffer " + quoted(buffer.name) + " " + number(buffer.bytes) + " live " +
              std::to_string(buffer.begin) + " " + std::to_string(buffer.end);
      text += buffer.tileBytes != 0 ? " tile " + number(buffer.tileBytes) : "";
      for (size_t i = 0; i < buffer.touches.size(); ++i) {
        text += (i == 0 ? " touches " : " ") + std::to_string(buffer.touches[i]);
      }
      text += "\n";
    }
  }
  return text;
}

std::variant<PackingProblem, std::string> readPacking(std::string_view text) {
  PackingProblem problem;
  bool started = false;
  bool csv = false;
  std::string wrong = eachLine(text, [&](Line &line) {
    if (!started) {
      csv = line.accept("id,lower,upper,size");
      if (!csv) {
        line.expect("ciuic-packing");
        line.expect("1");
      }
      started = true;
    } else if (csv) {
      readCsvLine(line, problem);
    } else if (line.accept("capacity")) {
      problem.capacity = line.value<int64_t>();
    } else {
      Buffer buffer;
      line.expect("buffer");
      buffer.name = line.name();
      buffer.bytes = line.value<int64_t>();
      line.expect("align");
      buffer.alignment = line.value<int64_t>();
      line.expect("live");
      buffer.begin = line.value<int64_t>();
      buffer.end = line.value<int64_t>();
      problem.buffers.push_back(std::move(buffer));
    }
  });
  if (wrong.empty() && !started) {
    wrong = "line 1: expected 'ciuic-packing 1'";
  }
  if (wrong.empty()) {
    wrong = check(problem).value_or("");
  }
  if (!wrong.empty()) {
    return wrong;
  }
  return problem;
}

std::variant<OffloadProblem, std::string> readOffload(std::string_view text) {
  OffloadProblem problem;
  bool started = false;
  std::string wrong = eachLine(text, [&](Line &line) {
    if (started) {
      readOffloadLine(line, problem);
    } else {
      line.expect("ciuic-offload");
      line.expect("1");
      started = true;
    }
  });
  if (wrong.empty() && !started) {
    wrong = "line 1: expected 'ciuic-offload 1'";
  }
  if (wrong.empty()) {
    wrong = check(problem).value_or("");
  }
  if (!wrong.empty()) {
    return wrong;
  }
  return problem;
}

std::string print(const OffloadProblem &problem, const OffloadPlan &plan) {
  std::string text = "plan " + quoted(plan.policy) + " arena " + number(plan.arenaBytes) +
                     " need " + number(plan.needBytes) + " resident " + number(plan.residentBytes) +
                     " streamed " + number(plan.streamedBytes) + " objective " +
                     number(plan.objective) + "\n";
  text += "regions persistent " + number(plan.persistentOffset) + " resident " +
          number(plan.residentOffset) + " slots " + number(plan.slotsOffset) + " bytes " +
          number(plan.slotsBytes) + " activations " + number(plan.activationOffset) + "\n";
  for (size_t u = 0; u < plan.units.size(); ++u) {
    const Unit &unit = plan.units[u];
    text += "unit " + std::to_string(u) + " bytes " + number(unit.bytes) +
            (unit.onDisk               ? " on disk"
             : unit.residentOffset < 0 ? " streamed"
                                       : " at " + number(unit.residentOffset));
    for (const Piece &piece : unit.pieces) {
      text += " " + quoted(problem.weights[piece.weight].name) + "[" + number(piece.begin) + "," +
              number(piece.end) + ")";
    }
    text += "\n";
  }
  constexpr const char *kKinds[] = {"load unit ", "swap out segment ", "swap in segment ",
                                    "tile out segment "};
  for (size_t e = 0; e < plan.entries.size(); ++e) {
    const EntryPlan &entry = plan.entries[e];
    text += "entry " + quoted(problem.entries[e].name) + " predicted " +
            number(entry.predictedMicroseconds) + " compute " + number(entry.computeMicroseconds) +
            " stall " + number(entry.stallMicroseconds) + " bound " +
            number(entry.lowerBoundMicroseconds) + " gap " + number(entry.gap) + " to-device " +
            number(entry.copiedToDevice) + " to-host " + number(entry.copiedToHost) + "\n";
    for (const Slot &slot : entry.initialSlots) {
      text +=
          "  starts with unit " + std::to_string(slot.unit) + " at " + number(slot.offset) + "\n";
    }
    for (const Copy &copy : entry.copies) {
      bool load = copy.kind == CopyKind::LoadUnit;
      text += std::string("  ") + kKinds[static_cast<int>(copy.kind)] +
              std::to_string(load ? copy.unit : copy.segment) +
              (load ? " at " + number(copy.slot) : "") + " after " + std::to_string(copy.after) +
              " before " + std::to_string(copy.before) + " bytes " + number(copy.bytes) + "\n";
    }
    for (size_t l = 0; l < entry.launches.size(); ++l) {
      const Launch &launch = entry.launches[l];
      text += "  launch " + std::to_string(l) + " " +
              quoted(problem.entries[e].steps[launch.step].name);
      for (const Operand &operand : launch.operands) {
        text += " " + quoted(problem.weights[operand.weight].name) + "[" + number(operand.begin) +
                "," + number(operand.end) + ")";
        text += operand.hostGather ? " gathered"
                : operand.unit < 0 ? " at " + number(operand.offset)
                                   : " unit " + std::to_string(operand.unit) + " at " +
                                         number(operand.slot) + "+" + number(operand.offset);
      }
      text += launch.tile >= 0 ? " into segment " + std::to_string(launch.tile) : "";
      text += "\n";
    }
  }
  return text;
}

} // namespace ciuic::solver

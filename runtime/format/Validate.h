// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The rules of docs/program-format.md on metadata, P* for the program and E* for its entries. The
// loader runs them on every file, the writer on every plan; they take nothing on trust and share no
// code with the compiler's own checks. Cost: O(n log n) in steps and buffers.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/Layout.h"

#include <cstdint>
#include <span>
#include <vector>

namespace ciuic::format {

struct ProgramT;
struct EntryT;
struct WeightT;
struct PortT;
struct CopyOutT;

struct FileFacts {
  int64_t weightSectionBytes;
  std::span<const SectionEntry> sections;
};

/// All rules. The status carries the rule as its code and says which item broke it.
Status validateProgram(const ProgramT &program, const FileFacts &file);

/// Rules E1 to E9 and E13 to E15 of one entry: symbols, expressions, ports, buffers, steps.
Status validateEntry(const ProgramT &program, const EntryT &entry);
/// Rules E10 to E12: happens-before between the streams, definedness, wrapped slots.
Status validateOrder(const ProgramT &program, const EntryT &entry);

/// What of a weight is in the arena for the whole session.
struct ResidentPart {
  int64_t begin; // in the weight
  int64_t bytes, arenaOffset;
};
std::vector<ResidentPart> residentParts(const WeightT &weight);

/// The output of the host tier into whose rows a copy of rows writes, if its place and pitch make
/// it columns of one.
const PortT *columnsOf(const EntryT &entry, const CopyOutT &copy);

/// Highest arena address of what an entry needs: states, resident weights and its own buffers.
int64_t entryPeak(const ProgramT &program, const EntryT &entry);
/// Bytes of one element.
int64_t elementBytes(uint8_t dtype);
} // namespace ciuic::format

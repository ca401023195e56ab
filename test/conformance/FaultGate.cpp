// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/conformance/FaultGate.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace ciuic::test {
namespace {

using namespace device::cuda;

enum class Role { Works, Creates, Destroys, Waits, Asks };

constexpr std::string_view kCreates[] = {
    "primaryCtxRetain", "memAlloc",    "memAllocHost",     "memHostRegister", "moduleLoadDataEx",
    "streamCreate",     "eventCreate", "streamEndCapture", "graphInstantiate"};
/// These never fail: what they leave would be nobody's.
constexpr std::string_view kDestroys[] = {"primaryCtxRelease", "memFree",      "memFreeHost",
                                          "memHostUnregister", "moduleUnload", "streamDestroy",
                                          "eventDestroy",      "graphDestroy", "graphExecDestroy"};
/// Fail when they have done their work: what they wait for has to end, whatever they say of it.
constexpr std::string_view kWaits[] = {"streamSynchronize", "eventSynchronize"};
constexpr std::string_view kAsks[] = {"init",           "driverGetVersion", "getErrorName",
                                      "getErrorString", "ctxPushCurrent",   "ctxPopCurrent",
                                      "memGetInfo",     "funcGetParamInfo"};

Role roleOf(std::string_view name) {
  auto among = [&](const auto &list) {
    return std::find(std::begin(list), std::end(list), name) != std::end(list);
  };
  return among(kCreates)    ? Role::Creates
         : among(kDestroys) ? Role::Destroys
         : among(kWaits)    ? Role::Waits
         : among(kAsks)     ? Role::Asks
                            : Role::Works;
}

FaultGate *current = nullptr;

/// A capture has to end for its streams to be of use again, though there is no graph.
void failed(StreamHandle stream, GraphHandle *graph) {
  if (current->driver.streamEndCapture(stream, graph) == result::success && *graph) {
    (void)current->driver.graphDestroy(*graph);
  }
  *graph = nullptr;
}
template <class... Arguments>
void failed(Arguments...) {}

void created(StreamHandle *stream, unsigned) { current->streams.insert(*stream); }
template <class... Arguments>
void created(Arguments...) {}

void destroyed(StreamHandle stream) { current->streams.erase(stream); }
template <class... Arguments>
void destroyed(Arguments...) {}

/// A device that is lost does nothing any more, while this one would go on under those who leave
/// it.
void lose() {
  current->lost = true;
  for (StreamHandle stream : current->streams) {
    (void)current->driver.streamSynchronize(stream);
  }
}

template <auto Member>
struct Gated;
template <class... Arguments, Result (*Driver::*Member)(Arguments...)>
struct Gated<Member> {
  static inline const char *name = nullptr;
  static inline Role role = Role::Works;

  static Result call(Arguments... arguments) {
    FaultGate &gate = *current;
    auto *function = gate.driver.*Member;
    if (role == Role::Asks) {
      return function(arguments...);
    }
    if (role == Role::Destroys) {
      gate.afterLoss += gate.lost;
      --gate.live;
      destroyed(arguments...);
      return function(arguments...);
    }
    if (gate.lost) {
      ++gate.afterLoss;
      return gate.failure;
    }
    if (gate.calls++ == gate.failAt) {
      gate.failed = name;
      if (role == Role::Waits) {
        (void)function(arguments...);
      }
      failed(arguments...);
      if (losesDevice(gate.failure)) {
        lose();
      }
      return gate.failure;
    }
    Result error = function(arguments...);
    if (role == Role::Creates && error == result::success) {
      ++gate.live;
      created(arguments...);
    }
    return error;
  }
};

} // namespace

Driver gatedDriver(FaultGate &gate) {
  current = &gate;
  Driver gated;
  gated.library = gate.driver.library;
#define F(member, symbol, arguments)                                                               \
  if (gate.driver.member) {                                                                        \
    Gated<&Driver::member>::name = #member;                                                        \
    Gated<&Driver::member>::role = roleOf(#member);                                                \
    gated.member = &Gated<&Driver::member>::call;                                                  \
  }
  CIUIC_CUDA_DRIVER(F)
  CIUIC_CUDA_DRIVER_OPTIONAL(F)
#undef F
  return gated;
}

} // namespace ciuic::test

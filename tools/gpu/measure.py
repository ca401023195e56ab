# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times and memory on a GPU: our programs as processes of their own, peers in this process."""
import ctypes
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np


def devices():
    """Bus addresses of the devices that programs see here, in their order; CUDA_VISIBLE_DEVICES chooses them."""
    driver = ctypes.CDLL("libcuda.so.1")
    count, name = ctypes.c_int(), ctypes.create_string_buffer(32)
    if error := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        raise RuntimeError(f"no GPU answers here: the driver says {error}")
    found = []
    for ordinal in range(count.value):
        if error := driver.cuDeviceGetPCIBusId(name, len(name), ordinal):
            raise RuntimeError(f"cuDeviceGetPCIBusId: {error}")
        found.append(name.value.decode())
    return found


def _nvml():
    """The driver's management library, and its handle of the first device that programs see."""
    import pynvml

    pynvml.nvmlInit()
    return pynvml, pynvml.nvmlDeviceGetHandleByPciBusId(devices()[0].encode())


def card():
    pynvml, handle = _nvml()
    name = pynvml.nvmlDeviceGetName(handle)
    driver = pynvml.nvmlSystemGetDriverVersion()
    return (name if isinstance(name, str) else name.decode()), (driver if isinstance(driver, str) else driver.decode())


def merge(out, found):
    """Rows of this run in place of older ones of the same name."""
    key = lambda r: (r["workload"], r["system"], r["variant"], r["card"])  # noqa: E731
    old = json.loads(out.read_text()) if out.exists() else []
    new = {key(r) for r in found}
    out.write_text(json.dumps([r for r in old if key(r) not in new] + found, indent=1) + "\n")


class Sampler:
    """The most memory of the device that the processes took which began in the block: the larger of the driver's figure
    for them, where it lists any, and the growth of what is in use."""

    def __enter__(self):
        self.pynvml, self.handle = _nvml()
        self.others = set(self._processes())
        self.before = self._used()
        self.most = self.listed = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        return self

    def _used(self):
        return self.pynvml.nvmlDeviceGetMemoryInfo(self.handle).used

    def _processes(self):
        """{process: bytes}; the system may hide both."""
        try:
            return {p.pid: p.usedGpuMemory or 0 for p in self.pynvml.nvmlDeviceGetComputeRunningProcesses(self.handle)}
        except self.pynvml.NVMLError:
            return {}

    def _sample(self):
        count = 0
        while not self.stop.wait(0.002):
            self.most = max(self.most, self._used() - self.before)
            if count % 16 == 0:
                self.listed = max([self.listed, *(b for p, b in self._processes().items() if p not in self.others)])
            count += 1

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.bytes = max(self.most, self.listed)


def tool(command, **options):
    """stdout of one of our tools, as JSON; its error is the exception's text."""
    begin = time.monotonic()
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    named = " ".join(str(c).rsplit("/", 1)[-1] for c in command if len(str(c)) < 80)
    print(f"  {time.monotonic() - begin:6.1f} s  {named[:150]}", file=sys.stderr, flush=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command[:3]))} …: exit {done.returncode}: {done.stderr.strip()[-1500:]} {done.stdout.strip()[-500:]}")
    return json.loads(done.stdout)


def ours(bin, program, arguments, iterations, warmup=3, **options):
    """Runs a program: (its report, bytes of the device that the process took)."""
    with Sampler() as sampler:
        report = tool([bin / "ciuic-run", program, "--json", "--iterations", iterations, "--warmup", warmup, *arguments], **options)
    return report, sampler.bytes


def turn(go, calls):
    """Where several processes make ready side by side: computes until all is compiled, says so beside the file `go`, and
    waits until that file is there."""
    if not go:
        return
    import torch

    for call in calls:
        for _ in range(4):
            call()
    torch.cuda.synchronize()
    Path(go + ".ready").touch()
    while not Path(go).exists():
        time.sleep(0.02)


def figures(ms):
    """What a peer's process says of itself beside its times. It may have taken more of the device than it holds now: what
    its allocator gave back since counts."""
    import torch

    held, most = own_bytes(), torch.cuda.max_memory_reserved()
    return {"ms": ms, "process_device_bytes": held and held + most - torch.cuda.memory_reserved(), "reserved_bytes": most}


def beside(go, plain, compiled, times):
    """A module as it is and compiled, in one process: {"eager": figures, the compiled one's figures}. What the process holds
    before anything is compiled is the plain module's."""
    for _ in range(2):
        plain()
    before = figures(None)
    turn(go, [compiled])
    eager = before | {"ms": times(plain)}
    return {"eager": eager} | figures(times(compiled))


def own_bytes():
    """What the driver says that this process holds of the device; None where it lists none."""
    import os

    pynvml, handle = _nvml()
    try:
        held = {p.pid: p.usedGpuMemory for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    except pynvml.NVMLError:
        return None
    return held.get(os.getpid())


def spread(values):
    values = sorted(values)
    return {"min": values[0], "median": float(np.median(values)), "p90": values[min(len(values) - 1, int(0.9 * len(values)))]}


def peer(call, iterations, warmup=3):
    """Milliseconds of a call on the current stream, by events."""
    import torch

    for _ in range(warmup):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(iterations):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return spread(times)


def clock(call, iterations, warmup=3):
    """Milliseconds by the host's clock, for peers that move memory with the host's help."""
    import torch

    for _ in range(warmup):
        call()
    times = []
    for _ in range(iterations):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) * 1e3)
    return spread(times)

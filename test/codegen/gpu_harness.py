# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Groups of kernels (harness.py) on a GPU: packed where the compiler is, run where the GPU is.

pack() compiles a group to cubins and PTX; run() launches every kernel with its own grid and with smaller ones, from
the cubin and from PTX for older chips, and compares with the expected arrays: the results must be the same bits for
every grid. Guards around every result catch stray writes. Nothing but the driver and numpy is needed to run.
"""
import ctypes
import json
import subprocess
from pathlib import Path

import numpy as np

from harness import GUARD, compare


def pack(group, folder, number, tool="ciuic-kernels", capabilities="90,80"):
    """Writes gNUMBER.* into the folder."""
    source, output = Path(folder) / f"g{number}.mlir", Path(folder) / f"g{number}"
    source.write_text(group.text())
    done = subprocess.run([tool, str(source), "--cuda", str(output), capabilities], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{source}: {done.stderr}")
    print(done.stderr.strip())
    launches = {name: [int(n) for n in numbers] for name, *numbers in (l.split() for l in done.stdout.splitlines())}
    Path(f"{output}.json").write_text(json.dumps(launches))


COOPERATIVE = 2  # of CUlaunchAttributeID
MAX_DYNAMIC_SHARED, CLUSTER_WIDTH = 8, 11  # of CUfunction_attribute


class LaunchAttribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_int), ("value", ctypes.c_int), ("rest", ctypes.c_int * 15)]


class LaunchConfig(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint) for n in ("grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared")]
    _fields_ += [("stream", ctypes.c_void_p), ("attributes", ctypes.POINTER(LaunchAttribute)), ("count", ctypes.c_uint)]


class Driver:
    """The few driver calls a test needs, each checked."""

    def __init__(self):
        self.cuda = ctypes.CDLL("libcuda.so.1")
        self("cuInit", 0)
        device = ctypes.c_int()
        self("cuDeviceGet", ctypes.byref(device), 0)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self("cuDeviceGetAttribute", ctypes.byref(major), 75, device)
        self("cuDeviceGetAttribute", ctypes.byref(minor), 76, device)
        self.capability = 10 * major.value + minor.value
        self("cuDeviceGetAttribute", ctypes.byref(major), 16, device)
        self.multiprocessors = major.value
        context = ctypes.c_void_p()
        self("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self("cuCtxSetCurrent", context)

    def __call__(self, name, *arguments):
        status = getattr(self.cuda, name)(*arguments)
        if status != 0:
            text = ctypes.c_char_p()
            self.cuda.cuGetErrorString(status, ctypes.byref(text))
            raise RuntimeError(f"{name}: {status} {text.value}")

    def module(self, path):
        module, data = ctypes.c_void_p(), Path(path).read_bytes()
        self("cuModuleLoadData", ctypes.byref(module), data)
        return module

    def function(self, module, name, launch):
        """The function, and the most blocks of a cooperative launch, or none where blocks do not meet in global memory: as the
        runtime has it (runtime/device/cuda/CudaContext.cpp)."""
        threads, shared, _, _, _, together = launch
        function, cluster, blocks = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        self("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        if shared > 0:  # with the code's own arrays it may be more than 48 KiB, which has to be asked for
            self("cuFuncSetAttribute", function, MAX_DYNAMIC_SHARED, ctypes.c_int(shared))
        self("cuFuncGetAttribute", ctypes.byref(cluster), CLUSTER_WIDTH, function)
        if together == 0 or cluster.value > 1:
            return function, None
        self("cuOccupancyMaxActiveBlocksPerMultiprocessor", ctypes.byref(blocks), function, threads, ctypes.c_size_t(shared))
        return function, blocks.value * self.multiprocessors

    def allocate(self, size):
        pointer = ctypes.c_uint64()
        self("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)))
        return pointer.value

    def free(self, pointer):
        self("cuMemFree_v2", ctypes.c_uint64(pointer))

    def write(self, pointer, array):
        self("cuMemcpyHtoD_v2", ctypes.c_uint64(pointer), array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(array.nbytes))

    def read(self, pointer, size):
        array = np.empty(size, np.uint8)
        self("cuMemcpyDtoH_v2", array.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(pointer), ctypes.c_size_t(size))
        return array

    def launch(self, function, grid, threads, shared, arguments, stream=None, cooperative=False):
        values = [ctypes.c_uint64(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.cast(ctypes.byref(v), ctypes.c_void_p) for v in values])
        attribute = LaunchAttribute(COOPERATIVE, 0, 1)
        config = LaunchConfig(grid, 1, 1, threads, 1, 1, shared, stream, ctypes.pointer(attribute), int(cooperative))
        self("cuLaunchKernelEx", ctypes.byref(config), function, pointers, None)

    def synchronise(self):
        self("cuCtxSynchronize")


def run(group, folder, number, driver):
    launches = json.loads((Path(folder) / f"g{number}.json").read_text())
    files = [Path(folder) / f"g{number}.sm_{driver.capability}{family}" for family in ("a", "")]
    files.append(Path(folder) / f"g{number}.ptx")
    modules = {file.suffix[1:]: driver.module(file) for file in files if file.exists()}
    if len(modules) < 2:
        raise SystemExit(f"g{number}: machine code and PTX are expected in {folder}")
    faults, count = [], 0
    for case in group.cases:
        if case[0] in launches:
            count += 1
            faults += check(driver, modules, case, launches[case[0]], [v for _, _, _, v in group.symbols])
    for module in modules.values():
        driver("cuModuleUnload", module)
    return faults, count


def guarded(driver, data):
    """An operand's or result's bytes with guards around: (address of the data, address, image)."""
    image = np.full(data.nbytes + 2 * GUARD, 0x5C, np.uint8)
    image[GUARD : GUARD + data.nbytes] = data.view(np.uint8).reshape(-1) if data.size else 0
    address = driver.allocate(image.nbytes)
    driver.write(address, image)
    return address + GUARD, address, image


def check(driver, modules, case, launch, dims):
    name, _, inputs, outputs, _, _, rtol, atol = case
    threads, shared, grid, cluster, least, _ = launch
    faults, held, seen = [], [], {}
    operands = [guarded(driver, np.ascontiguousarray(a)) for _, _, a in inputs]
    block = np.array(list(dims) or [0], np.int64)
    dims_address = driver.allocate(block.nbytes)
    driver.write(dims_address, block)
    expectations = [np.ascontiguousarray(e[0] if isinstance(e, tuple) else e) for _, _, e in outputs]
    for variant, module in modules.items():
        function, most = driver.function(module, name, launch)
        runs = [(variant, blocks, shared) for blocks in dict.fromkeys([grid, cluster, 3 * cluster, grid + 5 * cluster]) if not most or blocks <= most]
        if least > 0:  # and with less of the slots' memory
            runs.append((f"{variant}, little shared memory", grid, least))
        for kind, blocks, memory in runs:
            poison = [guarded(driver, np.full(e.nbytes, 0xA5, np.uint8)) for e in expectations]
            driver.launch(function, blocks, threads, memory, [b[0] for b in operands + poison] + [dims_address], cooperative=most is not None)
            driver.synchronise()
            bits = []
            for (_, address, image), e in zip(poison, expectations):
                got = driver.read(address, image.nbytes)
                if not (np.all(got[:GUARD] == 0x5C) and np.all(got[GUARD + e.nbytes :] == 0x5C)):
                    faults.append(f"{name} ({kind}, {blocks} blocks): writes outside its result")
                bits.append(got[GUARD : GUARD + e.nbytes].tobytes())
                driver.free(address)
            if seen.setdefault(kind, bits) != bits:
                faults.append(f"{name} ({kind}): results depend on the grid")
    for _, address, image in operands:
        if not np.array_equal(driver.read(address, image.nbytes), image):
            faults.append(f"{name}: writes to an operand")
        driver.free(address)
    driver.free(dims_address)
    for kind, bits in seen.items():
        for i, ((_, element, expected), raw) in enumerate(zip(outputs, bits)):
            e = expectations[i]
            got = np.frombuffer(raw, dtype=e.dtype).reshape(np.shape(e))
            text = expected[1](got) if isinstance(expected, tuple) else compare(got, e, element, rtol, atol)
            if text:
                faults.append(f"{name} ({kind}) result {i}: {text}")
    return faults

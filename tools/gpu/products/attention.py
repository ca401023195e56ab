# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of Attention.cu's and DecodeAttention.cu's shapes beside cuDNN and FlashAttention through torch, in turns in one
process: attention.py CUBIN DECODE_CUBIN. Medians of captured launches, each over operands of its own; errors against float32
over single heads."""
import ctypes
import math
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# batch, heads, kv heads, queries, keys, width, causal: the entries of Attention.cu.
SHAPES = [(1, 32, 32, 512, 512, 128, 1), (1, 32, 32, 2048, 2048, 128, 1), (1, 32, 32, 8192, 8192, 128, 1),
          (1, 32, 8, 16384, 16384, 128, 1), (1, 32, 8, 512, 8192, 128, 1), (1, 32, 32, 4096, 4096, 128, 0),
          (1, 32, 32, 4096, 4096, 64, 1), (2, 10, 10, 4096, 4096, 64, 0), (2, 8, 8, 4096, 4096, 40, 0),
          (2, 8, 8, 1024, 1024, 80, 0)]
# heads, kv heads, keys, width: one query over f16 caches, and over quantised rows.
DECODE = [(32, 32, 512, 128), (32, 32, 4096, 128), (32, 8, 4096, 128), (32, 8, 32768, 128), (9, 3, 8192, 64)]
PEERS = {"cuDNN": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}
driver = ctypes.CDLL("libcuda.so.1")


def check(status):
    if status:
        raise RuntimeError(f"driver error {status}")


def layout(width):
    """Queries of a tile and bytes of shared memory, as kernels/cuda/AttentionShape.h has them."""
    width = next(w for w in (32, 64, 80, 96, 128, 192, 256) if width <= w)
    queries, keys = (128, 64) if width <= 128 else (64, 32)
    row = (width // 8 if width % 64 == 0 else width // 8 | 1) * 16
    return queries, (queries + 4 * keys) * row + (1024 if width in (64, 128) else 0)


def load(path):
    module = ctypes.c_void_p()
    check(driver.cuModuleLoadData(ctypes.byref(module), open(path, "rb").read()))
    return module


def own(module, name, grid, shared, operands):
    function = ctypes.c_void_p()
    check(driver.cuModuleGetFunction(ctypes.byref(function), module, name.encode()))
    check(driver.cuFuncSetAttribute(function, 8, shared))
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in operands]
    array = (ctypes.c_void_p * len(pointers))(*[ctypes.addressof(p) for p in pointers])

    def launch():
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        check(driver.cuLaunchKernel(function, grid, 1, 1, 128, 1, 1, shared, stream, array, None))

    launch.keeps = pointers
    return launch


def median(graph):
    times = []
    for _ in range(9):
        begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[4]


def captured(launches):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for launch in launches:
            launch()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for launch in launches:
            launch()
    return graph


def error(found, q, k, v, causal):
    """Of the first and last query heads, [batch, head, sequence, width]; the last 512 queries."""
    worst = 0.0
    for head in (0, q.shape[1] - 1):
        kv = head * k.shape[1] // q.shape[1]
        rows = slice(max(0, q.shape[2] - 512), q.shape[2])
        scores = q[0, head, rows].float() @ k[0, kv].float().T / math.sqrt(q.shape[3])
        if causal:
            last = torch.arange(rows.start, rows.stop, device="cuda") + k.shape[2] - q.shape[2]
            scores = scores.masked_fill(torch.arange(k.shape[2], device="cuda")[None] > last[:, None], -math.inf)
        wanted = scores.softmax(-1) @ v[0, kv].float()
        worst = max(worst, ((found[0, head, rows].float() - wanted).norm() / wanted.norm()).item())
    return worst


def prompts(module):
    for shape in SHAPES:
        b, h, g, queries, keys, width, causal = shape
        sets = []
        for _ in range(3):
            q = torch.randn(b, queries, h, width, device="cuda", dtype=torch.float16)
            k, v = (torch.randn(b, g, keys, width, device="cuda", dtype=torch.float16) for _ in range(2))
            sets.append((q, k, v, torch.full_like(q, math.nan)))
        tile, shared = layout(width)
        grid, name = b * h * -(-queries // tile), "time_attention_" + "_".join(map(str, shape))
        runs, errors = {"own": captured([own(module, name, grid, shared, s) for s in sets])}, {}
        for name, backend in PEERS.items():
            results = []

            def peer(s):
                q, k, v, _ = s
                with sdpa_kernel(backend):
                    if causal and queries < keys:  # torch's is_causal counts from the first key
                        from torch.nn.attention.bias import causal_lower_right
                        results.append(torch.nn.functional.scaled_dot_product_attention(
                            q.transpose(1, 2), k, v, attn_mask=causal_lower_right(queries, keys), enable_gqa=g != h))
                    else:
                        results.append(torch.nn.functional.scaled_dot_product_attention(
                            q.transpose(1, 2), k, v, is_causal=bool(causal), enable_gqa=g != h))

            try:
                runs[name] = captured([lambda s=s: peer(s) for s in sets])
                runs[name].replay()
                errors[name] = error(results[-len(sets)], *(t if i else t.transpose(1, 2) for i, t in enumerate(sets[0][:3])), causal)
            except RuntimeError as e:
                print(f"  {name}: {str(e).splitlines()[0][:90]}", flush=True)
                torch.cuda.synchronize()
        runs["own"].replay()
        errors["own"] = error(sets[0][3].transpose(1, 2), sets[0][0].transpose(1, 2), sets[0][1], sets[0][2], causal)
        times = {name: [] for name in runs}
        for _ in range(3):
            for name, graph in runs.items():
                times[name].append(median(graph) / len(sets))
        pairs = queries * keys - (queries * (queries - 1) // 2 if causal else 0)
        flops = 4 * b * h * width * pairs
        parts = [f"{name} {1e3 * sorted(t)[1]:8.1f} us {flops / sorted(t)[1] / 1e9:4.0f} TFLOP/s error {errors.get(name, math.nan):.1e}"
                 for name, t in times.items()]
        print(f"b{b} heads {h}/{g} {queries} x {keys} width {width}{' causal' if causal else ''}: " + "; ".join(parts), flush=True)
        del runs, sets


def quantised(x):
    """[head, sequence, width] as kernels/QuantisedRows.h has it, and the values that it stands for."""
    scale = x.float().abs().amax(-1, keepdim=True) / 127
    integers = (x.float() / scale).round().to(torch.int8)
    tail = torch.cat([scale.contiguous().view(torch.int8), torch.zeros_like(integers[..., :4])], -1)
    return torch.cat([integers, tail], -1).contiguous(), (integers.float() * scale).half()


def tokens(module):
    for heads, groups, keys, width in DECODE:
        sets = []
        for _ in range(max(2, min(24, (1 << 29) // (4 * groups * keys * width)))):  # more than a cache holds
            q = torch.randn(1, 1, heads, width, device="cuda", dtype=torch.float16)
            k, v = (torch.randn(1, groups, keys, width, device="cuda", dtype=torch.float16) for _ in range(2))
            sets.append((q, k, v, torch.zeros(1 << 20, device="cuda"), torch.full_like(q, math.nan)))
        rows = [[quantised(t[0]) for t in s[1:3]] for s in sets]
        shape, shared = f"{heads}_{groups}_{keys}_{width}", 4 * 16 * (width + 2) * 4
        runs = {"f16": captured([own(module, f"time_decode_f16_{shape}", 264, shared, s) for s in sets]),
                "int8": captured([own(module, f"time_decode_f16_rows8_{shape}", 264, shared, (s[0], r[0][0], r[1][0], *s[3:]))
                                  for s, r in zip(sets, rows)])}

        def peer(s):
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                torch.nn.functional.scaled_dot_product_attention(s[0].transpose(1, 2), s[1], s[2], enable_gqa=groups != heads)

        runs["flash"] = captured([lambda s=s: peer(s) for s in sets])
        errors = {}
        for name, (k, v) in {"f16": sets[0][1:3], "int8": [r[1][None] for r in rows[0]]}.items():
            runs[name].replay()
            errors[name] = error(sets[0][4].transpose(1, 2), sets[0][0].transpose(1, 2), k, v, False)
        errors["int8 and its rows"] = error(sets[0][4].transpose(1, 2), sets[0][0].transpose(1, 2), *sets[0][1:3], False)
        times = {name: sorted(median(graph) for _ in range(3))[1] / len(sets) for name, graph in runs.items()}
        size = {"f16": 4 * width, "int8": 2 * (width + 8), "flash": 4 * width}
        print(f"one query, heads {heads}/{groups}, {keys} keys of {width}: "
              + "; ".join(f"{n} {1e3 * t:.1f} us {size[n] * groups * keys / t / 1e6:.0f} GB/s" for n, t in times.items())
              + "; errors " + ", ".join(f"{n} {e:.1e}" for n, e in errors.items()), flush=True)
        del runs, sets, rows


def main():
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.zeros(1, device="cuda")
    print(f"{torch.cuda.get_device_name()}, cuDNN {torch.backends.cudnn.version()}, torch {torch.__version__}", flush=True)
    tokens(load(sys.argv[2]))
    prompts(load(sys.argv[1]))


main()

# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""SmolLM2 as a program to talk to: a conversation over many runs, its reference, and perplexity on a real text.

Perplexity is taken over the first TEXT_TOKENS tokens of the GNU General Public License as Debian's base-files ships it, in
prefill runs of CHUNK tokens.
"""
import shutil
from pathlib import Path

import numpy as np
import tokenizer
import zoo

import reference

CHUNK, CONTEXT = 256, 1024  # by the bounds of zoo.SMOLLM2_ENTRIES
TEXT = Path("/usr/share/common-licenses/GPL-3")
TEXT_TOKENS = CONTEXT


def text_ids(tokens):
    return tokenizer.encode(tokens, TEXT.read_text(encoding="utf-8"))[:TEXT_TOKENS]


def feeds(ids, past):
    """The inputs that remain when the cache is state."""
    n = len(ids)
    return {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, past + n), np.int64),
            "position_ids": np.arange(past, past + n, dtype=np.int64)[None]}


class Reference:
    """onnxruntime with the key/value cache carried from run to run."""

    def __init__(self, path):
        self.session = reference.session(path)

    def logits(self, runs):
        """The logits of successive runs of tokens from an empty cache."""
        names = [f"{i}.{kind}" for i in range(zoo.SMOLLM2_LAYERS) for kind in ("key", "value")]
        cache = [np.zeros((1, 3, 0, 64), np.float32) for _ in names]
        past, out = 0, []
        for ids in runs:
            inputs = feeds(ids, past) | {f"past_key_values.{n}": c for n, c in zip(names, cache)}
            first, *cache = self.session.run(["logits"] + [f"present.{n}" for n in names], inputs)
            out.append(first)
            past += len(ids)
        return out


class Program:
    """A compiled program and one conversation with it: every run takes up the state that the last one left."""

    def __init__(self, tools, path, work):
        self.tools, self.path, self.work, self.past, self.state = tools, path, work, 0, None
        self.peak = self.budget = 0

    def run(self, ids, options=(), keep=True):
        """(JSON, logits) of one run of tokens; keep: the run becomes part of the conversation."""
        arguments = list(options)
        if self.state:
            arguments += ["--state-in", self.state]
        after = self.work / f"state{self.past + len(ids)}"
        if keep:
            arguments += ["--state-out", after]
        answer, found = self.tools.run(self.path, self.work / "io", feeds(ids, self.past), ["logits"], arguments)
        self.peak, self.budget = max(self.peak, answer["peak_device_bytes"]), answer["budget_bytes"]
        if keep:
            if self.state:
                shutil.rmtree(self.state, ignore_errors=True)
            self.state, self.past = after, self.past + len(ids)
        return answer, found["logits"]

    def reset(self):
        if self.state:
            shutil.rmtree(self.state, ignore_errors=True)
        self.state, self.past = None, 0


def log_likelihoods(logits, targets):
    """log p(target) of each row of [tokens, vocabulary], in double precision."""
    rows = logits.astype(np.float64)
    top = rows.max(axis=-1)
    return rows[np.arange(len(targets)), targets] - top - np.log(np.exp(rows - top[:, None]).sum(axis=-1))


def perplexity(program, ids):
    total = []
    program.reset()
    for begin in range(0, len(ids), CHUNK):
        chunk, targets = ids[begin:begin + CHUNK], ids[begin + 1:begin + CHUNK + 1]
        _, logits = program.run(chunk)
        total.append(log_likelihoods(logits[0, :len(targets)], targets))
    program.reset()
    return float(np.exp(-np.mean(np.concatenate(total))))


def single_rows(program, ids, prompt):
    """Logits of tokens prompt … of a text, each run by itself behind the ones before."""
    program.reset()
    program.run(ids[:prompt])
    rows = [program.run([token])[1][0, -1] for token in ids[prompt:]]
    program.reset()
    return np.stack(rows)


def divergence(logits, others):
    """Mean Kullback–Leibler divergence of the predictions of `others` from those of `logits`, in nats."""
    def logs(rows):
        rows = rows.astype(np.float64)
        rows = rows - rows.max(axis=-1, keepdims=True)
        return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))
    p, q = logs(logits), logs(others)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def converse(program, prompt, end, most):
    """Greedy answer: (answer's tokens, logits of every run, JSON of the runs)."""
    program.reset()
    answer, logits = program.run(prompt)
    answers, all_logits, out = [answer], [logits], []
    while len(out) < most:
        token = int(logits[0, -1].argmax())
        out.append(token)
        if token == end:
            break
        answer, logits = program.run([token])
        answers.append(answer)
        all_logits.append(logits)
    return out, all_logits, answers

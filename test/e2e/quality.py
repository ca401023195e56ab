# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What compression costs: perplexity of SmolLM2 under --quality near and balanced beside the exact one's.

Single rows are rounded under balanced: the divergence of token by token from prompts, which are not, is held against what
the report says rounding costs.

The model's weights lie on a 4-bit grid in groups of 32 already, so that this format would look lossless; balanced is
judged without it.
"""
import math
import re

import language
import packages
import tokenizer
import zoo

import graph_text
from suite import Skip, expect

FORMATS = "int8,int4g64,int4g128"
NEAR, BALANCED = 1.01, 1.12  # factors on perplexity
BITS = (4.25, 5.6)  # mean over the blocks' matmul weights, scales included
SINGLE = 24  # tokens run one by one
BLOCK = re.compile(r"^model\.layers\.\d+\..*_proj\.weight")


def mean_bits(compiled):
    """Stored bits per weight of the blocks' matmuls, from the report's formats."""
    graph = graph_text.read_text(packages.REPOSITORY / "test" / "models" / "smollm2" / "model.textproto").graph
    elements = {t.name: math.prod(t.dims) for t in graph.initializer if BLOCK.match(t.name)}
    stored = {f["name"]: f["bytes"] for f in compiled["formats"] if f["name"] in elements}
    missing = sorted(set(elements) - set(stored))
    expect(not missing, f"formats lack {missing[:3]} and {max(0, len(missing) - 3)} more")
    return 8 * sum(stored.values()) / sum(elements.values())


def rounding_loss(compiled):
    """The part of the predicted loss that is the rounding of single rows."""
    return sum(f["predicted_loss"] * f["activation_error"] ** 2 / (f["activation_error"] ** 2 + f["relative_error"] ** 2)
               for f in compiled["formats"] if f["activation_error"] > 0)


def run_quality(suite, tools, work):
    work.mkdir(parents=True, exist_ok=True)
    found = {}
    with suite.case("quality: the text"):
        try:
            path = zoo.MODELS["smollm2"].path()
            text = language.text_ids(tokenizer.load())
        except packages.Unavailable as e:
            raise Skip(str(e)) from None
        expect(len(text) == language.TEXT_TOKENS, f"{len(text)} tokens")
        found["text"] = text
    if not found:
        return

    def measure(name, options):
        program = work / f"{name}.ciuic"
        compiled = tools.compile(path, program, zoo.SMOLLM2_ENTRIES, "100%", options)
        conversation = language.Program(tools, program, work)
        value = language.perplexity(conversation, found["text"])
        begin = language.CHUNK - SINGLE
        _, prompt = conversation.run(found["text"][:language.CHUNK])
        rows = language.single_rows(conversation, found["text"][:language.CHUNK], begin)
        program.unlink()
        return compiled, value, language.divergence(prompt[0, begin:], rows)

    with suite.case("quality: exact"):
        compiled, found["exact"], apart = measure("exact", ["--quality", "exact"])
        expect(apart < 1e-6, f"single tokens diverge by {apart:.2e} from a prompt")
        expect(10 < found["exact"] < 30, f"perplexity {found['exact']:.2f}: this is not the model")
    with suite.case("quality: near"):
        expect("exact" in found, "no exact perplexity to compare with")
        _, near, apart = measure("near", ["--quality", "near"])
        expect(apart < 1e-6, f"single tokens diverge by {apart:.2e} from a prompt: near rounds no activations")
        expect(near <= NEAR * found["exact"], f"perplexity {near:.2f}, exact {found['exact']:.2f}, allowed factor {NEAR}")
    with suite.case("quality: balanced"):
        expect("exact" in found, "no exact perplexity to compare with")
        compiled, balanced, apart = measure("balanced", ["--quality", "balanced", "--formats", FORMATS])
        bits, predicted = mean_bits(compiled), rounding_loss(compiled)
        # The prediction is of the mean over a text; the divergence of few tokens is that of the worst of them.
        expect(1e-6 < apart <= 5 * predicted, f"rounding single rows diverges by {apart:.2e}, predicted {predicted:.2e}")
        expect(BITS[0] <= bits <= BITS[1], f"{bits:.2f} bits per block weight, expected {BITS[0]} to {BITS[1]}")
        expect(balanced <= BALANCED * found["exact"],
               f"perplexity {balanced:.2f} at {bits:.2f} bits, exact {found['exact']:.2f}, allowed factor {BALANCED}")

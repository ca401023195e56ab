# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""SmolLM2's tokenizer, built from the vocabulary and merges in its GGUF file: byte-level BPE, digits one by one."""
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

import packages
import weights

CONTROL = 3  # GGUF's token type of markers such as <|im_end|>
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


FILE = "tokenizer.json"


def load(folder=None):
    """A tokenizers.Tokenizer; its markers are single tokens. From FILE of the folder where it has one, else as the
    package has it."""
    if folder and (folder / FILE).exists():
        return tokenizers.Tokenizer.from_file(str(folder / FILE))
    import gguf  # only here: tests without a package's files run where it is not installed

    reader = gguf.GGUFReader(packages.member(*weights.SMOLLM2))

    def field(name):
        return reader.get_field("tokenizer.ggml." + name).contents()

    tokens, types = field("tokens"), field("token_type")
    merges = [tuple(m.split(" ")) for m in field("merges")]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, types) if kind == CONTROL])
    return tokenizer


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def chat(tokenizer, question):
    """Token ids of a conversation that waits for the assistant's answer to one question."""
    return encode(tokenizer, f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n"
                             "<|im_start|>assistant\n")


def end_of_turn(tokenizer):
    return tokenizer.token_to_id("<|im_end|>")

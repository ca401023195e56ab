# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A Llama decoder of the zoo as onnxruntime-genai's model builder writes it: com.microsoft's GroupQueryAttention with
its bookkeeping of lengths, skip norms with their residual, weights as they are or as MatMulNBits of 4 bits.

The plain form reads the weights of the model it is made from (NAME_builder.onnx beside NAME.onnx). The quantised form
has a file of its own, projections of query, key and value in one, blocks along K, and scales of the activations' type;
`zero_points` gives each block one, else it is the middle of the range.
"""
import dataclasses

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"


@dataclasses.dataclass
class Decoder:
    layers: int
    heads: int
    groups: int
    width: int
    positions: int
    theta: float
    epsilon: float = 1e-5


DECODERS = {"smollm2": Decoder(30, 9, 3, 64, 1024, 100000.0), "llama_mini": Decoder(4, 8, 2, 64, 2048, 10000.0)}


def quantise(weight, block, zero_points):
    """A weight [N, K] in blocks of 4 bits: bytes [N, blocks, block / 2], scales [N, blocks], packed zero points or None.
    What they stand for comes back too, as float32."""
    n, k = weight.shape
    blocks = -(-k // block)
    padded = np.zeros((n, blocks * block), np.float32)
    padded[:, :k] = weight
    parts = padded.reshape(n, blocks, block)
    if zero_points:
        low, high = np.minimum(parts.min(-1), 0), np.maximum(parts.max(-1), 0)
        scale = (high - low) / 15
        scale[scale == 0] = 1
        zero = np.clip(np.round(-low / scale), 0, 15)
    else:
        extreme = np.take_along_axis(parts, np.abs(parts).argmax(-1)[..., None], -1)[..., 0]
        scale = extreme / -8
        scale[scale == 0] = 1
        zero = np.full((n, blocks), 8.0)
    scale = scale.astype(np.float16).astype(np.float32)  # as builders for halves have them
    q = np.clip(np.round(parts / scale[..., None]) + zero[..., None], 0, 15).astype(np.uint8)
    data = q[..., 0::2] | q[..., 1::2] << 4
    packed = None
    if zero_points:
        z = np.zeros((n, blocks + blocks % 2), np.uint8)
        z[:, :blocks] = zero
        packed = z[:, 0::2] | z[:, 1::2] << 4
    meant = ((q.astype(np.float32) - zero[..., None]) * scale[..., None]).reshape(n, -1)[:, :k]
    return data, scale, packed, meant.astype(np.float32)


class Builder:
    def __init__(self, source, config, block, zero_points):
        self.source, self.config, self.block, self.zero_points = source, config, block, zero_points
        self.stored = {t.name: t for t in source.graph.initializer}
        self.nodes, self.weights, self.meant = [], [], {}
        embedding = self.stored["model.embed_tokens.weight"]
        self.type = embedding.data_type
        self.dtype = helper.tensor_dtype_to_np_dtype(self.type)

    def node(self, op, inputs, outputs, name, domain="", **attributes):
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def array(self, name):
        """A weight [N, K] by the framework's name, however it is stored."""
        if name in self.stored:
            return numpy_helper.to_array(self.stored[name])
        return numpy_helper.to_array(self.stored[name + ".T"]).T

    def keep(self, name):
        if all(t.name != name for t in self.weights):
            self.weights.append(self.stored[name])
        return name

    def constant(self, name, array):
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def product(self, x, names, place):
        """x · Wᵀ of the named weights side by side: one output."""
        out = f"{place}/output_0"
        if not self.block:
            (name,) = names
            if name + ".T" in self.stored:
                return self.node("MatMul", [x, self.keep(name + ".T")], [out], place)
            turned = self.node("Transpose", [self.keep(name)], [f"{place}/Transpose/output_0"], f"{place}/Transpose", perm=[1, 0])
            return self.node("MatMul", [x, turned], [out], place)
        weight = np.concatenate([self.array(n) for n in names]).astype(np.float32)
        data, scale, zero, self.meant[place] = quantise(weight, self.block, self.zero_points)
        inputs = [x, self.constant(f"{place}.qweight", data), self.constant(f"{place}.scales", scale.astype(self.dtype))]
        if zero is not None:
            inputs.append(self.constant(f"{place}.qzeros", zero))
        return self.node("MatMulNBits", inputs, [out], f"{place}_Q4", MICROSOFT, K=weight.shape[1], N=weight.shape[0], bits=4,
                         block_size=self.block, accuracy_level=0)

    def lengths(self):
        """seqlens_k and total_sequence_length out of the attention mask."""
        at = "/model/attn_mask_reformat/attn_mask_subgraph"
        self.constant("one", np.array([1], np.int64))
        self.constant("index_one", np.array(1, np.int64))
        total = self.node("ReduceSum", ["attention_mask", "one"], [f"{at}/ReduceSum/output_0"], f"{at}/ReduceSum", keepdims=0)
        less = self.node("Sub", [total, "one"], [f"{at}/Sub/output_0"], f"{at}/Sub")
        self.node("Cast", [less], ["seqlens_k"], f"{at}/Sub/Cast", to=TensorProto.INT32)
        shape = self.node("Shape", ["attention_mask"], [f"{at}/Shape/output_0"], f"{at}/Shape")
        extent = self.node("Gather", [shape, "index_one"], [f"{at}/Gather/output_0"], f"{at}/Gather", axis=0)
        self.node("Cast", [extent], ["total_sequence_length"], f"{at}/Gather/Cast", to=TensorProto.INT32)

    def caches(self):
        c = self.config
        frequency = c.theta ** -(np.arange(0, c.width, 2, dtype=np.float64) / c.width)
        angles = np.arange(c.positions)[:, None] * frequency[None, :]
        self.constant("cos_cache", np.cos(angles).astype(self.dtype))
        self.constant("sin_cache", np.sin(angles).astype(self.dtype))

    def layer(self, i, x):
        """The attention and the feed-forward part of a layer over its normed input: two outputs of projections."""
        c, own, place = self.config, f"model.layers.{i}", f"/model/layers.{i}"
        names = [f"{own}.self_attn.{part}_proj.weight" for part in "qkv"]
        if self.block:
            queries = [self.product(x, names, f"{place}/attn/qkv_proj/MatMul"), "", ""]
        else:
            queries = [self.product(x, [n], f"{place}/attn/{part}_proj/MatMul") for n, part in zip(names, "qkv")]
        past = [f"past_key_values.{i}.{kind}" for kind in ("key", "value")]
        outputs = [f"{place}/attn/GroupQueryAttention/output_0"] + [f"present.{i}.{kind}" for kind in ("key", "value")]
        self.node("GroupQueryAttention", [*queries, *past, "seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"],
                  outputs, f"{place}/attn/GroupQueryAttention", MICROSOFT, num_heads=c.heads, kv_num_heads=c.groups,
                  scale=c.width**-0.5, local_window_size=-1, softcap=0.0, do_rotary=1, rotary_interleaved=0)
        return self.product(outputs[0], [f"{own}.self_attn.o_proj.weight"], f"{place}/attn/o_proj/MatMul")

    def feed_forward(self, i, x):
        own, place = f"model.layers.{i}.mlp", f"/model/layers.{i}/mlp"
        gate = self.product(x, [f"{own}.gate_proj.weight"], f"{place}/gate_proj/MatMul")
        up = self.product(x, [f"{own}.up_proj.weight"], f"{place}/up_proj/MatMul")
        sigmoid = self.node("Sigmoid", [gate], [f"{place}/act_fn/Sigmoid/output_0"], f"{place}/act_fn/Sigmoid")
        silu = self.node("Mul", [gate, sigmoid], [f"{place}/act_fn/Mul/output_0"], f"{place}/act_fn/Mul")
        both = self.node("Mul", [silu, up], [f"{place}/Mul/output_0"], f"{place}/Mul")
        return self.product(both, [f"{own}.down_proj.weight"], f"{place}/down_proj/MatMul")

    def build(self):
        c, eps = self.config, self.config.epsilon
        self.lengths()
        self.caches()
        residual = self.node("Gather", [self.keep("model.embed_tokens.weight"), "input_ids"],
                             ["/model/embed_tokens/Gather/output_0"], "/model/embed_tokens/Gather")
        x = self.node("SimplifiedLayerNormalization", [residual, self.keep("model.layers.0.input_layernorm.weight")],
                      ["/model/layers.0/input_layernorm/output_0"], "/model/layers.0/input_layernorm/LayerNorm", axis=-1,
                      epsilon=eps, stash_type=1)
        for i in range(c.layers):
            own, place = f"model.layers.{i}", f"/model/layers.{i}"
            x, residual = self.skip(residual, self.layer(i, x), f"{own}.post_attention_layernorm.weight",
                                    f"{place}/post_attention_layernorm", True)
            after = f"model.layers.{i + 1}.input_layernorm.weight" if i + 1 < c.layers else "model.norm.weight"
            x, residual = self.skip(residual, self.feed_forward(i, x), after, "/" + after.removesuffix(".weight").replace(".", "/"),
                                    i + 1 < c.layers)
        tied = "lm_head.weight" not in self.stored
        out = self.product(x, ["model.embed_tokens.weight" if tied else "lm_head.weight"], "/lm_head/MatMul")
        self.nodes[-1].output[0] = "logits" if self.nodes[-1].output[0] == out else self.nodes[-1].output[0]
        return self.model()

    def skip(self, residual, branch, weight, place, more):
        """(norm of the sum, the sum) of a residual and a branch."""
        outputs = [f"{place}/output_0", "", "", f"{place}/output_3"] if more else [f"{place}/output_0"]
        self.node("SkipSimplifiedLayerNormalization", [residual, branch, self.keep(weight)], outputs, f"{place}/SkipLayerNorm",
                  MICROSOFT, epsilon=self.config.epsilon)
        return outputs[0], outputs[-1]

    def model(self):
        c = self.config
        value = helper.make_tensor_value_info
        vocabulary = self.stored["model.embed_tokens.weight"].dims[0]
        inputs = [value("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
                  value("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"])]
        outputs = [value("logits", self.type, ["batch_size", "sequence_length", vocabulary])]
        for i in range(c.layers):
            for kind in ("key", "value"):
                for names, prefix, length in ((inputs, "past_key_values", "past"), (outputs, "present", "total")):
                    names.append(value(f"{prefix}.{i}.{kind}", self.type, ["batch_size", c.groups, f"{length}_sequence_length", c.width]))
        graph = helper.make_graph(self.nodes, "main_graph", inputs, outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)],
                                 ir_version=10, producer_name="onnxruntime-genai")


def plain(path, name):
    """NAME_builder.onnx beside the model at `path`, over the same weights.bin."""
    model = Builder(onnx.load(path, load_external_data=False), DECODERS[name], 0, False).build()
    target = path.with_name(f"{name}_builder.onnx")
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def quantised(path, name, folder, block=32, zero_points=False):
    """FOLDER/NAME_int4.onnx with its own data; and {place of a product: the weights [N, K] that are meant}."""
    builder = Builder(onnx.load(path), DECODERS[name], block, zero_points)
    model = builder.build()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}_int4.onnx"
    (folder / f"{target.name}.data").unlink(missing_ok=True)
    onnx.save(model, target, save_as_external_data=True, location=f"{target.name}.data", size_threshold=1024)
    return target, builder.meant

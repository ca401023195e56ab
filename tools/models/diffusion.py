# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Image generation: the denoisers of Stable Diffusion 1.5 and XL and the decoder of their images, as diffusers builds
and exports them (in f16, batch and picture sizes dynamic), and a small denoiser of the same blocks.

The configurations are those the models are published with, written out. `module` makes the framework's module for a
name on a device, without numbers on "meta"; tools/models/export.py and tools/gpu both start from it.
"""
import tempfile
from pathlib import Path

import onnx
import torch

SD15 = dict(sample_size=64, in_channels=4, out_channels=4, center_input_sample=False, flip_sin_to_cos=True, freq_shift=0,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, downsample_padding=1, mid_block_scale_factor=1,
            act_fn="silu", norm_num_groups=32, norm_eps=1e-5, cross_attention_dim=768, attention_head_dim=8)

SDXL = dict(sample_size=128, in_channels=4, out_channels=4, center_input_sample=False, flip_sin_to_cos=True, freq_shift=0,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(320, 640, 1280), layers_per_block=2, downsample_padding=1, mid_block_scale_factor=1,
            act_fn="silu", norm_num_groups=32, norm_eps=1e-5, cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
            transformer_layers_per_block=(1, 2, 10), use_linear_projection=True, addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)

# The blocks of the first, two levels deep.
MINI = SD15 | dict(sample_size=16, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                   up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), block_out_channels=(64, 128), layers_per_block=1,
                   cross_attention_dim=48, attention_head_dim=2, norm_num_groups=16)

VAE = dict(in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4,
           up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
           act_fn="silu", latent_channels=4, norm_num_groups=32, sample_size=512, scaling_factor=0.18215)

CONFIGS = {"sd15_unet": SD15, "sdxl_unet": SDXL, "unet_mini": MINI, "vae_decoder": VAE}
# What a batch of two (with and without the prompt) runs at, and the tokens of a prompt.
LATENTS = {"sd15_unet": 64, "sdxl_unet": 128, "unet_mini": 16, "vae_decoder": 64}
BATCH, TOKENS = 2, 77

OPSET = 17


class Decoder(torch.nn.Module):
    """The half of an autoencoder that makes pictures."""

    def __init__(self, config):
        super().__init__()
        from diffusers import AutoencoderKL

        whole = AutoencoderKL(**config)
        self.post_quant_conv, self.decoder = whole.post_quant_conv, whole.decoder

    def forward(self, latent_sample):
        return self.decoder(self.post_quant_conv(latent_sample))


def unet(config):
    from diffusers import UNet2DConditionModel

    class Denoiser(UNet2DConditionModel):
        """As exporters call it: tensors alone, the noise returned."""

        def forward(self, sample, timestep, encoder_hidden_states, text_embeds=None, time_ids=None):
            added = None if text_embeds is None else {"text_embeds": text_embeds, "time_ids": time_ids}
            return super().forward(sample, timestep, encoder_hidden_states, added_cond_kwargs=added, return_dict=False)[0]

    return Denoiser(**config)


def module(name, device="meta", dtype=torch.float16):
    with torch.device(device):
        return (Decoder if name.startswith("vae") else unet)(CONFIGS[name]).to(dtype).eval()


def arguments(name, size=None, batch=BATCH, device="cpu", dtype=torch.float16, seed=1):
    """{input: tensor} for latents of `size` squared."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    config, size = CONFIGS[name], size or LATENTS[name]

    def draw(*shape):
        return torch.randn(shape, generator=generator).to(device, dtype)

    if name.startswith("vae"):
        return {"latent_sample": draw(batch, config["latent_channels"], size, size)}
    inputs = {"sample": draw(batch, config["in_channels"], size, size),
              "timestep": torch.tensor([501.0], dtype=dtype, device=device),
              "encoder_hidden_states": draw(batch, TOKENS, config["cross_attention_dim"])}
    if "addition_embed_type" in config:
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        inputs["text_embeds"] = draw(batch, pooled)
        inputs["time_ids"] = torch.tensor([[1024, 1024, 0, 0, 1024, 1024]] * batch, dtype=dtype, device=device)
    return inputs


AXES = {"sample": {0: "batch_size", 2: "height", 3: "width"}, "latent_sample": {0: "batch_size", 2: "height", 3: "width"},
        "timestep": {0: "steps"}, "encoder_hidden_states": {0: "batch_size", 1: "sequence_length"},
        "text_embeds": {0: "batch_size"}, "time_ids": {0: "batch_size"},
        "out_sample": {0: "batch_size", 2: "height", 3: "width"},
        "image": {0: "batch_size", 2: "image_height", 3: "image_width"}}


def graph(name):
    """The exporter's model, its initialisers the module's parameters by name and without numbers. Tracing needs values of
    the right type and shape alone: every parameter is one number seen from everywhere, and pictures are small."""
    made = module(name)
    for owner in made.modules():
        for leaf, value in list(owner.named_parameters(recurse=False)):
            one = torch.full((1,), 0.01, dtype=value.dtype).expand(value.shape)
            owner._parameters[leaf] = torch.nn.Parameter(one, requires_grad=False)
    # The exporter would merge parameters of equal numbers.
    torch._C._jit_pass_onnx_deduplicate_initializers = lambda graph, parameters, training: parameters
    inputs = arguments(name, size=16)
    output = "image" if name.startswith("vae") else "out_sample"
    names = [*inputs, output]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        torch.onnx.export(made, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=[output],
                          dynamic_axes={n: AXES[n] for n in names if n in AXES}, opset_version=OPSET, dynamo=False,
                          do_constant_folding=False, export_params=False)
        model = onnx.load(path)
    kept = [i for i in model.graph.input if i.name in inputs]
    weights = [i for i in model.graph.input if i.name not in inputs]
    for info in weights:
        t = model.graph.initializer.add()
        t.name, t.data_type = info.name, info.type.tensor_type.elem_type
        t.dims.extend(d.dim_value for d in info.type.tensor_type.shape.dim)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model

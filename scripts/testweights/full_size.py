"""SVD-XT in its true size, with random values, so that speed and memory can be measured without the released weights.

The configurations are the published ones of stabilityai/stable-video-diffusion-img2vid-xt. Values are made and written
tensor by tensor, so that a few hundred megabytes of memory do for four gigabytes of files.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.testweights.parts import Layout, Network, on_meta, values_of
from scripts.testweights.stable import CLIP_IMAGE_PX, CLIP_IMAGES, SVD_SCHEDULER

if TYPE_CHECKING:
    from torch import nn

UNET_PARAMETERS = 1_524_623_082
VAE_PARAMETERS = 97_742_847
IMAGE_ENCODER_PARAMETERS = 632_076_800
"""CLIP ViT-H/14 with its projection."""

BYTES_PER_VALUE = 2

UNET = {
    "sample_size": 96, "in_channels": 8, "out_channels": 4, "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2, "transformer_layers_per_block": 1, "num_attention_heads": (5, 10, 20, 20),
    "cross_attention_dim": 1024, "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 768,
    "num_frames": 25,
}

VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
    "latent_channels": 4, "sample_size": 768, "scaling_factor": 0.18215, "force_upcast": True,
}

IMAGE_ENCODER = {
    "hidden_size": 1280, "intermediate_size": 5120, "projection_dim": 1024, "num_hidden_layers": 32,
    "num_attention_heads": 16, "image_size": CLIP_IMAGE_PX, "patch_size": 14, "hidden_act": "gelu",
}


@dataclass(frozen=True, slots=True)
class Streamed(Network):
    """A network that is never held in memory as a whole; one file of fp16 values, in the released name."""

    dtype: str = "float16"
    variant: str = "fp16"

    def parameters(self) -> int:
        """How many it has."""
        with on_meta():
            return sum(parameter.numel() for parameter in self.build().parameters())

    def write(self, folder: Path, seed: int) -> None:
        with on_meta():
            network = self.build()
        _save_config(network, folder)
        stem = "diffusion_pytorch_model" if self.library == "diffusers" else "model"
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        stream(folder / f"{stem}.{self.variant}.safetensors", shapes, seed)


def svd_xt() -> Layout:
    return Layout("StableVideoDiffusionPipeline", {
        "feature_extractor": CLIP_IMAGES,
        "image_encoder": Streamed("transformers", "CLIPVisionModelWithProjection", IMAGE_ENCODER),
        "scheduler": SVD_SCHEDULER,
        "unet": Streamed("diffusers", "UNetSpatioTemporalConditionModel", UNET),
        "vae": Streamed("diffusers", "AutoencoderKLTemporalDecoder", VAE),
    })


def stream(file: Path, shapes: Mapping[str, tuple[int, ...]], seed: int) -> None:
    """Write random fp16 tensors of *shapes* as a safetensors file: the header's length, the header, the values."""
    header = json.dumps({"__metadata__": {"format": "pt"}, **dict(_entries(shapes))}).encode()
    header += b" " * (-len(header) % 8)
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for name, shape in shapes.items():
            out.write(values_of(name, shape, seed).half().numpy().tobytes())


def _entries(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, dict[str, Any]]]:
    begin = 0
    for name, shape in shapes.items():
        end = begin + BYTES_PER_VALUE * math.prod(shape)
        yield name, {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
        begin = end


def _save_config(network: "nn.Module", folder: Path) -> None:
    if hasattr(network, "save_config"):
        network.save_config(folder)
    else:
        network.config.save_pretrained(folder)

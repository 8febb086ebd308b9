"""LTX-Video, small, as Lightricks/LTX-Video has it: one set of components, with and without an image.

Kept of the release: the VAE compresses by 8 in time and by 32 in space (8 by its levels, 4 by its patches) and is not
conditioned on a timestep; the shift of the noise schedule grows with the length of the sequence.
"""

import functools

from scripts.testweights import tokenizers
from scripts.testweights.parts import Layout, Network, Tokenizer, scheduler

LATENT_CHANNELS = 8
TEXT_WIDTH = 16

TRANSFORMER = {
    "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "patch_size": 1, "patch_size_t": 1,
    "num_attention_heads": 2, "attention_head_dim": 8, "cross_attention_dim": 16, "num_layers": 2,
    "caption_channels": TEXT_WIDTH, "qk_norm": "rms_norm_across_heads",
}

VAE = {
    "latent_channels": LATENT_CHANNELS, "patch_size": 4, "patch_size_t": 1,
    "block_out_channels": (8, 8, 16, 16), "decoder_block_out_channels": (8, 8, 16, 16),
    "layers_per_block": (1, 1, 1, 1, 1), "decoder_layers_per_block": (1, 1, 1, 1, 1),
    "spatio_temporal_scaling": (True, True, True, False), "decoder_spatio_temporal_scaling": (True, True, True, False),
    "timestep_conditioning": False, "encoder_causal": True, "decoder_causal": False,
}

TEXT_ENCODER = tokenizers.t5_encoder(TEXT_WIDTH)

SCHEDULER = scheduler(
    "FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=1.0, use_dynamic_shifting=True,
    base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, max_image_seq_len=4096, shift_terminal=0.1,
)


def text_to_video() -> Layout:
    return _layout("LTXPipeline")


def image_to_video() -> Layout:
    return _layout("LTXImageToVideoPipeline")


def _layout(class_name: str) -> Layout:
    return Layout(class_name, {
        "scheduler": SCHEDULER,
        "text_encoder": Network("transformers", "T5EncoderModel", TEXT_ENCODER, dtype="float32", split=True),
        "tokenizer": Tokenizer("T5Tokenizer", functools.partial(tokenizers.t5, length=128)),
        "transformer": Network("diffusers", "LTXVideoTransformer3DModel", TRANSFORMER, dtype="float32", split=True),
        "vae": Network("diffusers", "AutoencoderKLLTXVideo", VAE, dtype="float32"),
    })

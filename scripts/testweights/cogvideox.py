"""CogVideoX-5b and its image-to-video sibling, small, as zai-org's repositories have them.

Kept of the release: the VAE compresses by 4 in time and by 8 in space, the transformer takes patches of 2 x 2. The
image-to-video transformer has learned positions, so it makes one size only: IMAGE_PX, not the release's 720 x 480.
"""

import functools

from scripts.testweights import tokenizers
from scripts.testweights.parts import Layout, Network, Tokenizer, scheduler

LATENT_CHANNELS = 4
TEXT_WIDTH = 16
IMAGE_PX = (64, 32)
"""Width and height."""

TRANSFORMER = {
    "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "num_attention_heads": 2, "attention_head_dim": 16,
    "time_embed_dim": 16, "text_embed_dim": TEXT_WIDTH, "num_layers": 2, "max_text_seq_length": 226, "patch_size": 2,
    "sample_width": IMAGE_PX[0] // 8, "sample_height": IMAGE_PX[1] // 8, "sample_frames": 49,
    "use_rotary_positional_embeddings": True,
}

IMAGE_TRANSFORMER = TRANSFORMER | {"in_channels": 2 * LATENT_CHANNELS, "use_learned_positional_embeddings": True}

VAE = {
    "latent_channels": LATENT_CHANNELS, "block_out_channels": (4, 8, 8, 16), "layers_per_block": 1,
    "norm_num_groups": 4, "temporal_compression_ratio": 4, "scaling_factor": 0.7, "sample_height": 480,
    "sample_width": 720,
}

TEXT_ENCODER = tokenizers.t5_encoder(TEXT_WIDTH)

SCHEDULER = scheduler(
    "CogVideoXDDIMScheduler", num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012,
    beta_schedule="scaled_linear", prediction_type="v_prediction", rescale_betas_zero_snr=True, snr_shift_scale=1.0,
    timestep_spacing="trailing", set_alpha_to_one=True, clip_sample=False, steps_offset=0,
)


def text_to_video() -> Layout:
    return _layout("CogVideoXPipeline", TRANSFORMER)


def image_to_video() -> Layout:
    return _layout("CogVideoXImageToVideoPipeline", IMAGE_TRANSFORMER)


def _layout(class_name: str, transformer: dict) -> Layout:
    return Layout(class_name, {
        "scheduler": SCHEDULER,
        "text_encoder": Network("transformers", "T5EncoderModel", TEXT_ENCODER, dtype="bfloat16", split=True),
        "tokenizer": Tokenizer("T5Tokenizer", functools.partial(tokenizers.t5, length=226)),
        "transformer": Network("diffusers", "CogVideoXTransformer3DModel", transformer, dtype="bfloat16", split=True),
        "vae": Network("diffusers", "AutoencoderKLCogVideoX", VAE, dtype="float32"),
    })

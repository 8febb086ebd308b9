"""Stable Video Diffusion, Stable Diffusion and Stable Diffusion XL, small, as stabilityai's repositories have them."""

import functools
from collections.abc import Mapping
from typing import Any

from scripts.testweights import tokenizers
from scripts.testweights.parts import Layout, Network, Settings, Tokenizer, scheduler

_half = functools.partial(Network, variant="fp16")

CLIP_IMAGE_PX = 224
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]

CLIP_IMAGES = Settings("transformers", "CLIPImageProcessor", "preprocessor_config.json", {
    "image_processor_type": "CLIPImageProcessor", "feature_extractor_type": "CLIPFeatureExtractor",
    "do_resize": True, "size": {"shortest_edge": CLIP_IMAGE_PX}, "resample": 3,
    "do_center_crop": True, "crop_size": {"height": CLIP_IMAGE_PX, "width": CLIP_IMAGE_PX},
    "do_rescale": True, "rescale_factor": 1 / 255, "do_convert_rgb": True,
    "do_normalize": True, "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
})

SVD_SCHEDULER = scheduler(
    "EulerDiscreteScheduler", num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012,
    beta_schedule="scaled_linear", prediction_type="v_prediction", interpolation_type="linear",
    use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0, timestep_spacing="leading",
    timestep_type="continuous", steps_offset=1, clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True,
)

_betas = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon", "interpolation_type": "linear", "timestep_spacing": "trailing", "steps_offset": 1,
    "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True,
}

CHANNELS = (8, 8, 16, 16)
"""Of four levels: three halvings, as the released networks have."""


def stable_video_diffusion() -> Layout:
    unet = {
        "in_channels": 8, "out_channels": 4, "block_out_channels": (32, 32), "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
        "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 24, "cross_attention_dim": 16,
        "num_attention_heads": (2, 4), "num_frames": 25, "sample_size": 96,
    }
    vae = {
        "down_block_types": ["DownEncoderBlock2D"] * 4, "block_out_channels": (32, 32, 32, 32), "layers_per_block": 1,
        "latent_channels": 4, "sample_size": 768, "scaling_factor": 0.18215, "force_upcast": True,
    }
    return Layout("StableVideoDiffusionPipeline", {
        "feature_extractor": CLIP_IMAGES,
        "image_encoder": _half("transformers", "CLIPVisionModelWithProjection", clip_vision(16)),
        "scheduler": SVD_SCHEDULER,
        "unet": _half("diffusers", "UNetSpatioTemporalConditionModel", unet),
        "vae": _half("diffusers", "AutoencoderKLTemporalDecoder", vae),
    })


def stable_diffusion() -> Layout:
    return Layout("StableDiffusionPipeline", {
        "feature_extractor": None,
        "image_encoder": None,
        "safety_checker": None,
        "scheduler": scheduler("EulerDiscreteScheduler", use_karras_sigmas=False, **_betas),
        "text_encoder": _half("transformers", "CLIPTextModel", _clip_text(16)),
        "tokenizer": Tokenizer("CLIPTokenizer", functools.partial(tokenizers.clip, pad_token="!")),
        "unet": _half("diffusers", "UNet2DConditionModel", _unet(16)),
        "vae": _half("diffusers", "AutoencoderKL", _vae(0.18215)),
    }, {"requires_safety_checker": False})


def stable_diffusion_xl() -> Layout:
    sizes = {
        "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 24,
    }
    projected = _clip_text(24) | {"projection_dim": 24}
    return Layout("StableDiffusionXLPipeline", {
        "feature_extractor": None,
        "image_encoder": None,
        "scheduler": scheduler("EulerAncestralDiscreteScheduler", **_betas),
        "text_encoder": _half("transformers", "CLIPTextModel", _clip_text(16)),
        "text_encoder_2": _half("transformers", "CLIPTextModelWithProjection", projected),
        "tokenizer": Tokenizer("CLIPTokenizer", tokenizers.clip),
        "tokenizer_2": Tokenizer("CLIPTokenizer", functools.partial(tokenizers.clip, pad_token="!")),
        "unet": _half("diffusers", "UNet2DConditionModel", _unet(16 + 24) | sizes),
        "vae": _half("diffusers", "AutoencoderKL", _vae(0.13025)),
    }, {"force_zeros_for_empty_prompt": True})


def clip_vision(width: int) -> Mapping[str, Any]:
    """A vision tower that takes what CLIP's takes, in patches of 56 px."""
    return {
        "hidden_size": width, "intermediate_size": 2 * width, "projection_dim": width, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": CLIP_IMAGE_PX, "patch_size": 56,
    }


def _clip_text(width: int) -> dict[str, Any]:
    return {
        "vocab_size": tokenizers.TOKENS, "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 77, "bos_token_id": 0, "eos_token_id": 2,
    }


def _unet(text_width: int) -> dict[str, Any]:
    return {
        "block_out_channels": CHANNELS, "layers_per_block": 1, "cross_attention_dim": text_width,
        "attention_head_dim": 4, "norm_num_groups": 4, "use_linear_projection": True, "sample_size": 64,
    }


def _vae(scaling: float) -> dict[str, Any]:
    return {
        "block_out_channels": CHANNELS, "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 512,
        "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
        "latent_channels": 4, "scaling_factor": scaling,
    }

"""HunyuanVideo 1.5, small, as hunyuanvideo-community's repositories have it: text-to-video, and image-to-video.

Kept of the release: the VAE compresses by 4 in time and by 16 in space; the guider is a component; the text around the
prompt is exactly the 108 tokens that the pipeline cuts off; an image becomes 729 tokens. The image-to-video pipeline
chooses its size itself, among those of about TARGET_PX squared, where the release has 640 or 960.
"""

import inspect

from scripts.testweights import tokenizers
from scripts.testweights.parts import Layout, Network, Part, Settings, Tokenizer, scheduler

LATENT_CHANNELS = 4
TEXT_WIDTH = 16
GLYPH_WIDTH = 16
IMAGE_WIDTH = 16
TARGET_PX = 48

TRANSFORMER_CLASS = "HunyuanVideo15Transformer3DModel"
TRANSFORMER = {
    "in_channels": 2 * LATENT_CHANNELS + 1, "out_channels": LATENT_CHANNELS, "num_attention_heads": 1,
    "attention_head_dim": 16, "rope_axes_dim": (4, 6, 6), "num_layers": 2, "num_refiner_layers": 1, "mlp_ratio": 2.0,
    "text_embed_dim": TEXT_WIDTH, "text_embed_2_dim": GLYPH_WIDTH, "image_embed_dim": IMAGE_WIDTH,
    "target_size": TARGET_PX,
}

VAE = {
    "latent_channels": LATENT_CHANNELS, "block_out_channels": (4, 4, 8, 8, 8), "layers_per_block": 1,
    "spatial_compression_ratio": 16, "temporal_compression_ratio": 4, "scaling_factor": 1.03682,
}

TEXT_ENCODER = {
    "vocab_size": tokenizers.TOKENS, "hidden_size": TEXT_WIDTH, "intermediate_size": 32, "num_hidden_layers": 4,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048, "bos_token_id": 0,
    "eos_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 1, 1]},
}

GLYPH_ENCODER = tokenizers.t5_encoder(GLYPH_WIDTH, tokens=384)

IMAGE_ENCODER = {
    "hidden_size": IMAGE_WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 384, "patch_size": 14,
}

IMAGES = Settings("transformers", "SiglipImageProcessor", "preprocessor_config.json", {
    "image_processor_type": "SiglipImageProcessor", "do_resize": True, "size": {"height": 384, "width": 384},
    "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_convert_rgb": None,
})

GUIDER = Settings("diffusers", "ClassifierFreeGuidance", "guider_config.json", {
    "_class_name": "ClassifierFreeGuidance", "guidance_scale": 6.0, "guidance_rescale": 0.0, "start": 0.0, "stop": 1.0,
    "use_original_formulation": False, "enabled": True,
})


def text_to_video() -> Layout:
    return Layout("HunyuanVideo15Pipeline", _parts("t2v", shift=9.0))


def image_to_video() -> Layout:
    return Layout("HunyuanVideo15ImageToVideoPipeline", {
        **_parts("i2v", shift=7.0),
        "feature_extractor": IMAGES,
        "image_encoder": Network("transformers", "SiglipVisionModel", IMAGE_ENCODER, dtype="bfloat16"),
    })


def _parts(task: str, shift: float) -> dict[str, Part | None]:
    transformer = TRANSFORMER | {"task_type": task}
    return {
        "guider": GUIDER,
        "scheduler": scheduler("FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=shift),
        "text_encoder": Network("transformers", "Qwen2_5_VLTextModel", TEXT_ENCODER, dtype="bfloat16", split=True),
        "text_encoder_2": Network("transformers", "T5EncoderModel", GLYPH_ENCODER, dtype="float32"),
        "tokenizer": Tokenizer("Qwen2Tokenizer", lambda: tokenizers.qwen(_template())),
        "tokenizer_2": Tokenizer("ByT5Tokenizer", tokenizers.byt5),
        "transformer": Network("diffusers", TRANSFORMER_CLASS, transformer, dtype="bfloat16", split=True),
        "vae": Network("diffusers", "AutoencoderKLHunyuanVideo15", VAE, dtype="float32"),
    }


def _template() -> str:
    """What the pipeline says to its language model around every prompt."""
    from diffusers import HunyuanVideo15Pipeline

    told = inspect.signature(HunyuanVideo15Pipeline._get_mllm_prompt_embeds).parameters["system_message"].default
    return "\n".join(("system", told, "user", "assistant"))

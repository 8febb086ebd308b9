"""Wan 2.2 TI2V-5B, small, as Wan-AI/Wan2.2-TI2V-5B-Diffusers has it: one set of components, with and without an image.

Kept of the release: the VAE compresses by 4 in time and by 16 in space, the transformer takes patches of 2 x 2, so
that sizes are multiples of 32; every latent frame has its own timestep.
"""

from scripts.testweights import tokenizers
from scripts.testweights.parts import Layout, Network, Tokenizer, scheduler

LATENT_CHANNELS = 8
TEXT_WIDTH = 16

TRANSFORMER = {
    "patch_size": (1, 2, 2), "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, "text_dim": TEXT_WIDTH,
    "num_attention_heads": 2, "attention_head_dim": 12, "freq_dim": 16, "ffn_dim": 48, "num_layers": 2,
    "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024,
}

VAE = {
    "base_dim": 8, "decoder_base_dim": 8, "z_dim": LATENT_CHANNELS, "num_res_blocks": 1, "is_residual": True,
    "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_temporal": 4, "scale_factor_spatial": 16,
    "latents_mean": [0.0] * LATENT_CHANNELS, "latents_std": [1.0] * LATENT_CHANNELS,
}

TEXT_ENCODER = tokenizers.t5_encoder(TEXT_WIDTH)

SCHEDULER = scheduler(
    "UniPCMultistepScheduler", num_train_timesteps=1000, prediction_type="flow_prediction", use_flow_sigmas=True,
    flow_shift=5.0, solver_order=2, solver_type="bh2", predict_x0=True, lower_order_final=True,
    final_sigmas_type="zero", timestep_spacing="linspace",
)


def text_to_video() -> Layout:
    return _layout("WanPipeline")


def image_to_video() -> Layout:
    return _layout("WanImageToVideoPipeline")


def _layout(class_name: str) -> Layout:
    images = {"image_encoder": None, "image_processor": None} if "Image" in class_name else {}
    return Layout(class_name, {
        **images,
        "scheduler": SCHEDULER,
        "text_encoder": Network("transformers", "UMT5EncoderModel", TEXT_ENCODER, dtype="bfloat16", split=True),
        "tokenizer": Tokenizer("T5TokenizerFast", tokenizers.umt5),
        "transformer": Network("diffusers", "WanTransformer3DModel", TRANSFORMER, dtype="bfloat16", split=True),
        "transformer_2": None,
        "vae": Network("diffusers", "AutoencoderKLWan", VAE, dtype="float32"),
    }, {"boundary_ratio": None, "expand_timesteps": True})

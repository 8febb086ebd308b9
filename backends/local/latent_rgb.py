"""From latents to colours by one matrix: what previews are drawn with.

A linear map of the channels of a latent space comes close to what its VAE would decode, at no cost. The factors are
published figures, fitted by others to the released VAEs:

- CogVideoX: kijai/ComfyUI-CogVideoXWrapper, ``latent_preview.py``;
- all others: Comfy-Org/ComfyUI, ``comfy/latent_formats.py``; the idea and the first such table are keturn's
  (https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204).

They hold for latents as the denoising loop has them, scaled and normalized, and give values from -1 to 1. Below, a
column is three numbers in ten-thousandths, red, green, blue: first what is added at the end, then one for each channel.
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Column = tuple[float, ...]


def _factors(text: str) -> list[Column]:
    return [tuple(int(number) / 10_000 for number in column.split()) for column in text.split(",")]


SD = _factors("""
    0 0 0, 3512 2297 3227, 3250 4974 2350, -2829 1762 2721, -2120 -2616 -7177
""")

SDXL = _factors("""
    1084 -175 -11, 3651 4232 4341, -2533 -42 1068, 1076 1111 -362, -3165 -2492 -2188
""")

WAN_21 = _factors("""
    -1835 -868 -3360, -1299 -1692 2932, 671 406 442, 3568 2548 1747, 372 2344 1420, 313 189 -328, 296 -956 -665,
    -3477 -4059 -2925, 166 1902 1975, -412 267 -1364, -1293 740 1636, 680 3019 1128, 32 581 639, -1251 927 1699,
    60 -633 5, 3477 2275 2950, 1984 913 1861
""")

WAN_22 = _factors("""
    317 -878 -1388, 119 103 46, -1062 -504 165, 140 409 491, -813 -677 607, 656 851 808, 264 463 912, 295 326 590,
    -244 -270 25, 443 -102 288, -465 -90 -205, 359 236 82, -776 854 1048, 564 264 561, 6 594 418, -319 -542 -637,
    -268 24 260, 539 265 358, -359 -312 -287, -285 -1032 -1237, 1041 537 622, -86 -374 -51, 390 670 2863,
    69 144 82, 6 -167 79, 313 -574 -232, -1454 -902 -481, 714 827 447, -304 -574 -196, 401 384 204, -758 -297 -14,
    568 1307 1372, -55 -310 -380, 239 -305 325, -663 -673 -140, -416 -47 -23, 166 112 -93, -211 11 331,
    1833 1466 2250, -368 370 295, -3441 -3543 -2008, -479 -489 -420, -660 -153 800, -101 68 156, -690 -452 -927,
    -145 41 15, 421 451 373, 504 -483 -356, -837 168 55
""")

LTX = _factors("""
    -571 -1657 -2512, 112 -6 -100, 860 658 10, -126 -76 -41, 94 -22 26, 38 128 92, 210 -53 34, -89 -197 -188,
    -132 -105 20, -15 -70 -76, -17 5 -34, 136 47 -20, 103 77 139, -161 -62 12, 73 156 4, 10 -30 -148, 191 109 123,
    45 0 -69, -5 33 78, 339 334 375, -230 -25 -31, 503 388 335, -41 -11 16, -1269 -1311 -2100, 263 142 -36,
    -49 88 78, -17 -49 -52, -21 24 94, -225 -213 -151, -158 -106 -65, -47 50 -67, 120 207 162, -64 -85 -95,
    73 -99 -230, -9 63 96, -372 -371 -567, -1337 -1072 -538, -54 81 88, -1525 -2144 -2184, 314 70 -98, 22 -90 -210,
    38 -59 -150, -43 -129 -160, -55 -108 -30, -65 31 -102, -50 -72 -9, -86 -24 11, -90 -96 16, 51 121 200,
    138 117 82, -105 -116 -41, -284 -313 -221, 29 365 187, -167 -167 -45, 488 401 87, -151 -6 30, -176 -81 131,
    -93 108 -63, 31 5 123, -228 -230 -260, -248 -154 -221, -236 11 124, -79 -12 -61, -115 -13 63, -542 266 63,
    44 -73 -105, -45 16 144, 137 89 41, -101 90 157, -56 12 81, -37 -54 13, 295 214 304, -349 -243 -253,
    -341 -224 -106, -173 -132 -107, -21 -86 -30, 12 -42 -69, 9 -67 -1, 160 -101 -289, 12 102 189, 173 3 138,
    -135 -36 7, 47 -52 24, -59 -62 -18, 155 146 20, 75 16 -82, 191 16 -40, -57 -27 -41, 17 146 258, -8 23 45,
    116 89 -73, 76 27 114, 52 37 140, -184 -225 -245, 6 -58 -148, -161 -86 -145, 205 207 64, 34 -112 -164,
    -15 -105 17, 281 235 328, -185 -128 -88, -81 -108 -175, -39 162 334, -75 -142 -62, 35 -114 -106, 115 39 28,
    72 -15 -38, 22 -88 -96, 241 217 281, -54 -243 -178, 74 105 127, 63 63 192, 164 95 67, 172 236 233,
    -146 -98 -116, 144 144 66, -68 189 146, 61 35 -27, -27 -59 -92, 102 74 -76, -133 193 -9, 24 -48 -158,
    262 260 202, 157 185 27, -22 47 -224, -75 74 144, -84 -80 98, 383 97 -193, -146 -67 40
""")

HUNYUAN = _factors("""
    259 -192 -761, -395 -331 445, 696 795 518, 135 -945 -282, 108 -250 -765, -209 32 224, -804 -254 -639,
    -991 271 -669, -646 -422 -400, -696 -595 -894, -799 -208 -375, 1166 1627 962, 1165 432 407, -2315 -1920 -1355,
    -270 401 -821, -616 -997 -727, 249 -469 -1703
""")

HUNYUAN_15 = _factors("""
    456 -202 -644, 568 -521 -131, 14 735 326, 186 531 -138, -31 51 288, 110 556 432, -41 -23 -485, 530 413 253,
    283 251 339, 277 -372 -93, 393 944 1131, 20 251 37, -17 12 234, 468 436 203, 354 439 -233, 90 123 346,
    382 29 217, 261 -300 30, -88 -220 -283, -272 -121 -363, -664 -622 144, 414 479 529, 355 612 -247, 147 264 174,
    438 38 542, 431 -573 -33, -162 -211 -406, -487 -295 -393, 5 -109 253, 296 591 353, 119 181 -306, -85 -362 229,
    5 -106 242
""")

COGVIDEOX = _factors("""
    0 0 0, 1195 992 -48, -12 550 213, -141 -87 -210, 306 1219 140, 927 303 508, 379 494 586, 177 88 360,
    1061 234 572, 1274 -110 433, -187 822 1061, 84 762 930, 1294 1236 448, 457 411 -177, 2 -140 533, 808 1155 -215,
    -152 -58 722
""")

KNOWN = {
    "AutoencoderKLTemporalDecoder": (SD,),
    "AutoencoderKL": (SD, SDXL),
    "AutoencoderKLWan": (WAN_21, WAN_22),
    "AutoencoderKLLTXVideo": (LTX,),
    "AutoencoderKLHunyuanVideo": (HUNYUAN,),
    "AutoencoderKLHunyuanVideo15": (HUNYUAN_15,),
    "AutoencoderKLCogVideoX": (COGVIDEOX,),
}
"""By the VAE's class; the number of channels must fit too."""

SDXL_SCALING = 0.13025
"""What tells SDXL's VAE from Stable Diffusion's, which is of the same class."""


def to_rgb(latents: "Tensor", vae: Any) -> "Tensor":
    """Colours from 0 to 1, float32, of latents whose last axis is the channels; that axis becomes red, green, blue."""
    import torch

    added, *factors = factors_of(vae, latents.shape[-1])
    matrix = torch.tensor(factors, dtype=torch.float32, device=latents.device)
    shift = torch.tensor(added, dtype=torch.float32, device=latents.device)
    return ((latents.float() @ matrix + shift + 1) / 2).clamp(0, 1)


def factors_of(vae: Any, channels: int) -> list[Column]:
    """The published columns for *vae*; where there are none, :func:`some_factors`."""
    tables = [table for table in KNOWN.get(type(vae).__name__, ()) if len(table) == channels + 1]
    if SDXL in tables and getattr(vae.config, "scaling_factor", None) == SDXL_SCALING:
        return SDXL
    return tables[0] if tables else some_factors(channels)


def some_factors(channels: int) -> list[Column]:
    """Columns for a latent space that nobody has fitted: the first three cosine waves over the channels, each of
    length 1. The colours mean nothing then, but shapes and motion show.
    """
    def wave(channel: int, k: int) -> float:
        scale = math.sqrt((1 if k == 0 else 2) / channels)
        return scale * math.cos(math.pi * k * (channel + 0.5) / channels)

    return [(0.0, 0.0, 0.0), *(tuple(wave(channel, k) for k in range(3)) for channel in range(channels))]

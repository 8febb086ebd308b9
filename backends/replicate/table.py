'''The ``[backend]`` table of a hosted model's card: which model it is, and how a shot maps onto the model's inputs.

A whole card, ``backends/models/replicate-example.toml``::

    provider = "replicate"
    name = "example"
    title = "Example Video"
    description = "Example Video 1: 5 or 10 s from text or an image, via Replicate"
    preference = 5                      # among hosted models; the highest is the default
    sizes = [[1280, 720], [720, 1280]]  # where not every pair of a width and a height is made

    [capabilities]
    text_to_video = true                # needs "$prompt" below
    image_to_video = true               # needs "$image" below
    negative_prompt = true              # needs "$negative_prompt" below

    [width]                             # every size has an entry in backend.sizes, or is sent as "$width" and
    default = 1280                      # "$height", or follows from the image that a pure image-to-video model gets
    min = 720
    max = 1280

    [height]
    default = 720
    min = 720
    max = 1280

    [frames]                            # what can be asked for; more than one value needs "$num_frames",
    default = 120                       # "$seconds" or backend.lengths
    min = 120
    max = 240
    step = 120

    [fps]                               # more than one value needs "$fps"
    default = 24
    min = 24
    max = 24

    [parameters.guidance]               # a parameter of the card is sent under its own name, here "guidance",
    type = "number"                     # unless an input below is "$guidance"
    default = 5.0
    min = 1
    max = 10
    description = "How closely the prompt is followed"

    [licence]
    name = "Example terms"
    url = "https://example.com/terms"

    [backend]
    model = "owner/name"
    version = "64 hex digits"           # of a community model; an official model has none
    source = "https://replicate.com/owner/name/api/schema"      # where the schema of the inputs is published
    max_seed = 2147483647               # where the model takes smaller seeds than 2**32 - 1
    price_per_output_second_usd = 0.05  # or price_per_run_usd, or price_per_predict_second_usd; where it is known

    [backend.input]                     # every input that is sent: a constant, or "$" and where its value comes from
    prompt = "$prompt"
    negative_prompt = "$negative_prompt"
    start_image = "$image"              # the URL of the image; left out where the shot has none
    duration = "$seconds"               # num_frames / fps, a whole number
    seed = "$seed"
    go_fast = false                     # a constant

    [backend.sizes]                     # what is sent for each size, beside the inputs above
    "1280x720" = { aspect_ratio = "16:9", resolution = "720p" }
    "720x1280" = { aspect_ratio = "9:16", resolution = "720p" }

    [backend.lengths]                   # likewise, by number of frames; not needed beside "$seconds"
    "120" = { mode = "short" }
    "240" = { mode = "long" }

What a shot offers: ``$prompt``, ``$negative_prompt``, ``$image``, ``$width``, ``$height``, ``$num_frames``,
``$seconds``, ``$fps``, ``$num_inference_steps``, ``$seed``, and every parameter of the card. What a shot does not have
(no image, no negative prompt) is left out. Whole numbers are sent as integers.

Knows nothing of the network.
'''

from typing import Annotated, Any

from pydantic import Field, model_validator

from vidgen.card_parts import REPOSITORY, Part

SHOT_FIELDS = frozenset({
    "prompt", "negative_prompt", "image", "width", "height", "num_frames", "seconds", "fps", "num_inference_steps",
    "seed",
})
"""What a shot offers to a model's inputs, written with a ``$`` before it."""

Inputs = Annotated[dict[str, Any], Field(min_length=1)]
Price = Annotated[float, Field(ge=0)]


class Table(Part):
    """The table, read. ``model`` without ``version`` is one of Replicate's official models."""

    model: str = Field(pattern=REPOSITORY)
    version: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    source: str = Field(pattern=r"^https://\S+$")
    input: Inputs
    sizes: dict[str, Inputs] = Field(default_factory=dict)      # by "1280x720"
    lengths: dict[str, Inputs] = Field(default_factory=dict)    # by number of frames
    max_seed: int | None = Field(None, ge=1)
    price_per_run_usd: Price | None = None
    price_per_predict_second_usd: Price | None = None           # of the time that the model itself takes
    price_per_output_second_usd: Price | None = None            # of video

    @model_validator(mode="after")
    def _has_one_price(self) -> "Table":
        prices = (self.price_per_run_usd, self.price_per_predict_second_usd, self.price_per_output_second_usd)
        if sum(price is not None for price in prices) > 1:
            raise ValueError("there can be one price only")
        return self

    @property
    def asked(self) -> dict[str, str]:
        """The inputs that are not constants: what each asks of the shot, by the input's name."""
        return {name: value[1:] for name, value in self.input.items() if _asks(value)}

    def cost_usd(self, predict_seconds: float | None, output_seconds: float) -> float | None:
        """What a run costs by the card's price: an estimate. None where the card knows no price."""
        if self.price_per_run_usd is not None:
            return self.price_per_run_usd
        if self.price_per_output_second_usd is not None:
            return self.price_per_output_second_usd * output_seconds
        if self.price_per_predict_second_usd is not None and predict_seconds is not None:
            return self.price_per_predict_second_usd * predict_seconds
        return None


def _asks(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("$")

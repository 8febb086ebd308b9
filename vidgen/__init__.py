"""vidgen: a prompt, perhaps an image, in; one finished video out."""

__version__ = "0.1.0"

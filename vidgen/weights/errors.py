"""What can go wrong with weights. The words are for the person at the terminal: they may name paths and addresses.

    VidgenError
    └── WeightsError                        weights_failed
        ├── HubUnreachable                  likely to pass: a broken line, a hub that is busy
        └── WrongContent                    what came is not what the hub lists; it is removed
"""

from vidgen.errors import VidgenError


class WeightsError(VidgenError):
    """A model's weights cannot be fetched or checked."""

    code = "weights_failed"
    title = "Weights failed"


class HubUnreachable(WeightsError):
    """Nothing came, or not all of it; another try may get the rest."""

    retryable = True


class WrongContent(WeightsError):
    """A file's bytes are not those that the hub lists."""

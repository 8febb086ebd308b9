"""How a command ends: its exit code, and what is said of an error, in one line."""

from vidgen.cli.text import printable

OK, FAILED, BAD_INPUT, UNAVAILABLE, STOPPED = 0, 1, 2, 3, 130


class Ended(Exception):
    """A command ends here. What it says is for the person at the terminal."""

    def __init__(self, code: int, said: str):
        super().__init__(said)
        self.code = code


class BadInput(Ended):
    """:param field: the option or argument that is wrong, as people write it, without dashes."""

    def __init__(self, field: str, said: str):
        super().__init__(BAD_INPUT, f"{field}: {said}")


def of(error: Exception) -> tuple[int, str] | None:
    """The exit code that *error* means, and its line; None where nobody foresaw it."""
    found = _of_ours(error) or _of_the_client(error)
    return (found[0], printable(found[1])) if found else None


def _of_ours(error: Exception) -> tuple[int, str] | None:
    from vidgen.errors import InvalidInput, StartRefused, VidgenError

    match error:
        case Ended():
            return error.code, str(error)
        case InvalidInput():
            return BAD_INPUT, error.detail
        case StartRefused():
            return BAD_INPUT, " ".join(error.detail.split())
        case VidgenError():
            return FAILED, error.detail
        case OSError(strerror=str()):
            return FAILED, f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None


def _of_the_client(error: Exception) -> tuple[int, str] | None:
    from vidgen import client

    match error:
        case client.JobFailed():
            return FAILED, f"{error.job.id} {error.job.status}: {error}"
        case client.Conflict():
            return FAILED, str(error)
        case client.ConnectionFailed() | client.QueueFull() | client.Unavailable() | client.DiskLow():
            return UNAVAILABLE, str(error)
        case client.Unauthorized():
            return BAD_INPUT, f"{error}; --api-key, or VIDGEN_API_KEY, holds it"
        case client.ApiError():
            return (UNAVAILABLE if error.status >= 500 else BAD_INPUT), str(error)
    return None

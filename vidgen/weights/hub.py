"""The Hugging Face hub, or a mirror of it: what a repository holds, and the bytes of one file from any place on.

The only module that touches huggingface_hub; its import is left until something is asked. Bytes are streamed from the
client's own session rather than by ``hf_hub_download``, which since 1.18 writes to a name that no later run finds, and
so begins every file anew after a kill. For the same reason hf_xet has no part in it: it writes a file in no order that
could be taken up again, and speaks to servers that mirrors do not have. Knows nothing of the disk.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from vidgen.card_parts import Weights
from vidgen.weights.errors import HubUnreachable, WeightsError, WrongContent
from vidgen.weights.plan import Listing, RemoteFile

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before a broken transfer is taken up again; one that moved a byte begins the row anew."""

BAR_AFTER_S = 0.3
"""What is done sooner needs no bar."""

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses that are likely to pass."""


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a file, from *start* on; 0 where the server does not serve a part of it."""

    start: int
    chunks: Iterator[bytes]                 # as they come from the socket, 64 KiB at most


class Hub:
    """One hub, as one person sees it.

    :param token: None leaves it to huggingface_hub: HF_TOKEN, else what ``hf auth login`` kept. False sends none.
    :param endpoint: its address; None leaves it to huggingface_hub: HF_ENDPOINT, else huggingface.co.
    :param pauses_s: before a broken transfer is taken up again.
    """

    def __init__(
        self, token: str | bool | None = None, endpoint: str | None = None, pauses_s: Sequence[float] = PAUSES_S
    ):
        self.pauses_s = pauses_s
        self._token = token
        self._endpoint = endpoint

    @property
    def address(self) -> str:
        from huggingface_hub import constants

        return (self._endpoint or constants.ENDPOINT).rstrip("/")

    def listing(self, weights: Weights) -> Listing:
        """The repository's files at the card's revision, and the commit that this is.

        :raises WeightsError: in words.
        """
        from huggingface_hub import HfApi, constants

        try:
            with self._in_words(weights):
                info = HfApi(endpoint=self.address, token=self._token, library_name="vidgen").model_info(
                    weights.repository, revision=weights.revision, files_metadata=True,
                    timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
                )
            files = tuple(_listed(file) for file in info.siblings or ())
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise WeightsError(f"what answers at {self.address} is not a hub: no list of files came") from e
        if not info.sha or not files:
            raise WeightsError(f"{self.address} lists no files of {weights.repository}")
        return Listing(weights.repository, info.sha, bool(info.gated), files)

    @contextmanager
    def body(self, weights: Weights, commit: str, path: str, start: int) -> Iterator[Body]:
        """The file's bytes at *commit*, from *start* on where the server can do that.

        The token goes to the hub; the session takes it off where the hub sends us on to another host.

        :raises HubUnreachable: the transfer broke; also raised while chunks are read.
        :raises WrongContent: the file ends before *start*.
        :raises WeightsError: in words.
        """
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        headers = {**build_hf_headers(token=self._token, library_name="vidgen"), "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        url = hf_hub_url(weights.repository, path, revision=commit, endpoint=self.address)
        asked = {"headers": headers, "timeout": constants.HF_HUB_DOWNLOAD_TIMEOUT}
        with self._in_words(weights, path), get_session().stream("GET", url, **asked) as answer:
            hf_raise_for_status(answer)
            yield Body(start if answer.status_code == 206 else 0, answer.iter_bytes())

    @contextmanager
    def _in_words(self, weights: Weights, path: str | None = None) -> Iterator[None]:
        from huggingface_hub import errors

        try:
            yield
        except errors.OfflineModeIsEnabled as e:
            raise WeightsError("HF_HUB_OFFLINE is set, so nothing can be fetched; unset it") from e
        except errors.HfHubHTTPError as e:
            raise self._refused(e, weights, path) from e
        except errors.HTTPError as e:
            raise HubUnreachable(
                f"{self.address} cannot be reached, or the line to it broke ({type(e).__name__}); "
                "HF_ENDPOINT names a mirror"
            ) from e

    def _refused(self, error: Any, weights: Weights, path: str | None) -> WeightsError:
        """What an answer with an error's status means."""
        from huggingface_hub import errors

        repository, status = weights.repository, error.response.status_code
        if isinstance(error, errors.GatedRepoError):
            return self._gated(repository)
        if isinstance(error, errors.RevisionNotFoundError):
            return WeightsError(f"{repository} has no revision {weights.revision!r}")
        if isinstance(error, errors.RepositoryNotFoundError):
            return self._absent(repository)
        if status == 404:
            return WeightsError(f"{path}: the hub lists it and does not have it") if path else self._absent(repository)
        if status == 401:
            return self._unauthorized(repository)
        if status == 403:
            return WeightsError(f"the token may not read {repository}; its page is {self.address}/{repository}")
        if status == 416:
            return WrongContent(f"{path}: the hub has fewer bytes of it than it lists")
        kind = HubUnreachable if status in BUSY else WeightsError
        return kind(f"{self.address} answers with status {status}; try again later")

    def _gated(self, repository: str) -> WeightsError:
        page = f"{self.address}/{repository}"
        if self._has_token():
            return WeightsError(
                f"the licence of {repository} has to be accepted first, by the account that the token belongs to: "
                f"open {page}, accept it, then run this again"
            )
        return WeightsError(
            f"{repository} is gated: open {page} and accept its licence, make a token at "
            f"{self.address}/settings/tokens, put it into HF_TOKEN, then run this again"
        )

    def _absent(self, repository: str) -> WeightsError:
        return WeightsError(
            f"there is no repository {repository} at {self.address}, or it is private and needs a token in HF_TOKEN"
        )

    def _unauthorized(self, repository: str) -> WeightsError:
        if self._has_token():
            return WeightsError(
                f"{self.address} refuses the token in HF_TOKEN; make a new one at {self.address}/settings/tokens"
            )
        return WeightsError(f"{self.address} shows {repository} to nobody without a token; put one into HF_TOKEN")

    def _has_token(self) -> bool:
        from huggingface_hub import get_token

        return bool(get_token() if self._token is None else self._token)


def progress_bar(label: str, size: int, done: int) -> AbstractContextManager[Any]:
    """The hub client's own bar, in bytes; it shows on a terminal only, and HF_HUB_DISABLE_PROGRESS_BARS hides it."""
    from huggingface_hub.utils import tqdm

    return tqdm(desc=label, total=size, initial=done, unit="B", unit_scale=True, leave=False, disable=None,
                delay=BAR_AFTER_S)


def _listed(file: Any) -> RemoteFile:
    sha256 = file.lfs.sha256 if file.lfs else None
    if file.size is None or not (sha256 or file.blob_id):
        raise ValueError(f"no size or no hash of {file.rfilename}")
    return RemoteFile(file.rfilename, file.size, sha256, file.blob_id)

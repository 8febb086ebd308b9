"""Environment and ``.env`` into one frozen :class:`Settings`. An unknown or bad value is an error that names it.

Every field here stands in ``.env.example`` with its default and a sentence; a test holds the two together.
"""

from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vidgen.errors import StartRefused

Words = Annotated[tuple[str, ...], NoDecode]
"""A list, written with commas."""


class Settings(BaseSettings):
    """All that can be configured. Names are those of the environment, in lower case."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="forbid", frozen=True)

    # the web
    api_host: str = Field("127.0.0.1", min_length=1)
    api_port: int = Field(8000, ge=0, le=65535)
    enable_cors: bool = True
    cors_origins: Words = ("*",)
    allowed_hosts: Words = ()
    api_keys: Words = Field((), repr=False)
    websocket_idle_s: float = Field(300, gt=0)

    # jobs
    default_model: str | None = None
    max_concurrent_jobs: int = Field(3, ge=1, le=64)
    max_queued_jobs: int = Field(1_000, ge=1)
    age_s: float = Field(600, gt=0)
    cancel_grace_s: float = Field(10, gt=0)
    drain_s: float = Field(30, ge=0)
    stall_s: float = Field(120, gt=0)

    # this machine
    gpu_device: str = Field("auto", pattern=r"^(auto|cpu|\d{1,2}|(GPU|MIG)-[0-9A-Za-z/-]+)$")

    vram_reserve_mb: int = Field(512, ge=0)
    ram_cache_mb: int = Field(8_192, ge=0)
    model_keep_alive_s: float = Field(900, gt=0)
    memory_wait_s: float = Field(600, ge=0)
    swap_patience_s: float = Field(900, ge=0)

    # files
    workspace_dir: Path = Path("workspace")
    weights_dir: Path = Path("weights")
    models_dir: Path | None = None
    min_free_mb: int = Field(500, ge=0)

    # video
    encoder_preset: Literal["veryfast", "faster", "fast", "medium", "slow"] = "veryfast"
    encoder_crf: int = Field(20, ge=1, le=51)
    encoder_threads: int = Field(2, ge=1, le=16)
    ffmpeg_timeout_s: float = Field(120, gt=0)

    # services
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = Field(None, pattern=r"^https?://")
    anthropic_model: str = Field("claude-haiku-5-5", min_length=1)
    anthropic_timeout_s: float = Field(30, gt=0, le=600)
    replicate_api_token: SecretStr | None = None
    replicate_base_url: str | None = Field(None, pattern=r"^https?://")
    openai_api_key: SecretStr | None = None

    # operation
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    allow_test_parameters: bool = False

    @field_validator("cors_origins", "allowed_hosts", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("default_model", "models_dir", "anthropic_api_key", "anthropic_base_url", "replicate_api_token",
                     "replicate_base_url", "openai_api_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("workspace_dir", "weights_dir", mode="before")
    @classmethod
    def _is_a_folder(cls, value: object) -> object:
        if value == "":                     # to pathlib, the current folder
            raise ValueError("must name a folder; without this line it is the default")
        return value

    @cached_property
    def loopback_only(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ip_address(self.api_host).is_loopback
        except ValueError:
            return self.api_host == "localhost"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, ``.env`` and *overrides*.

    :raises StartRefused: naming each bad setting, or ``.env`` where it cannot be read.
    """
    try:
        return Settings(**overrides)
    except UnicodeDecodeError:
        raise StartRefused(".env is not UTF-8; save it as that") from None
    except OSError as e:
        raise StartRefused(f".env cannot be read: {e.strerror}") from None
    except ValidationError as e:
        lines = [
            f"{'.'.join(map(str, p['loc'])).upper()}: {p['msg'].removeprefix('Value error, ')}" for p in e.errors()
        ]
        raise StartRefused("bad settings:\n  " + "\n  ".join(lines)) from None


def url_of(host: str, port: int) -> str:
    """Where a browser on this machine finds the server."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

"""The server's settings, from the environment alone."""

import shlex
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pt4al_backend.config.refusal import IN_ENVIRONMENT, PREFIX, refusal

Device = Literal["auto", "cpu", "cuda"]
Pretrained = Literal["auto", "off"]

JOB_STALL_SECONDS = 3600.0


class ServerSettings(BaseSettings):
    """The server's settings, from the environment alone."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    label_studio_url: str = Field(
        "", alias="LABEL_STUDIO_URL", description="Where Label Studio answers, as seen from the backend."
    )
    label_studio_api_key: str = Field(
        "", alias="LABEL_STUDIO_API_KEY", repr=False, description="An admin's personal access token, or a legacy token."
    )
    basic_auth_user: str = Field("", alias="BASIC_AUTH_USER", description="User name that every route but /health requires.")
    basic_auth_pass: str = Field("", alias="BASIC_AUTH_PASS", repr=False, description="Password that goes with it.")
    data_dir: Path = Field(Path("~/.pt4al"), description="Folder of the state, the image cache and the models.")
    artefacts_url: str = Field(
        "",
        repr=False,
        description="fsspec URL, such as s3://bucket/prefix, through which hosts without a common disk share their work; "
        "empty: the data folder alone.",
    )
    artefacts_cache_gb: float = Field(
        20.0,
        gt=0,
        description="Gigabytes of models that a host keeps from such a store; the oldest are dropped first, "
        "and fetched again if needed.",
    )
    database_url: str = Field("", repr=False, description="SQLAlchemy URL of the state; empty: SQLite in the data folder.")
    redis_url: str = Field("", repr=False, description="Redis URL of the work queue; empty: SQLite in the data folder.")
    host: str = Field("127.0.0.1", description="Address that the web process listens on.")
    allowed_hosts: str = Field(
        "",
        description="Comma-separated names under which the backend may be addressed, besides loopback names, PT4AL_HOST and the "
        "one that Label Studio uses. *.example.org allows every name below, * any.",
    )
    insecure: bool = Field(False, description="Whether PT4AL_HOST may be open to other machines without basic auth.")
    port: int = Field(9090, ge=1, le=65535, description="Port that the web process listens on.")
    workers: int = Field(4, ge=2, le=64, description="Projects that one worker process looks after at a time.")
    poll_seconds: float = Field(30.0, gt=0, description="Seconds between two looks at a project when no webhook arrives.")
    full_sync_seconds: float = Field(
        600.0,
        gt=0,
        description="Seconds between two full passes over tasks and annotations, or "
        "nine times as long as a pass takes, whichever is longer.",
    )
    device: Device = Field("auto", description="Where training and scoring run.")
    pretrained: Pretrained = Field("auto", description="Whether ImageNet weights may be looked for and downloaded.")
    weights_dir: Path | None = Field(None, description="Folder with weights of pretrained encoders, named as timm names them.")
    runner: Literal["local", "ray"] = Field(
        "local", description="Where jobs run: in processes of this host, or on a Ray cluster."
    )
    ray_address: str = Field(
        "", description="Address of the Ray cluster, such as ray-head:6379; empty: one of the worker's own, on its host."
    )
    launcher: str = Field(
        "", description="What each job's command is prefixed with, such as srun --gres=gpu:1; split as a shell splits it."
    )
    job_stall_seconds: float = Field(
        JOB_STALL_SECONDS,
        gt=0,
        description="Seconds without progress after which a job's process is taken to hang, is stopped, and is started again "
        "from its last checkpoint. No single step of a job may take as long.",
    )
    predict_seconds: float = Field(
        20.0, gt=0, description="Seconds that one /predict request may take; what is left then is answered empty."
    )
    webhook_max_bytes: int = Field(32_000_000, gt=0, description="Longest webhook body that is read, in bytes.")
    image_max_bytes: int = Field(50_000_000, gt=0, description="Longest image file that is fetched, in bytes.")
    image_max_pixels: int = Field(100_000_000, gt=0, description="Largest image that is decoded, in pixels: width times height.")
    image_seconds: float = Field(30.0, gt=0, description="Seconds that fetching one image may take.")
    image_hosts: str = Field(
        "", description="Comma-separated hosts with private addresses that images may come from, besides Label Studio itself."
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @field_validator("label_studio_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @field_validator("launcher")
    @classmethod
    def _can_be_split(cls, launcher: str) -> str:
        try:
            words = shlex.split(launcher)
        except ValueError as error:
            raise ValueError(f"It cannot be split into words as a shell does ({error}): close each quotation mark") from None
        if words and Path(words[0]).name == "torchrun" and "--no-python" not in words:
            raise ValueError("torchrun takes a Python script unless --no-python is among its options: add it at the end")
        return launcher

    @field_validator("ray_address")
    @classmethod
    def _is_no_client(cls, address: str) -> str:
        if address.startswith("ray://"):
            raise ValueError("The worker has to be a node of the cluster, not a client: give the head's own address, HOST:6379")
        return address

    @field_validator("artefacts_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        if url and not url.partition("://")[2].strip("/"):
            raise ValueError("It should be a URL, such as s3://bucket/prefix or file:///mnt/shared")
        return url.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _is_of_redis(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("It should begin with redis://, rediss:// or unix://, such as redis://127.0.0.1:6379/0")
        try:
            urlsplit(url).port  # noqa: B018 - which reads it
        except ValueError:  # whose message may hold a part of the password
            raise ValueError(
                "Its port should be a number; '/', '?', '#' and '@' in a password are written %2F, %3F, %23, %40"
            ) from None
        return url

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS go together: set both or none")
        if ":" in self.basic_auth_user or any(ord(letter) > 255 for letter in self.basic_auth_user + self.basic_auth_pass):
            raise ValueError(
                "BASIC_AUTH_USER and BASIC_AUTH_PASS may hold Latin-1 characters only, which is what Label Studio sends, "
                "and the user name no colon"
            )
        if self.launcher and self.runner == "ray":
            raise ValueError("PT4AL_LAUNCHER goes with PT4AL_RUNNER=local: Ray starts the jobs itself; unset one of the two")
        if self.label_studio_api_key and not self.label_studio_url:
            raise ValueError("LABEL_STUDIO_API_KEY is set without LABEL_STUDIO_URL: a token is only sent to a host that you name")
        return self

    @property
    def has_gpu(self) -> bool:
        """Whether training will run on a GPU, found out without importing torch."""
        devices = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
        return self.device == "cuda" or (self.device == "auto" and any(Path(device).exists() for device in devices))


def server_settings(**overrides: Any) -> ServerSettings:
    """Reads the server's settings from the environment; keyword arguments win over it.

    Raises:
        ConfigError: a value is not allowed.
    """
    try:
        return ServerSettings(**overrides)
    except ValidationError as error:
        raise refusal(error, IN_ENVIRONMENT) from None

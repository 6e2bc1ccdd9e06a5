"""Every setting of Nigaoe: an environment variable with the prefix ``NIGAOE_``, or a line of ``.env``.

Each field says its unit and range; the table in ``docs/operations.md`` is generated from here.
The classes are the table's sections, `Settings` joins them.
"""

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.errors import InvalidSettings

PREFIX = "NIGAOE_"


def _user_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "nigaoe"


class _Section(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )


class Storage(_Section):
    """Where things are kept."""

    data_dir: Path = Field(
        default_factory=_user_data_dir,
        description="Folder for everything that must survive a restart: the embedded server's journal, blobs, "
        "the signing secret, imported weights.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="redis://, rediss:// or unix:// URL of a Redis or Valkey with AOF and noeviction; "
        "unset: `nigaoe serve` starts its own on a private socket.",
    )
    redis_patience_seconds: float = Field(
        3.0, ge=0, le=60, description="How long one operation rides out an unreachable Redis before it fails with 503."
    )
    blob_store: str | None = Field(
        None, description="A folder, or s3://BUCKET/PREFIX; unset: the folder `blobs` in the data folder."
    )
    blob_patience_seconds: float = Field(
        60.0, ge=0, le=3600, description="How long a worker waits for a picture store that refuses or is full."
    )
    s3_endpoint_url: str | None = Field(None, description="Address of an S3-compatible server; unset: AWS.")
    s3_public_endpoint_url: str | None = Field(
        None, description="The same server as browsers reach it, for presigned URLs; unset: the endpoint itself."
    )
    s3_region: str = Field("us-east-1", description="Region name that requests are signed for.")
    s3_access_key_id: SecretStr | None = Field(None, description="Unset: boto3's own search (environment, role, file).")
    s3_secret_access_key: SecretStr | None = Field(None, description="Belongs to the access key id.")
    weights_dir: Path = Field(BUNDLED_WEIGHTS, description="Folder of the bundled weights and their manifest.")
    registry_dir: Path | None = Field(
        None, description="Folder of imported weights and their manifest; unset: `weights` in the data folder."
    )


class Jobs(_Section):
    """How long jobs wait, run and are kept."""

    retention_hours: float = Field(
        24.0, gt=0, le=24 * 365, description="Hours until an ended job, its latent and its results are erased."
    )
    job_deadline_seconds: float = Field(
        900.0, ge=5, le=86_400, description="Seconds from submission until an unfinished job expires."
    )
    lease_seconds: float = Field(
        20.0, ge=1, le=600, description="Seconds without a sign of life after which a worker counts as lost."
    )
    heartbeat_seconds: float = Field(5.0, ge=0.2, le=200, description="Seconds between a worker's signs of life.")
    max_attempts: int = Field(3, ge=1, le=10, description="Lost workers after which a job fails with worker_lost.")
    doorbell_seconds: float = Field(
        15.0, ge=1, le=3600, description="A job still queued after this is announced again, then after twice this, ..."
    )
    sweep_seconds: float = Field(
        5.0, ge=0.2, le=600, description="Seconds between two rounds of the reaper (lost workers, deadlines, erasures)."
    )
    orphan_hours: float = Field(
        2.0, gt=0, le=24 * 365, description="Age in hours after which a blob that belongs to no job is erased."
    )
    max_queued_jobs: int = Field(200, ge=1, le=1_000_000, description="Queued jobs above which new ones get 503.")
    max_queue_age_seconds: float = Field(
        300.0, ge=1, le=86_400, description="Age of the oldest queued job above which new ones get 503."
    )
    max_active_jobs_per_key: int = Field(
        32, ge=1, le=1_000_000, description="Unfinished jobs that one API key may have; more get 429."
    )


class Web(_Section):
    """The API's door."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="TCP port; 0 takes a free one.")
    public_url: str | None = Field(
        None, description="Address under which clients reach the API, for absolute links; unset: the request's own."
    )
    max_upload_bytes: int = Field(
        20 * 2**20, ge=1024, le=2**30, description="Bytes of one photo; more are refused while they arrive."
    )
    max_request_bytes: int = Field(64 * 2**20, ge=1024, le=2**31, description="Bytes of one whole request.")
    max_upload_bytes_in_flight: int = Field(
        512 * 2**20,
        ge=1024,
        le=2**40,
        description="Bytes of all uploads that one API process holds at a time; more get 503.",
    )
    max_photos_per_request: int = Field(8, ge=1, le=1000, description="Photos in one request.")
    max_pixels: int = Field(50_000_000, ge=10_000, le=1_000_000_000, description="Width times height of a photo.")
    max_side: int = Field(12_000, ge=64, le=100_000, description="Longer side of a photo in pixels.")
    keep_photo_seconds: float = Field(
        900.0,
        ge=0,
        le=3600,
        description="Seconds that POST /faces keeps a photo for POST /convert where the client asks for it; 0: never.",
    )
    keep_photo_count: int = Field(
        64,
        ge=1,
        description="Photos of one API key or address that are kept in so many seconds; further ones travel twice.",
    )
    body_timeout_seconds: float = Field(60.0, ge=1, le=3600, description="Seconds until a request has arrived whole.")
    api_keys_file: Path | None = Field(
        None, description="File of hashed API keys; unset: visitors of the page have a tenant each, others see below."
    )
    anonymous_api: bool = Field(
        default=False,
        description="Whether calls without a key and without the page's cookie are served on a public address, too, "
        "all of them as one tenant; on a loopback address they always are.",
    )
    rate_limit: str = Field("120/minute", description="Requests for one key or address, in the `limits` notation.")
    convert_rate_limit: str = Field("30/minute", description="Photos for one key or address, in the same notation.")
    link_seconds: float = Field(600.0, ge=10, le=604_800, description="Seconds that a signed link to a blob is valid.")
    signing_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Secret of signed links and webhooks, the same on all replicas; "
        "unset: made once and kept in the data folder, readable by its owner only.",
    )
    allow_photo_url: bool = Field(default=False, description="Whether POST /convert may fetch `photo_url` by itself.")
    photo_url_timeout_seconds: float = Field(10.0, ge=0.5, le=120, description="Seconds for such a fetch.")
    trusted_proxies: str = Field(
        "127.0.0.1", description="Comma-separated addresses whose X-Forwarded-* headers are believed."
    )
    page: bool = Field(default=True, description="Whether / serves the upload page.")


class Webhooks(_Section):
    """Calls to the address that a client gave."""

    webhooks: bool = Field(default=True, description="Whether clients may ask for webhooks.")
    webhook_allow_loopback: bool = Field(
        default=False,
        description="Whether webhooks and photo_url may lead to http and this machine (development only).",
    )
    webhook_timeout_seconds: float = Field(10.0, ge=0.5, le=120, description="Seconds for one delivery.")
    webhook_tries: int = Field(8, ge=1, le=20, description="Deliveries tried, with doubling pauses, before giving up.")
    webhook_pause_seconds: float = Field(5.0, ge=0.1, le=3600, description="Pause before the second try.")


class Worker(_Section):
    """The worker and its device."""

    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the high-resolution blocks; auto: float32 on a CPU, bfloat16 on a GPU that "
        "multiplies it. A format that the device has no instructions for is refused at the start.",
    )
    torch_threads: int = Field(0, ge=0, le=1024, description="CPU threads of one step; 0: one for each core.")
    slots: int = Field(4, ge=1, le=1024, description="Jobs that one worker optimises at the same time.")
    step_graphs: bool = Field(
        default=True,
        description="Whether searches on an NVIDIA GPU replay their steps as CUDA graphs, which is faster.",
    )
    concurrency: int = Field(
        0, ge=0, le=4096, description="Celery threads that prepare and finish jobs; 0: two and a half times the slots."
    )
    restyle_threads: int = Field(
        4,
        ge=1,
        le=256,
        description="Threads of a worker for restyles and instant portraits, which wait for no search to end; so many "
        "instant portraits share a pass.",
    )
    progress_seconds: float = Field(
        0.5, ge=0.1, le=60, description="Seconds between two progress messages of a job that is followed."
    )
    preview_seconds: float = Field(
        1.0, ge=0, le=60, description="Seconds between two preview pictures of a job that is followed; 0: none."
    )
    styles: str = Field("", description="Comma-separated names of the styles to load; empty: all installed.")
    warm_up: bool = Field(default=True, description="Whether a worker runs one conversion before it reports ready.")
    device_limit_seconds: float = Field(
        120.0,
        ge=0,
        le=86_400,
        description="Seconds that one step or drawing may take before the device counts as hung and the worker ends "
        "for its supervisor to start it again; 0: no limit.",
    )
    drain_seconds: float = Field(
        60.0, ge=0, le=86_400, description="Seconds after SIGTERM in which running jobs may finish; then handed back."
    )


class Provenance(_Section):
    """How results say who made them. That a machine did stands in every result, whatever is set here."""

    c2pa_certificate: Path | None = Field(
        None,
        description="PEM chain of a certificate for C2PA claim signing, its own first: results get signed Content "
        "Credentials; needs the extra `c2pa`. Unset: results are marked, not signed.",
    )
    c2pa_key: Path | None = Field(None, description="PEM private key of that certificate, readable by its owner only.")
    c2pa_timestamp_url: str | None = Field(
        None, description="Address of an RFC 3161 service that says when a result was signed; unset: nobody says."
    )


class Telemetry(_Section):
    """What is written down about the service itself. Nothing of a person is."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: coloured text on a terminal, one JSON object a line elsewhere."
    )
    otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP address for traces, e.g. http://collector:4318; needs the extra `otel`."
    )
    worker_metrics_port: int = Field(
        0, ge=0, le=65_535, description="Port of the worker's own Prometheus and health page; 0: none."
    )


class Settings(Storage, Jobs, Web, Webhooks, Worker, Provenance, Telemetry):
    """All settings together. Frozen: a component is given one object and never reads the environment itself."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds, or live workers count as lost")
        if self.max_request_bytes < self.max_upload_bytes:
            raise ValueError("max_request_bytes must not be smaller than max_upload_bytes")
        if self.max_upload_bytes_in_flight < self.max_request_bytes:
            raise ValueError("max_upload_bytes_in_flight must not be smaller than max_request_bytes")
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ValueError("c2pa_certificate and c2pa_key belong together: set both or none")
        return self

    @property
    def blob_location(self) -> str:
        """The blob store's folder or s3:// address with the default filled in."""
        return self.blob_store or str(self.data_dir / "blobs")

    @property
    def registry_path(self) -> Path:
        """The folder of imported weights with the default filled in."""
        return self.registry_dir or self.data_dir / "weights"

    @property
    def worker_concurrency(self) -> int:
        """Celery threads with the default filled in: while slots compute, others prepare, upload and wait."""
        return self.concurrency or max(2, round(self.slots * 2.5))


SECTIONS: tuple[type[BaseSettings], ...] = (Storage, Jobs, Web, Webhooks, Worker, Provenance, Telemetry)
"""In the order of the documentation."""


def load_settings(**overrides: Any) -> Settings:
    """Read the environment and ``.env``; ``overrides`` (command-line options) win.

    Raises:
        InvalidSettings: A value is of the wrong kind or out of range; the message names the variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(
            f"{PREFIX}{str(fault['loc'][0]).upper() if fault['loc'] else '*'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise InvalidSettings(f"Correct these settings: {faults}") from None


def unknown_variables() -> list[str]:
    """Names in the environment that begin like a setting but are none: most often misspelt."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)

"""The job record: what one conversion is, in which state it is, and how it may change.

A `Job` is frozen; a change is a new record (see `nigaoe_core.store.lifecycle`). Fields that this version does not know,
of a record that a newer Nigaoe wrote, are kept and written back with every change, so that rolling back and forward
cuts nothing down. Its JSON form carries ``format``: a newer one says that the known fields mean something else now, and
is refused. Times are Unix seconds (float, UTC) read from the job store's own clock, so that no two machines' clocks are
compared.
"""

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from nigaoe_core.errors import UnreadableJob
from nigaoe_core.store.blob_store import new_folder

FORMAT: Final = 1

DEFAULT_TRUNCATION: Final = 0.7
"""Photos' latents lie at the edge of what a style has learned; a step towards the mean face cleans up the drawing."""

DEFAULT_COLOURS: Final = 1.0
"""A drawing in other colours than the person's is of somebody else: skin and hair are what people look for first."""

ANONYMOUS: Final = "public"
"""The tenant of callers with neither an API key nor the page's cookie."""

UnixTime = Annotated[float, Field(ge=0, le=253_402_300_799)]
"""Until the end of the year 9999; what lies beyond cannot be shown as a date."""
Seconds = float
UnitInterval = Annotated[float, Field(ge=0, le=1)]

# What can be chosen, said once for requests, records and answers.
StyleName = Annotated[str, Field(min_length=1, max_length=64, description="Name of an installed style.")]
Degree = Annotated[UnitInterval, Field(description="Anime degree: 0 is the human reconstruction, 1 is fully anime.")]
Colours = Annotated[
    UnitInterval,
    Field(description="How much of the person's colours the drawing takes over: 0 leaves them to the style."),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
PasteBack = Annotated[bool, Field(description="Also paste the result back into the photo.")]
Priority = Annotated[int, Field(ge=0, le=9, description="Higher runs sooner; equal priorities run by age.")]


class JobState(StrEnum):
    """Where a job stands. The last four are ends: a job reaches exactly one of them, once."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_end(self) -> bool:
        """Whether no further change is possible."""
        return not TRANSITIONS[self]


TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = {
    # A worker claims it; its owner cancels it; its deadline passes while it waits.
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED}),
    # Back to queued: its worker vanished (new attempt) or hands it back while draining.
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}
"""The legal transitions: from each state, the states that may follow."""


class JobKind(StrEnum):
    """What a job computes."""

    CONVERT = "convert"  # From an aligned crop: reverse generation, then decoding.
    RESTYLE = "restyle"  # From the parent's stored latent: decoding only.


class Method(StrEnum):
    """How the likeness is found (the thesis's terms)."""

    CROSS = "cross"  # Invert in g_ori, decode in g_fin.
    DIRECT = "direct"  # Invert in g_fin itself.
    BEST = "best"  # Both and in-betweens, ranked.


class Preset(StrEnum):
    """How much work a conversion may cost."""

    INSTANT = "instant"  # What the encoder guesses, drawn: no search.
    DRAFT = "draft"
    STANDARD = "standard"
    BEST = "best"


class _Record(BaseModel):
    # What callers may send is narrower: `nigaoe_api.request_schemas` refuses unknown fields.
    model_config = ConfigDict(frozen=True, extra="allow")


class JobOptions(_Record):
    """What the caller chose."""

    style: StyleName = "anime"
    method: Method = Method.CROSS
    preset: Preset = Preset.STANDARD
    degree: Degree = 1.0
    truncation: UnitInterval = Field(
        DEFAULT_TRUNCATION, description="truncation_psi: 1 keeps the latent, 0 is the mean face."
    )
    colours: Colours = DEFAULT_COLOURS
    seed: Seed = 0
    face: Literal["largest", "only"] | Annotated[int, Field(ge=0)] = Field(
        "largest",
        description="Which found face: the largest, the only one (several are an error), or an index by size.",
    )
    paste_back: PasteBack = False
    webhook_url: str | None = Field(None, max_length=2048, description="Called once when the job ends.")
    priority: Priority = 5


class FoundFace(_Record):
    """A face found in the photo, in pixels of the upright photo; index 0 is the largest."""

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1")
    landmarks: tuple[tuple[float, float], ...] = Field(
        description="Left eye, right eye, nose, left and right mouth corner."
    )
    confidence: UnitInterval
    yaw: float | None = Field(None, description="Estimated turn of the head in degrees; 0 looks at the camera.")


ENDED: Final = "ended"
"""The stage of every job that has ended, whatever its end."""


class Progress(_Record):
    """How far a job has come; of an ended one, what was really done."""

    stage: str = Field("inverting", description="inverting, decoding, upscaling, storing or ended.")
    step: int = Field(0, ge=0)
    total: int = Field(
        0, ge=0, description="Step budget; a job may stop sooner, and then this is how many steps it took."
    )
    distance: float | None = Field(None, description="Objective of the best iterate so far; smaller is more alike.")
    distance_start: float | None = Field(None, description="Objective of the first iterate.")

    @computed_field(description="step / total; 1 once the job has ended, whatever its end.")  # type: ignore[prop-decorator]  # mypy knows no decorated property.
    @property
    def fraction(self) -> UnitInterval:
        """The share of the way to the job's end that lies behind it, 0 to 1; shown, not stored."""
        if self.stage == ENDED:
            return 1.0
        return min(1.0, self.step / self.total) if self.total else 0.0


class JobReport(_Record):
    """What came out, in numbers; only a succeeded job has one."""

    distance_start: float | None = None
    distance_end: float | None = None
    steps: int = 0
    stop_reason: str = Field("", description="Why the search stopped; `restyled` or `one_pass` where there was none.")
    start: str | None = Field(
        None, description="Where the search began: at the `mean` face, or at an `encoder`'s guess; null for a restyle."
    )
    method: str | None = Field(
        None, description="How the style draws: reverse-generation, gans-n-roses or swapping-autoencoder."
    )
    seed: Seed | None = Field(None, description="Of the style that was drawn in one pass; null where none was used.")
    reference: bool = Field(default=False, description="Whether a reference gave the style or texture.")
    models: dict[str, str] = Field(
        default_factory=dict, description="Role (g_ori, g_fin, ...; in one pass the method) to model id."
    )
    warnings: tuple[str, ...] = Field(default_factory=tuple)


class Failure(_Record):
    """Why a job failed or expired: a stable code of `nigaoe_core.errors` and a sentence without personal data."""

    code: str = Field(description="Stable; see the table of codes.")
    message: str


class Lease(_Record):
    """A worker's right to write to a running job until ``deadline``, unless renewed."""

    worker: str
    token: int = Field(ge=1, description="Fencing token: grows with every claim of the job, never repeats.")
    deadline: UnixTime


class Job(_Record):
    """One conversion of one face. ``version`` grows with every change that its owner can see."""

    format: Literal[1] = FORMAT
    id: str
    tenant: str = ANONYMOUS
    folder: str = Field(description="Prefix of all the job's blobs: tenant/yyyymmdd/id, without a closing slash.")
    kind: JobKind = JobKind.CONVERT
    state: JobState = JobState.QUEUED
    version: int = 1
    options: JobOptions = JobOptions()
    parent_id: str | None = Field(None, description="The job whose latent a restyle decodes.")
    batch_id: str | None = Field(None, description="Jobs of one request with several photos share it.")

    created_at: UnixTime = Field(0.0, description="Stamped by the store at submission, like queued_at, deadline_at.")
    queued_at: UnixTime = Field(0.0, description="When this attempt began to wait.")
    started_at: UnixTime | None = Field(None, description="When this attempt was claimed.")
    ended_at: UnixTime | None = None
    deadline_at: UnixTime = Field(0.0, description="Unfinished by then, the job expires.")
    expires_at: UnixTime | None = Field(None, description="When an ended job and all its blobs are erased.")

    attempt: int = Field(1, ge=1, description="Grows whenever the job is queued again; the wake-up message names it.")
    losses: int = Field(0, ge=0, description="How many workers vanished, or lost their device, while they ran the job.")
    fencing_token: int = Field(0, ge=0, description="The last token given out.")
    lease: Lease | None = Field(None, description="Set exactly while the job runs.")
    cancel_requested: bool = False

    progress: Progress | None = None
    timings: dict[str, Seconds] = Field(default_factory=dict, description="Seconds by stage.")
    faces: tuple[FoundFace, ...] = ()
    blobs: dict[str, str] = Field(
        default_factory=dict, description="Blob name (see `nigaoe_core.store.blob_store`) to key."
    )
    report: JobReport | None = None
    error: Failure | None = None

    @property
    def is_searched(self) -> bool:
        """Whether it takes a slot of a worker's search; a restyle and an instant portrait are drawn in a moment."""
        return self.kind is JobKind.CONVERT and self.options.preset is not Preset.INSTANT

    @property
    def is_suspect(self) -> bool:
        """Whether this job may be what a worker was lost to; its next attempt runs alone on its device."""
        return self.losses > 0

    def to_json(self) -> str:
        """The record as JSON text."""
        return self.model_dump_json(exclude_none=True, exclude_computed_fields=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record back.

        Raises:
            UnreadableJob: The text is damaged, or a newer Nigaoe wrote something into a known field that this one does
                not know (another format, kind or preset).
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise UnreadableJob(
                "This job's record cannot be read by the version of Nigaoe that runs here; it can still be deleted.",
            ) from error


class Outcome(_Record):
    """What a worker hands in with a success."""

    blobs: dict[str, str] = Field(
        description="Blob name to key, merged into the job's; stored already, or made on request."
    )
    report: JobReport = JobReport()
    timings: dict[str, Seconds] = Field(default_factory=dict)


def new_job(
    options: JobOptions,
    *,
    tenant: str = ANONYMOUS,
    kind: JobKind = JobKind.CONVERT,
    parent_id: str | None = None,
    batch_id: str | None = None,
    faces: tuple[FoundFace, ...] = (),
) -> Job:
    """Make a job that no store knows yet; its blobs go below ``job.folder`` before it is submitted.

    The id is a version 4 UUID: 122 random bits, so that nobody guesses another's.
    """
    job_id = str(uuid.uuid4())
    return Job(
        id=job_id,
        tenant=tenant,
        folder=new_folder(tenant, job_id),
        kind=kind,
        options=options,
        parent_id=parent_id,
        batch_id=batch_id,
        faces=faces,
    )

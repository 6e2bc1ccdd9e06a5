"""The public JSON that the API answers with; what it accepts is in `nigaoe_api.request_schemas`.

Views of a job are made from the stored record (`nigaoe_core.jobs.Job`) by `nigaoe_api.job_views`; the record itself is
never shown. Every error is ``application/problem+json``: `Problem`. Times are RFC 3339 in UTC; boxes and points are
pixels of the upright photo.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nigaoe_core.jobs import Failure, FoundFace, JobKind, JobOptions, JobReport, JobState, Progress
from nigaoe_core.style_methods import StyleMethod
from nigaoe_faces.align import AlignmentTemplate

Seconds = Annotated[float, Field(ge=0)]


class _View(BaseModel):
    """Something that the API shows; every field is always there, null where it has no value.

    Listed last among the parents of a view of a stored record, it replaces the record's configuration: what a newer
    Nigaoe has stored beside the known fields is not shown.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", from_attributes=True, json_schema_serialization_defaults_required=True
    )


class OptionsView(JobOptions, _View):
    """The options that a job runs with."""

    webhook_url: str | None = Field(None, exclude=True)


class FaceView(FoundFace, _View):
    """A found face."""

    index: int = Field(description="By size; 0 is the largest.")


class ChoosableFace(FaceView):
    """A found face that ``POST /convert`` can be told to take."""

    token: str = Field(description="Pass it as `face`, together with the same photo, within a day.")


class FacesView(_View):
    """The faces in a photo, largest first."""

    width: int = Field(description="Width of the upright photo in pixels.")
    height: int
    faces: list[ChoosableFace]
    photo_token: str | None = Field(
        None, description="Pass it to `POST /convert` instead of the photo; null unless the photo was kept."
    )
    photo_expires_at: datetime | None = Field(
        None, description="When a kept photo is erased at the latest; a job that is made from it ends it sooner."
    )


class ProgressView(Progress, _View):
    """How far a job has come; of an ended one, what was really done."""


class ReportView(JobReport, _View):
    """What came out, in numbers."""


class FailureView(Failure, _View):
    """Why a job failed or expired."""

    title: str


class JobLinks(_View):
    """Addresses that belong to a job; null for what was not made or is not possible (now)."""

    self: str
    events: str
    result: str | None = None
    result_png: str | None = None
    result_webp: str | None = None
    compare: str | None = None
    animation: str | None = None
    pasted: str | None = None
    latent: str | None = None
    restyle: str | None = Field(None, description="POST here for another style, degree, truncation, colours or seed.")
    parent: str | None = None
    batch: str | None = None


class JobView(_View):
    """A job: one conversion of one face."""

    id: str
    kind: JobKind
    state: JobState
    version: int = Field(description="Grows with every change.")
    attempt: int = Field(description="Above 1: a worker vanished or was shut down and the job was queued again.")
    cancel_requested: bool
    queue_position: int | None = Field(description="How many jobs run before this one; null unless it is queued.")
    seconds_left: Seconds | None = Field(description="Estimate from measured rates; null while nothing is known.")
    progress: ProgressView | None
    options: OptionsView
    faces: list[FaceView] = Field(description="Faces in the photo, largest first.")
    face_index: int | None = Field(description="Which of `faces` is converted.")
    timings: dict[str, Seconds] = Field(description="Seconds by stage.")
    report: ReportView | None = Field(description="Only of a succeeded job.")
    error: FailureView | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime
    expires_at: datetime | None = Field(description="When an ended job and all its pictures are erased.")
    parent_id: str | None = Field(description="The job that a restyle was made from.")
    batch_id: str | None
    links: JobLinks


class PageLinks(_View):
    """Where a page of a list lies and where it goes on."""

    self: str
    next: str | None = None


class JobPageView(_View):
    """Some of the caller's jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null: this was the last.")
    links: PageLinks


class ShareView(_View):
    """Where a shared drawing is shown."""

    url: str = Field(description="Address of the page for those who shall see the drawing.")
    expires_at: datetime = Field(description="When the drawing is erased, and the address with it.")


class SharedLook(_View):
    """How a shared drawing was drawn."""

    style: str
    degree: float
    truncation: float
    colours: float


class SharedLinks(_View):
    """Addresses that belong to a shared drawing, with the signature in them; null for what was not made."""

    self: str
    result: str | None
    result_png: str | None
    result_webp: str | None


class SharedJobView(_View):
    """A drawing as it is shown to people who have its link: nothing of the photo."""

    id: str
    kind: JobKind
    options: SharedLook
    created_at: datetime
    expires_at: datetime
    links: SharedLinks


class BatchLinks(_View):
    """Where a batch lies."""

    self: str


class BatchView(_View):
    """The jobs of one request with several photos, in the order of the photos; deleted ones are left out."""

    id: str
    done: bool = Field(description="Whether every job has ended.")
    states: dict[JobState, int]
    jobs: list[JobView]
    links: BatchLinks


class StateEvent(_View):
    """Data of a ``state`` event."""

    state: JobState
    attempt: int
    version: int
    cancel_requested: bool = False
    error: dict[str, str] | None = None


class PreviewEvent(_View):
    """Data of a ``preview`` event."""

    step: int
    content_type: str
    image: str = Field(description="What the search has found so far, in base64.")
    drawing: str | None = Field(
        None,
        description="What the style makes of it, in base64 and without the person's colours; absent where the "
        "search itself goes through the style, or nobody had watched yet.",
    )


class WebhookEvent(_View):
    """What a webhook gets when a job has ended."""

    type: Literal["job.succeeded", "job.failed", "job.cancelled", "job.expired"] = Field(
        description="`job.` and the state."
    )
    timestamp: datetime = Field(description="When the job ended.")
    data: JobView


class WebhookTestEvent(_View):
    """What `POST /webhooks/test` sends."""

    type: Literal["test"] = "test"
    timestamp: datetime
    data: dict[str, str]


class WebhookTestView(_View):
    """How an address took a test event."""

    delivered: bool = Field(description="Whether it answered 2xx: only then is a webhook delivered.")
    status: int | None = Field(description="What it answered; null if there was no answer.")
    message_id: str = Field(description="The header `webhook-id` that was sent.")
    seconds: Seconds = Field(description="How long it took.")
    detail: str = Field(description="A sentence that tells what to do.")


class StyleSample(_View):
    """A photo and what this style makes of it."""

    title: str
    before: str | None = Field(None, description="Address of the photo's crop.")
    after: str = Field(description="Address of the picture.")


class StyleView(_View):
    """An installed style."""

    name: str
    title: str
    description: str
    resolution: int = Field(description="Side of the generator's pictures, before upscaling.")
    ready: bool = Field(description="Whether a running worker serves it now.")
    default: bool = Field(description="Whether photos are drawn in it that name no style.")
    method: StyleMethod = Field(
        description="How it draws. All but `reverse-generation` draw in one pass: no search, no previews, no latent."
    )
    options: list[str] = Field(
        description="Options of `POST /convert` that it takes, of those that not every style takes; others are refused "
        "unless they have their default. `reference` is the anime picture whose style or texture is taken over."
    )
    needs_reference: bool = Field(description="Whether it draws nothing without a `reference`.")
    truncation: float | None = Field(
        description="truncation_psi of photos that name none; null where there is no latent."
    )
    licence: str | None = None
    alignment: AlignmentTemplate | None = Field(
        None, description="Where the landmarks of a face stand in its pictures; null if its generator is damaged."
    )
    samples: list[StyleSample] = Field(default_factory=list)


class StylesView(_View):
    """The installed styles."""

    default: str | None = Field(description="The style of photos that name none; null where none is installed.")
    styles: list[StyleView] = Field(description="The best first.")


class LiveView(_View):
    """The process answers."""

    status: Literal["live"] = "live"


class ReadyView(_View):
    """Whether a photo sent now would be converted, and what is missing if not."""

    ready: bool
    checks: dict[str, str] = Field(description="`ok` or a sentence, by part: job_store, blob_store, faces, workers.")
    workers: int = Field(description="Workers that are ready.")
    quarantined: int = Field(
        0,
        description="Jobs whose record this version cannot read; they are in nobody's way (see docs/operations.md).",
    )


class VersionView(_View):
    """What runs here."""

    name: Literal["nigaoe"] = "nigaoe"
    version: str
    api: Literal[1] = 1


class FieldFault(_View):
    """One thing that is wrong with a request."""

    where: str = Field(description="Such as `query.limit` or `body.degree`.")
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). Some codes have more members, such as `faces` of `multiple_faces`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field(description="Address of the code's description.")
    title: str
    status: int
    detail: str = Field(description="A sentence that tells what to do.")
    code: str = Field(description="Stable name of the error, for programs.")
    instance: str | None = Field(None, description="The request's path.")
    request_id: str | None = Field(None, description="Also in the header X-Request-ID; quote it when asking for help.")
    retry_after: int | None = Field(None, description="Seconds to wait before trying again.")
    errors: list[FieldFault] | None = Field(None, description="Of `invalid_request`: everything that is wrong.")

"""The JSON and form fields that the API accepts."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nigaoe_api.outbound import URI_CHARACTER
from nigaoe_core.jobs import (
    DEFAULT_COLOURS,
    Colours,
    Degree,
    Method,
    PasteBack,
    Preset,
    Priority,
    Seed,
    StyleName,
    UnitInterval,
)

MAX_WAIT_SECONDS: Final = 60.0
"""The longest that ``Prefer: wait`` and ``?wait=`` are honoured."""

_HTTPS: Final = (
    r"^https://([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}(:[1-9][0-9]{0,3})?"
    rf"([/?]{URI_CHARACTER}*)?(#{URI_CHARACTER}*)?$"
)
# Described, not checked, here: `nigaoe_api.outbound` judges addresses, and development allows more.
Address = Annotated[str, Field(max_length=2048, json_schema_extra={"format": "uri", "pattern": _HTTPS})]
FaceChoice = Annotated[str, Field(min_length=1, max_length=2048)] | Annotated[int, Field(ge=0)]


class _Request(BaseModel):
    """Something that the API accepts; a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class ConvertOptions(_Request):
    """How a photo is converted: the fields beside ``photo`` in a form, or beside ``photo_url`` in JSON."""

    style: StyleName | None = Field(None, description="An installed style; by default the first of `GET /styles`.")
    method: Method = Field(
        Method.CROSS,
        description="Where a search looks. cross: invert as a person; direct: invert as anime; best: both.",
    )
    preset: Preset = Field(
        Preset.STANDARD,
        description="How much work the conversion may cost: instant draws what the encoder guesses, in one pass and "
        "with the method cross only; draft, standard and best search, ever longer.",
    )
    degree: Degree = 1.0
    truncation: UnitInterval | None = Field(
        None, description="truncation_psi: 1 keeps the latent, 0 is the mean face; by default what suits the style."
    )
    colours: Colours = DEFAULT_COLOURS
    seed: Seed = 0
    face: FaceChoice = Field(
        "largest",
        description="`largest`; `only` (several faces are then an error 409 that lists them); an index by size, "
        "0 is the largest; or a `token` from `POST /faces` for the same photo.",
    )
    paste_back: PasteBack = False
    webhook_url: Address | None = Field(None, description="https address that is called once when the job ends.")
    priority: Priority = 5

    @model_validator(mode="after")
    def _searches_where_it_must(self) -> Self:
        if self.preset is Preset.INSTANT and self.method is not Method.CROSS:
            raise ValueError(f"the preset instant searches nothing, and the method {self.method.value} does")
        return self


class PhotoAddress(_Request):
    """Where the server fetches a photo by itself, where the operator allows it."""

    photo_url: Address = Field(description="https address of the photo.")


class ConvertByUrl(ConvertOptions, PhotoAddress):
    """A conversion of a photo that the server fetches by itself, where the operator allows it."""


class ConvertByToken(ConvertOptions):
    """A conversion of a photo that ``POST /faces`` kept."""

    photo_token: str = Field(min_length=1, max_length=256, description="From `POST /faces` with `keep`.")


class FacesOptions(_Request):
    """What is asked for beside the faces."""

    keep: bool = Field(
        default=False, description="Also keep the photo for some minutes, so that `POST /convert` needs only its token."
    )


class FacesByUrl(FacesOptions, PhotoAddress):
    """A photo that the server fetches by itself, where the operator allows it."""


class WebhookTestRequest(_Request):
    """Where a test event is sent."""

    url: Address = Field(description="https address, as `webhook_url` of a conversion would be.")


class RestyleRequest(_Request):
    """What shall differ from the job whose latent is decoded again; what is left out stays as it was."""

    style: StyleName | None = None
    degree: UnitInterval | None = None
    truncation: UnitInterval | None = None
    colours: UnitInterval | None = None
    seed: Seed | None = None
    webhook_url: Address | None = None
    priority: Priority | None = None

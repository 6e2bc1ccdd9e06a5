"""The job record: its JSON, its states, and what it refuses."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nigaoe_core.errors import UnreadableJob
from nigaoe_core.jobs import (
    TRANSITIONS,
    Failure,
    FoundFace,
    Job,
    JobOptions,
    JobReport,
    JobState,
    Lease,
    Method,
    Preset,
    Progress,
    new_job,
)

TEXT = st.text(max_size=20)
SECONDS = st.floats(0, 4e9, allow_subnormal=False)  # Torch's threads flush them, as do ours.
UNIT = st.floats(0, 1, allow_subnormal=False)
FACES = st.builds(
    FoundFace, box=st.tuples(SECONDS, SECONDS, SECONDS, SECONDS), landmarks=st.just(((1.0, 2.0),) * 5), confidence=UNIT
)
OPTIONS = st.builds(
    JobOptions,
    style=st.text(min_size=1, max_size=20),
    method=st.sampled_from(Method),
    preset=st.sampled_from(Preset),
    degree=UNIT,
    seed=st.integers(0, 2**32 - 1),
    face=st.sampled_from(["largest", "only", 0, 7]),
    priority=st.integers(0, 9),
    webhook_url=st.none() | TEXT,
)
JOBS = st.builds(
    Job,
    id=st.uuids().map(str),
    folder=TEXT,
    state=st.sampled_from(JobState),
    options=OPTIONS,
    created_at=SECONDS,
    lease=st.none() | st.builds(Lease, worker=TEXT, token=st.integers(1, 9), deadline=SECONDS),
    progress=st.none() | st.builds(Progress, step=st.integers(0, 9), distance=st.none() | SECONDS),
    timings=st.dictionaries(TEXT, SECONDS, max_size=3),
    faces=st.lists(FACES, max_size=2).map(tuple),
    blobs=st.dictionaries(TEXT, TEXT, max_size=3),
    report=st.none() | st.builds(JobReport, steps=st.integers(0, 9), stop_reason=TEXT),
    error=st.none() | st.builds(Failure, code=TEXT, message=TEXT),
)


@given(JOBS)
def test_json_and_back_is_the_same(job: Job) -> None:
    """Whatever is in a record survives storage bit for bit."""
    assert Job.from_json(job.to_json()) == job


def test_the_json_says_its_format() -> None:
    """What a newer Nigaoe wrote into a known field is refused instead of being misread; so is damage."""
    record = json.loads(new_job(JobOptions()).to_json())
    assert record["format"] == 1
    for wrong in (record | {"format": 2}, record | {"state": "thinking"}):
        with pytest.raises(UnreadableJob):
            Job.from_json(json.dumps(wrong))
    with pytest.raises(UnreadableJob):
        Job.from_json(b'{"format":1,')


def test_unknown_fields_are_kept() -> None:
    """A newer Nigaoe may add fields, also inside of parts; they are there when the record is written back."""
    record = json.loads(new_job(JobOptions()).to_json()) | {"later": [1]}
    record["options"]["also"] = {"later": 2}
    changed = Job.from_json(json.dumps(record)).model_copy(update={"version": 2})
    assert json.loads(changed.to_json()) == record | {"version": 2}


def test_what_follows_from_the_record_is_not_stored() -> None:
    """The fraction of a job's way is computed from its steps, whenever it is shown."""
    job = new_job(JobOptions()).model_copy(update={"progress": Progress(step=3, total=4)})
    assert "fraction" not in json.loads(job.to_json())["progress"]
    assert job.progress is not None
    assert job.progress.model_dump()["fraction"] == 0.75


def test_ends_are_ends() -> None:
    """Four states have no successor; every state is in the table."""
    assert set(TRANSITIONS) == set(JobState)
    assert {state for state in JobState if state.is_end} == set(JobState) - {JobState.QUEUED, JobState.RUNNING}


def test_ids_cannot_be_guessed() -> None:
    """A version 4 UUID has 122 random bits; blobs lie below it."""
    job = new_job(JobOptions(), tenant="ann")
    assert uuid.UUID(job.id).version == 4
    assert job.folder.startswith("ann/")
    assert job.folder.endswith(job.id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"degree": 1.1},
        {"truncation": -0.1},
        {"colours": 1.5},
        {"seed": -1},
        {"face": -1},
        {"face": "ugliest"},
        {"style": ""},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Each option has a range."""
    with pytest.raises(ValidationError):
        JobOptions.model_validate(wrong)


def test_a_face_may_come_as_text() -> None:
    """Forms send everything as text."""
    assert JobOptions.model_validate({"face": "2"}).face == 2
    assert JobOptions.model_validate({"face": "only"}).face == "only"


def test_records_do_not_change() -> None:
    """A change is a new record."""
    with pytest.raises(ValidationError):
        new_job(JobOptions()).state = JobState.RUNNING

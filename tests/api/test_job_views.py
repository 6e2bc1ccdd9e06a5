"""What the API shows of a stored record."""

import json

from nigaoe_api.job_views import JobViews
from nigaoe_api.schemas import FaceView, FailureView, OptionsView, ProgressView, ReportView
from nigaoe_core.jobs import Failure, FoundFace, Job, JobOptions, JobReport, JobState, Progress, new_job

FACE = FoundFace(box=(0, 0, 9, 9), landmarks=((1.0, 2.0),) * 5, confidence=0.5)


def test_nothing_is_shown_that_this_version_does_not_know() -> None:
    """Neither what a newer Nigaoe has stored beside the known fields, nor the webhook's address."""
    job = new_job(JobOptions(webhook_url="https://example.org/secret"), faces=(FACE,)).model_copy(
        update={
            "state": JobState.FAILED,
            "progress": Progress(stage="ended"),
            "report": JobReport(),
            "error": Failure(code="no_face", message="Send another."),
        }
    )
    record = json.loads(job.to_json())
    later = {"later": "secret", "index": 7, "title": "secret", "fraction": 0.5}
    for part in (record["options"], record["faces"][0], record["progress"], record["report"], record["error"]):
        part.update(later)
    view = JobViews(None, "").one(Job.from_json(json.dumps(record)))  # type: ignore[arg-type]  # Of an ended job nothing is asked.
    shown = view.model_dump(mode="json")
    assert "secret" not in json.dumps(shown)
    assert set(shown["options"]) == set(OptionsView.model_fields) - {"webhook_url"}
    assert set(shown["faces"][0]) == set(FaceView.model_fields)
    assert set(shown["report"]) == set(ReportView.model_fields)
    assert set(shown["error"]) == set(FailureView.model_fields)
    assert set(shown["progress"]) == {*ProgressView.model_fields, "fraction"}
    assert (shown["faces"][0]["index"], shown["error"]["title"], shown["progress"]["fraction"]) == (
        0,
        "No face was found",
        1,
    )

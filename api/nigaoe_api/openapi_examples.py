"""Examples of the OpenAPI document: what is really sent and answered, checked against the schemas by a test."""

from typing import Any, Final

_JOB_ID: Final = "0b342dc7-ca88-4895-88ff-4690569c425c"
_MESSAGE_ID: Final = "6b9f2f0e-6c53-4a0e-9d53-0a3f6f4bd1c7"
_BASE: Final = "https://nigaoe.example"
_SIGNATURE: Final = "kW8x0m2bq1nJ5rTt9vYc3A"
_FACE: Final[dict[str, Any]] = {
    "index": 0,
    "box": [180.6, 61.6, 267.3, 171.6],
    "landmarks": [[206.2, 105.4], [246.1, 103.9], [227.5, 127.3], [210.8, 143.9], [245.2, 142.6]],
    "confidence": 0.9998,
    "yaw": -3.1,
}
_CHOICE: Final = "face_AAAAAGkmZ8AAAJxS0c2hXyNnW1c0b0d3dWVnaGVyZXRoYXQ"

JOB: Final[dict[str, Any]] = {
    "id": _JOB_ID,
    "kind": "convert",
    "state": "running",
    "version": 4,
    "attempt": 1,
    "cancel_requested": False,
    "queue_position": None,
    "seconds_left": 1.4,
    "progress": {
        "stage": "inverting",
        "step": 12,
        "total": 30,
        "fraction": 0.4,
        "distance": 0.412,
        "distance_start": 0.803,
    },
    "options": {
        "style": "anime",
        "method": "cross",
        "preset": "standard",
        "degree": 1.0,
        "truncation": 0.7,
        "colours": 1.0,
        "seed": 0,
        "face": "largest",
        "paste_back": False,
        "priority": 5,
    },
    "faces": [_FACE],
    "face_index": 0,
    "timings": {"preparing": 0.02},
    "report": None,
    "error": None,
    "created_at": "2026-11-27T12:00:00Z",
    "started_at": "2026-11-27T12:00:00.100000Z",
    "ended_at": None,
    "deadline_at": "2026-11-27T12:15:00Z",
    "expires_at": None,
    "parent_id": None,
    "batch_id": None,
    "links": {
        "self": f"{_BASE}/jobs/{_JOB_ID}",
        "events": f"{_BASE}/jobs/{_JOB_ID}/events",
        "result": None,
        "result_png": None,
        "result_webp": None,
        "compare": None,
        "animation": None,
        "pasted": None,
        "latent": None,
        "restyle": None,
        "parent": None,
        "batch": None,
    },
}

ENDED_JOB: Final[dict[str, Any]] = JOB | {
    "state": "succeeded",
    "version": 9,
    "seconds_left": None,
    "progress": JOB["progress"] | {"stage": "ended", "step": 30, "fraction": 1.0, "distance": 0.331},
    "timings": {"preparing": 0.02, "inverting": 1.61, "decoding": 0.32, "storing": 0.05},
    "report": {
        "distance_start": 0.803,
        "distance_end": 0.331,
        "steps": 30,
        "stop_reason": "budget",
        "start": "encoder",
        "method": "reverse-generation",
        "seed": None,
        "reference": False,
        "models": {"g_ori": "faces-64", "g_fin": "anime-64"},
        "warnings": [],
    },
    "ended_at": "2026-11-27T12:00:02.100000Z",
    "expires_at": "2026-11-28T12:00:02.100000Z",
    "links": JOB["links"]
    | {
        "result": f"{_BASE}/jobs/{_JOB_ID}/result",
        "result_png": f"{_BASE}/jobs/{_JOB_ID}/result.png",
        "result_webp": f"{_BASE}/jobs/{_JOB_ID}/result.webp",
        "compare": f"{_BASE}/jobs/{_JOB_ID}/compare",
        "animation": f"{_BASE}/jobs/{_JOB_ID}/animation",
        "latent": f"{_BASE}/jobs/{_JOB_ID}/latent",
        "restyle": f"{_BASE}/jobs/{_JOB_ID}/restyle",
    },
}

SCHEMA_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "JobView": ENDED_JOB,
    "FacesView": {
        "width": 512,
        "height": 512,
        "faces": [_FACE | {"token": _CHOICE}],
        "photo_token": None,
        "photo_expires_at": None,
    },
    "ConvertByUrl": {"photo_url": "https://example.org/portrait.jpg", "style": "anime", "degree": 0.9},
    "ConvertByToken": {"photo_token": "photo_ATUo7wAAAABpKG0gVZ0", "face": _CHOICE, "style": "anime"},
    "FacesByUrl": {"photo_url": "https://example.org/portrait.jpg"},
    "RestyleRequest": {"degree": 0.5, "colours": 0.8},
    "WebhookTestRequest": {"url": "https://example.org/nigaoe-webhook"},
    "WebhookTestView": {
        "delivered": True,
        "status": 204,
        "message_id": f"msg_{_MESSAGE_ID}",
        "seconds": 0.184,
        "detail": "It works: the address took the event.",
    },
    "WebhookEvent": {"type": "job.succeeded", "timestamp": "2026-11-27T12:00:02.100000Z", "data": ENDED_JOB},
    "WebhookTestEvent": {
        "type": "test",
        "timestamp": "2026-11-27T12:00:00Z",
        "data": {"message": "A test of your webhook by Nigaoe."},
    },
    "ShareView": {"url": f"{_BASE}/#{_JOB_ID}.{_SIGNATURE}", "expires_at": "2026-11-28T12:00:02.100000Z"},
    "StateEvent": {"state": "running", "attempt": 1, "version": 2, "cancel_requested": False, "error": None},
    "Problem": {
        "type": "https://github.com/nigaoe/nigaoe/blob/main/docs/api.md#no_face",
        "title": "No face was found",
        "status": 422,
        "detail": "No face was found: send a photo in which a face is seen from the front and not too small.",
        "code": "no_face",
        "instance": "/convert",
        "request_id": "0b342dc7ca88489588ff4690569c425c",
    },
}
"""By the schema's name in the document."""

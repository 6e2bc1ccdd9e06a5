"""When Redis goes away and comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.services import connect

if TYPE_CHECKING:
    from conftest import Api


@pytest.mark.slow
def test_a_service_outlives_its_redis(
    tmp_path: Path,
    start: Callable[..., "Api"],
    convert: Callable[..., httpx.Response],
    eventually: Callable[..., Any],
) -> None:
    """Alive all the time, 503 with advice meanwhile, and as before afterwards, with every job that was accepted."""
    with EmbeddedRedis(tmp_path / "valkey") as server:
        api = start(connect, redis_url=server.url, redis_patience_seconds=0.2)
        client = api.client()
        job = convert(client).json()
        server.stop()
        refused = client.get(f"/jobs/{job['id']}")
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert convert(client).json()["code"] == "store_unavailable"
        assert client.get("/livez").status_code == 200
        assert client.get("/styles").status_code == 200
        assert "nigaoe_job_store_up 0.0" in client.get("/metrics").text
        eventually(lambda: client.get("/readyz").json()["checks"]["job_store"] != "ok")
        server.start()
        assert eventually(lambda: client.get(f"/jobs/{job['id']}").status_code == 200)
        assert eventually(lambda: client.get("/readyz").json()["checks"]["job_store"] == "ok")
        assert convert(client).status_code == 202

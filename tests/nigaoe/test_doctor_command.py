"""`nigaoe doctor` on the shared stores."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from nigaoe.cli import app
from nigaoe.embedded_redis import EmbeddedRedis
from nigaoe_core.jobs import JobOptions, new_job
from nigaoe_core.services import open_services
from nigaoe_core.settings import Settings


def test_it_names_jobs_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in nobody's way, so that an operator would never hear of them."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NIGAOE_DATA_DIR", str(tmp_path / "data"))
    with EmbeddedRedis(tmp_path / "valkey") as valkey:
        monkeypatch.setenv("NIGAOE_REDIS_URL", valkey.url)
        whole = CliRunner().invoke(app, ["doctor", "--quick"])
        assert "answers" in whole.output
        with open_services(Settings()) as services:
            (job,) = services.store.submit([new_job(JobOptions())]).jobs
            link = services.store.link
            link.call(lambda client: client.hset(link.key("job", job.id), "record", "torn"))
            services.store.list_jobs("public")
        told = CliRunner().invoke(app, ["doctor", "--quick"])
        assert (told.exit_code, job.id in told.output) == (whole.exit_code, True)

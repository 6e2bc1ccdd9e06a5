"""The container files, as far as they can be judged without an engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nigaoe_core.settings import PREFIX, Settings

COMPOSE = ("docker-compose.yml", "docker-compose.gpu.yml")
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
SECRETS = {"S3_SECRET_KEY": "not-a-secret", "NIGAOE_SIGNING_SECRET": "not-a-secret-either"}


def tool(name: str, *arguments: str, repository: Path) -> subprocess.CompletedProcess[str]:
    beside = Path(sys.executable).with_name(name)
    return subprocess.run([str(beside), *arguments], cwd=repository, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def compose(repository: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((repository / COMPOSE[0]).read_text())
    return document


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(repository: Path, name: str) -> None:
    """Neither about Docker nor about the shell in it."""
    judged = tool("hadolint", name, repository=repository)
    assert (judged.returncode, judged.stdout) == (0, "")


def test_compose_files_fit_the_specification(repository: Path) -> None:
    """By its own JSON schema."""
    judged = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE, repository=repository)
    assert judged.returncode == 0, judged.stdout


def test_docker_compose_understands_both_files(repository: Path) -> None:
    """Together and with all variables filled in."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("needs the docker command with its compose plugin")
    files = [argument for name in COMPOSE for argument in ("-f", name)]
    judged = subprocess.run(
        [docker, "compose", *files, "config", "--quiet"], cwd=repository, env=SECRETS, capture_output=True, check=False
    )
    assert judged.returncode == 0, judged.stderr


def test_every_service_is_hardened_and_watched(compose: dict[str, Any], repository: Path) -> None:
    """No root, no writable system, no capability, a limit on memory; and something says whether it is well."""
    dockerfile = (repository / "Dockerfile").read_text()
    for name, service in compose["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "memory" in service["deploy"]["resources"]["limits"]
        build = service.get("build", {})
        image = build.get("dockerfile_inline", dockerfile if "target" in build else "")
        assert re.search(r"^USER [1-9]", image, re.MULTILINE) or not service["user"].startswith("0"), name
        assert "healthcheck" in service or "HEALTHCHECK" in image, name


def test_a_worker_may_finish_its_job_before_it_is_killed(compose: dict[str, Any]) -> None:
    """The grace period is above the job's deadline and the time for draining."""
    worker = compose["services"]["worker"]
    minutes = int(worker["stop_grace_period"].removesuffix("m"))
    for name in ("NIGAOE_JOB_DEADLINE_SECONDS", "NIGAOE_DRAIN_SECONDS"):
        default = re.fullmatch(rf"\$\{{{name}:-(\d+)\}}", worker["environment"][name])
        assert default is not None
        assert minutes * 60 > int(default[1])


@pytest.mark.parametrize("name", COMPOSE + DOCKERFILES)
def test_only_real_settings_are_set(repository: Path, name: str) -> None:
    """A misspelt variable would be silently ignored."""
    text = (repository / name).read_text()
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} | {"NIGAOE_GPU"}
    assert set(re.findall(r"NIGAOE_[A-Z_0-9]+", text)) <= known


def test_the_api_image_has_no_cuda(repository: Path) -> None:
    """Its PyTorch comes from the index without CUDA libraries."""
    for name in DOCKERFILES:
        stages = re.split(r"^FROM ", (repository / name).read_text(), flags=re.MULTILINE)
        (build,) = [stage for stage in stages if " AS build-api" in stage.splitlines()[0]]
        base = next(stage for stage in stages if stage.splitlines()[0].endswith(" AS build"))
        assert "download.pytorch.org/whl/cpu" in build + base
        assert ",s3]" in build

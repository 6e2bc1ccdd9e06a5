"""A real S3 server (SeaweedFS) that a story may kill and start again."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Self

ACCESS_KEY, SECRET_KEY = "nigaoe-test", "nigaoe-test-secret"
START_SECONDS = 120.0


class S3Server:
    """SeaweedFS as one process on loopback: master, volume, filer and S3 gateway.

    Args:
        folder: For its data, its log and the credentials.
        makes_buckets: Whether the first upload makes its bucket, as the server does unless configured otherwise.
    """

    def __init__(self, folder: Path, *, makes_buckets: bool = False) -> None:
        self.folder = folder
        self.makes_buckets = makes_buckets
        self.master, self.volume, self.filer, self.s3, *self.grpc = free_ports(8)
        self.url = f"http://127.0.0.1:{self.s3}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def credentials(self) -> dict[str, str]:
        """The settings that lead to it, as keywords of `nigaoe_core.settings.Settings`."""
        return {"s3_endpoint_url": self.url, "s3_access_key_id": ACCESS_KEY, "s3_secret_access_key": SECRET_KEY}

    def start(self) -> Self:
        """Start it, or start it again with all that it was given."""
        identity = {
            "name": "nigaoe",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen([str(weed()), *self._arguments()], stdout=log, stderr=log)
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _arguments(self) -> list[str]:
        grpc = iter(self.grpc)
        return [
            "server", "-s3", "-filer", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.folder}",
            f"-master.port={self.master}", f"-master.port.grpc={next(grpc)}", "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64", "-volume.max=100", f"-volume.port={self.volume}",
            f"-volume.port.grpc={next(grpc)}", f"-filer.port={self.filer}", f"-filer.port.grpc={next(grpc)}",
            f"-s3.port={self.s3}", f"-s3.port.grpc={next(grpc)}", f"-s3.config={self.folder / 's3.json'}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
            f"-s3.autoCreateBucket={str(self.makes_buckets).lower()}",
        ]  # fmt: skip

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            assert self.process is not None
            assert self.process.poll() is None, self._end_of_log()
            if answers(f"{self.url}/healthz"):
                return
            time.sleep(0.1)
        raise AssertionError(self._end_of_log())

    def _end_of_log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, below those that the kernel hands out to clients."""
    found: list[int] = []
    for port in range(20_000 + uuid.uuid4().int % 8_000, 32_000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def weed() -> Path:
    """The program: beside this Python, or in the path."""
    beside = Path(sys.executable).parent / "weed"
    return beside if beside.exists() else Path(shutil.which("weed") or "weed")


def answers(url: str) -> bool:
    """Whether a server answers there, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True

"""A real S3 server for tests, moto's, in a process of its own: its web framework warns, which tests take for errors."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from urllib.parse import quote

import fsspec  # type: ignore[import-untyped]
import numpy as np
import requests
from PIL import Image

from pt4al_backend.demo.servers import free_port
from tests.support.servers import wait_until

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-secret-key", "AWS_DEFAULT_REGION": "us-east-1"}

OWNER = {"Authorization": f"AWS {ENVIRONMENT['AWS_ACCESS_KEY_ID']}:any"}  # nobody may replace or delete what is another's


class S3Server:
    """An S3 server that takes every request, unless ``refuse`` was called."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}

    def make(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Makes a bucket of these objects; one of that name is emptied first."""
        self.restart()
        requests.put(f"{self.url}/{bucket}", timeout=30).raise_for_status()
        for key, data in objects.items():
            self.put(bucket, key, data)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Uploads an object, or replaces it."""
        requests.put(f"{self.url}/{bucket}/{quote(key)}", data=data, headers=OWNER, timeout=30).raise_for_status()

    def delete(self, bucket: str, key: str) -> None:
        """Deletes an object."""
        requests.delete(f"{self.url}/{bucket}/{quote(key)}", headers=OWNER, timeout=30).raise_for_status()

    def deny(self, bucket: str, prefix: str) -> None:
        """Lets nobody read the objects whose keys begin so; they are listed all the same."""
        rule = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/{prefix}*"}
        policy = {"Version": "2012-10-17", "Statement": [rule]}
        requests.put(f"{self.url}/{bucket}?policy", json=policy, timeout=30).raise_for_status()

    def restart(self) -> None:
        """Forgets all buckets, and takes every request again."""
        requests.post(f"{self.url}/moto-api/reset", timeout=30).raise_for_status()
        self.accept()

    def accept(self) -> None:
        """Takes every request again."""
        self._check_after("inf")

    def refuse(self) -> None:
        """Refuses all keys from now on."""
        self._check_after("0")

    def _check_after(self, requests_taken: str) -> None:
        requests.post(f"{self.url}/moto-api/reset-auth", data=requests_taken, timeout=30).raise_for_status()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Runs one on a free port. Connections to it that fsspec keeps end with it, as the next one has another address."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            server = S3Server(f"http://127.0.0.1:{port}")
            wait_until(lambda: process.poll() is not None or _answers(server.url), 60, "the S3 server answers")
            yield server
        finally:
            process.terminate()
            fsspec.get_filesystem_class("s3").clear_instance_cache()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/moto-api/", timeout=5).ok
    except requests.ConnectionError:
        return False


def picture(seed: int) -> bytes:
    """A small PNG, another one for another seed."""
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

"""Jobs on a Ray cluster: each is a task with the resources that it needs, and waits there until a node has them.

The nodes need this package and the data folder, each under the same path as here: a job names files. What a node does is in
``jobs.run.node``. Ray starts no job again by itself: ``RestartingRunner`` does, and goes on from the checkpoint.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from pt4al_backend.config.server import JOB_STALL_SECONDS, Device
from pt4al_backend.errors import RunnerUnavailable
from pt4al_backend.jobs.failure import Failure
from pt4al_backend.jobs.folder import LOG, job_of
from pt4al_backend.jobs.run.node import STALLED, TICK_SECONDS, follow
from pt4al_backend.jobs.run.restarts import Ended, RestartingRunner, event_of, last_line, stalled
from pt4al_backend.jobs.run.runner import OnTick
from pt4al_backend.progress import Report

#: What Ray would do unasked: send facts on its use, and change which GPUs a task that needs none can see.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

CONNECT_SECONDS = 10.0

_connecting = Lock()


class RayRunner(RestartingRunner):
    """Runs each job as a task of a Ray cluster. Several threads may run jobs at once.

    Args:
        address: of the cluster, as ``ray start`` prints it; "": one of this process's own.
        stall_seconds: without progress after which a job's process is taken to hang; waiting for a node does not count.
    """

    too_often: ClassVar[str] = "Short of memory on the node? Lower minibatch_size or image_size."

    def __init__(self, address: str = "", stall_seconds: float = JOB_STALL_SECONDS) -> None:
        self._address, self._stall_seconds = address, stall_seconds

    def check(self, device: Device) -> str:
        """As ``RestartingRunner`` says; this process joins the cluster, if there is an address of one."""
        if not self._address:
            _installed()
            return "jobs run on a Ray cluster that each worker starts on its host"
        ray = self._connected()
        self._gpus_for(device, ray)
        nodes = sum(bool(each["Alive"]) for each in ray.nodes())
        processors, gpus = (int(ray.cluster_resources().get(name, 0)) for name in ("CPU", "GPU"))
        return f"jobs run on the Ray cluster at {self._address}: nodes {nodes}, processors {processors}, GPUs {gpus}"

    def attempt(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Ended:
        """As ``RestartingRunner`` says.

        Raises:
            RunnerUnavailable: Ray is not installed or not reachable, lacks what the job needs, or a node lacks the job's folder.
        """
        ray = self._connected()
        # nothing is tried again by Ray: a generator's first part would come twice
        task = ray.remote(follow).options(num_cpus=1, num_gpus=self._gpus(ray, folder), max_retries=0, num_returns="streaming")
        output = task.remote(str(folder), self._stall_seconds)
        failure: Failure | None = None
        try:
            while True:
                ready, _ = ray.wait([output], timeout=TICK_SECONDS)
                if not ready:
                    on_tick()
                    continue
                said = ray.get(next(output))
                if said == STALLED:
                    return stalled(self._stall_seconds, folder)
                if not isinstance(said, bytes):
                    return self._ended(said, failure, folder)
                event = event_of(said)
                if isinstance(event, Failure):
                    failure = failure or event
                elif event is not None:
                    on_progress(event)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
            return Ended(was_killed=True, how=f"was killed on its node ({type(error).__name__})")
        except ray.exceptions.RayError as error:
            raise _unavailable(f"The Ray cluster failed ({type(error).__name__}).") from error
        finally:
            with suppress(ray.exceptions.RayError, ValueError):  # it has ended, or the cluster is gone
                ray.cancel(output, force=True)

    def _connected(self) -> Any:
        """The module of Ray, once this process has joined the cluster."""
        ray = _installed()
        with _connecting:
            if not ray.is_initialized():
                options = {"include_dashboard": False} if not self._address else {"address": self._address}
                try:
                    _require_answer(self._address)
                    ray.init(log_to_driver=False, configure_logging=False, **options)
                except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
                    where = f"at {self._address}" if self._address else "on this host"
                    raise _unavailable(f"No Ray cluster answers {where} ({type(error).__name__}).") from error
        return ray

    def _gpus(self, ray: Any, folder: Path) -> int:
        job = job_of(folder)
        return 0 if job is None else self._gpus_for(job.device, ray)

    def _gpus_for(self, device: str, ray: Any) -> int:
        """GPUs that a job wants: one if the cluster has any, unless its device is the CPU."""
        if device == "cpu":
            return 0
        has_any = ray.cluster_resources().get("GPU", 0) >= 1
        if device == "cuda" and not has_any:
            raise RunnerUnavailable(
                "The Ray cluster has no GPU, and PT4AL_DEVICE is cuda.",
                "Add a node with a GPU, or set PT4AL_DEVICE to auto or cpu.",
            )
        return int(has_any)

    def _ended(self, status: int | None, failure: Failure | None, folder: Path) -> Ended:
        if status is None:
            raise _unavailable(f"A node of the Ray cluster does not have the folder {folder}.")
        if failure is not None or status == 0:
            return Ended(failure=failure)
        if status < 0:
            return Ended(was_killed=True, how=f"was killed by signal {-status}")
        log = folder / LOG
        return Ended(how=f"ended with status {status}: {last_line(log.read_text(errors='replace') if log.exists() else '')}")


def _installed() -> Any:
    """The module of Ray."""
    try:
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        import ray
    except ImportError as error:
        raise RunnerUnavailable(
            "PT4AL_RUNNER is ray, which is not installed.",
            "Install it with pip install '.[ray]' here and on all nodes, or set PT4AL_RUNNER=local.",
        ) from error
    return ray


def _require_answer(address: str) -> None:
    """Ray itself waits for minutes for a cluster that is not there, while the project would stand still.

    Raises:
        OSError: nobody listens at HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


def _unavailable(message: str) -> RunnerUnavailable:
    return RunnerUnavailable(
        message,
        "See that PT4AL_RAY_ADDRESS (and RAY_AUTH_TOKEN, if the cluster asks for one) is right, that this host is a node of the "
        "cluster (ray start), and that all nodes have this package and PT4AL_DATA_DIR under the same path. "
        "Or set PT4AL_RUNNER=local.",
    )

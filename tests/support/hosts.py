"""label-studio-ml for tests: where the double of 2.x lies, and what a host serves."""

import os
import sys
from typing import Any

from pt4al_backend.state.store import Store
from tests.support.bodies import predict
from tests.support.rounds import VERSION, open_round, pick
from tests.support.servers import REPOSITORY

PLUGIN = REPOSITORY / "plugin"
DOUBLE = REPOSITORY / "tests" / "support" / "label_studio_ml_2x"
SERVED = [(0, 0.002, VERSION), (1, 0.001, VERSION)]
OURS = ("_wsgi", "model", "pt4al_backend.hosts.label_studio_ml")


def forget() -> None:
    """Makes the next import load label-studio-ml and the plugin again: both keep app and model class in their modules."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "label_studio_ml" or name in OURS:
            del sys.modules[name]


def serve(store: Store) -> None:
    """Publishes a task of the query and a control pick."""
    open_round(store, pick(1, "query", "a", 0.5), pick(2, "control"))


def served(client: Any) -> list[tuple[int, float, str]]:
    """Regions, score and model version that the host answers for both, the control pick first."""
    results = client.post("/predict", json=predict(2, 1)).get_json()["results"]
    return [(len(each["result"]), each["score"], each["model_version"]) for each in results]


def with_release(release: str) -> dict[str, str]:
    """The environment for a process that finds this release."""
    paths = [str(DOUBLE)] if release == "2.x" else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(REPOSITORY)])}

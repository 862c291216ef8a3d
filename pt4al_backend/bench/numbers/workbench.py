"""What the measurements share: a real Label Studio with pictures to label, and the projects that were run on it."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from pt4al_backend.bench.numbers import servers
from pt4al_backend.bench.numbers.life import Life, Site
from pt4al_backend.bench.numbers.pictures import Pictures, picture_server

#: Images that the pretext learner is trained on while one webhook of a series is answered, and more than that.
IMAGES_PER_REQUEST = 40

#: Of which the extra ``encoder`` installs the weights.
ENCODER = "tf_efficientnet_lite0.in1k"
SMALL_QUERY = 20


@dataclass(frozen=True)
class Sizes:
    """How much is measured: a small and a large pool, requests of a series, images of the offline measurements."""

    large: int = 10_000
    small: int = 1_000
    requests: int = 500
    images: int = 2_000


class Workbench:
    """A context that starts what the chosen measurements need, when they need it, and ends all of it."""

    def __init__(self, label_studio: Path, sizes: Sizes) -> None:
        self.sizes = sizes
        self.pictures = Pictures()
        self.command = label_studio
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    @cached_property
    def folder(self) -> Path:
        """Where everything lies that the measurements write."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pt4al-bench-")))

    @cached_property
    def site(self) -> Site:
        """A running Label Studio, and a server of pictures."""
        lead = self._stack.enter_context(servers.label_studio(self.command, self.folder / "label-studio"))
        served = self._stack.enter_context(picture_server(self.pictures, self.sizes.large))
        return Site(lead, lead.create_personal_access_token(), served, self.pictures)

    @cached_property
    def large(self) -> Life:
        """The life of a project with the large pool; its pretext training outlasts the requests that are measured beside it."""
        epochs = 1 + IMAGES_PER_REQUEST * self.sizes.requests // self.sizes.large
        return Life(self.site, self.sizes.large, self.folder / "large", {"pretext_epochs": epochs}, self._stack)

    @cached_property
    def small(self) -> Life:
        """The life of a project with the small pool."""
        return Life(self.site, self.sizes.small, self.folder / "small", {"pretext_epochs": 3}, self._stack)

    @cached_property
    def on_features(self) -> Life:
        """The life of a project with the large pool on a pretrained encoder, whose rounds are small."""
        params = {"encoder": ENCODER, "query_size": SMALL_QUERY}
        return Life(self.site, self.sizes.large, self.folder / "features", params, self._stack)

    @property
    def label_studio(self) -> str:
        """Label Studio's release, if one took part."""
        return self.site.client.version() if "site" in self.__dict__ else ""

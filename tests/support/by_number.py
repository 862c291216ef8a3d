"""A runner that trains nothing: it ranks images by their number."""

from pathlib import Path

import numpy as np

from pt4al_backend import artefacts


class ByNumber:
    """The later an image was found, the harder it is."""

    def run(self, folder: Path, *_: object, **__: object) -> Path:
        count = len(np.load(folder / "rows.npy"))
        with artefacts.writing(folder / "result", quality={"meaningful": True}) as draft:
            np.save(draft / "losses.npy", np.arange(count, dtype=np.float64))
            np.save(draft / "features.npy", np.eye(count, 4, dtype=np.float16))
        return folder / "result"

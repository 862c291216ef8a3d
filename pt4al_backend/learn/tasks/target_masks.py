"""The masks that annotators drew, at the size of the frame: decoded once for a training, then read minibatch by minibatch."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn import devices


class TargetMasks:
    """Class ids uint8 [H, W] of some images in a file, so that memory stays flat in their number.

    Args:
        file: where they are kept; an older one is replaced.
        shape: H and W.
        names: of the masks, in the order of the images.
        read: gives the ids of the mask of a name, [H, W]; called from threads.
    """

    def __init__(self, file: Path, shape: Shape, names: Sequence[str], read: Callable[[str], NDArray[np.uint8]]) -> None:
        self._file, self._shape = file, shape
        file.unlink(missing_ok=True)
        with FrameFile(file, shape, 1) as store, ThreadPoolExecutor(devices.cores(), "target-masks") as threads:

            def keep(row: int) -> None:
                store.write(row, read(names[row])[:, :, None])

            try:
                list(threads.map(keep, range(len(names))))
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [m, H, W]."""
        with FrameFile(self._file, self._shape, 1) as store:
            return store.read(positions)[..., 0]

"""Names for the types that every layer hands on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: An object of JSON, as it comes from outside or goes there.
Json = dict[str, Any]

#: Ids of tasks, int64 [n].
Ids = NDArray[np.int64]

#: The classes of pixels by their ids, uint8 [...].
ClassIds = NDArray[np.uint8]

"""The labels so far: which of them train a model, and which measure it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pt4al_backend.aliases import Ids
from pt4al_backend.label_studio.annotations import LabelReader, Size
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.tasks import StoredAnswer


@dataclass(frozen=True, eq=False)
class LabelSplit:
    """The labels so far, by task id.

    Attributes:
        train, control: labels that train the model, and those of control picks, which measure it.
        unusable: why a label does not fit its image.
        lost: tasks of whose label a part is gone from the disk.
    """

    train: dict[int, str]
    control: dict[int, str]
    unusable: dict[int, str]
    lost: list[int]


def split_labels(
    sizes: Mapping[int, Size],
    answers: Mapping[int, StoredAnswer],
    controls: Ids,
    origins: Mapping[int, int],
    reader: LabelReader,
    *,
    train_on_accepted: bool,
) -> LabelSplit:
    """Splits labels; control picks are never trained on, nor are accepted predictions unless wanted.

    An image that is identical to a control pick's is not trained on either, nor does it measure the model a second time.

    Args:
        sizes: of the images that can be trained on, by task; what is labelled without one is left out.
        origins: of each task that is a copy, the first task with the identical image.
    """
    control_ids = set(controls.tolist())
    measures = {origins.get(task_id, task_id) for task_id in control_ids}
    measured = set[int]()
    split = LabelSplit({}, {}, {}, [])
    for task_id, answer in sorted(answers.items()):
        if task_id not in sizes or answer.answer != AnswerKind.LABEL:
            continue
        if not reader.holds(answer.label):
            split.lost.append(task_id)
        elif problem := reader.unusable_reason(answer.label, sizes[task_id]):
            split.unusable[task_id] = problem
        elif (origin := origins.get(task_id, task_id)) in measures:
            if task_id in control_ids and origin not in measured:
                split.control[task_id] = answer.label
                measured.add(origin)
        elif train_on_accepted or not answer.accepted:
            split.train[task_id] = answer.label
    return split

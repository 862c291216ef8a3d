"""Which labeling config a project goes by when somebody changes it in Label Studio."""

from typing import Any

import numpy as np
import pytest

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.labeling_config import InForce, decide, in_force
from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.images.mask_files import Mask, MaskFiles
from pt4al_backend.state.paths import mask_dir
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.trainings import known

IMAGE = '<Image name="image" value="$image"/>'
REVIEW = '<Choices name="review" toName="image"><Choice value="good"/><Choice value="bad"/></Choices>'


def view(*parts: str) -> str:
    return f"<View>{IMAGE}{''.join(parts)}</View>"


def choices(*labels: str, name: str = "animal") -> str:
    return f'<Choices name="{name}" toName="image">{"".join(f"<Choice {label}/>" for label in map(_value, labels))}</Choices>'


def polygons(*labels: str, name: str = "label") -> str:
    listed = "".join(f"<Label {label}/>" for label in map(_value, labels))
    return f'<PolygonLabels name="{name}" toName="image">{listed}</PolygonLabels>'


def _value(label: str) -> str:
    return label if "=" in label else f'value="{label}"'


@pytest.fixture
def store(store: Store) -> Store:
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(1, 4)])
    return store


def running(store: Store, xml: str, control: str, task: str, *labels: str) -> None:
    """A project that reads its labels by a config, and holds some."""
    store.change(1, label_config=xml, config_read=xml, control_read=control, task=task)
    store.put_answers(1, {i: StoredAnswer(AnswerKind.LABEL, label) for i, label in enumerate(labels, 1)})


def animals(store: Store, *labels: str) -> str:
    xml = view(choices("cat", "dog"))
    running(store, xml, "animal", "classification", *labels)
    return xml


def outlines(store: Store, settings: ServerSettings, *ids: int) -> str:
    """A segmentation of houses and roads; a mask with each of these ids."""
    xml = view(polygons("house", "road"))
    drawn = MaskFiles(mask_dir(settings, Project(id=1)))
    names = [drawn.put(Mask(np.full((2, 3 + k), each, np.uint8))) for k, each in enumerate(ids)]
    running(store, xml, "label", "segmentation", *names)
    return xml


def decided(store: Store, settings: ServerSettings, xml: str, **params: Any) -> InForce:
    return decide(store, settings, known(store), ProjectSettings(**params), xml)


def test_new_project_takes_the_config_of_label_studio(store: Store, settings: ServerSettings) -> None:
    found = decided(store, settings, view(choices("cat", "dog")))
    assert (found.reader.task, found.notice) == ("classification", "")


def test_review_question_leaves_a_segmentation_what_it_was(store: Store, settings: ServerSettings) -> None:
    outlines(store, settings, 0, 1)
    for xml in (view(polygons("house", "road"), REVIEW), view(REVIEW, polygons("house", "road"))):
        found = decided(store, settings, xml)
        assert (found.xml, found.reader.task, found.notice) == (xml, "segmentation", "")


def test_another_main_task_waits_for_its_confirmation(store: Store, settings: ServerSettings) -> None:
    old = outlines(store, settings, 0, 1)
    found = decided(store, settings, view(REVIEW))
    assert (found.xml, found.reader.task) == (old, "segmentation")
    assert "segmentation a classification" in found.notice
    assert "its 2 labels" in found.notice
    assert "restore 'label'" in found.notice


def several(*labels: str) -> str:
    return choices(*labels).replace("<Choices ", '<Choices choice="multiple" ')


def test_several_choices_in_place_of_one_keep_all_labels(store: Store, settings: ServerSettings) -> None:
    animals(store, "cat", "dog")
    xml = view(several("cat", "dog", "cow"))
    found = decided(store, settings, xml)
    assert (found.xml, found.reader.task, found.notice) == (xml, "multilabel", "")
    assert "'cat' (1)" in decided(store, settings, view(several("dog", "cow"))).notice  # a class that holds a label is gone


def test_one_choice_in_place_of_several_waits_if_some_label_is_not_of_one(store: Store, settings: ServerSettings) -> None:
    old = view(several("cat", "dog"))
    running(store, old, "animal", "multilabel", '["cat", "dog"]', '["cat"]', "[]")
    found = decided(store, settings, view(choices("cat", "dog")))
    assert (found.xml, found.reader.task) == (old, "multilabel")
    assert "multi-label classification a classification, which would drop 2 of its 3 labels" in found.notice
    running(store, old, "animal", "multilabel", '["dog"]', '["cat"]', '["cat"]')
    assert decided(store, settings, view(choices("cat", "dog"))).notice == ""


def test_renamed_class_of_sets_waits_and_keeps_its_labels_with_an_alias(store: Store, settings: ServerSettings) -> None:
    running(store, view(several("cat", "dog")), "animal", "multilabel", '["cat", "dog"]', '["cat"]', "[]")
    found = decided(store, settings, view(several("feline", "dog")))
    assert "'cat' (2)" in found.notice
    assert decided(store, settings, view(several('value="feline" alias="cat"', "dog"))).notice == ""


def test_change_is_carried_out_when_the_setting_has_its_code(store: Store, settings: ServerSettings) -> None:
    animals(store, "cat", "dog")
    new = view(choices("dog", "cow"))
    waiting = decided(store, settings, new)
    code = waiting.notice.partition('"accept_config": "')[2].partition('"')[0]
    assert code
    assert decided(store, settings, new, accept_config="0000").notice
    taken = decided(store, settings, new, accept_config=code)
    assert (taken.xml, taken.reader.config.labels, taken.notice) == (new, ("dog", "cow"), "")
    assert decided(store, settings, view(choices("dog", "hen")), accept_config=code).notice  # it confirms no other change


def test_renamed_class_waits_and_the_notice_names_the_alias(store: Store, settings: ServerSettings) -> None:
    animals(store, "cat", "cat", "dog")
    found = decided(store, settings, view(choices("feline", "dog")))
    assert found.reader.config.labels == ("cat", "dog")
    assert "'cat' (2)" in found.notice
    assert 'alias="cat"' in found.notice
    kept = decided(store, settings, view(choices('value="feline" alias="cat"', "dog")))
    assert (kept.reader.config.labels, kept.notice) == (("cat", "dog"), "")


def test_renamed_class_of_outlines_waits_if_a_mask_holds_it(store: Store, settings: ServerSettings) -> None:
    outlines(store, settings, 0, 255)
    found = decided(store, settings, view(polygons("building", "road")))
    assert "'house' (1)" in found.notice
    assert decided(store, settings, view(polygons("house", "street"))).notice == ""  # nobody drew a road


def test_renamed_control_waits(store: Store, settings: ServerSettings) -> None:
    old = animals(store, "cat")
    found = decided(store, settings, view(choices("cat", "dog", name="kind")))
    assert found.xml == old
    assert "'animal' is gone" in found.notice


@pytest.mark.parametrize(
    "xml",
    [
        view(choices("dog", "cat")),
        view(choices("cat", "dog", "cow")),
        view(choices("cat", "dog"), REVIEW),
        view(choices("cat", "dog"), polygons("ear", "tail")),
        view(choices("cat", "dog")).replace("$image", "$photo"),
    ],
)
def test_change_that_drops_no_label_is_taken_at_once(store: Store, settings: ServerSettings, xml: str) -> None:
    animals(store, "cat", "dog")
    found = decided(store, settings, xml)
    assert (found.xml, found.notice, found.reader.config.from_name) == (xml, "", "animal")


def test_any_change_is_taken_while_there_are_no_labels(store: Store, settings: ServerSettings) -> None:
    animals(store)
    assert decided(store, settings, view(polygons("ear", "tail"))).reader.task == "segmentation"


def test_other_control_in_the_settings_is_a_confirmation(store: Store, settings: ServerSettings) -> None:
    xml = view(choices("cat", "dog"), REVIEW)
    running(store, xml, "animal", "classification", "cat")
    found = decided(store, settings, xml, control="review")
    assert (found.reader.config.from_name, found.notice) == ("review", "")


def test_config_in_force_is_that_of_the_labels(store: Store, settings: ServerSettings) -> None:
    outlines(store, settings, 0)
    store.change(1, label_config=view(REVIEW))
    assert in_force(known(store)).task == "segmentation"


def test_config_without_anything_to_learn_is_refused_whatever_was_there(store: Store, settings: ServerSettings) -> None:
    animals(store, "cat")
    with pytest.raises(LabelConfigUnsupported):
        decided(store, settings, view())

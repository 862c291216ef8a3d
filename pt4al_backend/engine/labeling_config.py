"""The labeling config that a project goes by: Label Studio's, or the one before where that would drop labels.

A new config drops labels if it is about another main task, if it lacks a control that they were given with, or a class that
they hold; several choices in place of one drop none. Then the config before stays in force, and a notice says so, until the
setting ``accept_config`` has the code that the notice names. A changed setting ``control`` is a decision already.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.engine.access import label_reader_for
from pt4al_backend.errors import ConfigError, LabelConfigUnsupported
from pt4al_backend.label_sets import from_text
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.label_studio.label_config import ClassificationConfig, LabelConfig, MultilabelConfig, parse
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store

_NAMED = 5  # classes that a notice names


class InForce(NamedTuple):
    """What a look goes by.

    Attributes:
        xml: the labeling config.
        reader: reads the labels by it.
        notice: why it is not the one that Label Studio has; "" if it is.
    """

    xml: str
    reader: LabelReader
    notice: str = ""


def wanted(project: Project, label_config_xml: str, control: str) -> LabelConfig:
    """What a labeling config means in a project: what it learns already stays, if it is still there.

    Raises:
        LabelConfigUnsupported: nothing in it can be learned.
    """
    return parse(label_config_xml, control, running=project.control_read, task=project.task)


def in_force(project: Project) -> LabelConfig:
    """The labeling config that a project's labels were read by; before the first look, Label Studio's.

    Raises:
        LabelConfigUnsupported: nothing in it can be learned.
    """
    if project.config_read:
        return wanted(project, project.config_read, "")
    return wanted(project, project.label_config or "", control_of(project))


def control_of(project: Project) -> str:
    """The setting that names the control to learn; "" where the settings are refused, which the engine reports."""
    try:
        return project_settings(project.params).control
    except ConfigError:
        return ""


def decide(store: Store, settings: ServerSettings, project: Project, options: ProjectSettings, label_config_xml: str) -> InForce:
    """Takes the labeling config that Label Studio has, unless that would drop labels and nobody has confirmed it.

    Raises:
        LabelConfigUnsupported: nothing in Label Studio's config can be learned.
    """
    new = wanted(project, label_config_xml, options.control)
    taken = InForce(label_config_xml, label_reader_for(settings, project, new))
    if not project.config_read or label_config_xml == project.config_read:
        return taken
    try:
        old = in_force(project)
    except LabelConfigUnsupported:  # of a version that could learn it
        return taken
    code = hashlib.sha256(f"{new.from_name}\n{label_config_xml}".encode()).hexdigest()[:8]
    if new == old or options.accept_config == code:
        return taken
    before = label_reader_for(settings, project, old)
    notice = project.notices.get("config", "")
    if code not in notice:
        dropped = _dropped(store, project, before, new)
        notice = dropped and (
            f"{dropped} The labeling config before stays in force, and no predictions are shown until this is decided. "
            f'To use the new one and drop these labels, set {{"accept_config": "{code}"}} in the extra params.'
        )
    return InForce(project.config_read, before, notice) if notice else taken


def _dropped(store: Store, project: Project, before: LabelReader, new: LabelConfig) -> str:
    """What a new config would drop of the labels, and how to keep them; "" if nothing."""
    labels = [answer.label for answer in store.answers(project.id).values() if answer.answer == AnswerKind.LABEL]
    if not labels:
        return ""
    old = before.config
    held = f"{len(labels):,} {'label' if len(labels) == 1 else 'labels'}"
    if lost := _lost(labels, old, new):
        was, becomes = (MAIN_TASK_FACTS[each.task].noun for each in (old, new))
        which = f"its {held}" if lost == len(labels) else f"{lost:,} of its {held}"
        return (
            f"The labeling config was changed: it makes this {was} a {becomes}, which would drop {which}. "
            f"To keep them, restore {old.from_name!r} in Label Studio."
        )
    if gone := sorted(set(old.names) - set(new.names)):
        return (
            f"The labeling config was changed: {_quoted(gone)} is gone, which would drop labels of the {held} that there are. "
            "To keep them, give the tag its name back in Label Studio."
        )
    removed = [label for label in old.labels if label not in set(new.labels)]
    holding = before.count(labels, removed) if removed else {}
    if not holding:
        return ""
    numbers = ", ".join(f"{name!r} ({number:,})" for name, number in list(holding.items())[:_NAMED])
    example = next(iter(holding))
    return (
        f"The labeling config was changed: classes that hold labels are gone, {numbers}. If a class was renamed, write "
        f'alias="{example}" on the new one in Label Studio, and its labels stay.'
    )


def _lost(labels: Sequence[str], old: LabelConfig, new: LabelConfig) -> int:
    """How many labels the main task of a new config cannot say: none of one choice by several, most of several by one."""
    if new.task == old.task:
        return 0
    is_choice = isinstance(old, ClassificationConfig) and isinstance(new, ClassificationConfig)
    if not is_choice or new.from_name != old.from_name:
        return len(labels)
    return 0 if isinstance(new, MultilabelConfig) else sum(len(from_text(label)) != 1 for label in labels)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))

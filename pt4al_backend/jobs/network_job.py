"""A job that a network does, on the device that it names."""

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import torch

from pt4al_backend.aliases import Json
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.jobs.folder import CHECKPOINT
from pt4al_backend.jobs.job import Job, Spec
from pt4al_backend.learn import devices, networks
from pt4al_backend.learn.checkpoint import Checkpoint
from pt4al_backend.learn.networks import LEAST_SIDE_FROZEN, MEAN, STD, Body, Form, TimmEncoder, TimmForm
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.weights.initial import InitialWeights
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report


class NetworkJob(Job[Spec]):
    """A job with a device, a checkpoint, and the weights that it may start from."""

    @cached_property
    def device(self) -> torch.device:
        """Where it computes.

        Raises:
            TrainingImpossible: its device is not there.
        """
        return devices.choose(self.spec.device)

    @property
    def checkpoint(self) -> Checkpoint:
        """Where a training of this very job is resumed."""
        return Checkpoint(self.folder / CHECKPOINT, self.fingerprint)

    def form(self) -> Form:
        """The form of this job's bodies.

        An encoder that is trained while nobody waits for it sees small images as large as a frozen one: it is compared with one.
        """
        form = MAIN_TASKS.load(self.spec.task, MainTask).form(self.spec.shape, self.settings, self.device)
        if self.spec.yields and isinstance(form, TimmForm):
            return replace(form, least_side=LEAST_SIDE_FROZEN)
        return form

    def body(self) -> Body:
        """A body of that form, with fresh weights.

        Raises:
            ConfigError: there is no such encoder, or it cannot see images of this job's shape.
        """
        body = networks.build(self.form())
        if isinstance(body, TimmEncoder):
            body.require_shape(self.spec.shape)
        return body

    def initial_weights(self, report: Report, previous: Path | None = None) -> InitialWeights:
        """Where this job's initial weights may come from; ``previous`` is the artefact of the round before's model."""

        def note(text: str) -> None:
            report(Progress(Phase.PREPARING, note=text))

        init, warm_start = self.settings.init, self.settings.warm_start
        return InitialWeights(init, warm_start, self.spec.learner, previous, self.spec.pretrained, self.spec.weights, note)

    def manifest(self, form: Form) -> Json:
        """What a manifest says of a network and its frames, enough to load it elsewhere."""
        normalisation = {"mean": MEAN, "std": STD, "within": "network"}
        return {**self.facts(), "normalisation": normalisation, "network": asdict(form), "device": self.device.type}

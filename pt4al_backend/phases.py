"""The phases that a project, a training or an offline ranking can be in, with words for people."""

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """What a project, a training or an offline ranking is doing. Its value is what the state and the API hold."""

    CONNECTED = "connected"
    SYNCING = "syncing"
    FETCHING_IMAGES = "fetching images"
    READING_IMAGES = "reading images"
    PREPARING = "preparing"
    FEATURES = "features"
    PRETEXT = "pretext"
    TRAINING = "training"
    SCORING = "scoring"
    COMPANION = "companion"
    LAYOUT = "layout"
    PUBLISHING = "publishing"
    LABELLING = "labelling"
    WAITING_FOR_TASKS = "waiting for tasks"
    WAITING_FOR_DEVICE = "waiting for the device"
    EXHAUSTED = "exhausted"
    PAUSED = "paused"
    BLOCKED = "blocked"
    NOT_CONNECTED = "not connected"


#: What people read for each phase; a terminal shows 29 characters.
PHASES: Mapping[str, str] = {
    Phase.CONNECTED: "Waiting for a worker",
    Phase.SYNCING: "Reading tasks and answers",
    Phase.FETCHING_IMAGES: "Fetching images",
    Phase.READING_IMAGES: "Reading images",
    Phase.PREPARING: "Preparing the training",
    Phase.FEATURES: "Describing the images",
    Phase.PRETEXT: "Training the pretext learner",
    Phase.TRAINING: "Training the model",
    Phase.SCORING: "Scoring images",
    Phase.COMPANION: "Training for the strategy",
    Phase.LAYOUT: "Drawing the map",
    Phase.PUBLISHING: "Publishing the new order",
    Phase.LABELLING: "Waiting for labels",
    Phase.WAITING_FOR_TASKS: "Waiting for tasks",
    Phase.WAITING_FOR_DEVICE: "Waiting for another training",
    Phase.EXHAUSTED: "No image is left to label",
    Phase.PAUSED: "Paused",
    Phase.BLOCKED: "Blocked by an error",
    Phase.NOT_CONNECTED: "Not connected any more",
}

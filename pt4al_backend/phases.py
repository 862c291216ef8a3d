"""The phases that a project, a training or an offline ranking can be in, in words for people."""

#: A phase, as the engine, the trainings and the offline ranking name it, and what it says; a terminal shows 29 characters.
PHASES = {
    "connected": "Waiting for a worker",
    "syncing": "Reading tasks and answers",
    "fetching images": "Fetching images",
    "reading images": "Reading images",
    "preparing": "Preparing the training",
    "pretext": "Training the pretext learner",
    "training": "Training the model",
    "scoring": "Scoring images",
    "companion": "Training for the strategy",
    "publishing": "Publishing the new order",
    "labelling": "Waiting for labels",
    "waiting for tasks": "Waiting for tasks",
    "waiting for the device": "Waiting for another training",
    "exhausted": "No image is left to label",
    "blocked": "Blocked by an error",
}

"""What is in the work queue."""

from pt4al_backend.engine.work_queue import WorkQueue


def taken(queue: WorkQueue) -> list[tuple[int, bool]]:
    """Takes all requests, as workers would: which project, and whether to train."""
    found = []
    while message := queue._huey.dequeue():
        found.append(tuple(message.args))
    return found

"""What is in the work queue."""

from pt4al_backend.engine.work_queue import WorkQueue


def taken(queue: WorkQueue) -> list[int]:
    """Takes all requests, as workers would: the projects that they are for."""
    found = []
    while message := queue._huey.dequeue():
        found.append(message.args[0])
    return found

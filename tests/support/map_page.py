"""The map's page in a browser: where points lie, and what a mouse does there."""

from playwright.sync_api import Frame, Page, expect

#: Where a point lies in the frame, in pixels.
PIXELS = """task => {
  const {xaxis, yaxis, _size: size} = map._fullLayout;
  for (const [number, group] of drawn.groups.entries())
    for (const point of group.points)
      if (window.tasks[point] === task)
        return [size.l + xaxis.d2p(drawn.x[point]), size.t + yaxis.d2p(drawn.y[point])];
}"""


def open_map(page: Page, url: str, project: int) -> None:
    """Opens the map of the backend at ``url``, and waits until it is drawn."""
    page.goto(f"{url}/projects/{project}/map")
    expect(page.locator("#map")).to_have_attribute("data-drawn", "label")
    tasks = page.request.get(f"{url}/api/projects/{project}/map").json()["tasks"]
    frame_of(page).evaluate("tasks => { window.tasks = tasks }", tasks)


def frame_of(page: Page) -> Frame:
    """The frame that draws the points."""
    return next(frame for frame in page.frames if frame.url.endswith("/map/frame"))


def pixel(page: Page, task: int) -> tuple[float, float]:
    """Where a task's point lies on the page."""
    left, top = frame_of(page).evaluate(PIXELS, task)
    box = page.locator("#frame").bounding_box()
    assert box is not None
    return box["x"] + left, box["y"] + top


def lasso(page: Page, tasks: list[int]) -> None:
    """Draws a line around some tasks' points."""
    page.get_by_role("radio", name="Lasso").check()
    places = [pixel(page, task) for task in tasks]
    left, right = min(x for x, _ in places) - 15, max(x for x, _ in places) + 15
    top, bottom = min(y for _, y in places) - 15, max(y for _, y in places) + 15
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()

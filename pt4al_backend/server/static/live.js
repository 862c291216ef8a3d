/** Tells a page when its project has changed: by server-sent events, or, where there are none, by asking now and then. */

const ASK_MILLISECONDS = 5_000;
const STREAM_AGAIN_MILLISECONDS = 60_000;

/**
 * Calls `changed` whenever the page should read the project again, and once at the beginning. What an event says is handed over, as
 * `/api/projects/{id}/events` documents it; nothing is if the page only asks. A hidden page waits until it is shown.
 */
export function watch(project, changed) {
  let stream, asking, failedAt = -Infinity;

  function stop() {
    stream?.close();
    clearInterval(asking);
    stream = asking = undefined;
  }

  function ask() {
    changed();
    if (performance.now() - failedAt > STREAM_AGAIN_MILLISECONDS) start();
  }

  function start() {
    stop();
    if (document.hidden) return;
    stream = new EventSource(`/api/projects/${project}/events`);
    stream.addEventListener("change", (event) => changed(JSON.parse(event.data)));
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) {
        failedAt = performance.now();
        asking = setInterval(ask, ASK_MILLISECONDS);
      }
      changed(); // says as well whether the backend responds
    });
  }

  document.addEventListener("visibilitychange", start);
  start();
}

/** Calls `changed` only where what `of` takes from an event is another than before, and where the page asks by itself. */
export function only(of, changed) {
  let heard = "";
  return (change) => {
    const now = change ? JSON.stringify(of(change)) : "";
    if (now && now === heard) return;
    heard = now;
    changed();
  };
}

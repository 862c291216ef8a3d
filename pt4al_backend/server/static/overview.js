/** Keeps the overview up to date, and forgets the project. */
const view = document.getElementById("status");
const stale = document.getElementById("stale");
const { project, refresh: seconds } = view.dataset;
async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(`/projects/${project}/status`, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    const open = [...view.querySelectorAll("details[open]")].map((each) => each.id);
    if (text !== refresh.last) view.innerHTML = text;
    refresh.last = text;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}
view.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-forget]");
  if (!button || !confirm("Delete the rounds, models and images of this project?")) return;
  button.disabled = true;
  try {
    const answer = await fetch(`/api/projects/${project}/forget`, { method: "POST" });
    if (answer.ok || answer.status === 404) return location.assign("/");
    const said = await answer.json();
    alert(`${said.error} ${said.remedy}`);
  } catch {
    alert("The backend is not responding.");
  }
  button.disabled = false;
});
setInterval(refresh, 1000 * seconds);
document.addEventListener("visibilitychange", refresh);

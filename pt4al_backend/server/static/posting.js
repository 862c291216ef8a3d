/** Posts to the API of a project. */

/** What it answered: whether that was done, what was found, and words for people if it was not. */
export async function post(project, path, body) {
  try {
    const answer = await fetch(`/api/projects/${project}/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const found = await answer.json();
    return { isDone: answer.ok, found, words: answer.ok ? "" : `${found.error} ${found.remedy}` };
  } catch {
    return { isDone: false, found: {}, words: "The backend is not responding." };
  }
}

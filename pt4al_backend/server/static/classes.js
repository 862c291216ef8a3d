/** The choice of one class by a part of its name: the server finds it, so that ten thousand are as quick as ten. */

/** The class whose learning curve the address asks for; null for none. */
export const chosenClass = new URLSearchParams(location.search).get("class");

const WAIT = 150; // milliseconds, in which more is typed

/** Makes the search field work, once: what keeps the page up to date keeps the field. */
export function searchClasses(project) {
  const place = document.getElementById("class-search");
  if (!place?.hidden) return;
  const [field, names, said] = ["class", "class-names", "class-said"].map((id) => document.getElementById(id));
  let last;

  async function find() {
    const search = field.value;
    let found;
    try {
      const answer = await fetch(`/api/projects/${project}/classes?${new URLSearchParams({ search })}`, { cache: "no-store" });
      found = answer.ok ? await answer.json() : null;
    } catch {
      found = null;
    }
    if (search !== field.value) return undefined; // more was typed meanwhile
    if (!found) {
      said.textContent = "The backend is not responding.";
      return undefined;
    }
    const { total, classes } = found;
    names.replaceChildren(...classes.map(({ name }) => Object.assign(document.createElement("option"), { value: name })));
    said.textContent = total ? `${total.toLocaleString()} ${total === 1 ? "class" : "classes"}` : "No class is called that.";
    return (classes.length === 1 ? classes[0] : classes.find(({ name }) => name === search))?.key;
  }

  async function choose() {
    const key = await find();
    if (key !== undefined) location.assign(`/projects/${project}?${new URLSearchParams({ class: key })}#curve`);
  }

  field.addEventListener("focus", find);
  field.addEventListener("input", () => {
    clearTimeout(last);
    last = setTimeout(find, WAIT);
  });
  field.addEventListener("change", choose);
  place.hidden = false;
}

/** Numbers by the customs of the browser, and the button that prints, which does nothing without scripts. */
import { localise } from "./format.js";

localise(document);
const button = document.getElementById("print");
button.hidden = false;
button.addEventListener("click", () => print());

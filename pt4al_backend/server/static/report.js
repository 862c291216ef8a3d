/** The button that prints, which does nothing without scripts. */
const button = document.getElementById("print");
button.hidden = false;
button.addEventListener("click", () => print());

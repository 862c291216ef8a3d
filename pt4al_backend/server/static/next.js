/** Keeps the queue as it is served: reads the page again when the project has changed. */
import { watch } from "./live.js";
import { rereading } from "./renew.js";

const view = document.getElementById("queue");
watch(view.dataset.project, rereading(view));

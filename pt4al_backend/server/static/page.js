/** Numbers and times of every page by the customs of the browser, once; a page localises what it fetches later. */
import { localise } from "./format.js";

localise(document);

// What would make this phone work better, one thing at a time, the most useful first.
import { h } from "../flow/dom.js";

/** A notice with what to do next for these accounts; null when nothing is left. again: shows the screen anew. */
export async function advice() {
  return null;
}

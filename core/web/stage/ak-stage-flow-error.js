// A stage failed inside the server.
import { h } from "../flow/dom.js";

export default function render({ challenge, root, heading }) {
  heading("Something went wrong");
  root.append(h("div", {},
    h("p", { text: "This step failed on our side. Nothing you typed is to blame." }),
    h("p", {}, "If it happens again, name this number to your administrator: ",
      h("code", { text: challenge.request_id })),
    challenge.error && h("p", { class: "notice bad", text: challenge.error }),
    challenge.traceback && h("details", {}, h("summary", { text: "Trace" }),
      h("pre", { class: "trace", tabindex: "0", text: challenge.traceback })),
    h("p", { class: "actions" }, h("button", { type: "button", class: "button primary full", text: "Try again",
      on: { click: () => location.reload() } }))));
}

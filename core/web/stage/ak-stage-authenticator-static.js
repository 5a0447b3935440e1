// Recovery codes: shown this once, to be copied, saved or printed.
import { h } from "../flow/dom.js";
import { form } from "../flow/form.js";
import { copyButton } from "../flow/copy.js";

export default function render({ challenge, root, submit, heading, announce }) {
  heading("Save your recovery codes");
  const codes = challenge.codes.map((c) => c.match(/.{1,4}/g).join("-"));
  const brand = document.getElementById("brand").textContent;
  const account = challenge.pending_user;
  const day = new Date().toLocaleDateString("en", { dateStyle: "long" });
  const page = form({ action: "I have saved them", send: () => submit({}) });

  function download() {
    const text = `Recovery codes for ${account} at ${brand}\n${location.origin}\nMade on ${day}\n\nEach code works once.\n\n${codes.join("\n")}\n`;
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    h("a", { href: url, download: "recovery-codes.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    announce("Saved as a file.");
  }

  root.append(
    h("p", { text: "If you lose your phone, one of these codes lets you sign in instead. Each works once. Put them where you find them without your phone, and nobody else does." }),
    h("p", { class: "notice", text: "They are shown only now. Nobody can show them to you again." }),
    h("div", { class: "sheet" },
      h("p", { class: "print-only title", text: `Recovery codes for ${account} at ${brand}` }),
      h("p", { class: "print-only", text: `For signing in at ${location.host} without a phone. Made on ${day}.` }),
      h("ul", { class: "codes mono", "aria-label": "Recovery codes" }, codes.map((c) => h("li", { text: c }))),
      h("p", { class: "print-only", text: "Each code works once. Keep this page where only you find it." })),
    h("div", { class: "actions thirds" },
      copyButton("Copy", () => codes.join("\n")),
      h("button", { type: "button", class: "button", text: "Download", on: { click: download } }),
      h("button", { type: "button", class: "button", text: "Print", on: { click: () => window.print() } })),
    h("p", { class: "fine", text: "The codes begin to work when you press the button below." }),
    page.element,
    h("ul", { class: "links" }, h("li", {}, h("a", { href: "/", text: "Cancel" }))));
  page.errors(challenge.response_errors);
  return { update: (c) => page.errors(c.response_errors) };
}

// Adding an authenticator app: a QR code or a key for the app, and the first code from it.
import { h } from "../flow/dom.js";
import { form, field } from "../flow/form.js";
import { copyButton } from "../flow/copy.js";

export default function render({ challenge, root, submit, heading }) {
  heading("Add an authenticator app");
  const { key, digits, link } = read(challenge.config_url);
  const image = challenge.qr_code?.startsWith("data:image/svg+xml") ? challenge.qr_code : null;
  const code = field({ name: "code", label: `The ${digits} digits that the app shows`, hint: "They change every 30 seconds.",
    attributes: { class: "code", required: true, autocomplete: "one-time-code", inputmode: "numeric", maxlength: 32 } });
  const page = form({ fields: { code }, action: "Add the app", send: (v) => submit({ code: v.code.replace(/\s/g, "") }) });

  root.append(
    h("p", { text: "Such an app shows a code that you type when you sign in. It works without a network." }),
    h("ol", { class: "steps" },
      h("li", { text: "On your phone, open an authenticator app. If you have none, get one from the app store: Google Authenticator, Microsoft Authenticator or 2FAS, for example." }),
      h("li", { text: "Choose to add an account there." }),
      h("li", { text: image ? "Point its camera at this code." : "Type the key below into it." })),
    ...(image ? [h("div", { class: "qr" }, h("img", { src: image, alt: "QR code to add this account to an authenticator app" }))] : []),
    ...(link ? [h("p", { class: "actions on-phone" }, h("a", { href: link, class: "button full", text: "Open the app on this phone" }))] : []),
    h("details", { open: !image }, h("summary", { text: "Can’t scan? Type the key" }),
      h("p", { text: "Choose to enter a key by hand in the app, time-based if it asks, and type this:" }),
      h("p", { class: "key mono", "aria-label": `Key: ${[...key].join(" ")}` }, key.match(/.{1,4}/g).map((part) => h("span", { text: part }))),
      copyButton("Copy the key", () => key)),
    h("ol", { class: "steps", start: "4" }, h("li", { text: "Type the code that the app shows for this account." })),
    page.element,
    h("ul", { class: "links" }, h("li", {}, h("a", { href: "/", text: "Cancel" }))));
  page.errors(challenge.response_errors);
  // The focus stays at the top: the field is the last of the steps.
  return { update: (c) => page.errors(c.response_errors) };
}

/** What a URL of the form otpauth://totp/… says to a person. */
function read(value) {
  const url = new URL(value);
  return {
    key: url.searchParams.get("secret") ?? "",
    digits: url.searchParams.get("digits") ?? "6",
    link: value.startsWith("otpauth://totp/") ? value : null,
  };
}

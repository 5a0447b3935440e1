// Elements without markup from strings.

/**
 * Makes an element. Properties: class, text, on ({event: listener}), dataset; others become attributes, where
 * true is the empty string and false, null and undefined leave the attribute out. Children: nodes, strings, or
 * nothing at all.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, fn] of Object.entries(value)) element.addEventListener(event, fn);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** Makes an SVG element. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Outlines on a 24 px grid.
const icons = {
  phone: "M8 2.5h8a2 2 0 0 1 2 2v15a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2v-15a2 2 0 0 1 2-2ZM11 18.5h2",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 7.5V12l3 2",
  list: "M5 3.5h14v17H5zM9 8.5h6M9 12h6M9 15.5h4",
  message: "M4 5h16v11H10l-4 4v-4H4z",
  key: "M15.5 3.5a5 5 0 1 0 0 10 5 5 0 0 0 0-10ZM12 12l-8 8M6.5 17.5 9 20",
  shield: "M12 3 5 5.5V11c0 4.5 3 8 7 10 4-2 7-5.5 7-10V5.5z",
  tick: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM8 12.3l2.8 2.8L16 9.5",
  cross: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM9 9l6 6M15 9l-6 6",
  back: "M15 5l-7 7 7 7",
  bell: "M6 17h12l-1.5-2.5V10a4.5 4.5 0 0 0-9 0v4.5ZM10 20h4",
  erase: "M9 5.5h11v13H9L3.5 12ZM11.5 9.5l5 5M16.5 9.5l-5 5",
  screen: "M3.5 5h17v11h-17zM8.5 20h7M12 16v4",
};

/** An icon by name; decoration only, so always beside a text. An unknown name is a shield. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    s("path", { d: icons[name] ?? icons.shield }));
}

/** The URL that value means on this page, or null for anything but http and https (javascript:, data:, …). */
export function safeURL(value) {
  try {
    const url = new URL(value, location.href);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** A link, or null where the target is missing or unsafe. */
export function link(href, text, props = {}) {
  const url = href ? safeURL(href) : null;
  return url && h("a", { href: url, text, ...props });
}

/** A round picture of a person; initials where the page's policy would not show the picture, or it fails. */
export function avatar(source, name) {
  const initials = () => h("span", { class: "avatar", "aria-hidden": "true",
    text: (name.match(/[\p{L}\p{N}]+/gu) ?? ["?"]).slice(0, 2).map((w) => [...w][0].toUpperCase()).join("") });
  const url = source && (source.startsWith("data:image/") ? source : safeURL(source));
  if (!url || !(url.startsWith("data:") || url.startsWith(location.origin + "/"))) return initials();
  const image = h("img", { class: "avatar", alt: "", src: url });
  image.addEventListener("error", () => image.replaceWith(initials()));
  return image;
}

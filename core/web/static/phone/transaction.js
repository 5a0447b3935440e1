// What is to be approved that is no login: a payment, a change. What is shown is made of the signed bytes alone, and what could
// be read in two ways is refused: see docs/phone-app.md, and mobile/wire/testdata/display.json, to which this is held.

const decimals = { // of currencies that do not have two (ISO 4217)
  BIF: 0, CLP: 0, DJF: 0, GNF: 0, ISK: 0, JPY: 0, KMF: 0, KRW: 0, PYG: 0, RWF: 0, UGX: 0, VND: 0, VUV: 0, XAF: 0, XOF: 0, XPF: 0,
  BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3,
};

// Letters, marks, digits, signs and the one space; none that turns the direction of text, or that is printed as nothing.
const visible = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u;
const unseen = /[\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\u2800\uFFFD]/u;

/** The lines that are shown of a transaction, from top to bottom: {label, value}, label "" for the title. Throws at what may not be shown. */
export function lines(apr) {
  only(apr, ["amount", "fields", "payee", "text", "title"]);
  const out = [{ label: "", value: shown(apr.title, 80) }];
  const taken = new Set(["Amount", "To", "Text"]);
  if (apr.amount) out.push({ label: "Amount", value: sum(apr.amount) });
  if (apr.payee) out.push({ label: "To", value: shown(apr.payee, 140) });
  const fields = apr.fields ?? [];
  if (!Array.isArray(fields) || fields.length > 6) throw new Error("too many fields");
  for (const field of fields) {
    only(field, ["label", "value"]);
    if (taken.has(field.label)) throw new Error("a label twice");
    taken.add(field.label);
    out.push({ label: shown(field.label, 30), value: shown(field.value, 140) });
  }
  if (apr.text) out.push({ label: "Text", value: shown(apr.text, 500) });
  return out;
}

/** Refuses what is signed and would not be shown. */
function only(object, names) {
  if (!object || typeof object !== "object" || Object.keys(object).some((name) => !names.includes(name))) throw new Error("not a transaction");
}

function shown(text, limit) {
  if (typeof text !== "string" || !text || [...text].length > limit) throw new Error("no text, or too long");
  if (!visible.test(text) || unseen.test(text) || text.trim() !== text || text.includes("  ")) throw new Error("text that may not be shown");
  return text;
}

/** A sum has one text: as many digits after the point as its currency has. Thousands are set apart by a gap, which nobody reads as a point. */
function sum(amount) {
  only(amount, ["currency", "value"]);
  const { currency, value } = amount;
  if (typeof currency !== "string" || typeof value !== "string" || !/^[A-Z]{3}$/.test(currency)) throw new Error("no currency");
  const digits = Object.hasOwn(decimals, currency) ? decimals[currency] : 2;
  const form = new RegExp(`^(0|[1-9][0-9]{0,12})${digits ? `\\.[0-9]{${digits}}` : ""}$`);
  if (!form.test(value)) throw new Error("no sum of its currency");
  const [whole, rest] = value.split(".");
  return `${whole.replace(/\B(?=([0-9]{3})+$)/g, "\u202f")}${rest ? `.${rest}` : ""} ${currency}`;
}

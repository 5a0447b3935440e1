// Times in words.
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]]; // in seconds

/** How long ago a moment was, or how far it is off, RFC 3339. */
export function ago(when) {
  const seconds = (Date.parse(when) - Date.now()) / 1000;
  for (const [unit, length] of units) {
    if (seconds >= length) return words.format(Math.round(seconds / length), unit);
  }
  if (!(seconds < -45)) return "just now";
  for (const [unit, length] of units) {
    if (seconds <= -length) return words.format(Math.round(seconds / length), unit);
  }
  return "a minute ago";
}

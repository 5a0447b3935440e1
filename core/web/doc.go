// Package web is what a browser gets: HTML shells, style sheets, scripts and the brand. It renders and it serves
// files. It knows no user, no flow and no database: what a page must know is handed to it, everything else the page's
// script asks of the API.
//
//	browser ── GET /if/flow/<slug>/ ──▶ FlowPage: a shell, a CSRF cookie, no inline script or style
//	   │ ── GET /static/<version>/… ──▶ Static: embedded files, immutable under the version of this build
//	   │
//	   └ flow.js ── GET|POST /api/v3/flows/executor/<slug>/?query=… ──▶ (not here: flows/executor)
//	        │  challenge JSON
//	        ├─ import stage/<component>.js            one script a stage kind
//	        │      └─ import device/<device_class>.js one script an authenticator kind, on the validation page
//	        └─ xak-flow-redirect: location.assign, http(s) targets only
//
// # Files and caching
//
// The version is a hash over all files, the kinds' scripts too. The shells name every file below /static/<version>/,
// and since modules import each other by relative paths the whole graph stays inside that version: it may be cached
// for ever. The same files are at /static/… without a version, to be revalidated by ETag. A version that is not this
// build's (another node during an upgrade) gets this build's file, not to be cached.
//
// # A stage kind's script
//
// A stage kind hands its script over as a StageScript; adding one needs no change here. It is an ES module:
//
//	import { h } from "../flow/dom.js";
//	import { form, field } from "../flow/form.js";
//
//	export default function render(ctx) {
//	  // build into ctx.root, wire events
//	  return { focus() {}, update(challenge) {}, destroy() {} }; // each one optional
//	}
//
// What ctx holds:
//
//	challenge   the challenge JSON (core.md §1.6)
//	root        the empty element that the script fills
//	signal      AbortSignal, aborted when the stage is left; hang listeners, timers and requests on it
//	heading(t, focus)
//	            sets the page's heading; without a call it is the flow's title. focus: moves the focus there, for when
//	            the control that had it goes away
//	announce(t) says a text to screen readers, politely
//	now()       the server's clock in milliseconds, from the Date header of its last answer
//	submit(body, {quiet, held, again})
//	            answers the stage. Resolves to the challenge when this stage is shown again, after update() was
//	            called with it; to null when the stage was left or the request was given up. A second submit while one
//	            runs is ignored. quiet: without the page's busy state. held: the server may hold the answer back for up
//	            to a minute; it is repeated freely after a broken connection and gives way to the next submit. again:
//	            what is repeated instead of body, where that does something that is not to happen twice.
//	config      {stages, devices}: sets of the names for which this build has scripts
//
// update is called for an answer that leaves the stage where it is: response_errors say why. A stage without update is
// rendered anew. A failed request other than a lost connection (429, 5xx) reaches update as a non_field_errors entry
// too, so a script deals with one shape. Lost connections and 502–504 never reach a script: flow.js says so on the
// page, keeps the stage as it stands with all that was typed, and goes on by itself when the server is back.
//
// # An authenticator kind's script
//
// The validation stage (ak-stage-authenticator-validate) imports device/<device_class>.js for every class on offer:
//
//	export function label(device) { return { name, hint, icon }; } // how the choice page calls it
//	export default function render(ctx) { … }                       // as a stage's, plus:
//	    ctx.device    the DeviceChallenge, kept up to date
//	    ctx.choose    back to the choice page; null when there is nothing to choose from
//
// # The account page
//
// /if/user/ shows the ways to confirm that it is you, of every kind in one list, and the sessions:
//
//	/core/users/me/ ─┐
//	user_settings/ ──┼─▶ user.js ─┬─ devices.js ── owned.js   what the person has: authenticators/all/, and each kind's own list
//	authenticators/ ─┘            │            └── way.js     what they can add: stages with a configure_url
//	all/                          └─ sessions.js
//
// What is on it is shown in one go, so that nothing moves. A part that failed says so in its place, with a way to try
// again. kind.js has the words for the kinds, for the flow page too; a kind that it does not know is shown by its
// verbose name. Changes are PATCH and DELETE below /authenticators/<class>/<pk>/, after a question (dialog.js).
//
// # The phone
//
// /if/phone/ is a phone for those who install none: a page that a phone's browser opens by the code of the set-up, and
// that can be put on the home screen. It is a client of the device operations as any other phone is (docs/phone-app.md),
// and needs neither session nor cookie.
//
//	phone.js ─┬─ add.js ── scan.js                   a code becomes an account
//	          ├─ home.js ── detail.js, history.js    what there is
//	          ├─ watch.js ─▶ request.js ── pad.js    what is asked, and the answer
//	          ├─ screen.js                           one screen at a time, the way back, the focus
//	          └─ push.js ── worker.js                rings while the page is closed, and keeps it for when there is no network
//	account.js, server.js ── wire.js ── jose.js      the operations, proved; challenges checked, answers signed
//	store.js                                         IndexedDB: accounts with keys that cannot be read, history
//
// Only what the server signed is shown, and only that is answered. The worker is served with the list of this build's
// files; it never sees a key, and a push never says more than "look".
//
// # Rules of the scripts
//
// No markup from strings: dom.js makes elements and sets text, and the pages' Content-Security-Policy (with Trusted
// Types) holds it to that. No framework, no build step. Anything a person must know is said in text and announced.
package web

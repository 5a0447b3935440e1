// The phone's page: draws the state that the event stream brings, and sends what the person taps.
'use strict';

const $ = (id) => document.getElementById(id);
let state = { accounts: [], rings: [] };
let ahead = 0;          // the phone's clock minus this browser's, in milliseconds
let shown = '';         // what the sheet draws: request and its state
let closed = new Set(); // results that the person has put away
let sending = '';       // tx_id of the answer on its way
let accounts = -1;      // how many the last state had
let put = '';           // the unconfirmed account that was put away
let busyWith = '';      // what of a move is on its way
let moveError = '';     // what went wrong with it
let homeFocus = null;   // what had the focus before the sheet came

// A request that is no login has lines: all that the server signed of it.
const login = (r) => !r.lines;

// How a request is answered: agree, tap one of the items, type a number, or show a code for the browser to be typed into.
const act = (r) => r.mode === 'accept_deny' ? 'agree' : r.mode.startsWith('number_typed') ? 'type' : r.mode.startsWith('code_shown') ? 'show' : 'tap';
const said = (r) => ({ agree: login(r) ? 'You said yes' : 'You approved it', show: 'You said yes', tap: `You tapped ${r.answer}`, type: `You typed ${r.answer}` })[act(r)];

const now = () => Date.now() + ahead;

// element makes a node; text is never read as markup.
function element(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null));
  return node;
}

function ago(when) {
  const seconds = Math.max(0, Math.round((now() - Date.parse(when)) / 1000));
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} seconds ago`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return minutes === 1 ? 'a minute ago' : `${minutes} minutes ago`;
  return new Date(when).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}

async function post(path, body) {
  let reply;
  try {
    reply = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body || {}) });
  } catch {
    return 'The phone cannot be reached.';
  }
  if (reply.ok) return '';
  try {
    return (await reply.json()).error;
  } catch {
    return `Error ${reply.status}`;
  }
}

function ringing() {
  return state.rings.filter((r) => r.state === 'ringing' && !(r.expires && Date.parse(r.expires) <= now()));
}

// Home

const words = {
  ringing: () => ['•', '', 'Waiting for you'],
  answered: (r) => r.answer === 'report' ? ['✕', 'no', 'You reported it']
    : r.answer === 'deny' ? ['✕', 'no', login(r) ? 'You said it was not you' : 'You denied it'] : ['→', 'sent', said(r)],
  gone: () => ['–', '', 'Over before you answered'],
  expired: () => ['–', '', 'No answer in time'],
  failed: () => ['!', 'no', 'Your answer could not be sent'],
};

function application(r) {
  if (!login(r)) return r.lines[0].value;
  return (r.context && r.context.application) || r.title || r.host || 'A login';
}

function place(r) {
  const c = r.context || {};
  if (!login(r)) return r.lines.filter((l) => l.label === 'Amount' || l.label === 'To').map((l) => l.value).join(' · ');
  return [c.ip, [c.browser, c.os].filter(Boolean).join(' on ')].filter(Boolean).join(' · ');
}

function drawHome() {
  document.querySelector('#name').textContent = state.name || 'Phone';
  $('login').hidden = !state.login || state.accounts.length === 0;
  if (state.login) $('login').href = state.login;
  for (const part of document.querySelectorAll('.own')) part.hidden = Boolean(state.lent);
  const set = state.lent || state.accounts.length;
  $('idle-text').textContent = set ? 'Nothing to approve' : 'No account yet';
  $('idle-hint').textContent = set
    ? 'This phone rings when somebody logs in to your account.'
    : 'Set up a phone in your browser, then add the text of its QR code below.';
  $('refresh').hidden = state.lent || state.accounts.length === 0;
  $('accounts').replaceChildren(...state.accounts.map((a) => element('li', {},
    element('div', { className: 'grow' },
      element('strong', {}, a.host),
      element('small', {}, a.refused ? 'Not confirmed: remove it' : a.confirmed ? `Added ${ago(a.enrolled)}` : 'To be confirmed')),
    a.signs && a.confirmed ? element('button', { className: 'plain', type: 'button', onclick: () => begin(a), 'aria-label': `Move ${a.host} to another phone` }, 'Move') : null,
    element('button', { className: 'plain', type: 'button', onclick: () => forget(a), 'aria-label': `Remove ${a.host} from this phone` }, 'Remove'))));
  $('accounts').hidden = state.accounts.length === 0;
  $('history').replaceChildren(...state.rings.filter((r) => r.state !== 'ringing').map((r) => {
    const [mark, kind, text] = words[r.state](r);
    return element('li', {},
      element('span', { className: `mark ${kind}`, 'aria-hidden': 'true' }, mark),
      element('div', { className: 'grow' },
        element('strong', {}, application(r)),
        element('small', {}, `${text} · ${ago(r.received)}`),
        element('small', {}, place(r))));
  }));
  $('history-none').hidden = $('history').childElementCount > 0;
}

async function forget(account) {
  if (confirm(`Remove ${account.host} from this phone? Logins there can then no longer be approved with it.`)) {
    await post('forget', { device: account.device });
  }
}

async function begin(account) {
  put = '';
  const error = await post('offer', { device: account.device });
  if (error) alert(`The account cannot be moved now. ${error}`);
}

// The sheet: the request that rings, or what became of the last one; an account to be confirmed, or one that moves.

function current() {
  const waiting = ringing();
  if (waiting.length) return waiting[0];
  const last = state.rings[0];
  const recent = last && last.ended && now() - Date.parse(last.ended) < 60000;
  return recent && !closed.has(last.tx_id) ? last : null;
}

// onTop is what the sheet shows: what tells it from what was shown before, and its nodes.
function onTop() {
  const r = current();
  if (r) {
    const ringing = r.state === 'ringing';
    return { id: r.tx_id, key: [r.state, r.answer, r.wrong, sending === r.tx_id].join(), draw: () => ringing ? question(r) : result(r), ring: ringing && r };
  }
  const moving = state.accounts.find((a) => a.move);
  if (moving) return { id: `move ${moving.device}`, key: [moving.move.state, moving.move.error, busyWith].join(), draw: () => move(moving) };
  const waiting = state.accounts.find((a) => !a.confirmed && !a.refused && a.fingerprint && a.device !== put);
  if (waiting) return { id: `check ${waiting.device}`, key: '', draw: () => compare(waiting) };
  return null;
}

function drawSheet() {
  const t = onTop();
  const key = t ? `${t.id} ${t.key}` : '';
  if (key === shown) return;
  const before = shown;
  shown = key;
  const sheet = $('sheet');
  $('home').inert = Boolean(t);
  if (!t) {
    sheet.hidden = true;
    sheet.replaceChildren();
    if (homeFocus && homeFocus.isConnected) homeFocus.focus();
    quiet();
    return;
  }
  if (!before) homeFocus = document.activeElement;
  const fresh = !before.startsWith(t.id);
  sheet.classList.toggle('enter', fresh);
  sheet.replaceChildren(...t.draw());
  sheet.scrollTop = fresh ? 0 : sheet.scrollTop;
  sheet.hidden = false;
  if (t.ring) {
    if (fresh) ring(t.ring);
  } else {
    quiet();
  }
  if (fresh || !t.ring) sheet.querySelector('#sheet-title').focus();
  tick();
}

// grouped sets the digits of a fingerprint in groups of three, as other screens do.
const grouped = (digits) => digits.replace(/\D/g, '').replace(/(...)(?=.)/g, '$1 ');

function fingerprint(digits) {
  return element('p', { className: 'digits', 'aria-label': [...digits.replace(/\D/g, '')].join(' ') }, grouped(digits));
}

// compare shows the number of an account that is not confirmed yet.
function compare(a) {
  return [
    element('div', { className: 'done' },
      element('h2', { id: 'sheet-title', tabIndex: -1 }, 'Compare this number'),
      fingerprint(a.fingerprint),
      element('p', { className: 'hint', id: 'sheet-what' }, 'Where the code came from, your browser or your old phone, a number is shown, too. Confirm there if it is the same. Another one means that somebody else took the code.'),
      element('p', { className: 'hint' }, a.host)),
    element('div', { className: 'push-down' },
      element('p', { className: 'left' }, 'Waiting for your confirmation there…'),
      element('button', { className: 'button wide', type: 'button', onclick: () => { put = a.device; draw(); } }, 'Later')),
  ];
}

// move is an account on its way to another phone.
function move(a) {
  const m = a.move;
  const send = (path) => async () => {
    busyWith = path;
    draw();
    const error = await post(path, { device: a.device });
    busyWith = '';
    if (error) $('say').textContent = moveError = error;
    draw();
  };
  const button = (text, path, kind) => element('button', { className: `button wide ${kind}`, type: 'button', disabled: busyWith !== '', onclick: send(path) }, text);
  const page = (title, nodes, buttons) => [
    element('div', { className: 'done' }, element('h2', { id: 'sheet-title', tabIndex: -1 }, title), ...nodes),
    element('div', { className: 'push-down' }, element('p', { className: 'error', role: 'alert' }, moveError), ...buttons),
  ];
  if (m.error || m.state === 'none') {
    moveError = '';
    return page('Not moved', [element('p', { className: 'hint', id: 'sheet-what' }, `This phone stays as it was. ${m.error || 'Nobody took the offer in time.'}`)], [button('Done', 'withdraw', '')]);
  }
  if (m.state === 'arrived') {
    return page('Is it the same number?', [
      element('p', { className: 'hint' }, `${m.name} shows:`), fingerprint(m.fingerprint),
      element('p', { className: 'hint', id: 'sheet-what' }, 'Approve only if it does. Otherwise somebody else took the code.')],
    [button('Yes, move the account', 'hand', 'primary'), button('No, stop', 'withdraw', 'deny')]);
  }
  if (m.state === 'approved') {
    moveError = '';
    return page('The new phone is approved', [element('div', { className: 'big sent', 'aria-hidden': 'true' }, '✓'),
      element('p', { className: 'hint', id: 'sheet-what' }, `This phone works until ${m.name} has approved a login.`)], [button('Done', 'withdraw', '')]);
  }
  return page('Move to another phone', [
    m.qr_link ? element('img', { className: 'qr', src: m.qr_link, alt: 'QR code of the link' }) : null,
    element('p', { className: 'hint', id: 'sheet-what' }, m.code ? 'Scan it with the new phone’s camera, or type this code there:' : 'Add an account on the new phone with this text:'),
    m.code ? element('p', { className: 'code' }, m.code) : null,
    element('details', { className: 'text', open: !m.code }, element('summary', {}, 'Text of the QR code'),
      element('textarea', { rows: 4, readOnly: true, 'aria-label': 'Text of the QR code', value: a.offer }))].filter(Boolean),
  [button('Give up', 'withdraw', '')]);
}

function fact(name, value, id) {
  return value ? element('div', {}, element('dt', {}, name), element('dd', id ? { id } : {}, value)) : null;
}

function question(r) {
  const c = r.context || {};
  const more = ringing().length - 1;
  const busy = sending === r.tx_id;
  const choose = (item) => ({ type: 'button', disabled: busy, onclick: () => answer(r, item) });
  return [
    element('div', { className: 'bell', 'aria-hidden': 'true' }, element('img', { src: 'icon.svg', alt: '', width: 56, height: 56 })),
    element('div', { className: 'ask' },
      element('h2', { id: 'sheet-title', tabIndex: -1 }, login(r) ? 'Are you logging in?' : r.lines[0].value),
      element('p', { className: 'hint' }, login(r) ? '' : `${r.host} asks you to approve this`),
      element('p', { className: 'hint' }, more > 0 ? `${more} more waiting` : '')),
    element('dl', { className: login(r) ? 'facts' : 'facts whole', id: 'sheet-what' }, ...(login(r) ? [
      fact('To', application(r)),
      fact('At', c.host && c.host !== application(r) ? c.host : ''),
      fact('From', c.ip),
      fact('With', [c.browser, c.os].filter(Boolean).join(' on ')),
      fact('When', ago(c.time && !c.time.startsWith('0001') ? c.time : r.received), 'sheet-when'),
      c.ip ? null : fact('Note', 'This phone was told no more than the numbers.'),
    ] : r.lines.slice(1).map((l) => fact(l.label, l.value))).filter(Boolean)),
    element('div', { className: 'push-down' },
      r.expires ? element('div', { className: 'left', id: 'left' },
        element('span', { id: 'left-text' }, ''), element('progress', { max: 1, value: 1, 'aria-hidden': 'true' })) : null,
      ...{
        agree: () => [element('button', { className: 'button primary wide', ...choose('accept') }, login(r) ? 'Yes, log me in' : 'Approve')],
        tap: () => [element('p', { className: 'tap', id: 'tap' }, 'Tap the number in your browser'),
          element('div', { className: 'numbers', role: 'group', 'aria-labelledby': 'tap' }, ...r.items.map((item) => element('button', { className: 'number', ...choose(item) }, item)))],
        type: () => [typing(r, busy)],
        show: () => [element('p', { className: 'tap' }, 'Your browser asks for a code. It is shown here when you say yes.'),
          element('button', { className: 'button primary wide', ...choose(r.items[0]) }, 'Yes, show the code')],
      }[act(r)](),
      element('button', { className: 'button deny wide', ...choose('deny') }, login(r) ? 'No, it was not me' : 'Deny'),
      r.signs ? element('button', { className: 'plain', ...choose('report') }, 'Somebody else asks: report it') : null),
  ].filter(Boolean);
}

// typing asks for the number that the browser shows.
function typing(r, busy) {
  const digits = Number(r.mode.slice(-1));
  const input = element('input', {
    id: 'typed', className: 'typed', inputMode: 'numeric', autocomplete: 'off', pattern: `[0-9]{${digits}}`, maxLength: digits, required: true, disabled: busy,
    'aria-describedby': 'typed-wrong',
  });
  return element('form', {
    onsubmit: (event) => {
      event.preventDefault();
      answer(r, input.value);
    },
  },
  element('label', { className: 'tap', htmlFor: 'typed' }, 'Type the number that your browser shows'), input,
  element('p', { className: 'hint error', id: 'typed-wrong', role: 'alert' }, r.wrong ? 'That was not the number. Look again.' : ''),
  element('button', { className: 'button primary wide', type: 'submit', disabled: busy }, 'Yes, log me in'));
}

function result(r) {
  let mark, kind, title, text;
  if (r.state === 'answered' && r.answer === 'report') {
    [mark, kind, title] = ['✕', 'no', 'Reported'];
    text = `${login(r) ? 'Nobody was let in' : 'Nothing was approved'}, and your administrators hear of it.`;
  } else if (r.state === 'answered' && r.answer === 'deny' && !login(r)) {
    [mark, kind, title] = ['✕', 'no', 'Denied'];
    text = 'Nothing was approved.';
  } else if (r.state === 'answered' && r.answer === 'deny') {
    [mark, kind, title] = ['✕', 'no', 'Login refused'];
    text = 'Nobody was let in. Did you not start this login? Then somebody knows your password: change it.';
  } else if (r.state === 'answered') {
    const how = act(r);
    [mark, kind, title] = how === 'tap' ? [r.answer, 'sent', said(r)] : how === 'show' ? [r.answer, 'sent', 'Type this code in your browser'] : ['✓', 'sent', said(r)];
    text = {
      tap: 'If your browser shows this number, it goes on by itself. If it shows another one, the login was refused.',
      show: 'Nobody else may have it: no person, no other page.',
    }[how] || (login(r) ? 'Your browser goes on by itself.' : 'Just this, as it was shown, is approved.');
  } else if (r.state === 'failed') {
    [mark, kind, title] = r.wrong ? ['✕', 'no', 'Too many wrong numbers'] : ['!', 'no', 'Not sent'];
    text = r.wrong ? 'Nobody was let in. Log in again to get another number.' : 'Your answer did not reach the server. ' + (r.error || '');
  } else if (r.state === 'gone') {
    [mark, kind, title] = ['–', '', 'This request is over'];
    text = 'It was answered already, a newer one took its place, or its time ran out.';
  } else {
    [mark, kind, title] = ['–', '', 'Time ran out'];
    text = login(r) ? 'Nobody was let in. Log in again to get a new request.' : 'Nothing was approved.';
  }
  return [
    element('div', { className: 'done' },
      element('div', { className: `big ${kind}`, 'aria-hidden': 'true' }, mark),
      element('h2', { id: 'sheet-title', tabIndex: -1 }, title),
      element('p', { className: 'hint', id: 'sheet-what' }, text),
      element('p', { className: 'hint' }, [application(r), place(r)].filter(Boolean).join(' · '))),
    element('div', { className: 'push-down' },
      r.state === 'failed' && !r.wrong ? element('button', { className: 'button primary wide', type: 'button', onclick: () => answer(r, r.answer) }, 'Try again') : null,
      element('button', { className: 'button wide', type: 'button', onclick: () => { closed.add(r.tx_id); draw(); } }, 'Done')),
  ];
}

async function answer(r, item) {
  if (sending) return;
  sending = r.tx_id;
  draw();
  await post('answer', { tx_id: r.tx_id, item });
  sending = '';
  draw(); // the outcome itself comes with the event stream
}

// Ringing

let flash = 0;
let note = null;

function ring(r) {
  const what = login(r) ? `Are you logging in to ${application(r)}?` : application(r);
  $('say').textContent = `${what} ${place(r)}`;
  if (navigator.vibrate) navigator.vibrate([250, 120, 250, 120, 250]);
  clearInterval(flash);
  let on = true;
  document.title = `🔔 ${what}`;
  flash = setInterval(() => { on = !on; document.title = on ? `🔔 ${what}` : state.name; }, 1000);
  if (window.Notification && Notification.permission === 'granted' && document.hidden) {
    note = new Notification(what, { body: place(r), tag: r.tx_id, icon: 'icon.svg', requireInteraction: true });
    note.onclick = () => { window.focus(); note.close(); };
  }
}

function quiet() {
  clearInterval(flash);
  flash = 0;
  document.title = state.name || 'Phone';
  if (note) note.close();
  note = null;
}

// tick keeps relative times and the countdown up to date.
let warned = '';
function tick() {
  const r = current();
  if (!r || r.state !== 'ringing') return;
  const when = $('sheet-when');
  const c = r.context || {};
  if (when) when.textContent = ago(c.time && !c.time.startsWith('0001') ? c.time : r.received);
  const left = $('left');
  if (!left) return;
  const end = Date.parse(r.expires);
  const start = Date.parse(r.created || r.received);
  const seconds = Math.max(0, Math.ceil((end - now()) / 1000));
  left.querySelector('progress').value = Math.max(0, Math.min(1, (end - now()) / (end - start)));
  $('left-text').textContent = seconds === 1 ? '1 second left' : `${seconds} seconds left`;
  left.classList.toggle('soon', seconds <= 10);
  if (seconds <= 10 && warned !== r.tx_id) {
    warned = r.tx_id;
    $('say').textContent = `${seconds} seconds left`;
  }
}

function draw() {
  drawHome();
  drawSheet();
}

// The page's own controls

$('refresh').onclick = async () => {
  $('refresh').disabled = true;
  const error = await post('refresh');
  $('refresh').disabled = false;
  const text = error || (ringing().length ? '' : 'Nothing is waiting for you.');
  $('idle-hint').textContent = text || $('idle-hint').textContent;
  if (text) $('say').textContent = text;
};

$('enrol').onsubmit = async (event) => {
  event.preventDefault();
  const button = $('enrol').querySelector('button');
  button.disabled = true;
  $('enrol-error').textContent = '';
  const error = await post('enrol', { payload: $('payload').value.trim() });
  button.disabled = false;
  $('enrol-error').textContent = error;
  if (error) {
    $('payload').focus();
    return;
  }
  $('payload').value = '';
  $('add').open = false;
  $('add').querySelector('summary').focus();
  $('say').textContent = 'Account added';
};

if (window.Notification && Notification.permission === 'default' && window.isSecureContext && window.top === window) {
  $('notify').hidden = false;
  $('notify').onclick = async () => { await Notification.requestPermission(); $('notify').hidden = true; };
}

// A link with #enrol=… brings the payload; the person still has to agree to it.
function fromLink() {
  const text = new URLSearchParams(location.hash.slice(1)).get('enrol');
  if (!text) return;
  history.replaceState(null, '', location.pathname);
  $('payload').value = text;
  $('add').open = true;
  $('enrol').querySelector('button').focus();
}
window.addEventListener('hashchange', fromLink);

const stream = new EventSource('events');
stream.onmessage = (event) => {
  state = JSON.parse(event.data);
  ahead = Date.parse(state.now) - Date.now();
  $('link').textContent = state.push || !state.accounts.length ? 'ready' : 'no push';
  $('link').className = 'link up';
  if (accounts !== state.accounts.length) $('add').open = state.accounts.length === 0 || Boolean($('payload').value);
  accounts = state.accounts.length;
  draw();
};
stream.onerror = () => { $('link').textContent = 'offline'; $('link').className = 'link down'; };

setInterval(() => { drawSheet(); tick(); }, 500);
setInterval(drawHome, 20000);
fromLink();

// The desk's page: draws the state of the run that the event stream brings, and sends what the person does.
'use strict';

const $ = (id) => document.getElementById(id);
const pageSize = innerWidth < 640 ? 120 : 400;
const states = { i: 'idle', r: 'ringing', a: 'answering', x: 'offline', '.': 'not there yet' };
let state = null;
let from = 1;
let held = 0;        // the phone in the panel, 0 for none
let stream = null;
let cells = [];      // of the fleet
let returnTo = null; // what had the focus before the panel came

// element makes a node; text is never read as markup.
function element(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== ''));
  return node;
}

async function post(path, body) {
  let reply;
  try {
    reply = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body || {}) });
  } catch {
    return 'The run cannot be reached.';
  }
  if (reply.ok) return '';
  try {
    return (await reply.json()).error;
  } catch {
    return `Error ${reply.status}`;
  }
}

// duration of so many milliseconds.
function duration(ms) {
  if (ms === undefined) return '–';
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Number(ms.toPrecision(3))} ms`;
  if (ms < 100000) return `${Number((ms / 1000).toPrecision(3))} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} min`;
  return `${Math.floor(seconds / 3600)}:${String(Math.floor(seconds % 3600 / 60)).padStart(2, '0')} h`;
}

const words = (name) => name.replaceAll('_', ' ');
const rate = (v) => (v >= 100 ? v.toFixed(0) : v.toFixed(1));

// put sets a text where it changed, so that nothing flickers or is read out anew.
function put(id, text) {
  const node = $(id);
  if (node.textContent !== String(text)) node.textContent = text;
}

function drawTop() {
  const run = state.run;
  document.title = `${run.scenario || 'Run'}: ${state.counts.done} done`;
  put('scenario', run.scenario || 'Run');
  put('about', run.about || '');
  put('seed', run.seed === undefined ? '–' : run.seed);
  const ended = state.phase === 'ended';
  const word = ended ? `ended: ${state.ended || 'done'}` : state.phase === 'preparing' ? 'preparing' : state.paused ? 'paused' : 'running';
  put('link', word);
  $('link').className = `link ${ended ? (state.ended === 'done' ? '' : 'failed') : state.paused ? 'paused' : 'up'}`;
  put('pause', state.paused ? 'Resume' : 'Pause');
  $('pause').disabled = ended;
  $('step').disabled = ended || !state.paused;
  if (state.progress < 0) $('progress').removeAttribute('value');
  else $('progress').value = state.progress;
  const done = state.phase === 'preparing' ? `${state.phones.idle + state.phones.ringing + state.phones.answering} of ${state.phones.all} phones ready`
    : `${state.counts.done}${run.logins ? ` of ${run.logins}` : ''} logins`;
  put('progress-text', [done, duration(state.at), state.left > 0 ? `${duration(state.left)} left` : ''].filter(Boolean).join(' · '));
}

function drawFigures() {
  const { counts, percentiles: p, rates } = state;
  put('f-done', counts.done);
  put('f-flying', `${counts.flying} under way`);
  put('f-wrong', counts.wrong);
  $('f-wrong-box').classList.toggle('bad', counts.wrong > 0);
  put('f-errors', counts.errors === 1 ? '1 error of a step' : `${counts.errors} errors of steps`);
  put('f-p50', duration(p.p50));
  put('f-p95', duration(p.p95));
  put('f-p99', p.p99 === undefined ? 'p99' : `p99 ${duration(p.p99)}`);
  put('f-release', duration(p.release_p95));
  put('f-rate', rate(rates.done));
  put('f-due', `${rate(rates.due)} due, ${rate(rates.errors)} errors a second`);
  const spark = state.spark || [];
  const top = Math.max(1, ...spark.map((s) => Math.max(s.done, s.errors)));
  const bars = (value) => spark.map((s, i) => {
    const height = 100 * value(s) / top;
    return height > 0 ? `M${(60 - spark.length + i) * 10} 100v${-height}h9v${height}z` : '';
  }).join('');
  $('spark-done').setAttribute('d', bars((s) => s.done));
  $('spark-errors').setAttribute('d', bars((s) => s.errors));
  list($('faults'), state.faults, (f) => [`${f.name}${f.text ? `: ${f.text}` : ''}, since ${duration(f.since)}`]);
}

// list draws rows anew where they changed.
function list(node, rows, draw, kind) {
  const key = JSON.stringify(rows);
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(...rows.map((row) => element('li', { className: kind ? kind(row) : '' }, ...draw(row))));
}

const what = (...parts) => element('span', { className: 'what' }, ...parts);
const when = (text) => element('span', { className: 'when' }, text);
const of = (line) => element('small', {}, [line.phone ? `phone ${line.phone}` : '', line.login ? `login ${line.login}` : ''].filter(Boolean).join(', '));

function drawLists() {
  const { phones } = state;
  const legend = [['i', 'idle', phones.idle], ['r', 'ringing', phones.ringing], ['a', 'answering', phones.answering], ['x', 'offline', phones.offline]];
  const key = JSON.stringify(legend);
  if ($('legend').dataset.key !== key) {
    $('legend').dataset.key = key;
    $('legend').replaceChildren(...legend.map(([k, name, n]) => element('span', {}, element('i', { className: `k ${k}` }), `${n} ${name}`)));
  }
  list($('outcomes'), Object.entries(state.outcomes).sort((a, b) => b[1] - a[1]), ([name, n]) =>
    [what(words(name)), when(`${n}  ·  ${(100 * n / state.counts.done).toFixed(1)} %`)]);
  put('waiting', state.waiting || '');
  const pending = state.pending.map((p) => ({ ...p, waited: Math.max(0, Math.round((state.at - p.since) / 100) * 100) }));
  list($('pending'), pending, (p) => [what(`Login ${p.login} `, element('small', {}, `phone ${p.phone}${p.person ? `, will ${words(p.person)}` : ''}, ${words(p.step)}`)), when(duration(p.waited))]);
  put('error-count', state.counts.errors + state.counts.wrong || '');
  list($('errors'), state.errors, (l) => [what(l.text, ' ', of(l)), when(duration(l.at))], (l) => l.kind);
  put('push-rate', state.rates.pushes ? `${rate(state.rates.pushes)} a second` : '');
  list($('pushes'), state.pushes, (l) => [what(`Phone ${l.phone} `, l.login ? element('small', {}, `login ${l.login}`) : ''), when(`${l.took ? `in ${duration(l.took)}, ` : ''}${duration(l.at)}`)]);
}

function drawFleet() {
  const g = state.grid;
  while (cells.length < g.states.length) {
    const place = cells.length;
    const cell = element('button', { type: 'button', className: 'p', tabIndex: place ? -1 : 0 });
    cell.onfocus = () => cells.forEach((c) => { c.tabIndex = c === cell ? 0 : -1; });
    cell.onclick = () => take(state.grid.from + place, cell);
    cells.push(cell);
    $('fleet').append(cell);
  }
  while (cells.length > g.states.length) cells.pop().remove();
  if (cells.length && !cells.some((c) => c.tabIndex === 0)) cells[0].tabIndex = 0;
  const taken = new Set(state.taken || []);
  cells.forEach((cell, i) => {
    const s = g.states[i];
    const last = g.names[g.last.charCodeAt(i) - 65] || '';
    const number = g.from + i;
    const bad = ['failed', 'refused', 'no_phone', 'dropped'].includes(last);
    const name = `p ${s === '.' ? 'absent' : s}${taken.has(number) ? ' taken' : ''}${bad ? ' bad' : ''}`;
    if (cell.className !== name) cell.className = name;
    const label = `Phone ${number}: ${taken.has(number) ? 'taken over, ' : ''}${states[s]}${last ? `, last ${words(last)}` : ''}`;
    if (cell.title !== label) {
      cell.title = label;
      cell.setAttribute('aria-label', label);
    }
    if (cell.disabled !== (s === '.')) cell.disabled = s === '.';
  });
  $('pager').hidden = g.all <= pageSize;
  put('range', `${g.from}–${g.from + Math.max(g.states.length, 1) - 1} of ${g.all}`);
  $('before').disabled = g.from <= 1;
  $('after').disabled = g.from + pageSize > g.all;
}

// The fleet is one stop of the Tab key; within it the arrows go from phone to phone.
$('fleet').onkeydown = (event) => {
  const at = cells.indexOf(document.activeElement);
  const row = cells.filter((c) => c.offsetTop === cells[0].offsetTop).length;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + row, ArrowUp: at - row, Home: 0, End: cells.length - 1 }[event.key];
  if (at < 0 || to === undefined || !cells[to]) return;
  event.preventDefault();
  cells[to].focus();
};

// The panel of phones that were taken over.

async function take(number, cell) {
  const error = await post('take', { phone: number });
  if (error) {
    put('say', error);
    return;
  }
  returnTo = cell;
  show(number);
  $('held-title').focus();
}

function show(number) {
  held = number;
  $('held').hidden = !number;
  if (!number) {
    $('held-phone').removeAttribute('src');
    if (returnTo && returnTo.isConnected) returnTo.focus();
    return;
  }
  put('held-title', `Phone ${number}, taken over`);
  $('held-phone').src = `phone/${number}/`;
  drawTabs();
}

function drawTabs() {
  const taken = state.taken || [];
  const others = taken.length > 1 || (taken.length === 1 && taken[0] !== held) ? taken : [];
  $('held-tabs').replaceChildren(...others.map((n) => element('button', {
    type: 'button', className: 'button small', onclick: () => show(n), ...(n === held ? { 'aria-current': 'true' } : {}),
  }, `Phone ${n}`)));
}

$('release').onclick = async () => {
  const error = await post('release', { phone: held });
  put('say', error || `Phone ${held} answers by itself again`);
  if (!error) show((state.taken || []).find((n) => n !== held) || 0);
};

$('pause').onclick = async () => put('say', await post(state.paused ? 'resume' : 'pause') || (state.paused ? 'The run goes on' : 'The run is paused'));
$('step').onclick = async () => put('say', await post('step') || 'One more login begins');

function turn(by) {
  from = Math.max(1, from + by);
  connect();
}
$('before').onclick = () => turn(-pageSize);
$('after').onclick = () => turn(pageSize);

let tabs = '';
function connect() {
  if (stream) stream.close();
  stream = new EventSource(`events?from=${from}&count=${pageSize}`);
  stream.onmessage = (event) => {
    state = JSON.parse(event.data);
    drawTop();
    drawFigures();
    drawFleet();
    drawLists();
    if (tabs !== JSON.stringify(state.taken)) {
      tabs = JSON.stringify(state.taken);
      drawTabs();
    }
  };
  stream.onerror = () => {
    if (state?.phase === 'ended') { // the server has gone with its run, as it should
      stream.close();
      return;
    }
    put('link', 'no connection to the run');
    $('link').className = 'link down';
  };
}
connect();

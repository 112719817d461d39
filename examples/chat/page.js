'use strict';
const $ = (id) => document.getElementById(id);
const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/chat`;
const SHORTEST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
const PING_MS = 2000;
const SILENCE_MS = 10_000;
const SAMPLES = 48;
const ELSEWHERE = 4001;

// A session is one tab's: who comes back with it is the same member.
const session = sessionStorage.getItem('session') ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
sessionStorage.setItem('session', session);

let socket = null;
let name = sessionStorage.getItem('name') ?? '';
let room = roomOfHash() || sessionStorage.getItem('room') || 'lobby';
let joined = false;
let since = 0;
let failures = 0;
let opened = 0;
let pause = null;
let retry = 0;

// What is not said yet, by room. The first of a room is under way; it goes again, with the same id, until the server has
// it: on another connection, or after a while if it says so. Ids grow, also from one life of the page to the next.
const unsaid = new Map();
let nextId = Date.now();
let sending = 0;
const ownNumbers = new Set();

function roomOfHash() {
  // What the server would refuse anyway need not be decoded.
  return /^#[a-z0-9_-]{1,32}$/i.test(location.hash) ? location.hash.slice(1).toLowerCase() : '';
}

function add(parent, tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

function colour(text) {
  let hash = 0;
  for (const character of text) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return `c${hash % 8}`;
}

// Connecting, and coming back.

function connect() {
  clearTimeout(pause?.timer);
  pause = null;
  showState('connecting', 'Connecting…');
  const ws = new WebSocket(url);
  socket = ws;
  ws.onopen = () => {
    if (ws !== socket) return;
    opened = performance.now();
    heard = opened;
    join();
  };
  ws.onmessage = ({ data }) => {
    if (ws === socket) hear(JSON.parse(data));
  };
  ws.onclose = ({ code }) => {
    if (ws === socket) lost(code);
  };
}

function lost(code) {
  socket = null;
  joined = false;
  sending = 0;
  clearTimeout(retry);
  $('latency').hidden = true;
  if (code === ELSEWHERE) {
    showState('elsewhere', 'You are here in another tab.', 'Come back');
    return;
  }
  // Whoever was here for a while is not part of a rush that has to be spread.
  failures = opened && performance.now() - opened > LONGEST_PAUSE_MS ? 0 : failures + 1;
  opened = 0;
  const longest = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** failures);
  pause = { until: performance.now() + longest * (0.5 + 0.5 * Math.random()), timer: 0 };
  countDown();
}

function countDown() {
  const left = pause.until - performance.now();
  if (left <= 0) {
    connect();
    return;
  }
  showState('waiting', `Reconnecting in ${Math.ceil(left / 1000)} s`, 'Now');
  pause.timer = setTimeout(countDown, Math.min(left, left % 1000 || 1000));
}

function showState(state, text, button = '') {
  if ($('state').textContent !== text) $('state').textContent = text;
  $('state').dataset.state = state;
  $('now').textContent = button;
  $('now').hidden = !button;
}

function send(request) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request));
}

function join() {
  if (name) send({ type: 'join', room, name, session, since });
  else enter();
}

// What the server says.

function hear(said) {
  heard = performance.now();
  switch (said.type) {
    case 'welcome':
      if (said.room !== room) return;
      welcome(said);
      break;
    case 'message':
      if (joined) show(said);
      break;
    case 'said':
      ownNumbers.add(said.seq);
      document.querySelector(`#log [data-seq="${said.seq}"]`)?.classList.add('own');
      settle(said.id);
      break;
    case 'later':
      $('notice').textContent = said.why;
      sending = 0;
      clearTimeout(retry);
      retry = setTimeout(said.id === null ? join : say, said.after_ms);
      break;
    case 'refused':
      if (said.id === null) {
        enter(said.why);
      } else {
        settle(said.id);
        $('notice').textContent = said.why;
      }
      break;
    case 'here':
      showHere(said);
      break;
    case 'status':
      showConnected(said.connected);
      break;
    case 'missed':
      showMissed();
      break;
    case 'pong':
      measured(said.id);
      break;
  }
}

function welcome(said) {
  joined = true;
  name = said.name;
  sessionStorage.setItem('name', name);
  sessionStorage.setItem('room', room);
  if ($('enter').open) {
    $('enter').close();
    $('text').focus();
  }
  if (!since) $('log').replaceChildren();
  if (said.missed) showMissed();
  said.history.forEach(show);
  $('you').textContent = name;
  $('server').textContent = said.server;
  $('notice').textContent = '';
  showConnected(said.connected);
  showRooms();
  ping();
  say();
}

function showMissed() {
  add($('log'), 'li', 'note', 'Some older messages are gone.');
}

function showConnected(connected) {
  if (connected) {
    showState('open', 'Connected');
    $('notice').textContent = '';
    say();
  } else {
    showState('apart', 'The servers cannot reach each other; messages wait.');
  }
}

function show(message) {
  const log = $('log');
  const before = log.lastElementChild;
  const entry = add(log, 'li', '', '');
  entry.dataset.seq = message.seq;
  entry.dataset.name = message.name;
  const follows = before?.dataset.name === message.name && message.at - before.dataset.at < 300_000;
  entry.classList.toggle('first', !follows);
  entry.classList.toggle('own', ownNumbers.has(message.seq) || (message.name === name && before?.classList.contains('own') && follows));
  entry.dataset.at = message.at;
  add(entry, 'bdi', `who ${colour(message.name)}`, message.name);
  add(entry, 'span', 'text', message.text);
  const when = new Date(message.at);
  const time = add(entry, 'time', '', when.toLocaleTimeString([], { timeStyle: 'short' }));
  time.dateTime = when.toISOString();
  since = message.seq;
  while (log.children.length > 1000) log.firstElementChild.remove();
  if (following) toEnd();
  else $('down').hidden = false;
}

// Whoever has scrolled up reads something there, and is not to be moved.
let following = true;

function toEnd() {
  $('log').scrollTop = $('log').scrollHeight;
}

function showHere({ count, names }) {
  $('count').textContent = count;
  $('menu-count').textContent = count;
  $('here').replaceChildren();
  for (const one of names) add(add($('here'), 'li', '', ''), 'bdi', colour(one), one);
  if (count > names.length) add($('here'), 'li', 'quiet', `and ${count - names.length} more`);
}

// What we say.

function queue() {
  if (!unsaid.has(room)) unsaid.set(room, []);
  return unsaid.get(room);
}

function say() {
  const [first] = queue();
  if (!joined || sending || !first) return;
  sending = first.id;
  send({ type: 'say', id: first.id, text: first.text });
}

function settle(id) {
  for (const waiting of unsaid.values()) {
    if (waiting[0]?.id === id) waiting.shift();
  }
  if (sending === id) sending = 0;
  $('notice').textContent = '';
  showUnsaid();
  say();
}

function showUnsaid() {
  $('unsaid').replaceChildren();
  for (const { text } of queue()) add($('unsaid'), 'li', '', text);
}

// Rooms and names.

function goTo(other) {
  other = other.trim().toLowerCase();
  if (!other || other === room) return;
  room = other;
  joined = false;
  sending = 0;
  since = 0;
  clearTimeout(retry);
  $('log').replaceChildren();
  $('down').hidden = true;
  showHere({ count: 0, names: [] });
  showRooms();
  showUnsaid();
  join();
}

function showRooms() {
  const visited = new Set(['lobby', ...JSON.parse(localStorage.getItem('rooms') ?? '[]')]);
  if (joined) visited.add(room);
  const list = [...visited].slice(-12);
  localStorage.setItem('rooms', JSON.stringify(list));
  $('rooms').replaceChildren();
  for (const one of list) {
    const button = add(add($('rooms'), 'li', '', ''), 'button', '', one);
    button.type = 'button';
    if (one === room) button.setAttribute('aria-current', 'true');
    button.onclick = () => {
      closeMenu();
      goTo(one);
    };
  }
  $('room-name').textContent = room;
  document.title = `${room} – chat`;
  if (roomOfHash() !== room) history.replaceState(null, '', `#${room}`);
}

function enter(why = '') {
  $('enter-error').textContent = why;
  // What somebody is typing already is left alone.
  if ($('enter').open) return;
  $('name').value = name;
  $('room').value = room;
  $('enter').showModal();
  $('name').select();
}

function closeMenu() {
  $('side').classList.remove('open');
  $('menu').setAttribute('aria-expanded', 'false');
}

// Latency. A browser has no pings of its own to offer, so the chat has; they also find out that nobody answers.

const samples = [];
const pings = new Map();
let heard = 0;

function ping() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  if (performance.now() - heard > SILENCE_MS) {
    // The closing handshake would wait for the same silence.
    const silent = socket;
    lost(1006);
    silent.close();
    return;
  }
  const id = ++nextId;
  pings.set(id, performance.now());
  send({ type: 'ping', id });
}

function measured(id) {
  const sent = pings.get(id);
  pings.clear();
  if (sent === undefined) return;
  samples.push(performance.now() - sent);
  if (samples.length > SAMPLES) samples.shift();
  const latest = samples.at(-1);
  // A quiet line is low: the scale begins at 50 ms.
  const top = Math.max(50, ...samples);
  const points = samples.map((sample, n) => [(96 * (SAMPLES - samples.length + n)) / (SAMPLES - 1), 23 - (22 * sample) / top]);
  const line = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join(' L');
  $('latency-line').setAttribute('d', `M${line}`);
  $('latency-area').setAttribute('d', `M${points[0][0].toFixed(1)} 24 L${line} L96 24 Z`);
  $('latency-text').textContent = `${latest < 10 ? latest.toFixed(1) : Math.round(latest)} ms`;
  $('latency').setAttribute('aria-label', `Latency ${$('latency-text').textContent}`);
  $('latency').hidden = false;
}

// The page.

$('say-form').onsubmit = (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (text) {
    queue().push({ id: ++nextId, text });
    showUnsaid();
    say();
  }
  $('text').value = '';
  $('text').focus();
};
$('text').onkeydown = (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $('say-form').requestSubmit();
  }
};
$('enter-form').onsubmit = (event) => {
  event.preventDefault();
  name = $('name').value.trim();
  const chosen = $('room').value;
  const before = room;
  goTo(chosen);
  if (room === before) {
    since = 0;
    join();
  }
};
$('enter').oncancel = (event) => {
  if (!joined) event.preventDefault();
};
$('go-form').onsubmit = (event) => {
  event.preventDefault();
  goTo($('go').value);
  $('go').value = '';
  closeMenu();
};
$('rename').onclick = () => {
  closeMenu();
  enter();
};
$('menu').onclick = () => {
  const open = $('side').classList.toggle('open');
  $('menu').setAttribute('aria-expanded', String(open));
};
$('now').onclick = connect;
$('down').onclick = toEnd;
$('log').onscroll = () => {
  const log = $('log');
  following = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  if (following) $('down').hidden = true;
};
new ResizeObserver(() => {
  if (following) toEnd();
}).observe($('log'));
document.onkeydown = (event) => {
  if (event.key === 'Escape') closeMenu();
};
addEventListener('hashchange', () => goTo(roomOfHash()));
addEventListener('online', () => {
  if (pause) connect();
});
setInterval(ping, PING_MS);

showRooms();
showHere({ count: 0, names: [] });
if (!name) enter();
connect();

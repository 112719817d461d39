// One conversation through the npm package `ws` with an echoing wstrand peer.
//
// usage: node ws_peer.js client URL SCENARIO    connects to an echo server
//        node ws_peer.js server SCENARIO        prints `listening on ws://127.0.0.1:PORT/` and serves one echo client
//
// In both roles this side leads: it sends, and demands back what an echo must be.
// Exit status 0 says that everything matched; anything else is told on stderr.
'use strict';

const path = require('node:path');
const { createRequire } = require('node:module');
const { once } = require('node:events');

const modules = path.join(__dirname, '..', '..', 'target', 'peers', 'node', 'package.json');
const WebSocket = createRequire(modules)('ws');
const version = createRequire(modules)('ws/package.json').version;

const DEADLINE_MS = 100_000;
const MIXED = 'aé漢🦀\0'; // UTF-8 of every length

class Mismatch extends Error {}

function show(value) {
  const text = Buffer.isBuffer(value) ? `binary ${value.toString('hex', 0, 40)}` : JSON.stringify(value);
  return value?.length > 80 ? `${text.slice(0, 60)}… (${value.length} long)` : String(text);
}

function check(what, got, wanted) {
  const same = Buffer.isBuffer(got) && Buffer.isBuffer(wanted) ? got.equals(wanted) : got === wanted;
  if (!same) throw new Mismatch(`${what}: got ${show(got)}, wanted ${show(wanted)}${difference(got, wanted)}`);
}

// Where two long messages part; the ends that `show` gives would look alike.
function difference(got, wanted) {
  if (got?.length === undefined || typeof got !== typeof wanted) return '';
  let same = 0;
  while (same < Math.min(got.length, wanted.length) && got[same] === wanted[same]) same++;
  return `, alike up to ${same}`;
}

// Text of exactly `length` bytes with characters of every width.
function textOf(length) {
  const unit = Buffer.byteLength(MIXED);
  return MIXED.repeat(Math.floor(length / unit)) + 'x'.repeat(length % unit);
}

const binaryOf = (length) => Buffer.alloc(length, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));

// What arrives on a connection, in order, for one reader that awaits it.
class Inbox {
  constructor(ws) {
    this.ws = ws;
    this.events = [];
    this.wake = () => {};
    const put = (event) => {
      this.events.push(event);
      this.wake();
    };
    ws.on('message', (data, isBinary) => put({ type: 'message', data: isBinary ? data : data.toString() }));
    ws.on('pong', (data) => put({ type: 'pong', data }));
    ws.on('close', (code, reason) => put({ type: 'close', code, reason: reason.toString() }));
    ws.on('error', (error) => put({ type: 'error', error }));
  }

  async next() {
    while (this.events.length === 0) await new Promise((resolve) => (this.wake = resolve));
    const event = this.events.shift();
    if (event.type === 'error') throw event.error;
    return event;
  }

  async expect(type, data) {
    const event = await this.next();
    if (event.type !== type) {
      throw new Mismatch(`a ${event.type} instead of a ${type}: ${show(event.data ?? `${event.code} ${event.reason}`)}`);
    }
    if (data !== undefined) check(type, event.data, data);
    return event;
  }

  async echoed(message) {
    this.ws.send(message);
    await this.expect('message', message);
  }

  async expectClose(code, reason) {
    const event = await this.expect('close');
    check('close code', event.code, code);
    if (reason !== undefined) check('close reason', event.reason, reason);
  }
}

const SCENARIOS = {
  async text(ws, inbox) {
    for (const length of [1, 11, 125, 126, 127, 65535, 65536]) await inbox.echoed(textOf(length));
    await inbox.echoed(MIXED);
  },

  async binary(ws, inbox) {
    for (const length of [1, 125, 126, 127, 65535, 65536]) await inbox.echoed(binaryOf(length));
  },

  async empty(ws, inbox) {
    for (const message of ['', Buffer.alloc(0), '', Buffer.alloc(0)]) await inbox.echoed(message);
  },

  async large(ws, inbox) {
    await inbox.echoed(textOf((1 << 20) + 1));
    await inbox.echoed(binaryOf((1 << 20) + 1));
  },

  async huge(ws, inbox) {
    await inbox.echoed(textOf(16 << 20));
  },

  async fragmented(ws, inbox) {
    // Cut inside characters: every fragment but the first starts where it likes.
    const whole = Buffer.from(MIXED.repeat(5));
    for (let i = 0; i < whole.length; i++) {
      ws.send(whole.subarray(i, i + 1), { binary: false, fin: i === whole.length - 1 });
    }
    await inbox.expect('message', whole.toString());

    ws.send(Buffer.alloc(0), { binary: true, fin: false });
    ws.send(binaryOf(70000), { binary: true, fin: false });
    ws.send(Buffer.from('end'), { binary: true, fin: false });
    ws.send(Buffer.alloc(0), { binary: true, fin: true });
    await inbox.expect('message', Buffer.concat([binaryOf(70000), Buffer.from('end')]));

    // A ping between two fragments is answered before the message is whole.
    ws.send('before ', { fin: false });
    ws.ping('in between');
    await inbox.expect('pong', Buffer.from('in between'));
    ws.send('after', { fin: true });
    await inbox.expect('message', 'before after');
  },

  async ping(ws, inbox) {
    for (const payload of [Buffer.alloc(0), Buffer.from('hello'), binaryOf(125)]) {
      ws.ping(payload);
      await inbox.expect('pong', payload);
    }
    ws.pong('not asked for');
    await inbox.echoed('still here');
  },

  async sequence(ws, inbox) {
    for (let number = 0; number < 200; number++) {
      await inbox.echoed(number % 2 ? `message ${number}` : Buffer.from([0, 0, 0, number]));
    }
  },

  async pipelined(ws, inbox) {
    const count = 20000;
    for (let number = 0; number < count; number++) ws.send(String(number));
    for (let number = 0; number < count; number++) await inbox.expect('message', String(number));
  },

  async subprotocol(ws, inbox) {
    // This side offers or serves (nope, demo); wstrand knows (other, demo).
    check('subprotocol', ws.protocol, 'demo');
    await inbox.echoed('agreed');
  },

  async no_subprotocol(ws, inbox) {
    // No common one: the connection opens all the same, without.
    check('subprotocol', ws.protocol, '');
    await inbox.echoed('agreed on none');
  },

  async close_here(ws, inbox) {
    await inbox.echoed('last words');
    ws.close(4003, 'this side is done ✓');
    await inbox.expectClose(4003);
  },

  async close_without_code(ws, inbox) {
    await inbox.echoed('last words');
    ws.close();
    await inbox.expectClose(1005, '');
  },

  async close_there(ws, inbox) {
    ws.send('/close 4001 the server is done ✓');
    await inbox.expectClose(4001, 'the server is done ✓');
  },

  async going_away(ws, inbox) {
    await inbox.echoed('still here');
    console.log('connected'); // The test stops the server now.
    await inbox.expectClose(1001);
  },

  async drop(ws, inbox) {
    await inbox.echoed('soon gone');
    ws.terminate();
    await inbox.expect('close');
  },
};

const ENDS_ITSELF = ['close_here', 'close_without_code', 'close_there', 'going_away', 'drop'];
const SUBPROTOCOLS = { subprotocol: ['nope', 'demo'], no_subprotocol: ['nope'] };

async function converse(ws, scenario) {
  const inbox = new Inbox(ws);
  if (ws.readyState === WebSocket.CONNECTING) await once(ws, 'open');
  await SCENARIOS[scenario](ws, inbox);
  if (!ENDS_ITSELF.includes(scenario)) {
    ws.close(1000, 'done');
    await inbox.expectClose(1000);
  }
}

async function client(url, scenario) {
  await converse(new WebSocket(url, SUBPROTOCOLS[scenario] ?? []), scenario);
}

async function server(scenario) {
  const served = SUBPROTOCOLS[scenario];
  const handleProtocols = served && ((offered) => served.find((protocol) => offered.has(protocol)) ?? false);
  const listener = new WebSocket.Server({ host: '127.0.0.1', port: 0, handleProtocols });
  await once(listener, 'listening');
  console.log(`listening on ws://127.0.0.1:${listener.address().port}/`);
  const [ws] = await once(listener, 'connection');
  await converse(ws, scenario);
}

async function main() {
  const [role, ...rest] = process.argv.slice(2);
  setTimeout(() => {
    console.error(`ws ${version}, ${process.argv.slice(2).join(' ')}: not done after ${DEADLINE_MS / 1000} s`);
    process.exit(1);
  }, DEADLINE_MS);
  try {
    await { client, server }[role](...rest);
    process.exit(0);
  } catch (error) {
    const told = error instanceof Mismatch ? error.message : error.stack;
    console.error(`ws ${version}, ${process.argv.slice(2).join(' ')}: ${told}`);
    process.exit(1);
  }
}

main();

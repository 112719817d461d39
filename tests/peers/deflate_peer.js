// Compressed messages through the npm package `ws`, with an echoing wstrand peer.
//
// usage: node deflate_peer.js client SETTINGS URL    connects to an echo server
//        node deflate_peer.js server SETTINGS        prints `listening on ws://127.0.0.1:PORT/` and serves one echo client
//
// SETTINGS is the package's option perMessageDeflate in JSON, or false for none. In both roles this side leads: it sends,
// and demands the echo back. It prints what it takes for agreed, then `bytes N`: how long all messages together were.
// Exit status 0 says that everything matched; anything else is told on stderr.
'use strict';

const path = require('node:path');
const { createCipheriv } = require('node:crypto');
const { createRequire } = require('node:module');
const { once } = require('node:events');

const modules = path.join(__dirname, '..', '..', 'target', 'peers', 'node', 'package.json');
const WebSocket = createRequire(modules)('ws');

const DEADLINE_MS = 100_000;
const TEXT = 'the window slides, and é漢🦀 with it; ';

// The same numbers each time.
let state = 7;
function chance(below) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return (state >>> 8) % below;
}
const noise = (length) => createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16, chance(256))).update(Buffer.alloc(length));

function* messages() {
  const text = TEXT.repeat(1 << 15).slice(0, 1 << 20);
  yield* ['', Buffer.alloc(0), 'x', Buffer.from([0]), text, Buffer.from(text).subarray(0, 1 << 20), noise(5 << 20)];
  for (let number = 0; number < 500; number++) {
    yield `{"number":${number},"what":"${TEXT.repeat(chance(4))}"}`;
    if (number % 10 === 0) yield noise(chance(3000));
  }
}

// What arrives, for one reader that awaits it.
class Inbox {
  constructor(ws) {
    this.events = [];
    this.wake = () => {};
    const put = (event) => {
      this.events.push(event);
      this.wake();
    };
    ws.on('message', (data, isBinary) => put(isBinary ? data : data.toString()));
    ws.on('close', (code) => put(new Error(`closed with ${code}`)));
    ws.on('error', put);
  }

  async next() {
    while (this.events.length === 0) await new Promise((resolve) => (this.wake = resolve));
    const event = this.events.shift();
    if (event instanceof Error) throw event;
    return event;
  }

  async expect(message) {
    const echo = await this.next();
    const isSame = Buffer.isBuffer(message) ? Buffer.isBuffer(echo) && echo.equals(message) : echo === message;
    if (!isSame) throw new Error(`a message of ${message.length} does not come back`);
  }
}

// In pieces, an empty one among them.
function sendFragments(ws, message) {
  const binary = Buffer.isBuffer(message);
  const bytes = Buffer.from(message);
  const third = Math.floor(bytes.length / 3);
  const pieces = [bytes.subarray(0, third), bytes.subarray(0, 0), bytes.subarray(third, 2 * third), bytes.subarray(2 * third)];
  pieces.forEach((piece, n) => ws.send(piece, { binary, fin: n === pieces.length - 1, compress: true }));
}

async function converse(ws) {
  const inbox = new Inbox(ws);
  if (ws.readyState === WebSocket.CONNECTING) await once(ws, 'open');
  console.log('agreed', JSON.stringify(ws._extensions['permessage-deflate']?.params ?? null));
  let total = 0;
  let number = 0;
  for (const message of messages()) {
    if (number % 3 === 0) sendFragments(ws, message);
    else ws.send(message, { compress: number % 7 !== 1 });
    await inbox.expect(message);
    total += Buffer.byteLength(message);
    number++;
  }
  // And without waiting for each: the context goes on all the same.
  const many = Array.from({ length: 2000 }, (_, n) => TEXT + n);
  many.forEach((message) => ws.send(message));
  for (const message of many) {
    await inbox.expect(message);
    total += Buffer.byteLength(message);
  }
  console.log(`bytes ${total}`);
  ws.close(1000, 'done');
  const [code] = await once(ws, 'close');
  if (code !== 1000) throw new Error(`the answer to Close has ${code}`);
}

async function client(perMessageDeflate, url) {
  await converse(new WebSocket(url, { perMessageDeflate, maxPayload: 0 }));
}

async function server(perMessageDeflate) {
  const listener = new WebSocket.Server({ host: '127.0.0.1', port: 0, perMessageDeflate, maxPayload: 0 });
  await once(listener, 'listening');
  console.log(`listening on ws://127.0.0.1:${listener.address().port}/`);
  const [ws] = await once(listener, 'connection');
  await converse(ws);
}

async function main() {
  const [role, settings, ...rest] = process.argv.slice(2);
  setTimeout(() => {
    console.error(`not done after ${DEADLINE_MS / 1000} s`);
    process.exit(1);
  }, DEADLINE_MS);
  try {
    await { client, server }[role](JSON.parse(settings), ...rest);
    process.exit(0);
  } catch (error) {
    console.error(`${process.argv.slice(2).join(' ')}: ${error.stack}`);
    process.exit(1);
  }
}

main();

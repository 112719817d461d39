// An echo server over the npm package `ws`.
//
// usage: node server.js PORT [--tls CERT.pem KEY.pem] [--deflate]
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');

const modules = path.join(__dirname, '..', '..', '..', 'target', 'peers', 'node', 'package.json');
const { WebSocketServer } = createRequire(modules)('ws');

const [port, ...options] = process.argv.slice(2);
const tls = options.indexOf('--tls');
const server =
  tls < 0
    ? require('node:http').createServer()
    : require('node:https').createServer({ cert: fs.readFileSync(options[tls + 1]), key: fs.readFileSync(options[tls + 2]) });
const perMessageDeflate = options.includes('--deflate') ? { threshold: 0 } : false;
new WebSocketServer({ server, perMessageDeflate, maxPayload: 256 << 20 }).on('connection', (ws) => {
  ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
  ws.on('error', () => {});
});
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });

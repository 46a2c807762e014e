// A gateway's APNs side made of @parse/node-apn: a request per line on stdin, its answer on stdout.
//
// A request is "<number> <JSON array of [token, title, body]>", an answer "<number> ok" or "<number> <what failed>".
'use strict';

const readline = require('node:readline');
const apn = require('@parse/node-apn');

const [host, port, ca, key, keyId, teamId, topic, clients] = process.argv.slice(2);

const provider = new apn.MultiProvider({
  address: host,
  port: Number(port),
  ca,
  token: { key, keyId, teamId },
  clientCount: Number(clients),
});

function notification(title, body) {
  const made = new apn.Notification();
  made.topic = topic;
  made.pushType = 'alert';
  made.priority = 10;
  made.alert = { title, body };
  return made;
}

function reason(failure) {
  return failure.response?.reason ?? failure.error?.message ?? `status ${failure.status}`;
}

async function push(number, pushes) {
  const results = await Promise.all(
    pushes.map(([token, title, body]) => provider.send(notification(title, body), token)),
  );
  const failed = results.flatMap((result) => result.failed);
  const answer = failed.length === 0 ? 'ok' : `${failed.length} failed: ${reason(failed[0])}`;
  process.stdout.write(`${number} ${answer}\n`);
}

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on('line', (line) => {
  const space = line.indexOf(' ');
  push(line.slice(0, space), JSON.parse(line.slice(space + 1)));
});
lines.on('close', () => provider.shutdown());
process.stdout.write('ready\n');

// The certified `oidc-provider` as a peer of tests: any number of realms, each with its own keys, counts and faults.
//
//   node server.mjs <port, 0 for any> <issuer origin, such as http://idp.test>
//
// Prints the port when it listens, and ends when its standard input does. Besides `/realms/<realm>/…` there is
// `POST /control/<realm>` with `{"keys": [2, 1], "faults": {"metadata": …, "keys": …}}`, each part optional. It answers how often metadata and
// keys were asked for since the last such call. Keys are told by a number from which they are made, so that they
// outlive this process; the first one signs. Faults are the members of `faults` below; `ok` ends one.

import { createECDH, createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import Provider from 'oidc-provider';

const [port, origin] = process.argv.slice(2);
const RESOURCE = 'https://payments.example';
const ASKED = { '/.well-known/openid-configuration': 'metadata', '/jwks': 'keys' };

const answer = (response, status, type, body) => response.writeHead(status, { 'content-type': type }).end(body);
const faults = {
  hang: () => {},
  500: (response) => answer(response, 500, 'text/plain', 'out of order'),
  html: (response) => answer(response, 200, 'text/html', '<html>Please sign in</html>'),
  huge: (response) => answer(response, 200, 'application/json', JSON.stringify({ keys: [], padding: 'x'.repeat(10 << 20) })),
  wrong_issuer: (response, realm) =>
    answer(response, 200, 'application/json', JSON.stringify({ issuer: `${origin}/realms/other`, jwks_uri: `${origin}/realms/${realm}/jwks` })),
  empty: (response) => answer(response, 200, 'application/json', '{"keys": []}'),
};

function key(number) {
  const pair = createECDH('prime256v1');
  const d = createHash('sha256').update(`key ${number}`).digest();
  pair.setPrivateKey(d);
  const point = pair.getPublicKey();
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString('base64url'));
  return { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig', kid: `key-${number}`, d: d.toString('base64url'), x, y };
}

function provider(realm, keys) {
  const made = new Provider(`${origin}/realms/${realm}`, {
    clients: [{
      client_id: 'batch', client_secret: 'a secret that everybody may know', token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [], id_token_signed_response_alg: 'ES256',
    }],
    jwks: { keys: keys.map(key) },
    extraTokenClaims: () => ({ groups: ['payments'] }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        getResourceServerInfo: () => ({
          scope: 'payments', audience: 'payments', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  return made.callback();
}

// It warns once a realm that this is not for production.
console.warn = () => {};

const realms = new Map();
function find(name) {
  const fresh = () => ({ callback: provider(name, [1]), faults: {}, counts: { metadata: 0, keys: 0 } });
  return realms.get(name) ?? realms.set(name, fresh()).get(name);
}

async function control(request, response, name) {
  const realm = find(name);
  const wanted = await json(request);
  if (wanted.keys) realm.callback = provider(name, wanted.keys);
  Object.assign(realm.faults, wanted.faults);
  answer(response, 200, 'application/json', JSON.stringify(realm.counts));
  realm.counts = { metadata: 0, keys: 0 };
}

const server = createServer((request, response) => {
  const [, kind, name, rest] = request.url.match(/^\/(control|realms)\/([a-z0-9-]+)(.*)$/) ?? [];
  if (kind === 'control') return control(request, response, name);
  if (kind !== 'realms') return answer(response, 404, 'text/plain', 'no such realm');
  const realm = find(name);
  const asked = ASKED[rest];
  if (asked) realm.counts[asked] += 1;
  const fault = faults[realm.faults[asked]];
  if (fault) return fault(response, name);
  // What the provider calls the path that it is mounted under is what `originalUrl` has before `url`.
  request.originalUrl = request.url;
  request.url = rest;
  return realm.callback(request, response);
});

server.listen(Number(port), '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit());

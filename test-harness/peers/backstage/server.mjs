// A Backstage backend as a peer of tests: its real catalog and its real issuer of tokens, all in memory.
//
//   node server.mjs <port, 0 for any> <public base URL, such as http://backstage.test>
//
// Prints two ports when the catalog answers, its own and that of its control, and ends when its standard input does.
// `GET /api/auth/test/refresh` with the header `x-user: user:default/ada` signs that user in; whom the catalog does not
// know owns nothing but itself. The control answers these requests:
//
//   PUT /entities    a list of entities, which become all there are
//   PATCH /entities  {"upsert": [entity, …], "remove": ["component:default/a", …]}, each part optional
//                    Both answer when the catalog shows the change: 200, or 422 with an error by each entity that is refused.
//   PUT /faults      what `entities/by-query` does wrong from now on: the members of `faults` below with a value, and
//                    {"delay_ms": 500} and {"fail_after_pages": 2}, which fails all pages but the first so many of each read
//   GET /counts      {"queries": 1, "keys": 0, "userinfo": 0}: how often each was asked for since the last such call
//
// Faults and counts are of requests that come through the printed port, so not of those that Backstage makes of itself.

import { createServer, request as forward } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBackend } from '@backstage/backend-defaults';
import { coreServices, createBackendModule, createServiceFactory } from '@backstage/backend-plugin-api';
import { ConfigReader } from '@backstage/config';
import { authProvidersExtensionPoint, createProxyAuthenticator, createProxyAuthProviderFactory } from '@backstage/plugin-auth-node';
import { catalogProcessingExtensionPoint } from '@backstage/plugin-catalog-node';

const [port, base] = process.argv.slice(2);

// Secrets of nothing but tests. The catalog shows the writer no entities, though it answers 200, and answers the stranger 403.
const TOKENS = {
  gateway: { token: 'test-only-token-of-the-gateway', plugin: 'catalog', permission: 'catalog.entity.read' },
  writer: { token: 'test-only-token-of-a-writer', plugin: 'catalog', permission: 'catalog.entity.create' },
  stranger: { token: 'test-only-token-of-a-stranger', plugin: 'scaffolder' },
};

const ASKED = {
  '/api/catalog/entities/by-query': 'queries',
  '/api/auth/.well-known/jwks.json': 'keys',
  '/api/auth/v1/userinfo': 'userinfo',
};

async function listen(server, port) {
  await new Promise((resolve, reject) => server.on('error', reject).listen(port, '127.0.0.1', resolve));
  return server.address().port;
}

// Backstage has to be told its port to find itself, so it cannot have any.
async function freePort() {
  const server = createServer();
  const port = await listen(server, 0);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const inner = await freePort();

const config = new ConfigReader({
  app: { baseUrl: base },
  backend: {
    baseUrl: base,
    listen: { host: '127.0.0.1', port: inner },
    database: { client: 'better-sqlite3', connection: ':memory:' },
    auth: {
      externalAccess: Object.entries(TOKENS).map(([subject, { token, ...restriction }]) => (
        { type: 'static', options: { token, subject }, accessRestrictions: [restriction] })),
    },
  },
  auth: { providers: { test: {} } },
  events: { useEventBus: 'never' },
  catalog: {
    // All that changes comes from the control.
    processingInterval: { hours: 12 },
    stitchingStrategy: { pollingInterval: { milliseconds: 20 } },
    disableDefaultProcessors: true,
  },
});

const complain = (...what) => console.error(...what);
const logger = { error: complain, warn: complain, info: () => {}, debug: () => {}, child: () => logger };

const signIn = createBackendModule({
  pluginId: 'auth',
  moduleId: 'test-provider',
  register(module) {
    module.registerInit({
      deps: { providers: authProvidersExtensionPoint },
      async init({ providers }) {
        providers.registerProvider({
          providerId: 'test',
          factory: createProxyAuthProviderFactory({
            authenticator: createProxyAuthenticator({
              defaultProfileTransform: async () => ({ profile: {} }),
              initialize: () => {},
              authenticate: async ({ req }) => ({ result: { entityRef: req.header('x-user') } }),
            }),
            signInResolver: ({ result }, context) => context.signInWithCatalogUser(result, { dangerousEntityRefFallback: result }),
          }),
        });
      },
    });
  },
});

// What the catalog module below comes by: `connection` to change entities, `database` to see them get through.
const catalog = {};

const entities = createBackendModule({
  pluginId: 'catalog',
  moduleId: 'test-entities',
  register(module) {
    module.registerInit({
      deps: { processing: catalogProcessingExtensionPoint, database: coreServices.database },
      async init({ processing, database }) {
        catalog.database = await database.getClient();
        processing.addEntityProvider({
          getProviderName: () => 'test',
          connect: async (connection) => { catalog.connection = connection; },
        });
      },
    });
  },
});

// The catalog demands to know where an entity is from.
const ORIGIN = { 'backstage.io/managed-by-location': 'test:control', 'backstage.io/managed-by-origin-location': 'test:control' };

const deferred = (entity) => (
  { entity: { ...entity, metadata: { ...entity.metadata, annotations: { ...ORIGIN, ...entity.metadata.annotations } } } });

async function change(response, mutation) {
  await catalog.connection.applyMutation(mutation);
  // Between leaving one queue and entering the other an entity is in none for a moment.
  for (let quiet = 0; quiet < 4;) {
    await sleep(20);
    const [{ busy }] = await catalog.database.raw(`SELECT
      EXISTS (SELECT * FROM refresh_state WHERE next_update_at <= datetime('now')) OR EXISTS (SELECT * FROM stitch_queue) AS busy`);
    quiet = busy ? 0 : quiet + 1;
  }
  const rows = await catalog.database('refresh_state').whereNot('errors', '[]').select('entity_ref', 'errors');
  const refused = rows.map((row) => [row.entity_ref, JSON.parse(row.errors)[0].message]);
  answer(response, refused.length ? 422 : 200, Object.fromEntries(refused));
}

let counts = {};
let wrong = {};
let pages = 0;

function answer(response, status, body) {
  const text = typeof body === 'string';
  response.writeHead(status, { 'content-type': text ? 'text/html' : 'application/json' }).end(text ? body : JSON.stringify(body));
}

const faults = {
  hang: () => {},
  status: (response, status) => answer(response, status, '<html>Out of order</html>'),
  not_json: (response) => answer(response, 200, '<html>Please sign in</html>'),
  // The connection closes in the middle of a page.
  cut: (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"items":[{"kind":"Comp', () => response.destroy());
  },
};

const control = {
  'PUT /entities': async (response, body) => change(response, { type: 'full', entities: body.map(deferred) }),
  'PATCH /entities': async (response, { upsert = [], remove = [] }) => change(response, {
    type: 'delta', added: upsert.map(deferred), removed: remove.map((entityRef) => ({ entityRef })),
  }),
  'PUT /faults': async (response, body) => {
    wrong = body;
    answer(response, 200, {});
  },
  'GET /counts': async (response) => {
    answer(response, 200, { queries: 0, keys: 0, userinfo: 0, ...counts });
    counts = {};
  },
};

async function pass(request, response) {
  const url = new URL(request.url, base);
  const asked = ASKED[url.pathname];
  if (asked) counts[asked] = (counts[asked] ?? 0) + 1;
  if (asked === 'queries') {
    pages = url.searchParams.has('cursor') ? pages + 1 : 1;
    if (wrong.delay_ms) await sleep(wrong.delay_ms);
    if (pages > (wrong.fail_after_pages ?? Infinity)) return faults.status(response, 500);
    const fault = Object.keys(faults).find((name) => wrong[name]);
    if (fault) return faults[fault](response, wrong[fault]);
  }
  const { method, url: path, headers } = request;
  const onward = forward({ host: '127.0.0.1', port: inner, method, path, headers }, (answered) => {
    response.writeHead(answered.statusCode, answered.rawHeaders);
    answered.pipe(response);
  });
  onward.on('error', () => response.destroy());
  return request.pipe(onward);
}

const backend = createBackend();
backend.add(createServiceFactory({ service: coreServices.rootConfig, deps: {}, factory: () => config }));
backend.add(createServiceFactory({ service: coreServices.rootLogger, deps: {}, factory: () => logger }));
backend.add(import('@backstage/plugin-auth-backend'));
backend.add(import('@backstage/plugin-catalog-backend'));
backend.add(signIn);
backend.add(entities);
await backend.start();

const front = await listen(createServer(pass), Number(port));
const controls = await listen(createServer(async (request, response) => {
  const wanted = control[`${request.method} ${request.url}`];
  if (!wanted) return answer(response, 404, 'no such request');
  try {
    return await wanted(response, request.method === 'GET' ? undefined : await json(request));
  } catch (error) {
    return answer(response, 500, String(error));
  }
}), 0);

const query = `http://127.0.0.1:${inner}/api/catalog/entities/by-query?limit=1`;
while (!(await fetch(query, { headers: { authorization: `Bearer ${TOKENS.gateway.token}` } })).ok) await sleep(50);
console.log(front, controls);
process.stdin.resume().on('end', () => process.exit());

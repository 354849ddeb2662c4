import t from 'tap';
import type { InternalRedirectModel } from '../../../../proxy/config/model/route.ts';
import type { HttpFilterCallbacks } from '../../../../proxy/http/filter.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import { redirectHeaders } from '../../../../proxy/router/internal-redirect.ts';
import { RouterStats } from '../../../../proxy/router/router-stats.ts';
import { makeStats, makeStreamInfo } from '../telemetry/fixture.ts';
import { makeRequest } from './route-models.ts';

const policy: InternalRedirectModel = {
  statuses: [302],
  maxRedirects: 1,
  allowsCrossScheme: false,
  predicates: [],
  headersToCopy: [],
};

function redirect(
  location: string,
  changes: Partial<InternalRedirectModel> = {},
  status = 302,
  target: string | null = 'target',
) {
  const { merger, store } = makeStats();
  const headers = makeRequest('POST', 'a.test', '/start?x');
  headers.scheme = 'http';
  headers.set('content-length', '5');
  const response = new HeaderMap();
  response.status = status;
  response.set('location', location);
  const streamInfo = makeStreamInfo();
  const callbacks = {
    streamInfo,
    connection: { info: { tls: null } },
    route: target === null ? null : { route: { name: target } },
    clearRouteCache() {},
  } as unknown as HttpFilterCallbacks;
  const stats = new RouterStats(store, 'h');
  const verdict = redirectHeaders({ ...policy, ...changes }, callbacks, 'start', headers, response, stats);
  return {
    verdict,
    headers,
    streamInfo,
    passed: (problem: keyof RouterStats['redirectsPassed']) =>
      merger.valueOf('counter', `http.h.passthrough_internal_redirect_${problem}`),
  };
}

t.test('a redirected request has the target of the location, and remembers where it came from', async t => {
  const { verdict, headers, streamInfo } = redirect('http://b.test:81/next?q#f');
  t.equal(verdict, 'with-body');
  t.strictSame([headers.scheme, headers.authority, headers.path], ['http', 'b.test:81', '/next?q']);
  t.equal(headers.get('x-envoy-original-url'), 'http://a.test/start?x');
  t.equal(streamInfo.redirects?.count, 1);
});

t.test('303 makes a GET without a body of any request', async t => {
  const { verdict, headers } = redirect('http://b.test/', {}, 303);
  t.equal(verdict, 'without-body');
  t.equal(headers.method, 'GET');
  t.notOk(headers.has('content-length'));
});

t.test('a redirect that is not followed leaves the request as it was', async t => {
  const cases = [
    ['bad_location', redirect('/next')],
    ['unsafe_scheme', redirect('https://b.test/')],
    ['too_many_redirects', redirect('http://b.test/', { maxRedirects: 0 })],
    ['no_route', redirect('http://b.test/', {}, 302, null)],
    ['predicate', redirect('http://b.test/', { predicates: [{ kind: 'allow-listed-routes', routes: ['other'] }] })],
  ] as const;
  for (const [problem, { verdict, headers, passed }] of cases) {
    t.equal(verdict, 'refused', problem);
    t.strictSame([headers.authority, headers.path, headers.method], ['a.test', '/start?x', 'POST']);
    t.equal(passed(problem), 1, problem);
  }
});

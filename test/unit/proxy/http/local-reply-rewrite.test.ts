import t from 'tap';
import type { LocalReplyMapper } from '../../../../proxy/config/model/http-connection-manager.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import { renderLocalReply } from '../../../../proxy/http/local-reply.ts';
import { LocalReplyRewrite } from '../../../../proxy/http/local-reply-rewrite.ts';
import { makeStreamInfo } from '../telemetry/fixture.ts';

const textFormat = (format: string) =>
  ({ format: { kind: 'text', format, omitEmpty: false }, contentType: 'text/plain' }) as const;
const mapper = (from: number, changes: Partial<LocalReplyMapper>): LocalReplyMapper => ({
  filter: { kind: 'status', op: 'ge', value: from },
  status: null,
  body: null,
  bodyFormat: null,
  headers: [],
  ...changes,
});

function render(mappers: readonly LocalReplyMapper[], bodyFormat: ReturnType<typeof textFormat> | null, isGrpc = false) {
  const info = makeStreamInfo();
  const request = new HeaderMap();
  request.path = '/p';
  const rewrite = new LocalReplyRewrite({ mappers, bodyFormat });
  const reply = { status: 503, body: 'gone', details: '', flags: 0, grpcStatus: null };
  return renderLocalReply(reply, isGrpc, false, (content, headers) => rewrite.apply(content, headers, request, info));
}

t.test('the first mapper whose filter accepts a local reply changes its status, body and headers', async t => {
  const headers = [{ name: 'x-was', value: '%RESPONSE_CODE%', action: 'append', keepEmpty: false }] as const;
  const { headers: made, body } = render([mapper(600, { status: 1 }), mapper(500, { status: 404, body: 'é', headers })], null);
  t.equal(made.status, 404);
  t.equal(made.get('x-was'), '503');
  t.equal(body, Buffer.from('é').toString('latin1'), 'as bytes');
  t.equal(made.get('content-length'), '2');
});

t.test('the format of a mapper stands before that of the configuration', async t => {
  const format = textFormat('[%LOCAL_REPLY_BODY% %REQ(:path)%]');
  t.equal(render([], format).body, '[gone /p]');
  t.equal(render([mapper(500, { bodyFormat: textFormat('own') })], format).body, 'own');
});

t.test('a gRPC client gets the status of the rewritten reply and its body as message', async t => {
  const { headers, body } = render([mapper(500, { status: 404, body: 'a\nb' })], null, true);
  t.equal(body, '');
  t.strictSame(headers.entries, ['content-type', 'application/grpc', 'grpc-status', '12', 'grpc-message', 'a%0Ab']);
});

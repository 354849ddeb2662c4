import { posix } from 'node:path';
import t from 'tap';
import { importsOf, listSources } from './sources.ts';

/** Folders of the request path, where no configuration message, control plane or admin code may reach. */
const requestPath = ['proxy/listener/', 'proxy/network/', 'proxy/http/', 'proxy/router/', 'proxy/upstream/', 'proxy/workers/'];
const beyondRequestPath = ['protos/', 'proxy/xds/', 'proxy/admin/', 'proxy/config/compile/', 'agent/', 'iptables/'];
/** The main thread's side of the folders above: it talks to the control plane's parts and may import compiled results only. */
const sources = listSources('.ts').filter(source => !source.path.startsWith('test/'));

function targetsOf(source: (typeof sources)[number]): { target: string; isType: boolean }[] {
  return importsOf(source)
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier, isType }) => ({ target: posix.join(posix.dirname(source.path), specifier), isType }));
}

function isRunTimeExtension(path: string): boolean {
  return path.startsWith('proxy/extensions/') && path.endsWith('-filter.ts');
}

t.test('the request path imports no message, no control plane and no admin code', async t => {
  for (const source of sources) {
    if (!requestPath.some(folder => source.path.startsWith(folder)) && !isRunTimeExtension(source.path)) continue;
    for (const { target } of targetsOf(source)) {
      if (beyondRequestPath.some(folder => target.startsWith(folder))) t.fail(`${source.path} imports ${target}`);
    }
  }
});

t.test('common and the compiled model are leaves', async t => {
  for (const source of sources) {
    const isCommon = source.path.startsWith('common/');
    const isModel = source.path.startsWith('proxy/config/model/');
    if (!isCommon && !isModel) continue;
    for (const { target } of targetsOf(source)) {
      const allowed = target.startsWith('common/') || (isModel && target.startsWith('proxy/config/model/'));
      if (!allowed) t.fail(`${source.path} imports ${target}`);
    }
  }
});

t.test('agent, proxy and iptables know each other only by their seams', async t => {
  for (const source of sources) {
    for (const { target } of targetsOf(source)) {
      if (source.path.startsWith('agent/') && target.startsWith('proxy/')) t.fail(`${source.path} imports ${target}`);
      if (source.path.startsWith('proxy/') && target.startsWith('agent/')) t.fail(`${source.path} imports ${target}`);
      if (source.path.startsWith('iptables/') && /^(agent|proxy)\//.test(target)) t.fail(`${source.path} imports ${target}`);
    }
  }
});

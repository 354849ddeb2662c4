import t from 'tap';
import { any, compile, listenerOf } from '../../../../config/compile/fixture.ts';

t.test(
  "istiod's listener for TPROXY compiles: transparent, and upstream connections with the client's address and a mark",
  async t => {
    const original = (config: { mark?: number; bind_port?: boolean }) => ({
      name: 'envoy.filters.listener.original_src',
      typed_config: any('envoy.extensions.filters.listener.original_src.v3.OriginalSrc', config),
    });
    const transparent = { value: true };
    const { model } = compile.listener(
      listenerOf({ transparent, listener_filters: [original({ mark: 1337 }), original({ bind_port: true })] }),
    );
    t.equal(model.transparent, true);
    t.match(model.listenerFilters, [
      { kind: 'envoy.filters.listener.original_src', config: { mark: 1337 } },
      { config: { mark: 0 } },
    ]);
  },
);

/** `wait`: returns when the proxy is ready, to hold back the application's start. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentLogger } from '../log.ts';
import { type FlagTable, parseFlags } from './flags.ts';
import { sendLocally } from './local-request.ts';

const log = new AgentLogger('default');

export const waitFlags = {
  timeoutSeconds: { kind: 'int', default: 60 },
  requestTimeoutMillis: { kind: 'int', default: 500 },
  periodMillis: { kind: 'int', default: 500 },
  url: { kind: 'string', default: 'http://localhost:15021/healthz/ready' },
} as const satisfies FlagTable;

/** @throws if the proxy is not ready in time. */
export async function runWait(argv: readonly string[]): Promise<number> {
  const { flags } = parseFlags(waitFlags, argv);
  log.info(`Waiting for Envoy proxy to be ready (timeout: ${flags.timeoutSeconds} seconds)...`);
  const deadline = Date.now() + flags.timeoutSeconds * 1000;
  let lastError = '<nil>';
  for (;;) {
    const leftMs = deadline - Date.now();
    await sleep(Math.max(0, Math.min(flags.periodMillis, leftMs)));
    if (leftMs <= flags.periodMillis) {
      throw new Error(`timeout waiting for Envoy proxy to become ready. Last error: ${lastError}`);
    }
    try {
      await check(flags.url, flags.requestTimeoutMillis);
      log.info('Envoy is ready!');
      return 0;
    } catch (error) {
      lastError = (error as Error).message;
      log.debug(`Not ready yet: ${lastError}`);
    }
  }
}

function check(url: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onResponse = (response: IncomingMessage): void => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`HTTP status code ${response.statusCode}`));
      });
    };
    sendLocally({ method: 'GET', url, timeoutMs }, onResponse, reject);
  });
}

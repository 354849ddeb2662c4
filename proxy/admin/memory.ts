/** `/memory`: what the process holds, in the terms of `envoy.admin.v3.Memory`. */
import { stringifyJson } from '../../protos/json-writer.ts';
import type { AdminResponse } from './endpoint.ts';
import { jsonResponse } from './endpoint.ts';

export function handleMemory(): AdminResponse {
  const { heapUsed, heapTotal, external, rss } = process.memoryUsage();
  const memory = {
    allocated: String(heapUsed + external),
    heap_size: String(heapTotal + external),
    pageheap_unmapped: '0',
    pageheap_free: String(heapTotal - heapUsed),
    total_thread_cache: '0',
    total_physical_bytes: String(rss),
  };
  return jsonResponse(`${stringifyJson(memory)}\n`);
}

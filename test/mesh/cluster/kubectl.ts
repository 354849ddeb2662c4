/** The Kubernetes API through kubectl, with objects in and out. */
import { run } from './command.ts';

export type KubernetesObject = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; [key: string]: unknown };
  [key: string]: unknown;
};

/** Applies objects (server-side defaults and webhooks included). Throws an Error with the server's message. */
export function apply(objects: readonly KubernetesObject[]): void {
  run('kubectl', ['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) });
}

/** `kubectl get ... -o json`, parsed. */
// biome-ignore lint/suspicious/noExplicitAny: the shape is the API server's.
export function getObject(...args: string[]): any {
  return JSON.parse(run('kubectl', ['get', ...args, '-o', 'json']));
}

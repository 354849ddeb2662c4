/** `/help`, and the list that an unknown path is answered with. */
import type { AdminEndpoint } from './endpoint.ts';

/** Every endpoint with its parameters, as Envoy prints them. */
export function renderHelp(endpoints: readonly AdminEndpoint[]): string {
  let text = 'admin commands are:\n';
  for (const { path, mutates, help, parameters } of endpoints) {
    text += `  ${path}${mutates ? ' (POST)' : ''}: ${help}\n`;
    for (const [name, parameterHelp] of parameters) text += `      ${name}: ${parameterHelp}\n`;
  }
  return text;
}

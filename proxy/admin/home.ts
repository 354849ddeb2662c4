/** `/`: a page with links to the endpoints. */
import type { AdminEndpoint, AdminResponse } from './endpoint.ts';

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}

function renderRow({ path, mutates, help }: AdminEndpoint): string {
  const name = path.slice(1) || 'home';
  const link = mutates
    ? `<form action='${path.slice(1)}' method='post'><button>${escapeHtml(name)}</button></form>`
    : `<a href='${path.slice(1) || '.'}'>${escapeHtml(name)}</a>`;
  return `<tr><td>${link}</td><td>${escapeHtml(help)}</td></tr>\n`;
}

export function renderHome(endpoints: readonly AdminEndpoint[]): AdminResponse {
  const rows = endpoints.filter(({ path }) => path !== '/').map(renderRow);
  const body = `<!DOCTYPE html>
<html lang='en'>
<head><title>Envoy Admin</title>
<style>body { font-family: sans-serif } form { margin: 0 } td { padding: 2px 8px }</style>
</head>
<body>
<table>
<thead><tr><th>Command</th><th>Description</th></tr></thead>
<tbody>
${rows.join('')}</tbody>
</table>
</body>
</html>
`;
  return { status: 200, contentType: 'text/html; charset=UTF-8', body };
}

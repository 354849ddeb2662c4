/** The value of `date`, formatted once per second. */
let second = -1;
let text = '';

export function formatDate(nowMs: number): string {
  const current = Math.floor(nowMs / 1000);
  if (current !== second) {
    second = current;
    text = new Date(current * 1000).toUTCString();
  }
  return text;
}

/**
 * Names of headers, as this process compares them for every message. V8 keeps one string of the same text for what serves as a name
 * of a property, and compiles comparisons of such strings to comparisons of pointers. The first other string that it meets there
 * throws that code away: one client with a header of its own had most functions of the request path compiled again.
 */

/** Without a prototype it is a hash table from the start, so that names of the traffic leave no shapes behind. */
const properties: { [name: string]: true } = Object.create(null);

/** The one lower-case string of a name. */
export function internHeaderName(name: string): string {
  const lowerCase = name.toLowerCase();
  properties[lowerCase] = true;
  const [interned] = Object.keys(properties);
  delete properties[lowerCase];
  return interned;
}

/**
 * Flag of our proxy, not of Envoy: it loads all it needs, and then takes its command line from standard input, as a JSON array of
 * strings. What closes standard input without one ends it.
 */
export const awaitArgumentsFlag = '--await-arguments';

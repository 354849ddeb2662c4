/** The runtime layers as one flat table, replaced as a whole. */
export class RuntimeValues {
  #values: { readonly [key: string]: string | number | boolean };

  constructor(values: { readonly [key: string]: string | number | boolean }) {
    this.#values = values;
  }

  replace(values: { readonly [key: string]: string | number | boolean }): void {
    this.#values = values;
  }

  getNumber(key: string, fallback: number): number {
    const value = this.#values[key];
    if (value === undefined) return fallback;
    const number = Number(value);
    return Number.isFinite(number) ? number : fallback;
  }

  getBoolean(key: string, fallback: boolean): boolean {
    const value = this.#values[key];
    if (value === undefined) return fallback;
    return value === true || value === 'true' || (typeof value === 'number' && value !== 0);
  }
}

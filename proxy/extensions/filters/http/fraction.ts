/** Draws for fractional percentages that runtime may override. */
import type { FractionalPercent } from '../../../config/model/matchers.ts';

interface RuntimeNumbers {
  getNumber(key: string, fallback: number): number;
}

/** True in `numerator` of `denominator` cases; a runtime value replaces the numerator. */
export function isSelected(fraction: FractionalPercent, runtime: RuntimeNumbers): boolean {
  const numerator = fraction.runtimeKey === '' ? fraction.numerator : runtime.getNumber(fraction.runtimeKey, fraction.numerator);
  if (numerator >= fraction.denominator) return true;
  return numerator > 0 && Math.random() * fraction.denominator < numerator;
}

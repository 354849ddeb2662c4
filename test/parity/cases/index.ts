/** Every HTTP/1 parity case, by family. */
import type { ParityCase } from '../parity-case.ts';
import { basicCases } from './basic.ts';

export const cases: readonly ParityCase[] = [...basicCases];

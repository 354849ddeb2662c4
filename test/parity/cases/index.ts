/** Every HTTP/1 parity case, by family. */
import type { ParityCase } from '../parity-case.ts';
import { basicCases } from './basic.ts';
import { connections } from './connections.ts';
import { malformedRequests } from './malformed-requests.ts';
import { protocolErrors } from './protocol-errors.ts';
import { repeatedHeaders } from './repeated-headers.ts';
import { requestBodies } from './request-bodies.ts';
import { requestHeaders } from './request-headers.ts';
import { responses } from './responses.ts';

export const cases: readonly ParityCase[] = [
  ...basicCases,
  ...malformedRequests,
  ...requestBodies,
  ...connections,
  ...responses,
  ...requestHeaders,
  ...repeatedHeaders,
  ...protocolErrors,
];

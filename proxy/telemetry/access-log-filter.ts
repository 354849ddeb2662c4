/** Filters of access logs as predicates over a finished stream. */
import type { AccessLogFilter } from '../config/model/access-log.ts';
import { HeaderMap } from '../http/header-map.ts';
import { compileHeaderMatcher } from '../matching/header-matcher.ts';
import { compileCel } from './cel/cel.ts';
import { createAttributes } from './cel/attributes.ts';
import type { FormatContext } from './format-operator.ts';
import { grpcStatusOfHttp } from './grpc-status.ts';
import { responseFlagBits } from './response-flags.ts';
import type { StreamInfo } from './stream-info.ts';

export type AccessLogPredicate = (context: FormatContext) => boolean;

const noHeaders = new HeaderMap();

function compare(op: 'eq' | 'ge' | 'le' | 'ne', actual: number, expected: number): boolean {
  switch (op) {
    case 'eq':
      return actual === expected;
    case 'ge':
      return actual >= expected;
    case 'le':
      return actual <= expected;
    case 'ne':
      return actual !== expected;
  }
}

function durationMsOf(info: StreamInfo): number {
  const end = info.endMonotonicMs === 0 ? performance.now() : info.endMonotonicMs;
  return Math.floor(end - info.startMonotonicMs);
}

/** Whether a request id says that its trace is recorded. */
function isTraceable(requestId: string | undefined): boolean {
  return requestId !== undefined && requestId.length === 36 && '9ab'.includes(requestId[14]);
}

/** The same request is in or out of the sample in every proxy: its id decides. */
function sample(requestId: string | undefined, denominator: number): number {
  const fromId = requestId === undefined ? Number.NaN : Number.parseInt(requestId.slice(0, 8), 16);
  return Number.isNaN(fromId) ? Math.floor(Math.random() * denominator) : fromId % denominator;
}

/** @throws Error for an expression or regex that is not valid; compiling the resource has checked it. */
export function compileAccessLogFilter(filter: AccessLogFilter): AccessLogPredicate {
  switch (filter.kind) {
    case 'status':
      return ({ info }) => compare(filter.op, info.responseCode, filter.value);
    case 'duration':
      return ({ info }) => compare(filter.op, durationMsOf(info), filter.value);
    case 'not-health-check':
      return ({ info }) => !info.healthCheck;
    case 'traceable':
      return ({ requestHeaders }) => isTraceable(requestHeaders?.get('x-request-id'));
    case 'runtime': {
      const { numerator, denominator } = filter.percent;
      return ({ requestHeaders }) => sample(requestHeaders?.get('x-request-id'), denominator) < numerator;
    }
    case 'and': {
      const filters = filter.filters.map(compileAccessLogFilter);
      return context => filters.every(matches => matches(context));
    }
    case 'or': {
      const filters = filter.filters.map(compileAccessLogFilter);
      return context => filters.some(matches => matches(context));
    }
    case 'header': {
      const matches = compileHeaderMatcher(filter.header);
      return ({ requestHeaders }) => matches(requestHeaders ?? noHeaders);
    }
    case 'response-flag': {
      const mask = filter.flags.reduce((bits, flag) => bits | (responseFlagBits.get(flag) ?? 0), 0);
      return filter.flags.length === 0 ? ({ info }) => info.responseFlags !== 0 : ({ info }) => (info.responseFlags & mask) !== 0;
    }
    case 'grpc-status': {
      const statuses = new Set(filter.statuses);
      return ({ info }) => {
        const status = info.grpcStatus >= 0 ? info.grpcStatus : grpcStatusOfHttp(info.responseCode);
        return statuses.has(status) !== filter.exclude;
      };
    }
    case 'cel': {
      const evaluate = compileCel(filter.expression);
      return context => evaluate(createAttributes(context, null)) === true;
    }
  }
}

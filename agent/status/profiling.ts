/**
 * Profiles of the agent under `/debug/pprof/`, in Node's formats: `.cpuprofile` and `.heapsnapshot` open in the developer tools of
 * a browser, not in Go's pprof.
 */
import { Session } from 'node:inspector/promises';
import { PassThrough, type Readable } from 'node:stream';
import { getHeapSnapshot } from 'node:v8';

const defaultSeconds = 30;
const maxSeconds = 300;

export type Profile = { readonly type: string; readonly fileName?: string; readonly body: string | Readable };

const index = `/debug/pprof/

profile?seconds=30  CPU profile of so many seconds, for the developer tools of a browser (.cpuprofile)
heap                snapshot of the heap, for the same (.heapsnapshot)
cmdline             command line
`;

let isProfiling = false;

/** The profile at a path below `/debug/pprof/`; null if there is none. Rejects while another CPU profile is taken. */
export async function takeProfile(name: string, query: URLSearchParams): Promise<Profile | null> {
  switch (name) {
    case '':
      return { type: 'text/plain; charset=utf-8', body: index };
    case 'cmdline':
      return { type: 'text/plain; charset=utf-8', body: process.argv.join('\0') };
    case 'profile':
      return { type: 'application/json', fileName: 'agent.cpuprofile', body: await profileCpu(readSeconds(query)) };
    case 'heap':
      return { type: 'application/json', fileName: 'agent.heapsnapshot', body: getHeapSnapshot().pipe(new PassThrough()) };
    default:
      return null;
  }
}

function readSeconds(query: URLSearchParams): number {
  const seconds = Number(query.get('seconds') ?? defaultSeconds);
  return seconds > 0 ? Math.min(seconds, maxSeconds) : defaultSeconds;
}

async function profileCpu(seconds: number): Promise<string> {
  if (isProfiling) throw new Error('Could not enable CPU profiling: cpu profiling already in use');
  isProfiling = true;
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await new Promise(resolve => setTimeout(resolve, seconds * 1000));
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
    isProfiling = false;
  }
}

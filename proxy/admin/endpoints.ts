/** The table of all endpoints, in the order of `/help`. */
import { handleCerts } from './certs.ts';
import { handleClusters } from './clusters.ts';
import { handleConfigDump } from './config-dump.ts';
import type { AdminEndpoint } from './endpoint.ts';
import { okResponse, textResponse } from './endpoint.ts';
import { renderHelp } from './help.ts';
import { renderHome } from './home.ts';
import { handleInitDump } from './init-dump.ts';
import {
  handleDrainListeners,
  handleHealthCheck,
  handleQuit,
  handleReady,
  handleReopenLogs,
  handleResetCounters,
} from './lifecycle.ts';
import { handleListeners } from './listeners.ts';
import { handleLogging } from './logging.ts';
import { handleMemory } from './memory.ts';
import { handleContention, handleCpuProfiler, handleRecentLookups, handleUnsupportedProfiler } from './profiling.ts';
import { handleRuntime, handleRuntimeModify } from './runtime.ts';
import { handleServerInfo } from './server-info.ts';
import { handlePrometheus, handleStats } from './stats.ts';

type Parameters = AdminEndpoint['parameters'];
type Handler = AdminEndpoint['handle'];

function reads(path: string, help: string, handle: Handler, parameters: Parameters = []): AdminEndpoint {
  return { path, help, mutates: false, parameters, handle };
}

function changes(path: string, help: string, handle: Handler, parameters: Parameters = []): AdminEndpoint {
  return { path, help, mutates: true, parameters, handle };
}

const filterHelp = 'Regular expression (Google re2) for filtering stats';
const usedOnlyHelp = 'Only include stats that have been written by system since restart';

export const endpoints: readonly AdminEndpoint[] = [
  reads('/', 'Admin home page', () => renderHome(endpoints)),
  changes(
    '/allocprofiler',
    'enable/disable the allocation profiler (if supported)',
    () => handleUnsupportedProfiler('allocation profiler'),
    [['enable', 'enable/disable the allocation profiler; One of (y, n)']],
  ),
  reads('/certs', 'print certs on machine', (_request, context) => handleCerts(context)),
  reads('/clusters', 'upstream cluster status', handleClusters, [
    ['filter', 'Regular expression (Google re2) for filtering clusters by name'],
  ]),
  reads('/config_dump', 'dump current Envoy configs', handleConfigDump, [
    ['resource', 'The resource to dump'],
    [
      'mask',
      'The mask to apply. When both resource and mask are specified, the mask is applied to every element in the desired repeated field so that only a subset of fields are returned. The mask is parsed as a Protobuf::FieldMask',
    ],
    [
      'name_regex',
      'Dump only the currently loaded configurations whose names match the specified regex. Can be used with both resource and mask query parameters.',
    ],
    ['include_eds', 'Dump currently loaded configuration including EDS. See the response definition for more information'],
  ]),
  reads('/contention', 'dump current Envoy mutex contention stats (if enabled)', handleContention),
  changes('/cpuprofiler', 'enable/disable the CPU profiler', handleCpuProfiler, [
    ['enable', 'enables the CPU profiler; One of (y, n)'],
  ]),
  changes('/drain_listeners', 'drain listeners', handleDrainListeners, [
    [
      'graceful',
      'When draining listeners, enter a graceful drain period prior to closing listeners. This behaviour and duration is configurable via server options or CLI',
    ],
    [
      'skip_exit',
      'When draining listeners, drain the connections but never stop the listeners. The graceful parameter has no effect when this is set, since the drain period only delays stopping the listeners',
    ],
    [
      'inboundonly',
      'Drains all inbound listeners. traffic_direction field in envoy_v3_api_msg_config.listener.v3.Listener is used to determine whether a listener is inbound or outbound.',
    ],
  ]),
  changes('/healthcheck/fail', 'cause the server to fail health checks', (_request, context) => handleHealthCheck(context, true)),
  changes('/healthcheck/ok', 'cause the server to pass health checks', (_request, context) => handleHealthCheck(context, false)),
  reads('/heap_dump', 'dump current Envoy heap (if supported)', () => handleUnsupportedProfiler('heap dump')),
  changes('/heapprofiler', 'enable/disable the heap profiler', () => handleUnsupportedProfiler('heap profiler'), [
    ['enable', 'enable/disable the heap profiler; One of (y, n)'],
  ]),
  reads('/help', 'print out list of admin commands', () => textResponse(renderHelp(endpoints))),
  reads('/hot_restart_version', 'print the hot restart compatibility version', () => textResponse('disabled')),
  reads('/init_dump', 'dump current Envoy init manager information (experimental)', handleInitDump, [
    [
      'mask',
      'The desired component to dump unready targets. The mask is parsed as a Protobuf::FieldMask. For example, get the unready targets of all listeners with /init_dump?mask=listener`',
    ],
  ]),
  reads('/listeners', 'print listener info', handleListeners, [['format', 'File format to use; One of (text, json)']]),
  changes('/logging', 'query/change logging levels', handleLogging, [
    [
      'paths',
      'Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>. If fine grain logging is enabled, use __FILE__ or a glob experision as the logger name. For example, source/common*:warning',
    ],
    [
      'group',
      'Change given logger group to desired level, set to <logger_group_name>:<desired_level>. logger_group_name must be a logger name.',
    ],
    [
      'level',
      "desired logging level, this will change all loggers's level; One of (, trace, debug, info, warning, error, critical, off)",
    ],
  ]),
  reads('/memory', 'print current allocation/heap usage', handleMemory),
  reads('/memory/tcmalloc', 'print TCMalloc stats', () => handleUnsupportedProfiler('TCMalloc')),
  reads('/peak_heap_dump', 'dump peak Envoy heap (if supported)', () => handleUnsupportedProfiler('peak heap dump')),
  changes('/quitquitquit', 'exit the server', (_request, context) => handleQuit(context)),
  reads('/ready', 'print server state, return 200 if LIVE, otherwise return 503', (_request, context) => handleReady(context)),
  changes('/reopen_logs', 'reopen access logs', (_request, context) => handleReopenLogs(context)),
  changes('/reset_counters', 'reset all counters to zero', (_request, context) => handleResetCounters(context)),
  reads('/runtime', 'print runtime values', (_request, context) => handleRuntime(context)),
  changes(
    '/runtime_modify',
    'Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an empty string as the value. Note that deletion only applies to overrides added via this endpoint; values loaded from disk can be modified via override but not deleted. E.g. ?key1=value1&key2=value2...',
    handleRuntimeModify,
  ),
  reads('/server_info', 'print server version/status information', (_request, context) => handleServerInfo(context)),
  reads('/stats', 'print server stats', handleStats, [
    ['usedonly', usedOnlyHelp],
    ['filter', filterHelp],
    ['invert_filter', 'Invert the filter regex'],
    ['format', 'Format to use; One of (html, active-html, text, json)'],
    ['type', 'Stat types to include.; One of (All, Counters, Histograms, Gauges, TextReadouts)'],
    ['histogram_buckets', 'Histogram bucket display mode; One of (cumulative, disjoint, detailed, summary)'],
  ]),
  reads('/stats/prometheus', 'print server stats in prometheus format', handlePrometheus, [
    ['usedonly', usedOnlyHelp],
    ['text_readouts', 'Render text_readouts as new gaugues with value 0 (increases Prometheus data size)'],
    ['filter', filterHelp],
    ['invert_filter', 'Invert the filter regex'],
    ['histogram_buckets', 'Histogram bucket display mode; One of (cumulative, summary)'],
  ]),
  reads('/stats/recentlookups', 'Show recent stat-name lookups', handleRecentLookups),
  changes('/stats/recentlookups/clear', 'clear list of stat-name lookups and counter', () => okResponse),
  changes('/stats/recentlookups/disable', 'disable recording of reset stat-name lookup names', () => okResponse),
  changes('/stats/recentlookups/enable', 'enable recording of reset stat-name lookup names', () => okResponse),
];

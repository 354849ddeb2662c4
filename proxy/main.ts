/** Entry of the proxy. */
import { runCommand } from './command.ts';

await runCommand(process.argv.slice(2));

/** Entry of the proxy. */
import { runCommand } from './command.ts';

void runCommand(process.argv.slice(2));

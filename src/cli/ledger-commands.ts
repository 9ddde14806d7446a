// `cordon ledger ...`: every command with its help; what it does stands in the file of its name.

import { type Command, Option } from 'commander'
import { common, type Run } from './common.ts'
import type { Io } from './io.ts'

export function ledgerCommands(program: Command, io: Io, run: Run): void {
  const ledger = program.command('ledger').description('what was recorded, and its proof')
  common(ledger.command('export'), 'stream records to stdout')
    .addOption(
      new Option('--table <table>')
        .choices(['decisions', 'violations', 'audit_events'])
        .default('decisions'),
    )
    .addOption(new Option('--format <format>').choices(['ndjson', 'csv']).default('ndjson'))
    .option('--from <time>', 'RFC 3339, inclusive')
    .option('--to <time>', 'RFC 3339, exclusive')
    .action((options) =>
      run(async () => (await import('./ledger-export.ts')).ledgerExport(io, options as never))(),
    )
}

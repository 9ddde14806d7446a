// `cordon ledger ...`: every command with its help; what it does stands in the file of its name.

import { type Command, Option } from 'commander'
import { collect, common, type Run } from './common.ts'
import type { Io } from './io.ts'

export function ledgerCommands(program: Command, io: Io, run: Run): void {
  const ledger = program.command('ledger').description('what was recorded, and its proof')
  common(ledger.command('verify'), 'is it as it was written? 0 intact, 1 damaged, 3 cannot judge')
    .argument('[dir]', 'a ledger folder or data directory, or a copy (default: the configured one)')
    .option('--archive <dir>', 'where older segments are (default: ledger.archive.dir)')
    .option('--checkpoint <file>', 'a checkpoint that was kept elsewhere (repeatable)', collect, [])
    .option('--key <file>', 'a public key that was kept elsewhere (repeatable)', collect, [])
    .action((dir: string | undefined, options) =>
      run(async () =>
        (await import('./ledger-verify.ts')).ledgerVerify(io, dir, options as never),
      )(),
    )
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

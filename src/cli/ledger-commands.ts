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
  common(
    ledger.command('erase'),
    'erase a person from the records, everywhere; proofs stay valid; 1 where nobody is found or a legal hold covers them',
  )
    .option('--user <who>', 'name, e-mail, external id or id')
    .option('--login <name>', 'a login that the directory does not know')
    .option('--address <ip>', 'a client address that had no login')
    .option('--person <key>', 'a person key or a pseudonym')
    .option('--reason <text>', 'why, without a name: it stays in the ledger')
    .option('--yes', 'without being asked')
    .option('--status', 'how far erasures have come; 1 where one is open')
    .action((options) =>
      run(async () => (await import('./ledger-erase.ts')).ledgerErase(io, options as never))(),
    )
  common(ledger.command('reveal'), 'who is behind a pseudonym; it is written down with its reason')
    .argument('<pseudonym>', 'as lists show it: person-ab3defgh7jkl')
    .requiredOption('--reason <text>', 'why')
    .action((pseudonym: string, options) =>
      run(async () =>
        (await import('./ledger-reveal.ts')).ledgerReveal(io, pseudonym, options as never),
      )(),
    )
}

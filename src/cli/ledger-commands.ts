// `cordon ledger ...`: every command with its help; what it does stands in the file of its name.

import { type Command, Option } from 'commander'
import { collect, common, type Common, type Run } from './common.ts'
import type { Io } from './io.ts'

export function ledgerCommands(program: Command, io: Io, run: Run): void {
  const ledger = program.command('ledger').description('what was recorded, and its proof')
  common(ledger.command('verify'), 'is it as it was written? 0 intact, 1 damaged, 3 cannot judge')
    .argument(
      '[path]',
      'a ledger or data folder, an export, a proof (default: the configured ledger)',
    )
    .option('--database', 'the database instead of a folder')
    .option('--archive <dir>', 'where older segments are (default: ledger.archive.dir)')
    .option('--checkpoint <file>', 'a checkpoint that was kept elsewhere (repeatable)', collect, [])
    .option('--key <file>', 'a public key that was kept elsewhere (repeatable)', collect, [])
    .action((dir: string | undefined, options) =>
      run(async () =>
        (await import('./ledger-verify.ts')).ledgerVerify(io, dir, options as never),
      )(),
    )
  common(ledger.command('checkpoint'), 'how far it has come, signed: keep it elsewhere')
    .option('--out <file>', 'a new file instead of stdout')
    .action((options) =>
      run(async () =>
        (await import('./ledger-checkpoint.ts')).ledgerCheckpoint(io, options as never),
      )(),
    )
  common(ledger.command('prove'), 'why a record is in it, as a file that anybody can check')
    .argument('<what...>', 'a decision id, <writer>:<number>, or with --consistency: OLD [NEW]')
    .option('--consistency', 'why it has only grown between two notes of "checkpoint"')
    .option('--database', 'out of the database instead of the folder')
    .option('--archive <dir>', 'where older segments are (default: ledger.archive.dir)')
    .option('--out <file>', 'a new file instead of stdout')
    .action((what: string[], options) =>
      run(async () =>
        (await import('./ledger-prove.ts')).ledgerProve(io, what, options as never),
      )(),
    )
  common(ledger.command('keys'), 'the public keys, oldest first').action((options: Common) =>
    run(async () => (await import('./ledger-keys.ts')).ledgerKeys(io, options))(),
  )
  common(ledger.command('rotate-key'), 'sign with a new key; earlier proofs stay valid').action(
    (options: Common) =>
      run(async () => (await import('./ledger-keys.ts')).ledgerRotateKey(io, options))(),
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
    .option('--proof', 'exact records with all that "ledger verify FILE" needs')
    .action((options) =>
      run(async () => (await import('./ledger-export.ts')).ledgerExport(io, options as never))(),
    )
  common(
    ledger.command('replay'),
    'fill a new or partly filled database from segments; 1 where records are missing or were set aside',
  )
    .argument(
      '[dir...]',
      'data directories, ledger folders, archives (default: the configured ledger and archive)',
    )
    .requiredOption('--into <url>', 'postgres://...; it is migrated first')
    .option('--from <time>', 'only records made from then on, RFC 3339')
    .option('--to <time>', 'only records made before then, RFC 3339')
    .action((dirs: string[], options) =>
      run(async () =>
        (await import('./ledger-replay.ts')).ledgerReplay(io, dirs, options as never),
      )(),
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
  const hold = ledger.command('hold').description('legal holds: what one covers is not deleted')
  common(hold.command('add'), 'from now on nothing goes that it covers')
    .argument('<name>', 'what it is called, such as the number of the case')
    .option('--user <who>', 'only what concerns this user: name, e-mail, external id or id')
    .option('--person <key>', 'the same by person key or pseudonym')
    .option('--from <time>', 'only what was recorded from then on, RFC 3339')
    .option('--to <time>', 'only what was recorded before then, RFC 3339')
    .requiredOption('--reason <text>', 'why')
    .action((name: string, options) =>
      run(async () => (await import('./ledger-hold.ts')).holdAdd(io, name, options as never))(),
    )
  common(hold.command('list'), 'holds in force, then released ones').action((options: Common) =>
    run(async () => (await import('./ledger-hold.ts')).holdList(io, options))(),
  )
  common(hold.command('release'), 'what it covered goes as its age says')
    .argument('<name>')
    .requiredOption('--reason <text>', 'why')
    .action((name: string, options) =>
      run(async () => (await import('./ledger-hold.ts')).holdRelease(io, name, options as never))(),
    )
  common(ledger.command('retention'), 'how long what is kept, and what goes next')
    .option('--run', 'sum, delete and compress now instead of within minutes')
    .action((options: Common & { run?: boolean }) =>
      run(async () => (await import('./ledger-retention.ts')).ledgerRetention(io, options))(),
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

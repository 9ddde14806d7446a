// `cordon ledger ...`: every command with its help; what it does stands in the file of its name.

import { type Command, Option } from 'commander'
import { collect, common, type Common, type Run } from './common.ts'
import type { Io } from './io.ts'

const VERIFY_EXAMPLES = `
Examples:
  $ cordon ledger verify                                the configured folder, and archive
  $ cordon ledger verify /mnt/copy/ledger               a copy of it, on any machine
  $ cordon ledger verify --database
  $ cordon ledger verify --checkpoint 2026-11-28.ck     was it rolled back, or made anew?
  $ cordon ledger verify november.ndjson --key ledger-key.pem

The first bad record is named in a line "damaged: ..."; with --json in "damage".`

const CHECKPOINT_EXAMPLES = `
Examples:
  $ cordon ledger checkpoint --out 2026-11-28.ck        daily, then to another machine
  $ cordon ledger verify --checkpoint 2026-11-28.ck     whenever somebody asks`

const PROVE_EXAMPLES = `
Examples:
  $ cordon ledger prove 01a21fc8-462b-75a4-88f8-0ddf1de48293 --out decision.json
  $ cordon ledger prove 4453cc67-d5f5-4275-8137-5ca80ba4d2bf:8 --out record.json
  $ cordon ledger prove --consistency 2026-11-27.ck 2026-11-28.ck --out grown.json
  $ cordon ledger verify decision.json --key ledger-key.pem

How to check such a file without Cordon: docs/guides/prove-the-ledger.md.`

const KEYS_EXAMPLES = `
Examples:
  $ cordon ledger keys
  $ cordon ledger keys --json | jq -r '.[-1].pem' > ledger-key.pem     once, to keep elsewhere`

const ROTATE_EXAMPLES = `
Example:
  $ cordon ledger rotate-key                            a year has passed, or somebody may have seen the key`

const EXPORT_EXAMPLES = `
Examples:
  $ cordon ledger export > decisions.ndjson             one decision a line
  $ cordon ledger export --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --format csv > november.csv
  $ cordon ledger export --table audit_events | jq -r .event_type
  $ cordon ledger export --proof > proved.ndjson        which "ledger verify proved.ndjson" checks`

const REPLAY_EXAMPLES = `
Examples:
  $ cordon ledger replay --into postgres://cordon@db.example/cordon
  $ cordon ledger replay /mnt/old/.cordon /srv/cordon-archive --into postgres://cordon@db.example/cordon
  $ cordon ledger replay --into postgres://cordon@db.example/cordon --from 2026-11-01T00:00:00Z

Whatever the database has is passed over, so it can be broken off and begun again.`

const ERASE_EXAMPLES = `
Examples:
  $ cordon ledger erase --user maya@acme.example --reason "request 17"     shows what there is, and asks
  $ cordon ledger erase --address 10.1.2.3 --reason "request 18" --yes
  $ cordon ledger erase --status`

const HOLD_EXAMPLES = `
Examples:
  $ cordon ledger hold add case-17 --user maya --reason "a court asks"
  $ cordon ledger hold add audit-2026 --from 2026-01-01T00:00:00Z --to 2027-01-01T00:00:00Z --reason "the audit of 2026"
  $ cordon ledger hold list
  $ cordon ledger hold release case-17 --reason "the case is closed"`

const RETENTION_EXAMPLES = `
Examples:
  $ cordon ledger retention                             by table: how long, the oldest, what is due
  $ cordon ledger retention --run                       now, whatever is due`

const REVEAL_EXAMPLES = `
Example:
  $ cordon ledger reveal person-ab3defgh7jkl --reason "incident 4"`

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
    .addHelpText('after', VERIFY_EXAMPLES)
    .action((dir: string | undefined, options) =>
      run(async () =>
        (await import('./ledger-verify.ts')).ledgerVerify(io, dir, options as never),
      )(),
    )
  common(ledger.command('checkpoint'), 'how far it has come, signed: keep it elsewhere')
    .option('--out <file>', 'a new file instead of stdout')
    .addHelpText('after', CHECKPOINT_EXAMPLES)
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
    .addHelpText('after', PROVE_EXAMPLES)
    .action((what: string[], options) =>
      run(async () =>
        (await import('./ledger-prove.ts')).ledgerProve(io, what, options as never),
      )(),
    )
  common(ledger.command('keys'), 'the public keys, oldest first')
    .addHelpText('after', KEYS_EXAMPLES)
    .action((options: Common) =>
      run(async () => (await import('./ledger-keys.ts')).ledgerKeys(io, options))(),
    )
  common(ledger.command('rotate-key'), 'sign with a new key; earlier proofs stay valid')
    .addHelpText('after', ROTATE_EXAMPLES)
    .action((options: Common) =>
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
    .addHelpText('after', EXPORT_EXAMPLES)
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
    .addHelpText('after', REPLAY_EXAMPLES)
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
    .addHelpText('after', ERASE_EXAMPLES)
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
    .addHelpText('after', HOLD_EXAMPLES)
    .action((name: string, options) =>
      run(async () => (await import('./ledger-hold.ts')).holdAdd(io, name, options as never))(),
    )
  common(hold.command('list'), 'holds in force, then released ones')
    .addHelpText('after', HOLD_EXAMPLES)
    .action((options: Common) =>
      run(async () => (await import('./ledger-hold.ts')).holdList(io, options))(),
    )
  common(hold.command('release'), 'what it covered goes as its age says')
    .argument('<name>')
    .requiredOption('--reason <text>', 'why')
    .addHelpText('after', HOLD_EXAMPLES)
    .action((name: string, options) =>
      run(async () => (await import('./ledger-hold.ts')).holdRelease(io, name, options as never))(),
    )
  common(ledger.command('retention'), 'how long what is kept, and what goes next')
    .option('--run', 'sum, delete and compress now instead of within minutes')
    .addHelpText('after', RETENTION_EXAMPLES)
    .action((options: Common & { run?: boolean }) =>
      run(async () => (await import('./ledger-retention.ts')).ledgerRetention(io, options))(),
    )
  common(ledger.command('reveal'), 'who is behind a pseudonym; it is written down with its reason')
    .argument('<pseudonym>', 'as lists show it: person-ab3defgh7jkl')
    .requiredOption('--reason <text>', 'why')
    .addHelpText('after', REVEAL_EXAMPLES)
    .action((pseudonym: string, options) =>
      run(async () =>
        (await import('./ledger-reveal.ts')).ledgerReveal(io, pseudonym, options as never),
      )(),
    )
}

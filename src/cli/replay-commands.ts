// `cordon policy replay` and `cordon policy shadow`: what other policies would decide. What each does stands in its file.

import { type Command, Option } from 'commander'
import { COMBINING } from '../policy/combine.ts'
import { collect, common, type Run } from './common.ts'
import type { Io } from './io.ts'
import type { ReplayGiven } from './policy-replay.ts'
import type { ShadowGiven } from './policy-shadow.ts'
import { GATED } from './replay-gates.ts'

const REPLAY_EXAMPLES = `
Conditions of --fail-on: a name, or a name with > or >= and a number or a share, such as
newly_denied>0 or changed>2%. Names: ${GATED.join(', ')}.

Examples:
  $ cordon policy replay ./policies                             a folder, over the last week
  $ cordon policy replay --version pii-to-external@1.3.0        as it would be once that version is active
  $ cordon policy replay ./draft --beside --from 2026-11-01T00:00:00Z
  $ cordon ledger export --from 2026-11-21T00:00:00Z > week.ndjson
  $ cordon policy replay ./policies --export week.ndjson --fail-on 'newly_denied>0' --fail-on 'cannot_tell>1%'

Ctrl-C ends it and prints what was seen so far. Exit codes: 0 done, 1 a condition of --fail-on holds, 3 cancelled, or
nothing there to replay.`

const SHADOW_EXAMPLES = `
Examples:
  $ cordon policy shadow                                        every policy in warn or audit that would have changed anything
  $ cordon policy shadow pii-to-external --from 2026-11-21T00:00:00Z`

export function replayCommands(policy: Command, io: Io, run: Run): void {
  common(
    policy.command('replay'),
    'run policies over recorded decisions: what would be decided otherwise',
  )
    .argument('[dir...]', 'folders with the draft (default: the policies in force)')
    .option('--version <id@version>', 'a stored version, as it would be after its activation')
    .option('--alone', 'of --version: without the policies in force')
    .option('--beside', 'of folders: beside the policies in force')
    .option('--from <time>', 'RFC 3339; default a week before --to, of an export all of it')
    .option('--to <time>', 'RFC 3339, exclusive; default now')
    .option('--limit <count>', 'the newest so many decisions; of an export the first')
    .option('--export <file>', 'decisions of "cordon ledger export", .gz too, - for stdin')
    .addOption(new Option('--combining <name>', 'combining algorithm').choices(COMBINING))
    .option('--top <count>', 'how many names, samples and failures are shown', '20')
    .option(
      '--fail-on <condition>',
      'exit code 1 where it holds, such as newly_denied>0 (repeatable)',
      collect,
      [],
    )
    .addHelpText('after', REPLAY_EXAMPLES)
    .action((dirs: string[], options: ReplayGiven) =>
      run(async () => (await import('./policy-replay.ts')).policyReplay(io, dirs, options))(),
    )
  common(policy.command('shadow'), 'what policies in warn and audit would have changed')
    .argument(
      '[id]',
      'one policy: by department, service and person (default: all, in one line each)',
    )
    .option(
      '--from <time>',
      'RFC 3339; default since its version is active, else a week before --to',
    )
    .option('--to <time>', 'RFC 3339, exclusive; default now')
    .option('--top <count>', 'how many names are shown', '20')
    .addHelpText('after', SHADOW_EXAMPLES)
    .action((id: string | undefined, options: ShadowGiven) =>
      run(async () => (await import('./policy-shadow.ts')).policyShadow(io, id, options))(),
    )
}

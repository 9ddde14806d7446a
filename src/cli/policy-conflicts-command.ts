// `cordon policy conflicts` with its help; what it does stands in policy-conflicts.ts.

import { type Command, Option } from 'commander'
import { SEVERITIES } from '../model/decision.ts'
import { COMBINING } from '../policy/combine.ts'
import { common, type Run } from './common.ts'
import type { Io } from './io.ts'
import type { ConflictsGiven } from './policy-conflicts.ts'

const EXAMPLES = `
Examples:
  $ cordon policy conflicts ./policies                            of a folder, with nothing else
  $ cordon policy conflicts --json | jq -c '.conflicts[0].witness' | cordon policy eval
  $ cordon policy conflicts --stored                              of everything in force, as it is kept
  $ cordon policy conflicts --resolve ID --notes 'the exception is meant'

  In CI: keep what somebody has looked at in a file; it holds until one of the two policies changes.
  $ cordon policy conflicts ./policies --json > accepted.json
  $ cordon policy conflicts ./policies --accepted accepted.json

Exit codes: 0 done, 1 there is a critical one that nobody has resolved, 2 usage, 3 cannot.`

export function conflictsCommand(policy: Command, io: Io, run: Run): void {
  common(
    policy.command('conflicts'),
    'what policies say against each other, each with a request that shows it',
  )
    .argument('[dir...]', 'policy folders (default: policy.dirs)')
    .addOption(new Option('--combining <name>', 'combining algorithm').choices(COMBINING))
    .addOption(new Option('--severity <least>', 'from this one on').choices(SEVERITIES))
    .option('--policy <id>', 'only those in which it has a part')
    .option('--limit <rows>', 'so many of them, the gravest first (default: 200; with --json all)')
    .option('--accepted <file>', 'an answer of --json: what is in it counts as resolved')
    .option('--stored', 'look over everything in force, policies of the store too')
    .option('--resolve <id>', 'say why a conflict of the store may stand')
    .option('--notes <text>', 'why; with --resolve')
    .option('--key <file>', 'a file with an API key: its owner acts, within its scopes')
    .addHelpText('after', EXAMPLES)
    .action((dirs: string[], options: ConflictsGiven) =>
      run(async () => (await import('./policy-conflicts.ts')).policyConflicts(io, dirs, options))(),
    )
}

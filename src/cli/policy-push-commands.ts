// A folder of policies and the store, in both directions; and which nodes have what in force. What they do stands in
// policy-push.ts.

import type { Command } from 'commander'
import { common, type Run } from './common.ts'
import type { Io } from './io.ts'
import type { Pulling, Pushing, Where } from './policy-push.ts'

const FOLDERS = `
Examples:
  $ cordon policy push policies --git --submit              what changed becomes versions in review
  $ cordon policy push policies --dry-run --json            what would be written
  $ cordon policy pull policies                             the files in force
  $ cordon policy status --url http://10.0.0.5:8181 --key-file ops.key`

export function pushCommands(policy: Command, io: Io, run: Run): void {
  const placed = (name: string, description: string): Command =>
    common(policy.command(name), description)
      .option(
        '--url <url>',
        'the API of a Cordon elsewhere (default: the one of this configuration)',
      )
      .option(
        '--key, --key-file <file>',
        'a file with an API key: its owner acts, within its scopes',
      )
      .addHelpText('after', FOLDERS)
  const load = () => import('./policy-push.ts')

  placed(
    'push',
    'make drafts of what is other in a folder than in the store; 1 where it does not load',
  )
    .argument('<dir>', 'all policies of the store, with libraries, data and tests')
    .option('--git', 'record the commit and branch of DIR, which must be as it was committed')
    .option('--commit <id>', 'record this commit')
    .option('--branch <name>', 'record this branch')
    .option('--summary <text>', 'what it changes')
    .option('--submit', 'ask for approval of what is a draft in the end')
    .option('--dry-run', 'only tell what would be written')
    .action((dir: string, options: Pushing) =>
      run(async () => (await load()).policyPush(io, dir, options))(),
    )
  placed('pull', 'write the stored files in force; 1 where a file was changed in the folder')
    .argument('<dir>', 'where to; made where it is not there')
    .option('--force', 'write over what was changed in the folder')
    .option('--dry-run', 'only tell what would be written')
    .action((dir: string, options: Pulling) =>
      run(async () => (await load()).policyPull(io, dir, options))(),
    )
  placed(
    'status',
    'which revision each node has in force; 1 where one refuses it, or is behind',
  ).action((options: Where) => run(async () => (await load()).policyStatus(io, options))())
}

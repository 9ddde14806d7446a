// The commands of a stored policy's life, each with its help; what they do stands in policy-life.ts.

import type { Command } from 'commander'
import { common, type Run } from './common.ts'
import type { Io } from './io.ts'
import type { Acting, Moving, Writing } from './policy-life.ts'

const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  create: [
    "cordon policy create no-uploads.cedar --summary 'no files to chats'",
    'cordon policy create policies/uploads.rego --git --from 2027-01-01T00:00:00Z',
  ],
  edit: [
    "cordon policy edit no-uploads no-uploads.cedar --summary 'lawyers may'",
    'cordon policy edit no-uploads no-uploads.cedar --as 2.0.0',
  ],
  validate: [
    'cordon policy validate no-uploads.cedar                   a file that nobody has kept',
    'cordon policy validate no-uploads@1.1.0',
  ],
  submit: ['cordon policy submit no-uploads'],
  approve: [
    'cordon policy approve no-uploads --key ben.key            at a terminal: shown, and asked',
    "cordon policy approve no-uploads@1.1.0 --edition 3 --comment 'as agreed' --key ben.key",
  ],
  reject: ["cordon policy reject no-uploads --comment 'lawyers may' --key ben.key"],
  activate: [
    'cordon policy activate no-uploads',
    'cordon policy activate no-uploads uploads_test.rego --rejudge',
    'cordon policy activate no-uploads --at 2027-01-01T00:00:00Z --until 2027-07-01T00:00:00Z',
  ],
  archive: ["cordon policy archive no-uploads --comment 'not needed any more'"],
  rollback: [
    "cordon policy rollback no-uploads --comment 'too strict'",
    'cordon policy rollback no-uploads@1.0.0 --rejudge',
  ],
  dates: [
    'cordon policy dates no-uploads --until 2027-07-01T00:00:00Z',
    'cordon policy dates no-uploads --until none',
  ],
  compare: [
    'cordon policy compare no-uploads                          what is active, and the newest',
    'cordon policy compare no-uploads 1.0.0 1.1.0',
  ],
  show: ['cordon policy show no-uploads', 'cordon policy show no-uploads@1.1.0 --json'],
}

const WHO = `
ID@VERSION names a version; without it the newest that can be meant.
Without --key the owner of data_dir acts, whoever runs the command.`

export function lifeCommands(policy: Command, io: Io, run: Run): void {
  const acting = (command: Command, description: string): Command =>
    common(command, description)
      .option('--key <file>', 'a file with an API key: its owner acts, within its scopes')
      .addHelpText('after', helpOf(command.name()))
  const moving = (command: Command, description: string): Command =>
    acting(command, description)
      .option('--comment <text>', 'why; it stands in the history and in the audit event')
      .option('--edition <n>', 'only if it is still the edition that you read')
  const writing = (command: Command, description: string): Command =>
    acting(command, description)
      .option('--as <version>', 'the number of the version, such as 1.4.0')
      .option('--summary <text>', 'what it changes')
      .option('--from <time>', 'takes effect then once it is approved, RFC 3339; or none')
      .option('--until <time>', 'ends then, RFC 3339; or none')
      .option('--git', 'record the commit and branch of FILE, which must be as it was committed')
      .option('--git-commit <id>', 'record this commit')
      .option('--git-branch <name>', 'record this branch')
  const load = () => import('./policy-life.ts')

  writing(policy.command('create'), 'keep a policy, library, data document or test: a draft')
    .argument('<file>', 'what is to be kept; - for stdin')
    .option('--path <path>', 'where it lies among the others; of libraries, data and tests its id')
    .action((file: string, options: Writing) =>
      run(async () => (await load()).policyCreate(io, file, options))(),
    )
  writing(policy.command('edit'), 'change the newest draft, or begin a new version')
    .argument('<id>', 'ID or ID@VERSION')
    .argument('[file]', 'its text from now on; - for stdin')
    .option('--edition <n>', 'only if it is still the edition that you read')
    .action((id: string, file: string | undefined, options: Writing & Moving) =>
      run(async () => (await load()).policyEdit(io, id, file, options))(),
    )
  acting(
    policy.command('validate'),
    'what is wrong with a file or a version among the active policies; 1 where something is',
  )
    .argument('<what>', 'a file, ID or ID@VERSION')
    .option('--path <path>', 'where the file would lie among the others')
    .action((what: string, options: Acting & { path?: string }) =>
      run(async () => (await load()).policyValidate(io, what, options))(),
    )
  const plain = (name: 'submit' | 'reject', description: string): Command =>
    moving(policy.command(name), description)
      .argument('<id...>', 'ID or ID@VERSION')
      .action((ids: string[], options: Moving) =>
        run(async () => (await load()).policyMove(io, name, ids, options))(),
      )
  plain('submit', 'ask for approval')
  moving(
    policy.command('approve'),
    'approve what somebody else wrote, in the edition that you looked at; at a terminal it is shown first; 1 where you wrote some of it',
  )
    .argument('<id...>', 'ID or ID@VERSION')
    .action((ids: string[], options: Moving) =>
      run(async () => (await load()).policyApprove(io, ids, options))(),
    )
  plain('reject', 'send it back to its authors: a draft again')
  moving(
    policy.command('activate'),
    'approved versions take effect, all or none; 1 with every reason where something stands against it',
  )
    .argument('<id...>', 'ID or ID@VERSION')
    .option('--at <time>', 'then instead of now, RFC 3339')
    .option('--until <time>', 'ends then, RFC 3339; or none')
    .option('--rejudge', 'judge open tunnels, WebSockets and streams again')
    .action((ids: string[], options: Moving) =>
      run(async () => (await load()).policyActivate(io, ids, options))(),
    )
  moving(
    policy.command('archive'),
    'an active version is no longer in force, any other goes no further',
  )
    .argument('<id>', 'ID or ID@VERSION')
    .option('--rejudge', 'judge open tunnels, WebSockets and streams again')
    .action((id: string, options: Moving) =>
      run(async () => (await load()).policyArchive(io, id, options))(),
    )
  moving(policy.command('rollback'), 'a version that was active before is so again')
    .argument('<id>', 'ID, or ID@VERSION for another one than the last')
    .option('--until <time>', 'ends then, RFC 3339; or none')
    .option('--rejudge', 'judge open tunnels, WebSockets and streams again')
    .action((id: string, options: Moving) =>
      run(async () => (await load()).policyRollback(io, id, options))(),
    )
  moving(policy.command('dates'), 'when a version takes effect, and when it ends')
    .argument('<id>', 'ID or ID@VERSION')
    .option('--from <time>', 'takes effect then once it is approved, RFC 3339; or none')
    .option('--until <time>', 'ends then, RFC 3339; or none')
    .action((id: string, options: Moving) =>
      run(async () => (await load()).policyDates(io, id, options))(),
    )
  acting(policy.command('compare'), 'what differs between two versions')
    .argument('<id>')
    .argument('[from]', 'a version (default: the active one)')
    .argument('[to]', 'a version (default: the newest)')
    .action((id: string, from: string | undefined, to: string | undefined, options: Acting) =>
      run(async () => (await load()).policyCompare(io, id, from, to, options))(),
    )
  acting(policy.command('show'), 'a policy and its versions; with a version its text and history')
    .argument('<id>', 'ID or ID@VERSION')
    .action((id: string, options: Acting) =>
      run(async () => (await load()).policyShow(io, id, options))(),
    )
}

function helpOf(command: string): string {
  const lines = (EXAMPLES[command] ?? []).map((example) => `  $ ${example}\n`)
  return `\nExamples:\n${lines.join('')}${WHO}`
}

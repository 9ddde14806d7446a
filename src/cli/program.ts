// The command line: every command with its help; what it does stands in the file of its name.

import { Command, CommanderError, Option } from 'commander'
import { type Role, ROLES } from '../app/roles.ts'
import { version } from '../app/version.ts'
import { KINDS, type Kind } from '../governance/columns.ts'
import { MODES, type Mode } from '../model/decision.ts'
import { COMBINING, type Combining } from '../policy/combine.ts'
import { COVERAGE_BY, type CoverageBy } from '../store/coverage.ts'
import { budgetCommands } from './budget-commands.ts'
import { collect, common, type Common, examples, type Run } from './common.ts'
import { decisionCommands } from './decision-commands.ts'
import { deskCommands } from './desk-commands.ts'
import { type ExitCode, guard, type Io } from './io.ts'
import { ledgerCommands } from './ledger-commands.ts'
import { conflictsCommand } from './policy-conflicts-command.ts'
import type { ExplainGiven } from './policy-explain.ts'
import { lifeCommands } from './policy-life-commands.ts'
import { pushCommands } from './policy-push-commands.ts'
import { testCommand } from './policy-test-command.ts'
import { replayCommands } from './replay-commands.ts'

const EXAMPLES = `
Examples:
  $ cordon start                                        run everything with the defaults
  $ cordon check --effective                            what would be enforced for whom
  $ cordon signatures match https://chatgpt.com/        which service is this?
  $ cordon context import departments.csv users.csv     who works here
  $ cordon policy eval < inputs.ndjson                  what do the policies say?
  $ cordon mode audit --for 30m                         break glass: observe only, for half an hour

Exit codes: 0 done, 1 the answer is no, 2 usage, 3 cannot.`

const COMPILE_EXAMPLES = `
Examples:
  $ cordon policy compile                       the folders of policy.dirs
  $ cordon policy compile my-policies`

const LIST_EXAMPLES = `
Examples:
  $ cordon policy list
  $ cordon policy list my-policies --json`

const EVAL_EXAMPLES = `
Examples:
  $ cordon policy eval < inputs.ndjson
  $ echo '{"action": "send_prompt", "resource": {"id": "chatgpt", "ai": true}}' | cordon policy eval --policies my-policies
  $ cordon policy eval --combining most_restrictive < inputs.ndjson | jq -r .decision`

const EXPLAIN_EXAMPLES = `
Examples:
  $ cordon policy explain < inputs.ndjson                        in words
  $ cordon policy explain --json < inputs.ndjson                 one explanation a line
  $ cordon policy explain --policies ./policies --policy pii-to-external < input.json

A decision that was recorded: GET /v1/decisions/{id}/explanation.`

/** Runs one command and tells its exit code; never throws. */
export async function runCli(args: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = 0
  const run: Run = (action) => async () => {
    code = await guard(io, action)
  }
  const program = new Command('cordon')
    .description('AI-policy enforcement proxy')
    .version(version(), '-V, --version')
    // So that an option behind a command is the command's, whatever it is called.
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for what is possible)')
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
    })
    .addHelpText('after', EXAMPLES)
    .exitOverride()

  common(program.command('start'), 'run in the foreground; SIGTERM drains, SIGHUP reloads')
    .addOption(new Option('--role <role>', 'what this process does').choices(ROLES).default('all'))
    .addHelpText(
      'after',
      examples(
        'start                                        everything, with ./cordon.yaml or the defaults',
        'start --role gateway --config /etc/cordon/cordon.yaml',
      ),
    )
    .action((options: Common & { role: Role }) =>
      run(async () => (await import('./start.ts')).start(io, options))(),
    )
  common(program.command('check'), 'validate everything without starting')
    .option('--effective', 'print what would be enforced for whom')
    .addHelpText(
      'after',
      examples(
        'check                                        1 with file:line:column where something is wrong',
        'check --effective                            what would be enforced for whom',
      ),
    )
    .action((options: Common & { effective?: boolean }) =>
      run(async () => (await import('./check.ts')).check(io, options))(),
    )
  common(
    program.command('mode'),
    'break-glass mode of the whole enforcement point; audited, never without an end',
  )
    .argument('<mode>', MODES.join(' | '))
    .option('--for <duration>', 'until then the mode holds', '30m')
    .addHelpText(
      'after',
      examples(
        'mode audit --for 30m                         nothing is refused, for half an hour',
        'mode enforce                                 and at once again as policies say',
      ),
    )
    .action((mode: Mode, options: Common & { for: string }) =>
      run(async () => (await import('./mode.ts')).setMode(io, mode, options))(),
    )

  const signatures = program.command('signatures').description('the catalogue of AI services')
  common(signatures.command('match'), 'which AI service a URL belongs to')
    .argument('[url]', 'a URL, or host:port')
    .option('-H, --header <header>', "a request header, 'Name: value' (repeatable)", collect, [])
    .option('--method <method>', 'the request method')
    .option('--user-agent <agent>', 'the user agent')
    .option('--stdin', 'one JSON object a line: {"url", "method"?, "headers"?}')
    .addHelpText(
      'after',
      examples(
        'signatures match https://chatgpt.com/',
        'signatures match api.openai.com:443 --user-agent codex_cli_rs/0.1',
        'signatures match --stdin < urls.ndjson',
      ),
    )
    .action((url: string | undefined, options) =>
      run(async () =>
        (await import('./signatures.ts')).signaturesMatch(io, url, options as never),
      )(),
    )

  const policy = program.command('policy').description('policies on disk and in the store')
  common(
    policy.command('compile'),
    'compile Rego beside its source (fetches OPA where it is missing)',
  )
    .argument('[dir...]', 'policy folders (default: policy.dirs)')
    .addHelpText('after', COMPILE_EXAMPLES)
    .action((dirs: string[], options: Common) =>
      run(async () => (await import('./policy.ts')).policyCompile(io, dirs, options))(),
    )
  testCommand(policy, io, run)
  common(policy.command('list'), 'the policies of folders, and of the store whatever their state')
    .argument('[dir...]', 'policy folders (default: policy.dirs)')
    .addHelpText('after', LIST_EXAMPLES)
    .action((dirs: string[], options: Common) =>
      run(async () => (await import('./policy.ts')).policyList(io, dirs, options))(),
    )
  common(policy.command('eval'), 'input documents on stdin, one a line; Decisions on stdout')
    .option('--policies <dir>', 'a policy folder instead of policy.dirs (repeatable)', collect, [])
    .addOption(new Option('--combining <name>', 'combining algorithm').choices(COMBINING))
    .addHelpText('after', EVAL_EXAMPLES)
    .action((options: Common & { policies: string[]; combining?: Combining }) =>
      run(async () => (await import('./policy.ts')).policyEval(io, options))(),
    )
  common(
    policy.command('explain'),
    'input documents on stdin, one a line; why each decision comes out as it does',
  )
    .option('--policies <dir>', 'a policy folder instead of policy.dirs (repeatable)', collect, [])
    .addOption(new Option('--combining <name>', 'combining algorithm').choices(COMBINING))
    .option('--policy <id>', 'tell of this policy only (repeatable)', collect, [])
    .option('--no-trace', 'do not ask OPA which expression of a Rego policy failed')
    .addHelpText('after', EXPLAIN_EXAMPLES)
    .action((options: ExplainGiven) =>
      run(async () => (await import('./policy-explain.ts')).policyExplain(io, options))(),
    )

  replayCommands(policy, io, run)
  lifeCommands(policy, io, run)
  pushCommands(policy, io, run)
  conflictsCommand(policy, io, run)

  const context = program
    .command('context')
    .description('people, departments, groups, roles, devices')
  common(
    context.command('import'),
    'CSV or JSON files, applied in the order given; all or nothing per file',
  )
    .argument('<file...>', `named after their kind (${KINDS.join(', ')})`)
    .addOption(new Option('--kind <kind>', 'the kind of all files').choices(KINDS))
    .addHelpText(
      'after',
      examples(
        'context import departments.csv users.csv',
        'context import staff.json --kind users --json',
      ),
    )
    .action((files: string[], options: Common & { kind?: Kind }) =>
      run(async () => (await import('./context.ts')).contextImport(io, files, options))(),
    )
  const user = program.command('user').description('people')
  common(user.command('add'), 'add one user')
    .argument('<name>')
    .option('--email <email>')
    .option('--department <department>')
    .option('--group <group>', 'repeatable', collect, [])
    .addHelpText(
      'after',
      examples('user add maya --email maya@acme.example --department Engineering --group staff'),
    )
    .action((name: string, options) =>
      run(async () => (await import('./people.ts')).userAdd(io, name, options as never))(),
    )
  common(user.command('remove'), 'remove one user, with tokens and keys; records stay')
    .argument('<name>', 'name, e-mail or external id')
    .addHelpText('after', examples('user remove maya@acme.example'))
    .action((name: string, options: Common) =>
      run(async () => (await import('./people.ts')).userRemove(io, name, options))(),
    )
  common(user.command('risk'), "a person's own risk score, and the violations that it comes from")
    .argument('<person>', 'name, e-mail, external id, user id or pseudonym')
    .addHelpText('after', '\nExample:\n  $ cordon user risk maya')
    .action((person: string, options: Common) =>
      run(async () => (await import('./people.ts')).userRisk(io, person, options))(),
    )
  budgetCommands(program, io, run)
  const token = program.command('token').description('proxy tokens: passwords of Basic')
  common(token.command('create'), 'a token, printed once')
    .requiredOption('--user <name>', 'whose token it is')
    .addHelpText('after', examples('token create --user maya'))
    .action((options: Common & { user: string }) =>
      run(async () => (await import('./people.ts')).createToken(io, options))(),
    )
  const key = program.command('key').description('API keys')
  common(key.command('create'), 'an API key, printed once')
    .requiredOption('--name <name>')
    .requiredOption('--scope <scopes>', 'comma separated, repeatable', collect, [])
    .option('--user <name>', 'the person it belongs to')
    .addHelpText(
      'after',
      examples(
        'key create --name plugin --scope decisions:write',
        'key create --name desk --scope reviews:write,exceptions:write --user maya > desk.key',
      ),
    )
    .action((options) =>
      run(async () => (await import('./people.ts')).createKey(io, options as never))(),
    )

  common(
    program.command('coverage'),
    'how much was seen of what goes to AI services, and why not more',
  )
    .option('--from <time>', 'RFC 3339; default a week before --to')
    .option('--to <time>', 'RFC 3339, exclusive; default now')
    .addOption(new Option('--by <what>').choices(COVERAGE_BY).default('reason'))
    .addHelpText(
      'after',
      examples('coverage', 'coverage --by department --from 2026-11-01T00:00:00Z'),
    )
    .action((options: Common & { from?: string; to?: string; by: CoverageBy }) =>
      run(async () => (await import('./coverage.ts')).coverage(io, options))(),
    )

  ledgerCommands(program, io, run)

  const ca = program.command('ca').description('the interception authority')
  common(ca.command('init'), 'make a root, its key encrypted, and what issues below it')
    .option('--owner <name>', 'whose root it is, as people see it', 'Cordon')
    .option('--force', 'replace the authority that is there')
    .addHelpText(
      'after',
      examples(
        'ca init --owner Acme                         prints the passphrase of the root, once',
      ),
    )
    .action((options) => run(async () => (await import('./ca.ts')).caInit(io, options as never))())
  common(ca.command('show'), 'the authority, and what it does not cover')
    .addHelpText('after', examples('ca show'))
    .action((options: Common) => run(async () => (await import('./ca.ts')).caShow(io, options))())
  common(ca.command('export'), 'what clients have to trust, as PEM')
    .option('--out <file>', 'a file, or - for stdout', '-')
    .addHelpText(
      'after',
      examples('ca export --out cordon-ca.pem                what clients have to trust'),
    )
    .action((options) =>
      run(async () => (await import('./ca.ts')).caExport(io, options as never))(),
    )
  common(ca.command('rotate'), 're-issue it for the hosts of the configuration')
    .option('--root', 'a new root too, certified by the former one')
    .option('--overlap <duration>', 'how long the former root still serves', '180d')
    .option('--key <file>', "the root's key, where it is not in data_dir/ca")
    .addHelpText(
      'after',
      examples(
        'ca rotate                                    hosts of the configuration have changed',
        'ca rotate --root --overlap 90d',
      ),
    )
    .action((options) =>
      run(async () => (await import('./ca.ts')).caRotate(io, options as never))(),
    )
  decisionCommands(program, io, run)
  deskCommands(program, io, run)

  common(program.command('setup'), 'how to point a client here; without a tool: which there are')
    .argument('[tool]', 'curl, node, python, claude-code, codex, ...')
    .option('--proxy <url>', 'the proxy as clients reach it (default: proxy.listen)')
    .option('--user <name[:token]>', 'credentials to put into the lines')
    .option(
      '--direct <names>',
      'reached without the proxy (comma separated, repeatable)',
      collect,
      [],
    )
    .option('--ca <file>', 'PEM to trust (default: of the proxy, or of this configuration)')
    .option('--out <dir>', 'write ca.pem, ca-bundle.pem and profiles there, and name those')
    .addOption(new Option('--format <format>').choices(['sh', 'powershell', 'json']).default('sh'))
    .addHelpText(
      'after',
      examples(
        'setup                                        which tools there are',
        'setup curl --user maya:TOKEN',
        'setup claude-code --format powershell',
      ),
    )
    .action((tool: string | undefined, options) =>
      run(async () => (await import('./setup.ts')).setup(io, tool, options as never))(),
    )
  common(program.command('doctor'), 'a real probe of the path; 1 where something is wrong')
    .option('--proxy <url>', 'default: HTTPS_PROXY, else proxy.listen')
    .option('--user <name:token>', 'credentials for the proxy')
    .option('--url <url>', 'the host to reach through it', 'https://api.openai.com/')
    .addHelpText(
      'after',
      examples(
        'doctor',
        'doctor --proxy http://127.0.0.1:3128 --user maya:TOKEN --url https://api.anthropic.com/',
      ),
    )
    .action((options) =>
      run(async () => (await import('./doctor.ts')).doctor(io, options as never))(),
    )

  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : 2
  }
}

// `cordon setup [TOOL]`: the exact lines that point a client here.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { type Authority, DIRECT, type Place, type Recipe, type Tool } from '../setup/recipe.ts'
import { asPowershell, asSh } from '../setup/render.ts'
import { fetching, toolOf, TOOLS } from '../setup/tools.ts'
import { bundleWith, type NamedProxy, proxyOf, rootsOf } from './client-place.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

export interface SetupOptions extends Common {
  readonly proxy?: string
  readonly user?: string
  readonly ca?: string
  readonly out?: string
  readonly direct: readonly string[]
  readonly format: 'sh' | 'powershell' | 'json'
}

export async function setup(
  io: Io,
  name: string | undefined,
  options: SetupOptions,
): Promise<ExitCode> {
  if (name === undefined && options.out === undefined) {
    const rows = TOOLS.map(({ id, name: called, about }) => ({ tool: id, name: called, about }))
    printRows(io, options.json === true, ['tool', 'name', 'about'], rows)
    return 0
  }
  const tool = name === undefined ? undefined : toolOf(name)
  if (name !== undefined && tool === undefined)
    throw new CordonError(
      'INPUT_INVALID',
      `there is no recipe for ${name}${didYouMean(
        name,
        TOOLS.map(({ id }) => id),
      )}; "cordon setup" names all`,
    )
  const loaded = configOf(io, options)
  const proxy = proxyOf(loaded, options.proxy, options.user)
  const roots = await rootsOf(io, loaded, options, proxy)
  if (
    proxy.login === undefined &&
    options.proxy === undefined &&
    loaded.config.proxy.anonymous === 'deny'
  )
    io.err.write(
      'warning: this proxy asks for name and token: --user NAME puts them into the lines\n',
    )
  if (proxy.login !== undefined && proxy.login.token === undefined)
    io.err.write(
      `put your token in place of TOKEN: "cordon token create --user ${proxy.login.user}" prints one\n`,
    )

  const out = options.out === undefined ? undefined : resolve(io.cwd, options.out)
  const home = io.env['HOME'] ?? io.env['USERPROFILE']
  const ca =
    roots === undefined
      ? undefined
      : authorityIn(out ?? (home === undefined ? '$HOME/.cordon' : join(home, '.cordon')), roots)
  const place: Place = {
    proxy: proxy.url,
    direct: [
      ...DIRECT,
      ...options.direct.flatMap((each) => each.split(',')).filter((each) => each !== ''),
    ],
    ...(proxy.login === undefined ? {} : { login: proxy.login }),
    ...(ca === undefined ? {} : { ca }),
  }
  const recipe = tool?.recipe(place)
  if (out !== undefined) writeFiles(io, out, roots, recipe)
  if (tool !== undefined && recipe !== undefined) {
    const fetched = ca === undefined || out !== undefined ? [] : fetching(proxy.url, ca)
    print(io, options, tool, { ...recipe, commands: [...fetched, ...recipe.commands] }, proxy, ca)
  }
  return 0
}

function print(
  io: Io,
  { format, json }: SetupOptions,
  tool: Tool,
  recipe: Recipe,
  proxy: NamedProxy,
  ca: Authority | undefined,
): void {
  if (format === 'json' || json === true) {
    const trust = ca === undefined ? {} : { ca: { file: ca.file, bundle: ca.bundle } }
    printJson(io, { tool: tool.id, name: tool.name, proxy: proxy.url, ...trust, ...recipe })
  } else io.out.write(format === 'sh' ? asSh(tool, recipe) : asPowershell(tool, recipe))
}

function authorityIn(dir: string, pem: string): Authority {
  return { dir, file: `${dir}/ca.pem`, bundle: `${dir}/ca-bundle.pem`, pem }
}

/** Nothing in them is secret: whoever uses the proxy reads them. */
function writeFiles(
  io: Io,
  dir: string,
  roots: string | undefined,
  recipe: Recipe | undefined,
): void {
  const files = new Map(
    (recipe?.files ?? []).flatMap(({ name, text }) => (name === undefined ? [] : [[name, text]])),
  )
  if (roots === undefined)
    io.err.write('this proxy tunnels HTTPS: there is no certificate to write\n')
  else files.set('ca.pem', roots).set('ca-bundle.pem', bundleWith(roots))
  try {
    mkdirSync(dir, { recursive: true })
    for (const [name, text] of files) {
      writeFileSync(join(dir, name), text)
      io.err.write(`${join(dir, name)}\n`)
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CordonError('NOT_FOUND', `--out: ${why}`, { cause: error })
  }
}

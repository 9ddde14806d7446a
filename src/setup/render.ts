// A recipe as text: lines that a shell takes, or that PowerShell takes.

import { powershellWord, type Recipe, shWord, type Tool } from './recipe.ts'

/** `eval "$(cordon setup TOOL)"` sets the environment and runs what concerns the user alone. */
export function asSh(tool: Tool, recipe: Recipe): string {
  return lines(tool, recipe, {
    set: (name, value) => `export ${name}=${shWord(value)}`,
    command: ({ sh }) => sh,
  })
}

/** `cordon setup TOOL --format powershell | Out-String | Invoke-Expression`. */
export function asPowershell(tool: Tool, recipe: Recipe): string {
  // Its environment knows no letter case: the second spelling would only repeat the first.
  const seen = new Set<string>()
  return lines(tool, recipe, {
    set: (name, value) => {
      if (seen.has(name.toUpperCase())) return undefined
      seen.add(name.toUpperCase())
      return `$env:${name} = ${powershellWord(value)}`
    },
    command: ({ sh, powershell }) => (powershell === undefined ? sh : powershell),
  })
}

interface Dialect {
  set(name: string, value: string): string | undefined
  command(command: Recipe['commands'][number]): string | null
}

function lines(tool: Tool, recipe: Recipe, dialect: Dialect): string {
  const out = [`# ${tool.name}: ${tool.about}`]
  for (const command of recipe.commands) {
    const line = dialect.command(command)
    if (line === null) continue
    out.push(
      ...comment(command.asRoot === true ? `${command.does} (as administrator):` : command.does),
    )
    out.push(...(command.asRoot === true ? comment(`  ${line}`) : [line]))
  }
  for (const [name, value] of Object.entries(recipe.env)) {
    const line = dialect.set(name, value)
    if (line !== undefined) out.push(line)
  }
  for (const { path, text } of recipe.files)
    out.push('#', ...comment(`${path}:`), ...text.split('\n').map((line) => `#   ${line}`))
  if (recipe.notes.length > 0)
    out.push('#', ...recipe.notes.flatMap((note) => comment(`- ${note}`)))
  return `${out.join('\n')}\n`
}

/** Whatever a text holds, none of it becomes a command. */
function comment(text: string): readonly string[] {
  return text.split(/\r\n|\r|\n/).map((line) => `# ${line}`)
}

// How many tokens an answer says that it took, as each format words it.

export interface Usage {
  readonly input_tokens?: number
  readonly output_tokens?: number
}

type Counts = Readonly<Record<string, unknown>>

/** Of OpenAI, Anthropic, Cohere, Replicate and the like; what a cache answered was sent all the same. */
const INPUT = [
  'prompt_tokens',
  'input_tokens',
  'inputTokens',
  'inputTokenCount',
  'input_token_count',
]
const OUTPUT = [
  'completion_tokens',
  'output_tokens',
  'outputTokens',
  'outputTokenCount',
  'output_token_count',
  'generated_tokens',
]
/** Counted beside the input by these services, inside it by others. */
const CACHED = [
  'cache_creation_input_tokens',
  'cache_read_input_tokens',
  'cacheReadInputTokens',
  'cacheWriteInputTokens',
]

/** The counts of an object that stands under a key for usage; undefined where it has none. */
export function usageOf(counts: Counts): Usage | undefined {
  const google = googleUsage(counts)
  if (google !== undefined) return google
  const { tokens } = counts
  // Cohere: what was used lies beside what is billed.
  if (isCounts(tokens)) return usageOf(tokens)
  const input = firstOf(counts, INPUT)
  const output = firstOf(counts, OUTPUT)
  const cached = CACHED.map((key) => numberOf(counts[key])).filter((one) => one !== undefined)
  const sent = input === undefined ? undefined : cached.reduce((sum, one) => sum + one, input)
  return usage(sent, output)
}

function googleUsage(counts: Counts): Usage | undefined {
  const input = numberOf(counts['promptTokenCount'])
  if (input === undefined) return undefined
  const tools = numberOf(counts['toolUsePromptTokenCount']) ?? 0
  // The live API calls it a response.
  const candidates =
    numberOf(counts['candidatesTokenCount']) ?? numberOf(counts['responseTokenCount'])
  const thoughts = numberOf(counts['thoughtsTokenCount'])
  const output =
    candidates === undefined && thoughts === undefined
      ? undefined
      : (candidates ?? 0) + (thoughts ?? 0)
  return usage(input + tools, output)
}

export function usage(input: number | undefined, output: number | undefined): Usage | undefined {
  if (input === undefined && output === undefined) return undefined
  return {
    ...(input !== undefined && { input_tokens: input }),
    ...(output !== undefined && { output_tokens: output }),
  }
}

export function isCounts(value: unknown): value is Counts {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function firstOf(counts: Counts, keys: readonly string[]): number | undefined {
  for (const key of keys) {
    const count = numberOf(counts[key])
    if (count !== undefined) return count
  }
  return undefined
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

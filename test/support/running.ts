// What a running Cordon tells of itself, and what the system tells of it.

import { readFileSync } from 'node:fs'
import type { Running } from './cordon.ts'

export async function readiness(
  running: Running,
): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(`${running.metrics}/readyz`)
  return { status: response.status, body: await response.text() }
}

/** The value of a metric without labels. */
export async function metricOf(running: Running, name: string): Promise<number> {
  const text = await (await fetch(`${running.metrics}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

/** The primary and its workers. */
export function processesOf({ child }: Running): number[] {
  const pid = child.pid ?? 0
  return [pid, ...childrenOf(pid)]
}

export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((text) => text.trim() !== '')
    .map(Number)
}

/** Of the primary, which ships; in MiB. */
export function residentMib({ child }: Running): number {
  const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024
}

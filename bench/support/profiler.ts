// Loaded into Cordon's processes by bench/profile.ts: SIGUSR2 begins a profile, a second one writes it.

import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { join } from 'node:path'
import { env } from 'node:process'
import { isMainThread } from 'node:worker_threads'

const INTERVAL_US = 500

if (isMainThread) {
  let session: Session | undefined
  process.on('SIGUSR2', () => {
    void (session === undefined ? begin() : end(session))
  })

  const begin = async (): Promise<void> => {
    session = new Session()
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
    await session.post('Profiler.start')
  }
  const end = async (running: Session): Promise<void> => {
    session = undefined
    const { profile } = await running.post('Profiler.stop')
    const kind = process.argv.includes('worker') ? 'worker' : 'primary'
    const dir = env['BENCH_PROFILES'] ?? '.'
    writeFileSync(join(dir, `${kind}-${process.pid}.json`), JSON.stringify(profile))
  }
}

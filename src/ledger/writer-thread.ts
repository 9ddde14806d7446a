// The thread that writes: takes one batch after the other out of shared memory and answers each.
//
// It waits in Atomics.wait, which costs those who wake it a microsecond, and has no event loop: between two
// batches it does what is due (syncs, checkpoints, retries). See hand-over.ts for the other side.

import { parentPort, workerData } from 'node:worker_threads'
import { type Disk, realDisk } from './disk.ts'
import {
  BYTES,
  CLOSE,
  type ThreadData,
  type ThreadMessage,
  TURN,
  URGENT,
  views,
  WORK,
} from './hand-over.ts'
import { WritingEnd } from './writing-end.ts'

const data = workerData as ThreadData
const { words, times, area } = views(data.shared)

function tell(message: ThreadMessage): void {
  parentPort?.postMessage(message)
}

const { disk } =
  data.diskModule === undefined
    ? { disk: realDisk }
    : ((await import(data.diskModule)) as { readonly disk: Disk })
const end = new WritingEnd({
  disk,
  place: data.place,
  progress: data.progress,
  fsync: data.fsync,
  now: Date.now,
  tell: (news) => tell({ kind: 'news', news }),
})
tell({ kind: 'ready' })

let turn = 0
for (;;) {
  Atomics.wait(words, TURN, turn, end.idleMs())
  // Odd while it works: whoever looks can tell a thread that waits from a disk that does not answer.
  Atomics.add(words, WORK, 1)
  const next = Atomics.load(words, TURN)
  if (next !== turn) {
    turn = next
    if (Atomics.load(words, CLOSE) === 1) {
      tell({ kind: 'closed', ending: end.close() })
      break
    }
    const bytes = Atomics.load(words, BYTES)
    const written = end.write({
      frames: Buffer.from(area.subarray(0, bytes)),
      times: { from: times[0] ?? 0, to: times[1] ?? 0 },
      isUrgent: Atomics.load(words, URGENT) === 1,
    })
    tell({ kind: 'written', written })
  }
  end.tick()
  Atomics.add(words, WORK, 1)
}

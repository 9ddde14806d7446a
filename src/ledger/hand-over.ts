// How the batches of a spool reach the writing end: in a thread of its own, or where the spool is.
//
// To the thread a batch goes through shared memory, with one Atomics.notify; its answer comes as a message,
// which wakes the event loop by itself. A message each way would cost three times as much.

import { openThread } from '../base/thread.ts'
import type { Disk } from './disk.ts'
import type { Progress, WriterPlace } from './evidence.ts'
import type { Ending } from './writer-folder.ts'
import { type Fsync, type News, WritingEnd, type Written } from './writing-end.ts'

/** Takes one batch at a time; what becomes of it is told by `onWritten`. */
export interface HandOver {
  /** Where the frames of the next batch are put; not to be touched while one is under way. */
  readonly area: Buffer
  write(
    bytes: number,
    times: { readonly from: number; readonly to: number },
    isUrgent: boolean,
  ): void
  /** Changes when it has got anywhere; undefined while it does nothing. */
  work(): number | undefined
  /** No batch may be under way. */
  close(): Promise<Ending>
}

export interface HandOverEvents {
  onReady(): void
  onWritten(written: Written): void
  onNews(news: News): void
  /** Nothing will be answered any more. */
  onGone(error: Error): void
}

interface HandOverOptions {
  readonly place: WriterPlace
  readonly progress: Progress
  readonly fsync: Fsync
}

/** What the thread begins with. */
export interface ThreadData extends HandOverOptions {
  readonly shared: SharedArrayBuffer
  /** A module whose `disk` takes the place of the real one. */
  readonly diskModule: string | undefined
}

export type ThreadMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'written'; readonly written: Written }
  | { readonly kind: 'news'; readonly news: News }
  | { readonly kind: 'closed'; readonly ending: Ending }

/** Words of the shared memory. */
export const TURN = 0
export const BYTES = 1
export const URGENT = 2
export const CLOSE = 3
export const WORK = 4

const WORDS_BYTES = 64
const TIMES_AT = 48
const AREA_BYTES = 4 * 1024 * 1024

export function views(shared: SharedArrayBuffer): {
  readonly words: Int32Array<SharedArrayBuffer>
  readonly times: Float64Array<SharedArrayBuffer>
  readonly area: Buffer
} {
  return {
    words: new Int32Array(shared, 0, 8),
    times: new Float64Array(shared, TIMES_AT, 2),
    area: Buffer.from(shared, WORDS_BYTES),
  }
}

/** The writing end in a thread of its own. */
export function openThreaded(
  options: HandOverOptions,
  diskModule: URL | undefined,
  events: HandOverEvents,
): HandOver {
  const shared = new SharedArrayBuffer(WORDS_BYTES + AREA_BYTES)
  const { words, times, area } = views(shared)
  const data: ThreadData = { ...options, shared, diskModule: diskModule?.href }
  const thread = openThread(new URL('./writer-thread.ts', import.meta.url), data)
  thread.unref()
  const closed = Promise.withResolvers<Ending>()
  let isClosed = false
  thread.on('message', (message: ThreadMessage) => {
    if (message.kind === 'written') events.onWritten(message.written)
    else if (message.kind === 'news') events.onNews(message.news)
    else if (message.kind === 'ready') events.onReady()
    else closed.resolve(message.ending)
    if (message.kind === 'written' || message.kind === 'closed') thread.unref()
  })
  const gone = (error: Error): void => {
    closed.resolve('unsafe')
    if (!isClosed) events.onGone(error)
  }
  thread.on('error', gone)
  thread.on('exit', () => gone(new Error('the thread that writes the spool has ended')))

  /** Nobody may end the process between a batch and its answer. */
  const wake = (): void => {
    thread.ref()
    Atomics.add(words, TURN, 1)
    Atomics.notify(words, TURN)
  }
  return {
    area,
    write: (bytes, { from, to }, isUrgent) => {
      Atomics.store(words, BYTES, bytes)
      Atomics.store(words, URGENT, isUrgent ? 1 : 0)
      times[0] = from
      times[1] = to
      wake()
    },
    work: () => {
      const work = Atomics.load(words, WORK)
      return work % 2 === 0 ? undefined : work
    },
    close: () => {
      isClosed = true
      Atomics.store(words, CLOSE, 1)
      wake()
      return closed.promise
    },
  }
}

/** The writing end where the spool is: for commands, which have nothing else to do, and for tests with a disk of their own. */
export function openInline(
  options: HandOverOptions,
  { disk, now }: { readonly disk: Disk; readonly now: () => number },
  events: HandOverEvents,
): HandOver {
  const area = Buffer.alloc(AREA_BYTES / 4)
  const end = new WritingEnd({ ...options, disk, now, tell: (news) => events.onNews(news) })
  let timer: NodeJS.Timeout | undefined
  const tickLater = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      end.tick()
      tickLater()
    }, end.idleMs()).unref()
  }
  tickLater()
  queueMicrotask(() => events.onReady())
  return {
    area,
    write: (bytes, times, isUrgent) => {
      const written = end.write({ frames: Buffer.from(area.subarray(0, bytes)), times, isUrgent })
      tickLater()
      queueMicrotask(() => events.onWritten(written))
    },
    work: () => undefined,
    close: () => {
      clearTimeout(timer)
      return Promise.resolve(end.close())
    },
  }
}

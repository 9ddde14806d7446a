// What primary and workers say to each other over the cluster channel.

import type { ErrorCode, Problem } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import type { ReviewRequest, ReviewState } from '../decision/decide.ts'
import type { Principal } from '../model/request.ts'
import type { Asset, Subject } from '../model/subject.ts'
import type { InterceptionBeginning } from './interception.ts'
import type { ModeOverride } from './point-mode.ts'
import type { LoadedCatalogue } from './rules.ts'

/** What a worker needs to begin. */
export interface Beginning {
  readonly config: Config
  readonly catalogue: LoadedCatalogue
  readonly override: ModeOverride | undefined
  readonly interception: InterceptionBeginning | undefined
  readonly personSecret: Uint8Array
}

/** Calls of a worker that the primary answers. */
export interface PrimaryCalls {
  begin(): Promise<Beginning>
  /** The worker accepts connections at these addresses. */
  listening(addresses: readonly string[]): void
  /** The worker cannot begin, and ends. */
  failed(why: {
    readonly code: ErrorCode
    readonly message: string
    readonly problems: readonly Problem[]
  }): void
  findPerson(principal: Principal): Promise<Subject | undefined>
  findAsset(hostname: string): Promise<Asset | undefined>
  verifyToken(argument: {
    login: string
    token: string
  }): Promise<{ readonly user_id: string } | undefined>
  openReview(request: ReviewRequest): Promise<ReviewState>
  written(): void
}

/** Calls of the primary that every worker answers. */
export interface WorkerCalls {
  /** Builds the new revision and takes it into force; the answer is its name. */
  reload(beginning: Beginning): Promise<string>
  /** The log files were moved away: lines go to new ones from now on. */
  reopenLogs(): void
  metrics(): Promise<object[]>
  /** What keeps the worker from its work, if anything. */
  health(): { readonly spool: string | undefined }
  mode(override: ModeOverride | undefined): void
  /** The authority was renewed, or the keys of session tickets. */
  intercept(interception: InterceptionBeginning): void
  peopleChanged(): void
  reviewAnswered(argument: { reviewId: string; state: 'approved' | 'denied' }): void
  backlog(bytes: number): void
  /** Ends in order; resolves when everything has ended. */
  drain(graceMs: number): Promise<void>
}

// What primary and workers say to each other over the cluster channel.

import type { ErrorCode, Problem } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import type { Asked, Change, Taken } from '../context/budget-counter.ts'
import type { MovedRisk } from '../context/shared-cache.ts'
import type { ReviewRequest, ReviewState } from '../decision/decide.ts'
import type { Principal } from '../model/request.ts'
import type { Asset, Subject } from '../model/subject.ts'
import type { ExceptionChange } from './exceptions-in-force.ts'
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
  /** Policies beside those of `policy.dirs`: stored ones, and bundles from elsewhere. */
  readonly policyFolders: readonly string[]
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
  /** Without Redis the primary counts for all of its workers. */
  takeBudgets(asked: readonly Asked[]): Taken | Promise<Taken>
  adjustBudgets(changes: readonly Change[]): void
  /** All exceptions in force. */
  exceptions(): Promise<ExceptionChange>
  /** Counts a use of each, or tells the first that has none left. */
  claimUses(exceptionIds: readonly string[]): Promise<string | undefined>
  written(): void
}

/** Calls of the primary that every worker answers. */
export interface WorkerCalls {
  /** Builds the new revision and takes it into force; the answer is its name. */
  reload(beginning: Beginning): Promise<string>
  /** Takes the policies of these folders into force, beside those of `policy.dirs`; the answer is the revision. */
  takePolicies(folders: readonly string[]): Promise<string>
  /** Judges again what is open, under the rules in force. */
  rejudge(): void
  /** The log files were moved away: lines go to new ones from now on. */
  reopenLogs(): void
  metrics(): Promise<object[]>
  /** What keeps the worker from its work, if anything. */
  health(): { readonly spool: string | undefined }
  mode(override: ModeOverride | undefined): void
  /** The authority was renewed, or the keys of session tickets. */
  intercept(interception: InterceptionBeginning): void
  peopleChanged(): void
  /** What somebody's violations come to has changed. */
  riskMoved(moved: readonly MovedRisk[]): void
  exceptions(change: ExceptionChange): void
  reviewAnswered(argument: { reviewId: string; state: 'approved' | 'denied' }): void
  backlog(bytes: number): void
  /** Ends in order; resolves when everything has ended. */
  drain(graceMs: number): Promise<void>
}

// What a process of `cordon start` may be there for.

export const ROLES = ['all', 'gateway', 'control', 'recorder'] as const
export type Role = (typeof ROLES)[number]

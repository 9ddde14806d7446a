// What a frame is (RFC 6455 section 5.2), and the bits around it.

export const CONTINUATION = 0x0
export const TEXT = 0x1
export const BINARY = 0x2
export const CLOSE = 0x8
export const PONG = 0xa

export const FIN_BIT = 0x80
export const RESERVED_BITS = 0x70
export const OPCODE_BITS = 0x0f
export const CONTROL_BIT = 0x08
export const MASK_BIT = 0x80

/** A length up to here stands in the second byte; the two above say that 2 or 8 bytes follow. */
export const MAX_SHORT = 125
export const LENGTH_16 = 126
export const LENGTH_64 = 127

/** The longest payload of a ping, pong or close. */
export const MAX_CONTROL = 125

// A proxy that opens TLS, in a process whose memory can be measured. The origin's port and root are arguments.

import { readFileSync } from 'node:fs'
import { startInside } from './inside-rig.ts'

const [port = '0', root = ''] = process.argv.slice(2)
const origin = { port: Number(port), authority: { rootCert: readFileSync(root, 'utf8') } }
const rig = await startInside({ teardown: () => undefined }, origin)
process.on('message', () => {
  process.send?.({
    rss: process.memoryUsage.rss(),
    decided: rig.decided.splice(0).length,
    connections: rig.proxy.connections,
    limits: Object.fromEntries(rig.limits),
  })
  rig.endings.length = 0
  rig.log.length = 0
  rig.limits.clear()
})
process.send?.({ port: rig.port, ca: rig.ca })

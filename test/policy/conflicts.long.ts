import t from 'tap'
import { bruteForce } from '../support/cedar-conflicts.ts'

t.test(
  'brute force finds no contradiction that is not told, and every witness shows its conflict',
  async () => {
    await bruteForce(300)
  },
)

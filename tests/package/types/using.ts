// Where the library knows `Symbol.dispose`, a client is disposable.

import { BroadcastClient } from 'tidings'

export function visit(): void {
  using client = new BroadcastClient()
  client.channel('orders').on('paid', (data) => data)
}
const dispose: () => void = BroadcastClient.prototype[Symbol.dispose]
export { dispose }

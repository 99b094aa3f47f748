import { singles, text } from './wasm.js'
import { decode } from './decode.js'
import { BroadcastChannel, BroadcastClient as Client, initSync } from './glue.js'

export { BroadcastChannel }

let booted = false

/** The wasm is compiled when the first client is made: importing does nothing. */
function boot() {
  if (booted) return
  initSync({ module: new WebAssembly.Module(decode(text, singles)) })
  booted = true
}

export class BroadcastClient extends Client {
  constructor(options) {
    boot()
    super(options)
  }
}

// The generated ones free memory and leave the connection open.
if (Symbol.dispose) {
  BroadcastClient.prototype[Symbol.dispose] = BroadcastClient.prototype.disconnect
  BroadcastChannel.prototype[Symbol.dispose] = BroadcastChannel.prototype.leave
}

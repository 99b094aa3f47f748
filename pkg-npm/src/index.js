import { decode } from './decode.js'
import { BroadcastClient as Client, initSync } from './glue.js'
import { singles, text } from './wasm.js'

export { BroadcastChannel } from './glue.js'

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

// The generated one frees memory and leaves the connection open.
if (Symbol.dispose) {
  BroadcastClient.prototype[Symbol.dispose] = BroadcastClient.prototype.disconnect
}

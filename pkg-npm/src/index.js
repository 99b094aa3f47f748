import { singles, text } from './wasm.js'
import { decode } from './decode.js'
import { BroadcastChannel, BroadcastClient as Client, initSync } from './glue.js'

export { BroadcastChannel }

let booted = false

/** The wasm is compiled when the first client is made: importing does nothing. */
function boot() {
  if (booted) return
  initSync(new WebAssembly.Module(decode(text, singles)))
  booted = true
}

export class BroadcastClient extends Client {
  constructor(options) {
    boot()
    super(options)
  }
}

// The generated ones, which xtask takes out, free memory and leave the connection open.
const { dispose } = Symbol
if (dispose) {
  BroadcastClient.prototype[dispose] = BroadcastClient.prototype.disconnect
  BroadcastChannel.prototype[dispose] = BroadcastChannel.prototype.leave
}

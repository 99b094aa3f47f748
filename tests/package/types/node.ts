// The WebSocket of `ws` fits the types.

import { BroadcastClient } from 'tidings'
import { WebSocket } from 'ws'

new BroadcastClient({ webSocketFactory: (url) => new WebSocket(url), logger: console })

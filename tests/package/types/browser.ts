// The browser's WebSocket and `console` fit the types.

import { BroadcastClient } from 'tidings'

new BroadcastClient({ webSocketFactory: (url) => new WebSocket(url), logger: console })

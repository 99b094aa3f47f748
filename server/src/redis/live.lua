-- Publishes on a channel without history. KEYS: the idempotency key. ARGV: the pub/sub channel, the event's id, the event.
local said = redis.call('GET', KEYS[1])
if said then
  return said
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', 300)
redis.call('PUBLISH', ARGV[1], ARGV[3])
return ARGV[2]

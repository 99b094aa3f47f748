-- KEYS: and the idempotency key, where there is one.
-- ARGV: and the pub/sub channel, the event's id, the event.
local said = KEYS[3] and redis.call('GET', KEYS[3])
if said then
  return said
end
top, id = top + 1, ARGV[9]
local event, time = ARGV[10], redis.call('TIME')
-- What may be refused for want of memory comes first.
local entry = text(top) .. '-' .. text(time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('XADD', stream, entry, 'event', event)
length, bytes = length + 1, bytes + #event
trim()
redis.call('HSET', meta, 'offset', text(top), 'id', id, 'bytes', text(bytes))
redis.call('PEXPIRE', stream, text(age))
redis.call('PEXPIRE', meta, stay)
said = id .. ' ' .. epoch .. ' ' .. text(top)
if KEYS[3] then
  redis.call('SET', KEYS[3], said, 'EX', 300)
end
redis.call('PUBLISH', ARGV[8], '@' .. epoch .. ' ' .. text(top) .. ' ' .. event)
return said

-- ARGV: and the command that reads, from where, up to where, at most how many.
local first = trim()
local floor = top
if first then
  floor = tonumber(string.match(first[1], '^%d+')) - 1
end
redis.call('HSET', meta, 'bytes', text(bytes))
redis.call('PEXPIRE', meta, stay)
local entries = {}
if ARGV[11] ~= '0' then
  entries = redis.call(ARGV[8], stream, ARGV[9], ARGV[10], 'COUNT', ARGV[11])
end
return {epoch, text(top), id, text(floor), entries}
